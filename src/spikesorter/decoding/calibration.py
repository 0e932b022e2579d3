"""Calibrate probabilities: compare a decoder's evidence with the true spikes of a rehearsal."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.special import expit, logit

from spikesorter.core.spikes import Spikes
from spikesorter.decoding.candidates import Candidates

__all__ = [
    "UNCALIBRATED",
    "Calibration",
    "expected_calibration_error",
    "fit_calibration",
    "fit_log_odds",
    "judge_events",
]

Int64Array = npt.NDArray[np.int64]
Float64Array = npt.NDArray[np.float64]
TOLERANCE_MS = 0.4
LEAST, MOST = 1e-4, 1 - 1e-4
LEAST_WEIGHT = 0.02
AS_IT_STANDS = np.array([0.0, 1.0, 1.0])
TRUST = 10.0  # weight, in candidates, of the prior that the evidence is calibrated


@dataclass(frozen=True)
class Calibration:
    """Maps from evidence to probability for each unit: piecewise linear in log odds, with a bend at 0.

    Parameters
    ----------
    unit_ids : tuple of int
        Empty if probabilities are not changed.
    probability, unit_probability : tuple of tuple of float
        For each unit, the coefficients for `Candidates.probability` and `Candidates.unit_probability`.

    Examples
    --------
    A unit whose candidates are right more often than their evidence says:

    >>> found = Candidates.from_arrays([100], [1], [0.5], [1.0])
    >>> modest = Calibration((1,), probability=((1.1, 1.0, 1.0),), unit_probability=((0.0, 1.0, 1.0),))
    >>> modest.apply(found).probability.round(2)
    array([0.75], dtype=float32)
    """

    unit_ids: tuple[int, ...]
    probability: tuple[tuple[float, ...], ...]
    unit_probability: tuple[tuple[float, ...], ...]

    def apply(self, candidates: Candidates) -> Candidates:
        """Return the candidates with calibrated probabilities."""
        if not self.unit_ids:
            return candidates
        of = np.searchsorted(self.unit_ids, candidates.unit)
        probability, unit_probability = (
            _curve(values, np.asarray(coefficients)[of]).astype(np.float32)
            for values, coefficients in (
                (candidates.probability, self.probability),
                (candidates.unit_probability, self.unit_probability),
            )
        )
        return Candidates(candidates.sample, candidates.unit, probability, unit_probability)


UNCALIBRATED = Calibration((), (), ())
"""Calibration that changes nothing."""


def fit_calibration(
    candidates: Candidates, truth: Spikes, unit_ids: tuple[int, ...], *, fs_hz: float
) -> Calibration:
    """Fit maps from evidence to the share of correct candidates.

    Parameters
    ----------
    candidates : Candidates
        Of a rehearsal.
    truth : Spikes
        Its spikes. A candidate is correct if a true spike starts within 0.4 ms.
    unit_ids : tuple of int
    fs_hz : float

    Returns
    -------
    Calibration

    Examples
    --------
    Half of the candidates are right, though their evidence says 0.9:

    >>> truth = Spikes.from_arrays(np.arange(0, 200_000, 200), np.ones(1000))
    >>> every = np.arange(0, 200_000, 100)
    >>> found = Candidates.from_arrays(every, np.ones(2000), np.full(2000, 0.9), np.ones(2000))
    >>> calibration = fit_calibration(found, truth, (1,), fs_hz=25_000)
    >>> calibration.apply(found).probability[0].round(2)
    np.float32(0.5)
    """
    there, right = judge_events(candidates.sample, candidates.unit, truth, fs_hz=fs_hz)
    probability, unit_probability = [], []
    for unit in unit_ids:
        own = candidates.unit == unit
        probability.append(fit_log_odds(_terms(candidates.probability[own]), there[own], AS_IT_STANDS))
        judged = own & there
        unit_probability.append(
            fit_log_odds(_terms(candidates.unit_probability[judged]), right[judged], AS_IT_STANDS)
        )
    return Calibration(unit_ids, tuple(probability), tuple(unit_probability))


def judge_events(
    sample: Int64Array, unit: Int64Array, truth: Spikes, *, fs_hz: float
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Return whether each event has a true spike within 0.4 ms, and whether it has one of its unit.

    Examples
    --------
    >>> truth = Spikes.from_arrays([100, 500], [1, 2])
    >>> there, right = judge_events(np.array([105, 508, 900]), np.array([1, 1, 1]), truth, fs_hz=25_000)
    >>> there, right
    (array([ True,  True, False]), array([ True, False, False]))
    """
    reach = int(np.round(TOLERANCE_MS * fs_hz / 1000, 6))
    there = _near(sample, truth.sample, reach)
    right = np.zeros(len(sample), bool)
    for k in truth.unit_ids:
        own = unit == k
        right[own] = _near(sample[own], truth.sample[truth.unit == k], reach)
    return there, right


