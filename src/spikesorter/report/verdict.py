"""How good a result is, in words."""

from __future__ import annotations

from spikesorter.core.score import Score, score
from spikesorter.core.spikes import UNKNOWN
from spikesorter.report.results import Result

__all__ = ["bad_words", "level_of", "measured_score", "value_of", "verdict_words"]

GOOD, FAIR = 0.9, 0.7  # scores


def measured_score(result: Result) -> Score | None:
    """Return the score against the true spikes, or None if they are not known."""
    if result.truth is None:
        return None
    known = result.spikes.select(result.spikes.unit != UNKNOWN)
    return score(result.truth, known, fs_hz=result.sorter.fs_hz)


def value_of(result: Result, measured: Score | None) -> float:
    """Return the measured score, or the expected one if none was measured."""
    forecast = 0.0 if result.doubts else result.sorter.forecast.score
    return forecast if measured is None else measured.score


def level_of(value: float) -> str:
    """Return the word for a score."""
    return "good" if value >= GOOD else "fair" if value >= FAIR else "poor"


def verdict_words(result: Result, measured: Score | None) -> str:
    """Return a result's verdict in a sentence or two."""
    forecast = result.sorter.forecast
    expected = f"{forecast.score:.3f} (90 % interval {forecast.low:.3f} to {forecast.high:.3f})"
    if result.doubts:
        words = f"No score is forecast: {'; '.join(result.doubts)}."
        return words if measured is None else f"Score {measured.score:.3f} against the truth. {words}"
    if measured is None:
        return f"Expected score {expected}, forecast on a rehearsal, without labels of this recording."
    return f"Score {measured.score:.3f} against the truth. The expected score was {expected}."


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
