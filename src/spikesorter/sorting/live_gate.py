"""Take bad stretches out of a stream, as `sorting.screening` takes them out of a recording."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from spikesorter.core.bad_stretches import BadStretches
from spikesorter.io.samples import centred
from spikesorter.signal.gate import (
    BEFORE_MS,
    FADE_AFTER_MS,
    FADE_INSIDE_MS,
    LEVEL_MS,
    Gate,
    baseline,
    recovery,
)
from spikesorter.signal.screen import AROUND, Cells, Screen, find_bad_cells, may_be_bad, measure_cells
from spikesorter.signal.spans import to_samples

__all__ = ["LiveGate"]

FloatArray = npt.NDArray[np.float32]
NativeArray = npt.NDArray[Any]


class LiveGate:
    """Gate for samples as they arrive; what it returns does not depend on the size of the packets.

    Parameters
    ----------
    screen : Screen
    offset : ndarray of float64, shape (channels,)
    fs_hz : float

    Examples
    --------
    >>> from spikesorter.sorting.screens import new_screen
    >>> trace = np.random.default_rng(0).standard_normal((25_000, 1))
    >>> trace[9_600:12_000] = np.nan
    >>> gate = LiveGate(new_screen(fs_hz=25_000, channels=1), np.zeros(1), 25_000)
    >>> parts = [gate.push(packet) for packet in np.split(trace, 10)] + [gate.flush()]
    >>> sum(map(len, parts)), list(gate.bad)
    (25000, [BadStretch(start=9588, stop=12012, kind='missing')])
    """

    def __init__(self, screen: Screen, offset: npt.NDArray[np.float64], fs_hz: float) -> None:
        self.screen, self.offset, self.fs_hz = screen, offset, fs_hz
        self.channels = len(offset)
        self.bad = BadStretches()
        self._raw: NativeArray = np.zeros((0, self.channels))
        self._first = 0  # sample at which `_raw` begins
        self._cells: Cells | None = None  # of the last whole cells
        self._cells_end = 0  # the cell after them
        self._suspect_end = 0  # the cell after the last one that may be bad
        self._judged = 0  # cells
        self._passed = 0  # samples returned
        self._level = max(to_samples(LEVEL_MS, fs_hz), 1)
        self._earlier = max(to_samples(BEFORE_MS, fs_hz), 1)
        self._fading = to_samples(FADE_INSIDE_MS, fs_hz)
        self._reach = to_samples(FADE_AFTER_MS + FADE_INSIDE_MS, fs_hz) + self._level
        self._before: list[FloatArray] = []  # baselines beside the bad stretches
        self._after: list[FloatArray] = []
        self._rates: list[FloatArray] = []
        self._ended = False

    def push(self, packet: NativeArray) -> FloatArray:
        """Add samples, and return those that have become final, without offset and bad stretches."""
        self._raw = np.concatenate([self._raw, packet]) if len(self._raw) else np.array(packet)
        return self._pass_on()

    def flush(self) -> FloatArray:
        """Return the last samples."""
        self._ended = True
        return self._pass_on()

    @property
    def _end(self) -> int:
        return self._first + len(self._raw)

    def _pass_on(self) -> FloatArray:
        self._measure()
        self._judge()
        stop = self._final()
        if stop <= self._passed:
            return np.zeros((0, self.channels), np.float32)
        trace = self._read(self._passed, stop)
        if len(self.bad) and self.bad.stop[-1] + self._reach > self._passed:
            self._find_baselines()
            trace = self._gate().applied(trace, self._passed)
        self._passed = stop
        self._forget()
        return trace

    def _measure(self) -> None:
        """Measure the cells that are complete."""
        size = self.screen.cell_samples
        begin = self._cells_end * size - self._first
        whole = len(self._raw) if self._ended else begin + (len(self._raw) - begin) // size * size
        if whole <= begin:
            return
        new = measure_cells(self._raw[begin:whole], size)
        before = self._cells_end
        self._cells = new if self._cells is None else Cells.joined([self._cells, new])
        self._cells_end += len(new)
        latest = Cells(self._cells.low[-len(new) - AROUND :], self._cells.high[-len(new) - AROUND :])
        if may_be_bad(latest, self.screen):
            self._suspect_end = self._cells_end
        margin = self.screen.margin_cells
        kept = margin.before + margin.after + self._cells_end - before
        if len(self._cells) > 2 * kept:
            self._cells = Cells(self._cells.low[-kept:], self._cells.high[-kept:])

    def _judge(self) -> None:
        """Decide which of the cells whose margin has arrived are bad."""
        margin, size = self.screen.margin_cells, self.screen.cell_samples
        stop = self._cells_end if self._ended else self._cells_end - margin.after
        if self._cells is None or stop <= self._judged:
            return
        if self._suspect_end > self._judged - margin.before:
            first = self._cells_end - len(self._cells)
            kinds = find_bad_cells(self._cells, self.screen)[self._judged - first : stop - first]
            for at in np.flatnonzero(kinds >= 0).tolist():
                self._add((self._judged + at) * size, int(kinds[at]))
        self._judged = stop

    def _add(self, start: int, kind: int) -> None:
        stop = min(start + self.screen.cell_samples, self._end)
        bad = self.bad
        if len(bad) and bad.stop[-1] == start:
            kinds = np.r_[bad.kind[:-1], min(kind, int(bad.kind[-1]))]
            self.bad = BadStretches(bad.start, np.r_[bad.stop[:-1], stop], kinds)
        else:
            self.bad = BadStretches(np.r_[bad.start, start], np.r_[bad.stop, stop], np.r_[bad.kind, kind])

    def _final(self) -> int:
        """Return the sample up to which the trace is final."""
        judged = min(self._judged * self.screen.cell_samples, self._end)
        if self._ended or not len(self.bad):
            return judged
        start, after = int(self.bad.start[-1]), int(self.bad.stop[-1])
        if judged <= after and judged - start < self._fading:  # how long it is decides how the baseline fades
            return min(start, judged)
        return judged if judged - after >= self._level else min(after, judged)

    def _find_baselines(self) -> None:
        """Measure the baselines that can be measured by now; that after an open stretch is not needed yet."""
        bad, level = self.bad, self._level
        for k in range(len(self._before), len(bad)):
            edge, start = int(bad.stop[k - 1]) if k else 0, int(bad.start[k])
            self._before.append(baseline(self._read(max(start - self._earlier, edge), start)))
        judged = self._end if self._ended else self._judged * self.screen.cell_samples
        for k in range(len(self._after), len(bad)):
            stop = int(bad.stop[k])
            limit = int(bad.start[k + 1]) if k + 1 < len(bad) else self._end
            if k + 1 < len(bad) or self._ended or judged - stop >= level:
                after, rate = recovery(self._read(stop, min(stop + level, limit)), fs_hz=self.fs_hz)
                self._after.append(after)
                self._rates.append(rate)

    def _gate(self) -> Gate:
        """Return the gate of the stretches that still matter."""
        first = int(np.searchsorted(self.bad.stop, self._passed - self._reach, "right"))
        bad = BadStretches(self.bad.start[first:], self.bad.stop[first:], self.bad.kind[first:])
        unknown = [np.zeros(self.channels, np.float32)] * (len(self.bad) - len(self._after))
        before, after, rates = (
            np.reshape(side[first:], (len(bad), -1))
            for side in (self._before, self._after + unknown, self._rates + unknown)
        )
        return Gate(bad, before, after, rates, self.fs_hz)

    def _read(self, start: int, stop: int) -> FloatArray:
        return centred(self._raw[start - self._first : stop - self._first], self.offset)

    def _forget(self) -> None:
        """Drop what neither a cell nor a baseline is measured from any more."""
        oldest = min(self._passed - self._earlier, self._cells_end * self.screen.cell_samples)
        gone = max(oldest - self._first, 0)
        if 2 * gone > len(self._raw):
            self._raw = self._raw[gone:].copy()
            self._first += gone
