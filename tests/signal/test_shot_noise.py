"""The distribution of filter outputs, computed and simulated, and what is estimated by it."""

from __future__ import annotations

import numpy as np
import pytest

from spikesorter.core.spikes import Spikes
from spikesorter.signal.gain import BACKGROUND_AMPLITUDES, MOST_BACKGROUND_RATE
from spikesorter.signal.matched import MatchedFilters, make_matched_filters
from spikesorter.signal.noise import NoiseSpectrum, synthesise_noise
from spikesorter.signal.shot_noise import (
    BIN,
    BLOCKS,
    LARGEST,
    ShotNoise,
    _shares,
    _slopes,
    _spectra,
    measure_histogram,
)
from spikesorter.signal.templates import Templates, plant
from tests.conftest import poisson_spikes

N_SAMPLES = 1_200_000
NOISE = NoiseSpectrum.independent(np.full((257, 1), 4.0))
AMPLITUDES = np.linspace(0.8, 1.2, 50, dtype=np.float32)
RATES = np.array([1e-3, 2e-3])


@pytest.fixture(scope="module")
def filters(shapes: Templates) -> MatchedFilters:
    return make_matched_filters(shapes, NOISE, reach=50)


@pytest.fixture(scope="module")
def spikes(filters: MatchedFilters, shapes: Templates) -> ShotNoise:
    return ShotNoise(filters, shapes, (AMPLITUDES, AMPLITUDES), RATES)


def outputs(
    filters: MatchedFilters,
    shapes: Templates,
    *,
    gain: float = 1.0,
    rate: float = 0.0,
    amplitude: float = 0.0,
) -> np.ndarray:
    """Return outputs on spikes of the units, background spikes and Gaussian noise."""
    rng = np.random.default_rng(5)
    trace = synthesise_noise(NOISE, N_SAMPLES, rng)
    for unit, own in zip(shapes.unit_ids, RATES, strict=True):
        count = rng.poisson(own * N_SAMPLES)
        at = Spikes.from_arrays(rng.integers(0, N_SAMPLES, count), np.full(count, unit))
        trace += plant(N_SAMPLES, at, (gain * rng.choice(AMPLITUDES, count)).astype(np.float32), shapes)
    count = rng.poisson(rate * N_SAMPLES)
    distant = poisson_spikes(rng, n_samples=N_SAMPLES, count=count)
    sizes = (amplitude * rng.choice(BACKGROUND_AMPLITUDES, count)).astype(np.float32)
    return filters.apply(trace + plant(N_SAMPLES, distant, sizes, shapes))


def test_the_computed_distribution_is_the_simulated_one(
    filters: MatchedFilters, shapes: Templates, spikes: ShotNoise
) -> None:
    """Beyond chance, which is measured over blocks, they differ by a hundredth of what they are."""
    histogram = measure_histogram(outputs(filters, shapes, gain=1.3, rate=0.02, amplitude=0.5))
    sources = np.concatenate([spikes._exponents_of_units(1.3), spikes._exponents_of_background(0.5)[None]])
    expected = _shares(_spectra(np.array([*RATES, 0.02, 1.0, 1.0]), sources, histogram.mean))
    apart = np.abs(expected - histogram.share) / histogram.error
    assert histogram.share.shape == (2, histogram.bins) == (2, round(2 * LARGEST / BIN))
    assert expected.sum(axis=1) == pytest.approx(1, abs=0.05)  # a few outputs are larger than the last bin
    assert np.mean(apart**2) < 1.5


def test_slopes_are_the_derivatives_of_the_shares(spikes: ShotNoise) -> None:
    sources = np.concatenate([spikes._exponents_of_units(1.0), spikes._exponents_of_background(0.3)[None]])
    at, mean = np.array([1e-3, 2e-3, 0.01, 0.7, 0.9]), np.array([0.1, -0.1])
    slopes = _slopes(_spectra(at, sources, mean), sources)
    for k in range(len(at)):
        step = 1e-4 * at * (np.arange(len(at)) == k)
        above, below = (_shares(_spectra(at + sign * step, sources, mean)) for sign in (1, -1))
        np.testing.assert_allclose(
            slopes[k], (above - below) / (2 * step[k]), atol=1e-4 * np.abs(slopes[k]).max()
        )


