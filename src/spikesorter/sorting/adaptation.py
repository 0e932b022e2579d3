"""Preparing for a recording: rehearse it, train, tune and choose a decoder, forecast the score."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from spikesorter.core.progress import Progress
from spikesorter.core.settings import Settings
from spikesorter.core.spikes import Spikes
from spikesorter.decoding.botm import BotmDecoder, make_botm
from spikesorter.decoding.calibration import UNCALIBRATED, Calibration, fit_calibration
from spikesorter.decoding.candidates import Candidates, WorkingPoint
from spikesorter.decoding.cnn import CnnDecoder, Networks, new_networks, train_networks
from spikesorter.decoding.combined import CombinedDecoder, combine_decoders
from spikesorter.decoding.front_end import FrontEnd, choose_denoise_strength, make_front_end
from spikesorter.decoding.low_latency import make_low_latency_pursuit
from spikesorter.decoding.pursuit import PursuitDecoder, make_pursuit
from spikesorter.decoding.run import find_evidence, in_threads
from spikesorter.decoding.thresholds import tune
from spikesorter.estimation.context import Context
from spikesorter.estimation.profile import Profile, conditioning_kernel
from spikesorter.estimation.rehearsal import Labelled, Rehearsal, graft_rehearsal, plant_rehearsal
from spikesorter.estimation.units import Units
from spikesorter.io.samples import shortest_samples
from spikesorter.signal.filters import fir_filter
from spikesorter.signal.matched import make_matched_filters
from spikesorter.signal.noise import estimate_noise_spectrum
from spikesorter.signal.spans import to_samples
from spikesorter.sorting.diagnostics import Diagnostics, diagnose
from spikesorter.sorting.forecast import Forecast, forecast_score
from spikesorter.sorting.outlier_spikes import OutlierRule, fit_outlier_rule

__all__ = ["Adaptation", "AnyDecoder", "TunedDecoder"]

logger = logging.getLogger(__name__)
FloatArray = npt.NDArray[np.float32]
AnyDecoder = PursuitDecoder | CnnDecoder | CombinedDecoder | BotmDecoder

BASE_DETECTABILITIES = (np.inf, 16.0, 8.0, 4.0)  # noise levels that the base networks are trained at
SECONDS_OF_EACH_GAIN = 1.0
BY_CHANCE = 0.001  # of the objective: of readings so alike the first, which smooths least, is taken
HARDLY = 0.005  # of the objective: less may be chance
FIT, ADAPT = 0, 1  # separate streams of random numbers
TRAINING, TUNING, FORECAST = 0, 1, 2


@dataclass(frozen=True, eq=False)
class TunedDecoder:
    """A decoder, ready for a recording.

    Parameters
    ----------
    decoder : PursuitDecoder, CnnDecoder, CombinedDecoder or BotmDecoder
    calibration : Calibration
    point : WorkingPoint
    name : str
        Of the decoder.
    value : float
        Of the objective, on the rehearsal that it was tuned on.
    """

    decoder: AnyDecoder
    calibration: Calibration
    point: WorkingPoint
    name: str
    value: float

    def above_threshold(self, candidates: Candidates) -> Spikes:
        """Return the candidates above their thresholds; the refractory period has yet to be kept."""
        return self.point.above_threshold(self.calibrated(candidates))

    def calibrated(self, candidates: Candidates) -> Candidates:
        """Return the candidates of known neurons, with probabilities that mean what they say."""
        return self.calibration.apply(candidates.select(np.isin(candidates.unit, self.point.unit_ids)))


@dataclass(frozen=True, eq=False)
class Adaptation:
    """Where rehearsals of one profile are made, trained on and tuned on.

    Parameters
    ----------
    settings : Settings
    fs_hz : float
    units : Units
        What the labelled recording taught.
    average : ndarray of float32, shape (window, channels)
        Its average waveform, conditioned.
    labelled : Labelled or None
        The labelled recording itself, where the settings work on it.
    profile : Profile
        Of the recording to prepare for.
    n_jobs : int
        Threads; they change no result.
    """

    settings: Settings
    fs_hz: float
    units: Units
    average: FloatArray
    labelled: Labelled | None
    profile: Profile
    n_jobs: int = 1

    def train_base(self, progress: Progress) -> Networks | None:
        """Train networks from nothing over a range of noise levels, if the settings may need any."""
        if self.settings.decoder in ("pursuit", "botm", "low_latency"):
            return None
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
        untrained = new_networks(
            features[0].shape[1],
            self.units.unit_ids,
            self.settings.detector,
            self.settings.classifier,
            seed=self.settings.seed,
        )
        return train_networks(
            untrained,
            np.concatenate(features),
            Spikes.concatenate(parts),
            self.settings.detector,
            self.settings.classifier,
            detector_steps=self.settings.detector.base_steps,
            classifier_steps=self.settings.classifier.base_steps,
            rng=rng,
            on_progress=lambda done: progress("training the base networks", done),
        )

    def prepare(self, base: Networks | None, progress: Progress, *, train: bool = True) -> TunedDecoder:
        """Make the decoders that the settings allow, tune each on a rehearsal, and return the best.

        Parameters
        ----------
        base : Networks or None
            From `train_base`.
        progress : callable
        train : bool
            Whether to train the networks for this profile, or take the base networks as they are.

        Returns
        -------
        TunedDecoder
        """
        wanted = self.settings.decoder
        progress("rehearsing", 0.0)
        rehearsal = self._tuning_rehearsal()
        progress("rehearsing", 1.0)
        tried: list[TunedDecoder] = []
        if wanted in ("auto", "botm"):
            botm = self._botm()
            tried.append(self._tuned("botm", botm, self._seen(botm, rehearsal), rehearsal))
        if wanted == "low_latency":
            low_latency = self._low_latency()
            tried.append(
                self._tuned("low_latency", low_latency, self._seen(low_latency, rehearsal), rehearsal)
            )
        if wanted in ("auto", "pursuit", "combined"):
            progress("rehearsing the pursuit", 0.0)
            pursuit = self._pursuit()
            explained = self._seen(pursuit, rehearsal)
            tried.append(self._tuned("pursuit", pursuit, explained, rehearsal))
            progress("rehearsing the pursuit", 1.0)
        good_enough = wanted == "auto" and tried[-1].value >= self.settings.enough
        if base is not None and not good_enough:
            cnn = self._trained(base, progress) if train else self._untrained(base)
            seen = self._seen(cnn, rehearsal)
            tried.append(self._tuned("cnn", cnn, seen, rehearsal))
            if wanted in ("auto", "combined") and base.classifier is None:
                variant = next(one.decoder for one in tried if isinstance(one.decoder, PursuitDecoder))
                side_by_side = np.concatenate([explained, seen], axis=1)
                joined = combine_decoders(variant, cnn, side_by_side, rehearsal.spikes, fs_hz=self.fs_hz)
                tried.append(self._tuned("combined", joined, side_by_side, rehearsal))
        values = {one.name: round(one.value, 4) for one in tried}
        best = _chosen([one for one in tried if wanted in ("auto", one.name)])
        logger.info("%s on the rehearsal: %s; chosen: %s", self.settings.tuning.objective, values, best.name)
        return best

    def forecast(
        self, tuned: TunedDecoder, target_samples: int | None, progress: Progress
    ) -> tuple[Forecast, Diagnostics, OutlierRule | None]:
        """Forecast the score of a recording of this profile, and more, on a rehearsal of its own.

        What the decoder leaves there also says when a spike is a stranger's, if strangers are to be marked.
        """
        progress("forecasting", 0.0)
        rng = np.random.default_rng([self.settings.seed, ADAPT, FORECAST])
        rehearsal = self.rehearse(self.settings.rehearsal.forecast_seconds, rng)
        evidence = find_evidence(tuned.decoder, rehearsal.trace, n_jobs=self.n_jobs)
        candidates = tuned.calibrated(_picked(tuned.decoder, evidence))
        found, truth = tuned.point.to_spikes(candidates), self._known(rehearsal.spikes)
        result = forecast_score(
            found,
            truth,
            self.units.known,
            n_samples=len(rehearsal.trace),
            target_samples=target_samples or len(rehearsal.trace),
            fs_hz=self.fs_hz,
        )
        diagnostics = diagnose(candidates, found, truth, noise=self._noise_power(rehearsal), fs_hz=self.fs_hz)
        rule = self._outlier_rule(rehearsal, found) if self.settings.unknown.mark else None
        progress("forecasting", 1.0)
        return result, diagnostics, rule

    def _noise_power(self, rehearsal: Rehearsal) -> npt.NDArray[np.float64]:
        kernel = conditioning_kernel(self.settings.conditioning, self.fs_hz)
        noise = fir_filter(rehearsal.trace - rehearsal.clean, kernel)
        everywhere = np.ones(len(noise), bool)
        return estimate_noise_spectrum(noise, everywhere, n_fft=self.settings.noise.n_fft).power

    def _outlier_rule(self, rehearsal: Rehearsal, found: Spikes) -> OutlierRule:
        rule = OutlierRule(
            pursuit=self._pursuit(),
            templates=self.units.templates.scaled(self.profile.activity.gain),
            lead_samples=to_samples(self.settings.unknown.before_ms, self.fs_hz),
            window_samples=max(to_samples(self.settings.unknown.window_ms, self.fs_hz), 1),
            beside=np.inf,
            alone=np.inf,
        )
        return fit_outlier_rule(rule, rehearsal.trace, found, fs_hz=self.fs_hz)

    def rehearse(self, seconds: float, rng: np.random.Generator) -> Rehearsal:
        """Make a rehearsal of this profile, long enough for a training window at the least."""
        kernel = conditioning_kernel(self.settings.conditioning, self.fs_hz)
        if self.settings.rehearsal.method == "graft" and self.labelled is not None:
            return graft_rehearsal(self.labelled, self.profile, kernel=kernel, rng=rng)
        return plant_rehearsal(
            self.units,
            self.profile,
            kernel=kernel,
            n_samples=max(int(seconds * self.fs_hz), shortest_samples(self.settings)),
            gain_jitter=self.settings.rehearsal.gain_jitter,
            jitter_samples=int(SECONDS_OF_EACH_GAIN * self.fs_hz),
            rng=rng,
        )

    def front_end(self, rehearsal: Rehearsal) -> FrontEnd:
        """Make the front end of this profile, its statistics taken from a rehearsal."""
        front_end = make_front_end(self._context, self.profile, average=self.average)
        front_end = choose_denoise_strength(
            front_end, self.settings, trace=rehearsal.trace, clean=rehearsal.clean
        )
        return front_end.standardised(rehearsal.trace)

    def _tuning_rehearsal(self) -> Rehearsal:
        """Make a fresh rehearsal, or take the labelled recording if so set."""
        if self.settings.tuning.on == "labelled" and self.labelled is not None:
            return Rehearsal(self.labelled.trace, self.labelled.trace, self.labelled.spikes)
        rng = np.random.default_rng([self.settings.seed, ADAPT, TUNING])
        return self.rehearse(self.settings.rehearsal.tuning_seconds, rng)

    def _seen(self, decoder: AnyDecoder, rehearsal: Rehearsal) -> FloatArray:
        return find_evidence(decoder, rehearsal.trace, n_jobs=self.n_jobs)

    def _tuned(
        self, name: str, decoder: AnyDecoder, evidence: FloatArray, rehearsal: Rehearsal
    ) -> TunedDecoder:
        """Calibrate and tune a decoder: every reading of its evidence coarsely, the best one finely."""
        tuning = self.settings.tuning
        coarse = tuning.model_copy(update={"per_class": False})
        unit_ids, truth = self.units.known, self._known(rehearsal.spikes)
        detector = self.settings.detector
        if name != "cnn":  # these know when spikes exclude each other
            detector = detector.model_copy(update={"refractory_samples": detector.refractory_samples or 0})

        def tried(variant: AnyDecoder) -> tuple[TunedDecoder, Candidates]:
            picked = _picked(variant, evidence)
            found = picked.select(np.isin(picked.unit, unit_ids))
            calibration = self._calibration(found, truth)
            calibrated = calibration.apply(found)
            point, value = tune(calibrated, truth, unit_ids, coarse, detector, fs_hz=self.fs_hz)
            return TunedDecoder(variant, calibration, point, name, value), calibrated

        variants: list[AnyDecoder] = list(decoder.variants())
        outcomes = list(in_threads(tried, variants, n_jobs=self.n_jobs))
        good = max(one.value for one, _ in outcomes) - BY_CHANCE
        best, chosen = next(outcome for outcome in outcomes if outcome[0].value >= good)
        point, value = tune(chosen, truth, unit_ids, tuning, detector, fs_hz=self.fs_hz)
        return replace(best, point=point, value=value)

    def _calibration(self, found: Candidates, truth: Spikes) -> Calibration:
        if self.settings.tuning.on == "labelled":
            return UNCALIBRATED
        return fit_calibration(found, truth, self.units.known, fs_hz=self.fs_hz)

    def _known(self, spikes: Spikes) -> Spikes:
        """Leave out the spikes of unlabelled neurons, as results do."""
        return spikes.select(np.isin(spikes.unit, self.units.known))

    @property
    def _context(self) -> Context:
        return Context.of(self.units, self.settings, fs_hz=self.fs_hz)

    def _botm(self) -> BotmDecoder:
        return make_botm(self._context, self.profile)

    def _pursuit(self) -> PursuitDecoder:
        return make_pursuit(self._context, self.profile)

    def _low_latency(self) -> PursuitDecoder:
        return make_low_latency_pursuit(self._context, self.profile)

    def _untrained(self, base: Networks) -> CnnDecoder:
        rng = np.random.default_rng([self.settings.seed, ADAPT, TRAINING])
        return CnnDecoder(self.front_end(self.rehearse(self.settings.rehearsal.training_seconds, rng)), base)

    def _trained(self, base: Networks, progress: Progress) -> CnnDecoder:
        """Train the base networks further, on a rehearsal of this profile."""
        rng = np.random.default_rng([self.settings.seed, ADAPT, TRAINING])
        rehearsal = self.rehearse(self.settings.rehearsal.training_seconds, rng)
        front_end = self.front_end(rehearsal)
        networks = train_networks(
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
        return CnnDecoder(front_end, networks)

    def _noisier_profiles(self) -> list[Profile]:
        """The profile with its noise scaled so that a middling class has each of a range of d'."""
        kernel = conditioning_kernel(self.settings.conditioning, self.fs_hz)
        filters = make_matched_filters(
            self.units.templates.filtered(kernel),
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


def _chosen(tried: list[TunedDecoder]) -> TunedDecoder:
    """Return the best; the pursuit, which knows what it does, where that is hardly worse."""
    best = max(tried, key=lambda one: one.value)
    pursuit = [one for one in tried if one.name == "pursuit"]
    return pursuit[0] if pursuit and best.value - pursuit[0].value < HARDLY else best


def _picked(decoder: AnyDecoder, evidence: FloatArray) -> Candidates:
    """Pick the candidates of a whole rehearsal."""
    reach = decoder.pick_reach
    return decoder.pick(np.pad(evidence, ((reach, reach), (0, 0))))
