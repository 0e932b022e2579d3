"""`Sorter`: fitted to a labelled recording, adapted to targets, and run on them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from spikesorter.core.bad_stretches import BadStretches
from spikesorter.core.cores import effective_n_jobs
from spikesorter.core.errors import InputError, SettingsError
from spikesorter.core.progress import Progress, silent
from spikesorter.core.score import score
from spikesorter.core.settings import Settings, check_settings
from spikesorter.core.spikes import Spikes
from spikesorter.decoding.run import TraceReader
from spikesorter.io.model_files import read_model, write_model
from spikesorter.io.samples import as_spikes
from spikesorter.sorting.adaptation import adapt_state, low_latency_state
from spikesorter.sorting.curves import evidence_of, trace_reader
from spikesorter.sorting.discovery import Discovery, discover_state
from spikesorter.sorting.finding.hints import Hints, Polarity
from spikesorter.sorting.fitting import fit_state
from spikesorter.sorting.known_sorter import KnownSorter
from spikesorter.sorting.spans import sort_recording
from spikesorter.sorting.state import SorterState
from spikesorter.sorting.stream import Stream, open_stream
from spikesorter.sorting.suiting import columns_without, suited, without_channels

if TYPE_CHECKING:
    from spikeinterface import BaseRecording, BaseSorting


__all__ = ["SPAN_SECONDS", "Sorter"]

FloatArray = npt.NDArray[np.float32]

SPAN_SECONDS = 10.0


class Sorter(KnownSorter):
    """A spike sorter, fitted to one labelled recording.

    Only `Sorter.fit` and `Sorter.load` make sorters, so a sorter is always fitted. It never changes: `adapt`
    and similar methods return a new sorter.

    Examples
    --------
    >>> from spikesorter import Sorter, read_mat
    >>> recording, labels = read_mat("D1.mat")                   # doctest: +SKIP
    >>> sorter = Sorter.fit(recording, labels)                   # doctest: +SKIP
    >>> target, _ = read_mat("D5.mat")                           # doctest: +SKIP
    >>> spikes = sorter.adapt(target).sort(target)               # doctest: +SKIP
    """

    __slots__ = ()

    def __init__(self, *args: object, **kwargs: object) -> None:
        raise InputError(
            "Sorter() cannot be called; use Sorter.fit(recording, labels) or Sorter.load(folder)"
        )

    @classmethod
    def fit(
        cls,
        recording: BaseRecording,
        labels: Spikes | BaseSorting,
        *,
        settings: Settings | None = None,
        exclude: BadStretches | None = None,
        n_jobs: int | None = None,
        progress: Progress = silent,
    ) -> Sorter:
        """Learn the units of a labelled recording, and train base networks if the settings may need them.

        Parameters
        ----------
        recording : spikeinterface.BaseRecording
            One segment.
        labels : Spikes or spikeinterface.BaseSorting
            Its spikes. All labels must mark the same point of a spike, such as its start or its peak. Found
            spikes are reported at that point.
        settings : Settings, optional
            Defaults if not given.
        exclude : BadStretches, optional
            Parts to leave out, beside the bad ones that are found and those of the labels.
        n_jobs : int, optional
            Number of threads; -1 or None: one on each core. It does not affect the result.
        progress : callable, optional
            Called with the name of a step and the share of it done.

        Returns
        -------
        Sorter
            For recordings like the labelled one.

        Raises
        ------
        InputError, SettingsError
            If the recording or the labels cannot be used, or settings contradict each other.
        """
        settings, jobs = check_settings(settings).tuned_for("strict"), effective_n_jobs(n_jobs)
        state = fit_state(recording, labels, settings, exclude=exclude, n_jobs=jobs, progress=progress)
        return cls._of(state)

    @classmethod
    def discover(
        cls,
        recording: BaseRecording,
        *,
        settings: Settings | None = None,
        n_units: int | None = None,
        polarity: Polarity | None = None,
        labels: Spikes | BaseSorting | None = None,
        first_unit: int = 1,
        exclude: BadStretches | None = None,
        n_jobs: int | None = None,
        progress: Progress = silent,
    ) -> Discovery:
        """Find the units of a recording without labels, fit a sorter to them, and sort the recording.

        Parameters
        ----------
        recording : spikeinterface.BaseRecording
            One segment. Of a long one, units are looked for in the middle 300 s, or those about the labels.
        settings : Settings, optional
            Defaults if not given, with the decoder `pursuit` in place of `auto`.
        n_units, polarity : optional
            How many units there are, and whether all spikes are "negative" or "positive", if it is known.
        labels : Spikes or spikeinterface.BaseSorting, optional
            Spikes that are known: some of a unit, or all of a part. They are among the result as they are,
            and their units keep numbers and names. Others are marked where the labels lie on theirs.
        first_unit, exclude, n_jobs, progress
            Least number of a unit that is found; as for `fit`.

        Returns
        -------
        Discovery
            Its sorter is None if there are no units.

        Raises
        ------
        InputError, SettingsError
            As for `fit`; also if the number of units or the polarity is invalid.
        """
        settings, jobs = check_settings(settings).tuned_for("strict"), effective_n_jobs(n_jobs)
        hints = Hints.of(recording, n_units=n_units, polarity=polarity, labels=labels, first_unit=first_unit)
        found = discover_state(recording, settings, hints, exclude=exclude, n_jobs=jobs, progress=progress)
        return Discovery(cls._of(found[0]) if found[0] else None, found[1], found[2])

    def adapt(
        self,
        target: BaseRecording,
        *,
        exclude: BadStretches | None = None,
        n_jobs: int | None = None,
        progress: Progress = silent,
    ) -> Sorter:
        """Adapt to a target: make a rehearsal of it, then train and tune on that. No labels are needed.

        Parameters
        ----------
        target : spikeinterface.BaseRecording
            From the same electrode, at the same sampling rate.
        exclude, n_jobs, progress
            As for `fit`.

        Returns
        -------
        Sorter
            A new sorter, for this target and recordings like it.

        Raises
        ------
        InputError
            If the target does not fit the sorter or cannot be used.
        """
        jobs = effective_n_jobs(n_jobs)
        return self._of(adapt_state(self._state, target, exclude=exclude, n_jobs=jobs, progress=progress))

    def sort(
        self,
        target: BaseRecording,
        *,
        exclude: BadStretches | None = None,
        n_jobs: int | None = None,
        span_seconds: float = SPAN_SECONDS,
        resume: Path | None = None,
        progress: Progress = silent,
    ) -> Spikes:
        """Find the spikes of a recording and assign them to units.

        Parameters
        ----------
        target : spikeinterface.BaseRecording
            The recording that the sorter was adapted to, or one like it.
        exclude, n_jobs, progress
            As for `fit`. Bad parts that are found: missing, dead or saturated stretches, and artefacts.
        span_seconds : float
            Length of the spans that the recording is split into, each processed by one thread; rounded to
            whole blocks of the decoder. It does not affect the result.
        resume : Path, optional
            Folder for finished spans. Spans left there by an interrupted run with the same recording, sorter
            and span length are not computed again. The folder is not removed at the end.

        Returns
        -------
        Spikes
            With the stretches that were left out, as `bad`.

        Raises
        ------
        InputError, SettingsError
            If the recording does not fit the sorter, or `span_seconds` is not more than 0.
        """
        jobs = effective_n_jobs(n_jobs)
        state = suited(self._state, target, exclude=exclude, n_jobs=jobs, progress=progress)
        return sort_recording(
            state,
            target,
            exclude=exclude,
            n_jobs=jobs,
            span_seconds=span_seconds,
            resume=resume,
            progress=progress,
        )

    def suited_to(
        self, target: BaseRecording, *, exclude: BadStretches | None = None, n_jobs: int | None = None
    ) -> Sorter:
        """Return the sorter that `sort` uses for a recording: this one, unless channels of it are broken.

        While a channel is dead, missing or full of artefacts, nothing can be sorted by all of them. Those
        channels are used that give the most good channel-time, and the decoder is tuned for these.

        Parameters
        ----------
        target : spikeinterface.BaseRecording
        exclude, n_jobs
            As for `fit`.

        Returns
        -------
        Sorter
            Its forecast is that for the channels that are used (`used_channels`).

        Raises
        ------
        InputError
            If the recording does not fit the sorter, or nothing can be sorted by the channels that are left.
        """
        jobs = effective_n_jobs(n_jobs)
        return self._of(suited(self._state, target, exclude=exclude, n_jobs=jobs))

    def without_channels(self, channels: Sequence[str | int], *, n_jobs: int | None = None) -> Sorter:
        """Return a sorter that goes by the other channels, for streams in which some are known to be broken.

        It takes the same recordings and streams as this one, with all channels.

        Parameters
        ----------
        channels : sequence of str or int
            Ids of the labelled recording's channels or, if none has that id, positions from 0.
        n_jobs
            As for `fit`.

        Returns
        -------
        Sorter

        Raises
        ------
        InputError
            If there is no such channel, none is left, or no unit can be told from noise on those left.
        """
        columns = columns_without(self._state, channels)
        return self._of(without_channels(self._state, columns, n_jobs=effective_n_jobs(n_jobs)))

    def score(
        self, target: BaseRecording, truth: Spikes | BaseSorting, *, n_jobs: int | None = None
    ) -> float:
        """Sort a recording and return its score, 0 to 1, as in a study.

        Parameters
        ----------
        target : spikeinterface.BaseRecording
        truth : Spikes or spikeinterface.BaseSorting
            Its true spikes. For other figures see `spikesorter.score`.
        n_jobs
            As for `fit`.
        """
        true = as_spikes(truth, fs_hz=self.fs_hz)
        return score(true, self.sort(target, n_jobs=n_jobs), fs_hz=self.fs_hz).score

    def low_latency(self, *, n_jobs: int | None = None, progress: Progress = silent) -> Sorter:
        """Return a sorter for the same recordings that decides within milliseconds, for closed loops.

        Its decoder `low_latency` uses only the past and the first part of a spike. It is tuned and forecast
        on a rehearsal like any other decoder.

        Parameters
        ----------
        n_jobs, progress
            As for `fit`.
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
        follow: bool = False,
        n_jobs: int | None = None,
    ) -> Stream:
        """Return a stream that sorts a recording while it is being made.

        Parameters
        ----------
        fs_hz : float
            Sampling rate.
        mode : {"exact", "low_latency"}
            exact: the spikes that `sort` would find. low_latency: the spikes that the sorter returned by
            `low_latency` would find; it takes some seconds to prepare.
        calibration_seconds : float
            Length of the beginning to adapt to first, which is then sorted as well; 0: none.
        follow : bool
            Whether to follow sizes of units and noise, from what was found before; the result differs from
            that of `sort`. Needs the decoder `pursuit`.
        n_jobs : int, optional
            Number of threads for adapting.

        Raises
        ------
        InputError, SettingsError
            If the rate is not the sorter's, an option is invalid, or outlier spikes are to be marked.
        """
        if mode not in ("exact", "low_latency"):
            raise SettingsError(f"mode must be exact or low_latency, not {mode!r}")
        return open_stream(
            self._state,
            fs_hz,
            low_latency=mode == "low_latency",
            calibration_seconds=calibration_seconds,
            follow=follow,
            n_jobs=effective_n_jobs(n_jobs),
        )

    def evidence(
        self,
        target: BaseRecording,
        *,
        start: int = 0,
        stop: int | None = None,
        bad: BadStretches | None = None,
    ) -> FloatArray:
        """Return the decoder's curves: evidence that a spike starts at each sample.

        Parameters
        ----------
        target : spikeinterface.BaseRecording
        start, stop : int, optional
            Range of samples; all if not given.
        bad : BadStretches, optional
            Bad stretches of the recording, as `sort` returns them; they are found again if not given.

        Returns
        -------
        ndarray of float32, shape (stop - start, curves)
            One curve for each unit, in the order of `units.known` (published networks: one for all units):
            the expected number of spikes (pursuit) or the probability of a spike (networks).

        Raises
        ------
        InputError
            If the recording does not fit the sorter, or the samples lie beyond its ends.
        """
        return evidence_of(self._state, target, start, stop, bad=bad)

    def trace_reader(self, target: BaseRecording, *, bad: BadStretches | None = None) -> TraceReader:
        """Return a function that reads a recording as input for decoders.

        Parameters
        ----------
        target : spikeinterface.BaseRecording
        bad : BadStretches, optional
            As for `evidence`.

        Returns
        -------
        callable
            Returns the samples from `start` to `stop` as float32, shape (samples, channels), without offset,
            hum and bad stretches, padded beyond the recording's ends with its first or last value.
        """
        return trace_reader(self._state, target, bad=bad)

    def with_working_point(
        self, *, threshold: float | None = None, refractory_ms: float | None = None
    ) -> Sorter:
        """Return a sorter with a threshold or refractory period other than the tuned one.

        Parameters
        ----------
        threshold : float, optional
            Least probability of a spike, for all units; as tuned if not given.
        refractory_ms : float, optional
            Least distance between two spikes; as tuned if not given.

        Raises
        ------
        SettingsError
            If the threshold is not a probability, or the refractory period is out of range.
        """
        return self._of(self._state.with_working_point(threshold=threshold, refractory_ms=refractory_ms))

    def save(self, folder: str | Path) -> None:
        """Write the sorter to a folder, atomically, as JSON and plain arrays without code."""
        write_model(self._state, Path(folder))

    @classmethod
    def load(cls, folder: str | Path) -> Sorter:
        """Read a sorter written by `save`.

        Raises
        ------
        ModelError
            If the folder has no sorter, a damaged one, or one of another format.
        """
        return cls._of(read_model(SorterState, Path(folder)))

    @classmethod
    def _of(cls, state: SorterState) -> Sorter:
        sorter = object.__new__(cls)
        sorter._state = state
        return sorter
