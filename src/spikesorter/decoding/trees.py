"""Randomised trees that name the candidates of linear discriminants by their waveforms.

The discriminants compare a spike with mean templates in Gaussian noise. Where waveforms vary, what they leave
is not noise, and trees that have seen the labelled spikes name candidates better. They learn on a rehearsal.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from spikesorter.core.spikes import Spikes
from spikesorter.decoding.bench import Bench, DecoderKind, Trial
from spikesorter.decoding.botm import BotmDecoder, make_botm
from spikesorter.decoding.candidates import Candidates
from spikesorter.decoding.cross_fitting import FOLDS, Folds
from spikesorter.decoding.run import padded
from spikesorter.estimation.context import TRAIN, Context
from spikesorter.signal.filters import band_pass_kernel
from spikesorter.signal.spans import Margin, to_samples

__all__ = ["Forest", "TreesDecoder", "fit_forest", "make_trees"]

Trace = npt.NDArray[np.float32]
BLOCK_SAMPLES = 4096
TREES, LEAST_IN_LEAF = 100, 3
LOW_HZ, HIGH_HZ, TAPS = 200.0, 6000.0, 201  # of the band in which waveforms are seen
WINDOW_MS = (0.8, 2.4)  # before and after a candidate
LAG_MS, LAG_STEP = 1.0, 2  # at which the discriminants' filters are seen, in samples between two lags
GAP_MS = 10.0  # between candidates, beyond which it does not matter how far they are apart
SAME_MS = 0.5  # between two candidates of one unit, of which one is dropped
NEAR_MS = 0.4  # between a candidate and the label that it belongs to
SAME_UNIT = 0.5  # of that, by which a candidate of the label's unit is preferred


@dataclass(frozen=True, eq=False)
class Forest:
    """Decision trees, stored node by node.

    Parameters
    ----------
    roots : ndarray of int64, shape (trees,)
    feature : ndarray of int64, shape (nodes,)
        The feature that a node looks at; -1 for a leaf.
    threshold : ndarray of float64, shape (nodes,)
        Up to which the left branch is taken.
    left, right : ndarray of int64, shape (nodes,)
    value : ndarray of float32, shape (nodes, units)
        Probability of each unit, at a leaf.
    """

    roots: npt.NDArray[np.int64]
    feature: npt.NDArray[np.int64]
    threshold: npt.NDArray[np.float64]
    left: npt.NDArray[np.int64]
    right: npt.NDArray[np.int64]
    value: Trace

    def probabilities(self, features: Trace) -> Trace:
        """Return the mean probability of each unit over all trees.

        Parameters
        ----------
        features : ndarray of float32, shape (candidates, features)

        Returns
        -------
        ndarray of float32, shape (candidates, units)

        Examples
        --------
        >>> leaf = np.float32([[0], [0.1], [0.9]])
        >>> forest = Forest(*map(np.array, ([0], [0, -1, -1], [5.0, 0.0, 0.0], [1, 0, 0], [2, 0, 0])), leaf)
        >>> forest.probabilities(np.float32([[4], [6]]))[:, 0]
        array([0.1, 0.9], dtype=float32)
        """
        node = np.broadcast_to(self.roots, (len(features), len(self.roots))).copy()
        rows, trees = np.nonzero(self.feature[node] >= 0)
        while len(rows):  # those that are not at a leaf yet
            at = node[rows, trees]
            goes_left = features[rows, self.feature[at]] <= self.threshold[at]
            node[rows, trees] = at = np.where(goes_left, self.left[at], self.right[at])
            inner = self.feature[at] >= 0
            rows, trees = rows[inner], trees[inner]
        return np.asarray(self.value[node].mean(axis=1, dtype=np.float64), np.float32)


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
    """

    discriminants: BotmDecoder
    forest: Forest
    known: tuple[int, ...]
    fs_hz: float

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
            part[found.sample] = self.forest.probabilities(features)
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


