"""Candidates: possible starts of spikes with their probabilities, and the rules that select spikes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import reduce

import numpy as np
import numpy.typing as npt

from spikesorter.core.pairs import pairs_within
from spikesorter.core.spikes import Spikes
from spikesorter.decoding.short_sums import sum_over_last
from spikesorter.signal.peaks import enforce_refractory, pick_peaks

__all__ = ["Candidates", "WorkingPoint", "pick_candidates", "reach_of_picking"]

FloatArray = npt.NDArray[np.float32]
Int64Array = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]
POINTED = np.float32(
    0.01
)  # extra weight of the sample itself in a sum, without which a certain spike gives a plateau
LESS_THAN_TWO = 1.4  # spikes expected near a sample
RIVAL_SAMPLES = 3  # greatest distance, beyond the smoothing, of two units' candidates for one spike


@dataclass(frozen=True, eq=False)
class Candidates:
    """Samples at which spikes may start, in order of time.

    Parameters
    ----------
    sample, unit : ndarray of int64, shape (candidates,)
    probability : ndarray of float32, shape (candidates,)
        Probability that a spike of any unit is there.
    unit_probability : ndarray of float32, shape (candidates,)
        Probability that the spike, if there is one, is of this unit.

    Examples
    --------
    >>> found = Candidates.from_arrays([300, 120], [2, 1], [0.5, 1.0], [0.5, 1.0])
    >>> found.sample, found.joint
    (array([120, 300]), array([1.  , 0.25], dtype=float32))
    >>> len(found.inside(100, 200))
    1
    """

    sample: Int64Array
    unit: Int64Array
    probability: FloatArray
    unit_probability: FloatArray

    @property
    def joint(self) -> FloatArray:
        """Probability that a spike of this unit is there."""
        return self.probability * self.unit_probability

    def select(self, mask: BoolArray) -> Candidates:
        """Return the candidates for which `mask` is true."""
        return Candidates(
            self.sample[mask], self.unit[mask], self.probability[mask], self.unit_probability[mask]
        )

    def shifted(self, samples: int) -> Candidates:
        """Return the candidates moved by a number of samples."""
        return Candidates(self.sample + samples, self.unit, self.probability, self.unit_probability)

    def inside(self, start: int, stop: int) -> Candidates:
        """Return the candidates from `start` to before `stop`, counted from `start`."""
        return self.select((self.sample >= start) & (self.sample < stop)).shifted(-start)

    def __len__(self) -> int:
        return len(self.sample)

    @classmethod
    def from_arrays(
        cls,
        sample: npt.ArrayLike,
        unit: npt.ArrayLike,
        probability: npt.ArrayLike,
        unit_probability: npt.ArrayLike,
    ) -> Candidates:
        """Make candidates from arrays in any order."""
        samples, unit_ids = np.asarray(sample, np.int64), np.asarray(unit, np.int64)
        order = np.lexsort((unit_ids, samples))
        evidence = (np.asarray(values, np.float32)[order] for values in (probability, unit_probability))
        return cls(samples[order], unit_ids[order], *evidence)

    @classmethod
    def concatenate(cls, parts: list[Candidates]) -> Candidates:
        """Return the candidates of several parts, in order of time."""
        if not parts:
            return cls.from_arrays([], [], [], [])
        names = ("sample", "unit", "probability", "unit_probability")
        return cls.from_arrays(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def pick_candidates(
    curves: FloatArray,
    unit_ids: tuple[int, ...],
    *,
    smoothing_samples: int,
    least: float,
    one_unit: bool = False,
) -> Candidates:
    """Pick the peaks of each unit's curve of expected spikes.

    Noise spreads the probability of a spike over several samples. The curves are therefore first summed over
    `smoothing_samples` on either side. Two spikes of a unit must be farther apart than that.

    Parameters
    ----------
    curves : ndarray of float32, shape (samples, units)
        Expected number of spikes that start at each sample.
    unit_ids : tuple of int
        Units of the curves.
    smoothing_samples : int
    least : float
        Least probability of a candidate.
    one_unit : bool
        Whether to keep only the most probable unit where fewer than two spikes are expected.

    Returns
    -------
    Candidates

    Examples
    --------
    >>> curves = np.zeros((100, 2), np.float32)
    >>> curves[30:33, 0] = [0.2, 0.5, 0.2]  # a spike of unit 1 at sample 31, give or take one
    >>> curves[70, 1] = 0.8
    >>> found = pick_candidates(curves, (1, 2), smoothing_samples=1, least=0.05, one_unit=False)
    >>> found.sample, found.unit, found.probability.round(2)
    (array([31, 70]), array([1, 2]), array([0.9, 0.8], dtype=float32))
    """
    if curves.max(initial=0.0) < least / (2 * smoothing_samples + 1):
        return Candidates.concatenate([])
    near = _near_spikes(curves, 2 * reach_of_picking(smoothing_samples))
    if len(near) == len(curves):
        return _picked(curves, unit_ids, smoothing_samples, least, one_unit=one_unit)
    found = _picked(np.take(curves, near, axis=0), unit_ids, smoothing_samples, least, one_unit=one_unit)
    return replace(found, sample=near[found.sample])


def _near_spikes(curves: FloatArray, reach: int) -> Int64Array:
    """Return the samples at most `reach` from one at which anything is expected; all, if they are many.

    Examples
    --------
    >>> _near_spikes(np.float32([[0, 0], [0, 0], [0.5, 0], [0, 0], [0, 0]]), 1)
    array([1, 2, 3])
    """
    n_samples = len(curves)
    at = np.flatnonzero(reduce(np.logical_or, curves.T != 0))
    if 2 * len(at) > n_samples or len(at) == 0:
        return np.arange(n_samples)
    gaps = np.flatnonzero(np.diff(at) > 2 * reach + 1)
    first = np.maximum(at[np.append(0, gaps + 1)] - reach, 0)
    last = np.minimum(at[np.append(gaps, len(at) - 1)] + reach + 1, n_samples)
    counts = last - first
    return np.asarray(np.arange(counts.sum()) + np.repeat(first - (np.cumsum(counts) - counts), counts))


def _picked(
    curves: FloatArray, unit_ids: tuple[int, ...], smoothing_samples: int, least: float, *, one_unit: bool
) -> Candidates:
    """Pick the peaks of curves; parameters as for `pick_candidates`."""
    sums = _summed(curves, smoothing_samples)
    parts = []
    for k, unit in enumerate(unit_ids):
        own = np.ascontiguousarray(sums[:, k])
        pointed = own if sums is curves else own + POINTED * curves[:, k]
        peaks = pick_peaks(pointed, threshold=least, distance_samples=smoothing_samples + 1)
        if len(peaks) == 0:
            continue
        any_unit = sums[peaks].sum(axis=1)
        parts.append(
            Candidates(
                peaks,
                np.full(len(peaks), unit, np.int64),
                np.minimum(any_unit, 1).astype(np.float32),
                (own[peaks] / np.maximum(any_unit, own[peaks])).astype(np.float32),
            )
        )
    found = Candidates.concatenate(parts)
    if not one_unit:
        return found
    reach = smoothing_samples + RIVAL_SAMPLES
    lone = _summed(sum_over_last(curves)[:, None], reach)[found.sample, 0] < LESS_THAN_TWO
    return found.select(~(lone & _outdone(found, reach)))


def reach_of_picking(smoothing_samples: int) -> int:
    """Return the samples on either side of a candidate on which `pick_candidates` depends.

    Examples
    --------
    >>> reach_of_picking(4)
    16
    """
    rivals = smoothing_samples + RIVAL_SAMPLES
    return rivals + 2 * smoothing_samples + 1  # a rival is itself a peak of the summed curves


def _summed(curves: FloatArray, reach: int) -> FloatArray:
    """Sum over `reach` samples on either side, by doubling; a running sum would depend on where it starts."""
    if reach == 0:
        return curves
    ahead = np.pad(curves, ((reach, reach), (0, 0)))  # sums over `width` samples from each sample
    sums, done, width = np.zeros_like(curves), 0, 1
    wanted = 2 * reach + 1
    while done < wanted:
        if wanted & width:
            sums += ahead[done : done + len(curves)]
            done += width
        ahead, width = ahead[:-width] + ahead[width:], 2 * width
    return sums


def _outdone(found: Candidates, reach: int) -> BoolArray:
    """Return which candidates are near a more probable candidate of another unit."""
    i, j = pairs_within(found.sample, found.sample, reach)
    joint = found.joint
    outdone = np.zeros(len(found), bool)
    outdone[i[(found.unit[i] != found.unit[j]) & (joint[j] > joint[i])]] = True
    return outdone


@dataclass(frozen=True)
class WorkingPoint:
    """Thresholds and refractory period: how candidates become spikes.

    Parameters
    ----------
    unit_ids : tuple of int
    thresholds : tuple of float
        For each unit, the least probability that a spike of it is there.
    refractory_samples : int
        Least distance between two spikes.
    within_unit : bool
        Whether the refractory period applies within each unit only.

    Examples
    --------
    >>> found = Candidates.from_arrays([100, 110, 300], [1, 1, 2], [0.9, 0.7, 0.4], [1, 1, 1])
    >>> WorkingPoint((1, 2), (0.5, 0.5), refractory_samples=20, within_unit=True).to_spikes(found)
    Spikes(1 spike of 1 unit; 1: 1)
    """

    unit_ids: tuple[int, ...]
    thresholds: tuple[float, ...]
    refractory_samples: int
    within_unit: bool

    def to_spikes(self, candidates: Candidates) -> Spikes:
        """Return the candidates above their thresholds that respect the refractory period, as spikes."""
        return self.drop_refractory(self.above_threshold(candidates))

    def above_threshold(self, candidates: Candidates) -> Spikes:
        """Return as spikes the candidates above their thresholds."""
        least = np.asarray(self.thresholds, np.float32)[np.searchsorted(self.unit_ids, candidates.unit)]
        above = candidates.select(candidates.joint >= least)
        return Spikes(above.sample, above.unit, above.probability, above.unit_probability)

    def drop_refractory(self, spikes: Spikes) -> Spikes:
        """Drop spikes that are within the refractory period of a more probable one."""
        return enforce_refractory(
            spikes, refractory_samples=self.refractory_samples, within_unit=self.within_unit
        )
