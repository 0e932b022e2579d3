"""Tune thresholds and refractory period on a recording whose spikes are known."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product

from spikesorter.core.score import score
from spikesorter.core.settings import DetectorSettings, TuningSettings
from spikesorter.core.spikes import Spikes
from spikesorter.decoding.calibration import judge_events
from spikesorter.decoding.candidates import Candidates, WorkingPoint

__all__ = ["objective", "tune"]

ROUNDS = 2
STRICT_SHARE = 0.15


def tune(
    candidates: Candidates,
    truth: Spikes,
    unit_ids: tuple[int, ...],
    tuning: TuningSettings,
    detector: DetectorSettings,
    *,
    fs_hz: float,
) -> tuple[WorkingPoint, float]:
    """Find the thresholds and refractory period that do best on a rehearsal.

    A grid search finds one threshold for all units and the refractory period. Then, if so set, the
    threshold of one unit after the other is searched.

    Parameters
    ----------
    candidates : Candidates
        Of the rehearsal, calibrated.
    truth : Spikes
        Its spikes.
    unit_ids : tuple of int
    tuning : TuningSettings
        Grid and objective.
    detector : DetectorSettings
        A threshold or refractory period that is set there stays.
    fs_hz : float

    Returns
    -------
    point : WorkingPoint
        Of equally good ones, the one with the highest threshold, then with the shortest refractory period.
    value : float
        Its objective.
    """
    search = _Search(candidates, truth, tuning.objective, tuning.least_precision, fs_hz)
    thresholds = sorted(tuning.thresholds if detector.threshold is None else (detector.threshold,))[::-1]
    refractories = sorted(
        tuning.refractory_samples if detector.refractory_samples is None else (detector.refractory_samples,)
    )
    within_unit = detector.refractory_scope == "class"
    best = search.best(
        [
            WorkingPoint(unit_ids, (threshold,) * len(unit_ids), refractory, within_unit)
            for threshold, refractory in product(thresholds, refractories)
        ]
    )
    if tuning.per_class and len(thresholds) > 1:
        for _ in range(ROUNDS):
            before = best[0]
            for k in range(len(unit_ids)):
                best = search.best([best[0], *(_with(best[0], k, value) for value in thresholds)])
            if best[0] == before:
                break
    return best


def objective(found: Spikes, truth: Spikes, name: str, *, fs_hz: float) -> float:
    """Return what is maximised: `study`, `strict`, `f1`, or recall at a precision (`precision=0.99`).

    A study's score hardly counts false alarms, as it takes a unit's F1 among the paired spikes. The best
    thresholds may be absurdly low. So `study` includes a little of the strict score.

    If the precision asked for is not reached, what it lacks is returned as a negative number.
    """
    result = score(found, truth, fs_hz=fs_hz)
    if name.startswith("precision="):
        lacking = result.precision - float(name.removeprefix("precision="))
        return result.recall if lacking >= 0 else lacking
    study = (1 - STRICT_SHARE) * result.score + STRICT_SHARE * result.strict
    return {"study": study, "strict": result.strict, "f1": result.f_det}[name]


@dataclass(frozen=True, eq=False)
class _Search:
    candidates: Candidates
    truth: Spikes
    objective: str
    least_precision: float
    fs_hz: float

    def best(self, points: list[WorkingPoint]) -> tuple[WorkingPoint, float]:
        values = [self._value(point) for point in points]
        chosen = max(range(len(points)), key=values.__getitem__)  # of equal ones, the first
        return points[chosen], values[chosen][1]

    def _value(self, point: WorkingPoint) -> tuple[float, float]:
        """Return how much precision the units lack, as a negative number, and then the objective."""
        found = point.to_spikes(self.candidates)
        value = objective(found, self.truth, self.objective, fs_hz=self.fs_hz)
        return -self._lacking(found), value

    def _lacking(self, found: Spikes) -> float:
        if self.least_precision == 0:
            return 0.0
        _, right = judge_events(found.sample, found.unit, self.truth, fs_hz=self.fs_hz)
        shares = [right[own].mean() for own in (found.unit == k for k in found.unit_ids)]
        return float(sum(max(self.least_precision - share, 0.0) for share in shares))


def _with(point: WorkingPoint, k: int, threshold: float) -> WorkingPoint:
    return replace(point, thresholds=(*point.thresholds[:k], threshold, *point.thresholds[k + 1 :]))
