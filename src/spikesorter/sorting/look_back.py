"""Compare a sorted target with its rehearsal, and correct the forecast.

Calibrated probabilities allow an estimate of precision and recall without true spikes: of spikes with
probability p, a share p is correct, and of candidates with probability p that are not reported, a share p is
missed. If this estimate is lower for the target than for the rehearsal, the forecast is lowered by the
difference. If a unit fires many times as often as expected, other spikes are probably mistaken for it; if
hardly any of its spikes are found, it may be silent, but it may also be lost.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from spikesorter.core.spikes import Spikes
from spikesorter.decoding.candidates import Candidates
from spikesorter.sorting.doubts import MANY_SPIKES, SILENT
from spikesorter.sorting.forecast import Forecast

__all__ = ["Reckoning", "corrected_forecast", "reckon"]

Float64Array = npt.NDArray[np.float64]
MANY_TIMES = 4.0  # the rate in the rehearsal; units rarely change their rate by more
FEW = 10.0  # spikes; smaller counts may exceed the expected by this factor through chance
DETECTION = 0.3  # weight of detection in the score
WORTH_REPORTING = 0.03  # of the score
CHANCE = 0.01  # SD of the difference between estimates for similar recordings


@dataclass(frozen=True, eq=False)
class Reckoning:
    """Precision and scores of a sorting, estimated from its probabilities.

    Parameters
    ----------
    counts : ndarray of float64, shape (units,)
        Reported spikes per second.
    precision, strict, score : float
        As in `Score`.
    """

    counts: Float64Array
    precision: float
    strict: float
    score: float


def reckon(candidates: Candidates, found: Spikes, unit_ids: tuple[int, ...], *, seconds: float) -> Reckoning:
    """Estimate the precision and scores of a sorting from its probabilities.

    Parameters
    ----------
    candidates : Candidates
        Calibrated, including those below their thresholds.
    found : Spikes
        Reported spikes.
    unit_ids : tuple of int
    seconds : float
        Length of the recording.

    Returns
    -------
    Reckoning
    """
    joint, reported = candidates.joint.astype(np.float64), found.joint.astype(np.float64)
    counts, right, true, classified = (np.zeros(len(unit_ids)) for _ in range(4))
    for k, unit in enumerate(unit_ids):
        own = found.unit == unit
        counts[k], right[k] = own.sum(), reported[own].sum()
        classified[k] = right[k] / max(float(found.probability[own].sum()), 1e-9)
        true[k] = joint[candidates.unit == unit].sum()
    f1 = 2 * right / np.maximum(counts + np.maximum(true, right), 1e-9)
    total = max(float(true.sum()), 1e-9)
    detected = 2 * float(found.probability.sum()) / max(len(found) + total, 1e-9)
    return Reckoning(
        counts=counts / seconds,
        precision=float(right.sum() / max(len(found), 1)),
        strict=float(f1.mean()),
        score=DETECTION * min(detected, 1.0) + (1 - DETECTION) * float(classified.mean()),
    )


def corrected_forecast(
    forecast: Forecast,
    rehearsed: Reckoning,
    target: Reckoning,
    names: tuple[str, ...],
    *,
    usual: Float64Array,
    seconds: float,
) -> Forecast:
    """Return the forecast, corrected for differences between the target and its rehearsal.

    Parameters
    ----------
    forecast : Forecast
        Forecast from the rehearsal alone.
    rehearsed, target : Reckoning
    names : tuple of str
        Of the units.
    usual : ndarray of float64, shape (units,)
        Spikes per second in the labelled recording.
    seconds : float
        Length of the part of the target that was sorted.

    Returns
    -------
    Forecast
        Lowered, with a wider interval and a remark on each large difference.
    """
    excess = target.counts / np.maximum(rehearsed.counts, FEW / seconds)
    crowded = excess > MANY_TIMES
    lost = float(np.mean(np.where(crowded, 1 - MANY_TIMES / np.maximum(excess, MANY_TIMES), 0.0)))
    worse = max(rehearsed.score - target.score - CHANCE, 0.0) + DETECTION * lost * forecast.score
    stricter = max(rehearsed.strict - target.strict - CHANCE, 0.0) + lost * forecast.strict
    remarks = [
        f"unit {name}: {times:.0f} times as many spikes as expected; some may belong to other units, "
        "or the gain is wrong"
        for name, times in zip(names, excess.tolist(), strict=True)
        if times > MANY_TIMES
    ]
    vanished = (target.counts < SILENT * usual) & (usual * seconds >= MANY_SPIKES)
    remarks += [
        f"unit {name}: hardly any spikes ({found:.2g} per second, {labelled:.2g} in the labelled recording); "
        "it may be silent or lost, or the gain is wrong"
        for name, found, labelled, hardly in zip(names, target.counts, usual, vanished, strict=True)
        if hardly
    ]
    if max(worse, stricter) > WORTH_REPORTING:
        remarks.append(
            "spikes are less certain than in the rehearsal: "
            f"forecast lowered by {worse:.2f} (strict {stricter:.2f})"
        )
    return replace(
        forecast,
        score=max(forecast.score - worse, 0.0),
        strict=max(forecast.strict - stricter, 0.0),
        precision=forecast.precision * min(target.precision / max(rehearsed.precision, 1e-9), 1.0),
        low=max(forecast.low - 2 * worse - float(vanished.mean()) * forecast.score, 0.0),
        remarks=tuple(remarks),
    )
