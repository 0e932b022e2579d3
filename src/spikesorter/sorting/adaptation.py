"""Preparing for a recording: rehearse it, train, tune and choose a decoder, forecast the score."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

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
from spikesorter.decoding.thresholds import objective, tune
from spikesorter.estimation.context import Context
from spikesorter.estimation.profile import Profile, conditioning_kernel
from spikesorter.estimation.rehearsal import Labelled, Rehearsal, graft_rehearsal, plant_rehearsal
from spikesorter.estimation.units import Units
from spikesorter.io.samples import shortest_samples
from spikesorter.signal.filters import fir_filter
from spikesorter.signal.matched import make_matched_filters
from spikesorter.signal.noise import estimate_noise_spectrum
from spikesorter.signal.spans import to_samples
from spikesorter.sorting.cross_fitting import FOLDS, Folds
from spikesorter.sorting.diagnostics import Diagnostics, diagnose
from spikesorter.sorting.forecast import Forecast, forecast_score
from spikesorter.sorting.look_back import Reckoning, reckon
from spikesorter.sorting.outlier_spikes import OutlierRule, fit_outlier_rule

__all__ = ["Adaptation", "AnyDecoder", "Outcome", "TunedDecoder"]

logger = logging.getLogger(__name__)
FloatArray = npt.NDArray[np.float32]
AnyDecoder = PursuitDecoder | CnnDecoder | CombinedDecoder | BotmDecoder

BASE_DETECTABILITIES = (np.inf, 16.0, 8.0, 4.0)  # noise levels that the base networks are trained at
SECONDS_OF_EACH_GAIN = 1.0
MUCH_VARIED = 0.2  # variance left beside spikes by fixed shapes, of the target's noise
BY_CHANCE = 0.001  # of the objective: of variants so alike the first, which smooths least, is taken
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
        Of the objective on a rehearsal; on the labelled trace, of each part when tuned on the others.
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
class Outcome:
    """What became of a decoder on a rehearsal.

    Parameters
    ----------
    tuned : TunedDecoder
    rehearsal : Rehearsal
    candidates : Candidates
        Calibrated; each by what was tuned on other parts of the rehearsal.
    found : Spikes
        Those above their thresholds, likewise.
    """

    tuned: TunedDecoder
    rehearsal: Rehearsal
    candidates: Candidates
    found: Spikes


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
            rehearsal = level.rehearse(seconds, rng) if self._published else level.planted(seconds, rng)
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

    def prepare(self, base: Networks | None, progress: Progress, *, train: bool = True) -> Outcome:
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
        Outcome
        """
        wanted = self.settings.decoder
        progress("rehearsing", 0.0)
        rehearsal = self._tuning_rehearsal()
        progress("rehearsing", 1.0)
        tried: list[Outcome] = []
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
        good_enough = wanted == "auto" and not self._varied and tried[-1].tuned.value >= self.settings.enough
        if base is not None and not good_enough:
            cnn, seen = self._networks(base, rehearsal, progress, train=train)
            tried.append(self._tuned("cnn", cnn, seen, rehearsal))
            if wanted in ("auto", "combined") and base.classifier is None:
                decoders = (one.tuned.decoder for one in tried)
                variant = next(one for one in decoders if isinstance(one, PursuitDecoder))
                side_by_side = np.concatenate([explained, seen], axis=1)
                joined = combine_decoders(variant, cnn, side_by_side, rehearsal.spikes, fs_hz=self.fs_hz)
                tried.append(self._tuned("combined", joined, side_by_side, rehearsal))
        values = {one.tuned.name: round(one.tuned.value, 4) for one in tried}
        best = _chosen([one for one in tried if wanted in ("auto", one.tuned.name)])
        name = best.tuned.name
        logger.info("%s on the rehearsal: %s; chosen: %s", self.settings.tuning.objective, values, name)
        return best

    def forecast(
        self, outcome: Outcome, target_samples: int | None, progress: Progress
    ) -> tuple[Forecast, Diagnostics, OutlierRule | None]:
        """Forecast the score of a recording of this profile, and more.

        On the labelled trace, by what became of each part of it when trained and tuned on the others;
        otherwise on another rehearsal.
        """
        progress("forecasting", 0.0)
        tested = outcome if self._cross_fitted else self._rehearsed_anew(outcome.tuned)
        truth, once = self._known(tested.rehearsal.spikes), tested.rehearsal.period
        result = forecast_score(
            tested.found,
            truth,
            self.units.known,
            n_samples=len(tested.rehearsal.trace),
            unlike_samples=once,
            target_samples=target_samples or once,
            fs_hz=self.fs_hz,
        )
        noise = self._noise_power(tested.rehearsal)
        diagnostics = diagnose(tested.candidates, tested.found, truth, noise=noise, fs_hz=self.fs_hz)
        rule = self._outlier_rule(outcome.tuned) if self.settings.unknown.mark else None
        progress("forecasting", 1.0)
        return result, diagnostics, rule

    def reckoned(self, outcome: Outcome) -> Reckoning:
        """Reckon how good the sorting of a rehearsal is, as if its truth were unknown."""
        seconds = len(outcome.rehearsal.trace) / self.fs_hz
        return reckon(outcome.candidates, outcome.found, self.units.known, seconds=seconds)

    def _rehearsed_anew(self, tuned: TunedDecoder) -> Outcome:
        """Sort a planted rehearsal that had no part in training or tuning."""
        rng = np.random.default_rng([self.settings.seed, ADAPT, FORECAST])
        rehearsal = self.planted(self.settings.rehearsal.forecast_seconds, rng)
        candidates = tuned.calibrated(_picked(tuned.decoder, self._seen(tuned.decoder, rehearsal)))
        return Outcome(tuned, rehearsal, candidates, tuned.point.to_spikes(candidates))

    def _noise_power(self, rehearsal: Rehearsal) -> npt.NDArray[np.float64]:
        """Power of a rehearsal's noise: what was added, and what the labelled trace brought."""
        kernel = conditioning_kernel(self.settings.conditioning, self.fs_hz)
        noise = fir_filter(rehearsal.trace - rehearsal.clean, kernel)
        everywhere = np.ones(len(noise), bool)
        added = estimate_noise_spectrum(noise, everywhere, n_fft=self.settings.noise.n_fft).power
        if not self._grafted or self.labelled is None:
            return added
        return added + self.labelled.profile.noise.scaled(self.profile.activity.gain**2).power

    def _outlier_rule(self, tuned: TunedDecoder) -> OutlierRule:
        """What is too much to be left by a known neuron, from a rehearsal that holds no strangers."""
        rule = OutlierRule(
            pursuit=self._pursuit(),
            templates=self.units.templates.scaled(self.profile.activity.gain),
            lead_samples=to_samples(self.settings.unknown.before_ms, self.fs_hz),
            window_samples=max(to_samples(self.settings.unknown.window_ms, self.fs_hz), 1),
            beside=np.inf,
            alone=np.inf,
        )
        tested = self._rehearsed_anew(tuned)
        return fit_outlier_rule(rule, tested.rehearsal.trace, tested.found, fs_hz=self.fs_hz)

    def rehearse(self, seconds: float, rng: np.random.Generator) -> Rehearsal:
        """Make a rehearsal of this profile, as the settings say."""
        if not self._grafted or self.labelled is None:
            return self.planted(seconds, rng)
        lengths = self.settings.rehearsal
        most = int((lengths.tuning_seconds + lengths.forecast_seconds) * self.fs_hz)
        part = self.labelled if self._published else self.labelled.excerpt(most)
        return graft_rehearsal(
            part,
            self.units.templates,
            self.profile,
            kernel=conditioning_kernel(self.settings.conditioning, self.fs_hz),
            n_samples=len(part.trace) if self._published else int(seconds * self.fs_hz),
            rng=rng,
        )

    def planted(self, seconds: float, rng: np.random.Generator) -> Rehearsal:
        """Plant spikes in noise of this profile, for long enough for a training window at the least."""
        return plant_rehearsal(
            self.units,
            self.profile,
            kernel=conditioning_kernel(self.settings.conditioning, self.fs_hz),
            n_samples=max(int(seconds * self.fs_hz), shortest_samples(self.settings)),
            gain_jitter=self.settings.rehearsal.gain_jitter,
            jitter_samples=int(SECONDS_OF_EACH_GAIN * self.fs_hz),
            rng=rng,
        )

    @property
    def _grafted(self) -> bool:
        """Whether rehearsals are made on the labelled trace itself."""
        return self.settings.rehearsal.method == "graft" and self.labelled is not None

    @property
    def _published(self) -> bool:
        """Whether all is trained and tuned on the same labelled trace, as published."""
        return self.settings.tuning.on == "labelled"

    @property
    def _varied(self) -> bool:
        """Whether units vary so much, for this noise, that fixed shapes are in doubt."""
        varies = self.labelled.varies_beyond(self.profile) if self.labelled is not None else 0.0
        return self._cross_fitted and varies > MUCH_VARIED

    @property
    def _cross_fitted(self) -> bool:
        return self._grafted and not self._published

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
            trace = self.labelled.trace
            return Rehearsal(trace, trace, self.labelled.spikes, len(trace))
        rng = np.random.default_rng([self.settings.seed, ADAPT, TUNING])
        return self.rehearse(self.settings.rehearsal.tuning_seconds, rng)

    def _seen(self, decoder: AnyDecoder, rehearsal: Rehearsal) -> FloatArray:
        return find_evidence(decoder, rehearsal.trace, n_jobs=self.n_jobs)

    def _tuned(self, name: str, decoder: AnyDecoder, evidence: FloatArray, rehearsal: Rehearsal) -> Outcome:
        """Calibrate and tune a decoder on a rehearsal; on the labelled trace, judge it by cross-fitting."""
        read = [
            (variant, found.select(np.isin(found.unit, self.units.known)))
            for variant in decoder.variants()
            for found in (_picked(variant, evidence),)
        ]
        truth = self._known(rehearsal.spikes)
        best, candidates = self._read_best(name, read, truth)
        if not self._cross_fitted:
            return Outcome(best, rehearsal, candidates, best.point.to_spikes(candidates))
        folds = Folds(rehearsal.period)
        parts, spikes = [], []
        for fold in range(FOLDS):
            learnt = [(one, found.select(folds.select(found, fold, others=True))) for one, found in read]
            tuned, _ = self._read_best(name, learnt, truth.select(folds.select(truth, fold, others=True)))
            found = next(found for variant, found in read if variant is tuned.decoder)
            parts.append(tuned.calibration.apply(found.select(folds.select(found, fold))))
            spikes.append(tuned.point.to_spikes(parts[-1]))
        held_out = Spikes.concatenate(spikes)
        value = objective(held_out, truth, self.settings.tuning.objective, fs_hz=self.fs_hz)
        return Outcome(replace(best, value=value), rehearsal, Candidates.concatenate(parts), held_out)

    def _read_best(
        self, name: str, read: list[tuple[AnyDecoder, Candidates]], truth: Spikes
    ) -> tuple[TunedDecoder, Candidates]:
        """Tune every variant of a decoder's evidence coarsely, the best one finely."""
        tuning, unit_ids = self.settings.tuning, self.units.known
        coarse = tuning.model_copy(update={"per_class": False})
        detector = self.settings.detector
        if name != "cnn":  # these know when spikes exclude each other
            detector = detector.model_copy(update={"refractory_samples": detector.refractory_samples or 0})

        def tried(one: tuple[AnyDecoder, Candidates]) -> tuple[TunedDecoder, Candidates]:
            variant, found = one
            calibration = self._calibration(found, truth)
            calibrated = calibration.apply(found)
            point, value = tune(calibrated, truth, unit_ids, coarse, detector, fs_hz=self.fs_hz)
            return TunedDecoder(variant, calibration, point, name, value), calibrated

        outcomes = list(in_threads(tried, read, n_jobs=self.n_jobs))
        good = max(one.value for one, _ in outcomes) - BY_CHANCE
        best, chosen = next(outcome for outcome in outcomes if outcome[0].value >= good)
        point, value = tune(chosen, truth, unit_ids, tuning, detector, fs_hz=self.fs_hz)
        return replace(best, point=point, value=value), chosen

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

    def _networks(
        self, base: Networks, rehearsal: Rehearsal, progress: Progress, *, train: bool
    ) -> tuple[CnnDecoder, FloatArray]:
        """Return networks for this profile, and what they see in a rehearsal that was not trained on."""
        rng = np.random.default_rng([self.settings.seed, ADAPT, TRAINING])
        studied = self.rehearse(self.settings.rehearsal.training_seconds, rng)
        front_end = self.front_end(studied)
        untrained = CnnDecoder(front_end, base)
        if not train:
            return untrained, self._seen(untrained, rehearsal)
        features = front_end.features(studied.trace)
        cnn = self._trained(untrained, features, studied.spikes, rng, partial(progress, "training"))
        if not self._cross_fitted:
            return cnn, self._seen(cnn, rehearsal)
        folds, seen = Folds(studied.period), np.empty(0, np.float32)
        for fold in range(FOLDS):
            step = partial(progress, f"training for held-out part {fold + 1} of {FOLDS}")
            inside = ~folds.mask(len(features), fold)
            moved = np.cumsum(inside) - 1
            spikes = studied.spikes.select(inside[studied.spikes.sample])
            spikes = replace(spikes, sample=moved[spikes.sample])
            part = self._seen(self._trained(untrained, features[inside], spikes, rng, step), rehearsal)
            own = Folds(rehearsal.period).mask(len(part), fold)
            seen = np.where(own[:, None], part, seen) if fold else part
        return cnn, seen

    def _trained(
        self,
        untrained: CnnDecoder,
        features: FloatArray,
        spikes: Spikes,
        rng: np.random.Generator,
        on_progress: Callable[[float], None],
    ) -> CnnDecoder:
        """Train networks further, on features of a rehearsal of this profile."""
        networks = train_networks(
            untrained.networks,
            features,
            spikes,
            self.settings.detector,
            self.settings.classifier,
            detector_steps=self.settings.detector.steps,
            classifier_steps=self.settings.classifier.steps,
            rng=rng,
            on_progress=on_progress,
        )
        return replace(untrained, networks=networks)

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


def _chosen(tried: list[Outcome]) -> Outcome:
    """Return the best; the pursuit, which knows what it does, where that is hardly worse."""
    best = max(tried, key=lambda one: one.tuned.value)
    pursuit = [one for one in tried if one.tuned.name == "pursuit"]
    return pursuit[0] if pursuit and best.tuned.value - pursuit[0].tuned.value < HARDLY else best


def _picked(decoder: AnyDecoder, evidence: FloatArray) -> Candidates:
    """Pick the candidates of a whole rehearsal."""
    reach = decoder.pick_reach
    return decoder.pick(np.pad(evidence, ((reach, reach), (0, 0))))
