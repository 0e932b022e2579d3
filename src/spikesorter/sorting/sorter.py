"""The sorter: fitted to a labelled recording, adapted to targets, and run on them."""

from __future__ import annotations

from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from spikesorter.core.cores import effective_n_jobs
from spikesorter.core.errors import InputError, SettingsError
from spikesorter.core.progress import Progress, silent
from spikesorter.core.score import score
from spikesorter.core.sections import MOST_REFRACTORY_MS
from spikesorter.core.settings import Settings, check_settings
from spikesorter.core.spikes import Spikes
from spikesorter.decoding.candidates import WorkingPoint
from spikesorter.decoding.run import TraceReader, read_evidence
from spikesorter.estimation.profile import Profile
from spikesorter.estimation.units import Units
from spikesorter.io.model_files import read_model, write_model
from spikesorter.io.samples import as_spikes
from spikesorter.sorting.adaptation import adapt_state, low_latency_state
from spikesorter.sorting.fitting import fit_state
from spikesorter.sorting.spans import sort_recording, trace_reader
from spikesorter.sorting.state import SorterState
from spikesorter.sorting.stream import Stream, open_stream

if TYPE_CHECKING:
    from spikeinterface import BaseRecording, BaseSorting

    from spikesorter.sorting.diagnostics import Diagnostics
    from spikesorter.sorting.forecast import Forecast

__all__ = ["SPAN_SECONDS", "Sorter", "check_threshold"]

FloatArray = npt.NDArray[np.float32]

SPAN_SECONDS = 10.0


