"""Randomised trees that name the candidates of linear discriminants.

The discriminants and the pursuit compare a spike with mean templates in Gaussian noise. Where waveforms vary,
what they leave is not noise, and trees that have seen the labelled spikes name candidates better. They learn
on a rehearsal.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import numpy.typing as npt

from spikesorter.core.cores import in_threads
from spikesorter.core.spikes import Spikes
from spikesorter.decoding.base import Decoder
from spikesorter.decoding.bench import Bench, DecoderKind, Trial
from spikesorter.decoding.botm import make_botm
from spikesorter.decoding.candidate_features import CandidateFeatures
from spikesorter.decoding.candidates import Candidates
from spikesorter.decoding.cross_fitting import Folds
from spikesorter.decoding.forest import Forest, fit_forest, nothing_known
from spikesorter.decoding.in_parts import InParts, in_parts
from spikesorter.decoding.pursuit import make_pursuit
from spikesorter.decoding.run import padded, pieces_of
from spikesorter.decoding.undecided import after_hiding, in_dead_time
from spikesorter.estimation.context import TRAIN, Context
from spikesorter.estimation.labelled import dead_time
from spikesorter.estimation.profile import Profile
from spikesorter.estimation.rehearsal import Rehearsal
from spikesorter.signal.spans import Margin, to_samples

__all__ = ["TreesDecoder", "make_trees"]

Trace = npt.NDArray[np.float32]
FOREST_FOLDS = 4  # trees that learn from half of few labels do worse than those that learn from all
SAME_MS = 0.5  # between two candidates of one unit, of which one is dropped
NEAR_MS = 0.4  # between a candidate and the label that it belongs to
BLOCKS_AT_ONCE = 16  # of a rehearsal, for one thread
SAME_UNIT = 0.5  # of that, by which a candidate of the label's unit is preferred


@dataclass(frozen=True, eq=False)
class TreesDecoder:
    """Linear discriminants, whose candidates are named by trees.

    Parameters
    ----------
    features : CandidateFeatures
        Finds the candidates, and what the trees look at.
    forest : Forest
    known : tuple of int
        Units that the trees know, in the order of their probabilities.
    """

    features: CandidateFeatures
    forest: Forest
    known: tuple[int, ...]

    @property
    def unit_ids(self) -> tuple[int, ...]:
        """Units that the decoder finds, in order."""
        return self.known

    @property
    def grid_samples(self) -> int:
        """Length of a block."""
        return self.features.grid_samples

    @property
    def margin(self) -> Margin:
        """Samples around a block on which its evidence depends."""
        return self.features.margin

    @property
    def overlap_samples(self) -> int:
        """Samples by which blocks overlap: none."""
        return 0

    @property
    def pick_reach(self) -> int:
        """Samples on either side of a candidate on whose evidence it depends."""
        return to_samples(SAME_MS, self.features.fs_hz)

    def evidence(self, trace: Trace) -> Trace:
        """Return the probability of each unit at the samples of candidates, 0 elsewhere.

        Parameters
        ----------
        trace : ndarray of float32, shape (margin.before + blocks * grid_samples + margin.after, channels)

        Returns
        -------
        ndarray of float32, shape (blocks * grid_samples, units)
        """
        found, features = self.features.see(trace)
        evidence = np.zeros(
            (len(trace) - self.margin.before - self.margin.after, len(self.known)), np.float32
        )
        evidence[found.sample] = self.forest.probabilities(features)
        return evidence

    def curves(self, evidence: Trace) -> Trace:
        """Return the evidence itself."""
        return evidence

    def pick(self, evidence: Trace) -> Candidates:
        """Return the candidates; of two of one unit that are near each other, the more probable."""
        probability = evidence.sum(axis=1)
        samples = np.flatnonzero(probability > 0)
        column = evidence[samples].argmax(axis=1)
        own = evidence[samples, column]
        kept = ~outdone(samples, column, own, to_samples(SAME_MS, self.features.fs_hz))
        samples, column, own = samples[kept], column[kept], own[kept]
        found = Candidates.from_arrays(
            samples, np.array(self.known)[column], probability[samples], own / probability[samples]
        )
        return found.inside(self.pick_reach, len(evidence) - self.pick_reach)

    def variants(self) -> list[TreesDecoder]:
        """Return this decoder alone."""
        return [self]


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
    """Train trees on the bench's rehearsal; evidence on each part of it comes from trees of the others.

    Parameters
    ----------
    bench : Bench
    tried : mapping of str to Trial

    Returns
    -------
    Trial
    """
    del tried
    without_trees = _without_trees(bench.context, bench.rehearser.profile)
    if not bench.rehearser.cross_fits:
        settings = bench.context.settings
        other = bench.rehearser.rehearse(settings.rehearsal.training_seconds, bench.context.rng(*TRAIN))
        return bench.trial(_with_forest(without_trees, _Lesson.of(without_trees, other, bench).forest()))
    lesson = _Lesson.of(without_trees, bench.rehearsal, bench)
    folds = Folds(bench.rehearsal.period, FOREST_FOLDS)
    evidence = np.zeros((len(bench.rehearsal.trace), len(bench.context.units.known)), np.float32)
    for fold in range(FOREST_FOLDS):
        own = folds.select(lesson.seen, fold)
        evidence[lesson.seen.sample[own]] = lesson.forest(~own).probabilities(lesson.features[own])
    return Trial(_with_forest(without_trees, lesson.forest()), evidence)


@dataclass(frozen=True, eq=False)
class _Lesson:
    """Candidates of a rehearsal, their features and units, and which of them trees learn from."""

    seen: Candidates
    features: Trace
    unit: npt.NDArray[np.int64]
    decided: npt.NDArray[np.bool_]
    bench: Bench

    @classmethod
    def of(cls, without_trees: Decoder, rehearsal: Rehearsal, bench: Bench) -> _Lesson:
        seen, features = seen_throughout(without_trees, rehearsal.trace, n_jobs=bench.n_jobs)
        known, fs_hz, labels = bench.context.units.known, bench.context.fs_hz, rehearsal.spikes
        unit = units_of(seen, labels, known, fs_hz=fs_hz)
        hidden_samples = dead_time(labels, len(rehearsal.trace), fs_hz=fs_hz)
        hidden = in_dead_time(seen, labels, hidden_samples, fs_hz=fs_hz)
        hidden |= after_hiding(seen.sample, rehearsal.hiding, hidden_samples, fs_hz=fs_hz)
        return cls(seen, features, unit, ~hidden | (unit > 0), bench)

    def forest(self, inside: npt.NDArray[np.bool_] | None = None) -> Forest:
        """Return trees fitted to all candidates, or some of them."""
        context, chosen = self.bench.context, self.decided if inside is None else self.decided & inside
        return fit_forest(
            self.features[chosen],
            self.unit[chosen],
            context.units.known,
            seed=context.settings.seed,
            n_jobs=self.bench.n_jobs,
        )


def _without_trees(context: Context, profile: Profile) -> Decoder:
    """Return the decoder before its trees are fitted, in parts if the profile changes over the recording."""
    known, power = context.units.known, float(profile.noise.variance.mean())

    def one(context: Context, part: Profile) -> TreesDecoder:
        level = float(np.sqrt(part.noise.variance.mean() / max(power, 1e-30)))
        change = () if profile.course.steady else (*part.course.mean_sizes.tolist(), level)
        features = CandidateFeatures(
            make_botm(context, part), make_pursuit(context, part), context.fs_hz, change
        )
        return TreesDecoder(features, nothing_known(len(known)), known)

    return in_parts(one, context, profile)


def _with_forest(without_trees: Decoder, forest: Forest) -> Decoder:
    """Return the decoder with trees, which its parts share."""
    if not isinstance(without_trees, InParts):
        return replace(cast(TreesDecoder, without_trees), forest=forest)
    parts = tuple(_with_forest(one, forest) for one in without_trees.decoders)
    return replace(without_trees, whole=_with_forest(without_trees.whole, forest), decoders=parts)


def seen_throughout(without_trees: Decoder, trace: Trace, *, n_jobs: int) -> tuple[Candidates, Trace]:
    """Return the candidates of a whole trace and their features."""
    read = padded(trace)
    whole = without_trees.over(len(trace)) if isinstance(without_trees, InParts) else without_trees

    def see(piece: tuple[TreesDecoder, int, int]) -> tuple[Candidates, Trace]:
        decoder, first, last = piece
        grid, margin = decoder.grid_samples, decoder.margin
        start, end = first // grid * grid, -(-last // grid) * grid
        found, features = decoder.features.see(read(start - margin.before, end + margin.after))
        inside = (found.sample >= first - start) & (found.sample < last - start)
        return found.select(inside).shifted(start), features[inside]

    length = BLOCKS_AT_ONCE * without_trees.grid_samples
    pieces = [
        (cast(TreesDecoder, decoder), max(start, first), min(start + length, last))
        for decoder, first, last in pieces_of(whole, 0, len(trace))
        for start in range(first // length * length, last, length)
    ]
    seen = list(in_threads(see, pieces, n_jobs=n_jobs))
    return Candidates.concatenate([found for found, _ in seen]), np.concatenate([one for _, one in seen])


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
