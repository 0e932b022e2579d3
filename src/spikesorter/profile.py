"""What a recording is like: its offset, noise, gain and activity, estimated once and passed in."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from spikesorter.config import ConditioningSettings, Settings
from spikesorter.repertoire import Repertoire
from spikesorter.signal.filters import band_pass_kernel, drift_kernel, fir_filter, noise_scale
from spikesorter.signal.gain import Activity, estimate_activity
from spikesorter.signal.matched import make_matched_filters
from spikesorter.signal.noise import NoiseSpectrum, estimate_noise_spectrum, quiet_samples

__all__ = ["Profile", "conditioning_kernel", "profile_recording"]

Trace = npt.NDArray[np.float32]
NOISE_ROUNDS = 2  # the second finds what the first one's noise hid; a third changes nothing measurable


@dataclass(frozen=True, eq=False)
class Profile:
    """What a recording is like.

    Parameters
    ----------
    offset : ndarray of float32, shape (channels,)
        Median of the raw trace.
    scale : ndarray of float32, shape (channels,)
        Noise level of the conditioned trace (median absolute deviation, as a Gaussian's SD).
    noise : NoiseSpectrum
        Of the conditioned trace.
    activity : Activity
        Gain against the labelled recording, and firing rates.
    """

    offset: Trace
    scale: Trace
    noise: NoiseSpectrum
    activity: Activity


def conditioning_kernel(settings: ConditioningSettings, fs_hz: float) -> npt.NDArray[np.float64]:
    """Return the one filter that removes drift and passes the band."""
    drift = drift_kernel(window_ms=settings.drift_window_ms, fs_hz=fs_hz)
    band = band_pass_kernel(low_hz=settings.low_hz, high_hz=settings.high_hz, taps=settings.taps, fs_hz=fs_hz)
    return np.convolve(drift, band)


def profile_recording(trace: Trace, repertoire: Repertoire, settings: Settings, *, fs_hz: float) -> Profile:
    """Estimate a recording's noise, gain and firing rates, without labels.

    Parameters
    ----------
    trace : ndarray of float32, shape (samples, channels)
        Raw.
    repertoire : Repertoire
        What the labelled recording taught.
    settings : Settings
    fs_hz : float

    Returns
    -------
    Profile

    Raises
    ------
    InputError
        If too little of the recording is free of spikes.
    """
    offset = np.median(trace, axis=0).astype(np.float32)
    kernel = conditioning_kernel(settings.conditioning, fs_hz)
    conditioned = fir_filter(trace - offset, kernel)
    templates = repertoire.templates.filtered(kernel)
    evidence = conditioned
    for _ in range(NOISE_ROUNDS):
        quiet = quiet_samples(
            evidence,
            threshold=settings.noise.quiet_threshold,
            before=settings.templates.before_samples + 40,
            after=settings.templates.after_samples + 30,
        )
        noise = estimate_noise_spectrum(conditioned, quiet, n_fft=settings.noise.n_fft)
        filters = make_matched_filters(
            templates, noise, reach=settings.matched_filter.whitening_reach_samples
        )
        evidence = filters.apply(conditioned)
    activity = estimate_activity(
        evidence, filters, templates, list(repertoire.sizes), prior_rates=repertoire.rates
    )
    return Profile(offset, noise_scale(conditioned), noise, activity)
