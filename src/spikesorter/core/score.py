"""Score any sorter's result against the true spikes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from numba import njit

from spikesorter.core.pairs import common_rate, numbered_as, outside_bad, pairs_within
from spikesorter.core.spikes import Spikes, check_spikes

__all__ = [
    "Detected",
    "Score",
    "UnitPairs",
    "f1_of_unit",
    "match_spikes",
    "paired_units",
    "score",
    "study_score",
    "study_weights",
]

USUAL_HZ = 25_000.0
LOOSE_MS = 2.0
STRICT_MS = 0.4
DETECTION_WEIGHT = 0.3

IndexArray = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Score:
    """Score of one recording's sorting, as `spikesorter.score` returns it.

    Parameters
    ----------
    score : float
        0.3 `f_det` + 0.7 `f_cls`: the recording's score in a study.
    f_det, precision, recall : float
        F1, precision and recall of detection, irrespective of unit. Spikes are paired within 2 ms.
    f_cls : float
        Mean over the true units of each unit's F1 among the paired spikes.
    strict : float
        Mean over the true units of each unit's F1; spikes of a unit are paired within 0.4 ms.
    strict_of : dict of int to float
        The strict F1 of each true unit.
    unit_ids : tuple of int
        Units of the true or the found spikes.
    confusion : ndarray of int64, shape (units + 1, units + 1)
        Rows are true units, columns found ones; the last column counts missed spikes, the last row false
        ones.
    names : mapping of int to str
        Names of the units that have one.
    left_out_s : float
        Length of the bad stretches, in which spikes were left out, in seconds.

    Examples
    --------
    >>> score(Spikes([100, 300, 500], [1, 2, 1]), Spikes([104, 300], [1, 1]))
    Score(0.473: detection F1 0.800 (precision 1.000, recall 0.667), classification F1 0.333; strict 0.250)
    """

    score: float
    f_det: float
    f_cls: float
    precision: float
    recall: float
    strict: float
    strict_of: dict[int, float]
    unit_ids: tuple[int, ...]
    confusion: IndexArray
    names: Mapping[int, str] = field(default_factory=dict)
    left_out_s: float = 0.0

    def name_of(self, unit: int) -> str:
        """Return a unit's name: its number, if it has none.

        Examples
        --------
        >>> truth = Spikes([100, 300], [1, 2], names={1: "basket"})
        >>> [score(truth, truth).name_of(unit) for unit in (1, 2)]
        ['basket', '2']
        """
        return self.names.get(unit, str(unit))

    def summary(self) -> dict[str, float]:
        """Return the single figures by name, as `scores.json` holds them.

        Examples
        --------
        >>> truth = Spikes([100, 300], [1, 2])
        >>> score(truth, truth[:1]).summary()["recall"]
        0.5
        """
        names = ("score", "f_det", "f_cls", "precision", "recall", "strict")
        return {name: float(getattr(self, name)) for name in names}

    def __repr__(self) -> str:
        return (
            f"Score({self.score:.3f}: detection F1 {self.f_det:.3f} (precision {self.precision:.3f}, recall "
            f"{self.recall:.3f}), classification F1 {self.f_cls:.3f}; strict {self.strict:.3f})"
        )


def match_spikes(
    true: IndexArray, found: IndexArray, *, tolerance_samples: float
) -> tuple[IndexArray, IndexArray]:
    """Pair true and found spikes, the closest first, each in at most one pair.

    Among pairs equally far apart, the earlier true spike comes first, then the earlier found spike.

    Parameters
    ----------
    true, found : ndarray of int64, sorted
        Starts of the spikes.
    tolerance_samples : float
        Largest distance within a pair.

    Returns
    -------
    i, j : ndarray of int64, shape (pairs,)
        Positions in `true` and in `found`, in order of i.

    Examples
    --------
    >>> match_spikes(np.array([100, 140]), np.array([130, 145]), tolerance_samples=50)
    (array([0, 1]), array([0, 1]))
    """
    i, j = _closest_first(true, found, int(tolerance_samples))
    partner = _first_come(i, j, len(true), len(found))
    paired = np.flatnonzero(partner >= 0)
    return paired, partner[paired]


def _closest_first(true: IndexArray, found: IndexArray, reach: int) -> tuple[IndexArray, IndexArray]:
    """Return all pairs within some samples, the closest first."""
    i, j = pairs_within(true, found, reach)
    # In order of i and j already, which a stable sort keeps; of short numbers it is a radix sort.
    order = np.argsort(np.abs(true[i] - found[j]).astype(np.min_scalar_type(reach)), kind="stable")
    return i[order], j[order]


@njit(cache=True)  # type: ignore[untyped-decorator]  # Numba's decorator has no types
def _first_come(i: IndexArray, j: IndexArray, n_true: int, n_found: int) -> IndexArray:
    """Give each true spike the first partner in the list that is still free; -1 where there is none."""
    partner = np.full(n_true, -1, np.int64)
    taken = np.zeros(n_found, np.bool_)
    for k in range(len(i)):
        if partner[i[k]] < 0 and not taken[j[k]]:
            partner[i[k]] = j[k]
            taken[j[k]] = True
    return partner


def score(truth: Spikes, found: Spikes, *, fs_hz: float | None = None) -> Score:
    """Score a sorting against the true spikes.

    Spikes in bad stretches of either are left out on both sides. The order of the arguments is that of
    scikit-learn and SpikeInterface: the truth comes first.

    Parameters
    ----------
    truth, found : Spikes
        A unit has the same name in both; if one of them has no names, the same number.
    fs_hz : float, optional
        Sampling rate, which converts the tolerances of 2 ms and 0.4 ms to samples. The default is that of
        `truth` or `found`, or 25,000 if neither has one.

    Returns
    -------
    Score

    Raises
    ------
    InputError
        If one of them is not `Spikes` (a SpikeInterface sorting, for instance), or their sampling rates
        differ.

    Examples
    --------
    >>> truth = Spikes([100, 300, 500], [1, 2, 1])
    >>> score(truth, truth).score
    1.0
    >>> result = score(truth, Spikes([104, 300], [1, 1]))
    >>> result.precision, round(result.recall, 3), round(result.f_cls, 3)
    (1.0, 0.667, 0.333)
    """
    check_spikes(truth, "truth")
    check_spikes(found, "found")
    rate = common_rate(truth, found, fs_hz) or USUAL_HZ
    left_out_s = truth.bad.joined(found.bad).samples / rate
    truth, found = outside_bad(truth, numbered_as(truth, found))
    i, j = match_spikes(truth.sample, found.sample, tolerance_samples=_samples(LOOSE_MS, rate))
    true_ids = truth.unit_ids
    unit_ids = tuple(sorted({*true_ids, *found.unit_ids}))
    confusion = _confusion(truth, found, i, j, unit_ids)
    detected = _detected(confusion[:-1, :-1], unit_ids, true_ids, len(truth), len(found))
    strict_of = {
        k: f1_of_unit(truth.sample[truth.unit == k], found.sample[found.unit == k], fs_hz=rate)
        for k in true_ids
    }
    return Score(
        score=detected.score,
        f_det=detected.f_det,
        f_cls=detected.f_cls,
        precision=detected.precision,
        recall=detected.recall,
        strict=_mean(list(strict_of.values())),
        strict_of=strict_of,
        unit_ids=unit_ids,
        confusion=confusion,
        names={**found.names, **truth.names},
        left_out_s=left_out_s,
    )


@dataclass(frozen=True)
class Detected:
    """What the pairs of true and found spikes within 2 ms tell, as in `Score`."""

    f_det: float
    f_cls: float
    precision: float
    recall: float

    @property
    def score(self) -> float:
        """The recording's score in a study."""
        return DETECTION_WEIGHT * self.f_det + (1 - DETECTION_WEIGHT) * self.f_cls


