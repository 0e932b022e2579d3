"""Drift removal, band-pass and scale: zero-phase FIR filters with a stated margin.

Recursive zero-phase filters (`sosfiltfilt`) depend on the whole recording, so a file, a stream and a parallel
run would give different results. FIR filters give the same result in all three.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy.fft import irfft, next_fast_len, rfft
from scipy.ndimage import uniform_filter1d
from scipy.signal import firwin, get_window, oaconvolve
from scipy.stats import median_abs_deviation

from spikesorter.core.errors import SettingsError
from spikesorter.signal.spans import Margin

__all__ = [
    "GRID_SAMPLES",
    "band_pass_kernel",
    "drift_kernel",
    "filtered_across",
    "fir_filter",
    "fir_filter_on_grid",
    "fir_margin",
    "local_unit_variance",
    "noise_scale",
    "response_at",
]

Trace = npt.NDArray[np.float32]
Kernel = npt.NDArray[np.float64]
GRID_SAMPLES = 4096  # block length of `fir_filter_on_grid`


def drift_kernel(*, window_ms: float, fs_hz: float) -> Kernel:
    """Return the kernel that subtracts a Hann-weighted moving average.

    Parameters
    ----------
    window_ms : float
        Length of the moving average, in milliseconds; 0 removes nothing.
    fs_hz : float
        Sampling rate.

    Returns
    -------
    ndarray of float64, shape (taps,)
        Odd number of taps, symmetric; sums to zero.

    Examples
    --------
    >>> kernel = drift_kernel(window_ms=20, fs_hz=25_000)
    >>> len(kernel), bool(abs(kernel.sum()) < 1e-12)
    (501, True)
    """
    half = round(window_ms * fs_hz / 2000)
    if half == 0:
        return np.ones(1)
    average = get_window("hann", 2 * half + 3, fftbins=False)[1:-1]
    kernel: Kernel = -average / average.sum()
    kernel[half] += 1.0
    return kernel


def response_at(kernel: Kernel, n_fft: int) -> Kernel:
    """Return by what factor a symmetric filter changes each frequency.

    Parameters
    ----------
    kernel : ndarray of float64, shape (taps,)
    n_fft : int
        The frequencies are those of ``numpy.fft.rfftfreq(n_fft)``. The filter may be longer.

    Returns
    -------
    ndarray of float64, shape (n_fft // 2 + 1,)

    Examples
    --------
    >>> response_at(np.array([0.25, 0.5, 0.25]), 4).round(3)
    array([1. , 0.5, 0. ])
    """
    length = max(n_fft, len(kernel))
    known = np.abs(rfft(kernel, length))
    return np.asarray(np.interp(np.fft.rfftfreq(n_fft), np.fft.rfftfreq(length), known))


def band_pass_kernel(*, low_hz: float, high_hz: float, taps: int, fs_hz: float) -> Kernel:
    """Return a linear-phase band-pass (Hamming window design).

    Parameters
    ----------
    low_hz, high_hz : float
        Edges of the band. A `low_hz` of 0 means no lower edge. A `high_hz` of 0, or of half the sampling rate
        or more, means no upper edge.
    taps : int
        Odd length of the filter: the longer, the steeper the edges.
    fs_hz : float
        Sampling rate.

    Returns
    -------
    ndarray of float64, shape (taps,)

    Raises
    ------
    SettingsError
        If the band is empty.

    Examples
    --------
    >>> kernel = band_pass_kernel(low_hz=300, high_hz=6000, taps=101, fs_hz=25_000)
    >>> response = np.abs(np.fft.rfft(kernel, 25_000))  # one value for each hertz
    >>> response[[0, 3000, 9000]].round(2)
    array([0.08, 1.  , 0.  ])
    """
    has_low, has_high = low_hz > 0, 0 < high_hz < fs_hz / 2
    if low_hz >= fs_hz / 2 or (has_low and has_high and low_hz >= high_hz):
        raise SettingsError(
            f"band-pass: the band from {low_hz} to {high_hz} Hz is empty at {fs_hz} Hz sampling"
        )
    if not has_low and not has_high:
        return np.ones(1)
    if has_low and has_high:
        kernel = firwin(taps, [low_hz, high_hz], pass_zero=False, fs=fs_hz)
    elif has_low:
        kernel = firwin(taps, low_hz, pass_zero=False, fs=fs_hz)
    else:
        kernel = firwin(taps, high_hz, fs=fs_hz)
    return np.asarray(kernel, np.float64)


def fir_margin(kernel: Kernel) -> Margin:
    """Return the margin of `fir_filter` with this kernel.

    Examples
    --------
    >>> fir_margin(drift_kernel(window_ms=20, fs_hz=25_000))
    Margin(before=250, after=250)
    """
    return Margin(len(kernel) // 2, len(kernel) // 2)


def filtered_across(trace: Trace, kernels: Kernel) -> Trace:
    """Convolve every channel with a kernel for each output channel, and add.

    Parameters
    ----------
    trace : ndarray of float32, shape (samples, channels)
    kernels : ndarray, shape (taps, output channels, channels), taps odd

    Returns
    -------
    ndarray of float32, shape (samples, output channels)

    Examples
    --------
    Subtract the mean of two channels from each of them:

    >>> trace = np.float32([[1, 5], [2, 8]])
    >>> filtered_across(trace, np.array([[[0.5, -0.5], [-0.5, 0.5]]]))
    array([[-2.,  2.],
           [-3.,  3.]], dtype=float32)
    """
    outputs = [
        sum(fir_filter(trace[:, [b]], kernels[:, a, b]) for b in range(trace.shape[1]))
        for a in range(kernels.shape[1])
    ]
    return np.concatenate(outputs, axis=1)


def fir_filter(trace: Trace, kernel: Kernel) -> Trace:
    """Convolve each channel with an odd, centred kernel; the output has the input's length.

    Parameters
    ----------
    trace : ndarray of float32, shape (samples, channels)
    kernel : ndarray, shape (taps,), taps odd
        The middle tap applies to the sample itself, so a symmetric kernel causes no delay.

    Returns
    -------
    ndarray of float32, shape (samples, channels)

    Examples
    --------
    >>> trace = np.float32([0, 0, 4, 0, 0])[:, None]
    >>> fir_filter(trace, np.array([0.25, 0.5, 0.25]))[:, 0].round(6)
    array([0., 1., 2., 1., 0.], dtype=float32)
    """
    half = len(kernel) // 2
    if half == 0:
        return (trace * np.float32(kernel[0])).astype(np.float32)
    full = oaconvolve(trace, kernel.astype(np.float32)[:, None], mode="full", axes=0)
    return np.ascontiguousarray(full[half : half + len(trace)], np.float32)


def fir_filter_on_grid(read: Callable[[int, int], Trace], kernel: Kernel, start: int, stop: int) -> Trace:
    """Convolve part of a recording with a long kernel; the bytes at a sample do not depend on the part.

    This holds because the Fourier transforms are taken on a fixed grid of blocks.

    Parameters
    ----------
    read : callable
        Returns the samples of the recording from `start` to `stop`, which may lie beyond its ends.
    kernel : ndarray, shape (taps,), taps odd
        As for `fir_filter`.
    start, stop : int
        The part to return.

    Returns
    -------
    ndarray of float32, shape (stop - start, channels)

    Examples
    --------
    >>> from spikesorter.signal.spans import read_span
    >>> trace = np.random.default_rng(0).standard_normal((9000, 1)).astype(np.float32)
    >>> read = lambda start, stop: read_span(lambda a, b: trace[a:b], 9000, start, stop)
    >>> kernel = drift_kernel(window_ms=20, fs_hz=25_000)
    >>> whole, part = (fir_filter_on_grid(read, kernel, start, 9000) for start in (0, 5000))
    >>> np.array_equal(whole[5000:], part)
    True
    """
    half = len(kernel) // 2
    begin = start - start % GRID_SAMPLES
    length = next_fast_len(GRID_SAMPLES + 2 * half, real=True)
    spectrum = rfft(kernel, length)[:, None]
    parts = []
    for first in range(begin, stop, GRID_SAMPLES):
        block = read(first - half, first + GRID_SAMPLES + half).astype(np.float64)
        full = irfft(rfft(block, length, axis=0) * spectrum, length, axis=0)
        parts.append(full[2 * half : 2 * half + GRID_SAMPLES])
    return np.concatenate(parts)[start - begin : stop - begin].astype(np.float32)


def noise_scale(trace: Trace) -> npt.NDArray[np.float32]:
    """Return each channel's noise level: the median absolute deviation, scaled to a Gaussian's SD.

    Parameters
    ----------
    trace : ndarray, shape (samples, channels)

    Returns
    -------
    ndarray of float32, shape (channels,)

    Examples
    --------
    >>> noise = np.random.default_rng(0).normal(scale=3.0, size=(100_000, 1))
    >>> noise[:50] = 500.0
    >>> noise_scale(noise).round(1)
    array([3.], dtype=float32)
    """
    return np.asarray(median_abs_deviation(trace, axis=0, scale="normal"), np.float32)


def local_unit_variance(trace: Trace, *, window_samples: int) -> Trace:
    """Scale each column to zero mean and unit variance in a window around each sample.

    The published pipeline scales each of its windows in this way. Here it is a local operator with a margin
    of half the window.

    Parameters
    ----------
    trace : ndarray of float32, shape (samples, columns)
    window_samples : int

    Returns
    -------
    ndarray of float32, shape (samples, columns)

    Examples
    --------
    A slow change of scale vanishes:

    >>> trace = np.float32([1, -1] * 50 + [9, -9] * 50)[:, None]
    >>> local_unit_variance(trace, window_samples=20)[[20, 21, 180, 181], 0].round(3)
    array([ 1., -1.,  1., -1.], dtype=float32)
    """
    mean = uniform_filter1d(trace.astype(np.float64), window_samples, axis=0, mode="constant")
    square = uniform_filter1d(trace.astype(np.float64) ** 2, window_samples, axis=0, mode="constant")
    sd = np.sqrt(np.maximum(square - mean**2, 1e-12))
    return np.asarray((trace - mean) / sd, np.float32)