def expected_calibration_error(
    probability: npt.ArrayLike, right: npt.NDArray[np.bool_], *, bins: int = 15
) -> float:
    """Return the expected calibration error: the mean gap between probability and share of correct events.

    Parameters
    ----------
    probability : array_like of float, shape (events,)
    right : ndarray of bool, shape (events,)
    bins : int

    Returns
    -------
    float
        Weighted mean over equal bins of probability; 0 if there are no events.

    Examples
    --------
    >>> expected_calibration_error([0.9] * 10, np.arange(10) < 8)
    0.1
    """
    stated = np.asarray(probability, np.float64)
    if len(stated) == 0:
        return 0.0
    bin_of = np.minimum((stated * bins).astype(int), bins - 1)
    excess = np.bincount(bin_of, weights=stated - right, minlength=bins)
    return round(float(np.abs(excess).sum() / len(stated)), 12)


def _near(samples: Int64Array, true: Int64Array, reach: int) -> npt.NDArray[np.bool_]:
    first = np.searchsorted(true, samples - reach, "left")
    return np.asarray(np.searchsorted(true, samples + reach, "right") > first)


def _terms(evidence: npt.ArrayLike) -> Float64Array:
    x = logit(np.clip(np.asarray(evidence, np.float64), LEAST, MOST))
    return np.stack([np.ones_like(x), np.maximum(x, 0), np.minimum(x, 0)], axis=-1)


def _curve(evidence: npt.ArrayLike, coefficients: Float64Array) -> Float64Array:
    return np.asarray(expit((_terms(evidence) * coefficients).sum(axis=-1)))


def fit_log_odds(terms: Float64Array, right: npt.NDArray[np.bool_], usual: Float64Array) -> tuple[float, ...]:
    """Fit the log odds of being correct as a weighted sum (logistic regression).

    Parameters
    ----------
    terms : ndarray of float64, shape (events, terms)
        The first term is 1. The others have positive weights.
    right : ndarray of bool, shape (events,)
    usual : ndarray of float64, shape (terms,)
        Prior means of the weights.

    Returns
    -------
    tuple of float

    Examples
    --------
    Three in four of many events are right, so the log odds are log(3) = 1.1:

    >>> weights = fit_log_odds(np.ones((4000, 1)), np.arange(4000) % 4 > 0, usual=np.zeros(1))
    >>> round(weights[0], 2)
    1.08
    """
    signs = np.where(right, -1.0, 1.0)

    def loss(coefficients: Float64Array) -> tuple[float, Float64Array]:
        margin = signs * (terms @ coefficients)
        change = coefficients - usual
        value = np.logaddexp(0, margin).sum() + 0.5 * TRUST * change @ change
        return float(value), terms.T @ (signs * expit(margin)) + TRUST * change

    bounds = [(None, None)] + [(LEAST_WEIGHT, None)] * (len(usual) - 1)
    found = minimize(loss, usual, jac=True, bounds=bounds, method="L-BFGS-B")
    return tuple(round(float(value), 6) for value in found.x)
