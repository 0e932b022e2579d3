"""Stacks of Hermitian matrices, one for each frequency: inverses and roots of multi-channel spectra."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import fft

__all__ = ["clipped", "factor", "inverse_root", "minimum_phase_factor"]

Matrices = npt.NDArray[np.complex128]
MOST_ROUNDS, TOLERANCE = 60, 1e-8


def clipped(matrices: npt.NDArray[Any], least: float | npt.NDArray[np.float64]) -> Matrices:
    """Return matrices whose eigenvalues are raised to at least `least`.

    Parameters
    ----------
    matrices : ndarray, shape (..., n, n)
        Hermitian.
    least : float or ndarray, shape (...)
        For all matrices, or for each.

    Returns
    -------
    ndarray, shape (..., n, n)

    Examples
    --------
    >>> clipped(np.diag([2.0, -1.0]), 0.5).real
    array([[2. , 0. ],
           [0. , 0.5]])
    """
    values, vectors = np.linalg.eigh(matrices)
    return _assembled(np.maximum(values, np.asarray(least)[..., None]), vectors)


def inverse_root(matrices: npt.NDArray[Any]) -> Matrices:
    """Return the Hermitian matrices whose square is the inverse.

    Parameters
    ----------
    matrices : ndarray, shape (..., n, n)
        Hermitian, with positive eigenvalues.

    Returns
    -------
    ndarray, shape (..., n, n)

    Examples
    --------
    >>> inverse_root(np.array([[[4.0]], [[0.25]]])).ravel().real
    array([0.5, 2. ])
    """
    values, vectors = np.linalg.eigh(matrices)
    return _assembled(1 / np.sqrt(values), vectors)


def factor(matrices: npt.NDArray[Any]) -> Matrices:
    """Return lower triangular L with ``L @ L.conj().T`` equal to each matrix (Cholesky).

    Unlike `numpy.linalg.cholesky` it accepts singular matrices, such as zero: the spectrum where a filter
    passes nothing.

    Parameters
    ----------
    matrices : ndarray, shape (..., n, n)
        Hermitian, with eigenvalues of 0 or more.

    Returns
    -------
    ndarray, shape (..., n, n)

    Examples
    --------
    >>> factor(np.array([[4.0, 2.0], [2.0, 1.0]])).real  # of rank 1
    array([[2., 0.],
           [1., 0.]])
    """
    lower = np.zeros(matrices.shape, np.complex128)
    for j in range(matrices.shape[-1]):
        known = lower[..., :, :j] @ lower[..., j, :j, None].conj()
        column = matrices[..., :, j] - known[..., 0]
        pivot = np.sqrt(np.maximum(column[..., j].real, 0.0))
        lower[..., j:, j] = column[..., j:] / np.where(pivot > 0, pivot, 1.0)[..., None]
        lower[..., j:, j] *= (pivot > 0)[..., None]
    return lower


def minimum_phase_factor(matrices: npt.NDArray[Any]) -> Matrices:
    """Return the causal minimum-phase filters that give white noise a spectrum.

    By Newton's method of G. T. Wilson (1972), "The factorization of matricial spectral densities", SIAM J.
    Appl. Math. 23, 420-426.

    Parameters
    ----------
    matrices : ndarray, shape (frequencies, n, n)
        The spectrum, Hermitian and positive, at the frequencies of `numpy.fft.rfftfreq`.

    Returns
    -------
    ndarray, shape (frequencies, n, n)
        F with ``F @ F.conj().T`` equal to each matrix, such that F and its inverse are transforms of causal
        filters.

    Examples
    --------
    Of the filters with this spectrum, the one that delays least:

    >>> late = np.fft.rfft([0.5, 1.0, 0.0, 0.0])
    >>> spectrum = np.abs(late[:, None, None]) ** 2
    >>> np.fft.irfft(minimum_phase_factor(spectrum)[:, 0, 0])[:2].round(1)
    array([1. , 0.5])
    """
    n_fft, unit = 2 * (len(matrices) - 1), np.eye(matrices.shape[-1])
    mean = fft.irfft(matrices, n_fft, axis=0)[0]
    found = np.broadcast_to(np.linalg.cholesky(mean), matrices.shape).astype(np.complex128)
    for _ in range(MOST_ROUNDS):
        inverse = np.linalg.inv(found)
        ratio = inverse @ matrices @ np.swapaxes(inverse.conj(), -1, -2)
        if np.abs(ratio - unit).max() < TOLERANCE:
            break
        past = fft.irfft(ratio + unit, n_fft, axis=0)
        past[0] /= 2
        past[n_fft // 2] /= 2
        past[n_fft // 2 + 1 :] = 0
        found = found @ fft.rfft(past, axis=0)
    return found


def _assembled(values: npt.NDArray[np.float64], vectors: npt.NDArray[Any]) -> Matrices:
    return np.asarray((vectors * values[..., None, :]) @ np.swapaxes(vectors.conj(), -1, -2))