def paired_units(
    truth: Spikes, sample: IndexArray, unit: IndexArray, unit_ids: tuple[int, ...], *, fs_hz: float
) -> Detected:
    """Return what `score` says of detection and classification, without the rest of it.

    Parameters
    ----------
    truth : Spikes
        Without bad stretches.
    sample, unit : ndarray of int64, shape (spikes,)
        Found spikes, sorted by sample and then by unit.
    unit_ids : tuple of int
        Units of the true and the found spikes, in order; further ones do not matter.
    fs_hz : float

    Returns
    -------
    Detected

    Examples
    --------
    >>> truth = Spikes([100, 300, 500], [1, 2, 1])
    >>> paired_units(truth, np.array([104, 300]), np.array([1, 1]), (1, 2), fs_hz=25_000).precision
    1.0
    """
    i, j = match_spikes(truth.sample, sample, tolerance_samples=_samples(LOOSE_MS, fs_hz))
    n = len(unit_ids)
    cells = np.searchsorted(unit_ids, truth.unit[i]) * n + np.searchsorted(unit_ids, unit[j])
    inner = np.bincount(cells, minlength=n * n).reshape(n, n)
    return _detected(inner, unit_ids, truth.unit_ids, len(truth), len(sample))


def _detected(
    inner: IndexArray, unit_ids: tuple[int, ...], true_ids: tuple[int, ...], n_true: int, n_found: int
) -> Detected:
    """Return the figures of a table of pairs, shape (true units, found units)."""
    paired = int(inner.sum())
    of_unit = [_f1(inner[k, k], inner[k].sum(), inner[:, k].sum()) for k in range(len(unit_ids))]
    return Detected(
        f_det=_f1(paired, n_true, n_found),
        f_cls=_mean([f for k, f in zip(unit_ids, of_unit, strict=True) if k in true_ids]),
        precision=paired / n_found if n_found else 0.0,
        recall=paired / n_true if n_true else 0.0,
    )


