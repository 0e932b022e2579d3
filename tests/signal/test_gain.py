from __future__ import annotations

import numpy as np
import pytest

from spikesorter.signal.gain import (
    Activity,
    Cumulants,
    _gain_of_clear_spikes,
    estimate_activity,
    estimate_rates,
    is_skewed,
    measure_cumulants,
)
from spikesorter.signal.matched import MatchedFilters, make_matched_filters
from spikesorter.signal.noise import NoiseSpectrum, synthesise_noise
from spikesorter.signal.templates import Templates, plant
from tests.conftest import memory_of, poisson_spikes

N_SAMPLES = 600_000


def estimate(
    shapes: Templates, rng: np.random.Generator, *, gain: float, noise: float, count: int
) -> Activity:
    spectrum = NoiseSpectrum.independent(np.full((257, 1), noise**2))
    spikes = poisson_spikes(rng, n_samples=N_SAMPLES, count=count)
    trace = plant(N_SAMPLES, spikes, np.full(count, gain, np.float32), shapes)
    filters = make_matched_filters(shapes, spectrum, reach=50)
    amplitudes = [np.ones(50, np.float32)] * 2
    return estimate_activity(
        filters.apply(trace + synthesise_noise(spectrum, N_SAMPLES, rng)),
        filters,
        shapes,
        amplitudes,
        prior_rates=np.array([0.5e-3, 0.5e-3]),
    )


@pytest.mark.parametrize("gain", [0.1, 0.3, 0.6, 1.0, 1.8, 8.0, -1.0, -0.7])
def test_gain_and_polarity_are_found_without_labels(
    gain: float, shapes: Templates, rng: np.random.Generator
) -> None:
    found = estimate(shapes, rng, gain=gain, noise=0.8 * min(1, abs(gain)), count=1200)
    assert found.gain == pytest.approx(gain, rel=0.04)
    assert sum(found.rates) == pytest.approx(1200 / N_SAMPLES, rel=0.15)


def test_activity_is_found_where_most_spikes_drown(shapes: Templates, rng: np.random.Generator) -> None:
    found = estimate(shapes, rng, gain=1.0, noise=4.0, count=2400)
    assert found.gain == pytest.approx(1.0, rel=0.2)
    assert sum(found.rates) == pytest.approx(2400 / N_SAMPLES, rel=0.5)


def test_a_silent_recording_has_no_activity(shapes: Templates, rng: np.random.Generator) -> None:
    found = estimate(shapes, rng, gain=1.0, noise=0.8, count=0)
    assert sum(found.rates) < 0.2e-3


WHITE = NoiseSpectrum.independent(np.full((257, 1), 4.0))
PRIOR = np.array([1e-3, 2e-3])


def responses(filters: MatchedFilters, shapes: Templates) -> np.ndarray:
    """Third powers of the filters' responses to each template, summed up, then the fourth powers."""
    padding = ((60, 60), (0, 0))
    outputs = [filters.apply(np.pad(one, padding)).astype(float) for one in shapes.waveforms]
    return np.stack(
        [np.concatenate([(one**order).sum(axis=0) for order in (3, 4)]) for one in outputs], axis=1
    )


