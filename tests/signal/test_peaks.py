from __future__ import annotations

import numpy as np
import pytest

from spikesorter.core.spikes import Spikes
from spikesorter.signal.peaks import enforce_refractory, pick_peaks


def test_planted_peaks_are_picked_once_each() -> None:
    curve = np.zeros(200, np.float32)
    for place, height in ((20, 0.9), (23, 0.8), (60, 0.4), (100, 0.7)):
        curve[place - 1 : place + 2] = np.maximum(curve[place - 1 : place + 2], [0.1, height, 0.1])
    assert pick_peaks(curve, threshold=0.5, distance_samples=2).tolist() == [20, 23, 100]
    assert pick_peaks(curve, threshold=0.5, distance_samples=3).tolist() == [20, 100]
    assert pick_peaks(curve, threshold=0.95, distance_samples=3).tolist() == []


def test_a_plateau_is_one_peak_at_its_first_sample() -> None:
    curve = np.float32([0, 1, 1, 1, 1, 1, 1, 0])
    assert pick_peaks(curve, threshold=0.5, distance_samples=2).tolist() == [1]


@pytest.mark.parametrize("delay", [1, 37])
def test_a_delay_moves_every_peak_by_as_much(delay: int, rng: np.random.Generator) -> None:
    curve = rng.random(500).astype(np.float32)
    delayed = np.concatenate([np.zeros(delay, np.float32), curve])
    plain = pick_peaks(curve, threshold=0.5, distance_samples=4)
    assert pick_peaks(delayed, threshold=0.5, distance_samples=4).tolist() == (plain + delay).tolist()


def test_refractory_drops_the_less_probable_of_the_same_class_only() -> None:
    spikes = Spikes.from_arrays([100, 110, 115, 300], [1, 1, 2, 1], [0.6, 0.9, 0.2, 0.5])
    within = enforce_refractory(spikes, refractory_samples=20, within_unit=True)
    across = enforce_refractory(spikes, refractory_samples=20, within_unit=False)
    assert within.sample.tolist() == [110, 115, 300]
    assert across.sample.tolist() == [110, 300]


def test_refractory_is_a_least_distance() -> None:
    spikes = Spikes.from_arrays([100, 120], [1, 1], [0.6, 0.9])
    assert len(enforce_refractory(spikes, refractory_samples=20, within_unit=True)) == 2
    assert len(enforce_refractory(spikes, refractory_samples=21, within_unit=True)) == 1
    assert enforce_refractory(spikes, refractory_samples=0, within_unit=True) == spikes


def test_of_equally_probable_spikes_the_first_stays() -> None:
    spikes = Spikes.from_arrays([100, 105], [1, 1], [0.5, 0.5])
    assert enforce_refractory(spikes, refractory_samples=10, within_unit=True).sample.tolist() == [100]


def test_a_peak_may_be_at_the_threshold_and_at_either_end() -> None:
    assert pick_peaks(np.float32([0, 0.5, 0]), threshold=0.5, distance_samples=1).tolist() == [1]
    assert pick_peaks(np.float32([2, 1, 0, 1, 3]), threshold=0.5, distance_samples=2).tolist() == [0, 4]
    assert pick_peaks(np.float32([3, 2, 1, 2, 2]), threshold=0.5, distance_samples=3).tolist() == [0]
