"""Signals: what filters, templates and spectra do to any trace."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from spikesorter import Spikes
from spikesorter.signal.correlate import correlate
from spikesorter.signal.filters import (
    band_pass_kernel,
    drift_kernel,
    filtered_across,
    fir_filter,
    fir_filter_on_grid,
    local_unit_variance,
    noise_scale,
)
from spikesorter.signal.hermitian import clipped, factor, inverse_root, minimum_phase_factor
from spikesorter.signal.matched import make_matched_filters
from spikesorter.signal.noise import NoiseSpectrum, synthesise_noise
from spikesorter.signal.spans import Margin, iterate_spans, read_span, to_samples
from spikesorter.signal.templates import (
    Templates,
    average_waveform,
    estimate_templates,
    plant,
    spike_amplitudes,
)
from spikesorter.signal.wavelet import denoise, denoise_margin, level_noise
from tests.conftest import run_in_spans

FEW = settings(max_examples=20)
SEEDS = st.integers(0, 2**32 - 1)
RATES = st.sampled_from([8000.0, 25_000.0, 24_414.0625, 30_000.0])
ODD = st.integers(0, 12).map(lambda half: 2 * half + 1)


def trace_of(seed: int, samples: int, channels: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((samples, channels)).astype(np.float32)


def convolved(column: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    half = len(kernel) // 2
    return np.convolve(column.astype(float), kernel)[half : half + len(column)]


@FEW
@given(SEEDS, st.integers(1, 400), st.integers(1, 3), ODD)
def test_a_filter_is_a_convolution_of_each_channel(seed: int, samples: int, channels: int, taps: int) -> None:
    trace, kernel = trace_of(seed, samples, channels), np.random.default_rng(seed).standard_normal(taps)
    found = fir_filter(trace, kernel)
    assert (found.shape, found.dtype) == (trace.shape, np.float32)
    expected = np.stack([convolved(column, kernel) for column in trace.T], axis=1)
    np.testing.assert_allclose(found, expected, atol=1e-4)


@FEW
@given(SEEDS, ODD, st.integers(1, 3), st.integers(1, 3))
def test_a_filter_across_channels_adds_what_each_of_them_gives(
    seed: int, taps: int, inputs: int, outputs: int
) -> None:
    trace = trace_of(seed, 120, inputs)
    kernels = np.random.default_rng(seed).standard_normal((taps, outputs, inputs))
    expected = [sum(convolved(trace[:, b], kernels[:, a, b]) for b in range(inputs)) for a in range(outputs)]
    np.testing.assert_allclose(filtered_across(trace, kernels), np.transpose(expected), atol=1e-4)


@FEW
@given(SEEDS, st.integers(0, 9000), st.integers(1, 5000))
def test_part_of_a_filtered_recording_has_the_bytes_of_the_whole(seed: int, start: int, length: int) -> None:
    trace = trace_of(seed, 9001)
    kernel = drift_kernel(window_ms=5, fs_hz=25_000)
    stop = min(start + length, len(trace))

    def read(first: int, last: int) -> np.ndarray:
        return read_span(lambda a, b: trace[a:b], len(trace), first, last)

    whole = fir_filter_on_grid(read, kernel, 0, len(trace))
    assert fir_filter_on_grid(read, kernel, start, stop).tobytes() == whole[start:stop].tobytes()


@FEW
@given(st.floats(0.1, 100), RATES)
def test_drift_kernels_are_odd_symmetric_and_remove_any_offset(window_ms: float, fs_hz: float) -> None:
    kernel = drift_kernel(window_ms=window_ms, fs_hz=fs_hz)
    half = round(window_ms * fs_hz / 2000)
    assert len(kernel) == 2 * half + 1
    np.testing.assert_allclose(kernel, kernel[::-1], atol=1e-15)
    assert kernel.sum() == pytest.approx(0 if half else 1, abs=1e-9)
    assert kernel[half] == kernel.max() > 0


@FEW
@given(st.floats(50, 2000), st.floats(2100, 11_000), ODD.map(lambda taps: taps + 100), RATES)
def test_a_band_pass_is_symmetric_and_passes_its_middle(
    low_hz: float, high_hz: float, taps: int, fs_hz: float
) -> None:
    kernel = band_pass_kernel(low_hz=low_hz, high_hz=high_hz, taps=taps, fs_hz=fs_hz)
    assert len(kernel) == taps
    np.testing.assert_allclose(kernel, kernel[::-1], atol=1e-12)
    time_s = (np.arange(taps) - taps // 2) / fs_hz
    middle = (low_hz + min(high_hz, fs_hz / 2)) / 2
    assert abs(kernel @ np.exp(2j * np.pi * middle * time_s)) == pytest.approx(1, abs=0.02)


@FEW
@given(SEEDS, st.floats(0.01, 1000), st.floats(-1000, 1000), st.integers(1, 3))
def test_the_noise_scale_follows_the_unit_and_no_offset(
    seed: int, unit: float, offset: float, channels: int
) -> None:
    trace = trace_of(seed, 500, channels).astype(np.float64)
    np.testing.assert_allclose(noise_scale(unit * trace + offset), unit * noise_scale(trace), rtol=1e-4)
    np.testing.assert_allclose(noise_scale(-trace), noise_scale(trace), rtol=1e-6)


@FEW
@given(SEEDS, st.integers(2, 60), st.floats(0.1, 100))
def test_local_variance_is_one_in_every_unit(seed: int, window_samples: int, unit: float) -> None:
    trace = trace_of(seed, 300)
    scaled = local_unit_variance(trace, window_samples=window_samples)
    again = local_unit_variance((unit * trace).astype(np.float32), window_samples=window_samples)
    np.testing.assert_allclose(again, scaled, atol=2e-3)
    at, before = 150, window_samples // 2
    around = trace[at - before : at - before + window_samples, 0].astype(float)
    if around.std() > 1e-3:
        assert scaled[at, 0] == pytest.approx((trace[at, 0] - around.mean()) / around.std(), abs=2e-3)


@FEW
@given(SEEDS, st.integers(1, 1300), st.integers(1, 30))
def test_correlations_are_added_to_what_is_there(seed: int, samples: int, taps: int) -> None:
    rng = np.random.default_rng(seed)
    signal, kernel, output = (
        rng.standard_normal(length).astype(np.float32) for length in (samples + taps - 1, taps, samples)
    )
    expected = output + np.correlate(signal.astype(float), kernel.astype(float), "valid")
    correlate(signal, kernel, output)
    np.testing.assert_allclose(output, expected, atol=1e-4)


@FEW
@given(SEEDS, st.integers(700, 1500))
def test_a_correlation_is_the_same_to_the_byte_wherever_a_chunk_ends(seed: int, samples: int) -> None:
    rng = np.random.default_rng(seed)
    signal, kernel = (rng.standard_normal(n).astype(np.float32) for n in (samples + 18, 19))
    whole, cut = np.zeros(samples, np.float32), np.zeros(samples, np.float32)
    correlate(signal, kernel, whole)
    for first, last in iterate_spans(samples, 512):  # chunks begin with each call
        correlate(signal[first : last + 18], kernel, cut[first:last])
    assert cut.tobytes() == whole.tobytes()


@given(st.integers(-50, 150), st.integers(0, 100), st.integers(1, 80), st.integers(1, 2))
def test_beyond_its_ends_a_recording_stays_as_it_is(
    start: int, length: int, samples: int, channels: int
) -> None:
    trace = trace_of(samples, samples, channels)
    span = read_span(lambda a, b: trace[a:b], samples, start, start + length)
    assert span.shape == (length, channels)
    for place, row in zip(range(start, start + length), span, strict=True):
        if start < samples and start + length > 0:
            np.testing.assert_array_equal(row, trace[min(max(place, 0), samples - 1)])
        else:
            assert not row.any()


@given(st.floats(0, 1000), RATES)
def test_a_time_is_the_nearest_number_of_samples(milliseconds: float, fs_hz: float) -> None:
    assert abs(to_samples(milliseconds, fs_hz) - milliseconds * fs_hz / 1000) <= 0.5


@given(*[st.integers(0, 1000)] * 6)
def test_margins_add_up_in_any_order(a: int, b: int, c: int, d: int, e: int, f: int) -> None:
    one, two, three = Margin(a, b), Margin(c, d), Margin(e, f)
    assert one + two == two + one == Margin(a + c, b + d)
    assert (one + two) + three == one + (two + three)
    assert one + Margin() == one


@st.composite
def planted(draw: st.DrawFn, *, channels: int = 1) -> tuple[Templates, Spikes, np.ndarray]:
    rng = np.random.default_rng(draw(SEEDS))
    length = draw(st.integers(2, 12))
    before = draw(st.integers(0, length - 1))
    templates = Templates((1, 3), rng.normal(size=(2, length, channels)).astype(np.float32), before)
    count = draw(st.integers(0, 12))
    spikes = Spikes.from_arrays(rng.integers(0, 200, count), rng.choice([1, 3], count))
    return templates, spikes, rng.uniform(0.5, 2, count).astype(np.float32)


@FEW
@given(planted(channels=2), st.integers(1, 230))
def test_planting_adds_each_spikes_template(
    given_: tuple[Templates, Spikes, np.ndarray], samples: int
) -> None:
    templates, spikes, amplitudes = given_
    spikes, amplitudes = spikes.within(0, samples), amplitudes[spikes.sample < samples]
    length = templates.waveforms.shape[1]
    expected = np.zeros((samples + 2 * length, 2))
    for spike, amplitude in zip(spikes, amplitudes, strict=True):
        start = spike.sample - templates.before + length
        expected[start : start + length] += amplitude * templates.waveforms[(1, 3).index(spike.unit)]
    found = plant(samples, spikes, amplitudes, templates)
    np.testing.assert_allclose(found, expected[length : length + samples], atol=1e-4)


@FEW
@given(planted(), st.integers(0, 50), st.floats(0.1, 10))
def test_spikes_that_come_later_or_larger_do_so_in_the_trace(
    given_: tuple[Templates, Spikes, np.ndarray], delay: int, factor: float
) -> None:
    templates, spikes, amplitudes = given_
    plain = plant(300, spikes, amplitudes, templates)
    later = plant(300 + delay, spikes.shifted(delay), amplitudes, templates)
    np.testing.assert_allclose(later[delay + 12 :], plain[12:], atol=1e-4)
    larger = plant(300, spikes, amplitudes, templates.scaled(factor))
    np.testing.assert_allclose(larger, factor * plain, atol=1e-3 * factor)
    parts = [
        plant(300, spikes.of(unit), amplitudes[spikes.unit == unit], templates.of((unit,))) for unit in (1, 3)
    ]
    np.testing.assert_allclose(parts[0] + parts[1], plain, atol=1e-4)


@settings(max_examples=15)
@given(SEEDS, st.integers(1, 2), st.integers(0, 8))
def test_templates_and_amplitudes_are_read_off_a_trace_without_noise(
    seed: int, channels: int, before: int
) -> None:
    """However much spikes overlap, if there are enough of them at enough distances."""
    rng = np.random.default_rng(seed)
    true = Templates((2, 5), rng.normal(size=(2, 20, channels)).astype(np.float32), before)
    spikes = Spikes.from_arrays(40 + rng.choice(3860, 200, replace=False), np.repeat([2, 5], 100))
    trace = plant(4000, spikes, np.ones(200, np.float32), true)
    found = estimate_templates(trace, spikes, before=before, after=20 - before, kernel=np.ones(1))
    assert (found.unit_ids, found.before) == ((2, 5), before)
    np.testing.assert_allclose(found.waveforms, true.waveforms, atol=0.1)
    sizes = rng.uniform(0.6, 1.4, 200).astype(np.float32)
    varied = plant(4000, spikes, sizes, true)
    errors = np.abs(spike_amplitudes(varied, spikes, true, kernel=np.ones(1)) - sizes)
    assert np.median(errors) < 0.02
    assert np.mean(errors < 0.1) > 0.9
    lone = spikes.of(5)
    windows = [trace[spike.sample - before : spike.sample - before + 20] for spike in lone]
    averaged = average_waveform(trace, lone, before=before, after=20 - before)
    np.testing.assert_allclose(averaged, np.mean(windows, axis=0), atol=1e-5)


@FEW
@given(SEEDS, st.integers(1, 4), st.floats(0, 2))
def test_matrices_are_clipped_factored_and_inverted(seed: int, size: int, least: float) -> None:
    rng = np.random.default_rng(seed)
    mixing = rng.normal(size=(5, size, size)) + 1j * rng.normal(size=(5, size, size))
    matrices = mixing @ mixing.conj().transpose(0, 2, 1) + 0.1 * np.eye(size)
    raised = clipped(matrices, least)
    np.testing.assert_allclose(
        np.linalg.eigvalsh(raised), np.maximum(np.linalg.eigvalsh(matrices), least), atol=1e-8
    )
    lower = factor(matrices)
    np.testing.assert_allclose(lower @ lower.conj().transpose(0, 2, 1), matrices, atol=1e-8)
    assert np.all(np.triu(np.abs(lower), 1) == 0)
    root = inverse_root(matrices)
    np.testing.assert_allclose(root, root.conj().transpose(0, 2, 1), atol=1e-8)
    np.testing.assert_allclose(
        root @ root @ matrices, np.broadcast_to(np.eye(size), (5, size, size)), atol=1e-6
    )


@settings(max_examples=15)
@given(SEEDS, st.integers(1, 3))
def test_the_least_delay_of_a_spectrum_is_found(seed: int, size: int) -> None:
    """The factor begins with a positive first tap, and no earlier one: it is causal."""
    rng = np.random.default_rng(seed)
    taps = rng.normal(size=(4, size, size)) * 0.3 ** np.arange(4)[:, None, None]
    taps[0] += 2 * np.eye(size)
    filters = np.fft.rfft(taps, 256, axis=0)
    spectrum = filters @ filters.conj().transpose(0, 2, 1)
    found = minimum_phase_factor(spectrum)
    np.testing.assert_allclose(found @ found.conj().transpose(0, 2, 1), spectrum, atol=1e-5)
    back = np.fft.irfft(found, 256, axis=0)
    assert np.abs(back[128:]).max() < 1e-5
    assert np.sum(back[0] ** 2) >= np.sum(taps[0] ** 2) * (1 - 1e-6)  # no other has more at once


@FEW
@given(SEEDS, st.integers(1, 3), st.floats(0.01, 100))
def test_spectra_are_added_scaled_and_taken_away(seed: int, channels: int, gain: float) -> None:
    rng = np.random.default_rng(seed)
    one, two = (NoiseSpectrum.independent(rng.uniform(0.5, 2, (17, channels))) for _ in range(2))
    both = NoiseSpectrum(one.density + two.density)
    np.testing.assert_allclose(both.minus(two).power, one.power, atol=1e-9)
    np.testing.assert_allclose(one.minus(both).power, 0, atol=1e-9)
    np.testing.assert_allclose(one.scaled(gain).variance, gain * one.variance)
    np.testing.assert_allclose(one.at(one.n_fft), one.density)
    np.testing.assert_allclose(np.diag(one.covariance), one.variance)
    assert np.all(one.floored(0.9).power >= 0.9 * one.variance - 1e-9)
    assert one.distance(one) == pytest.approx(0, abs=1e-9)


@settings(max_examples=10)
@given(SEEDS, st.integers(1, 3), st.floats(0.1, 10), st.integers(1, 4000))
def test_noise_has_its_length_and_unit(seed: int, channels: int, gain: float, samples: int) -> None:
    spectrum = NoiseSpectrum.independent(np.ones((65, channels)))
    plain, louder = (
        synthesise_noise(one, samples, np.random.default_rng(seed))
        for one in (spectrum, spectrum.scaled(gain**2))
    )
    assert (plain.shape, plain.dtype) == ((samples, channels), np.float32)
    np.testing.assert_allclose(louder, gain * plain, rtol=1e-3, atol=1e-4 * gain)


@settings(max_examples=10)
@given(SEEDS, st.sampled_from(["sym4", "db4"]), st.integers(1, 4), st.integers(30, 400), st.floats(0.1, 1.5))
def test_denoising_follows_the_unit_and_any_span_gives_the_same(
    seed: int, wavelet: str, level: int, span_samples: int, strength: float
) -> None:
    trace = trace_of(seed, 700)
    sd = level_noise(trace, wavelet=wavelet, level=level)
    assert sd.shape == (level, 1)

    def clean(part: np.ndarray) -> np.ndarray:
        return denoise(part, noise_sd=sd, strength=strength, wavelet=wavelet)

    whole, spans = (
        run_in_spans(clean, trace, margin=denoise_margin(wavelet=wavelet, level=level), span_samples=samples)
        for samples in (len(trace), span_samples)
    )
    np.testing.assert_allclose(spans, whole, atol=1e-4)
    louder = denoise(8 * trace, noise_sd=8 * sd, strength=strength, wavelet=wavelet)
    np.testing.assert_allclose(louder, 8 * clean(trace), atol=1e-3)
    assert np.sum(clean(trace) ** 2) <= np.sum(trace**2) * (1 + 1e-4)


@settings(max_examples=10)
@given(
    hnp.arrays(np.float32, (2, 9, 1), elements=st.floats(-4, 4, width=16)).filter(
        lambda waveforms: np.all((waveforms**2).sum(axis=(1, 2)) > 1)
    ),
    st.floats(0.1, 10),
    st.integers(0, 8),
)
def test_a_matched_filter_measures_a_spikes_size(waveforms: np.ndarray, variance: float, before: int) -> None:
    """In white noise: the energy of its template over the noise, at its start, in proportion to its size."""
    templates = Templates((1, 2), waveforms, before)
    noise = NoiseSpectrum.independent(np.full((65, 1), variance))
    filters = make_matched_filters(templates, noise, reach=10)
    expected = np.sqrt((waveforms.astype(float) ** 2).sum(axis=(1, 2)) / variance)
    np.testing.assert_allclose(filters.detectability, expected, rtol=1e-3)
    for k, unit in enumerate((1, 2)):
        trace = plant(80, Spikes.from_arrays([40], [unit]), np.float32([1.5]), templates)
        output = filters.apply(trace)[:, k]
        assert output[40] == pytest.approx(1.5 * expected[k], rel=1e-3)
        assert np.argmax(output) == 40
