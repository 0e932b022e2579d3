from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from spikesorter.core.settings import DetectorSettings, Settings, TuningSettings
from spikesorter.core.spikes import Spikes
from spikesorter.decoding.candidates import Candidates, WorkingPoint
from spikesorter.decoding.thresholds import objective, tune

TRUTH = Spikes.from_arrays([1000, 2000, 3000], [1, 1, 2])
TUNING = TuningSettings(objective="f1", thresholds=(0.2, 0.4, 0.6, 0.8), refractory_samples=(0, 200))

# True ones at 0.7, an echo 100 later, false ones at 0.3.
CANDIDATES = Candidates.from_arrays(
    [1000, 2000, 3000, 3100, 5000, 6000, 7000],
    [1, 1, 2, 2, 1, 1, 1],
    [0.7, 0.7, 0.7, 0.65, 0.3, 0.3, 0.3],
    [1.0] * 7,
)


def tuned(
    tuning: TuningSettings = TUNING, candidates: Candidates = CANDIDATES, **detector: Any
) -> tuple[WorkingPoint, float]:
    return tune(candidates, TRUTH, (1, 2), tuning, DetectorSettings(**detector), fs_hz=25_000)


def test_the_grid_finds_threshold_and_refractory_period() -> None:
    # Of equally good thresholds, the highest.
    assert tuned() == (WorkingPoint((1, 2), (0.6, 0.6), 200, True), 1.0)


def test_each_class_gets_its_own_threshold() -> None:
    faint = Candidates.from_arrays(
        [1000, 2000, 3000, 5000, 6000], [1, 1, 2, 1, 1], [0.9, 0.9, 0.25, 0.5, 0.5], [1] * 5
    )
    point, value = tuned(TUNING, faint)
    assert (point.thresholds, value) == ((0.8, 0.2), 1.0)
    one = tuned(TUNING.model_copy(update={"per_class": False}), faint)
    assert len(set(one[0].thresholds)) == 1
    assert one[1] < 1


def test_what_is_set_is_not_tuned() -> None:
    point, value = tuned(threshold=0.25, refractory_samples=7)
    assert (point.thresholds, point.refractory_samples) == ((0.25, 0.25), 7)
    assert value == pytest.approx(2 * 3 / (3 + 7))


@pytest.mark.parametrize("name", ["study", "strict"])
def test_the_objective_can_be_a_score(name: str) -> None:
    point, value = tuned(TuningSettings(objective=name, thresholds=(0.2, 0.5), refractory_samples=(200,)))
    assert (point.thresholds, value) == ((0.5, 0.5), 1.0)


def test_a_precision_can_be_asked_for() -> None:
    found = Spikes.from_arrays([1000, 2000, 2500], [1, 1, 1])
    assert objective(found, TRUTH, "precision=0.6", fs_hz=25_000) == pytest.approx(2 / 3)  # recall
    assert objective(found, TRUTH, "precision=0.7", fs_hz=25_000) == pytest.approx(2 / 3 - 0.7)
    assert objective(Spikes.empty(), TRUTH, "precision=0.7", fs_hz=25_000) < 0


def test_no_class_is_reported_that_is_less_likely_right_than_wrong() -> None:
    """The second class's candidates are right one time in three, which the study's score forgives."""
    rng = np.random.default_rng(0)
    true = np.sort(rng.choice(np.arange(0, 10**6, 200), 600, replace=False))
    truth = Spikes.from_arrays(true, np.repeat([1, 2], [300, 300])[rng.permutation(600)])
    false = np.setdiff1d(np.arange(0, 10**6, 200), true)[: 2 * 300]
    sample = np.concatenate([truth.sample, false])
    label = np.concatenate([truth.label, np.full(600, 2)])
    candidates = Candidates.from_arrays(sample, label, np.where(label == 1, 0.9, 0.3), np.ones(len(label)))
    precision = {}
    for least in (0.0, 0.5):
        tuning = TuningSettings(objective="study", least_precision=least, refractory_samples=(0,))
        point, _ = tune(candidates, truth, (1, 2), tuning, DetectorSettings(), fs_hz=25_000)
        second = point.settle(candidates).of(2)
        precision[least] = np.isin(second.sample, truth.of(2).sample).mean() if len(second) else 1.0
    assert precision[0.0] < 0.5
    assert precision[0.5] >= 0.5


def test_an_objective_that_was_chosen_stays() -> None:
    assert Settings().tuned_for("strict").tuning.objective == "strict"
    chosen = Settings().replace(["tuning.objective=f1"])
    assert chosen.tuned_for("strict") == chosen
