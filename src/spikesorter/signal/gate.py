"""Take bad stretches out of a trace before it is filtered, so that filters do not spread them.

A stretch is replaced by the baseline before it, which fades out. After a stretch the baseline may be another
one, as after a tap on the electrode, or return by and by, as an amplifier recovers from a pulse: an
exponential or a constant is subtracted, and what is left of that fades out slowly, below the band of the
spikes. Both depend only on samples just before and just after the stretch, so a part of a recording is gated
like the whole.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from spikesorter.core.bad_stretches import BadStretches
from spikesorter.signal.spans import to_samples

__all__ = [
    "BEFORE_MS",
    "FADE_AFTER_MS",
    "FADE_INSIDE_MS",
    "LEVEL_MS",
    "Gate",
    "baseline",
    "make_gate",
    "recovery",
]

Trace = npt.NDArray[np.float32]
BEFORE_MS = 12.0  # in which the baseline before a stretch is measured: so long that a spike does not shift it
LEVEL_MS = 4.0  # in which the baseline after a stretch is measured
FADE_INSIDE_MS = 5.0  # at most; in a shorter stretch the baseline before it fades out by its end
DECAYS_MS = (np.inf, *np.geomspace(60.0, 1.5, 18).tolist())  # in which a baseline may fall to 1 / e
FADE_AFTER_MS = 150.0  # so slow that hardly anything of it is left in the band of the spikes


@dataclass(frozen=True, eq=False)
class Gate:
    """Bad stretches of a recording, and the baseline beside them.

    Parameters
    ----------
    bad : BadStretches
    before, after : ndarray of float32, shape (stretches, channels)
        Baseline just before and just after each stretch, without the recording's offset.
    rates : ndarray of float32, shape (stretches, channels)
        Rate at which the baseline decays after each stretch, per sample.
    fs_hz : float
    """

    bad: BadStretches
    before: Trace
    after: Trace
    rates: Trace
    fs_hz: float

    def applied(self, trace: Trace, start: int) -> Trace:
        """Return part of a recording without its bad stretches.

        Parameters
        ----------
        trace : ndarray of float32, shape (samples, channels)
            Without the offset.
        start : int
            Sample of the recording with which it begins.

        Returns
        -------
        ndarray of float32, shape (samples, channels)
        """
        stop, reach = start + len(trace), len(self._fade_after)
        touched = np.flatnonzero((self.bad.start < stop) & (self.bad.stop + reach > start))
        if not len(touched):
            return trace
        gated = trace.copy()
        for k in touched.tolist():
            _place(gated, self._inside(k), int(self.bad.start[k]) - start)
            after, at = -self._baseline(k), int(self.bad.stop[k]) - start
            _place(gated, after, at, add=True)
        return gated

    def _inside(self, k: int) -> Trace:
        """Return what replaces a stretch: the corrected baseline before it, fading out."""
        length = int(self.bad.stop[k] - self.bad.start[k])
        level = self.before[k]
        if k > 0:
            earlier = self._baseline(k - 1)
            if len(earlier) == self.bad.start[k] - self.bad.stop[k - 1] and len(earlier):
                level = level - earlier[-1]
        inside = np.zeros((length, self.before.shape[1]), np.float32)
        fade = _fade(min(length, to_samples(FADE_INSIDE_MS, self.fs_hz)))
        inside[: len(fade)] = fade[:, None] * level
        return inside

    def _baseline(self, k: int) -> Trace:
        """Return the baseline after a stretch, fading out, up to the next stretch."""
        following = self.bad.start[k + 1] if k + 1 < len(self.bad) else np.iinfo(np.int64).max
        fade = self._fade_after[: int(min(following - self.bad.stop[k], len(self._fade_after)))]
        left = np.exp(-self.rates[k] * np.arange(len(fade), dtype=np.float32)[:, None])
        return np.asarray(fade[:, None] * left * self.after[k], np.float32)

    @cached_property
    def _fade_after(self) -> Trace:
        return _fade(to_samples(FADE_AFTER_MS, self.fs_hz))


def make_gate(bad: BadStretches, read: Callable[[int, int], Trace], *, fs_hz: float, channels: int) -> Gate:
    """Measure the baseline beside each stretch, and return the gate.

    Parameters
    ----------
    bad : BadStretches
    read : callable
        Returns the trace from `start` to `stop` without its offset; what lies beyond the recording's ends is
        left out.
    fs_hz : float
    channels : int

    Returns
    -------
    Gate

    Examples
    --------
    A step of the baseline becomes a slow return to it:

    >>> trace = np.float32(np.r_[np.zeros(1000), np.full(50, 900.0), np.full(1000, 100.0)])[:, None]
    >>> bad = BadStretches.of([(1000, 1050, "artefact")])
    >>> gate = make_gate(bad, lambda start, stop: trace[max(start, 0) : stop], fs_hz=1000, channels=1)
    >>> gated = gate.applied(trace, 0)[:, 0]
    >>> gated[[999, 1000, 1049, 1050, 1125, 1300]].round()
    array([  0.,   0.,   0.,   0.,  50., 100.], dtype=float32)
    """
    earlier, length = (max(to_samples(ms, fs_hz), 1) for ms in (BEFORE_MS, LEVEL_MS))
    edges = np.r_[0, bad.stop], np.r_[bad.start, np.iinfo(np.int64).max]
    before, after, rates = (np.zeros((len(bad), channels), np.float32) for _ in range(3))
    for k in range(len(bad)):
        start, stop = int(bad.start[k]), int(bad.stop[k])
        before[k] = baseline(read(max(start - earlier, int(edges[0][k])), start))
        following = read(stop, min(stop + length, int(edges[1][k + 1])))
        after[k], rates[k] = recovery(following, fs_hz=fs_hz)
    return Gate(bad, before, after, rates, fs_hz)


def baseline(part: Trace) -> Trace:
    """Return the baseline of each channel in part of a trace: its median, or 0 if there is nothing.

    Examples
    --------
    >>> baseline(np.float32([[1], [9], [2]]))
    array([2.], dtype=float32)
    """
    return np.asarray(np.median(part, axis=0) if len(part) else np.zeros(part.shape[1]), np.float32)


def recovery(part: Trace, *, fs_hz: float) -> tuple[Trace, Trace]:
    """Fit an exponential or a constant to each channel, by least absolute differences, as spikes stand out.

    Parameters
    ----------
    part : ndarray of float32, shape (samples, channels)
        What follows a stretch.
    fs_hz : float

    Returns
    -------
    level : ndarray of float32, shape (channels,)
        Of the baseline, where the part begins.
    rate : ndarray of float32, shape (channels,)
        At which it decays, per sample.

    Examples
    --------
    >>> tail = 80 * np.exp(-np.arange(100) / 200)
    >>> tail[30:60] += 900  # a spike
    >>> level, rate = recovery(np.float32(tail)[:, None], fs_hz=25_000)
    >>> level.round(), (1 / rate).round()
    (array([80.], dtype=float32), array([213.], dtype=float32))
    """
    if not len(part):
        return np.zeros(part.shape[1], np.float32), np.zeros(part.shape[1], np.float32)
    rates = np.array([1000 / (ms * fs_hz) for ms in DECAYS_MS], np.float32)
    left = np.exp(-rates[:, None, None] * np.arange(len(part), dtype=np.float32)[:, None])
    # The level that fits best is the median of these ratios, each weighted by what is left at its sample.
    ratios = part / left
    order = np.argsort(ratios, axis=1)
    below = np.cumsum(np.take_along_axis(np.broadcast_to(left, ratios.shape), order, axis=1), axis=1)
    middle = (below < below[:, -1:] / 2).sum(axis=1, keepdims=True)
    levels = np.take_along_axis(np.take_along_axis(ratios, order, axis=1), middle, axis=1)
    best = abs(part - left * levels).sum(axis=1).argmin(axis=0)
    return levels[best, 0, np.arange(part.shape[1])], rates[best]


def _fade(samples: int) -> Trace:
    """Return half a cosine from 1 to 0."""
    return np.asarray(0.5 + 0.5 * np.cos(np.pi * np.arange(samples) / max(samples, 1)), np.float32)


def _place(trace: Trace, values: Trace, at: int, *, add: bool = False) -> None:
    """Put values into a trace at a position, of which only a part may lie inside it."""
    first, last = max(at, 0), min(at + len(values), len(trace))
    if first < last:
        part = values[first - at : last - at]
        trace[first:last] = trace[first:last] + part if add else part
