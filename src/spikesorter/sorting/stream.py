"""Sort a recording while it is being made; spikes are returned as soon as they are final.

The steps are those of sorting a file, applied to the samples received so far. Each step starts as soon as the
samples in its margin have arrived. Spikes are therefore the same, to the last bit, for any size of packets.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from spikesorter.core.bad_stretches import BadStretches
from spikesorter.core.errors import InputError, SettingsError
from spikesorter.core.progress import silent
from spikesorter.core.spikes import Spikes
from spikesorter.signal.filters import GRID_SAMPLES, fir_filter_on_grid
from spikesorter.signal.spans import read_span
from spikesorter.sorting.adaptation import adapt_state, low_latency_state
from spikesorter.sorting.live_following import LiveFollowing
from spikesorter.sorting.live_gate import LiveGate
from spikesorter.sorting.live_level import LiveLevel
from spikesorter.sorting.state import SorterState

__all__ = ["Stream", "open_stream"]

FloatArray = npt.NDArray[np.float32]
NativeArray = npt.NDArray[Any]
LONGEST_CALIBRATION_S = 1e5


def open_stream(
    state: SorterState,
    fs_hz: float,
    *,
    low_latency: bool,
    calibration_seconds: float,
    follow: bool,
    n_jobs: int,
) -> Stream:
    """Return a stream that sorts with a sorter's state; see `Sorter.stream`."""
    state.check_rate(fs_hz)
    if not 0 <= calibration_seconds <= LONGEST_CALIBRATION_S:  # also refuses NaN
        raise SettingsError(
            f"calibration_seconds must be between 0 (no calibration) and {LONGEST_CALIBRATION_S:g}, "
            f"not {calibration_seconds:g}"
        )
    if state.settings.outliers.mark:
        raise SettingsError("outliers.mark: a stream cannot mark outlier spikes; train without it")

    if follow and low_latency:
        raise SettingsError("follow: not with low latency, as each update takes tens of milliseconds")
    if follow and not calibration_seconds:
        LiveFollowing(state)  # refuses a decoder that cannot follow at once

    def prepare(calibration: NativeArray) -> SorterState:
        prepared = state
        if len(calibration):
            from spikeinterface.core import NumpyRecording

            beginning = NumpyRecording([calibration], state.fs_hz)
            prepared = adapt_state(state, beginning, n_jobs=n_jobs, progress=silent)
        if low_latency and prepared.tuned.name != "low_latency":
            return low_latency_state(prepared, n_jobs=n_jobs, progress=silent)
        return prepared

    return Stream(
        fs_hz=state.fs_hz,
        channels=state.channels,
        names=state.names,
        prepare=prepare,
        calibration_samples=round(calibration_seconds * state.fs_hz),
        follow=follow,
    )


