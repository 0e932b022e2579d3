from __future__ import annotations

import numpy as np
import pytest

from spikesorter.signal.bank import Bank, CausalBank, make_bank, make_causal_bank
from spikesorter.signal.filters import drift_kernel, filtered_across, fir_filter
from spikesorter.signal.noise import NoiseSpectrum, estimate_noise_spectrum, synthesise_noise
from spikesorter.signal.templates import Templates
from spikesorter.signal.whitening import whitening_filters

KERNEL = drift_kernel(window_ms=40, fs_hz=25_000)


def coloured(n_fft: int = 2048) -> NoiseSpectrum:
    f = np.fft.rfftfreq(n_fft)
    return NoiseSpectrum.independent((0.3 + 2 / (1 + (f / 0.01) ** 2))[:, None])


@pytest.fixture
def noise(rng: np.random.Generator) -> np.ndarray:
    return synthesise_noise(coloured(), 400_000, rng)


@pytest.fixture
def bank(shapes: Templates, noise: np.ndarray) -> Bank:
    filtered = fir_filter(noise, KERNEL)
    spectrum = estimate_noise_spectrum(filtered, np.ones(len(noise), bool), n_fft=2048)
    return make_bank(shapes, spectrum, kernel=KERNEL, reach=150)


def test_a_spike_adds_its_overlaps_to_the_outputs(bank: Bank, shapes: Templates) -> None:
    trace = np.zeros((4000, 1), np.float32)
    start = 2000
    trace[start - shapes.before : start - shapes.before + 40] = shapes.waveforms[1]
    outputs = bank.apply(trace)
    reach = bank.overlaps.shape[1] // 2
    at = start - bank.margin.before
    assert len(outputs) == 4000 - bank.margin.before - bank.margin.after
    np.testing.assert_allclose(
        outputs[at - reach : at + reach + 1], bank.overlaps[1], atol=1e-4 * bank.energies[1]
    )


def test_noise_has_the_variance_that_the_energies_say(bank: Bank, noise: np.ndarray) -> None:
    np.testing.assert_allclose(bank.apply(noise).var(axis=0), bank.energies, rtol=0.08)


