from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit

from spikesorter.core.spikes import Spikes
from spikesorter.decoding.calibration import (
    UNCALIBRATED,
    expected_calibration_error,
    fit_calibration,
    judge_events,
)
from spikesorter.decoding.candidates import Candidates

FS_HZ = 25_000.0


def overconfident(rng: np.random.Generator, n: int = 20_000) -> tuple[Candidates, Spikes]:
    """Candidates far apart whose stated log odds are 1.5 times the true ones."""
    sample, unit = np.arange(n) * 100, rng.integers(1, 3, n)
    odds, name_odds = rng.normal(0, 2, n), rng.normal(1, 1.5, n)
    there = rng.random(n) < expit(odds)
    right = rng.random(n) < expit(name_odds)
    truth = Spikes.from_arrays(sample[there] + 3, np.where(right, unit, 3 - unit)[there])
    return Candidates.from_arrays(sample, unit, expit(1.5 * odds), expit(1.5 * name_odds)), truth


def test_overconfidence_is_taken_back(rng: np.random.Generator) -> None:
    candidates, truth = overconfident(rng)
    fresh, answer = overconfident(rng)
    there, right = judge_events(fresh.sample, fresh.unit, answer, fs_hz=FS_HZ)
    assert expected_calibration_error(fresh.probability, there) > 0.04
    calibrated = fit_calibration(candidates, truth, (1, 2), fs_hz=FS_HZ).apply(fresh)
    assert expected_calibration_error(calibrated.probability, there) < 0.015
    assert expected_calibration_error(calibrated.unit_probability[there], right[there]) < 0.015


def test_order_is_kept(rng: np.random.Generator) -> None:
    candidates, truth = overconfident(rng, 500)
    calibrated = fit_calibration(candidates, truth, (1, 2), fs_hz=FS_HZ).apply(candidates)
    for unit in (1, 2):
        own = candidates.unit == unit
        order = np.argsort(candidates.probability[own])
        assert np.all(np.diff(calibrated.probability[own][order]) >= 0)


def test_few_candidates_change_little() -> None:
    few = Candidates.from_arrays([100, 300], [1, 1], [0.7, 0.8], [0.9, 0.9])
    calibrated = fit_calibration(few, Spikes.empty(), (1, 2), fs_hz=FS_HZ).apply(few)
    np.testing.assert_allclose(calibrated.probability, few.probability, atol=0.1)
    assert UNCALIBRATED.apply(few) is few


def test_a_verdict_allows_for_ten_samples() -> None:
    truth = Spikes.from_arrays([100], [1])
    there, right = judge_events(np.array([90, 89, 110]), np.array([1, 1, 2]), truth, fs_hz=FS_HZ)
    assert there.tolist() == [True, False, True]
    assert right.tolist() == [True, False, False]


def test_the_error_of_no_events_is_nothing() -> None:
    assert expected_calibration_error([], np.zeros(0, bool)) == 0
    assert expected_calibration_error([1.0, 1.0], np.array([True, False])) == pytest.approx(0.5)
