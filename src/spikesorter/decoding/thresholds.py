"""Tune thresholds and refractory period on a recording whose spikes are known."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import product

import numpy as np
import numpy.typing as npt

from spikesorter.core.score import Detected, UnitPairs, paired_units, score
from spikesorter.core.sections import OutputSettings, TuningSettings
from spikesorter.core.spikes import Spikes
from spikesorter.decoding.calibration import judge_events
from spikesorter.decoding.candidates import Candidates, WorkingPoint
from spikesorter.signal.peaks import apart
from spikesorter.signal.spans import to_samples

__all__ = ["Grid", "objective", "tune", "tune_on_grid"]

Int64Array = npt.NDArray[np.int64]
ROUNDS = 2
STRICT_SHARE = 0.15
NEARLY_EQUAL = 0.002  # F1 of a unit
USUAL_LEAST_PRECISION = {"strict": 0.5}  # at least half of a unit's reported spikes should be correct
SHARE_REPORTED, NEARLY = (
    0.1,
    0.8,
)  # of a unit's spikes, for a meaningful precision; of the best reachable precision


@dataclass(frozen=True, eq=False)
class Grid:
    """The objective at each pair of threshold and refractory period, one threshold for all units.

    Parameters
    ----------
    objective : str
    threshold : tuple of float
        Rows, from the lowest.
    refractory_samples : tuple of int
        Columns.
    value : ndarray of float64, shape (thresholds, refractory periods)
    lacking : ndarray of float64, shape (thresholds, refractory periods)
        How much precision units lack to the least that is asked, added up; a pair with less is preferred.
    chosen : tuple of int
        Row and column of the pair that is kept; units may then get thresholds of their own.
    """

    objective: str
    threshold: tuple[float, ...]
    refractory_samples: tuple[int, ...]
    value: npt.NDArray[np.float64]
    lacking: npt.NDArray[np.float64]
    chosen: tuple[int, ...]


def tune(
    candidates: Candidates,
    truth: Spikes,
    unit_ids: tuple[int, ...],
    tuning: TuningSettings,
    output: OutputSettings,
    *,
    fs_hz: float,
) -> tuple[WorkingPoint, float]:
    """Find the thresholds and refractory period with the best objective on a rehearsal.

    A grid search finds a threshold for all units and the refractory period. If set, each unit's threshold is
    then searched in turn.

    Parameters
    ----------
    candidates : Candidates
        Of the rehearsal, calibrated.
    truth : Spikes
        Its spikes.
    unit_ids : tuple of int
    tuning : TuningSettings
        The objective.
    output : OutputSettings
        The grid. A threshold or refractory period that is set is kept.
    fs_hz : float

    Returns
    -------
    point : WorkingPoint
        Among equally good ones, that with the highest threshold for all units, then the shortest refractory
        period; of nearly equal thresholds of one unit, the nearest to one half.
    value : float
        Its objective.

    Examples
    --------
    >>> truth = Spikes.from_arrays([100, 300, 500, 700], [1, 1, 1, 1])
    >>> found = Candidates.from_arrays([100, 300, 400, 500, 700], [1] * 5, [0.9, 0.8, 0.3, 0.7, 0.9], [1] * 5)
    >>> point, f1 = tune(found, truth, (1,), TuningSettings(objective="f1"), OutputSettings(), fs_hz=25_000)
    >>> point.thresholds, point.refractory_samples, f1
    ((0.5,), 0, 1.0)
    """
    point, value, _ = tune_on_grid(candidates, truth, unit_ids, tuning, output, fs_hz=fs_hz)
    return point, value


def tune_on_grid(
    candidates: Candidates,
    truth: Spikes,
    unit_ids: tuple[int, ...],
    tuning: TuningSettings,
    output: OutputSettings,
    *,
    fs_hz: float,
) -> tuple[WorkingPoint, float, Grid]:
    """Tune as `tune` does, and return the grid that was searched as well.

    Parameters
    ----------
    candidates, truth, unit_ids, tuning, output, fs_hz
        As for `tune`.

    Returns
    -------
    point : WorkingPoint
    value : float
    grid : Grid
    """
    thresholds = sorted(output.threshold_grid if output.threshold is None else (output.threshold,))[::-1]
    periods_ms = output.refractory_grid_ms if output.refractory_ms is None else (output.refractory_ms,)
    refractories = sorted({to_samples(period_ms, fs_hz) for period_ms in periods_ms})
    within_unit = output.refractory_scope == "unit"
    asked = tuning.least_precision
    asked = asked if asked is not None else USUAL_LEAST_PRECISION.get(tuning.objective, 0.0)
    least = _least_precision(candidates, truth, asked, thresholds, fs_hz=fs_hz)
    search = _Search(candidates, truth, tuning.objective, least, fs_hz)
    points = [
        WorkingPoint(unit_ids, (threshold,) * len(unit_ids), refractory, within_unit)
        for threshold, refractory in product(thresholds, refractories)
    ]
    best = search.best(points)
    grid = search.grid(points, best[0], shape=(len(thresholds), len(refractories)))
    if output.per_unit and len(thresholds) > 1:
        for _ in range(ROUNDS):
            before = best[0]
            for k in range(len(unit_ids)):
                best = search.best_of_unit(best[0], k, thresholds)
            if best[0] == before:
                break
    return *best, grid


def objective(truth: Spikes, found: Spikes, name: str, *, fs_hz: float) -> float:
    """Return the value of an objective: `study`, `strict`, `f1`, or recall at a precision (`precision=0.99`).

    A study's score hardly penalises false spikes, as it takes each unit's F1 among the paired spikes, so its
    best thresholds may be far too low. Therefore `study` includes a small share of the strict score.

    If the required precision is not reached, the shortfall is returned as a negative number.

    Examples
    --------
    >>> truth = Spikes.from_arrays([100, 300, 500, 700], [1, 1, 2, 2])
    >>> found = Spikes.from_arrays([100, 300, 500], [1, 1, 2])
    >>> objective(truth, found, "precision=0.99", fs_hz=25_000)  # recall, as no spike is wrong
    0.75
    """
    result = score(truth, found, fs_hz=fs_hz)
    detected = Detected(result.f_det, result.f_cls, result.precision, result.recall)
    return _combined(name, detected, result.strict)


def _combined(name: str, detected: Detected | None, strict: float) -> float:
    """Return an objective from its parts; `strict` needs nothing else."""
    if name == "strict" or detected is None:
        return strict
    if name.startswith("precision="):
        lacking = detected.precision - float(name.removeprefix("precision="))
        return detected.recall if lacking >= 0 else lacking
    study = (1 - STRICT_SHARE) * detected.score + STRICT_SHARE * strict
    return {"study": study, "f1": detected.f_det}[name]


@dataclass(frozen=True, eq=False)
class _Own:
    """One unit's spikes at a threshold: which candidates they are, their F1, and the share that is right."""

    kept: Int64Array
    f1: float
    right: float