def test_detectability_is_that_of_the_true_covariance(bank: Bank, shapes: Templates) -> None:
    """d'^2 = s^T C^-1 s, C from the true spectrum; drift removal may cost a little."""
    n = 4096
    power = coloured(n).power[:, 0]
    spectra = np.abs(np.fft.rfft(shapes.waveforms[:, :, 0], n, axis=1)) ** 2
    weights = np.full(n // 2 + 1, 2.0)
    weights[[0, -1]] = 1
    expected = (spectra / power * weights).sum(axis=1) / n
    np.testing.assert_allclose(bank.energies, expected, rtol=0.1)


def test_a_recording_that_was_band_passed_is_whitened_within_the_reach_of_the_filter(
    shapes: Templates, rng: np.random.Generator
) -> None:
    """The edges of its band are too steep to whiten all that a filter of 6 ms would have to amplify."""
    f = np.fft.rfftfreq(2048) * 25_000
    band = 1 / (1 + (300 / np.maximum(f, 1)) ** 12) / (1 + (f / 6000) ** 12) + 1e-6
    trace = synthesise_noise(NoiseSpectrum.independent(band[:, None]), 400_000, rng)
    spectrum = estimate_noise_spectrum(fir_filter(trace, KERNEL), np.ones(len(trace), bool), n_fft=2048)
    whitener = whitening_filters(shapes, spectrum, kernel=KERNEL, reach=150)[:, 0, 0]
    white = np.convolve(trace[:, 0], whitener, mode="valid")[: 190 * 2048]
    power = np.abs(np.fft.rfft(white.reshape(-1, 2048) * np.hanning(2048), axis=1)) ** 2
    level = power.mean(axis=0) / power.mean(axis=0)[(f > 1000) & (f < 4000)].mean()
    assert level[f > 100].max() < 2


def test_what_stands_out_of_little_noise_counts(shapes: Templates) -> None:
    f = np.fft.rfftfreq(2048)
    steep = NoiseSpectrum.independent((0.001 + 2 / (1 + (f / 0.02) ** 4))[:, None])
    bank = make_bank(shapes, steep, kernel=np.ones(1), reach=150)
    transforms = np.fft.rfft(shapes.waveforms[:, :, 0], 2048, axis=1)
    twice = np.where((f == 0) | (f == 0.5), 1, 2)
    ideal = (twice * np.abs(transforms) ** 2 / steep.power[:, 0]).sum(axis=1) / 2048
    assert steep.power.min() < 0.02 * steep.power.mean()
    np.testing.assert_allclose(bank.energies, ideal, rtol=0.03)


def test_an_offset_passes_only_where_the_kernel_lets_it(shapes: Templates) -> None:
    spectrum = NoiseSpectrum.independent(np.ones((1025, 1)))
    constant = np.full((4000, 1), 100, np.float32)
    without = make_bank(shapes, spectrum, kernel=KERNEL, reach=150)
    assert np.abs(without.apply(constant)).max() < 0.05
    assert np.abs(make_bank(shapes, spectrum, kernel=np.ones(1), reach=150).apply(constant)).max() > 100


def test_channels_add_up(shapes: Templates) -> None:
    spectrum = NoiseSpectrum.independent(np.ones((1025, 1)))
    doubled = Templates(shapes.unit_ids, np.repeat(shapes.waveforms, 2, axis=2), shapes.before)
    one = make_bank(shapes, spectrum, kernel=np.ones(1), reach=20)
    two = make_bank(doubled, NoiseSpectrum.independent(np.ones((1025, 2))), kernel=np.ones(1), reach=20)
    np.testing.assert_allclose(two.energies, 2 * one.energies, rtol=1e-4)


@pytest.fixture
def causal(shapes: Templates, noise: np.ndarray) -> CausalBank:
    filtered = fir_filter(noise, KERNEL)
    spectrum = estimate_noise_spectrum(filtered, np.ones(len(noise), bool), n_fft=2048)
    return make_causal_bank(shapes, spectrum, kernel=KERNEL, past=600, length=200)


def test_causal_whitening_loses_no_detectability(causal: CausalBank, bank: Bank) -> None:
    np.testing.assert_allclose(causal.energies[-1], bank.energies, rtol=0.06)
    assert np.all(np.diff(causal.energies, axis=0) >= 0)
    # Half of what there is to see of a spike is seen well before its end.
    assert np.all(causal.energies[20] > 0.5 * causal.energies[-1])


def test_causally_whitened_noise_is_white(causal: CausalBank, noise: np.ndarray) -> None:
    white = causal.whiten(noise)[0]
    assert white.var() == pytest.approx(1, abs=0.08)
    lags = [np.mean(white[:-lag] * white[lag:]) for lag in range(1, 40)]
    assert np.abs(lags).max() < 0.1


def test_overlaps_of_what_is_seen_are_those_of_a_cut_trace(causal: CausalBank, shapes: Templates) -> None:
    trace = np.zeros((3000, 1), np.float32)
    start, seen = 2000, 12
    trace[start - shapes.before : start - shapes.before + 40] = shapes.waveforms[1]
    white = causal.whiten(trace)[0]
    white[start - len(causal.filters) + 1 + seen + 1 :] = 0  # nothing more is known
    reach = causal.overlaps.shape[2] // 2
    at = start - len(causal.filters) + 1 - causal.lead
    for j, shape in enumerate(causal.shapes[:, 0]):
        padded = np.pad(white, (0, len(shape)))
        for lag in (-15, 0, 7):
            output = padded[at + lag : at + lag + len(shape)] @ shape
            expected = causal.overlaps[seen, 1, reach + lag, j]
            assert output == pytest.approx(expected, rel=1e-3, abs=1e-3 * causal.energies[-1, 1])


def shared(n_fft: int = 2048) -> NoiseSpectrum:
    """Two channels that hear one distant source, slow and strong, and each its own noise."""
    both = coloured(n_fft).density * np.array([[1.0, 0.7], [0.7, 0.8]])
    return NoiseSpectrum(both + np.eye(2) * 0.3)


@pytest.fixture
def pair(shapes: Templates) -> Templates:
    """Shapes on two channels: one is larger on the first, one on the second."""
    waveforms = np.concatenate([shapes.waveforms, shapes.waveforms * [[[0.2]], [[1.5]]]], axis=2)
    return Templates(shapes.unit_ids, waveforms.astype(np.float32), shapes.before)


def true_energies(templates: Templates, noise: NoiseSpectrum, n_fft: int = 4096) -> np.ndarray:
    """s^T C^-1 s over all channels and samples."""
    spectra = np.fft.rfft(templates.waveforms, n_fft, axis=1)
    weights = np.full(n_fft // 2 + 1, 2.0)
    weights[[0, -1]] = 1
    inverse = np.linalg.inv(noise.at(n_fft))
    return np.einsum("kfa,fab,kfb,f->k", spectra.conj(), inverse, spectra, weights).real / n_fft


@pytest.mark.parametrize("make", ["bank", "causal"])
def test_noise_that_channels_share_is_taken_out(make: str, pair: Templates, rng: np.random.Generator) -> None:
    noise = synthesise_noise(shared(), 400_000, rng)
    filtered = fir_filter(noise, KERNEL)
    spectrum = estimate_noise_spectrum(filtered, np.ones(len(noise), bool), n_fft=2048)
    alone = make_bank(pair, NoiseSpectrum.independent(spectrum.power), kernel=KERNEL, reach=150)
    if make == "bank":
        bank = make_bank(pair, spectrum, kernel=KERNEL, reach=150)
        energies, white = bank.energies, filtered_across(noise, bank.whitener)
        np.testing.assert_allclose(bank.apply(noise).var(axis=0), bank.energies, rtol=0.08)
    else:
        causal = make_causal_bank(pair, spectrum, kernel=KERNEL, past=600, length=200)
        energies, white = causal.energies[-1], causal.whiten(noise).T
    np.testing.assert_allclose(energies, true_energies(pair, shared()), rtol=0.1)
    blind = alone.energies**2 / alone.apply(noise).var(axis=0)  # d'^2 if nothing is known of what they share
    assert np.all(energies > 1.05 * blind)
    np.testing.assert_allclose(np.cov(white[2000:].T), np.eye(2), atol=0.1)


def test_a_spike_on_two_channels_adds_its_overlaps(pair: Templates) -> None:
    bank = make_bank(pair, shared(), kernel=KERNEL, reach=150)
    trace = np.zeros((4000, 2), np.float32)
    trace[2000 - pair.before : 2000 - pair.before + 40] = pair.waveforms[1]
    reach, at = bank.overlaps.shape[1] // 2, 2000 - bank.margin.before
    np.testing.assert_allclose(
        bank.apply(trace)[at - reach : at + reach + 1], bank.overlaps[1], atol=1e-4 * bank.energies[1]
    )


def test_the_causal_margin_is_what_whitening_needs_before_a_spikes_start(
    causal: CausalBank, noise: np.ndarray
) -> None:
    needed = noise[: causal.margin.before + 100]
    assert causal.whiten(needed).shape == (1, causal.lead + 100)
    assert causal.margin.after == 0


def test_the_causal_whitener_is_the_filter_that_whitens(causal: CausalBank, noise: np.ndarray) -> None:
    white = causal.whiten(noise[:5000])[0]
    convolved = np.convolve(noise[:5000, 0], causal.whitener[:, 0, 0], "valid")
    np.testing.assert_allclose(white, convolved, atol=1e-4)


def test_the_causal_whitener_fades_out_over_its_second_half_as_a_hann_window(shapes: Templates) -> None:
    frequency = np.fft.rfftfreq(2048)
    line = NoiseSpectrum.independent((1 + 50 / (1 + ((frequency - 0.1) / 0.002) ** 2))[:, None])
    short, long = (
        make_causal_bank(shapes, line, kernel=np.ones(1), past=past, length=40).whitener[:64, 0, 0]
        for past in (64, 128)
    )
    kept = short / long * (long[0] / short[0])
    np.testing.assert_allclose(kept[:32], 1, rtol=1e-4)
    np.testing.assert_allclose(kept[32:], 0.5 + 0.5 * np.cos(np.pi * np.arange(32) / 32), atol=1e-3)
