"""Find pulses that repeat, such as those of a stimulator whose times nobody wrote down.

A pulse is an artefact with a sharp edge. Those that have one shape are aligned to it; others, such as taps on
the electrode, stay what they are.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from spikesorter.core.bad_stretches import BadStretches
from spikesorter.io.responses import FEWEST, without_responses
from spikesorter.io.samples import read_samples
from spikesorter.signal.screen import Screen
from spikesorter.signal.spans import to_samples
from spikesorter.sorting.screening import find_bad_stretches
from spikesorter.sorting.screens import screen_for

if TYPE_CHECKING:
    from spikeinterface import BaseRecording

__all__ = ["find_pulses", "subtract_pulses", "windows_of"]

logger = logging.getLogger(__name__)
Trace = npt.NDArray[np.float32]
Events = npt.NDArray[np.int64]
EDGE_MS = 0.2  # in which the trace rises or falls at the edge of a pulse
STEP = 1 / 2  # of what no spike and no noise make, by which it does so
REST_MS = 3.0  # without such an edge before the first one of a pulse
BEFORE_MS, AFTER_MS = 0.5, 2.0  # around the first edge: what is compared
APART_MS = 0.3  # of a pulse from the shape that others have, at most, before they are aligned
ALIKE = 0.9  # cosine of the angle between a pulse and the shape
SIZES = (0.5, 2.0)  # of pulses of one shape
LEARNT_FROM, ROUNDS = 256, 3
EDGED = ("artefact", "saturated")


def find_pulses(recording: BaseRecording, screen: Screen, *, fs_hz: float, n_jobs: int | None = 1) -> Events:
    """Find pulses of one shape in a recording.

    Parameters
    ----------
    recording : spikeinterface.BaseRecording
        With the channels of the labelled one.
    screen : Screen
        Of the labelled recording.
    fs_hz : float
    n_jobs : int, optional
        Number of threads; it does not affect the result.

    Returns
    -------
    ndarray of int64, shape (pulses,)
        Samples of their first edges; none if there are fewer than eight.

    Examples
    --------
    >>> from spikeinterface.core import NumpyRecording
    >>> trace = np.random.default_rng(0).standard_normal((50_000, 1)).astype(np.float32)
    >>> trace[np.arange(1000, 50_000, 2500)[:, None] + np.arange(20), 0] += 500
    >>> screen = Screen(12, spikes=np.array([9.0]), quiet=np.array([3.0]), offset=np.zeros(1))
    >>> find_pulses(NumpyRecording([trace], 25_000.0), screen, fs_hz=25_000.0)[:3]
    array([1000, 3500, 6000])
    """
    own = screen_for(recording, screen)
    bad = find_bad_stretches(recording, own, n_jobs=n_jobs or 1)
    found = [_edges(recording, one.start, one.stop, own, fs_hz) for one in bad if one.kind in EDGED]
    events = np.concatenate([*found, np.zeros(0, np.int64)])
    if len(events) < FEWEST:
        return np.zeros(0, np.int64)
    alike = _aligned(recording, events, fs_hz)
    return alike if len(alike) >= FEWEST else np.zeros(0, np.int64)


def subtract_pulses(
    recording: BaseRecording,
    found: list[Events],
    *,
    subtract_ms: float,
    window_ms: tuple[float, float],
    fs_hz: float,
) -> tuple[BaseRecording, BadStretches]:
    """Return a recording without the response to its pulses, and the windows around them.

    Parameters
    ----------
    recording : spikeinterface.BaseRecording
    found : list of ndarray of int64
        Pulses of each group of channels.
    subtract_ms : float
        Until how long after each pulse its response is subtracted.
    window_ms : (float, float)
    fs_hz : float
    """
    events = np.unique(np.concatenate(found))
    events = events[np.diff(events, prepend=-np.iinfo(np.int32).max) > to_samples(REST_MS, fs_hz)]
    if not len(events):
        logger.warning("no pulses of one shape are found, so no response is subtracted")
        return recording, BadStretches()
    before_ms, blank_ms = max(-window_ms[0], 0.0), max(window_ms[1], 0.0)
    cleaned = without_responses(
        recording, events, before_ms=before_ms, after_ms=subtract_ms, blank_ms=blank_ms
    )
    return cleaned, windows_of(events, recording.get_num_frames(), window_ms=window_ms, fs_hz=fs_hz)


def windows_of(
    events: Events, n_samples: int, *, window_ms: tuple[float, float], fs_hz: float
) -> BadStretches:
    """Return the windows around events as artefacts.

    Examples
    --------
    >>> windows_of(np.array([50, 990]), 1000, window_ms=(-10, 20), fs_hz=1000.0).seconds_by_kind(1000.0)
    {'artefact': 0.05}
    """
    first, last = math.floor(window_ms[0] * fs_hz / 1000), math.ceil(window_ms[1] * fs_hz / 1000)
    edges = [(max(event + first, 0), min(event + last, n_samples)) for event in events.tolist()]
    return BadStretches.of([(start, stop, "artefact") for start, stop in edges if start < stop])


def _edges(recording: BaseRecording, start: int, stop: int, screen: Screen, fs_hz: float) -> Events:
    """Return where the pulses of a bad stretch begin: at an edge with none for a while before it."""
    rise, rest = max(to_samples(EDGE_MS, fs_hz), 1), to_samples(REST_MS, fs_hz)
    first = max(start - rise, 0)
    trace = read_samples(recording, first, stop).astype(np.float64)
    beyond = (np.abs(trace[rise:] - trace[:-rise]) > STEP * screen.limit).any(axis=1)
    at = np.flatnonzero(beyond)
    begins = at[np.diff(at, prepend=-rest - 1) > rest]
    return np.asarray(begins + first + rise, np.int64)


@dataclass(frozen=True, eq=False)
class _Windows:
    """Windows of a recording around events, with room to shift them on either side."""

    recording: BaseRecording
    before: int
    length: int
    room: int

    def of(self, event: int) -> Trace | None:
        """Return the trace around an event, from its level before; None at the recording's ends."""
        start = event - self.before - self.room
        stop = start + self.length + 2 * self.room
        if start < 0 or stop > self.recording.get_num_frames():
            return None
        trace: Trace = np.nan_to_num(read_samples(self.recording, start, stop).astype(np.float32))
        level = np.median(trace[: max(self.before, 1)], axis=0).astype(np.float32)
        return np.asarray(trace - level, np.float32)

    def shifted(self, wide: Trace, shape: Trace) -> tuple[int, float, float]:
        """Return the shift at which a window is most like a shape, how much so, and its size."""
        views = np.lib.stride_tricks.sliding_window_view(wide, self.length, axis=0)  # shift, channel, sample
        products = np.einsum("kcs,sc->k", views, shape)
        best = int(np.argmax(products))
        energy = float(np.sum(shape**2))
        own = float(np.sum(wide[best : best + self.length] ** 2))
        return best, float(products[best]) / max((energy * own) ** 0.5, 1e-30), float(products[best]) / energy