def study_score(scores: Mapping[str, float]) -> float:
    """Return the weighted mean of the recordings' scores: weights 2, 3, 4, ... in the order of the targets.

    Parameters
    ----------
    scores : mapping of str to float
        Score of each target, the least noisy one first.

    Returns
    -------
    float

    Examples
    --------
    >>> round(study_score({"D2": 1.0, "D3": 1.0, "D4": 0.5, "D5": 0.0, "D6": 0.0}), 3)
    0.35
    """
    return float(np.dot(study_weights(len(scores)), list(scores.values()))) if scores else 0.0


def study_weights(targets: int) -> npt.NDArray[np.float64]:
    """Return each target's weight in its study: proportional to 2, 3, 4, ..., with sum 1.

    Examples
    --------
    >>> study_weights(3).round(3).tolist()
    [0.222, 0.333, 0.444]
    """
    weights = np.arange(2, targets + 2, dtype=float)
    return weights / weights.sum() if targets else weights


def _samples(milliseconds: float, fs_hz: float) -> float:
    return float(np.round(milliseconds * fs_hz / 1000, 6))


def _confusion(
    truth: Spikes, found: Spikes, i: IndexArray, j: IndexArray, unit_ids: tuple[int, ...]
) -> IndexArray:
    n = len(unit_ids)
    rows = np.concatenate([np.searchsorted(unit_ids, truth.unit), [n]]).astype(np.int64)
    columns = np.concatenate([np.searchsorted(unit_ids, found.unit), [n]]).astype(np.int64)
    missed = np.delete(np.arange(len(truth)), i)
    false = np.delete(np.arange(len(found)), j)
    a = np.concatenate([i, missed, np.full(len(false), -1)]).astype(np.int64)
    b = np.concatenate([j, np.full(len(missed), -1), false]).astype(np.int64)
    confusion = np.zeros((n + 1, n + 1), np.int64)
    np.add.at(confusion, (rows[a], columns[b]), 1)
    return confusion


def f1_of_unit(truth: IndexArray, found: IndexArray, *, fs_hz: float) -> float:
    """Return the strict F1 of one unit's spikes, paired within 0.4 ms.

    Examples
    --------
    >>> f1_of_unit(np.array([100, 300, 500]), np.array([104, 320]), fs_hz=25_000)
    0.4
    """
    i, _ = match_spikes(truth, found, tolerance_samples=_samples(STRICT_MS, fs_hz))
    return _f1(len(i), len(truth), len(found))


@dataclass(frozen=True, eq=False)
class UnitPairs:
    """Pairs of true and possible spikes of one unit, which tell the strict F1 of any choice of the latter.

    Parameters
    ----------
    i, j : ndarray of int64, shape (pairs,)
        Positions of the true and the possible spikes, the closest pairs first.
    n_true : int
    """

    i: IndexArray
    j: IndexArray
    n_true: int

    @classmethod
    def of(cls, truth: IndexArray, possible: IndexArray, *, fs_hz: float) -> UnitPairs:
        """Return the pairs within 0.4 ms of the starts of spikes, both sorted."""
        return cls(*_closest_first(truth, possible, int(_samples(STRICT_MS, fs_hz))), len(truth))

    def f1(self, chosen: npt.NDArray[np.bool_]) -> float:
        """Return what `f1_of_unit` returns for the chosen ones of the possible spikes.

        Examples
        --------
        >>> pairs = UnitPairs.of(np.array([100, 300, 500]), np.array([104, 303, 320]), fs_hz=25_000)
        >>> pairs.f1(np.array([True, False, True])), pairs.f1(np.array([True, True, False]))
        (0.4, 0.8)
        """
        these = chosen[self.j]
        partner = _first_come(self.i[these], self.j[these], self.n_true, len(chosen))
        return _f1(int((partner >= 0).sum()), self.n_true, int(chosen.sum()))


def _f1(hits: int, n_true: int, n_found: int) -> float:
    return float(2 * hits / (n_true + n_found)) if n_true + n_found else 0.0


def _mean(values: list[float]) -> float:
    return float(np.mean(values)) if values else 0.0
