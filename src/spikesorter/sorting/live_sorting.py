"""Sort the samples of a stream as far as they have arrived.

The steps are those of sorting a file, applied to the samples received so far. Each step starts as soon as the
samples in its margin have arrived. Spikes are therefore the same, to the last bit, for any size of packets.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from spikesorter.core.spikes import Spikes
from spikesorter.signal.filters import GRID_SAMPLES, fir_filter_on_grid
from spikesorter.signal.spans import read_span
from spikesorter.sorting.live_following import LiveFollowing
from spikesorter.sorting.live_gate import LiveGate
from spikesorter.sorting.live_level import LiveLevel
from spikesorter.sorting.state import SorterState

__all__ = ["LiveSorting", "Recent"]

FloatArray = npt.NDArray[np.float32]
NativeArray = npt.NDArray[Any]


class Recent:
    """The last part of a signal, addressed by samples counted from its beginning."""

    def __init__(self, columns: int) -> None:
        self.first = 0
        self.values = np.zeros((0, columns), np.float32)

    @property
    def end(self) -> int:
        """Number of values of the signal so far."""
        return self.first + len(self.values)

    def append(self, values: FloatArray) -> None:
        """Add the next values."""
        self.values = np.concatenate([self.values, values])

    def read(self, start: int, stop: int) -> FloatArray:
        """Return samples, padded beyond either end with the first or last value."""
        start, stop = start - self.first, stop - self.first
        return read_span(lambda a, b: self.values[a:b], len(self.values), start, stop)

    def forget(self, start: int) -> None:
        """Drop the values before a sample."""
        gone = min(max(start - self.first, 0), max(len(self.values) - 1, 0))
        if 2 * gone > len(self.values):  # not at each packet
            self.values = self.values[gone:].copy()
            self.first += gone


class LiveSorting:
    """What has been received of a stream after calibration, and how far it is sorted.

    Parameters
    ----------
    state : SorterState
    fs_hz : float
    channels : int
    follow : bool
        Whether to follow changes of the units' sizes and the noise.
    """

    def __init__(self, state: SorterState, fs_hz: float, channels: int, *, follow: bool) -> None:
        self.state = state
        self.following = LiveFollowing(state) if follow else None
        self.update_at = self.following.period_samples if self.following else 0
        self.kept_from = 0  # sample after the last one that an update has used
        self.since_update = Spikes.empty()
        self.decoder = state.tuned.decoder
        self.gate = LiveGate(state.own_screen, state.profile.offset, fs_hz)
        self.level = LiveLevel(state.own_screen, fs_hz, state.used_ids)
        self.hum = state.hum_filter
        self.raw = Recent(channels)  # without the offset and bad stretches
        self.trace = self.raw if self.hum is None else Recent(channels)
        grid, overlap = self.decoder.grid_samples, self.decoder.overlap_samples
        self.next_block = -overlap // grid * grid
        if self.hum is not None:  # the hum filter may reach before the beginning
            self.trace.first = (self.next_block - self.decoder.margin.before) // GRID_SAMPLES * GRID_SAMPLES
        self.evidence: FloatArray | None = None  # from sample `picked` - `pick_reach` on
        self.picked = 0
        self.pending = Spikes.from_arrays([], [])
        self.decided = 0

    def push(self, packet: NativeArray) -> Spikes:
        """Add samples, and return the spikes that have become final."""
        self.level.push(packet)
        self.raw.append(self.gate.push(packet))
        return self._advance(ended=False)

    def flush(self) -> Spikes:
        """Return the last spikes."""
        self.level.flush()
        self.raw.append(self.gate.flush())
        if self.raw.end == 0:
            return self.pending
        return self._advance(ended=True)

    def _advance(self, *, ended: bool) -> Spikes:
        if self.hum is not None:
            self._clean(self.hum, ended=ended)
        found = []
        while self.following and self._arrived >= self.update_at:
            found.append(self._sorted(self.update_at, ended=False))
            self._update(self.following, found[-1])
        found.append(self._sorted(None, ended=ended))
        if self.following:
            self.since_update = Spikes.concatenate([self.since_update, found[-1]])
        return found[0] if len(found) == 1 else Spikes.concatenate(found)

    @property
    def _arrived(self) -> int:
        """End of the last block whose samples have arrived."""
        grid = self.decoder.grid_samples
        return (self.trace.end - self.decoder.margin.after) // grid * grid

    def _sorted(self, limit: int | None, *, ended: bool) -> Spikes:
        """Sort all blocks that have arrived, or those before a limit."""
        self._explain(limit, ended=ended)
        self._pick(ended=ended)
        return self._decide(ended=ended)

    def _update(self, following: LiveFollowing, found: Spikes) -> None:
        """Change the decoder by what was found since it changed last, in whatever packets that came."""
        start, stop, margin = self.kept_from, self.decided, following.margin
        if stop > start:
            spikes = Spikes.concatenate([self.since_update, found]).shifted(-start)
            trace = self.trace.read(start - margin.before, stop + margin.after)
            self.decoder = following.follow(trace, spikes, self.gate.bad.within(start, stop).shifted(-start))
        self.since_update = Spikes.empty()
        self.kept_from = stop
        self.update_at += following.period_samples

    def _clean(self, hum: npt.NDArray[np.float64], *, ended: bool) -> None:
        """Remove the hum from all blocks whose samples have arrived."""
        half = len(hum) // 2
        beyond = self.decoder.margin.after + self.decoder.grid_samples + self.decoder.overlap_samples
        stop = self.raw.end + beyond if ended else (self.raw.end - half) // GRID_SAMPLES * GRID_SAMPLES
        if stop > self.trace.end and self.raw.end:
            self.trace.append(fir_filter_on_grid(self.raw.read, hum, self.trace.end, stop))
            self.raw.forget(self.trace.end - half - GRID_SAMPLES)

    def _explain(self, limit: int | None, *, ended: bool) -> None:
        """Compute the evidence of all blocks whose samples have arrived, or of those before a limit."""
        grid, margin, overlap = self.decoder.grid_samples, self.decoder.margin, self.decoder.overlap_samples
        if ended:
            stop = -(-(self.raw.end + overlap) // grid) * grid
        else:
            stop = self._arrived if limit is None else limit
        if stop <= self.next_block:
            return
        rows = self.decoder.evidence(self.trace.read(self.next_block - margin.before, stop + margin.after))
        self._add(rows, self.next_block - overlap)
        self.next_block = stop
        kept = [stop - margin.before]
        if self.following:
            kept.append(self.kept_from - self.following.margin.before)
        self.trace.forget(min(kept))

    def _add(self, rows: FloatArray, start: int) -> None:
        """Add evidence to that of earlier blocks; there is none before the beginning."""
        if self.evidence is None:
            self.evidence = np.zeros((self.decoder.pick_reach, rows.shape[1]), np.float32)
        first = self.picked - self.decoder.pick_reach
        missing = max(start + len(rows) - first - len(self.evidence), 0)
        self.evidence = np.concatenate([self.evidence, np.zeros((missing, rows.shape[1]), np.float32)])
        begin = max(-start, 0)
        at = start + begin - first
        self.evidence[at : at + len(rows) - begin] += rows[begin:]

    def _pick(self, *, ended: bool) -> None:
        """Pick the candidates whose evidence is complete."""
        reach = self.decoder.pick_reach
        stop = self.raw.end if ended else self.next_block - self.decoder.overlap_samples - reach
        if stop <= self.picked or self.evidence is None:
            return
        first = self.picked - reach
        known = self.evidence[: (self.raw.end if ended else stop + reach) - first]
        if ended:
            known = np.pad(known, ((0, stop + reach - first - len(known)), (0, 0)))
        found = self.decoder.pick(known)
        if len(found):
            above = self.state.tuned.above_threshold(found.shifted(self.picked))
            whole = above.outside(self.gate.bad, seen_samples=self.state.seen_samples)
            self.pending = Spikes.concatenate([self.pending, whole])
        self.evidence = self.evidence[stop - self.picked :]
        self.picked = stop

    def _decide(self, *, ended: bool) -> Spikes:
        """Return the spikes that have become final, as their refractory period is over."""
        point = self.state.tuned.point
        stop = self.picked if ended else max(self.picked - point.refractory_samples, 0)
        if len(self.pending) == 0:
            self.decided = stop
            return self.pending
        final = point.drop_refractory(self.pending).within(self.decided, stop)
        self.pending = self.pending.within(stop - point.refractory_samples, self.picked)
        self.decided = stop
        return final
