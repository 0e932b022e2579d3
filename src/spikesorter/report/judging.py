"""Choose the spikes whose judgement would tell most, and learn from those that were judged.

Spikes of one unit, from one eighth of the recording and of similar probability are a stratum. The log odds
that the reported spike j of unit u, in eighth t and range l of probability, is right (there, and of that
unit) are

    logit(p_j) + s_u + a_u + b_ul + c_ut

p_j is the probability that the sorter states; s_u makes the unit's expected precision that of the forecast.
a_u, b_ul and c_ut are independent and normal, with mean 0. a_u and c_ut have the SD UNIT_SD and TIME_SD; b_ul
has the variance 1 / (WORTH p (1 - p)), p in the middle of the range. Each judged spike is a logistic
observation. The posterior is approximated by a normal distribution at its mode (Laplace).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.special import expit, logit

from spikesorter.core.spikes import Spikes
from spikesorter.report.correcting import Corrected
from spikesorter.report.corrections import SURE, doubtful

__all__ = ["Answers", "Belief", "Strata", "answers_of", "believe", "choose_next"]

BoolArray: TypeAlias = npt.NDArray[np.bool_]
Float64Array: TypeAlias = npt.NDArray[np.float64]
Int64Array: TypeAlias = npt.NDArray[np.int64]

TIMES = 8  # parts of a recording
EDGES = np.array([0.2, 0.35, 0.5, 0.65, 0.8, 0.9, SURE, 0.99])  # of ranges of probability
LEVELS = len(EDGES) + 1
EACH = TIMES * LEVELS  # strata of a unit
UNIT_SD, TIME_SD = 0.5, 0.3  # log odds
WORTH = 10  # judged spikes, as which the stated probabilities of a range count
LEAST = 1e-3  # probability; what is said to be certain may still be wrong
TOLERANCE_MS = 0.4  # a spike that was moved farther had not been found
STEPS, SMALL = 50, 1e-9  # of Newton's method


@dataclass(frozen=True, eq=False)
class Strata:
    """Found spikes by unit, time and probability.

    Parameters
    ----------
    unit_ids : tuple of int
    stratum : ndarray of int64, shape (spikes,)
        Of each spike; those of the k-th unit are ``k * EACH`` to ``(k + 1) * EACH - 1``.
    stated : ndarray of float64, shape (spikes,)
        Log odds that the sorter states.
    queue : ndarray of int64, shape (doubtful,)
        Positions of the doubtful spikes, by stratum, and in each by chance, so that the first ones are like
        the others.
    """

    unit_ids: tuple[int, ...]
    stratum: Int64Array
    stated: Float64Array
    queue: Int64Array

    @cached_property
    def reported(self) -> Int64Array:
        """Number of spikes, shape (units, strata)."""
        return self.counts(np.ones(len(self.stratum), np.bool_))

    @cached_property
    def middle(self) -> Float64Array:
        """Mean stated log odds, 0 where there are no spikes, shape (units, strata)."""
        return self.sums(self.stated) / np.maximum(self.reported, 1)

    @classmethod
    def of(cls, spikes: Spikes, *, n_samples: int) -> Strata:
        """Return the strata of spikes in a recording of a given length.

        Examples
        --------
        >>> strata = Strata.of(Spikes([10, 20, 990], [1, 3, 3], [0.5, 0.6, 1.0]), n_samples=1000)
        >>> strata.stratum // EACH, strata.queue, strata.reported.sum(axis=1)
        (array([0, 1, 1]), array([0, 1]), array([1, 2]))
        """
        joint = spikes.joint.astype(np.float64)
        place = np.searchsorted(np.array(spikes.unit_ids, np.int64), spikes.unit)
        time = np.minimum(spikes.sample * TIMES // max(n_samples, 1), TIMES - 1)
        level = np.searchsorted(EDGES, joint, "right")
        stratum = (place * TIMES + time) * LEVELS + level
        queue = np.random.default_rng(0).permutation(np.sort(doubtful(spikes)))
        queue = queue[np.argsort(stratum[queue], kind="stable")]
        return cls(spikes.unit_ids, stratum, clipped_log_odds(joint), queue)

    def counts(self, chosen: BoolArray) -> Int64Array:
        """Return the number of chosen spikes in each stratum, shape (units, strata)."""
        counts = np.bincount(self.stratum[chosen], minlength=len(self.unit_ids) * EACH)
        return counts.reshape(-1, EACH)

    def sums(self, values: Float64Array) -> Float64Array:
        """Return the sum of the spikes' values in each stratum, shape (units, strata)."""
        size = len(self.unit_ids) * EACH
        return np.asarray(np.bincount(self.stratum, values, minlength=size).reshape(-1, EACH), np.float64)