class Sorter:
    """A spike sorter, fitted to one labelled recording.

    `Sorter.fit` and `Sorter.load` make one, so it is always fitted. `adapt` and the other methods that change
    something return a new sorter; a sorter itself never changes.

    Examples
    --------
    >>> from spikesorter import Sorter, read_mat
    >>> recording, labels = read_mat("D1.mat")                   # doctest: +SKIP
    >>> sorter = Sorter.fit(recording, labels)                   # doctest: +SKIP
    >>> target, _ = read_mat("D5.mat")                           # doctest: +SKIP
    >>> spikes = sorter.adapt(target).sort(target)               # doctest: +SKIP
    """

    __slots__ = ("_state",)
    _state: SorterState

    def __init__(self, *args: object, **kwargs: object) -> None:
        raise InputError("Sorter() makes nothing; use Sorter.fit(recording, labels) or Sorter.load(folder)")

    @classmethod
    def fit(
        cls,
        recording: BaseRecording,
        labels: Spikes | BaseSorting,
        *,
        settings: Settings | None = None,
        n_jobs: int | None = None,
        progress: Progress = silent,
    ) -> Sorter:
        """Learn the units of a labelled recording, and train base networks if the settings may need any.

        Parameters
        ----------
        recording : spikeinterface.BaseRecording
            One segment.
        labels : Spikes or spikeinterface.BaseSorting
            Its spikes. The same point of every spike must be labelled, be it the start or the peak. Found
            spikes are reported at that point.
        settings : Settings, optional
            Defaults if not given.
        n_jobs : int, optional
            Threads; -1 or None: one on each core. They change no result.
        progress : callable, optional
            Called with the name of a step and the share of it that is done.

        Returns
        -------
        Sorter
            For recordings like the labelled one.

        Raises
        ------
        InputError
            If the recording or the labels cannot be used.
        SettingsError
            If the settings are not `Settings`, or exclude each other.
        """
        settings = check_settings(settings).tuned_for("strict")
        return cls._of(
            fit_state(recording, labels, settings, n_jobs=effective_n_jobs(n_jobs), progress=progress)
        )

    def adapt(
        self, target: BaseRecording, *, n_jobs: int | None = None, progress: Progress = silent
    ) -> Sorter:
        """Adapt to a target: rehearse it, and train and tune on the rehearsal. No labels are needed.

        Parameters
        ----------
        target : spikeinterface.BaseRecording
            Of the same electrode, at the same sampling rate.
        n_jobs : int, optional
            Threads; -1 or None: one on each core. They change no result.
        progress : callable, optional

        Returns
        -------
        Sorter
            A new one, for this target and recordings like it.

        Raises
        ------
        InputError
            If the target does not fit the sorter or cannot be used.
        """
        return self._of(adapt_state(self._state, target, n_jobs=effective_n_jobs(n_jobs), progress=progress))

    def sort(
        self,
        target: BaseRecording,
        *,
        n_jobs: int | None = None,
        span_seconds: float = SPAN_SECONDS,
        resume: Path | None = None,
        progress: Progress = silent,
    ) -> Spikes:
        """Find the spikes of a recording and assign them to units.

        Parameters
        ----------
        target : spikeinterface.BaseRecording
            The one that the sorter was adapted to, or one like it.
        n_jobs : int, optional
            Threads; -1 or None: one on each core. They change no result.
        span_seconds : float
            Length of the spans in which the recording is read, each by one thread; rounded to whole blocks
            of the decoder. It changes no result.
        resume : Path, optional
            Folder to keep finished spans in. If an interrupted run of the same recording, sorter and span
            length left some there, they are not computed again. Removing the folder is up to you.
        progress : callable, optional

        Returns
        -------
        Spikes

        Raises
        ------
        InputError
            If the recording does not fit the sorter, or holds NaN or infinite samples.
        SettingsError
            If `span_seconds` is not more than 0.
        """
        return sort_recording(
            self._state,
            target,
            n_jobs=effective_n_jobs(n_jobs),
            span_seconds=span_seconds,
            resume=resume,
            progress=progress,
        )

    def score(
        self, target: BaseRecording, truth: Spikes | BaseSorting, *, n_jobs: int | None = None
    ) -> float:
        """Sort a recording and return its score, as a study counts it: 0 to 1.

        Parameters
        ----------
        target : spikeinterface.BaseRecording
        truth : Spikes or spikeinterface.BaseSorting
            Its true spikes. `spikesorter.score` returns more than one number.
        n_jobs : int, optional
            Threads; -1 or None: one on each core.

        Returns
        -------
        float
        """
        true = as_spikes(truth, fs_hz=self.fs_hz)
        return score(true, self.sort(target, n_jobs=n_jobs), fs_hz=self.fs_hz).score

    def low_latency(self, *, n_jobs: int | None = None, progress: Progress = silent) -> Sorter:
        """Return a sorter for the same recordings that decides within milliseconds, for closed loops.

        Its decoder `low_latency` sees only the past and the first part of a spike. It is rehearsed, tuned
        and forecast like any other.

        Parameters
        ----------
        n_jobs : int, optional
            Threads; -1 or None: one on each core.
        progress : callable, optional

        Returns
        -------
        Sorter
        """
        if self.decoder == "low_latency":
            return self
        return self._of(low_latency_state(self._state, n_jobs=effective_n_jobs(n_jobs), progress=progress))

    def stream(
        self,
        fs_hz: float,
        *,
        mode: Literal["exact", "low_latency"] = "exact",
        calibration_seconds: float = 0.0,
        n_jobs: int | None = None,
    ) -> Stream:
        """Sort a recording while it goes on.

        Parameters
        ----------
        fs_hz : float
            Its sampling rate.
        mode : {"exact", "low_latency"}
            exact: the spikes that `sort` would find. low_latency: those that the sorter returned by the
            method `low_latency` would find; preparing it takes some seconds.
        calibration_seconds : float
            How much of the beginning to adapt to first. 0 if the sorter was adapted to this recording, or to
            one like it. That part is sorted as well, once it is over.
        n_jobs : int, optional
            Threads for adapting; -1 or None: one on each core.

        Returns
        -------
        Stream

        Raises
        ------
        InputError
            If the rate is not the sorter's.
        SettingsError
            If the mode, the calibration time or `n_jobs` makes no sense, or if outlier spikes are to be
            marked: that takes all other spikes first.
        """
        if mode not in ("exact", "low_latency"):
            raise SettingsError(f"mode must be exact or low_latency, not {mode!r}")
        return open_stream(
            self._state,
            fs_hz,
            low_latency=mode == "low_latency",
            calibration_seconds=calibration_seconds,
            n_jobs=effective_n_jobs(n_jobs),
        )

    def evidence(self, target: BaseRecording, *, start: int = 0, stop: int | None = None) -> FloatArray:
        """Return the decoder's curves: evidence that a spike starts at each sample.

        Parameters
        ----------
        target : spikeinterface.BaseRecording
        start, stop : int, optional
            Samples wanted; all if not given.

        Returns
        -------
        ndarray of float32, shape (stop - start, curves)
            One curve for each unit, in the order of `units.known` (published networks: one for all units):
            the expected number of spikes (pursuit), or the probability of one.

        Raises
        ------
        InputError
            If the recording does not fit the sorter, or the samples lie beyond its ends.
        """
        self._state.check_fits(target)
        n_samples = target.get_num_frames()
        last = n_samples if stop is None else stop
        if not 0 <= start < last <= n_samples:
            raise InputError(f"no samples from {start} to {last}: the recording has {n_samples}")
        decoder = self._state.tuned.decoder
        curves = decoder.curves(read_evidence(decoder, self.trace_reader(target), n_samples, start, last))
        return curves[:, : len(self.units.known)]

    def trace_reader(self, target: BaseRecording) -> TraceReader:
        """Return a way to read a recording as decoders get it: without its offset and hum.

        Parameters
        ----------
        target : spikeinterface.BaseRecording

        Returns
        -------
        callable
            Returns samples from one place to another as float32, shape (samples, channels). Beyond the ends
            the trace keeps its first or last value.
        """
        return trace_reader(target, self.profile, fs_hz=self.fs_hz)

    def with_working_point(
        self, *, threshold: float | None = None, refractory_ms: float | None = None
    ) -> Sorter:
        """Return a sorter with another threshold or refractory period than the tuned ones.

        Parameters
        ----------
        threshold : float, optional
            Least probability of a spike, for all units; stays as it was tuned if not given.
        refractory_ms : float, optional
            Least distance between two spikes; likewise.

        Returns
        -------
        Sorter

        Raises
        ------
        SettingsError
            If the threshold is no probability or the period is negative.
        """
        check_threshold(threshold)
        if refractory_ms is not None and not 0 <= refractory_ms <= MOST_REFRACTORY_MS:
            raise SettingsError(
                f"refractory_ms must lie between 0 and {MOST_REFRACTORY_MS:g}, not at {refractory_ms}"
            )
        return self._of(self._state.with_working_point(threshold=threshold, refractory_ms=refractory_ms))

    def save(self, folder: str | Path) -> None:
        """Write the sorter to a folder, whole or not at all: JSON and plain arrays, no code."""
        write_model(self._state, Path(folder))

    @classmethod
    def load(cls, folder: str | Path) -> Sorter:
        """Read a sorter written by `save`.

        Raises
        ------
        ModelError
            If the folder holds no sorter, a damaged one, or one of another format.
        """
        return cls._of(read_model(SorterState, Path(folder)))

    @property
    def settings(self) -> Settings:
        """Settings that it was fitted with."""
        return self._state.settings

    @property
    def fs_hz(self) -> float:
        """Sampling rate of the recordings that it sorts."""
        return self._state.fs_hz

    @property
    def channels(self) -> int:
        """Number of channels of the recordings that it sorts."""
        return self._state.channels

    @property
    def units(self) -> Units:
        """Units that it knows: templates, amplitudes, intervals."""
        return self._state.units

    @property
    def names(self) -> dict[int, str]:
        """Names of the labelled units, by unit id."""
        return self._state.names

    @property
    def profile(self) -> Profile:
        """Noise, gain, firing rates and background of the recording adapted to."""
        return self._state.profile

    @property
    def decoder(self) -> str:
        """Name of the decoder that was chosen."""
        return self._state.tuned.name

    @property
    def point(self) -> WorkingPoint:
        """Thresholds and refractory period: how candidates become spikes."""
        return self._state.tuned.point

    @property
    def forecast(self) -> Forecast:
        """Score to expect, from a rehearsal."""
        return self._state.forecast

    @property
    def diagnostics(self) -> Diagnostics:
        """Expected precision, recall, calibration and confusion, from a rehearsal."""
        return self._state.diagnostics

    @property
    def state(self) -> SorterState:
        """All that it holds. For the package's own use: its fields may change between versions."""
        return self._state

    @classmethod
    def _of(cls, state: SorterState) -> Sorter:
        sorter = object.__new__(cls)
        sorter._state = state
        return sorter

    def __repr__(self) -> str:
        return (
            f"Sorter({len(self.units.known)} units, {self.channels} channel(s), {self.fs_hz:g} Hz, "
            f"decoder {self.decoder})"
        )


def check_threshold(threshold: object) -> None:
    """Refuse a threshold that is no probability; None leaves it to the tuning.

    Raises
    ------
    SettingsError
    """
    if threshold is None:
        return
    if not isinstance(threshold, Real) or not 0 <= float(threshold) <= 1:
        raise SettingsError(f"threshold must lie between 0 and 1, not at {threshold}")
