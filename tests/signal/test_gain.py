from __future__ import annotations

import numpy as np
import pytest

from spikesorter.signal.gain import Activity, estimate_activity
from spikesorter.signal.matched import make_matched_filters
from spikesorter.signal.noise import NoiseSpectrum, synthesise_noise
from spikesorter.signal.templates import Templates, plant
from tests.conftest import poisson_spikes

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