@dataclass(frozen=True, eq=False)
class _Search:
    """Search for the best working point; what concerns one unit alone is computed once for each threshold."""

    candidates: Candidates
    truth: Spikes
    objective: str
    least_precision: dict[int, float]
    fs_hz: float
    tried: dict[WorkingPoint, tuple[float, float]] = field(default_factory=dict)
    known: dict[tuple[int, float, int], _Own] = field(default_factory=dict)
    pairs: dict[int, UnitPairs] = field(default_factory=dict)

    def best(self, points: list[WorkingPoint]) -> tuple[WorkingPoint, float]:
        for point in points:
            if point not in self.tried:
                self.tried[point] = self._value(point)
        values = [self.tried[point] for point in points]
        chosen = max(range(len(points)), key=values.__getitem__)  # the first of equal values
        return points[chosen], values[chosen][1]

    def best_of_unit(
        self, point: WorkingPoint, k: int, thresholds: list[float]
    ) -> tuple[WorkingPoint, float]:
        """Return the point with the best threshold of one unit; of nearly equal ones, the nearest to a half.

        There a spike is as likely right as wrong. A threshold that is better by a spike or two of the
        rehearsal may be far too low for the target.
        """
        points = [_with(point, k, threshold) for threshold in thresholds]
        best, value = self.best(points)
        least = self.tried[best][0], value - NEARLY_EQUAL / len(point.unit_ids)
        near = [one for one in points if self.tried[one][0] >= least[0] and self.tried[one][1] >= least[1]]
        chosen = min(near, key=lambda one: abs(one.thresholds[k] - 0.5))
        return chosen, self.tried[chosen][1]

    def grid(self, points: list[WorkingPoint], chosen: WorkingPoint, *, shape: tuple[int, int]) -> Grid:
        """Return what was found at the points of a grid, whose rows are given from the highest threshold."""
        found = np.array([self.tried[point] for point in points]).reshape(*shape, 2)[::-1]
        row, column = divmod(points.index(chosen), shape[1])
        return Grid(
            self.objective,
            tuple(point.thresholds[0] for point in points[:: shape[1]])[::-1],
            tuple(point.refractory_samples for point in points[: shape[1]]),
            np.ascontiguousarray(found[:, :, 1]),
            np.ascontiguousarray(-found[:, :, 0]),
            (shape[0] - 1 - row, column),
        )

    def _value(self, point: WorkingPoint) -> tuple[float, float]:
        """Return the shortfall of precision, as a negative number, and the objective."""
        if not point.within_unit and point.refractory_samples > 0:  # spikes of other units matter
            found = point.to_spikes(self.candidates)
            return -self._lacking_in(found), objective(self.truth, found, self.objective, fs_hz=self.fs_hz)
        own = {
            unit: self._own(unit, threshold, point)
            for unit, threshold in zip(point.unit_ids, point.thresholds, strict=True)
        }
        lacking = sum(
            max(self.least_precision.get(unit, 0.0) - one.right, 0.0)
            for unit, one in own.items()
            if len(one.kept) and self.least_precision
        )
        f1 = [own[unit].f1 if unit in own else 0.0 for unit in self.truth.unit_ids]
        strict = float(np.mean(f1)) if f1 else 0.0
        detected = None if self.objective == "strict" else self._detected(own)
        return -lacking, _combined(self.objective, detected, strict)

    def _own(self, unit: int, threshold: float, point: WorkingPoint) -> _Own:
        key = unit, threshold, point.refractory_samples
        if key not in self.known:
            every, own = self.candidates, self._of_unit[unit]
            chosen = self._joint[own] >= np.float32(threshold)
            if point.refractory_samples:
                at = own[chosen]
                alone = Spikes(
                    every.sample[at], every.unit[at], every.probability[at], every.unit_probability[at]
                )
                refractory = point.refractory_samples
                chosen[chosen] = apart(alone, refractory_samples=refractory, within_unit=True)
            at = own[chosen]
            self.known[key] = _Own(at, self._pairs_of(unit).f1(chosen), _share(self._right[at]))
        return self.known[key]

    def _pairs_of(self, unit: int) -> UnitPairs:
        if unit not in self.pairs:
            samples = self.candidates.sample[self._of_unit[unit]]
            self.pairs[unit] = UnitPairs.of(self._true[unit], samples, fs_hz=self.fs_hz)
        return self.pairs[unit]

    def _detected(self, own: dict[int, _Own]) -> Detected:
        """Return what all spikes together tell of detection and classification."""
        at = np.sort(np.concatenate([one.kept for one in own.values()]))
        units = tuple(sorted({*self.truth.unit_ids, *own}))
        sample, unit = self.candidates.sample[at], self.candidates.unit[at]
        return paired_units(self.truth, sample, unit, units, fs_hz=self.fs_hz)

    @cached_property
    def _joint(self) -> npt.NDArray[np.float32]:
        return self.candidates.joint

    @cached_property
    def _right(self) -> npt.NDArray[np.bool_]:
        """Which candidates have a true spike of their unit within 0.4 ms."""
        return judge_events(self.candidates.sample, self.candidates.unit, self.truth, fs_hz=self.fs_hz)[1]

    @cached_property
    def _of_unit(self) -> defaultdict[int, Int64Array]:
        """The positions of each unit's candidates."""
        unit = self.candidates.unit
        every = {int(k): np.flatnonzero(unit == k) for k in np.unique(unit)}
        return defaultdict(lambda: np.zeros(0, np.int64), every)

    @cached_property
    def _true(self) -> defaultdict[int, Int64Array]:
        """The samples of each unit's true spikes."""
        every = {k: self.truth.sample[self.truth.unit == k] for k in self.truth.unit_ids}
        return defaultdict(lambda: np.zeros(0, np.int64), every)

    def _lacking_in(self, found: Spikes) -> float:
        if not self.least_precision:
            return 0.0
        _, right = judge_events(found.sample, found.unit, self.truth, fs_hz=self.fs_hz)
        shares = {unit: float(right[found.unit == unit].mean()) for unit in found.unit_ids}
        return sum(max(self.least_precision.get(unit, 0.0) - share, 0.0) for unit, share in shares.items())


