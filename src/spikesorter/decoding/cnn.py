"""Network decoder: a front end followed by networks, trained on rehearsals."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import numpy.typing as npt

from spikesorter.core.progress import Progress
from spikesorter.core.spikes import Spikes
from spikesorter.decoding.bench import Bench, DecoderKind, Trial
from spikesorter.decoding.candidates import Candidates
from spikesorter.decoding.cross_fitting import FOLDS, Folds
from spikesorter.decoding.front_end import FrontEnd, fit_front_end
from spikesorter.decoding.networks import HeldOut, Networks, new_networks, train_networks
from spikesorter.decoding.pursuit import USUAL_LENGTHS
from spikesorter.decoding.training_record import Trained, cut_excerpt, record_of
from spikesorter.estimation.context import TRAIN, TRAIN_BASE, WATCH
from spikesorter.estimation.profile import Profile
from spikesorter.estimation.rehearser import Rehearser
from spikesorter.signal.matched import make_matched_filters
from spikesorter.signal.spans import Margin

__all__ = ["CnnDecoder", "make_cnn", "train_base_networks"]

FloatArray = npt.NDArray[np.float32]
BLOCK_SAMPLES = 24 * USUAL_LENGTHS.block  # fits into the cache, and is a multiple of the pursuit's blocks
WATCHED_SECONDS = 20.0
BASE_DETECTABILITIES = (
    np.inf,
    16.0,
    8.0,
    4.0,
)  # d' of the median unit at the noise levels for training the base networks


@dataclass(frozen=True, eq=False)
class CnnDecoder:
    """A front end followed by networks.

    Parameters
    ----------
    front_end : FrontEnd
    networks : Networks
    """

    front_end: FrontEnd
    networks: Networks

    @property
    def unit_ids(self) -> tuple[int, ...]:
        """Units that the decoder finds, in order."""
        return self.networks.unit_ids

    @property
    def grid_samples(self) -> int:
        """Length of the blocks that the networks are run on."""
        return BLOCK_SAMPLES

    @property
    def margin(self) -> Margin:
        """Margins of the front end and the detector network together."""
        return self.front_end.margin + self.networks.detector.margin

    @property
    def overlap_samples(self) -> int:
        """Samples by which blocks overlap: none."""
        return 0

    @property
    def pick_reach(self) -> int:
        """Samples on either side of a candidate on whose evidence it depends."""
        return self.networks.pick_reach

    def evidence(self, trace: FloatArray) -> FloatArray:
        """Return the networks' curves and, if there is a classifier, the features for it."""
        around = self.margin.before + self.margin.after
        blocks = range(0, len(trace) - around, BLOCK_SAMPLES)
        return np.concatenate(
            [self._block(trace[start : start + BLOCK_SAMPLES + around]) for start in blocks]
        )

    def curves(self, evidence: FloatArray) -> FloatArray:
        """Return the probability of a spike's start at each sample, shape (samples, curves)."""
        return evidence[:, : self.networks.detector.outputs]

    def pick(self, evidence: FloatArray) -> Candidates:
        """Return the candidates: samples at which spikes may start."""
        features = evidence[:, self.networks.detector.outputs :]
        found = self.networks.pick(self.curves(evidence), features)
        return found.inside(self.pick_reach, len(evidence) - self.pick_reach)

    def variants(self) -> list[CnnDecoder]:
        """Return this decoder alone."""
        return [self]

    def _block(self, trace: FloatArray) -> FloatArray:
        margin, reach = self.front_end.margin, self.networks.detector.margin
        features = self.front_end.features(trace)[margin.before : len(trace) - margin.after]
        curves = self.networks.curves(features)
        if self.networks.classifier is None:
            return curves
        return np.concatenate([curves, features[reach.before : len(features) - reach.after]], axis=1)


def make_cnn(bench: Bench, tried: Mapping[str, Trial]) -> Trial:
    """Train the base networks further for the bench's profile, if `bench.train` is set.

    If rehearsals are cross-fitted, the evidence of each part comes from networks trained on the other parts.
    The decoder's own networks are trained on all parts.
    """
    del tried
    base = bench.base or _base_networks(bench)
    context, rng = bench.context, bench.context.rng(*TRAIN)
    rehearsal = bench.rehearser.rehearse(context.settings.rehearsal.training_seconds, rng)
    front_end = fit_front_end(context, bench.rehearser.profile, rehearsal, average=bench.average)
    untrained = CnnDecoder(front_end, base)
    if not bench.train:
        return bench.trial(untrained)
    features, spikes = front_end.features(rehearsal.trace), rehearsal.spikes
    train, watch_rng = partial(_trained, bench, untrained, rng=rng), context.rng(*WATCH)
    excerpt = cut_excerpt(rehearsal, untrained.margin, fs_hz=context.fs_hz)
    whole, crossed = partial(bench.progress, "training"), bench.rehearser.cross_fits
    cnn, trained = train(
        features,
        spikes,
        on_progress=whole,
        held_out=None if crossed else _unseen(bench, front_end, watch_rng),
    )
    if not crossed:
        return replace(bench.trial(cnn), record=record_of([trained], excerpt))
    folds, evidence, parts = Folds(rehearsal.period), np.empty(0, np.float32), []
    for fold in range(FOLDS):
        outside = folds.mask(len(features), fold)
        held_out, trained = train(
            features[~outside],
            _spikes_inside(spikes, ~outside),
            on_progress=partial(bench.progress, f"training for held-out part {fold + 1} of {FOLDS}"),
            held_out=HeldOut(features[outside], _spikes_inside(spikes, outside), watch_rng),
        )
        parts.append(trained)
        part = bench.evidence_of(held_out)
        own = Folds(bench.rehearsal.period).mask(len(part), fold)
        evidence = np.where(own[:, None], part, evidence) if fold else part
    return Trial(cnn, evidence, record_of(parts, excerpt))


