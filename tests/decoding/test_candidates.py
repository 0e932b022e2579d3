from __future__ import annotations

import numpy as np
import pytest

from spikesorter.core.spikes import Spikes
from spikesorter.decoding.candidates import Candidates, WorkingPoint, pick_candidates


def test_settling_applies_each_classes_threshold_and_the_refractory_period() -> None:
    candidates = Candidates.from_arrays([100, 110, 112], [1, 1, 2], [0.7, 0.8, 0.8], [1, 1, 0.5])

    def settled(thresholds: tuple[float, float], refractory: int, within_unit: bool) -> list[int]:
        point = WorkingPoint((1, 2), thresholds, refractory, within_unit)
        return point.to_spikes(candidates).sample.tolist()

    assert settled((0.3, 0.3), 0, True) == [100, 110, 112]
    assert settled((0.3, 0.5), 0, True) == [100, 110]
    assert settled((0.75, 0.3), 0, True) == [110, 112]
    assert settled((0.3, 0.3), 20, True) == [110, 112]
    assert settled((0.3, 0.3), 20, False) == [110]


def test_probabilities_come_along() -> None:
    candidates = Candidates.from_arrays([5], [2], [0.8], [0.5])
    spikes = WorkingPoint((1, 2), (0.0, 0.0), 0, True).to_spikes(candidates)
    np.testing.assert_allclose([spikes.probability[0], spikes.unit_probability[0]], [0.8, 0.5])


def test_smoothing_gathers_a_spike_whose_place_is_blurred() -> None:
    curves = np.zeros((100, 2), np.float32)
    curves[49:52, 0] = 0.3
    curves[50, 1] = 0.1
    sharp = pick_candidates(curves, (1, 2), smoothing_samples=0, least=0.05)
    blurred = pick_candidates(curves, (1, 2), smoothing_samples=1, least=0.05)
    assert sharp.joint[sharp.unit == 1].max() < 0.31
    one = blurred.select(blurred.unit == 1)
    assert one.sample.tolist() == [50]
    np.testing.assert_allclose(one.joint, 0.9, rtol=1e-5)
    np.testing.assert_allclose(one.probability, 1.0, rtol=1e-5)


def test_two_neighbours_of_one_class_stay_two_without_smoothing() -> None:
    curves = np.zeros((100, 1), np.float32)
    curves[[40, 42], 0] = 0.9
    assert pick_candidates(curves, (1,), smoothing_samples=0, least=0.1).sample.tolist() == [40, 42]


def test_one_spike_can_be_kept_to_one_name() -> None:
    curves = np.zeros((100, 2), np.float32)
    curves[40], curves[42, 1] = (0.5, 0.0), 0.4  # one spike of uncertain class
    curves[70] = (0.9, 0.8)  # two spikes

    def picked(one_unit: bool) -> list[tuple[int, int]]:
        found = pick_candidates(curves, (1, 2), smoothing_samples=0, least=0.1, one_unit=one_unit)
        return list(zip(found.sample.tolist(), found.unit.tolist(), strict=True))

    assert picked(False) == [(40, 1), (42, 2), (70, 1), (70, 2)]
    assert picked(True) == [(40, 1), (70, 1), (70, 2)]


@pytest.mark.parametrize("apart", range(12))
def test_two_sure_spikes_of_two_classes_are_two_however_near(apart: int) -> None:
    curves = np.zeros((100, 2), np.float32)
    curves[40, 0], curves[40 + apart, 1] = 1.0, 0.98
    found = pick_candidates(curves, (1, 2), smoothing_samples=8, least=0.1, one_unit=True)
    assert sorted(found.unit.tolist()) == [1, 2]


def test_nothing_is_a_result() -> None:
    nothing = pick_candidates(np.zeros((50, 2), np.float32), (1, 2), smoothing_samples=3, least=0.01)
    assert len(nothing) == 0
    assert WorkingPoint((1, 2), (0.0, 0.0), 10, True).to_spikes(nothing) == Spikes.empty()
    assert len(Candidates.concatenate([])) == 0


def test_sure_spikes_are_told_apart_and_keep_their_place_whatever_the_smoothing() -> None:
    curves = np.zeros((60, 1), np.float32)
    curves[[20, 24, 45]] = 1
    found = pick_candidates(curves, (1,), smoothing_samples=1, least=0.05)
    assert found.sample.tolist() == [20, 24, 45]
    np.testing.assert_allclose(found.probability, 1)
