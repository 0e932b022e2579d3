"""Revise the forecast of a result by the spikes that were judged, and say in words what has changed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from spikesorter.core.spikes import UNKNOWN, Spikes
from spikesorter.core.text import count_of
from spikesorter.report.correcting import Corrected
from spikesorter.report.judging import (
    EACH,
    Answers,
    Belief,
    Strata,
    answers_of,
    believe,
    choose_next,
)
from spikesorter.report.verdict import Shares, of_100

__all__ = ["ENOUGH", "Judging", "Revised", "Revision", "contents_of"]

Float64Array: TypeAlias = npt.NDArray[np.float64]
Int64Array: TypeAlias = npt.NDArray[np.int64]

ENOUGH = 20
"""Judged spikes from which on the page says what they change."""

QUANTILE = 1.645  # SD that contain nine of ten values
LARGEST = 20.0  # log odds in which a unit's precision is looked for
HALVINGS = 50
SMALL = 1e-6
LEAST_CHANGE = 0.005  # of a precision that is worth a sentence


@dataclass(frozen=True)
class Revised:
    """What is expected of reported spikes, before and after some of them were judged.

    Parameters
    ----------
    reported : float
        Number of found spikes.
    judged, right : int
        Spikes that were judged one by one, and those of them that are right.
    before, after : Shares
        Expected numbers; the true ones are NaN if they are not known.
    low, high : float
        90 % interval of the precision after.
    """

    reported: float
    judged: int
    right: int
    before: Shares
    after: Shares
    low: float
    high: float

    @property
    def change(self) -> float:
        """How much the precision changes."""
        return (self.after.precision or 0.0) - (self.before.precision or 0.0)


@dataclass(frozen=True)
class Revision:
    """The revised forecast of all units together, and of each.

    Parameters
    ----------
    whole : Revised
    units : mapping of int to Revised
    """

    whole: Revised
    units: Mapping[int, Revised]

    def sentence(self, names: Mapping[int, str]) -> str:
        """Say in one line what the judged spikes change, or how many more are needed for that."""
        whole = self.whole
        if whole.judged < ENOUGH:
            rest = ENOUGH - whole.judged
            return (
                f"Judge {count_of(rest, 'more spike')}, and this line says what they change in the forecast."
            )
        parts = [f"After {whole.judged} judged spikes ({whole.right} right): {_right(whole)}"]
        if whole.after.recall is not None and whole.before.recall is not None:
            parts.append(f"{_now_and_before(whole.after.recall, whole.before.recall)} true spikes found")
        most = max(self.units, key=lambda unit: abs(self.units[unit].change))
        if len(self.units) > 1 and abs(self.units[most].change) >= LEAST_CHANGE:
            one = self.units[most]
            after, before = one.after.precision or 0.0, one.before.precision or 0.0
            parts.append(f"the greatest change is in unit {names.get(most, most)}: "
                         f"{_now_and_before(after, before)} right")  # fmt: skip
        return "; ".join(parts) + "."

    def lines(self, names: Mapping[int, str]) -> list[str]:
        """Say for each unit of which spikes were judged what is expected of it now."""
        lines = []
        for unit, one in self.units.items():
            if not one.judged:
                continue
            found = "" if one.after.recall is None or one.before.recall is None else (
                f"; {_now_and_before(one.after.recall, one.before.recall)} true spikes found"
            )  # fmt: skip
            lines.append(f"Unit {names.get(unit, unit)}, {one.judged} judged ({one.right} right): "
                         f"{_right(one)}{found}.")  # fmt: skip
        return lines


class Judging:
    """A result's doubtful spikes in the order in which to judge them, and what the judgements say.

    Parameters
    ----------
    spikes : Spikes
        As found.
    n_samples : int
        Length of the recording.
    fs_hz : float
    expected : mapping of int to Shares, optional
        The forecast of each unit. Without one, a spike is expected to be right with its own probability, and
        nothing is said of the true spikes that were not found.
    """

    def __init__(
        self, spikes: Spikes, *, n_samples: int, fs_hz: float, expected: Mapping[int, Shares] | None = None
    ) -> None:
        self.strata = Strata.of(spikes, n_samples=n_samples)
        self._fs_hz, self._expected = fs_hz, expected or {}

    @cached_property
    def _offset(self) -> Float64Array:
        """Log odds by which each unit's spikes are less certain in the forecast than they are stated."""
        wanted = [
            None if (one := self._expected.get(unit)) is None else one.precision
            for unit in self.strata.unit_ids
        ]
        place = self.strata.stratum // EACH
        return np.array(
            [
                0.0 if one is None else _offset_for(self.strata.stated[place == k], one)
                for k, one in enumerate(wanted)
            ]
        )

    def following(self, now: Corrected, *, most: int) -> Int64Array:
        """Return the positions of the doubtful spikes to judge next."""
        answers = answers_of(now, fs_hz=self._fs_hz)
        return choose_next(self.strata, answers, self._beliefs(answers), self._offset, most=most)

    def revision(self, now: Corrected) -> Revision:
        """Return the forecast as the decisions change it."""
        answers = answers_of(now, fs_hz=self._fs_hz)
        before = self._before
        known = {unit: max(one.missed, float(_known_missed(now, unit))) for unit, one in before.items()}
        after = self._counts(answers, known)
        units = {unit: _revised(before[unit], after[unit]) for unit in after if unit != UNKNOWN}
        return Revision(_together(list(units.values()), after), units)

    @cached_property
    def _before(self) -> dict[int, _Count]:
        none = np.zeros(len(self.strata.stratum), np.bool_)
        missed = {unit: _missed(self._expected.get(unit)) for unit in self.strata.unit_ids}
        return self._counts(Answers(none, none, none), missed)

    def _beliefs(self, answers: Answers) -> list[Belief]:
        strata, judged = self.strata, np.flatnonzero(answers.alone)
        unit, place = np.divmod(strata.stratum[judged], EACH)
        beliefs = []
        for k in range(len(strata.unit_ids)):
            own = judged[unit == k]
            expected = strata.stated[own] + self._offset[k]
            beliefs.append(believe(place[unit == k], expected, answers.right[own]))
        return beliefs

    def _counts(self, answers: Answers, missed: Mapping[int, float]) -> dict[int, _Count]:
        """Return the number of right spikes of each unit: known of decided ones, expected of the others."""
        strata, beliefs = self.strata, self._beliefs(answers)
        shift = np.concatenate(
            [one.shift + by for one, by in zip(beliefs, self._offset, strict=True)] or [[]]
        )
        probability = expit(strata.stated + shift[strata.stratum])
        left = ~answers.decided
        expected = strata.sums(np.where(left, probability, answers.right))
        chance = strata.sums(np.where(left, probability * (1 - probability), 0.0))
        alone, sampled = strata.counts(answers.alone), strata.counts(answers.alone & answers.right)
        return {
            unit: _Count(
                reported=float(strata.reported[k].sum()),
                judged=int(alone[k].sum()),
                judged_right=int(sampled[k].sum()),
                right=float(expected[k].sum()),
                variance=float(chance[k].sum() + chance[k] @ beliefs[k].covariance @ chance[k]),
                missed=missed[unit],
            )
            for k, unit in enumerate(strata.unit_ids)
        }