def _aligned(recording: BaseRecording, events: Events, fs_hz: float) -> Events:
    """Return the events of one shape, each where it is most like that shape."""
    before, after = to_samples(BEFORE_MS, fs_hz), to_samples(AFTER_MS, fs_hz)
    windows = _Windows(recording, before, before + after, max(to_samples(APART_MS, fs_hz), 1))
    some = events[np.unique(np.linspace(0, len(events) - 1, LEARNT_FROM).round().astype(int))]
    wide = [one for one in map(windows.of, some.tolist()) if one is not None]
    shape = _shape(wide, [windows.room] * len(wide), windows.length)
    for _ in range(ROUNDS):
        if not np.any(shape):
            return np.zeros(0, np.int64)
        shape = _shape(wide, [windows.shifted(one, shape)[0] for one in wide], windows.length)
    found = []
    for event in events.tolist():
        one = windows.of(event)
        if one is None:
            continue
        shift, alike, size = windows.shifted(one, shape)
        if alike >= ALIKE and SIZES[0] <= size <= SIZES[1]:
            found.append(event + shift - windows.room)
    return np.unique(np.array(found, np.int64))


def _shape(wide: list[Trace], shifts: list[int], length: int) -> Trace:
    """Return the median of windows, each at its own shift."""
    parts = [one[shift : shift + length] for one, shift in zip(wide, shifts, strict=True)]
    return np.asarray(np.median(parts, axis=0), np.float32) if parts else np.zeros((length, 1), np.float32)