def cumulants_of(
    rates: tuple[float, ...], gain: float, response: np.ndarray, *, error: float = 0.01
) -> Cumulants:
    powers = np.repeat([gain**3, gain**4], len(response) // 2)
    value = (response * powers[:, None]) @ np.array(rates)
    return Cumulants(value, error * np.abs(value))


@pytest.fixture(scope="module")
def filters(shapes: Templates) -> MatchedFilters:
    return make_matched_filters(shapes, WHITE, reach=50)


def rates_of(measured: Cumulants, filters: MatchedFilters, shapes: Templates, **given: object) -> np.ndarray:
    options = {"gain": 1.0, "prior_rates": PRIOR} | given
    amplitudes = [np.ones(1, np.float32)] * 2
    return np.array(estimate_rates(measured, filters, shapes, amplitudes, **options).rates)  # type: ignore[arg-type]


@pytest.mark.parametrize("gain", [0.7, -1.2])
def test_rates_follow_from_cumulants_at_a_known_gain(
    gain: float, filters: MatchedFilters, shapes: Templates
) -> None:
    measured = cumulants_of((7e-4, 3e-3), gain, responses(filters, shapes))
    found = rates_of(measured, filters, shapes, gain=gain)
    np.testing.assert_allclose(found, [7e-4, 3e-3], rtol=0.2)
    assert rates_of(measured, filters, shapes, gain=2 * gain).sum() < 0.5 * found.sum()


def test_what_is_uncertain_counts_little(filters: MatchedFilters, shapes: Templates) -> None:
    """Where cumulants say next to nothing, rates are as expected."""
    vague = cumulants_of((5e-2, 5e-2), 1.0, responses(filters, shapes), error=1e3)
    np.testing.assert_allclose(rates_of(vague, filters, shapes), PRIOR, rtol=0.02)


@pytest.mark.parametrize("unit", [0.01, 30.0])
def test_rates_do_not_depend_on_the_unit_of_the_outputs(
    unit: float, filters: MatchedFilters, shapes: Templates
) -> None:
    """Filters that are so many times as large, and their cumulants of third and fourth order with them."""
    measured = cumulants_of((1e-3, 3e-3), 1.0, responses(filters, shapes), error=0.1)
    powers = np.repeat([unit**3, unit**4], 2)
    larger = MatchedFilters(np.float32(unit) * filters.kernels, filters.before, unit * filters.detectability)
    found = rates_of(Cumulants(measured.value * powers, measured.error * powers), larger, shapes)
    np.testing.assert_allclose(found, rates_of(measured, filters, shapes), rtol=1e-4)


@pytest.mark.parametrize(
    ("excess", "error", "gain", "skewed"),
    [
        (0.2, 0.01, 1.0, True),
        (-0.2, 0.01, -1.0, True),
        (-0.2, 0.01, 1.0, False),  # of the other polarity
        (0.2, 0.1, 1.0, False),  # within its error
        (0.04, 1e-9, 1.0, False),  # too little to matter
        (0.0, 0.0, 1.0, False),
    ],
)
def test_only_skew_of_the_spikes_polarity_beyond_chance_is_a_background(
    excess: float, error: float, gain: float, skewed: bool
) -> None:
    """Fourth cumulants, here far from what is expected, are not asked."""
    expected = Cumulants(np.array([0.1, 0.3, 0.0, 0.0]), np.zeros(4))
    quiet = Cumulants(expected.value + np.array([excess, excess, 9.0, -9.0]), np.full(4, error))
    assert is_skewed(quiet, expected, gain=gain) is skewed


def test_cumulants_have_the_errors_of_their_mean(rng: np.random.Generator) -> None:
    """They lie within two standard errors of the truth in 95 of 100 cases."""
    trials = rng.standard_normal((48_000, 60)).astype(np.float32)
    found = measure_cumulants(trials)
    outside = np.abs(found.value) > 2 * found.error
    assert 0 < outside.mean() < 0.12
    third, fourth = found.error[:60], found.error[60:]
    assert third.mean() == pytest.approx(np.sqrt(15 / 48_000), rel=0.25)  # of x ** 3: E x ** 6 = 15
    assert fourth.mean() == pytest.approx(np.sqrt(24 / 48_000), rel=0.25)  # of x ** 4 - 6 x ** 2


def test_clear_spikes_of_long_recordings_are_found_in_little_memory(rng: np.random.Generator) -> None:
    evidence = rng.normal(size=(300_000, 8)).astype(np.float32)
    evidence[::3000, 3] = 24.0
    filters = MatchedFilters(np.ones((8, 90, 1), np.float32), before=0, detectability=np.full(8, 12.0))
    found: list[float] = []

    def estimate() -> None:
        found.append(_gain_of_clear_spikes(evidence, filters, 1.0, (1 / 3000,) * 8))

    assert memory_of(estimate) < 1.5 * evidence.nbytes
    assert found == [2.0]
