"""Packets of a live recording: samples, and when they were taken by the source's own clock."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from spikesorter.core.errors import InputError

__all__ = ["BREAK_S", "LONGEST_GAP_S", "Packet", "SourceClock", "fill_gaps", "idle", "missing", "scaled"]

logger = logging.getLogger(__name__)
LONGEST_GAP_S = 10.0
"""A longer gap is shortened to this, so that a source that was off for a night costs nothing."""
BREAK_S = 0.1
"""What is put where a source begins anew, so that no waveform is made of samples from before and after."""


@dataclass(frozen=True, eq=False)
class Packet:
    """Samples that came together; none, if the source had nothing new within a moment.

    Parameters
    ----------
    samples : ndarray, shape (samples, channels)
        NaN where samples are missing.
    stamps : ndarray of float64, shape (samples,), optional
        When they were taken, in seconds by the source's clock, if it has one.
    renewed : bool
        Whether the source began anew, so that what comes may be another recording.
    """

    samples: npt.NDArray[Any]
    stamps: npt.NDArray[np.float64] | None = None
    renewed: bool = False

    def __len__(self) -> int:
        return len(self.samples)


def idle(channels: int) -> Packet:
    """Return a packet without samples, with which a source lets others act while it waits.

    Examples
    --------
    >>> len(idle(4))
    0
    """
    return Packet(np.zeros((0, channels), np.float32))


def missing(n_samples: int, channels: int, *, renewed: bool = False) -> Packet:
    """Return a packet of missing samples.

    Examples
    --------
    >>> missing(2, 1).samples.tolist()
    [[nan], [nan]]
    """
    return Packet(np.full((n_samples, channels), np.nan, np.float32), renewed=renewed)


def fill_gaps(packets: Iterator[Packet], *, fs_hz: float, jitter_s: float) -> Iterator[Packet]:
    """Put missing samples where the stamps of a source jump.

    Parameters
    ----------
    packets : iterator of Packet
        With stamps.
    fs_hz : float
    jitter_s : float
        Smaller jumps are taken for inaccurate stamps.

    Yields
    ------
    Packet
        A gap longer than `LONGEST_GAP_S` is shortened to it. Where the stamps go back, `BREAK_S` are missing,
        as the source began anew.

    Examples
    --------
    >>> packets = [Packet(np.ones((2, 1)), np.array([5.0, 5.1])), Packet(np.ones((1, 1)), np.array([5.5]))]
    >>> [len(packet) for packet in fill_gaps(iter(packets), fs_hz=10.0, jitter_s=0.05)]
    [2, 3, 1]
    """
    latest: float | None = None
    for packet in packets:
        if packet.stamps is None or not len(packet):
            yield packet
            continue
        stamps = packet.stamps
        before = np.concatenate([[stamps[0] - 1 / fs_hz if latest is None else latest], stamps[:-1]])
        jumps = stamps - before - 1 / fs_hz
        cuts = set(np.flatnonzero(np.abs(jumps) > jitter_s).tolist())
        edges = sorted({0, *cuts, len(stamps)})
        for first, stop in pairwise(edges):
            if first in cuts:
                yield _gap(float(jumps[first]), float(stamps[first]), fs_hz, packet.samples.shape[1])
            yield Packet(packet.samples[first:stop], stamps[first:stop], packet.renewed and not first)
        latest = float(stamps[-1])


def _gap(jump_s: float, stamp: float, fs_hz: float, channels: int) -> Packet:
    """Return the missing samples before the one with this stamp."""
    anew = not 0 < jump_s <= LONGEST_GAP_S
    length_s = jump_s if not anew else LONGEST_GAP_S if jump_s > 0 else BREAK_S
    n_samples = max(round(length_s * fs_hz), 1)
    what = f"{jump_s:.3g} s are missing" if jump_s > 0 else f"the clock went back by {-jump_s:.3g} s"
    logger.warning("the source's time stamps jump before %.6f s: %s", stamp, what)
    gap = missing(n_samples, channels, renewed=anew)
    return Packet(gap.samples, stamp - np.arange(n_samples, 0, -1) / fs_hz, renewed=anew)


def scaled(packets: Iterator[Packet], factor: float) -> Iterator[Packet]:
    """Multiply samples, as from microvolts to the counts of a converter.

    Raises
    ------
    InputError
        If the factor is not a number above 0.

    Examples
    --------
    >>> next(scaled(iter([Packet(np.array([[2], [4]], np.int16))]), 0.5)).samples.tolist()
    [[1.0], [2.0]]
    """
    if not 0 < factor < np.inf:
        raise InputError(f"scale must be a number above 0, not {factor:g}")
    if factor == 1:
        return packets
    by = np.float32(factor)
    return (replace(packet, samples=packet.samples.astype(np.float32) * by) for packet in packets)


class SourceClock:
    """When samples were taken: as the source says, or counted from the first one.

    Parameters
    ----------
    fs_hz : float

    Examples
    --------
    >>> clock = SourceClock(10.0)
    >>> clock.add(Packet(np.ones((3, 1)), np.array([7.0, 7.1, 7.2])))
    >>> clock.time_s(1), SourceClock(10.0).time_s(1)
    (7.1, 0.1)
    """

    def __init__(self, fs_hz: float) -> None:
        self.fs_hz = fs_hz
        self._received = 0
        self._known: deque[tuple[int, npt.NDArray[np.float64]]] = deque()

    def add(self, packet: Packet) -> None:
        """Add the stamps of the next samples."""
        if packet.stamps is not None and len(packet):
            self._known.append((self._received, packet.stamps))
        self._received += len(packet)

    def time_s(self, sample: int) -> float:
        """Return the time of a sample, in seconds; without a stamp, counted from the nearest that has one."""
        for first, stamps in reversed(self._known):
            if first <= sample:
                beyond = max(sample - first - len(stamps) + 1, 0)
                return float(stamps[sample - first - beyond]) + beyond / self.fs_hz
        if self._known:
            first, stamps = self._known[0]
            return float(stamps[0]) + (sample - first) / self.fs_hz
        return sample / self.fs_hz

    def forget(self, sample: int) -> None:
        """Drop the stamps of samples before this one."""
        while len(self._known) > 1 and self._known[1][0] <= sample:
            self._known.popleft()