class Stream:
    """Sorter of samples as they arrive; `Sorter.stream` returns one.

    Parameters
    ----------
    fs_hz : float
    channels : int
    names : mapping of int to str
        Names of the units.
    prepare : callable
        Returns the state of the sorter to use, given the samples of the calibration period.
    calibration_samples : int
        Length of that period; 0: none. It is then sorted as well.
    follow : bool
        Whether to follow changes of the units' sizes and the noise.

    Examples
    --------
    >>> stream = sorter.stream(25_000)                            # doctest: +SKIP
    >>> for packet in packets:                                    # doctest: +SKIP
    ...     spikes = stream.push(packet)
    ...     print(spikes.sample, spikes.unit, stream.behind_seconds)
    >>> last_spikes = stream.flush()                              # doctest: +SKIP
    """

    def __init__(
        self,
        *,
        fs_hz: float,
        channels: int,
        names: Mapping[int, str],
        prepare: Callable[[NativeArray], SorterState],
        calibration_samples: int = 0,
        follow: bool = False,
    ) -> None:
        self.fs_hz = fs_hz
        self.channels = channels
        self.names = names
        self._prepare = prepare
        self._follow = follow
        self._calibration_samples = calibration_samples
        self._waiting: list[NativeArray] = []
        self._running: _Running | None = None if calibration_samples else self._begin(np.zeros((0, channels)))
        self._received = 0
        self._flushed = False

    @property
    def received_samples(self) -> int:
        """Number of samples received."""
        return self._received

    @property
    def decided_samples(self) -> int:
        """Number of samples, from the first, whose spikes have all been reported."""
        return self._running.decided if self._running else 0

    @property
    def behind_seconds(self) -> float:
        """Length of the signal received whose spikes are not yet final."""
        return (self.received_samples - self.decided_samples) / self.fs_hz

    @property
    def bad(self) -> BadStretches:
        """Bad stretches found so far, of which the last one may not have ended."""
        return self._running.gate.bad if self._running else BadStretches()

    @property
    def doubt(self) -> str:
        """Why the spikes of the last whole second may be wrong, in words; "" if its noise is as expected."""
        return self._running.level.doubt if self._running else ""

    @property
    def fits_from(self) -> int | None:
        """First sample of the first whole second whose noise fits the sorter; None before there is one.

        After `renew`, of the first one since then.
        """
        return self._running.level.fits_from if self._running else None

    @property
    def compared_samples(self) -> int:
        """Number of samples, from the first, whose noise has been compared with the sorter's."""
        return self._running.level.compared_samples if self._running else 0

    def renew(self) -> None:
        """Say that what is pushed next may be something else, as after a lost connection; see `fits_from`."""
        if self._running:
            self._running.level.renew()

    @property
    def state(self) -> SorterState | None:
        """State of the sorter in use; None during calibration."""
        return self._running.state if self._running else None

    def push(self, samples: npt.ArrayLike) -> Spikes:
        """Add the next samples, any number of them.

        Parameters
        ----------
        samples : array_like, shape (samples,) or (samples, channels)

        Returns
        -------
        Spikes
            Spikes that have become final, counted from the stream's first sample. They come after all spikes
            returned before.

        Raises
        ------
        InputError
            If the samples have another number of channels or are no numbers, or the stream was flushed.
            Samples added before are not affected.
        """
        packet = self._checked(samples)
        self._received += len(packet)
        if self._running is None:
            self._waiting.append(packet)
            if self._received < self._calibration_samples:
                return self._described(Spikes.empty())
            packet = np.concatenate(self._waiting)
            self._running = self._begin(packet[: self._calibration_samples])
            self._waiting = []
        return self._described(self._running.push(packet))

    def flush(self) -> Spikes:
        """End the stream and return its last spikes.

        Raises
        ------
        InputError
            If the stream ends during calibration, or was flushed before.
        """
        if self._flushed:
            raise InputError("stream: already flushed; make a new one")
        if self._running is None:
            raise InputError(
                f"stream: ended after {self._received / self.fs_hz:.1f} s, before its calibration of "
                f"{self._calibration_samples / self.fs_hz:g} s"
            )
        self._flushed = True
        return self._described(self._running.flush())

    def _described(self, spikes: Spikes) -> Spikes:
        described = spikes.described(fs_hz=self.fs_hz, names=self.names)
        return replace(described, doubts=(self.doubt,) if self.doubt else ())

    def _begin(self, calibration: NativeArray) -> _Running:
        return _Running(self._prepare(calibration), self.fs_hz, self.channels, follow=self._follow)

    def _checked(self, samples: npt.ArrayLike) -> NativeArray:
        if self._flushed:
            raise InputError("stream: already flushed; make a new one")
        packet = np.array(samples)
        packet = packet[:, None] if packet.ndim == 1 else packet
        if packet.ndim != 2 or packet.shape[1] != self.channels:
            raise InputError(
                f"stream: expected samples of shape (samples, {self.channels}), not {np.shape(samples)}"
            )
        if packet.dtype.kind not in "iuf":
            raise InputError(f"stream: expected numbers, not {packet.dtype}")
        return packet


class _Recent:
    """The last part of a signal, addressed by samples counted from its beginning."""

    def __init__(self, columns: int) -> None:
        self.first = 0
        self.values = np.zeros((0, columns), np.float32)

    @property
    def end(self) -> int:
        return self.first + len(self.values)

    def append(self, values: FloatArray) -> None:
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


class _Running:
    """A stream after calibration, with the state to sort it."""

    def __init__(self, state: SorterState, fs_hz: float, channels: int, *, follow: bool) -> None:
        self.state = state
        self.following = LiveFollowing(state) if follow else None
        self.update_at = self.following.period_samples if self.following else 0
        self.kept_from = 0  # sample after the last one that an update has used
        self.since_update = Spikes.empty()
        self.decoder = state.tuned.decoder
        self.gate = LiveGate(state.own_screen, state.profile.offset, fs_hz)
        self.level = LiveLevel(state.own_screen, fs_hz)
        self.hum = state.hum_filter
        self.raw = _Recent(channels)  # without the offset and bad stretches
        self.trace = self.raw if self.hum is None else _Recent(channels)
        grid, overlap = self.decoder.grid_samples, self.decoder.overlap_samples
        self.next_block = -overlap // grid * grid
        if self.hum is not None:  # the hum filter may reach before the beginning
            self.trace.first = (self.next_block - self.decoder.margin.before) // GRID_SAMPLES * GRID_SAMPLES
        self.evidence: FloatArray | None = None  # from sample `picked` - `pick_reach` on
        self.picked = 0
        self.pending = Spikes.from_arrays([], [])
        self.decided = 0

    def push(self, packet: NativeArray) -> Spikes:
        self.level.push(packet)
        self.raw.append(self.gate.push(packet))
        return self._advance(ended=False)

    def flush(self) -> Spikes:
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
            above = self.state.tuned.above_threshold(found.shifted(self.picked)).outside(self.gate.bad)
            self.pending = Spikes.concatenate([self.pending, above])
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
