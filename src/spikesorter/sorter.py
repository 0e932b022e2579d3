"""The sorter: fitted to a labelled recording, adapted to targets, and run on them."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from spikesorter.config import Settings
from spikesorter.decoders.cnn import CnnDecoder, WorkingPoint, new_cnn, train_cnn
from spikesorter.errors import InputError, ModelError
from spikesorter.frontend import FrontEnd, choose_denoise_strength, make_front_end
from spikesorter.io.model import read_model, write_model
from spikesorter.profile import Profile, conditioning_kernel
from spikesorter.profiling import profile_recording
from spikesorter.progress import Progress, silent
from spikesorter.rehearsal import Labelled, Rehearsal, graft_rehearsal, plant_rehearsal
from spikesorter.repertoire import Repertoire, learn_repertoire
from spikesorter.signal.filters import fir_filter
from spikesorter.signal.matched import make_matched_filters
from spikesorter.signal.spans import Margin, iterate_spans, read_span
from spikesorter.signal.templates import average_waveform
from spikesorter.spikes import Spikes
from spikesorter.tuning import tune

if TYPE_CHECKING:
    from spikeinterface import BaseRecording

__all__ = ["Sorter", "nearest_sorter"]

logger = logging.getLogger(__name__)
FloatArray = npt.NDArray[np.float32]

SPAN_SAMPLES = 1 << 18
PROFILE_SAMPLES = 1 << 23  # about 5 minutes at 25 kHz say enough about noise and gain
PROFILE_STRETCHES = 32
BASE_DETECTABILITIES = (np.inf, 16.0, 8.0, 4.0)  # noise levels that the base network is trained at
SECONDS_OF_EACH_GAIN = 1.0
FIT, ADAPT = 0, 1  # separate streams of random numbers


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
    repertoire: Repertoire
    average: FloatArray
    labelled: Labelled | None
    base: CnnDecoder
    profile: Profile
    front_end: FrontEnd
    decoder: CnnDecoder
    point: WorkingPoint
    rehearsed: float

    @classmethod
    def fit(
        cls,
        recording: BaseRecording,
        truth: Spikes,
        *,
        settings: Settings | None = None,
        progress: Progress = silent,
    ) -> Sorter:
        """Learn the neurons of a labelled recording and train the base networks.

        Parameters
        ----------
        recording : spikeinterface.BaseRecording
            One segment.
        truth : Spikes
            Its labels.
        settings : Settings, optional
            Defaults if not given.
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
        """
        settings = settings or Settings()
        fs_hz = float(recording.get_sampling_frequency())
        raw = _read(recording, 0, recording.get_num_frames())
        _check_usable(raw, settings)
        _check_labels(truth, len(raw))
        kernel = conditioning_kernel(settings.conditioning, fs_hz)
        progress("learning spike shapes", 0.0)
        centred = raw - np.median(raw, axis=0).astype(np.float32)
        repertoire = learn_repertoire(centred, truth, settings.templates, kernel=kernel)
        profile = profile_recording(raw, repertoire, settings, fs_hz=fs_hz)
        # Labels beat any estimate: the labelled recording's gain is 1 and its rates are counted.
        profile = replace(
            profile, activity=replace(profile.activity, gain=1.0, rates=tuple(repertoire.rates))
        )
        conditioned = fir_filter(centred, kernel)
        before, after = settings.classifier.before_samples, settings.classifier.after_samples
        average = average_waveform(conditioned, truth, before=before, after=after)
        kept = settings.rehearsal.method == "graft" or settings.tuning.on == "labelled"
        labelled = Labelled(conditioned, truth, profile) if kept else None
        progress("learning spike shapes", 1.0)
        stage = _Stage(settings, fs_hz, repertoire, average, labelled, profile)
        base = stage.train_base(progress)
        return cls._on(stage, base, base, recording.get_num_channels(), progress)

    def adapt(self, target: BaseRecording, *, progress: Progress = silent) -> Sorter:
        """Rehearse a target, train on the rehearsal and tune the thresholds there; no labels needed.

        Parameters
        ----------
        target : spikeinterface.BaseRecording
            Of the same electrode, at the same sampling rate.
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
        self._check_fits(target)
        progress("estimating noise, gain and rates", 0.0)
        raw = _representative(target)
        _check_usable(raw, self.settings)
        profile = profile_recording(raw, self.repertoire, self.settings, fs_hz=self.fs_hz)
        progress("estimating noise, gain and rates", 1.0)
        stage = _Stage(self.settings, self.fs_hz, self.repertoire, self.average, self.labelled, profile)
        return self._on(stage, self.base, None, self.channels, progress)

    @classmethod
    def _on(
        cls, stage: _Stage, base: CnnDecoder, decoder: CnnDecoder | None, channels: int, progress: Progress
    ) -> Sorter:
        """Train (unless a trained decoder is given) and tune on the stage's rehearsals."""
        front_end, decoder = stage.train_target(base, decoder, progress)
        point, rehearsed = stage.tune(front_end, decoder, progress)
        logger.info(
            "noise %s, gain %.3g, %.1f spikes/s; threshold %.2f, refractory period %d samples; "
            "%s on the rehearsal %.3f",
            np.array2string(stage.profile.scale, precision=3),
            stage.profile.activity.gain,
            sum(stage.profile.activity.rates) * stage.fs_hz,
            point.threshold,
            point.refractory_samples,
            stage.settings.tuning.objective,
            rehearsed,
        )
        return cls(
            settings=stage.settings,
            fs_hz=stage.fs_hz,
            channels=channels,
            repertoire=stage.repertoire,
            average=stage.average,
            labelled=stage.labelled,
            base=base,
            profile=stage.profile,
            front_end=front_end,
            decoder=decoder,
            point=point,
            rehearsed=rehearsed,
        )

    @property
    def margin(self) -> Margin:
        """How far from a spike the samples lie that decide about it."""
        return self.front_end.margin + self.decoder.margin(self.point)

    def sort(self, target: BaseRecording, *, progress: Progress = silent) -> Spikes:
        """Find and name the spikes of a recording.

        Parameters
        ----------
        target : spikeinterface.BaseRecording
            One that the sorter was adapted to, or one like it.
        progress : callable, optional

        Returns
        -------
        Spikes

        Raises
        ------
        InputError
            If the recording does not fit the sorter.
        """
        self._check_fits(target)
        n_samples, margin = target.get_num_frames(), self.margin
        parts = []
        progress("sorting", 0.0)
        for start, stop in iterate_spans(n_samples, SPAN_SAMPLES):
            features = self._features(target, start - margin.before, stop + margin.after)
            found = self.decoder.decode(features, self.point).shifted(start - margin.before)
            parts.append(found.within(start, stop))
            progress("sorting", stop / n_samples)
        return Spikes.concatenate(parts)

    def evidence(self, target: BaseRecording, *, start: int = 0, stop: int | None = None) -> FloatArray:
        """Return the detection curve: the probability of a spike's start at each sample.

        Parameters
        ----------
        target : spikeinterface.BaseRecording
        start, stop : int, optional
            Samples wanted; all if not given.

        Returns
        -------
        ndarray of float32, shape (stop - start,)
        """
        self._check_fits(target)
        last = target.get_num_frames() if stop is None else stop
        margin = self.margin
        curve = self.decoder.curve(self._features(target, start - margin.before, last + margin.after))
        return curve[margin.before : margin.before + last - start]

    def with_working_point(
        self, *, threshold: float | None = None, refractory_samples: int | None = None
    ) -> Sorter:
        """Return a sorter with another threshold or refractory period than the tuned ones."""
        point = self.point
        if threshold is not None:
            point = replace(point, threshold=threshold)
        if refractory_samples is not None:
            point = replace(point, refractory_samples=refractory_samples)
        return replace(self, point=point)

    def save(self, folder: Path) -> None:
        """Write the sorter to a folder: JSON and plain arrays, no code; all or nothing."""
        write_model(self, folder)

    @classmethod
    def load(cls, folder: Path) -> Sorter:
        """Read a sorter written by `save`.

        Raises
        ------
        ModelError
            If the folder holds no sorter, a damaged one, or one of another format.
        """
        return read_model(cls, folder)

    def _features(self, target: BaseRecording, start: int, stop: int) -> FloatArray:
        """Features of samples `start` to `stop`; beyond its ends a recording stays at its median."""
        raw = read_span(
            lambda a, b: _read(target, a, b) - self.front_end.offset, target.get_num_frames(), start, stop
        )
        return self.front_end.features(self.front_end.condition(raw))

    def _check_fits(self, target: BaseRecording) -> None:
        fs_hz, channels = float(target.get_sampling_frequency()), target.get_num_channels()
        if abs(fs_hz - self.fs_hz) > 1e-6 * self.fs_hz:
            raise InputError(
                f"sampled at {fs_hz:g} Hz, but the sorter was fitted at {self.fs_hz:g} Hz; resample it first"
            )
        if channels != self.channels:
            raise InputError(f"has {channels} channels, but the sorter was fitted to {self.channels}")

    def __repr__(self) -> str:
        return (
            f"Sorter({len(self.repertoire.labels)} classes, {self.fs_hz:g} Hz, {self.channels} channel(s), "
            f"threshold {self.point.threshold:g}, refractory period {self.point.refractory_samples} samples)"
        )


