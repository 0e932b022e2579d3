"""Preparing for a recording: rehearse it, train the networks, tune the working point."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from spikesorter.config import Settings
from spikesorter.decoders.cnn import CnnDecoder, WorkingPoint, new_cnn, train_cnn
from spikesorter.frontend import FrontEnd, choose_denoise_strength, make_front_end
from spikesorter.profile import Profile, conditioning_kernel
from spikesorter.progress import Progress
from spikesorter.recordings import shortest_samples
from spikesorter.rehearsal import Labelled, Rehearsal, graft_rehearsal, plant_rehearsal
from spikesorter.repertoire import Repertoire
from spikesorter.signal.matched import make_matched_filters
from spikesorter.signal.spans import to_samples
from spikesorter.spikes import Spikes
from spikesorter.tuning import tune

__all__ = ["Preparation"]

FloatArray = npt.NDArray[np.float32]

BASE_DETECTABILITIES = (np.inf, 16.0, 8.0, 4.0)  # noise levels that the base networks are trained at
SECONDS_OF_EACH_GAIN = 1.0
FIT, ADAPT = 0, 1  # separate streams of random numbers


@dataclass(frozen=True, eq=False)
class Preparation:
    """Where rehearsals of one profile are made, trained on and tuned on.

    Parameters
    ----------
    settings : Settings
    fs_hz : float
    repertoire : Repertoire
        What the labelled recording taught.
    average : ndarray of float32, shape (window, channels)
        Its average waveform, conditioned.
    labelled : Labelled or None
        The labelled recording itself, where the settings work on it.
    profile : Profile
        Of the recording to prepare for.
    """

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
        """Make a rehearsal of this profile, long enough for a training window at the least."""
        if self.settings.rehearsal.method == "graft" and self.labelled is not None:
            return graft_rehearsal(self.labelled, self.profile, rng=rng)
        return plant_rehearsal(
            self.repertoire,
            self.profile,
            kernel=conditioning_kernel(self.settings.conditioning, self.fs_hz),
            n_samples=max(int(seconds * self.fs_hz), shortest_samples(self.settings)),
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
            reach=to_samples(self.settings.matched_filter.whitening_reach_ms, self.fs_hz),
        )
        own = float(np.median(filters.detectability))
        factors = sorted({max(1.0, own / wanted) for wanted in BASE_DETECTABILITIES})
        return [
            replace(
                self.profile, noise=self.profile.noise.scaled(f**2), scale=self.profile.scale * np.float32(f)
            )
            for f in factors
        ]
