"""How good a result is, in words: what share of its spikes is right, and of the true ones is found."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from spikesorter.core.score import Score, score
from spikesorter.core.spikes import UNKNOWN
from spikesorter.report.results import Result

__all__ = [
    "Quality",
    "Shares",
    "bad_words",
    "expected_units",
    "measured_score",
    "of_100",
    "overall_verdict",
    "quality_of",
    "verdict_of",
]

GOOD, FAIR = 0.9, 0.7  # of precision and recall, whichever is less
MOST, MANY, SOME = 0.5, 0.3, 0.1  # shares of spikes that are missed or false
MOST_NAMED = 6  # units, in a sentence

Verdict = dict[str, Any]


@dataclass(frozen=True)
class Shares:
    """Numbers of spikes, and the shares that follow from them.

    Parameters
    ----------
    reported : float
        Found spikes.
    right : float
        Those that are there, and of the unit that they are said to be of.
    true : float
        True spikes; NaN if their number is not known.

    Examples
    --------
    >>> Shares(reported=100, right=90, true=200).words
    'most are missed'
    """

    reported: float
    right: float
    true: float

    @property
    def precision(self) -> float | None:
        """Share of the reported spikes that is right; None if there are none."""
        return self.right / self.reported if self.reported else None

    @property
    def recall(self) -> float | None:
        """Share of the true spikes that is found; None if that is not known."""
        return self.right / self.true if self.true > 0 else None

    @property
    def level(self) -> str:
        """Return "good", "fair" or "poor", by the lower share; "unknown" if there is none."""
        known = [share for share in (self.precision, self.recall) if share is not None]
        return _level(min(known)) if known else "unknown"

    @property
    def words(self) -> str:
        """What is wrong with the spikes, in words; empty if little is."""
        lost = ((self.recall, "missed"), (self.precision, "false"))
        parts = [
            f"{much} are {how}" for share, how in lost if share is not None and (much := _much(1 - share))
        ]
        return ", ".join(parts)

    @property
    def sentence(self) -> str:
        """Both shares in a sentence."""
        right = "" if self.precision is None else f"{of_100(self.precision)} reported spikes are right"
        found = "" if self.recall is None else f"{of_100(self.recall)} true spikes are found"
        return " and ".join(part for part in (right, found) if part)


@dataclass(frozen=True)
class Quality:
    """The shares of each unit.

    Parameters
    ----------
    units : mapping of int to Shares
    measured : bool
        Whether they were measured on true spikes, or are expected.
    """

    units: Mapping[int, Shares]
    measured: bool

    @property
    def whole(self) -> Shares:
        """The shares of all units together."""
        return _together(self.units.values())


def measured_score(result: Result) -> Score | None:
    """Return the score against the true spikes, or None if they are not known."""
    if result.truth is None:
        return None
    known = result.spikes.select(result.spikes.unit != UNKNOWN)
    return score(result.truth, known, fs_hz=result.sorter.fs_hz)


def quality_of(result: Result, measured: Score | None) -> Quality | None:
    """Return the measured shares or, if the true spikes are not known, the expected ones.

    A unit's expected precision is the mean probability of its spikes or, if that is less, the precision on
    the rehearsal. Its expected recall is that on the rehearsal.

    Parameters
    ----------
    result : Result
    measured : Score, optional
        Score against the true spikes.

    Returns
    -------
    Quality or None
        None if the true spikes are not known, and the sorter's forecast does not hold.
    """
    if measured is not None:
        return Quality(_counted(measured.unit_ids, measured.confusion), measured=True)
    units = expected_units(result)
    return None if units is None else Quality(units, measured=False)


def expected_units(result: Result) -> dict[int, Shares] | None:
    """Return the expected shares of each unit, whether or not the true spikes are known; see `quality_of`.

    Returns
    -------
    dict of int to Shares, or None
        None if the sorter's forecast does not hold.
    """
    if result.doubts:
        return None
    rehearsal = result.sorter.diagnostics
    rehearsed = _counted(rehearsal.unit_ids, rehearsal.confusion)
    nothing = Shares(0, 0, 0)
    return {unit: _expected(result, unit, rehearsed.get(unit, nothing)) for unit in result.sorter.units.known}


def verdict_of(result: Result, measured: Score | None) -> Verdict:
    """Return a result's verdict: its `level`, and its `text`."""
    quality, expected = quality_of(result, measured), _expected_score(result)
    doubts = f"No score is forecast: {'; '.join(result.doubts)}." if result.doubts else ""
    if quality is None:
        return {"level": "poor", "text": doubts}
    whole = quality.whole
    shares = _sentences(whole, quality.measured)
    if measured is None:
        rest = f"Expected score {expected}, forecast on a rehearsal, without labels of this recording."
    else:
        rest = f"Score {measured.score:.3f} against the truth. " + (
            doubts or f"The expected score was {expected}."
        )
    poor = _poor_words({"": _poor_units(result, quality)})
    return {"level": whole.level, "text": " ".join(part for part in (shares, poor, rest) if part)}


