"""Mains hum: narrow spectral lines, which short filters cannot remove without distorting spikes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.signal import get_window, welch

__all__ = ["find_hum", "hum_kernel"]

Trace = npt.NDArray[np.float32]
MAINS_HZ = (50.0, 60.0)
HIGHEST_HZ = 1000.0
SEGMENT_S = 1.0
LEAST_SEGMENTS = 8
NEIGHBOURHOOD_HZ = (3.0, 12.0)  # distance from the line at which the noise around it is measured
STANDS_OUT = 6.0
WINDOW_S = 0.5


def find_hum(trace: Trace, *, fs_hz: float) -> tuple[float, ...]:
    """Find the mains harmonics that stand out from a recording's spectrum.

    Parameters
    ----------
    trace : ndarray of float32, shape (samples, channels)
    fs_hz : float

    Returns
    -------
    tuple of float
        In Hz; empty if there is no hum, or the recording is shorter than 8 s.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> hum = np.sin(2 * np.pi * 50 * np.arange(200_000) / 10_000)
    >>> trace = (rng.standard_normal(200_000) + hum)[:, None].astype(np.float32)
    >>> find_hum(trace, fs_hz=10_000)
    (50.0,)
    """
    segment = int(SEGMENT_S * fs_hz)
    if len(trace) < LEAST_SEGMENTS * segment:
        return ()
    frequencies, power = welch(trace, fs_hz, nperseg=segment, axis=0)
    power = power.sum(axis=1)
    near, far = NEIGHBOURHOOD_HZ
    found = set()
    for mains in MAINS_HZ:
        for line in np.arange(mains, min(HIGHEST_HZ, fs_hz / 2 - far), mains):
            distance = np.abs(frequencies - line)
            level = np.median(power[(distance >= near) & (distance <= far)])
            if power[distance <= 1.5 / SEGMENT_S].max() > STANDS_OUT * level:
                found.add(float(line))
    return tuple(sorted(found))


def hum_kernel(lines_hz: tuple[float, ...], *, fs_hz: float) -> npt.NDArray[np.float64]:
    """Return a symmetric filter that removes narrow lines and leaves the rest as it is.

    Parameters
    ----------
    lines_hz : tuple of float
        From `find_hum`.
    fs_hz : float

    Returns
    -------
    ndarray of float64, shape (taps,)
        A single 1 if there are no lines.

    Examples
    --------
    >>> kernel = hum_kernel((50.0,), fs_hz=10_000)
    >>> time_s = np.arange(len(kernel)) / 10_000
    >>> bool(abs(kernel @ np.cos(2 * np.pi * 50 * time_s)) < 1e-2)
    True
    """
    if not lines_hz:
        return np.ones(1)
    half = int(WINDOW_S * fs_hz / 2)
    window = get_window("hann", 2 * half + 1, fftbins=False)
    time_s = np.arange(-half, half + 1) / fs_hz
    kernel = -sum(2 * window / window.sum() * np.cos(2 * np.pi * line * time_s) for line in lines_hz)
    kernel[half] += 1.0
    return np.asarray(kernel)