def nearest_sorter(sorters: dict[str, Sorter], target: BaseRecording) -> str:
    """Return the name of the sorter whose target was most like this one: in its noise's spectrum.

    Parameters
    ----------
    sorters : dict of str to Sorter
        Adapted from one fitted sorter.
    target : spikeinterface.BaseRecording

    Returns
    -------
    str

    Raises
    ------
    InputError
        If the target does not fit the sorters or cannot be used.
    """
    if not sorters:
        raise ModelError("there is no sorter to choose from")
    one = next(iter(sorters.values()))
    one._check_fits(target)
    raw = _representative(target)
    _check_usable(raw, one.settings)
    profile = profile_recording(raw, one.repertoire, one.settings, fs_hz=one.fs_hz)
    distances = {name: sorter.profile.noise.distance(profile.noise) for name, sorter in sorters.items()}
    return min(distances, key=lambda name: (distances[name], name))


@dataclass(frozen=True, eq=False)
class _Stage:
    """Where one profile is rehearsed, trained for and tuned."""

    settings: Settings
    fs_hz: float
    repertoire: Repertoire
    average: FloatArray
    labelled: Labelled | None
    profile: Profile

    def train_base(self, progress: Progress) -> CnnDecoder:
        """Train networks from nothing over a range of noise levels."""
        rng = np.random.default_rng([self.settings.seed, FIT])
        levels = [replace(self, profile=profile) for profile in self._noisier_profiles()]
        seconds = self.settings.rehearsal.training_seconds / len(levels)
        progress("rehearsing", 0.0)
        features, parts, offset = [], [], 0
        for number, level in enumerate(levels, start=1):
            rehearsal = level.rehearse(seconds, rng)
            features.append(level.front_end(rehearsal).features(rehearsal.trace))
            parts.append(rehearsal.spikes.shifted(offset))
            offset += len(rehearsal.trace)
            progress("rehearsing", number / len(levels))
        decoder = new_cnn(
            features[0].shape[1],
            self.repertoire.labels,
            self.settings.detector,
            self.settings.classifier,
            seed=self.settings.seed,
        )
        return train_cnn(
            decoder,
            np.concatenate(features),
            Spikes.concatenate(parts),
            self.settings.detector,
            self.settings.classifier,
            detector_steps=self.settings.detector.base_steps,
            classifier_steps=self.settings.classifier.base_steps,
            rng=rng,
            on_progress=lambda done: progress("training the base networks", done),
        )

    def train_target(
        self, base: CnnDecoder, decoder: CnnDecoder | None, progress: Progress
    ) -> tuple[FrontEnd, CnnDecoder]:
        """Return the front end for this profile, and networks trained for it on top of the base."""
        rng = np.random.default_rng([self.settings.seed, ADAPT, 0])
        progress("rehearsing", 0.0)
        rehearsal = self.rehearse(self.settings.rehearsal.training_seconds, rng)
        front_end = self.front_end(rehearsal)
        progress("rehearsing", 1.0)
        if decoder is not None:
            return front_end, decoder
        trained = train_cnn(
            base,
            front_end.features(rehearsal.trace),
            rehearsal.spikes,
            self.settings.detector,
            self.settings.classifier,
            detector_steps=self.settings.detector.steps,
            classifier_steps=self.settings.classifier.steps,
            rng=rng,
            on_progress=lambda done: progress("training", done),
        )
        return front_end, trained

    def tune(
        self, front_end: FrontEnd, decoder: CnnDecoder, progress: Progress
    ) -> tuple[WorkingPoint, float]:
        """Find the working point on a fresh rehearsal, or on the labelled recording if so set."""
        progress("tuning", 0.0)
        if self.settings.tuning.on == "labelled" and self.labelled is not None:
            own = replace(self, profile=self.labelled.profile)
            trace, truth = self.labelled.trace, self.labelled.spikes
            features = own.front_end(Rehearsal(trace, trace, truth)).features(trace)
        else:
            rng = np.random.default_rng([self.settings.seed, ADAPT, 1])
            rehearsal = self.rehearse(self.settings.rehearsal.tuning_seconds, rng)
            features, truth = front_end.features(rehearsal.trace), rehearsal.spikes
        result = tune(
            decoder, features, truth, self.settings.tuning, self.settings.detector, fs_hz=self.fs_hz
        )
        progress("tuning", 1.0)
        return result

    def rehearse(self, seconds: float, rng: np.random.Generator) -> Rehearsal:
        """Make a rehearsal of this profile."""
        if self.settings.rehearsal.method == "graft" and self.labelled is not None:
            return graft_rehearsal(self.labelled, self.profile, rng=rng)
        return plant_rehearsal(
            self.repertoire,
            self.profile,
            kernel=conditioning_kernel(self.settings.conditioning, self.fs_hz),
            n_samples=int(seconds * self.fs_hz),
            gain_jitter=self.settings.rehearsal.gain_jitter,
            jitter_samples=int(SECONDS_OF_EACH_GAIN * self.fs_hz),
            rng=rng,
        )

    def front_end(self, rehearsal: Rehearsal) -> FrontEnd:
        """Make the front end of this profile, its statistics taken from a rehearsal."""
        front_end = make_front_end(
            self.repertoire, self.profile, self.settings, average=self.average, fs_hz=self.fs_hz
        )
        front_end = choose_denoise_strength(
            front_end, self.settings, trace=rehearsal.trace, clean=rehearsal.clean
        )
        return front_end.standardised(rehearsal.trace)

    def _noisier_profiles(self) -> list[Profile]:
        """The profile with its noise scaled so that a middling class has each of a range of d'."""
        kernel = conditioning_kernel(self.settings.conditioning, self.fs_hz)
        filters = make_matched_filters(
            self.repertoire.templates.filtered(kernel),
            self.profile.noise,
            reach=self.settings.matched_filter.whitening_reach_samples,
        )
        own = float(np.median(filters.detectability))
        factors = sorted({max(1.0, own / wanted) for wanted in BASE_DETECTABILITIES})
        return [
            replace(
                self.profile, noise=self.profile.noise.scaled(f**2), scale=self.profile.scale * np.float32(f)
            )
            for f in factors
        ]