@dataclass(frozen=True)
class _Count:
    """Expected number of right spikes of a unit, its variance, and the number of spikes that are missed."""

    reported: float
    judged: int
    judged_right: int
    right: float
    variance: float
    missed: float

    @property
    def shares(self) -> Shares:
        return Shares(self.reported, self.right, self.right + self.missed)


def _revised(before: _Count, after: _Count) -> Revised:
    low, high = _interval(after.right, after.variance, after.reported)
    return Revised(after.reported, after.judged, after.judged_right, before.shares, after.shares, low, high)


def _together(units: Sequence[Revised], after: Mapping[int, _Count]) -> Revised:
    variance = sum(one.variance for unit, one in after.items() if unit != UNKNOWN)
    old, new = _sum([one.before for one in units]), _sum([one.after for one in units])
    low, high = _interval(new.right, variance, new.reported)
    judged, right = sum(one.judged for one in units), sum(one.right for one in units)
    return Revised(new.reported, judged, right, old, new, low, high)


def _sum(units: Sequence[Shares]) -> Shares:
    """Return all units' numbers together; where it is not known how many spikes are missed, none are."""
    unknown = all(math.isnan(one.true) for one in units)
    true = sum(one.right if math.isnan(one.true) else one.true for one in units)
    right = sum(one.right for one in units)
    return Shares(sum(one.reported for one in units), right, math.nan if unknown else true)


def _interval(right: float, variance: float, reported: float) -> tuple[float, float]:
    """Return the 90 % interval of a share, which is taken to be normal in its log odds."""
    if not reported:
        return 0.0, 1.0
    share = min(max(right / reported, SMALL), 1 - SMALL)
    middle, spread = np.log(share / (1 - share)), np.sqrt(variance) / reported / (share * (1 - share))
    low, high = expit(np.array([middle - QUANTILE * spread, middle + QUANTILE * spread]))
    return float(low), float(high)


def _offset_for(stated: Float64Array, precision: float) -> float:
    """Return what must be added to spikes' log odds so that their mean probability is a given one."""
    low, high = -LARGEST, LARGEST
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if expit(stated + middle).mean() < precision else (low, middle)
    return (low + high) / 2


def _missed(expected: Shares | None) -> float:
    return math.nan if expected is None else expected.true - expected.right


def _known_missed(now: Corrected, unit: int) -> int:
    """Return the number of spikes that were added to a unit by hand, or given to it from other units."""
    found = np.arange(len(now.sample)) < len(now.like)
    given = found & (now.home != unit) & (now.decision != 0)
    return int(np.count_nonzero(now.there & (now.unit == unit) & (given | ~found)))


def _right(one: Revised) -> str:
    after, before = one.after.precision or 0.0, one.before.precision or 0.0
    interval = f"90 % interval {100 * one.low:.0f} to {100 * one.high:.0f}"
    return f"{_now_and_before(after, before)} reported spikes are expected to be right ({interval})"


def _now_and_before(after: float, before: float) -> str:
    return f"{of_100(after)} (before: {of_100(before).removesuffix(' of 100')})"


def contents_of(revision: Revision, names: Mapping[int, str]) -> dict[str, Any]:
    """Return a revision as the page has it: `line`, `units` (a line each), and `judged`."""
    return {
        "judged": revision.whole.judged,
        "line": revision.sentence(names),
        "units": revision.lines(names) if revision.whole.judged >= ENOUGH else [],
    }
