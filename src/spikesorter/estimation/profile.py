"""Profile of a recording: its offset, noise, gain, firing rates, background and hum."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from spikesorter.core.sections import ConditioningSettings
from spikesorter.estimation.course import STEADY, Course
from spikesorter.signal.filters import band_pass_kernel, drift_kernel, fir_filter
from spikesorter.signal.gain import SILENT, Activity, Background
from spikesorter.signal.hum import hum_kernel
from spikesorter.signal.noise import NoiseSpectrum

__all__ = ["Profile", "conditioning_kernel", "without_hum"]

Trace = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Profile:
    """Noise, gain and firing rates of a recording: what differs between recordings of one electrode.

    Parameters
    ----------
    offset : ndarray of float64, shape (channels,)
        Median of the raw trace.
    scale : ndarray of float32, shape (channels,)
        Noise level of the conditioned trace (median absolute deviation, scaled to a Gaussian's SD).
    noise : NoiseSpectrum
        Of the conditioned trace, including background spikes.
    activity : Activity
        Gain relative to the labelled recording, and firing rates.
    background : Background
        Spikes of distant units.
    hum_hz : tuple of float
        Mains harmonics, which are removed first.
    course : Course
        Changes of unit sizes and noise over the recording.
    """

    offset: npt.NDArray[np.float64]
    scale: Trace
    noise: NoiseSpectrum
    activity: Activity
    background: Background = SILENT
    hum_hz: tuple[float, ...] = ()
    course: Course = STEADY

    @property
    def factors(self) -> npt.NDArray[np.float32]:
        """Mean factor on each unit's template, shape (units,), or (1,) if it is the same for all."""
        return (self.activity.gain * self.course.mean_sizes).astype(np.float32)

    def narrowed(self, columns: tuple[int, ...], kept: npt.NDArray[np.bool_]) -> Profile:
        """Return the profile of some of the recording's channels and units.

        Parameters
        ----------
        columns : tuple of int
            Positions of the channels.
        kept : ndarray of bool, shape (units,)
            Units that are left.
        """
        places = list(columns)
        rates = tuple(rate for rate, stays in zip(self.activity.rates, kept.tolist(), strict=True) if stays)
        return replace(
            self,
            offset=self.offset[places],
            scale=self.scale[places],
            noise=self.noise.of_channels(columns),
            activity=replace(self.activity, rates=rates),
            course=self.course.of_units(kept),
        )

    def parts(self) -> list[Profile]:
        """Return the profile of each block of the course, as if the recording were like it throughout."""
        return [
            replace(self, noise=self.noise.scaled(level**2), course=course)
            for course, level in self.course.parts()
        ]

    def distance(self, other: Profile) -> float:
        """Return how much noise and gain of two recordings differ, in nepers of amplitude."""
        gain, other_gain = self.activity.gain, other.activity.gain
        if gain * other_gain <= 0:
            return float("inf")  # of opposite polarity
        return self.noise.distance(other.noise) + abs(float(np.log(gain / other_gain)))


def without_hum(trace: Trace, hum_hz: tuple[float, ...], *, fs_hz: float) -> Trace:
    """Return a trace without these mains harmonics.

    Examples
    --------
    >>> time_s = np.arange(100_000) / 25_000
    >>> trace = np.sin(2 * np.pi * 50 * time_s).astype(np.float32)[:, None]
    >>> bool(np.abs(without_hum(trace, (50.0,), fs_hz=25_000)[45_000:55_000]).max() < 0.1)
    True
    """
    return fir_filter(trace, hum_kernel(hum_hz, fs_hz=fs_hz)) if hum_hz else trace


def conditioning_kernel(settings: ConditioningSettings, fs_hz: float) -> npt.NDArray[np.float64]:
    """Return the conditioning filter, which removes drift and passes the band.

    Examples
    --------
    >>> kernel = conditioning_kernel(ConditioningSettings(), 25_000)
    >>> response = np.abs(np.fft.rfft(kernel, 25_000))  # one value for each hertz
    >>> response[[0, 1000, 9000]].round(2)
    array([0., 1., 0.])
    """
    drift = drift_kernel(window_ms=settings.drift_window_ms, fs_hz=fs_hz)
    band = band_pass_kernel(low_hz=settings.low_hz, high_hz=settings.high_hz, taps=settings.taps, fs_hz=fs_hz)
    return np.convolve(drift, band)
