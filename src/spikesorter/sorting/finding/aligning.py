"""Align waveforms at their main peak: of one polarity, and below a sample.

A spike has a trough and peaks beside it, which differ in size from spike to spike where the spikes of a
neuron vary. If each were aligned at its largest deflection, some would be at the trough and others at the
peak after it, as if they were of two neurons.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter1d, map_coordinates

__all__ = ["aligned", "best_lags", "common_polarity", "main_lobe", "peak_lags", "smoothed"]

Waveforms = npt.NDArray[np.floating[Any]]
Float64Array = npt.NDArray[np.float64]
ALIGNING_MS = 0.06  # SD of the Gaussian that waveforms are smoothed with before their peak is looked for
MAIN = 0.5  # size of a main peak of the common polarity, relative to the largest deflection
LOBE = 0.2  # size, relative to the peak, down to which the main peak reaches


def smoothed(waveforms: Waveforms, *, fs_hz: float, axis: int) -> Waveforms:
    """Return waveforms without what is too narrow to align by."""
    return np.asarray(gaussian_filter1d(waveforms, ALIGNING_MS * fs_hz / 1000, axis=axis, mode="nearest"))


def common_polarity(waveforms: Waveforms) -> int:
    """Return the polarity, 1 or -1, in which waveforms deflect more, all of them together.

    Parameters
    ----------
    waveforms : ndarray of float, shape (spikes, samples, channels)

    Examples
    --------
    >>> common_polarity(np.float32([[[1], [-3], [2]], [[0], [-2], [1]]]))
    -1
    """
    if waveforms.size == 0:
        return 1
    return 1 if float((waveforms.max(axis=(1, 2)) + waveforms.min(axis=(1, 2))).sum()) >= 0 else -1


def peak_lags(smooth: Waveforms, polarity: int, *, either: bool = True) -> Float64Array:
    """Return the lag of each waveform's main peak behind the middle of its window, below a sample.

    Parameters
    ----------
    smooth : ndarray of float, shape (spikes, samples, channels)
        An odd number of samples, of which the first and the last only serve to find a peak beside them.
    polarity : int
        1 or -1.
    either : bool
        Whether a waveform without a large peak of this polarity is aligned at its largest deflection.

    Returns
    -------
    ndarray of float64, shape (spikes,)

    Examples
    --------
    >>> peak_lags(np.float32([[[0], [0], [0], [-4], [0], [5], [0]]]), -1)
    array([0.])
    """
    if len(smooth) == 0:
        return np.zeros(0)
    inner = smooth[:, 1:-1]
    towards = np.full(len(smooth), polarity)
    if either:
        high, low = inner.max(axis=(1, 2)), -inner.min(axis=(1, 2))
        own, other = (high, low) if polarity > 0 else (low, high)
        towards[own < MAIN * other] *= -1
    upright = smooth * towards[:, None, None].astype(smooth.dtype)
    place, channel = np.divmod(upright[:, 1:-1].reshape(len(smooth), -1).argmax(axis=1), smooth.shape[2])
    rows = np.arange(len(smooth))
    left, middle, right = (upright[rows, place + shift, channel].astype(np.float64) for shift in (0, 1, 2))
    bend = np.minimum(left - 2 * middle + right, -1e-9)
    return np.asarray(place + 1 - smooth.shape[1] // 2 + np.clip(0.5 * (left - right) / bend, -0.5, 0.5))


def best_lags(waveforms: Waveforms, template: Waveforms) -> Float64Array:
    """Return the lag at which a template agrees best with each waveform, below a sample.

    Parameters
    ----------
    waveforms : ndarray of float, shape (spikes, samples, channels)
        Longer than the template by as much on either side.
    template : ndarray of float, shape (samples, channels)

    Returns
    -------
    ndarray of float64, shape (spikes,)
        0: where the template lies in the middle.

    Examples
    --------
    >>> best_lags(np.float32([[[0], [0], [1], [3], [1], [0]]]), np.float32([[1], [3]]))
    array([0.13636364])
    """
    reach = (waveforms.shape[1] - len(template)) // 2
    likeness = [
        np.tensordot(waveforms[:, lag : lag + len(template)], template, axes=2)
        for lag in range(2 * reach + 1)
    ]
    return peak_lags(np.stack(likeness, axis=1)[:, :, None], 1, either=False)


def main_lobe(template: Waveforms) -> Waveforms:
    """Return a template with nothing but its largest peak, as wide as this is large on its channel.

    Parameters
    ----------
    template : ndarray of float, shape (samples, channels)

    Examples
    --------
    >>> main_lobe(np.float32([[1], [-1], [-4], [-2], [0], [3]])).T
    array([[ 0., -1., -4., -2.,  0.,  0.]], dtype=float32)
    """
    place, channel = np.unravel_index(int(np.abs(template).argmax()), template.shape)
    upright = template[:, channel] * np.sign(template[place, channel])
    low = np.flatnonzero(upright < LOBE * upright[place])
    first = int(low[low < place].max(initial=-1)) + 1
    last = int(low[low > place].min(initial=len(template)))
    lobe = np.zeros_like(template)
    lobe[first:last] = template[first:last]
    return lobe


def aligned(waveforms: Waveforms, lags: Float64Array, *, first: int, length: int) -> npt.NDArray[np.float64]:
    """Return part of each waveform from `first` samples plus its lag on, by cubic interpolation.

    Parameters
    ----------
    waveforms : ndarray of float, shape (spikes, samples, channels)
    lags : ndarray of float64, shape (spikes,)
    first, length : int

    Returns
    -------
    ndarray of float64, shape (spikes, length, channels)
    """
    at = first + lags[:, None] + np.arange(length)
    rows = np.broadcast_to(np.arange(len(waveforms))[:, None], at.shape)
    channels = [
        map_coordinates(waveforms[:, :, c], [rows, at], order=3, mode="nearest")
        for c in range(waveforms.shape[2])
    ]
    return np.asarray(np.stack(channels, axis=2), np.float64)
