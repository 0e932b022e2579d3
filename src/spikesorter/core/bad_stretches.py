"""`BadStretches`: parts of a recording in which spikes can neither be found nor missed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from spikesorter.core.errors import InputError
from spikesorter.core.spike_arrays import Int64Array, whole_numbers

__all__ = ["KINDS", "BadStretch", "BadStretches"]

KINDS = ("given", "missing", "dead", "saturated", "artefact")
"""Why a stretch is bad; where stretches of several kinds touch, the first of these counts."""


class BadStretch(NamedTuple):
    """One bad stretch: its first sample, the sample after its last one, and its kind."""

    start: int
    stop: int
    kind: str


def _none() -> Int64Array:
    return np.zeros(0, np.int64)


@dataclass(frozen=True, eq=False)
class BadStretches:
    """Bad stretches of one recording: in order of time, apart from each other.

    Spikes are neither reported nor expected in them, and nothing is estimated from them.

    Parameters
    ----------
    start, stop : ndarray of int64, shape (stretches,)
        First sample of each stretch, and the sample after its last one.
    kind : ndarray of int64, shape (stretches,)
        Positions in `KINDS`.

    Raises
    ------
    InputError
        If they differ in length, are empty or reversed, or touch or overlap each other.

    See Also
    --------
    BadStretches.of : takes stretches in any order, which may overlap.

    Examples
    --------
    >>> bad = BadStretches.of([(500, 700, "artefact"), (100, 200, "missing"), (650, 800, "given")])
    >>> list(bad)
    [BadStretch(start=100, stop=200, kind='missing'), BadStretch(start=500, stop=800, kind='given')]
    >>> bad.contain([99, 100, 199, 200, 750])
    array([False,  True,  True, False,  True])
    """

    start: Int64Array = field(default_factory=_none)
    stop: Int64Array = field(default_factory=_none)
    kind: Int64Array = field(default_factory=_none)

    def __post_init__(self) -> None:
        for name in ("start", "stop", "kind"):
            values = np.array(whole_numbers(f"bad stretches: {name}", getattr(self, name)), np.int64)
            values.flags.writeable = False
            object.__setattr__(self, name, values)
        if not self.start.shape == self.stop.shape == self.kind.shape == (len(self.start),):
            raise InputError("bad stretches: start, stop and kind must be lists of one length")
        if np.any(self.start < 0) or np.any(self.stop <= self.start):
            raise InputError("bad stretches: each must start at sample 0 or later and stop after its start")
        if np.any(self.start[1:] <= self.stop[:-1]):
            raise InputError("bad stretches: must be in order and apart; BadStretches.of puts them so")
        if np.any((self.kind < 0) | (self.kind >= len(KINDS))):
            raise InputError(f"bad stretches: a kind is none of {', '.join(KINDS)}")

    @classmethod
    def of(cls, stretches: list[tuple[int, int, str]] | list[BadStretch]) -> BadStretches:
        """Make bad stretches of (start, stop, kind), in any order; those that touch or overlap become one.

        Raises
        ------
        InputError
            If a stretch is empty or reversed, or its kind unknown.
        """
        unknown = {kind for _, _, kind in stretches} - {*KINDS}
        if unknown:
            raise InputError(f"bad stretches: {unknown.pop()!r} is none of {', '.join(KINDS)}")
        joined: list[BadStretch] = []
        for start, stop, kind in sorted(stretches):
            if stop <= start:
                raise InputError(f"bad stretches: from sample {start} to {stop} is nothing")
            if joined and start <= joined[-1].stop:
                last = joined.pop()
                start, stop = last.start, max(last.stop, stop)
                kind = min(kind, last.kind, key=KINDS.index)
            joined.append(BadStretch(start, stop, kind))
        starts, stops, kinds = zip(*joined, strict=True) if joined else ((), (), ())
        return cls(np.array(starts, np.int64), np.array(stops, np.int64),
                   np.array([KINDS.index(kind) for kind in kinds], np.int64))  # fmt: skip

    @property
    def samples(self) -> int:
        """Number of samples in them.

        Examples
        --------
        >>> BadStretches.of([(100, 200, "dead"), (500, 600, "artefact")]).samples
        200
        """
        return int((self.stop - self.start).sum())

    def seconds_by_kind(self, fs_hz: float) -> dict[str, float]:
        """Return the length of the stretches of each kind that occurs, in seconds.

        Examples
        --------
        >>> BadStretches.of([(100, 200, "dead"), (500, 650, "artefact")]).seconds_by_kind(1000.0)
        {'dead': 0.1, 'artefact': 0.15}
        """
        return {kind: samples / fs_hz for kind, samples in self.samples_by_kind.items()}

    @property
    def samples_by_kind(self) -> dict[str, int]:
        """Number of samples of each kind that occurs.

        Examples
        --------
        >>> BadStretches.of([(100, 200, "dead"), (500, 650, "artefact")]).samples_by_kind
        {'dead': 100, 'artefact': 150}
        """
        totals = np.bincount(self.kind, self.stop - self.start, minlength=len(KINDS))
        return {name: int(total) for name, total in zip(KINDS, totals, strict=True) if total}

    def contain(self, samples: npt.ArrayLike) -> npt.NDArray[np.bool_]:
        """Return for each sample whether it lies in a bad stretch."""
        at = np.asarray(samples)
        latest = np.searchsorted(self.start, at, "right") - 1
        inside = latest >= 0
        inside[inside] = at[inside] < self.stop[latest[inside]]
        return np.asarray(inside, np.bool_)

    def follow(self, samples: npt.ArrayLike, within: int) -> npt.NDArray[np.bool_]:
        """Return for each sample whether a stretch begins less than `within` samples after it.

        Examples
        --------
        >>> BadStretches.of([(100, 200, "dead")]).follow([90, 91, 100], within=10)
        array([False,  True, False])
        """
        at = np.asarray(samples)
        starts = np.r_[self.start, np.iinfo(np.int64).max // 2]
        return np.asarray(starts[np.searchsorted(self.start, at, "right")] - at < within, np.bool_)

    def within(self, start: int, stop: int) -> BadStretches:
        """Return the parts of the stretches from sample `start` to `stop`.

        Examples
        --------
        >>> list(BadStretches.of([(100, 200, "dead"), (500, 600, "artefact")]).within(150, 400))
        [BadStretch(start=150, stop=200, kind='dead')]
        """
        first, last = np.maximum(self.start, start), np.minimum(self.stop, stop)
        kept = first < last
        return BadStretches(first[kept], last[kept], self.kind[kept])

    def shifted(self, samples: int) -> BadStretches:
        """Return the stretches moved by a number of samples.

        Examples
        --------
        >>> list(BadStretches.of([(100, 200, "dead")]).shifted(-20))
        [BadStretch(start=80, stop=180, kind='dead')]
        """
        return BadStretches(self.start + samples, self.stop + samples, self.kind)

    def overlapping(self, start: int, stop: int) -> BadStretches:
        """Return the stretches, uncut, that have samples from `start` to `stop`.

        Examples
        --------
        >>> list(BadStretches.of([(100, 200, "dead"), (500, 600, "artefact")]).overlapping(150, 400))
        [BadStretch(start=100, stop=200, kind='dead')]
        """
        kept = (self.start < stop) & (self.stop > start)
        return BadStretches(self.start[kept], self.stop[kept], self.kind[kept])

    def joined(self, other: BadStretches) -> BadStretches:
        """Return all stretches of two sets.

        Examples
        --------
        >>> one, other = BadStretches.of([(100, 200, "dead")]), BadStretches.of([(150, 300, "given")])
        >>> list(one.joined(other))
        [BadStretch(start=100, stop=300, kind='given')]
        """
        if not len(self) or not len(other):
            return self if len(self) else other
        return BadStretches.of([*self, *other])

    def at_rate(self, ratio: float) -> BadStretches:
        """Return the stretches of the same recording at a sampling rate `ratio` times as high.

        Examples
        --------
        >>> list(BadStretches.of([(100, 201, "dead")]).at_rate(0.5))
        [BadStretch(start=50, stop=101, kind='dead')]
        """
        starts = np.floor(self.start * ratio).astype(np.int64).tolist()
        stops = np.ceil(self.stop * ratio).astype(np.int64).tolist()
        return BadStretches.of([(a, b, KINDS[k]) for a, b, k in zip(starts, stops, self.kind, strict=True)])

    def without(self, trace: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
        """Return a trace, shape (samples, channels), from which the stretches are cut out.

        Examples
        --------
        >>> BadStretches.of([(1, 3, "dead")]).without(np.arange(5)[:, None])[:, 0]
        array([0, 3, 4])
        """
        if not len(self):
            return trace
        edges = np.stack([np.r_[0, self.stop], np.r_[self.start, len(trace)]], axis=1)
        return np.concatenate([trace[a:b] for a, b in edges.tolist()])

    def moved(self, samples: Int64Array) -> Int64Array:
        """Return where samples outside the stretches come to lie when the stretches are cut out.

        Examples
        --------
        >>> BadStretches.of([(1, 3, "dead")]).moved(np.array([0, 3, 4]))
        array([0, 1, 2])
        """
        gone = np.r_[0, np.cumsum(self.stop - self.start)]
        return np.asarray(samples - gone[np.searchsorted(self.start, samples, "right")], np.int64)

    def moved_back(self, samples: Int64Array) -> Int64Array:
        """Return where samples came from that lie so when the stretches are cut out; see `moved`.

        Examples
        --------
        >>> BadStretches.of([(1, 3, "dead")]).moved_back(np.array([0, 1, 2]))
        array([0, 3, 4])
        """
        gone = np.r_[0, np.cumsum(self.stop - self.start)]
        seams = self.start - gone[:-1]  # where each stretch was, without those before it
        return np.asarray(samples + gone[np.searchsorted(seams, samples, "right")], np.int64)

    def __len__(self) -> int:
        return len(self.start)

    def __iter__(self) -> Iterator[BadStretch]:
        kinds = [KINDS[kind] for kind in self.kind.tolist()]
        return map(BadStretch._make, zip(self.start.tolist(), self.stop.tolist(), kinds, strict=True))

    def __repr__(self) -> str:
        shown = ", ".join(f"{kind} {samples}" for kind, samples in self.samples_by_kind.items())
        return f"BadStretches({len(self)}; samples: {shown})" if len(self) else "BadStretches(none)"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, BadStretches):
            return NotImplemented
        return all(np.array_equal(getattr(self, n), getattr(other, n)) for n in ("start", "stop", "kind"))
