"""Randomised trees that name the candidates of linear discriminants by their waveforms.

The discriminants compare a spike with mean templates in Gaussian noise. Where waveforms vary, what they leave
is not noise, and trees that have seen the labelled spikes name candidates better. They learn on a rehearsal.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import numpy.typing as npt

from spikesorter.core.spikes import Spikes
from spikesorter.decoding.base import Decoder
from spikesorter.decoding.bench import Bench, DecoderKind, Trial
from spikesorter.decoding.botm import BotmDecoder, make_botm
from spikesorter.decoding.candidates import Candidates
from spikesorter.decoding.cross_fitting import FOLDS, Folds
from spikesorter.decoding.forest import Forest, fit_forest, nothing_known
from spikesorter.decoding.in_parts import InParts, in_parts
from spikesorter.decoding.run import padded, pieces_of
from spikesorter.estimation.context import TRAIN, Context
from spikesorter.estimation.profile import Profile
from spikesorter.signal.filters import band_pass_kernel
from spikesorter.signal.spans import Margin, to_samples

__all__ = ["TreesDecoder", "make_trees"]

Trace = npt.NDArray[np.float32]
BLOCK_SAMPLES = 4096
LOW_HZ, HIGH_HZ, TAPS = 200.0, 6000.0, 201  # of the band in which waveforms are seen
WINDOW_MS = (0.8, 2.4)  # before and after a candidate
LAG_MS, LAG_STEP = 1.0, 2  # at which the discriminants' filters are seen, in samples between two lags
GAP_MS = 10.0  # between candidates, beyond which it does not matter how far they are apart
SAME_MS = 0.5  # between two candidates of one unit, of which one is dropped
NEAR_MS = 0.4  # between a candidate and the label that it belongs to
SAME_UNIT = 0.5  # of that, by which a candidate of the label's unit is preferred


@dataclass(frozen=True, eq=False)
class TreesDecoder:
    """Linear discriminants, whose candidates are named by trees.

    Parameters
    ----------
    discriminants : BotmDecoder
    forest : Forest
    known : tuple of int
        Units that the trees know, in the order of their probabilities.
    fs_hz : float
    change : tuple of float
        Sizes of the units and level of the noise in the part of the recording that this is for, which the
        trees look at beside a candidate's features. Empty for a recording that does not change.
    """

    discriminants: BotmDecoder
    forest: Forest
    known: tuple[int, ...]
    fs_hz: float
    change: tuple[float, ...] = ()

    @property
    def unit_ids(self) -> tuple[int, ...]:
        """Units that the decoder finds, in order."""
        return self.known

    @property
    def grid_samples(self) -> int:
        """Length of a block."""
        return BLOCK_SAMPLES

    @property
    def margin(self) -> Margin:
        """Samples around a block on which its evidence depends."""
        return margin_of(self.discriminants, self.fs_hz)

    @property
    def overlap_samples(self) -> int:
        """Samples by which blocks overlap: none."""
        return 0

    @property
    def pick_reach(self) -> int:
        """Samples on either side of a candidate on whose evidence it depends."""
        return to_samples(SAME_MS, self.fs_hz)

    def evidence(self, trace: Trace) -> Trace:
        """Return the probability of each unit at the samples of candidates, 0 elsewhere.

        Parameters
        ----------
        trace : ndarray of float32, shape (margin.before + blocks * grid_samples + margin.after, channels)

        Returns
        -------
        ndarray of float32, shape (blocks * grid_samples, units)
        """
        around = self.margin.before + self.margin.after
        parts = []
        for start in range(0, len(trace) - around, BLOCK_SAMPLES):
            found, features = see(
                self.discriminants, trace[start : start + around + BLOCK_SAMPLES], self.fs_hz
            )
            part = np.zeros((BLOCK_SAMPLES, len(self.known)), np.float32)
            part[found.sample] = self.forest.probabilities(with_change(features, self.change))
            parts.append(part)
        return np.concatenate(parts)

    def curves(self, evidence: Trace) -> Trace:
        """Return the evidence itself."""
        return evidence

    def pick(self, evidence: Trace) -> Candidates:
        """Return the candidates; of two of one unit that are near each other, the more probable."""
        probability = evidence.sum(axis=1)
        samples = np.flatnonzero(probability > 0)
        column = evidence[samples].argmax(axis=1)
        own = evidence[samples, column]
        kept = ~outdone(samples, column, own, to_samples(SAME_MS, self.fs_hz))
        samples, column, own = samples[kept], column[kept], own[kept]
        found = Candidates.from_arrays(
            samples, np.array(self.known)[column], probability[samples], own / probability[samples]
        )
        return found.inside(self.pick_reach, len(evidence) - self.pick_reach)

    def variants(self) -> list[TreesDecoder]:
        """Return this decoder alone."""
        return [self]


def margin_of(discriminants: BotmDecoder, fs_hz: float) -> Margin:
    """Return the samples around a block on which the features of its candidates depend."""
    reach = discriminants.pick_reach + to_samples(GAP_MS, fs_hz)
    beside = TAPS + max(to_samples(ms, fs_hz) for ms in WINDOW_MS)
    margin = discriminants.margin + Margin(reach, reach)
    return Margin(max(margin.before, beside), max(margin.after, beside))


def see(discriminants: BotmDecoder, trace: Trace, fs_hz: float) -> tuple[Candidates, Trace]:
    """Return the candidates of a block, counted from its first sample, and the features of each.

    Parameters
    ----------
    discriminants : BotmDecoder
    trace : ndarray of float32, shape (samples, channels)
        The block, with the margin of `margin_of`.
    fs_hz : float
    """
    margin, own, gap = margin_of(discriminants, fs_hz), discriminants.margin, to_samples(GAP_MS, fs_hz)
    n_samples = len(trace) - margin.before - margin.after
    outputs = discriminants.evidence(trace)
    zero = margin.before - own.before  # of the block, in the outputs
    reach = discriminants.pick_reach + gap
    near = discriminants.pick(outputs[zero - reach : zero + n_samples + reach]).shifted(-gap)
    gaps = np.diff(near.sample, prepend=-2 * gap, append=n_samples + 2 * gap)
    gaps = np.stack([gaps[:-1], gaps[1:]], axis=1).clip(0, gap)
    inside = (near.sample >= 0) & (near.sample < n_samples)
    found = near.select(inside)
    lag = to_samples(LAG_MS, fs_hz)
    lags = np.arange(-lag, lag + 1, LAG_STEP)
    before, after = (to_samples(ms, fs_hz) for ms in WINDOW_MS)
    kernel = band_pass_kernel(low_hz=LOW_HZ, high_hz=min(HIGH_HZ, 0.45 * fs_hz), taps=TAPS, fs_hz=fs_hz)
    first = margin.before - before - TAPS // 2
    band = trace[first : margin.before + n_samples + after + TAPS // 2]
    seen = np.stack([np.convolve(channel, kernel, "valid") for channel in band.T.astype(np.float64)], axis=1)
    at = found.sample[:, None]
    features = [
        seen[at + np.arange(before + after)].reshape(len(found), (before + after) * seen.shape[1]),
        outputs[zero + at + lags].reshape(len(found), len(lags) * outputs.shape[1]),
        found.joint[:, None],
        found.unit[:, None],
        gaps[inside],
    ]
    return found, np.concatenate(features, axis=1).astype(np.float32)


def with_change(features: Trace, change: tuple[float, ...]) -> Trace:
    """Return the features with those that all candidates of a part of the recording share."""
    shared = np.broadcast_to(np.asarray(change, np.float32), (len(features), len(change)))
    return np.concatenate([features, shared], axis=1)


def outdone(
    samples: npt.NDArray[np.int64], column: npt.NDArray[np.int64], own: Trace, reach: int
) -> npt.NDArray[np.bool_]:
    """Return which candidates are less probable than another of their unit within some samples."""
    lost = np.zeros(len(samples), bool)
    for ahead in range(1, len(samples)):
        near = (samples[ahead:] - samples[:-ahead]) <= reach
        if not near.any():
            break
        same = near & (column[ahead:] == column[:-ahead])
        lost[:-ahead] |= same & (own[:-ahead] < own[ahead:])
        lost[ahead:] |= same & (own[ahead:] <= own[:-ahead])
    return lost


def units_of(
    found: Candidates, labels: Spikes, known: tuple[int, ...], *, fs_hz: float
) -> npt.NDArray[np.int64]:
    """Return the unit of the label that each candidate belongs to; 0 for one without a label.

    Each label belongs to one candidate: the nearest, or one of its unit that is hardly farther.
    """
    near = to_samples(NEAR_MS, fs_hz)
    unit = np.zeros(len(found), np.int64)
    for label in labels.select(np.isin(labels.unit, known)):
        first, last = np.searchsorted(found.sample, [label.sample - near, label.sample + near + 1])
        if first < last:
            away = abs(found.sample[first:last] - label.sample)
            away = away - SAME_UNIT * near * (found.unit[first:last] == label.unit)
            unit[first + int(away.argmin())] = label.unit
    return unit


def make_trees(bench: Bench, tried: Mapping[str, Trial]) -> Trial:
    """Train trees on the bench's rehearsals; evidence on held-out parts comes from trees of the others.

    Parameters
    ----------
    bench : Bench
    tried : mapping of str to Trial

    Returns
    -------
    Trial
    """
    del tried
    context, known = bench.context, bench.context.units.known
    without_trees = _without_trees(context, bench.rehearser.profile)
    training = bench.rehearser.rehearse(context.settings.rehearsal.training_seconds, context.rng(*TRAIN))
    seen, features = _seen_throughout(without_trees, training.trace)
    unit = units_of(seen, training.spikes, known, fs_hz=context.fs_hz)

    def fitted(inside: npt.NDArray[np.bool_]) -> Forest:
        return fit_forest(
            features[inside], unit[inside], known, seed=context.settings.seed, n_jobs=bench.n_jobs
        )

    forest = fitted(np.ones(len(seen), bool))
    rehearsal = bench.rehearsal
    tried_on, their_features = _seen_throughout(without_trees, rehearsal.trace)
    evidence = np.zeros((len(rehearsal.trace), len(known)), np.float32)
    if not bench.rehearser.cross_fits:
        evidence[tried_on.sample] = forest.probabilities(their_features)
    else:
        for fold in range(FOLDS):
            of_others = fitted(Folds(training.period).select(seen, fold, others=True))
            own = Folds(rehearsal.period).select(tried_on, fold)
            evidence[tried_on.sample[own]] = of_others.probabilities(their_features[own])
    return Trial(_with_forest(without_trees, forest), evidence)


def _without_trees(context: Context, profile: Profile) -> Decoder:
    """Return the decoder before its trees are fitted, in parts if the profile changes over the recording."""
    known, fs_hz = context.units.known, context.fs_hz
    power = float(profile.noise.variance.mean())

    def one(context: Context, part: Profile) -> TreesDecoder:
        level = float(np.sqrt(part.noise.variance.mean() / max(power, 1e-30)))
        change = () if profile.course.steady else (*part.course.mean_sizes.tolist(), level)
        return TreesDecoder(make_botm(context, part), nothing_known(len(known)), known, fs_hz, change)

    return in_parts(one, context, profile)


def _with_forest(without_trees: Decoder, forest: Forest) -> Decoder:
    """Return the decoder of the trees, whose parts share them."""
    if not isinstance(without_trees, InParts):
        return replace(cast(TreesDecoder, without_trees), forest=forest)
    parts = tuple(_with_forest(one, forest) for one in without_trees.decoders)
    return replace(without_trees, whole=_with_forest(without_trees.whole, forest), decoders=parts)


def _seen_throughout(without_trees: Decoder, trace: Trace) -> tuple[Candidates, Trace]:
    """Return the candidates of a whole trace and their features."""
    read, found, features = padded(trace), [], []
    whole = without_trees.over(len(trace)) if isinstance(without_trees, InParts) else without_trees
    for piece, first, last in pieces_of(whole, 0, len(trace)):
        decoder = cast(TreesDecoder, piece)
        margin = decoder.margin
        for start in range(first, last, BLOCK_SAMPLES):
            block = read(start - margin.before, start + BLOCK_SAMPLES + margin.after)
            one, seen = see(decoder.discriminants, block, decoder.fs_hz)
            inside = one.sample + start < last
            found.append(one.select(inside).shifted(start))
            features.append(with_change(seen[inside], decoder.change))
    return Candidates.concatenate(found), np.concatenate(features)


KIND = DecoderKind(
    "trees",
    TreesDecoder,
    make_trees,
    rank=25,
    in_auto=True,
    tunes_refractory=True,
    if_units_vary=True,
)
"""Entry of the registry of decoders."""
