"""Look back: compare a target, once sorted, with its rehearsal.

Probabilities say how good a sorting is likely to be without any truth: of spikes of probability p, a share p
is right, and what was not reported was missed as often as its probability says. The forecast is lowered by as
much as this reckoning comes out worse for the target than for the rehearsal. Where a unit fires many times as
often as it was labelled to, something else is likely to be taken for it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from spikesorter.core.spikes import Spikes
from spikesorter.decoding.candidates import Candidates
from spikesorter.sorting.forecast import Forecast

__all__ = ["Reckoning", "looked_back", "reckon"]

Float64Array = npt.NDArray[np.float64]
MANY_TIMES = 4.0  # as often as labelled: neurons seldom change their rate more
FEW = 10.0  # spikes; fewer may be many times as many by chance
DETECTION = 0.3  # of the score
WORTH_SAYING = 0.03  # of the score
CHANCE = 0.01  # SD of what two reckonings of like recordings differ by


@dataclass(frozen=True, eq=False)
class Reckoning:
    """What probabilities say of a sorting.

    Parameters
    ----------
    counts : ndarray of float64, shape (units,)
        Spikes reported a second.
    precision, strict, score : float
        As in `Score`, as far as probabilities say.
    """

    counts: Float64Array
    precision: float
    strict: float
    score: float


def reckon(candidates: Candidates, found: Spikes, unit_ids: tuple[int, ...], *, seconds: float) -> Reckoning:
    """Reckon from probabilities how good a sorting is.

    Parameters
    ----------
    candidates : Candidates
        Calibrated, those below their thresholds too.
    found : Spikes
        Those that were reported.
    unit_ids : tuple of int
    seconds : float
        Length of the recording.

    Returns
    -------
    Reckoning
    """
    joint, there = candidates.joint.astype(np.float64), found.joint.astype(np.float64)
    counts, right, true, named = (np.zeros(len(unit_ids)) for _ in range(4))
    for k, unit in enumerate(unit_ids):
        own = found.unit == unit
        counts[k], right[k] = own.sum(), there[own].sum()
        named[k] = right[k] / max(float(found.probability[own].sum()), 1e-9)
        true[k] = joint[candidates.unit == unit].sum()
    f1 = 2 * right / np.maximum(counts + np.maximum(true, right), 1e-9)
    total = max(float(true.sum()), 1e-9)
    detected = 2 * float(found.probability.sum()) / max(len(found) + total, 1e-9)
    return Reckoning(
        counts=counts / seconds,
        precision=float(right.sum() / max(len(found), 1)),
        strict=float(f1.mean()),
        score=DETECTION * min(detected, 1.0) + (1 - DETECTION) * float(named.mean()),
    )


def looked_back(
    forecast: Forecast, rehearsed: Reckoning, target: Reckoning, names: tuple[str, ...], *, seconds: float
) -> Forecast:
    """Return a forecast that knows how unlike its rehearsal the target turned out to be.

    Parameters
    ----------
    forecast : Forecast
        From the rehearsal alone.
    rehearsed, target : Reckoning
    names : tuple of str
        Of the units.
    seconds : float
        How much of the target was looked at.

    Returns
    -------
    Forecast
        Lower, its interval wider, with a remark on each thing that differs much.
    """
    excess = target.counts / np.maximum(rehearsed.counts, FEW / seconds)
    crowded = excess > MANY_TIMES
    lost = float(np.mean(np.where(crowded, 1 - MANY_TIMES / np.maximum(excess, MANY_TIMES), 0.0)))
    worse = max(rehearsed.score - target.score - CHANCE, 0.0) + DETECTION * lost * forecast.score
    stricter = max(rehearsed.strict - target.strict - CHANCE, 0.0) + lost * forecast.strict
    said = [
        f"unit {name}: {times:.0f} times as many spikes as expected; another neuron's, or a wrong gain"
        for name, times in zip(names, excess.tolist(), strict=True)
        if times > MANY_TIMES
    ]
    if max(worse, stricter) > WORTH_SAYING:
        said.append(
            f"spikes less sure than in the rehearsal: forecast lowered by {worse:.2f} (strict {stricter:.2f})"
        )
    return replace(
        forecast,
        score=max(forecast.score - worse, 0.0),
        strict=max(forecast.strict - stricter, 0.0),
        precision=forecast.precision * min(target.precision / max(rehearsed.precision, 1e-9), 1.0),
        low=max(forecast.low - 2 * worse, 0.0),
        remarks=tuple(said),
    )
