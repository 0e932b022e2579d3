"""Revise the units that explain a trace: drop, merge, split, add."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt

from spikesorter.core.pairs import pairs_within
from spikesorter.core.spikes import Spikes
from spikesorter.signal.spans import to_samples
from spikesorter.sorting.finding.clusters import group_waveforms, principal_components, valley
from spikesorter.sorting.finding.events import Events, find_events
from spikesorter.sorting.finding.explaining import FAR, Explained, distance
from spikesorter.sorting.finding.hints import Hints, with_labels
from spikesorter.sorting.finding.splitting import LEAST_SPIKES, NO_VALLEY, is_mixed, parts_of
from spikesorter.sorting.finding.trains import fires_as_one
from spikesorter.sorting.finding.trimming import own_samples

__all__ = [
    "FAR",
    "GROUPING_FEATURES",
    "LEAST_DETECTABILITY",
    "Revision",
    "centred_on_peaks",
    "labels_of",
    "revised",
    "units_to_keep",
    "without_echoes",
]

Int64Array = npt.NDArray[np.int64]
Float64Array = npt.NDArray[np.float64]

LEAST_DETECTABILITY = 3.0
SAME = 2.5  # d' of two templates below which their spikes cannot be told apart
# Least valley between parts of one unit, and greatest d' between their templates; do they fire as one?
RULES = {True: (0.35, 14.0), None: (0.75, 6.0), False: (0.95, 2.5)}
TWICE_MS = 0.4  # apart, two units may be explaining one spike that varies
OVERLAP_MS, MOST_BY_CHANCE = 0.3, 2.0  # spikes of two units so near by chance, and how many more are a unit
COMPOSED = 0.2  # of a template's d' that two others may leave of it
LOST = 0.05  # share of a unit's spikes taken out as the background's after which another round is worth it
# Units are what others leave that are so much larger, and so near so many of their spikes.
LARGER, BESIDE_MS, MOST_BESIDE = 4.0, 2.0, 0.5
DEEP, SHALLOW = 0.5, 0.95  # valley between two units; if there are known to be more
GROUPING_FEATURES = 6
NEW_THRESHOLD = 5.0
LEAST_NEW, LEAST_NEW_DETECTABILITY = 30, 4.5
ECHO_MS, ECHO_BIN_MS, ECHO_SHARE = 4.0, 0.2, 0.4


@dataclass(frozen=True)
class Revision:
    """New labels, and what was done to the units of the explanation before."""

    labels: Spikes
    dropped: int = 0
    merged: int = 0
    split: int = 0
    added: int = 0
    trimmed: int = 0
    regrouped: bool = False

    @property
    def changed(self) -> bool:
        """Whether the units are others than before."""
        return self.regrouped or self.dropped + self.merged + self.split + self.added > 0

    @property
    def summary(self) -> str:
        """What was done, as text."""
        names = ("dropped", "merged", "split", "added", "trimmed", "regrouped")
        done = {name: int(getattr(self, name)) for name in names}
        return ", ".join(f"{count} {name}" for name, count in done.items() if count) or "nothing changed"


def revised(
    explained: Explained, hints: Hints | None = None, *, seed: int, look_for_more: bool = True
) -> Revision:
    """Return labels for the next round.

    Parameters
    ----------
    explained : Explained
    hints : Hints, optional
        Units with labels are neither dropped nor split nor merged with each other.
    seed : int
    look_for_more : bool
        Whether to look for units in what the explanation leaves.

    Returns
    -------
    Revision
    """
    hints = Hints() if hints is None else hints
    kept = units_to_keep(explained, hints.fixed)
    dropped = len(explained.units.unit_ids) - len(kept)
    groups, shifts, merged = _merged(explained, kept, hints)
    parts: list[tuple[Int64Array, int]] = []
    split, following = 0, hints.first_free
    missing = _new_units(explained, seed, hints.sign) if look_for_more else []
    for members in groups:
        unit = explained.units.unit_ids[members[0]]
        pieces = [np.concatenate([own_samples(explained, k) - shifts[k] for k in members])]
        if len(members) == 1 and unit not in hints.fixed:
            gap = _gap(hints, len(groups) + split)
            if hints.n_units is None and not missing and is_mixed(explained, members[0]):
                gap = NO_VALLEY
            pieces = parts_of(explained, members[0], seed, gap=gap)
            split += len(pieces) - 1
        for piece in pieces:
            name = unit if unit in hints.fixed else following
            parts.append((np.unique(piece), name))
            following += name == following
    if hints.n_units is not None and len(parts) >= hints.n_units:
        missing = []
    parts += [(samples_of_new, following + k) for k, samples_of_new in enumerate(missing)]
    trimmed = sum(_is_trimmed(explained, members[0]) for members in groups)
    return Revision(labels_of(parts, explained, hints), dropped, merged, split, len(missing), trimmed)


def _gap(hints: Hints, count: int) -> float:
    """Return how deep the valley between two parts of a unit must be to split it."""
    if hints.n_units is None:
        return DEEP
    return SHALLOW if count < hints.n_units else 0.0


def without_echoes(events: Events, groups: Int64Array, *, fs_hz: float) -> npt.NDArray[np.bool_]:
    """Return which events are not later or earlier parts of the larger spikes of another group.

    Such events lie at one lag from those of the other group.
    """
    reach, width = to_samples(ECHO_MS, fs_hz), max(to_samples(ECHO_BIN_MS, fs_hz), 1)
    count = int(groups.max()) + 1 if len(groups) else 0
    size = [float(np.linalg.norm(events.waveforms[groups == k].mean(axis=0))) for k in range(count)]
    kept = np.ones(len(groups), bool)
    for k in sorted(range(count), key=lambda one: size[one]):
        own = events.sample[groups == k]
        others = [j for j in range(count) if size[j] > size[k]]
        near = np.zeros(len(own), bool)
        for j in others:
            i, other = pairs_within(own, events.sample[groups == j], reach)
            lags = events.sample[groups == j][other] - own[i]
            if len(lags) == 0:
                continue
            counts = np.bincount((lags + reach) // width)
            peak = int(counts.argmax())
            usual = float(np.median(counts))
            if counts[peak] > 4 * max(usual, 1) and counts[peak] > 0.1 * len(own):
                around = np.abs((lags + reach) // width - peak) <= 1
                near[i[around]] = True
        if near.mean() > ECHO_SHARE:
            kept[groups == k] = False
    return kept


def centred_on_peaks(explained: Explained, labels: Spikes, fixed: tuple[int, ...] = ()) -> Spikes:
    """Return labels moved to the largest deflection of their unit's conditioned template.

    Those of the `fixed` units stay, and the others are moved to where these lie from their peaks.
    """
    templates = explained.context.templates
    sample = labels.sample.copy()
    peaks = {
        unit: int(np.abs(templates.waveforms[k]).max(axis=1).argmax()) - templates.before
        for k, unit in enumerate(templates.unit_ids)
    }
    usual = round(float(np.median([peaks[unit] for unit in fixed if unit in peaks] or [0])))
    for unit in peaks:
        if unit not in fixed:
            sample[labels.unit == unit] += peaks[unit] - usual
    inside = (sample >= 0) & (sample < len(explained.trace))
    return Spikes.from_arrays(
        sample[inside], labels.unit[inside], labels.probability[inside], labels.unit_probability[inside]
    )


def labels_of(parts: list[tuple[Int64Array, int]], explained: Explained, hints: Hints) -> Spikes:
    """Return labels for the next round from the samples of the spikes of each unit."""
    n_samples = len(explained.trace)
    parts = [(samples[(samples >= 0) & (samples < n_samples)], unit) for samples, unit in parts]
    parts = [(samples, unit) for samples, unit in parts if len(samples) >= LEAST_SPIKES]
    found = Spikes.empty()
    if parts:
        sample = np.concatenate([samples for samples, _ in parts])
        found = Spikes.from_arrays(
            sample, np.concatenate([np.full(len(samples), unit) for samples, unit in parts])
        )
    return with_labels(found, hints.labels, fs_hz=explained.fs_hz)


def units_to_keep(explained: Explained, fixed: tuple[int, ...]) -> list[int]:
    """Return the places of the units that are worth keeping."""
    counts = [int((explained.spikes.unit == unit).sum()) for unit in explained.units.unit_ids]
    kept = [
        k
        for k, count in enumerate(counts)
        if (count >= LEAST_SPIKES and explained.detectability[k] >= LEAST_DETECTABILITY)
        or explained.units.unit_ids[k] in fixed
    ]
    for k in sorted(kept, key=lambda one: counts[one]):
        if explained.units.unit_ids[k] in fixed:
            continue
        if _is_left_over(explained, explained.samples_of(k), float(explained.detectability[k])) or (
            len(kept) > 2
            and _is_composed(explained, k, [j for j in kept if j != k and counts[j] > counts[k]])
        ):
            kept.remove(k)
    return kept


def _is_left_over(explained: Explained, samples: Int64Array, size: float) -> bool:
    """Return whether these spikes are what larger ones leave: most of them lie beside such."""
    larger = [k for k in range(len(explained.detectability)) if explained.detectability[k] > LARGER * size]
    if not larger or not len(samples):
        return False
    others = np.sort(np.concatenate([explained.samples_of(k) for k in larger]))
    reach = to_samples(BESIDE_MS, explained.fs_hz)
    beside = len(np.unique(pairs_within(samples, others, reach)[0])) / len(samples)
    by_chance = 1 - np.exp(-2 * reach * len(others) / len(explained.trace))
    return bool(beside - by_chance > MOST_BESIDE * (1 - by_chance))


def _is_composed(explained: Explained, unit: int, others: list[int]) -> bool:
    """Return whether a template is the sum of two others at some lag: the units' overlapping spikes."""
    overlaps, reach = explained.pursuit.bank.overlaps, explained.pursuit.bank.overlaps.shape[1] // 2
    if len(others) < 2:
        return False
    energy = float(overlaps[unit, reach, unit])
    near = slice(reach - reach // 2, reach + reach // 2 + 1)
    lags = np.arange(near.start, near.stop) - reach
    with_unit = overlaps[unit, near][:, others].astype(np.float64)  # (lags, others)
    own = np.array([overlaps[j, reach, j] for j in others], np.float64)
    counts = np.array([(explained.spikes.unit == explained.units.unit_ids[j]).sum() for j in (unit, *others)])
    window = 2 * to_samples(OVERLAP_MS, explained.fs_hz) / len(explained.trace)
    left = np.inf
    for place, other in enumerate(others):
        frequent = counts[0] < MOST_BY_CHANCE * (window * counts[1 + place] * counts[1:] + 1)
        frequent[place] = False
        if not frequent.any():
            continue
        alone = energy + own[place] - 2 * with_unit[:, place]  # what this one leaves at each lag
        for lag in np.argsort(alone)[:3]:
            at = lags + reach - lags[lag]
            inside = (at >= 0) & (at < overlaps.shape[1])
            cross = overlaps[other][at[inside]][:, others].astype(np.float64)
            both = alone[lag] + own - 2 * with_unit[inside] + 2 * cross
            left = min(left, float(both[:, frequent].min()))
    return bool(left < max(COMPOSED**2 * energy, LEAST_DETECTABILITY**2))


def _merged(
    explained: Explained, kept: list[int], hints: Hints
) -> tuple[list[list[int]], dict[int, int], int]:
    """Return groups of units that are one, the shift of each to its group's first, and how many merged."""
    parent = {k: k for k in kept}
    shifts = dict.fromkeys(kept, 0)
    found = []
    fixed = {k for k in kept if explained.units.unit_ids[k] in hints.fixed}
    for i, j in combinations(sorted(kept, key=lambda k: (k not in fixed, k)), 2):
        if j in fixed:
            continue
        apart, lag = distance(explained, i, j)
        too_many = hints.n_units is not None and len(kept) > hints.n_units
        one = apart < FAR and _are_one(explained, i, j, apart, lag)
        if one or too_many:
            found.append((not one, apart, i, j, lag))
    heads: set[int] = set()
    left = len(kept)
    for otherwise, _, i, j, lag in sorted(found):
        if parent[i] != i or parent[j] != j or j in heads:  # the next round merges further
            continue
        if hints.n_units is not None and left <= hints.n_units:
            break
        heads.add(i)
        parent[j], shifts[j] = i, lag
        left -= 1
        if otherwise:
            break  # look again before the next two that are only the nearest
    groups = [[k] + [j for j in kept if j != k and parent[j] == k] for k in kept if parent[k] == k]
    return groups, shifts, len(kept) - len(groups)


def _are_one(explained: Explained, i: int, j: int, apart: float, lag: int) -> bool:
    if apart < SAME:
        return True
    first, last = -explained.before, explained.shapes.shape[1] - explained.before
    # Spikes of j start `lag` samples later, so the same part of the trace is that much earlier after them.
    one = explained.window_of(i, first, last)
    other = explained.window_of(j, first - lag, last - lag)
    axis = (other - one) / max(float(np.linalg.norm(other - one)), 1e-12)
    mask_i, waves_i = explained.cleaned(i, first=first, last=last)
    mask_j, waves_j = explained.cleaned(j, first=first - lag, last=last - lag)
    x, y = ((waves * axis).sum(axis=(1, 2)) for waves in (waves_i, waves_j))
    if min(len(x), len(y)) < 5:
        return False
    depth = valley(np.concatenate([x, y]), float((one * axis).sum()), float((other * axis).sum()))
    spikes = explained.spikes.sample
    as_one = fires_as_one(
        spikes[mask_i],
        spikes[mask_j] - lag,
        len(explained.trace),
        fs_hz=explained.fs_hz,
        blind_ms=TWICE_MS,
    )
    least, most = RULES[as_one]
    return depth >= least and apart < most


def _is_trimmed(explained: Explained, unit: int) -> bool:
    """Return whether the unit lost so many spikes that its template changes."""
    return len(own_samples(explained, unit)) < (1 - LOST) * len(explained.samples_of(unit))


def _new_units(explained: Explained, seed: int, sign: int) -> list[Int64Array]:
    """Return the samples of the spikes of units that the explanation lacks."""
    events = find_events(explained.rest, threshold=NEW_THRESHOLD, fs_hz=explained.fs_hz, sign=sign)
    if len(events) < LEAST_NEW:
        return []
    features = principal_components(events.waveforms, GROUPING_FEATURES)
    groups = group_waveforms(features, seed=seed)
    kept = without_echoes(events, groups, fs_hz=explained.fs_hz)
    found = []
    for k in range(groups.max() + 1):
        of_group = (groups == k) & kept
        if of_group.sum() < LEAST_NEW:
            continue
        mean = events.waveforms[of_group].mean(axis=0)
        size = float(np.linalg.norm(mean))
        if size >= LEAST_NEW_DETECTABILITY and not _is_left_over(explained, events.sample[of_group], size):
            found.append(events.sample[of_group])
    return found
