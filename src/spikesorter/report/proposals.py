"""Propose units to merge and units to split, with the evidence for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from spikesorter.core.spikes import UNKNOWN, Spikes
from spikesorter.report.features import MOST_FITTED, Features, means_of
from spikesorter.report.metrics import measure_correlograms
from spikesorter.sorting.finding.clusters import principal_components

__all__ = ["Merge", "Split", "propose_merges", "propose_splits"]

FloatArray: TypeAlias = npt.NDArray[np.float32]
Int64Array: TypeAlias = npt.NDArray[np.int64]

NEIGHBOURS = 6.0  # d' between means up to which two units are listed
ALIKE = 2.0  # up to which they are proposed whatever their intervals
SIMILAR, DIP, FEWEST_EXPECTED = 4.5, 0.5, 10.0  # up to which they are proposed if they avoid each other
MODES_IN = 3  # principal components of a unit, in which two modes are looked for
SHIFTS = 4  # samples by which a mean may be shifted to fit another
CLOSE_MS, FAR_MS = 2.0, 10.0  # coincidences, and lags from which on the rate is the usual one
FEWEST_SPIKES = 100  # of a unit that is tried to be split
APART, FEWEST_SHARE, VALLEY = 3.0, 0.05, 0.6  # d' of two modes, share of the smaller, depth between them


@dataclass(frozen=True)
class Merge:
    """Evidence that two units are one.

    Parameters
    ----------
    unit, to : int
        The unit with fewer spikes, and the one that it could be merged into.
    d_prime : float
        Distance of the mean waveforms in SDs of the noise, at the best shift.
    coincidences, expected : float
        Pairs of spikes within 2 ms, and how many there would be if they did not avoid each other.
    proposed : bool
        Whether the evidence suggests it.
    """

    unit: int
    to: int
    d_prime: float
    coincidences: int
    expected: float
    proposed: bool

    @property
    def dip(self) -> float:
        """Coincidences relative to what is expected; 0: the units never fire within 2 ms, as one neuron."""
        return self.coincidences / self.expected if self.expected else 1.0


@dataclass(frozen=True, eq=False)
class Split:
    """Evidence that a unit is two.

    Parameters
    ----------
    unit : int
    d_prime : float
        Distance of the two modes, in SDs within them.
    share : float
        Share of the smaller mode.
    valley : float
        Density between the modes, relative to the lower mode's.
    smaller : ndarray of int64
        Positions among the measured spikes of those in the smaller mode.
    proposed : bool
    """

    unit: int
    d_prime: float
    share: float
    valley: float
    smaller: Int64Array
    proposed: bool


def propose_merges(features: Features, unit: Int64Array, spikes: Spikes, *, fs_hz: float) -> list[Merge]:
    """List pairs of neighbouring units, the most alike first.

    Parameters
    ----------
    features : Features
    unit : ndarray of int64, shape (measured,)
        The unit of each measured spike.
    spikes : Spikes
        All spikes, as corrected.
    fs_hz : float
    """
    known = {*spikes.unit_ids} - {UNKNOWN}
    means = {one: mean for one, mean in means_of(features, unit).items() if one in known}
    errors = {one: _squared_error(features.white[unit == one]) for one in means}
    counts = spikes.counts()
    near = [
        (distance, one, other)
        for one in means
        for other in means
        if one < other
        and (distance := _distance(means[one], means[other], errors[one] + errors[other])) <= NEIGHBOURS
    ]
    if not near:
        return []
    found = measure_correlograms(spikes, fs_hz=fs_hz)
    place = {one: k for k, one in enumerate(found.unit_ids)}
    lags = np.abs(found.middles_ms)
    merges = []
    for distance, one, other in sorted(near):
        pair = found.counts[place[one], place[other]]
        close, far = lags < CLOSE_MS, lags >= FAR_MS
        expected = float(pair[far].mean() * close.sum())
        coincidences = int(pair[close].sum())
        avoid = expected >= FEWEST_EXPECTED and coincidences < DIP * expected
        proposed = distance <= ALIKE or (distance <= SIMILAR and avoid)
        fewer, more = sorted((one, other), key=lambda each: counts.get(each, 0))
        merges.append(Merge(fewer, more, round(distance, 2), coincidences, round(expected, 1), proposed))
    return merges


def propose_splits(features: Features, unit: Int64Array) -> list[Split]:
    """List the units with enough spikes, those with the clearest two modes first."""
    splits = [
        split
        for one in np.unique(unit).tolist()
        if one != UNKNOWN
        and np.count_nonzero(unit == one) >= FEWEST_SPIKES
        and (split := _split(features, one, np.flatnonzero(unit == one))) is not None
    ]
    return sorted(splits, key=lambda split: (not split.proposed, -split.d_prime))


def _squared_error(white: FloatArray) -> float:
    """Return the squared error of a mean waveform, from the spread of the waveforms."""
    return float(white.var(axis=0).sum()) / len(white)


def _distance(one: FloatArray, other: FloatArray, squared_error: float) -> float:
    """Return the distance of two mean waveforms at the shift at which it is least, without their error."""
    n, inside = len(one), slice(SHIFTS, -SHIFTS)
    squared = min(
        float(((one[inside] - other[SHIFTS + shift : n - SHIFTS + shift]) ** 2).sum())
        for shift in range(-SHIFTS, SHIFTS + 1)
    )
    return float(np.sqrt(max(squared - squared_error, 0.0)))


def _split(features: Features, unit: int, own: Int64Array) -> Split | None:
    """Divide a unit's spikes into two modes, and measure how far they are apart."""
    from sklearn.mixture import GaussianMixture

    points = principal_components(features.white[own], MODES_IN, most_fitted=MOST_FITTED)
    mode = GaussianMixture(2, random_state=0, reg_covar=1e-3).fit_predict(points)
    small = mode == (np.count_nonzero(mode) < len(mode) / 2)
    if min(np.count_nonzero(small), np.count_nonzero(~small)) < 10:
        return None
    within = np.cov(points[small].T) + np.cov(points[~small].T)
    gap = points[small].mean(axis=0) - points[~small].mean(axis=0)
    along = points @ np.linalg.solve(within, gap)
    ends = along[~small].mean(), along[small].mean()
    position = (along - ends[0]) / max(ends[1] - ends[0], 1e-12)
    spread = np.sqrt((position[small].var() + position[~small].var()) / 2)
    d_prime, share = float(1 / max(spread, 1e-12)), float(small.mean())

    def density(at: float) -> int:
        return int(np.count_nonzero(np.abs(position - at) < 0.1))

    valley = min(density(at) for at in (0.4, 0.5, 0.6)) / max(min(density(0.0), density(1.0)), 1)
    proposed = d_prime >= APART and share >= FEWEST_SHARE and valley < VALLEY
    return Split(unit, round(d_prime, 2), round(share, 3), round(valley, 2), own[small], proposed)