@dataclass(frozen=True, eq=False)
class Answers:
    """What was decided of the found spikes.

    Parameters
    ----------
    decided : ndarray of bool, shape (spikes,)
    right : ndarray of bool, shape (spikes,)
        Of decided ones: whether the spike is where it was found, and of its unit.
    alone : ndarray of bool, shape (spikes,)
        Whether it was judged on its own, so that it tells of others like it. Many that were chosen together
        are no sample of anything.
    """

    decided: BoolArray
    right: BoolArray
    alone: BoolArray


@dataclass(frozen=True, eq=False)
class Belief:
    """Log odds of a unit's strata beyond the stated ones.

    Parameters
    ----------
    shift : ndarray of float64, shape (strata,)
        The most probable ones.
    covariance : ndarray of float64, shape (strata, strata)
    """

    shift: Float64Array
    covariance: Float64Array


def answers_of(now: Corrected, *, fs_hz: float) -> Answers:
    """Return what was decided of the spikes as found.

    Parameters
    ----------
    now : Corrected
    fs_hz : float
        Sampling rate. A spike that was moved by at most 0.4 ms had been found.
    """
    found = slice(0, len(now.like))
    reach = TOLERANCE_MS * fs_hz / 1000
    near = np.abs(now.sample[found] - now.found_sample[found]) <= reach
    right = now.there[found] & (now.unit[found] == now.home[found]) & near
    decided = now.decision[found] != 0
    return Answers(decided, right & decided, now.alone[found] & decided)


def believe(stratum: Int64Array, stated: Float64Array, right: BoolArray) -> Belief:
    """Return what judged spikes say of the log odds of a unit's strata.

    Parameters
    ----------
    stratum : ndarray of int64, shape (judged,)
        Of each judged spike, counted from the unit's first.
    stated : ndarray of float64, shape (judged,)
        Log odds that are expected of each without any judgement.
    right : ndarray of bool, shape (judged,)

    Examples
    --------
    >>> belief = believe(np.array([3, 3, 3]), np.zeros(3), np.array([True, True, True]))
    >>> bool(belief.shift[3] > belief.shift[4] > belief.shift[4 + LEVELS] > 0)
    True
    """
    prior = prior_covariance()
    seen, place = np.unique(stratum, return_inverse=True)
    across, inner, one = prior[:, seen], prior[np.ix_(seen, seen)], np.eye(len(seen))
    shift = np.zeros(len(seen))
    for _ in range(STEPS):
        weight, gradient = _slopes(stated + shift[place], right, place, len(seen))
        new = inner @ np.linalg.solve(one + weight[:, None] * inner, weight * shift + gradient)
        moved = np.abs(new - shift).max(initial=0.0)
        shift = new
        if moved < SMALL:
            break
    weight, gradient = _slopes(stated + shift[place], right, place, len(seen))
    solved = np.linalg.solve(one + weight[:, None] * inner, weight[:, None] * across.T)
    return Belief(across @ gradient, prior - across @ solved)


def prior_covariance() -> Float64Array:
    """Return the covariance of the strata of a unit of which nothing was judged."""
    time, level = np.divmod(np.arange(EACH), LEVELS)
    same_level, same_time = level[:, None] == level, time[:, None] == time
    return np.asarray(UNIT_SD**2 + level_variances()[level] * same_level + TIME_SD**2 * same_time, np.float64)


def level_variances() -> Float64Array:
    """Return the variance of b_ul for each range of probability, shape (LEVELS,)."""
    ends = np.concatenate([[0.0], EDGES, [1.0]])
    middle = (ends[1:] + ends[:-1]) / 2
    return np.asarray(1 / (WORTH * middle * (1 - middle)), np.float64)


