"""Correlate with short kernels, with the same bytes at a sample wherever a block begins or ends.

A fast Fourier transform rounds an output differently for each length and position. Here each output is one
sum in a fixed order, so that spans of any length, and streams, agree to the last bit. For kernels of a few
hundred taps this is as fast.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

__all__ = ["correlate"]

Trace = npt.NDArray[np.float32]
CHUNK_SAMPLES = 512  # stays in the first-level cache while all taps are applied


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]  # Numba's decorator has no types
def correlate(signal: Trace, kernel: Trace, output: Trace) -> None:
    """Add the correlation of a signal with a kernel to an output.

    Parameters
    ----------
    signal : ndarray of float32, shape (samples + taps - 1,), contiguous
    kernel : ndarray of float32, shape (taps,)
    output : ndarray of float32, shape (samples,)
        ``output[i] += sum(kernel[j] * signal[i + j])``, in place.

    Examples
    --------
    >>> output = np.zeros(3, np.float32)
    >>> correlate(np.float32([1, 2, 3, 4]), np.float32([1, 10]), output)
    >>> output
    array([21., 32., 43.], dtype=float32)
    """
    taps = len(kernel)
    fours = taps - taps % 4
    for first in range(0, len(output), CHUNK_SAMPLES):
        chunk = output[first : first + CHUNK_SAMPLES]
        for j in range(0, fours, 4):  # four at a time: fewer loads and stores of the output
            a, b, c, d = kernel[j], kernel[j + 1], kernel[j + 2], kernel[j + 3]
            part = signal[first + j :]
            for i in range(len(chunk)):
                chunk[i] += (a * part[i] + b * part[i + 1]) + (c * part[i + 2] + d * part[i + 3])
        for j in range(fours, taps):
            part = signal[first + j :]
            for i in range(len(chunk)):
                chunk[i] += kernel[j] * part[i]