def _base_networks(bench: Bench) -> Networks:
    labelled = bench.rehearser.labelled
    if labelled is None:
        raise ValueError("decoder cnn: no base networks were trained")
    of_labelled = replace(bench.rehearser, profile=labelled.profile)
    return train_base_networks(of_labelled, average=bench.average, progress=bench.progress)


def train_base_networks(rehearser: Rehearser, *, average: FloatArray, progress: Progress) -> Networks:
    """Train new networks on rehearsals with a range of noise levels.

    Parameters
    ----------
    rehearser : Rehearser
        Of the labelled recording's profile.
    average : ndarray of float32, shape (window, channels)
        Average labelled waveform, conditioned.
    progress : callable

    Returns
    -------
    Networks
    """
    context, rng = rehearser.context, rehearser.context.rng(*TRAIN_BASE)
    settings, profiles = context.settings, _noisier_profiles(rehearser)
    seconds = settings.rehearsal.training_seconds / len(profiles)
    progress("rehearsing", 0.0)
    features, parts, offset = [], [], 0
    for number, profile in enumerate(profiles, start=1):
        level = replace(rehearser, profile=profile)
        rehearsal = level.rehearse(seconds, rng) if level.published else level.plant(seconds, rng)
        front_end = fit_front_end(context, profile, rehearsal, average=average)
        features.append(front_end.features(rehearsal.trace))
        parts.append(rehearsal.spikes.shifted(offset))
        offset += len(rehearsal.trace)
        progress("rehearsing", number / len(profiles))
    networks, _ = train_networks(
        new_networks(
            features[0].shape[1],
            context.units.unit_ids,
            settings.detector,
            settings.classifier,
            seed=settings.seed,
        ),
        np.concatenate(features),
        Spikes.concatenate(parts),
        settings.detector,
        settings.classifier,
        detector_steps=settings.detector.base_steps,
        classifier_steps=settings.classifier.base_steps,
        rng=rng,
        on_progress=partial(progress, "training the base networks"),
    )
    return networks


def _trained(
    bench: Bench,
    untrained: CnnDecoder,
    features: FloatArray,
    spikes: Spikes,
    *,
    rng: np.random.Generator,
    on_progress: Callable[[float], None],
    held_out: HeldOut | None,
) -> tuple[CnnDecoder, Trained]:
    settings = bench.context.settings
    networks, trained = train_networks(
        untrained.networks,
        features,
        spikes,
        settings.detector,
        settings.classifier,
        detector_steps=settings.detector.steps,
        classifier_steps=settings.classifier.steps,
        rng=rng,
        on_progress=on_progress,
        held_out=held_out,
    )
    return replace(untrained, networks=networks), trained


def _unseen(bench: Bench, front_end: FrontEnd, rng: np.random.Generator) -> HeldOut:
    """Return a planted rehearsal, of which no network is trained on any part."""
    rehearsal = bench.rehearser.plant(WATCHED_SECONDS, rng)
    return HeldOut(front_end.features(rehearsal.trace), rehearsal.spikes, rng)


def _spikes_inside(spikes: Spikes, inside: npt.NDArray[np.bool_]) -> Spikes:
    """Return the spikes at the samples kept, as positions among those samples."""
    kept = spikes.select(inside[spikes.sample])
    return replace(kept, sample=(np.cumsum(inside) - 1)[kept.sample])


def _noisier_profiles(rehearser: Rehearser) -> list[Profile]:
    """Return profiles with scaled noise, at which the median unit has each d' of a range."""
    context, profile = rehearser.context, rehearser.profile
    filters = make_matched_filters(context.templates, profile.noise, reach=context.whitening_reach)
    own = float(np.median(filters.detectability))
    factors = sorted({max(1.0, own / wanted) for wanted in BASE_DETECTABILITIES})
    return [
        replace(profile, noise=profile.noise.scaled(f**2), scale=profile.scale * np.float32(f))
        for f in factors
    ]


KIND = DecoderKind(
    "cnn",
    CnnDecoder,
    make_cnn,
    rank=30,
    in_auto=True,
    uses_networks=True,
    tunes_refractory=True,
)
"""Entry of the registry of decoders."""
