"""Find events in a whitened trace, and cut out their waveforms, aligned below a sample.

Nothing is known yet of the units, so an event is whatever stands out of the noise: at any width, of either
polarity, on any channel.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import fft
from scipy.ndimage import gaussian_filter1d, map_coordinates

from spikesorter.signal.filters import filtered_across, noise_scale
from spikesorter.signal.hermitian import inverse_root
from spikesorter.signal.noise import NoiseSpectrum, estimate_noise_spectrum, quiet_samples
from spikesorter.signal.peaks import pick_peaks
from spikesorter.signal.spans import to_samples
from spikesorter.sorting.finding.aligning import common_polarity, peak_lags, smoothed

__all__ = ["Events", "find_events", "whitened"]

Trace = npt.NDArray[np.float32]
WIDTHS_MS = (0.0, 0.06, 0.12, 0.24)  # SD of the Gaussians that a trace is smoothed with
DEAD_MS = 0.5  # of two events so near only the larger one is kept
QUIET_THRESHOLD = 4.0  # robust SD
QUIET_BEFORE_MS, QUIET_AFTER_MS = 1.0, 3.0
WHITENING_REACH_MS, WHITENING_FFT = 6.0, 4096
POWER_FLOOR = 1e-2  # of the mean; at frequencies with less, as outside the pass band, nothing is amplified
ROUNDS = 2
BEFORE_MS, AFTER_MS = 0.8, 1.8  # window of a waveform around its peak


@dataclass(frozen=True, eq=False)
class Events:
    """Events of a trace.

    Parameters
    ----------
    sample : ndarray of int64, shape (events,)
        Sample of the peak.
    waveforms : ndarray of float32, shape (events, samples, channels)
        Of the whitened trace, in which noise has variance 1, with the peak at the same place in each.
    """

    sample: npt.NDArray[np.int64]
    waveforms: Trace

    def __len__(self) -> int:
        return len(self.sample)


def whitened(conditioned: Trace, *, n_fft: int, fs_hz: float) -> Trace:
    """Return a trace whose noise is white, of variance 1, and independent between channels.

    Parameters
    ----------
    conditioned : ndarray of float32, shape (samples, channels)
        Without drift and hum.
    n_fft : int
        Length of the transform for the noise's spectrum.
    fs_hz : float

    Returns
    -------
    ndarray of float32, shape (samples, channels)
    """
    around = [to_samples(ms, fs_hz) for ms in (QUIET_BEFORE_MS, QUIET_AFTER_MS)]
    white = conditioned
    for _ in range(ROUNDS):
        loud = np.concatenate(_smoothed(white, fs_hz), axis=1)
        quiet = quiet_samples(loud, threshold=QUIET_THRESHOLD, before=around[0], after=around[1])
        noise = estimate_noise_spectrum(conditioned, quiet, n_fft=n_fft)
        white = filtered_across(conditioned, _whitening_filter(noise, to_samples(WHITENING_REACH_MS, fs_hz)))
    return np.asarray(white / np.maximum(noise_scale(white), 1e-12), np.float32)


def find_events(white: Trace, *, threshold: float, fs_hz: float, sign: int = 0) -> Events:
    """Find the events of a whitened trace, and cut out their waveforms.

    Parameters
    ----------
    white : ndarray of float32, shape (samples, channels)
        From `whitened`.
    threshold : float
        Least height of a peak, in robust SD of the trace at the width at which it stands out most.
    fs_hz : float
    sign : int
        1 or -1 if all events have this polarity; 0: either.

    Returns
    -------
    Events
        Those whose window lies wholly inside the trace.

    Examples
    --------
    >>> noise = np.random.default_rng(0).standard_normal((30_000, 1)).astype(np.float32)
    >>> noise[10_000:10_006] -= 9
    >>> find_events(noise, threshold=6.0, fs_hz=30_000.0).sample // 10
    array([1000])
    """
    loudness = np.zeros(len(white), np.float32)
    for curve in _smoothed(white, fs_hz):
        height = _rectified(curve, sign) / np.maximum(noise_scale(curve), 1e-12)
        np.maximum(loudness, height.max(axis=1), out=loudness)
    peaks = pick_peaks(loudness, threshold=threshold, distance_samples=max(to_samples(DEAD_MS, fs_hz), 1))
    before, after = to_samples(BEFORE_MS, fs_hz), to_samples(AFTER_MS, fs_hz)
    reach = max(to_samples(DEAD_MS, fs_hz), 1)
    inside = (peaks >= before + reach + 3) & (peaks < len(white) - after - reach - 3)
    places = _aligned(white, peaks[inside], reach, fs_hz, sign)
    places = places[_first_at_its_place(places, loudness[peaks[inside]], max(reach // 2, 1))]
    return Events(np.rint(places).astype(np.int64), _cut(white, places, before, after))


def _smoothed(white: Trace, fs_hz: float) -> list[Trace]:
    sds = [width * fs_hz / 1000 for width in WIDTHS_MS]
    return [white if sd == 0 else gaussian_filter1d(white, sd, axis=0, mode="nearest") for sd in sds]


def _rectified(curve: Trace, sign: int) -> Trace:
    return np.asarray(curve * sign if sign else np.abs(curve), np.float32)


def _aligned(
    white: Trace, peaks: npt.NDArray[np.int64], reach: int, fs_hz: float, sign: int
) -> npt.NDArray[np.float64]:
    """Return the place of the main peak near each event."""
    near = smoothed(white, fs_hz=fs_hz, axis=0)[peaks[:, None] + np.arange(-reach - 1, reach + 2)]
    return peaks + peak_lags(near, sign or common_polarity(near), either=sign == 0)


def _first_at_its_place(
    places: npt.NDArray[np.float64], heights: Trace, distance: int
) -> npt.NDArray[np.int64]:
    """Return the events in order of their places, of two that have one peak only the larger."""
    order = np.lexsort((-heights, places))
    kept: list[int] = []
    for event in order.tolist():
        if not kept or places[event] - places[kept[-1]] >= distance:
            kept.append(event)
        elif heights[event] > heights[kept[-1]]:
            kept[-1] = event
    return np.array(kept, np.int64)


def _cut(white: Trace, places: npt.NDArray[np.float64], before: int, after: int) -> Trace:
    at = places[:, None] + np.arange(-before, after)
    cut = [map_coordinates(white[:, c], [at.ravel()], order=3, mode="nearest") for c in range(white.shape[1])]
    shape = (len(places), before + after, white.shape[1])
    return np.asarray(np.stack(cut, axis=1), np.float32).reshape(shape)


def _whitening_filter(noise: NoiseSpectrum, reach: int) -> npt.NDArray[np.float64]:
    root = inverse_root(noise.floored(POWER_FLOOR).at(WHITENING_FFT))
    ideal = fft.irfft(root, WHITENING_FFT, axis=0)
    short = np.concatenate([ideal[-reach:], ideal[: reach + 1]])
    return np.asarray(short * np.hanning(2 * reach + 3)[1:-1, None, None])