def _read(recording: BaseRecording, start: int, stop: int) -> FloatArray:
    return np.asarray(recording.get_traces(start_frame=start, end_frame=stop), np.float32)


def _representative(recording: BaseRecording) -> FloatArray:
    """Return the recording, or stretches from all over it if it is long; memory stays bounded."""
    n_samples = recording.get_num_frames()
    if n_samples <= PROFILE_SAMPLES:
        return _read(recording, 0, n_samples)
    length = PROFILE_SAMPLES // PROFILE_STRETCHES
    starts = np.linspace(0, n_samples - length, PROFILE_STRETCHES).astype(int)
    return np.concatenate([_read(recording, int(s), int(s) + length) for s in starts])


def _check_usable(raw: FloatArray, settings: Settings) -> None:
    window = settings.detector.window_samples
    if len(raw) < max(window, settings.noise.n_fft):
        raise InputError(
            f"only {len(raw)} samples long; at least {max(window, settings.noise.n_fft)} are needed"
        )
    if not np.isfinite(raw).all():
        bad = int(np.count_nonzero(~np.isfinite(raw)))
        raise InputError(f"{bad} samples are NaN or infinite; cut them out or fill them in first")
    if np.any(raw.max(axis=0) == raw.min(axis=0)):
        raise InputError("the trace is constant: nothing was recorded")


def _check_labels(truth: Spikes, n_samples: int) -> None:
    if len(truth) == 0:
        raise InputError("labels: there are none")
    if truth.sample[-1] >= n_samples:
        raise InputError(
            f"labels: a spike starts at sample {truth.sample[-1]}, but the recording has {n_samples} samples"
        )