def _slopes(
    log_odds: Float64Array, right: BoolArray, place: Int64Array, count: int
) -> tuple[Float64Array, Float64Array]:
    """Return curvature and slope of the log likelihood in each stratum of which spikes were judged."""
    expected = expit(log_odds)
    each = expected * (1 - expected), right - expected
    weight, gradient = (np.asarray(np.bincount(place, one, minlength=count), np.float64) for one in each)
    return weight, gradient


def choose_next(
    strata: Strata, answers: Answers, beliefs: list[Belief], offset: Float64Array, *, most: int
) -> Int64Array:
    """Return the doubtful spikes to judge next, that which would tell most first.

    The judgement of a spike in stratum k makes the variance of the unit's number of right spikes smaller by
    (S g)_k^2 w_k / (1 + w_k S_kk), whatever its outcome: S is the covariance of the log odds, w the variance
    of one judgement, and g_k the number of undecided spikes in the stratum times w_k. Relative to the number
    of the unit's spikes, this is the gain. After each choice S is what it would be after the judgement, so
    that other strata and other units follow.

    Parameters
    ----------
    strata : Strata
    answers : Answers
    beliefs : list of Belief
        Of each unit.
    offset : ndarray of float64, shape (units,)
        s_u, of each unit.
    most : int

    Returns
    -------
    ndarray of int64, shape (at most most,)
        Positions of spikes.
    """
    waiting = strata.queue[~answers.decided[strata.queue]]
    left = strata.counts(~answers.decided)
    edges = np.searchsorted(strata.stratum[waiting], np.arange(len(strata.unit_ids) + 1) * EACH)
    rows = [
        _Row(
            strata.stratum[waiting[edges[k] : edges[k + 1]]] - k * EACH,
            waiting[edges[k] : edges[k + 1]],
            strata.middle[k] + offset[k] + belief.shift,
            left[k] / np.sqrt(max(strata.reported[k].sum(), 1)),
            belief.covariance,
        )
        for k, belief in enumerate(beliefs)
        if edges[k] < edges[k + 1]
    ]
    chosen: list[int] = []
    while len(chosen) < min(most, len(waiting)):
        chosen.append(max(rows, key=lambda row: row.gain).take())
    return np.array(chosen, np.int64)


class _Row:
    """The doubtful spikes of one unit, while they are put in order.

    Parameters
    ----------
    stratum, spike : ndarray of int64, shape (spikes,)
        In order of stratum.
    log_odds, weight : ndarray of float64, shape (strata,)
        `weight`: what hangs on a stratum: its undecided spikes, relative to the unit's.
    covariance : ndarray of float64, shape (strata, strata)
    """

    def __init__(
        self,
        stratum: Int64Array,
        spike: Int64Array,
        log_odds: Float64Array,
        weight: Float64Array,
        covariance: Float64Array,
    ) -> None:
        self._spike, self._covariance = spike, covariance
        self._first, self._stop = (
            np.searchsorted(stratum, np.arange(EACH), side) for side in ("left", "right")
        )
        right = expit(log_odds)
        self._variance = right * (1 - right)
        self._pull = weight * self._variance
        self._rank()

    def _rank(self) -> None:
        spread = np.diag(self._covariance)
        gain = (self._covariance @ self._pull) ** 2 * self._variance / (1 + self._variance * spread)
        gain = np.where(self._first < self._stop, gain, -1.0)
        self._best = int(gain.argmax())
        self.gain = float(gain[self._best])

    def take(self) -> int:
        """Return the next spike; what its judgement will tell counts for those after it."""
        k = self._best
        along = self._covariance[:, k]
        reduced = self._variance[k] / (1 + self._variance[k] * along[k])
        self._covariance = self._covariance - reduced * np.outer(along, along)
        spike = int(self._spike[self._first[k]])
        self._first[k] += 1
        self._rank()
        return spike


def clipped_log_odds(probability: Float64Array) -> Float64Array:
    """Return log odds; probabilities are taken to be at least 0.001 and at most 0.999."""
    return np.asarray(logit(np.clip(probability, LEAST, 1 - LEAST)), np.float64)