@pytest.mark.parametrize(
    ("gain", "rate", "amplitude"), [(1.0, 0.03, 0.4), (-0.8, 0.01, -0.3), (1.5, 0.1, 0.25)]
)
def test_rate_and_amplitude_of_a_background_are_found(
    gain: float, rate: float, amplitude: float, filters: MatchedFilters, shapes: Templates, spikes: ShotNoise
) -> None:
    histogram = measure_histogram(outputs(filters, shapes, gain=gain, rate=rate, amplitude=amplitude))
    found = spikes.fit_background(histogram, gain=gain)
    assert found.gain == gain
    assert found.background.amplitude == pytest.approx(amplitude, rel=0.2)
    assert found.background.rate * found.background.amplitude**2 == pytest.approx(
        rate * amplitude**2, rel=0.25
    )
    assert found.misfit < histogram.bins
    np.testing.assert_allclose(found.rates, RATES, rtol=0.1)


@pytest.mark.parametrize("gain", [0.85, -1.15])
def test_the_gain_is_found_beside_a_background(
    gain: float, filters: MatchedFilters, shapes: Templates, spikes: ShotNoise
) -> None:
    histogram = measure_histogram(outputs(filters, shapes, gain=gain, rate=0.03, amplitude=0.3 * gain))
    found = spikes.fit_gain(histogram, near=float(np.sign(gain)))
    assert found.gain == pytest.approx(gain, rel=0.04)
    assert found.background.amplitude == pytest.approx(0.3 * gain, rel=0.2)
    assert found.misfit < spikes.fit_background(histogram, gain=float(np.sign(gain))).misfit - 6


def test_spikes_of_other_shapes_are_not_explained(
    filters: MatchedFilters, shapes: Templates, spikes: ShotNoise
) -> None:
    """So that what is found with them is not believed."""
    other = Templates(shapes.unit_ids, np.roll(-shapes.waveforms, 12, axis=1), shapes.before)
    histogram = measure_histogram(outputs(filters, other, gain=1.5))
    assert spikes.fit_gain(histogram, near=1.0).misfit > 2 * histogram.bins


def test_without_background_none_that_skews_the_noise_is_found(
    filters: MatchedFilters, shapes: Templates, spikes: ShotNoise
) -> None:
    found = spikes.fit_background(measure_histogram(outputs(filters, shapes)), gain=1.0)
    assert found.background.rate * found.background.amplitude**3 < 3e-5  # 0.03 spikes a sample of 0.1
    assert found.background.rate <= MOST_BACKGROUND_RATE
    np.testing.assert_allclose(found.rates, RATES, rtol=0.1)


def test_outputs_beyond_all_bins_count_as_outputs() -> None:
    rng = np.random.default_rng(0)
    column = np.concatenate([rng.standard_normal(24_000), np.full(24_000, 50.0)])
    evidence = rng.permutation(column).astype(np.float32)[:, None]
    histogram = measure_histogram(evidence)
    assert histogram.share.sum() == pytest.approx(0.5, abs=1e-6)
    assert histogram.mean == pytest.approx([25], abs=0.1)


def test_errors_are_larger_where_outputs_of_a_block_are_alike() -> None:
    rng = np.random.default_rng(0)
    independent = rng.standard_normal((48_000, 1)).astype(np.float32)
    sorted_blocks = np.sort(independent.reshape(BLOCKS, -1), axis=0).reshape(
        -1, 1
    )  # the same in another order
    alike, errors = (measure_histogram(one) for one in (sorted_blocks, independent))
    np.testing.assert_allclose(alike.share, errors.share, atol=1e-12)
    assert alike.error[0, 24] > 3 * errors.error[0, 24]
