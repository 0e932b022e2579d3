from __future__ import annotations

import numpy as np
import pytest

from spikesorter.core.spikes import Spikes
from spikesorter.decoding.run import padded
from spikesorter.signal.templates import Templates, plant
from spikesorter.sorting.outlier_spikes import OutlierRule, Outliers, find_outliers, fit_outlier_rule
from tests.conftest import FS_HZ, poisson_spikes
from tests.decoding.test_pursuit import N_SAMPLES, make_decoder, noisy

STRANGER = Templates(
    (9,), (-6 * np.exp(-0.5 * ((np.arange(30.0) - 8) / 2.5) ** 2)).astype(np.float32)[None, :, None], 0
)


@pytest.fixture
def rule(shapes: Templates, rng: np.random.Generator) -> OutlierRule:
    """Fitted to a rehearsal without strangers."""
    spikes = poisson_spikes(rng, n_samples=N_SAMPLES, count=200)
    plain = OutlierRule(make_decoder(shapes, 0.7), shapes, 5, 40, np.inf, np.inf)
    trace = noisy(shapes, spikes, 0.7, seed=1)
    return fit_outlier_rule(plain, trace, spikes, fs_hz=FS_HZ)


def test_strangers_are_marked_and_known_ones_are_not(
    rule: OutlierRule, shapes: Templates, rng: np.random.Generator
) -> None:
    known = poisson_spikes(rng, n_samples=N_SAMPLES, count=200)
    starts = np.arange(400, N_SAMPLES - 400, 611)
    outliers = Spikes.from_arrays(starts, np.full(len(starts), 9))
    trace = noisy(shapes, known, 0.7, seed=2)
    trace += plant(N_SAMPLES, outliers, np.ones(len(outliers), np.float32), STRANGER)
    found = rule.mark(known, find_outliers(rule, padded(trace), N_SAMPLES, known, n_jobs=2))
    marked = found.of(0).sample
    distance = np.abs(outliers.sample[:, None] - marked).min(axis=1)
    assert np.mean(distance < 25) > 0.9
    alone = np.abs(known.sample[:, None] - outliers.sample).min(axis=1) > 80
    assert np.mean(np.isin(known.sample[alone], found.select(found.unit > 0).sample)) > 0.95


def test_without_strangers_next_to_nothing_is_marked(
    rule: OutlierRule, shapes: Templates, rng: np.random.Generator
) -> None:
    known = poisson_spikes(rng, n_samples=N_SAMPLES, count=200)
    trace = noisy(shapes, known, 0.7, seed=3)
    seen = find_outliers(rule, padded(trace), N_SAMPLES, known, n_jobs=2)
    assert len(rule.mark(known, seen).of(0)) <= 12  # fitted to one second


def test_a_stranger_taken_for_several_counts_once(rule: OutlierRule) -> None:
    spikes = Spikes.from_arrays([100, 110, 120, 900], [1, 2, 1, 2])
    left = np.float32([1, 1, 1, 0]) * 2 * rule.beside
    found = rule.mark(spikes, Outliers(left, np.array([5000])))
    assert list(zip(found.sample.tolist(), found.unit.tolist(), strict=True)) == [
        (100, 0), (900, 2), (5000, 0),
    ]  # fmt: skip
