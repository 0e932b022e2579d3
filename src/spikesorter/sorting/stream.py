"""Streams: sort a recording while it is being made; spikes are returned as soon as they are final."""

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
from spikesorter.sorting.adaptation import adapt_state, low_latency_state
from spikesorter.sorting.live_following import LiveFollowing
from spikesorter.sorting.live_sorting import LiveSorting
from spikesorter.sorting.state import SorterState

__all__ = ["Stream", "open_stream"]

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
        channels=state.received,
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
        self._columns = list(range(channels))  # of the packets, that the sorter goes by
        self._running: LiveSorting | None = (
            None if calibration_samples else self._begin(np.zeros((0, channels)))
        )
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
        return self._described(self._running.push(packet[:, self._columns]))

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

    def _begin(self, calibration: NativeArray) -> LiveSorting:
        state = self._prepare(calibration)
        self._columns = list(state.columns)
        return LiveSorting(state, self.fs_hz, len(self._columns), follow=self._follow)

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
