"""Grid search of threshold and refractory period on a recording with a known answer."""

from __future__ import annotations

from itertools import product

import numpy as np
import numpy.typing as npt

from spikesorter.config import DetectorSettings, TuningSettings
from spikesorter.decoders.cnn import CnnDecoder, WorkingPoint
from spikesorter.evaluate import score
from spikesorter.spikes import Spikes

__all__ = ["tune"]


def tune(
    decoder: CnnDecoder,
    features: npt.NDArray[np.float32],
    truth: Spikes,
    tuning: TuningSettings,
    detector: DetectorSettings,
    *,
    fs_hz: float,
) -> tuple[WorkingPoint, float]:
    """Find the working point that does best on a rehearsal.

    Parameters
    ----------
    decoder : CnnDecoder
    features : ndarray of float32, shape (samples, columns)
        Of the rehearsal.
    truth : Spikes
        Its spikes.
    tuning : TuningSettings
        Grid and objective.
    detector : DetectorSettings
        A threshold or refractory period that is set there is kept.
    fs_hz : float

    Returns
    -------
    point : WorkingPoint
        Of equally good ones, the highest threshold, then the shortest refractory period.
    value : float
        Its objective.
    """
    thresholds = tuning.thresholds if detector.threshold is None else (detector.threshold,)
    refractories = (
        tuning.refractory_samples if detector.refractory_samples is None else (detector.refractory_samples,)
    )
    candidates = decoder.candidates(features, decoder.curve(features), threshold=min(thresholds))
    best, best_value = None, -1.0
    for threshold, refractory in product(sorted(thresholds, reverse=True), sorted(refractories)):
        point = WorkingPoint(threshold, refractory, detector.refractory_scope == "class")
        result = score(point.settle(candidates), truth, fs_hz=fs_hz)
        value = result.f_det if tuning.objective == "f1" else result.score
        if best is None or value > best_value:
            best, best_value = point, value
    assert best is not None  # the settings refuse empty grids
    return best, best_value
