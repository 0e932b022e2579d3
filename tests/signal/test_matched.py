from __future__ import annotations

import numpy as np
import pytest

from spikesorter.core.spikes import Spikes
from spikesorter.signal.matched import TAPER, MatchedFilters, _taper, make_matched_filters
from spikesorter.signal.noise import NoiseSpectrum, synthesise_noise
from spikesorter.signal.templates import Templates, plant
from tests.conftest import memory_of, run_in_spans

WHITE = NoiseSpectrum.independent(np.full((257, 1), 4.0))
DRIFTING = NoiseSpectrum.independent((0.5 + 200 / (1 + (np.arange(257) / 2.0) ** 2))[:, None])


def test_in_white_noise_the_output_at_a_spike_is_its_detectability(shapes: Templates) -> None:
    filters = make_matched_filters(shapes, WHITE, reach=50)
    expected = np.sqrt((shapes.waveforms**2).sum(axis=(1, 2)) / 4)
    np.testing.assert_allclose(filters.detectability, expected, rtol=1e-3)
    trace = plant(2000, Spikes.from_arrays([700], [1]), np.ones(1, np.float32), shapes)
    output = filters.apply(trace)
    assert output[:, 0].argmax() == 700
    assert output[700, 0] == pytest.approx(expected[0], rel=1e-3)


@pytest.mark.parametrize("noise", [WHITE, DRIFTING], ids=["white", "drifting"])
def test_noise_alone_gives_unit_variance(
    noise: NoiseSpectrum, shapes: Templates, rng: np.random.Generator
) -> None:
    filters = make_matched_filters(shapes, noise, reach=100)
    output = filters.apply(synthesise_noise(noise, 300_000, rng))[500:-500]
    np.testing.assert_allclose(output.std(axis=0), 1, rtol=0.03)


def test_whitening_sees_more_in_coloured_noise(shapes: Templates) -> None:
    whitened = make_matched_filters(shapes, DRIFTING, reach=100).detectability
    plain = make_matched_filters(shapes, DRIFTING, reach=100, whiten=False).detectability
    assert np.all(whitened > 1.5 * plain)


def test_detectability_is_what_linear_algebra_says(shapes: Templates) -> None:
    noise = NoiseSpectrum.independent((1 + 3 * np.exp(-np.fft.rfftfreq(512) / 0.1))[:, None])
    covariance = np.fft.irfft(noise.power[:, 0], 512)
    length = 240
    lags = np.abs(np.arange(length)[:, None] - np.arange(length))
    padded = np.zeros((2, length))
    padded[:, 100:140] = shapes.waveforms[:, :, 0]
    expected = np.sqrt(np.einsum("kt,kt->k", padded, np.linalg.solve(covariance[lags], padded.T).T))
    np.testing.assert_allclose(
        make_matched_filters(shapes, noise, reach=100).detectability, expected, rtol=0.01
    )


def test_it_is_a_local_operator(shapes: Templates, rng: np.random.Generator) -> None:
    filters = make_matched_filters(shapes, DRIFTING, reach=60)
    trace = rng.standard_normal((3000, 1)).astype(np.float32)
    whole, spans = (
        run_in_spans(filters.apply, trace, margin=filters.margin, span_samples=samples)
        for samples in (3000, 700)
    )
    np.testing.assert_allclose(spans, whole, atol=1e-4)


def test_channels_add_their_evidence(shapes: Templates) -> None:
    one = make_matched_filters(shapes, WHITE, reach=50)
    both = Templates(shapes.unit_ids, np.repeat(shapes.waveforms, 2, axis=2), shapes.before)
    two = make_matched_filters(both, NoiseSpectrum.independent(np.full((257, 2), 4.0)), reach=50)
    np.testing.assert_allclose(two.detectability, np.sqrt(2) * one.detectability, rtol=1e-3)


def test_what_channels_share_is_told_from_spikes(shapes: Templates) -> None:
    """d' over both channels is that of their covariance matrix, larger than that of either channel's own."""
    silent = np.zeros_like(shapes.waveforms)
    both = Templates(shapes.unit_ids, np.concatenate([shapes.waveforms, silent], axis=2), shapes.before)
    correlated = NoiseSpectrum(np.broadcast_to(4 * np.array([[1.0, 0.9], [0.9, 1.0]]), (257, 2, 2)) + 0j)
    alone = make_matched_filters(shapes, WHITE, reach=50).detectability
    together = make_matched_filters(both, correlated, reach=50).detectability
    np.testing.assert_allclose(together, alone / np.sqrt(1 - 0.9**2), rtol=1e-3)


def test_filters_fade_out_at_their_ends_as_a_hann_window_does() -> None:
    taps, reach = 200, 60
    ramp = int(TAPER * reach)
    taper = _taper(taps, reach)[:, 0]
    rise = taper[:ramp]
    np.testing.assert_allclose(rise, np.sin(np.pi * (np.arange(ramp) + 0.5) / (2 * ramp)) ** 2)
    np.testing.assert_allclose(rise + rise[::-1], 1)
    np.testing.assert_array_equal(taper, taper[::-1])
    assert np.all(taper[ramp:-ramp] == 1)
    assert _taper(10, 0).tolist() == [[1.0]] * 10


@pytest.mark.parametrize("factor", [0.1, 25.0])
def test_louder_noise_divides_detectability_alone(factor: float, shapes: Templates) -> None:
    quiet, loud = (make_matched_filters(shapes, DRIFTING.scaled(k), reach=60) for k in (1.0, factor))
    np.testing.assert_allclose(loud.detectability, quiet.detectability / np.sqrt(factor), rtol=1e-6)
    np.testing.assert_allclose(loud.kernels, quiet.kernels / np.sqrt(factor), rtol=1e-4, atol=1e-7)


def test_larger_spikes_are_as_much_easier_to_detect(shapes: Templates) -> None:
    larger = Templates(shapes.unit_ids, 3 * shapes.waveforms, shapes.before)
    plain, tripled = (make_matched_filters(one, DRIFTING, reach=60) for one in (shapes, larger))
    np.testing.assert_allclose(tripled.detectability, 3 * plain.detectability, rtol=1e-5)
    np.testing.assert_allclose(tripled.kernels, plain.kernels, rtol=1e-4, atol=1e-7)


def test_many_filters_take_little_more_memory_than_their_outputs(rng: np.random.Generator) -> None:
    """All at once, they took four times as much: half of the memory of sorting an hour."""
    kernels = rng.normal(size=(8, 90, 1)).astype(np.float32)
    filters = MatchedFilters(kernels, before=0, detectability=np.ones(8))
    trace = rng.normal(size=(300_000, 1)).astype(np.float32)
    assert memory_of(lambda: filters.apply(trace)) < 2 * 8 * trace.nbytes
