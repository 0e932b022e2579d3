"""Measure the amplitudes of spikes that were found, in a part of a recording."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from spikesorter.signal.bank import Bank

__all__ = ["amplitudes", "median_of"]

Float64Array: TypeAlias = npt.NDArray[np.float64]
RIDGE = 0.05  # weight of a usual amplitude beside the measured one, for spikes that overlap almost wholly
LEAST_SPIKES = 6  # that give a median


def amplitudes(
    bank: Bank, trace: npt.NDArray[np.float32], samples: npt.NDArray[np.int64], columns: npt.NDArray[np.int64]
) -> Float64Array:
    """Estimate the amplitudes of all spikes of a stretch together, by least squares.

    Parameters
    ----------
    bank : Bank
    trace : ndarray of float32, shape (margin.before + samples + margin.after, channels)
    samples, columns : ndarray of int64, shape (spikes,)
        First sample and position among the units, of each spike.

    Returns
    -------
    ndarray of float64, shape (spikes,)
        Relative to the bank's templates.
    """
    if not len(samples):
        return np.empty(0)
    reach = bank.overlaps.shape[1] // 2
    lag = samples[None, :] - samples[:, None]
    near = bank.overlaps[columns[:, None], reach + np.clip(lag, -reach, reach), columns[None, :]]
    shared = np.where(abs(lag) <= reach, near, 0.0).astype(np.float64)
    energy = RIDGE * bank.energies[columns]
    outputs = bank.apply(trace)[samples, columns].astype(np.float64)
    return np.asarray(np.linalg.solve(shared + np.diag(energy), outputs + energy))


def median_of(values: Float64Array) -> tuple[float, float]:
    """Return the median amplitude of some spikes and its standard error; NaN and infinity if they are few.

    Examples
    --------
    >>> median_of(np.array([0.9, 1.0, 1.1, 0.9, 1.0, 1.1, 5.0]))[0]
    1.0
    >>> median_of(np.ones(5))
    (nan, inf)
    """
    if len(values) < LEAST_SPIKES:
        return float("nan"), float("inf")
    middle = float(np.median(values))
    spread = 1.4826 * float(np.median(abs(values - middle)))
    return middle, 1.2533 * spread / float(np.sqrt(len(values)))
