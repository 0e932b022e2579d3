"""Fit a target's events, counted by height, as a mixture of a rehearsal's, a share for each of its sources.

Sources are the units with labels, and all that is away from labels. A share is how many times as many events
of a source the target has. All functions take the target's events in each bin of height, shape (bins,), and
the rehearsal's, shape (bins, sources), of which the first source is what is away from labels.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.optimize import nnls

__all__ = ["misfit", "shares_with_errors", "surprise"]

Float64Array = npt.NDArray[np.float64]
MODEL_ERROR = 0.05  # relative, of the number of events in a bin
MOST_MISFIT = 25.0  # of one bin, so that artefacts of the target do not decide
LOG_RATE_SD, LOG_AWAY_SD = 0.4, 0.25  # priors: of each unit's firing rate, and of events away from all labels
LEAST_SHARE = 0.05  # of the labelled rate, from which the search for probable rates starts
MOST_STEPS, HALVES, SETTLED = 20, (1.0, 0.5, 0.25, 0.125), 0.01


def misfit(wanted: Float64Array, parts: Float64Array) -> float:
    """Return chi-squared of the best-fitting mixture.

    Examples
    --------
    >>> rehearsed = np.array([[20.0, 0.0], [10.0, 50.0]])
    >>> round(misfit(rehearsed @ [2, 1], rehearsed), 6), misfit(np.array([500.0, 0.0]), rehearsed) > 5
    (0.0, True)
    """
    error = _errors(wanted, parts)
    shares, _ = nnls(parts / error[:, None], wanted / error)
    left = (wanted - parts @ shares) / error
    return float(np.minimum(left**2, MOST_MISFIT).sum())


def surprise(wanted: Float64Array, parts: Float64Array, times: float) -> float:
    """Return how much worse the best mixture becomes if rates are to be like the labelled ones.

    The target is `times` as long as the rehearsal, so that it has as many times the events. Rates that the
    events do not decide, as those of units of one shape, stay at the labelled ones at no cost. Found by
    Gauss-Newton steps in the logarithms of the rates, each halved until it is better.

    Examples
    --------
    >>> rehearsed = np.array([[20.0, 0.0], [10.0, 50.0]])
    >>> [round(surprise(rehearsed @ shares, rehearsed, 1.0), 1) for shares in ([1, 1], [1, 3])]
    [0.0, 6.9]
    """
    error = _errors(wanted, parts)
    weighted, there = parts / error[:, None], wanted / error
    shares, _ = nnls(weighted, there)
    sd = np.array([LOG_AWAY_SD, *(LOG_RATE_SD for _ in shares[1:])])

    def cost(log_rates: Float64Array) -> float:
        left = there - weighted @ np.exp(log_rates)
        return float(left @ left + np.sum(((log_rates - usual) / sd) ** 2))

    best, usual = np.log(np.maximum(shares, LEAST_SHARE * times)), np.log(times)
    least = cost(best)
    for _ in range(MOST_STEPS):
        slopes = weighted * np.exp(best)
        downhill = slopes.T @ (there - weighted @ np.exp(best)) - (best - usual) / sd**2
        step = np.linalg.solve(slopes.T @ slopes + np.diag(sd**-2), downhill)
        costs = {half: cost(best + half * step) for half in HALVES}
        half = min(costs, key=lambda one: costs[one])
        if costs[half] > least - SETTLED:
            break
        best, least = best + half * step, costs[half]
    left = there - weighted @ shares
    return max(least - float(left @ left), 0.0)


def shares_with_errors(wanted: Float64Array, parts: Float64Array) -> tuple[Float64Array, Float64Array]:
    """Return the shares of the best-fitting mixture, with their standard errors."""
    weighted = parts / _errors(wanted, parts)[:, None]
    shares, _ = nnls(weighted, wanted / _errors(wanted, parts))
    variances = np.diag(np.linalg.pinv(weighted.T @ weighted))
    return shares, np.sqrt(np.maximum(variances, 0.0))  # rounding may leave them below 0


def _errors(wanted: Float64Array, parts: Float64Array) -> Float64Array:
    return np.asarray(np.sqrt(wanted + parts.sum(axis=1) + (MODEL_ERROR * wanted) ** 2 + 1))
