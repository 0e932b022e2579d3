"""The sorter: fitted to a labelled recording, adapted to targets, and run on them."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from spikesorter.core.errors import InputError, SettingsError
from spikesorter.core.progress import Progress, silent
from spikesorter.core.score import score
from spikesorter.core.settings import Settings, check_settings
from spikesorter.core.spikes import Spikes, check_rate
from spikesorter.decoding.candidates import Candidates, WorkingPoint
from spikesorter.decoding.cnn import Networks
from spikesorter.decoding.run import TraceReader, find_candidates, in_threads, read_evidence
from spikesorter.estimation.context import Context
from spikesorter.estimation.estimate import (
    LEAST_DETECTABILITY,
    InitialEstimate,
    estimate_initially,
    estimate_profile,
    is_faint,
    with_gain,
)
from spikesorter.estimation.gain_evidence import choose_gain, compare_gains
from spikesorter.estimation.profile import Profile, conditioning_kernel, without_hum
from spikesorter.estimation.rehearsal import Labelled, measure_variance_left
from spikesorter.estimation.units import Units, learn_units, warn_of_labels
from spikesorter.io.model_files import model_digest, read_model, write_model
from spikesorter.io.recording import check_recording
from spikesorter.io.samples import (
    as_spikes,
    centred,
    check_trace,
    read_representative,
    read_samples,
    read_signature,
    warn_of_silent_units,
)
from spikesorter.signal.filters import fir_filter, fir_filter_on_grid, fir_margin
from spikesorter.signal.gain import SILENT
from spikesorter.signal.hum import find_hum, hum_kernel
from spikesorter.signal.spans import Margin, iterate_spans, read_span, to_samples
from spikesorter.signal.templates import average_waveform
from spikesorter.sorting.adaptation import Adaptation, TunedDecoder
from spikesorter.sorting.diagnostics import Diagnostics
from spikesorter.sorting.forecast import Forecast
from spikesorter.sorting.look_back import Reckoning, looked_back, reckon
from spikesorter.sorting.outlier_spikes import OutlierRule, find_outliers
from spikesorter.sorting.refine import refine_profile
from spikesorter.sorting.resume import digest, open_spans
from spikesorter.sorting.spans import sort_spans
from spikesorter.sorting.stream import Stream, StreamSetup
from spikesorter.sorting.unlabelled_units import find_unlabelled

if TYPE_CHECKING:
    from spikeinterface import BaseRecording, BaseSorting

__all__ = ["SPAN_SECONDS", "Sorter", "check_threshold", "usable_cores"]

logger = logging.getLogger(__name__)
FloatArray = npt.NDArray[np.float32]

SPAN_SECONDS = 10.0
BESIDE_BEFORE_MS, BESIDE_AFTER_MS = 0.3, 1.2  # of a spike's start: where it is looked at how units vary
LOOKED_AT_SECONDS, LOOKED_AT_SPANS = 60.0, 12  # of a target, to compare it with its rehearsal
MOST_KEPT = 1 << 25  # values of the labelled trace, to rehearse on: at 25 kHz, 22 minutes of one channel
MOST_CHANNELS = 32  # filters lead from each to each: more than that are slow, and hear different neurons
USUAL_GAINS = (0.4, 2.5)


@dataclass(frozen=True, eq=False)
class Sorter:
    """A spike sorter fitted to one labelled recording.

    Made by `Sorter.fit` or `Sorter.load` alone, so that it is always fitted. `adapt` returns a new one;
    nothing changes an existing one.

    Examples
    --------
    >>> from spikesorter import Sorter, read_mat, score
    >>> recording, truth = read_mat("D1.mat")                    # doctest: +SKIP
    >>> sorter = Sorter.fit(recording, truth)                    # doctest: +SKIP
    >>> target, _ = read_mat("D5.mat")                           # doctest: +SKIP
    >>> spikes = sorter.adapt(target).sort(target)               # doctest: +SKIP
    """

    settings: Settings
    fs_hz: float
    channels: int
    units: Units
    average: FloatArray
    labelled: Labelled | None
    base: Networks | None
    measured: Profile  # at first initial: what other recordings are compared with
    profile: Profile
    tuned: TunedDecoder
    forecast: Forecast
    diagnostics: Diagnostics
    labelled_noise: npt.NDArray[np.float64]  # power at each frequency and channel, to compare with
    unknown: OutlierRule | None
    rehearsed: Reckoning | None = None  # to look back at, once a target is sorted

    @classmethod
    def fit(
        cls,
        recording: BaseRecording,
        truth: Spikes | BaseSorting,
        *,
        settings: Settings | None = None,
        n_jobs: int | None = None,
        progress: Progress = silent,
    ) -> Sorter:
        """Learn the neurons of a labelled recording and train the base networks.

        Parameters
        ----------
        recording : spikeinterface.BaseRecording
            One segment.
        truth : Spikes or spikeinterface.BaseSorting
            Its labels: the same point of every spike, be it the start or the peak; found spikes are reported
            at that point.
        settings : Settings, optional
            Defaults if not given.
        n_jobs : int, optional
            Threads; all cores that this process may use, if not given. They change no result.
        progress : callable, optional
            Called with the step's name and the share of it that is done.

        Returns
        -------
        Sorter
            Adapted to recordings like the labelled one.

        Raises
        ------
        InputError
            If the recording or the labels cannot be used.
        SettingsError
            If the settings are none.
        """
        settings = check_settings(settings).tuned_for("strict")
        check_recording(recording)
        _check_channels(recording)
        fs_hz = check_rate(float(recording.get_sampling_frequency()))
        raw = read_samples(recording, 0, recording.get_num_frames())
        check_trace(raw, settings)
        truth = as_spikes(truth, fs_hz=fs_hz)
        _check_labels(truth, len(raw))
        truth = _without_duplicates(truth)
        warn_of_silent_units(truth)
        kernel = conditioning_kernel(settings.conditioning, fs_hz)
        progress("learning spike shapes", 0.0)
        trace = centred(raw, np.median(raw, axis=0))
        if settings.conditioning.remove_hum:
            trace = without_hum(trace, find_hum(trace, fs_hz=fs_hz), fs_hz=fs_hz)
        threads = n_jobs or usable_cores()
        units = learn_units(trace, truth, settings.templates, kernel=kernel, fs_hz=fs_hz)
        initial, profile = _labelled_profile(raw, units, settings, fs_hz)
        if np.any(faint := initial.filters.detectability < LEAST_DETECTABILITY):
            truth = _without_faint(truth, units, faint)
            units = learn_units(trace, truth, settings.templates, kernel=kernel, fs_hz=fs_hz)
            initial, profile = _labelled_profile(raw, units, settings, fs_hz)
        warn_of_labels(units, settings.templates, fs_hz=fs_hz)
        if settings.unknown.learn and not settings.unknown.mark:
            strangers = find_unlabelled(
                trace, truth, Context.of(units, settings, fs_hz=fs_hz), profile, n_jobs=threads
            )
            if len(strangers):
                every = Spikes.concatenate([truth, strangers])
                units = learn_units(
                    trace,
                    every,
                    settings.templates,
                    kernel=kernel,
                    fs_hz=fs_hz,
                    unlabelled_ids=strangers.unit_ids,
                )
                initial, profile = _labelled_profile(raw, units, settings, fs_hz)
        conditioned = fir_filter(trace, kernel)
        truth = truth.select(np.isin(truth.unit, units.unit_ids))
        before, after = settings.classifier.before_samples, settings.classifier.after_samples
        average = average_waveform(conditioned, truth, before=before, after=after)
        kept = settings.rehearsal.method == "graft" or settings.tuning.on == "labelled"
        left = _variance_left(trace, truth, units, kernel, fs_hz) if kept else 0.0
        labelled = (
            Labelled(trace, truth, profile, left).excerpt(MOST_KEPT // trace.shape[1]) if kept else None
        )
        progress("learning spike shapes", 1.0)
        adaptation = Adaptation(settings, fs_hz, units, average, labelled, profile, threads)
        base = adaptation.train_base(progress)
        return cls._on(adaptation, base, recording, progress, measured=initial.profile, train=False)

    def adapt(
        self, target: BaseRecording, *, n_jobs: int | None = None, progress: Progress = silent
    ) -> Sorter:
        """Rehearse a target, train on the rehearsal and tune the thresholds there; no labels needed.

        Parameters
        ----------
        target : spikeinterface.BaseRecording
            Of the same electrode, at the same sampling rate.
        n_jobs : int, optional
            Threads; all cores that this process may use, if not given. They change no result.
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
        self.check_fits(target)
        progress("estimating noise, gain and rates", 0.0)
        raw = read_representative(target)
        check_trace(raw, self.settings)
        n_jobs = n_jobs or usable_cores()
        initial = estimate_initially(raw, self.units, self.settings, fs_hz=self.fs_hz)
        profile = self._profile_of(raw, initial, n_jobs)
        if not is_faint(initial):
            _warn_of_odd_gain(profile.activity.gain)
        progress("estimating noise, gain and rates", 1.0)
        adaptation = Adaptation(
            self.settings, self.fs_hz, self.units, self.average, self.labelled, profile, n_jobs
        )
        adapted = self._on(
            adaptation,
            self.base,
            target,
            progress,
            measured=initial.profile,
            labelled_noise=self.labelled_noise,
        )
        return adapted._looked_back(target, n_jobs, progress)

    def _looked_back(self, target: BaseRecording, n_jobs: int, progress: Progress) -> Sorter:
        """Sort some of the target, and compare what its probabilities say with what the rehearsal's said."""
        if self.rehearsed is None:
            return self
        progress("looking back", 0.0)
        n_samples, stretch = target.get_num_frames(), self.stretches(target)
        spans = list(iterate_spans(n_samples, self._span_samples(LOOKED_AT_SECONDS / LOOKED_AT_SPANS)))
        chosen = spans[:: -(-len(spans) // LOOKED_AT_SPANS)]
        decoder, unit_ids = self.tuned.decoder, self.units.known

        def candidates(span: tuple[int, int]) -> Candidates:
            return self.tuned.calibrated(find_candidates(decoder, stretch, n_samples, *span))

        seen = Candidates.concatenate(list(in_threads(candidates, chosen, n_jobs=n_jobs)))
        seconds = sum(stop - start for start, stop in chosen) / self.fs_hz
        reckoned = reckon(seen, self.point.to_spikes(seen), unit_ids, seconds=seconds)
        names = tuple(self.names[unit] for unit in unit_ids)
        forecast = looked_back(self.forecast, self.rehearsed, reckoned, names, seconds=seconds)
        for remark in forecast.remarks:
            logger.warning("%s", remark)
        progress("looking back", 1.0)
        return replace(self, forecast=forecast)

    def _profile_of(self, raw: npt.NDArray[Any], initial: InitialEstimate, n_jobs: int) -> Profile:
        """Estimate a target's profile; its gain with the help of the labelled trace, if that was kept."""
        knowledge = (self.units, self.settings)
        if self.labelled is None:
            profile = estimate_profile(initial, *knowledge, fs_hz=self.fs_hz)
            return refine_profile(raw, profile, *knowledge, fs_hz=self.fs_hz, n_jobs=n_jobs)
        templates = self.units.templates
        comparison = compare_gains(initial, self.labelled, templates, self.settings, fs_hz=self.fs_hz)
        choice = choose_gain(comparison)

        def profile_at(gain: float) -> Profile:
            seen = with_gain(initial, gain, *knowledge, fs_hz=self.fs_hz)
            return estimate_profile(seen, *knowledge, fs_hz=self.fs_hz, gain_known=True)

        profile = profile_at(choice.gain)
        if profile.background != SILENT:
            before, comparison = choice.gain, comparison.beside(profile.background)
            choice = choose_gain(comparison)
            profile = profile if choice.gain == before else profile_at(choice.gain)

        def may_be(gain: float) -> bool:
            return choice.sharp and comparison.as_good(gain, choice.gain)

        return refine_profile(raw, profile, *knowledge, fs_hz=self.fs_hz, n_jobs=n_jobs, may_be_gain=may_be)

    @classmethod
    def _on(
        cls,
        adaptation: Adaptation,
        base: Networks | None,
        recording: BaseRecording | None,
        progress: Progress,
        *,
        measured: Profile,
        labelled_noise: npt.NDArray[np.float64] | None = None,
        train: bool = True,
    ) -> Sorter:
        """Prepare for a recording: train (if so wanted), tune, choose and forecast on rehearsals."""
        outcome = adaptation.prepare(base, progress, train=train)
        tuned = outcome.tuned
        target_samples = recording.get_num_frames() if recording else None
        forecast, diagnostics, unknown = adaptation.forecast(outcome, target_samples, progress)
        logger.info(
            "noise %s, gain %.3g, %.1f spikes/s; thresholds %s, refractory period %d samples; "
            "expected score %.3f",
            np.array2string(adaptation.profile.scale, precision=3),
            adaptation.profile.activity.gain,
            sum(adaptation.profile.activity.rates) * adaptation.fs_hz,
            tuned.point.thresholds,
            tuned.point.refractory_samples,
            forecast.score,
        )
        return cls(
            settings=adaptation.settings,
            fs_hz=adaptation.fs_hz,
            channels=adaptation.units.templates.waveforms.shape[2],
            units=adaptation.units,
            average=adaptation.average,
            labelled=adaptation.labelled,
            base=base,
            measured=measured,
            profile=adaptation.profile,
            tuned=tuned,
            forecast=forecast,
            diagnostics=diagnostics,
            labelled_noise=adaptation.profile.noise.power if labelled_noise is None else labelled_noise,
            unknown=unknown,
            rehearsed=adaptation.reckoned(outcome),
        )

    @property
    def names(self) -> dict[int, str]:
        """What the labels called each class."""
        names = zip(self.units.unit_ids, self.units.names, strict=True)
        return {unit: name for unit, name in names if unit in self.units.known}

    @property
    def point(self) -> WorkingPoint:
        """How candidates become spikes."""
        return self.tuned.point

    @property
    def margin(self) -> Margin:
        """How far from a spike the samples lie that decide about it, at most."""
        decoder = self.tuned.decoder
        block = decoder.grid_samples - 1 + decoder.overlap_samples
        reach = self.point.refractory_samples + decoder.pick_reach + block
        hum = fir_margin(hum_kernel(self.profile.hum_hz, fs_hz=self.fs_hz))
        return decoder.margin + Margin(reach, reach) + hum

    def sort(
        self,
        target: BaseRecording,
        *,
        n_jobs: int | None = None,
        span_seconds: float = SPAN_SECONDS,
        resume: Path | None = None,
        progress: Progress = silent,
    ) -> Spikes:
        """Find and name the spikes of a recording.

        Parameters
        ----------
        target : spikeinterface.BaseRecording
            One that the sorter was adapted to, or one like it.
        n_jobs : int, optional
            Threads; all cores that this process may use, if not given. They change no result.
        span_seconds : float
            Length of the spans in which the recording is read, each by one thread: to the nearest number of
            the decoder's blocks. It changes no result.
        resume : Path, optional
            Folder to keep each finished span in; those that are there from an interrupted run, of the same
            recording, sorter and span length, are not computed again. Yours to remove.
        progress : callable, optional

        Returns
        -------
        Spikes

        Raises
        ------
        InputError
            If the recording does not fit the sorter or holds NaN or infinite samples.
        """
        self.check_fits(target)
        n_samples, read_trace = target.get_num_frames(), self.stretches(target)
        found = sort_spans(
            self.tuned,
            read_trace,
            list(iterate_spans(n_samples, self._span_samples(span_seconds))),
            n_jobs=n_jobs or usable_cores(),
            finished=open_spans(resume, self._facts(target)) if resume else None,
            progress=progress,
        )
        spikes = self.point.drop_refractory(found)
        if self.unknown is not None:
            strangers = find_outliers(
                self.unknown, read_trace, n_samples, spikes, n_jobs=n_jobs or usable_cores()
            )
            spikes = self.unknown.mark(spikes, strangers)
        return spikes.described(fs_hz=self.fs_hz, names=self.names)

    def score(
        self, target: BaseRecording, truth: Spikes | BaseSorting, *, n_jobs: int | None = None
    ) -> float:
        """Sort a recording and return how good that is: what it counts in a study, 0 to 1.

        Parameters
        ----------
        target : spikeinterface.BaseRecording
        truth : Spikes or spikeinterface.BaseSorting
            Its true spikes; `spikesorter.score` says more than one number.
        n_jobs : int, optional
            Threads; all cores that this process may use, if not given.

        Returns
        -------
        float
        """
        true = as_spikes(truth, fs_hz=self.fs_hz)
        return score(self.sort(target, n_jobs=n_jobs), true, fs_hz=self.fs_hz).score

    def get_params(self) -> dict[str, Any]:
        """Return all settings by name; `Settings.set_params` takes them."""
        return self.settings.get_params()

    def low_latency(self, *, n_jobs: int | None = None, progress: Progress = silent) -> Sorter:
        """Return a sorter for the same recordings that decides within some milliseconds, for closed loops.

        Its decoder, `low_latency`, sees only the past and the first part of a spike; it is rehearsed,
        tuned and forecast like any other.

        Parameters
        ----------
        n_jobs : int, optional
            Threads; all cores that this process may use, if not given.
        progress : callable, optional

        Returns
        -------
        Sorter
        """
        if self.tuned.name == "low_latency":
            return self
        settings = self.settings.model_copy(update={"decoder": "low_latency"})
        n_jobs = n_jobs or usable_cores()
        adaptation = Adaptation(
            settings, self.fs_hz, self.units, self.average, self.labelled, self.profile, n_jobs
        )
        return self._on(
            adaptation,
            self.base,
            None,
            progress,
            measured=self.measured,
            labelled_noise=self.labelled_noise,
        )

    def stream(
        self,
        fs_hz: float,
        *,
        mode: Literal["exact", "fast"] = "exact",
        calibration_seconds: float = 0.0,
        n_jobs: int | None = None,
    ) -> Stream:
        """Sort a recording that is still going on.

        Parameters
        ----------
        fs_hz : float
            Its sampling rate.
        mode : {"exact", "fast"}
            exact: the spikes that `sort` would find; fast: those that `low_latency` would find, which takes
            some seconds to prepare.
        calibration_seconds : float
            How much of its beginning to adapt to first; 0 if this sorter was adapted to it, or to one like
            it. That part is sorted too, once it is over.
        n_jobs : int, optional
            Threads for adapting; all cores that this process may use, if not given.

        Returns
        -------
        Stream

        Raises
        ------
        InputError
            If the rate is not the sorter's.
        SettingsError
            If strangers are to be marked, for which all known spikes must be known first.
        """
        self._check_rate(fs_hz)
        if mode not in ("exact", "fast"):
            raise SettingsError(f"mode must be exact or fast, not {mode!r}")
        if self.settings.unknown.mark:
            raise SettingsError("unknown.mark: strangers cannot be marked in a stream; train without it")

        def set_up(calibration: npt.NDArray[Any]) -> StreamSetup:
            sorter = self
            if len(calibration):
                from spikeinterface.core import NumpyRecording

                sorter = self.adapt(NumpyRecording([calibration], self.fs_hz), n_jobs=n_jobs)
            sorter = sorter.low_latency(n_jobs=n_jobs) if mode == "fast" else sorter
            return StreamSetup(sorter.tuned, sorter.profile)

        samples = round(calibration_seconds * self.fs_hz)
        return Stream(
            fs_hz=self.fs_hz,
            channels=self.channels,
            names=self.names,
            set_up=set_up,
            calibration_samples=samples,
        )

    def stretches(self, target: BaseRecording) -> TraceReader:
        """Return a way to read a recording as decoders are given it: less its offset and its hum.

        Parameters
        ----------
        target : spikeinterface.BaseRecording

        Returns
        -------
        callable
            Returns samples from one place to another as float32, shape (samples, channels); beyond the ends
            the trace stays as it was there.
        """

        def read(start: int, stop: int) -> FloatArray:
            raw = read_span(partial(read_samples, target), target.get_num_frames(), start, stop)
            if not np.isfinite(raw).all():
                raise InputError(f"samples from {max(start, 0)} to {stop} hold NaN or infinite values")
            return centred(raw, self.profile.offset)

        if not self.profile.hum_hz:
            return read
        kernel = hum_kernel(self.profile.hum_hz, fs_hz=self.fs_hz)
        return partial(fir_filter_on_grid, read, kernel)

    def evidence(self, target: BaseRecording, *, start: int = 0, stop: int | None = None) -> FloatArray:
        """Return the decoder's curves: the evidence of a spike's start at each sample.

        Parameters
        ----------
        target : spikeinterface.BaseRecording
        start, stop : int, optional
            Samples wanted; all if not given.

        Returns
        -------
        ndarray of float32, shape (stop - start, curves)
            One curve for each class, in order of `units.known` (networks with a detector: one for
            all): expected number of spikes (pursuit) or probability of one.

        Raises
        ------
        InputError
            If the recording does not fit the sorter, or the samples lie beyond its ends.
        """
        self.check_fits(target)
        n_samples = target.get_num_frames()
        last = n_samples if stop is None else stop
        if not 0 <= start < last <= n_samples:
            raise InputError(f"no samples from {start} to {last}: the recording has {n_samples}")
        decoder = self.tuned.decoder
        curves = decoder.curves(read_evidence(decoder, self.stretches(target), n_samples, start, last))
        return curves[:, : len(self.units.known)]

    def with_working_point(
        self, *, threshold: float | None = None, refractory_samples: int | None = None
    ) -> Sorter:
        """Return a sorter with another threshold or refractory period than the tuned ones.

        Raises
        ------
        SettingsError
            If the threshold is no probability or the period is negative.
        """
        check_threshold(threshold)
        if refractory_samples is not None and refractory_samples < 0:
            raise SettingsError(f"refractory_samples must be 0 or more, not {refractory_samples}")
        point = self.point
        if threshold is not None:
            point = replace(point, thresholds=(threshold,) * len(point.unit_ids))
        if refractory_samples is not None:
            point = replace(point, refractory_samples=refractory_samples)
        return replace(self, tuned=replace(self.tuned, point=point))

    def save(self, folder: str | Path) -> None:
        """Write the sorter to a folder: JSON and plain arrays, no code; all or nothing."""
        write_model(self, Path(folder))

    @classmethod
    def load(cls, folder: str | Path) -> Sorter:
        """Read a sorter written by `save`.

        Raises
        ------
        ModelError
            If the folder holds no sorter, a damaged one, or one of another format.
        """
        return read_model(cls, Path(folder))

    def _facts(self, target: BaseRecording) -> dict[str, str]:
        """What decides about the result; a long recording is known by its length and by parts of it."""
        return {
            "version": version("neural-spike-sorter"),
            "sorter": model_digest((self.profile, self.tuned)),
            "recording": digest(str(target.get_num_frames()).encode(), read_signature(target).tobytes()),
        }

    def _span_samples(self, seconds: float) -> int:
        if not seconds > 0:
            raise SettingsError(f"span_seconds must be more than 0, not {seconds:g}")
        blocks = min(seconds * self.fs_hz, 1 << 40) / self.tuned.decoder.grid_samples
        return max(round(blocks), 1) * self.tuned.decoder.grid_samples

    def check_fits(self, target: BaseRecording) -> None:
        """Refuse a recording that cannot be of the same electrode: another rate or number of channels.

        Raises
        ------
        InputError
        """
        check_recording(target)
        self._check_rate(float(target.get_sampling_frequency()))
        channels = target.get_num_channels()
        if channels != self.channels:
            raise InputError(f"has {channels} channels, but the sorter was fitted to {self.channels}")

    def _check_rate(self, fs_hz: float) -> None:
        if abs(fs_hz - self.fs_hz) > 1e-6 * self.fs_hz:
            raise InputError(
                f"sampled at {fs_hz:g} Hz, but the sorter was fitted at {self.fs_hz:g} Hz; resample it first"
            )

    def __repr__(self) -> str:
        return (
            f"Sorter({len(self.units.known)} classes, {self.fs_hz:g} Hz, {self.channels} channel(s), "
            f"decoder {self.tuned.name})"
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


def usable_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _labelled_profile(
    raw: npt.NDArray[Any], units: Units, settings: Settings, fs_hz: float
) -> tuple[InitialEstimate, Profile]:
    """Return the labelled recording at first initial, and its profile as well as it can be known.

    Labels beat any estimate: its gain is 1 and its rates are counted.
    """
    initial = estimate_initially(raw, units, settings, fs_hz=fs_hz)
    profile = estimate_profile(initial, units, settings, fs_hz=fs_hz)
    counted = replace(profile.activity, gain=1.0, rates=tuple(units.rates))
    return initial, replace(profile, activity=counted)


def _variance_left(
    trace: FloatArray, truth: Spikes, units: Units, kernel: npt.NDArray[np.float64], fs_hz: float
) -> float:
    """Measure how much the labelled units vary, on spikes that lie wholly inside the recording."""
    templates = units.templates.of(units.known)
    after = templates.waveforms.shape[1] - templates.before
    inside = truth.within(templates.before, len(trace) - after + 1)
    before, behind = (max(to_samples(ms, fs_hz), 1) for ms in (BESIDE_BEFORE_MS, BESIDE_AFTER_MS))
    return measure_variance_left(trace, inside, templates, kernel=kernel, window=(before, behind))


def _check_channels(recording: BaseRecording) -> None:
    channels = recording.get_num_channels()
    if channels > MOST_CHANNELS:
        raise InputError(
            f"has {channels} channels; a sorter takes up to {MOST_CHANNELS} that hear the same neurons: "
            "select some, or set the recording's property group and use spikesorter.fit_groups"
        )


def _without_faint(truth: Spikes, units: Units, faint: npt.NDArray[np.bool_]) -> Spikes:
    """Drop labels of neurons that leave no mark on these channels: those of other ones, most likely."""
    classes = list(zip(units.unit_ids, units.names, faint.tolist(), strict=True))
    left = np.isin(truth.unit, [unit for unit, _, gone in classes if not gone])
    if not left.any():
        raise InputError(
            "labels: no neuron can be told from noise on these channels; do the labels belong to this "
            "recording and its channels, and count at its sampling rate?"
        )
    for _, name, gone in classes:
        if gone:
            logger.warning("neuron %s cannot be told from noise on these channels: left out", name)
    return truth.select(left)


def _warn_of_odd_gain(gain: float) -> None:
    if not USUAL_GAINS[0] <= abs(gain) <= USUAL_GAINS[1]:
        logger.warning(
            "the spikes seem to be %.3g times as large as in the labelled recording: is this one in another "
            "unit? If it is of another electrode, the result is not to be trusted",
            gain,
        )


def _without_duplicates(truth: Spikes) -> Spikes:
    """Drop labels given twice: the same sample and class."""
    again = (np.diff(truth.sample, prepend=-1) == 0) & (np.diff(truth.unit, prepend=-1) == 0)
    if again.any():
        logger.warning("%d labels are given twice (same sample and class): used once", again.sum())
    return truth.select(~again)


def _check_labels(truth: Spikes, n_samples: int) -> None:
    if len(truth) == 0:
        raise InputError("labels: there are none")
    if truth.sample[-1] >= n_samples:
        raise InputError(
            f"labels: a spike starts at sample {truth.sample[-1]}, but the recording has {n_samples} samples"
        )
