from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from spikesorter.config import DetectorSettings, TuningSettings
from spikesorter.decoders.cnn import WorkingPoint
from spikesorter.spikes import Spikes
from spikesorter.tuning import tune

TRUTH = Spikes.from_arrays([1000, 2000, 3000], [1, 1, 2])
TUNING = TuningSettings(objective="f1", thresholds=(0.2, 0.4, 0.6, 0.8), refractory_samples=(0, 200))


class ReadyMade:
    """A decoder whose candidates are given: true ones at 0.7, an echo 100 later, false ones at 0.3."""

    def curve(self, features: Any) -> Any:
        return features

    def candidates(self, features: Any, curve: Any, *, threshold: float) -> Spikes:
        return Spikes.from_arrays(
            [1000, 2000, 3000, 3100, 5000, 6000, 7000],
            [1, 1, 2, 2, 1, 1, 1],
            [0.7, 0.7, 0.7, 0.65, 0.3, 0.3, 0.3],
        )


def tuned(tuning: TuningSettings = TUNING, **detector: Any) -> tuple[WorkingPoint, float]:
    decoder: Any = ReadyMade()
    features = np.zeros((1, 1), np.float32)
    return tune(decoder, features, TRUTH, tuning, DetectorSettings(**detector), fs_hz=25_000)


def test_the_grid_finds_threshold_and_refractory_period() -> None:
    assert tuned() == (WorkingPoint(0.6, 200, True), 1.0)  # of equally good thresholds, the highest


def test_what_is_set_is_not_tuned() -> None:
    point, value = tuned(threshold=0.25, refractory_samples=7)
    assert (point.threshold, point.refractory_samples) == (0.25, 7)
    assert value == pytest.approx(2 * 3 / (3 + 7))


def test_the_objective_can_be_the_score() -> None:
    point, value = tuned(TuningSettings(objective="score", thresholds=(0.2, 0.5), refractory_samples=(200,)))
    assert (point.threshold, value) == (0.5, 1.0)