def fit_forest(
    features: Trace, unit: npt.NDArray[np.int64], known: tuple[int, ...], *, seed: int, n_jobs: int
) -> Forest:
    """Fit trees that tell candidates of known units from each other and from all else (unit 0).

    Parameters
    ----------
    features : ndarray of float32, shape (candidates, features)
    unit : ndarray of int64, shape (candidates,)
    known : tuple of int
    seed, n_jobs : int
        The number of threads does not affect the result.

    Returns
    -------
    Forest
    """
    if not len(features):
        return nothing_known(len(known))
    from sklearn.ensemble import ExtraTreesClassifier

    trees = ExtraTreesClassifier(TREES, min_samples_leaf=LEAST_IN_LEAF, random_state=seed, n_jobs=n_jobs)
    trees.fit(features, unit)
    fitted = [one.tree_ for one in trees.estimators_]
    roots = np.cumsum([0, *(tree.node_count for tree in fitted)])[:-1]
    leaf = np.concatenate([tree.children_left < 0 for tree in fitted])

    def joined(parts: list[npt.NDArray[Any]], at_leaf: int) -> npt.NDArray[np.int64]:
        return np.where(leaf, at_leaf, np.concatenate(parts)).astype(np.int64)

    shares = np.concatenate([tree.value[:, 0] for tree in fitted])
    shares = shares / shares.sum(axis=1, keepdims=True)
    classes = trees.classes_.tolist()
    absent = np.zeros(len(shares))
    return Forest(
        roots.astype(np.int64),
        joined([tree.feature for tree in fitted], -1),
        np.concatenate([tree.threshold for tree in fitted]).astype(np.float64),
        joined([tree.children_left + root for tree, root in zip(fitted, roots, strict=True)], 0),
        joined([tree.children_right + root for tree, root in zip(fitted, roots, strict=True)], 0),
        np.stack([shares[:, classes.index(k)] if k in classes else absent for k in known], axis=1).astype(
            np.float32
        ),
    )


def nothing_known(units: int) -> Forest:
    """Return a forest of one leaf, to which no candidate is a spike."""
    root, leaf = np.zeros(1, np.int64), np.full(1, -1, np.int64)
    return Forest(root, leaf, np.zeros(1), root, root, np.zeros((1, units), np.float32))


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
    context, profile = bench.context, bench.rehearser.profile
    discriminants, known, fs_hz = make_botm(context, profile), context.units.known, context.fs_hz
    rehearsal = bench.rehearser.rehearse(context.settings.rehearsal.training_seconds, context.rng(*TRAIN))
    found, features = _seen_throughout(discriminants, rehearsal.trace, context)
    unit = units_of(found, rehearsal.spikes, known, fs_hz=fs_hz)

    def fitted(inside: npt.NDArray[np.bool_]) -> TreesDecoder:
        forest = fit_forest(
            features[inside], unit[inside], known, seed=context.settings.seed, n_jobs=bench.n_jobs
        )
        return TreesDecoder(discriminants, forest, known, fs_hz)

    decoder = fitted(np.ones(len(found), bool))
    if not bench.rehearser.cross_fits:
        return bench.trial(decoder)
    evidence = np.empty(0, np.float32)
    for fold in range(FOLDS):
        part = bench.evidence_of(fitted(Folds(rehearsal.period).select(found, fold, others=True)))
        own = Folds(bench.rehearsal.period).mask(len(part), fold)
        evidence = np.where(own[:, None], part, evidence) if fold else part
    return Trial(decoder, evidence)


def _seen_throughout(discriminants: BotmDecoder, trace: Trace, context: Context) -> tuple[Candidates, Trace]:
    """Return the candidates of a whole trace and their features."""
    margin, read = margin_of(discriminants, context.fs_hz), padded(trace)
    found, features = [], []
    for start in range(0, len(trace), BLOCK_SAMPLES):
        block = read(start - margin.before, start + BLOCK_SAMPLES + margin.after)
        one, seen = see(discriminants, block, context.fs_hz)
        inside = one.sample + start < len(trace)
        found.append(one.select(inside).shifted(start))
        features.append(seen[inside])
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
