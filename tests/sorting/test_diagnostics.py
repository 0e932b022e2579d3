from __future__ import annotations

import numpy as np
import pytest

from spikesorter.core.spikes import Spikes
from spikesorter.decoding.candidates import Candidates
from spikesorter.sorting.diagnostics import diagnose, measure_reliability, measure_trade_off

FS_HZ = 25_000.0
TRUTH = Spikes.from_arrays(np.arange(1, 101) * 500, np.arange(100) % 2 + 1)


def half_right(probability: float) -> Spikes:
    """Every other true spike, and as many false ones, at one probability."""
    true = TRUTH.sample[::2]
    samples = np.concatenate([true, true + 250])
    unit_ids = np.concatenate([TRUTH.unit[::2], TRUTH.unit[::2]])
    return Spikes.from_arrays(samples, unit_ids, np.full(len(samples), probability))


def test_what_is_surer_than_all_that_is_false_is_precise() -> None:
    sure, doubtful = TRUTH.select(np.arange(100) % 2 == 1), half_right(0.4)
    curve = measure_trade_off(TRUTH, Spikes.concatenate([sure, doubtful]), fs_hz=FS_HZ)
    assert curve.threshold == pytest.approx([0.4, 1.0])
    assert curve.precision == pytest.approx([100 / 150, 1.0])
    assert curve.recall == pytest.approx([1.0, 0.5])


def test_equal_probabilities_hold_or_fall_together() -> None:
    curve = measure_trade_off(TRUTH, half_right(0.5), fs_hz=FS_HZ)
    assert (len(curve.threshold), curve.precision[0], curve.recall[0]) == (1, 0.5, 0.5)


def test_a_spike_of_another_class_is_wrong() -> None:
    other = Spikes.from_arrays(TRUTH.sample, 3 - TRUTH.unit)
    assert measure_trade_off(TRUTH, other, fs_hz=FS_HZ).precision[0] == 0


def test_a_true_spike_found_twice_is_right_once() -> None:
    twice = Spikes.concatenate([TRUTH, TRUTH.shifted(2)])
    curve = measure_trade_off(TRUTH, twice, fs_hz=FS_HZ)
    assert (curve.precision[0], curve.recall[0]) == (0.5, 1.0)


def test_events_of_like_probability_are_counted_together() -> None:
    bins = measure_reliability(TRUTH, half_right(0.55), fs_hz=FS_HZ)
    assert bins.events.tolist() == [0, 0, 0, 0, 0, 100, 0, 0, 0, 0]
    assert bins.stated[5] == pytest.approx(0.55)
    assert bins.right[5] == 0.5
    assert np.isnan(bins.right[[0, 9]]).all()


def test_no_spikes_are_a_result() -> None:
    nothing = Spikes.empty()
    assert len(measure_trade_off(TRUTH, nothing, fs_hz=FS_HZ).threshold) == 0
    assert measure_reliability(TRUTH, nothing, fs_hz=FS_HZ).events.sum() == 0
    none = Candidates.concatenate([])
    diagnostics = diagnose(none, TRUTH, nothing, noise=np.ones((3, 1)), fs_hz=FS_HZ)
    assert (diagnostics.precision, diagnostics.recall) == (0.0, 0.0)
    assert diagnostics.confusion[:2, 2].tolist() == [50, 50]


def test_the_working_point_lies_on_the_curve_of_its_candidates() -> None:
    found = half_right(0.8)
    candidates = Candidates(found.sample, found.unit, found.probability, found.unit_probability)
    diagnostics = diagnose(candidates, TRUTH, found, noise=np.ones((3, 1)), fs_hz=FS_HZ)
    assert (diagnostics.precision, diagnostics.recall) == (
        diagnostics.trade_off.precision[0],
        diagnostics.trade_off.recall[0],
    )