def _least_precision(
    candidates: Candidates, truth: Spikes, least: float, thresholds: list[float], *, fs_hz: float
) -> dict[int, float]:
    """Return the precision that each unit must reach: `least`, or most of the best reachable if lower.

    A unit that cannot reach `least` would otherwise not be reported at all.
    """
    if least == 0:
        return {}
    _, every_right = judge_events(candidates.sample, candidates.unit, truth, fs_hz=fs_hz)
    wanted, every_joint = {}, candidates.joint
    for unit in truth.unit_ids:
        own = candidates.unit == unit
        right, joint = every_right[own], every_joint[own]
        reported = [right[joint >= threshold] for threshold in thresholds]
        enough = SHARE_REPORTED * len(truth.of(unit))
        within_reach = max((_share(part) for part in reported if len(part) > enough), default=0.0)
        wanted[unit] = min(least, NEARLY * within_reach)
    return wanted


def _share(which: npt.NDArray[np.bool_]) -> float:
    """Return the share that is true; 0 of none. For a few, `mean` takes five times as long."""
    return int(np.count_nonzero(which)) / len(which) if len(which) else 0.0


def _with(point: WorkingPoint, k: int, threshold: float) -> WorkingPoint:
    return replace(point, thresholds=(*point.thresholds[:k], threshold, *point.thresholds[k + 1 :]))