def overall_verdict(
    results: Iterable[Result], scores: Iterable[Score | None], study: float | None
) -> Verdict:
    """Return the verdict on all results together, and a study's score.

    Parameters
    ----------
    results : iterable of Result
    scores : iterable of Score or None
        Of each result.
    study : float, optional
        The study's score.

    Returns
    -------
    dict
        `level` and `text`.
    """
    several = list(results)
    every = {result.name: quality_of(result, one) for result, one in zip(several, scores, strict=True)}
    known = {name: quality for name, quality in every.items() if quality is not None}
    whole = _together(quality.whole for quality in known.values())
    parts = [_sentences(whole, all(quality.measured for quality in known.values()))] if known else []
    if len(known) > 1:
        worst = min(known, key=lambda name: _least(known[name].whole))
        said = known[worst].whole.words.replace(" are ", " spikes are ", 1)
        parts += [f"In {worst}, {said}."] if said else []
    alone = len(every) == 1
    poor = _poor_words(
        {"" if alone else one.name: _poor_units(one, known[one.name]) for one in several if one.name in known}
    )
    parts += [poor] if poor else []
    if len(known) < len(every):
        parts += [f"Nothing can be forecast for {len(every) - len(known)} of {len(every)} recordings."]
    if study is not None:
        parts += [f"Study score {study:.3f}."]
    return {"level": whole.level, "text": " ".join(parts)}


def _poor_units(result: Result, quality: Quality) -> list[str]:
    """Return the names of poor units that the verdict on all together hides."""
    if quality.whole.level == "poor":
        return []
    return [result.sorter.names[unit] for unit, one in quality.units.items() if one.level == "poor"]


def _poor_words(poor: Mapping[str, list[str]]) -> str:
    """Return a sentence on poor units, by recording; empty if there are none. A lone recording has no name.

    Examples
    --------
    >>> _poor_words({"": ["2", "5"]}), _poor_words({"D5": ["2"], "D6": ["2", "3"]}), _poor_words({"D5": []})
    ('Poor units: 2, 5.', 'Poor units: 2 (D5), 2 (D6), 3 (D6).', '')
    """
    every = [f"{unit} ({name})" if name else unit for name, units in poor.items() for unit in units]
    if not every:
        return ""
    more = f" and {len(every) - MOST_NAMED} more" if len(every) > MOST_NAMED else ""
    return f"Poor unit{'s' if len(every) > 1 else ''}: {', '.join(every[:MOST_NAMED])}{more}."


def _expected_score(result: Result) -> str:
    """Return the expected score with its 90 % interval."""
    forecast = result.sorter.forecast
    return f"{forecast.score:.3f} (90 % interval {forecast.low:.3f} to {forecast.high:.3f})"


def bad_words(result: Result) -> str:
    """Return a sentence on a result's bad stretches; empty if it has none."""
    if not len(result.spikes.bad):
        return ""
    lost = result.seconds - result.good_seconds
    return (
        f"{lost:.3g} of {result.seconds:.3g} s are bad and were left out: {_kinds(result)}. "
        "There, spikes were neither looked for nor expected; rates are per second of the rest."
    )


def _kinds(result: Result) -> str:
    by_kind = result.spikes.bad.seconds_by_kind(result.sorter.fs_hz)
    return ", ".join(f"{kind} {seconds:.3g} s" for kind, seconds in by_kind.items())


def _counted(unit_ids: Iterable[int], confusion: npt.NDArray[np.int64]) -> dict[int, Shares]:
    reported, true = confusion.sum(axis=0), confusion.sum(axis=1)
    return {
        unit: Shares(float(reported[k]), float(confusion[k, k]), float(true[k]))
        for k, unit in enumerate(unit_ids)
    }


def _expected(result: Result, unit: int, rehearsed: Shares) -> Shares:
    joint = result.spikes.of(unit).joint
    stated = float(joint.mean()) if len(joint) else 0.0
    right = len(joint) * min(stated, stated if rehearsed.precision is None else rehearsed.precision)
    if right:
        return Shares(len(joint), right, right / rehearsed.recall if rehearsed.recall else math.nan)
    return Shares(len(joint), 0.0, math.nan)


def _together(every: Iterable[Shares]) -> Shares:
    several = list(every)
    return Shares(
        sum(one.reported for one in several),
        sum(one.right for one in several),
        sum(one.true for one in several if not math.isnan(one.true)),
    )


def _sentences(whole: Shares, measured: bool) -> str:
    words = whole.words or (
        "no spikes were found" if not whole.reported else "nearly all spikes are found and right"
    )
    if whole.words:
        words = words.replace(" are ", " spikes are ", 1)
    text = f"{words[0].upper()}{words[1:]}"
    return f"{text}: {'' if measured else 'expected, '}{whole.sentence}." if whole.sentence else f"{text}."


def _least(shares: Shares) -> float:
    return min((one for one in (shares.precision, shares.recall) if one is not None), default=0.0)


def _level(value: float) -> str:
    return "good" if value >= GOOD else "fair" if value >= FAIR else "poor"


def _much(share: float) -> str:
    return "most" if share > MOST else "many" if share > MANY else "some" if share > SOME else ""


def of_100(share: float) -> str:
    """Return a share in words.

    Examples
    --------
    >>> of_100(0.934), of_100(0.999), of_100(1.0)
    ('93 of 100', 'more than 99 of 100', 'all')
    """
    rounded = round(100 * share)
    if rounded == 100 and share < 1:
        return "more than 99 of 100"
    if rounded == 0 and share > 0:
        return "fewer than 1 of 100"
    return "all" if share >= 1 else f"{rounded} of 100"
