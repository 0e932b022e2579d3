"""Estimate the profile of an unlabelled recording: offset, hum, noise, gain, firing rates, background."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from spikesorter.core.errors import NothingToSortError
from spikesorter.estimation.context import PROFILE, Context
from spikesorter.estimation.profile import Profile, without_hum
from spikesorter.estimation.rehearsal import plant_rehearsal
from spikesorter.io.samples import centred
from spikesorter.signal.filters import noise_scale
from spikesorter.signal.gain import (
    estimate_activity,
    estimate_rates,
    is_skewed,
    measure_cumulants,
)
from spikesorter.signal.hum import find_hum
from spikesorter.signal.matched import MatchedFilters, make_matched_filters
from spikesorter.signal.noise import NoiseSpectrum, estimate_noise_spectrum, quiet_samples
from spikesorter.signal.shot_noise import BackgroundFit, Histogram, ShotNoise, measure_histogram

__all__ = [
    "LEAST_DETECTABILITY",
    "InitialEstimate",
    "estimate_initially",
    "estimate_profile",
    "is_faint",
    "with_gain",
]

logger = logging.getLogger(__name__)

Trace = npt.NDArray[np.float32]
QUIET_BEFORE_MS, QUIET_AFTER_MS = (
    1.6,
    1.2,
)  # excluded around a template, as its position is known only roughly
ROUNDING = 1e-5  # 100 dB below the spikes, float32 has only rounding errors
NOISE_ROUNDS = 2  # the second improves on the first; a third changes nothing measurable
BACKGROUND_SAMPLES = 1 << 19
MOST_MISFIT = 1.0  # of a bin of the outputs' distribution, on average, for a gain to be believed
MUCH_BETTER = 6.0  # misfit by which a gain has to be better than 1
LEAST_DETECTABILITY = 1.0
"""Least d' at which a unit can be distinguished from noise."""


@dataclass(frozen=True, eq=False)
class InitialEstimate:
    """Initial estimate of a recording, good enough to compare recordings.

    Parameters
    ----------
    profile : Profile
        Without background spikes.
    evidence : ndarray of float32, shape (samples, units)
        Outputs of `filters`.
    filters : MatchedFilters
    """

    profile: Profile
    evidence: Trace
    filters: MatchedFilters


def estimate_initially(trace: npt.NDArray[Any], context: Context) -> InitialEstimate:
    """Estimate a recording's noise, gain and firing rates, without labels.

    Parameters
    ----------
    trace : ndarray, shape (samples, channels)
        Raw, in the recording's own data type.
    context : Context

    Returns
    -------
    InitialEstimate

    Raises
    ------
    InputError
        If too little of the recording is free of spikes, or it has no noise at all.
    """
    fs_hz, units = context.fs_hz, context.units
    offset = np.median(trace, axis=0).astype(np.float64)
    centred_trace = centred(trace, offset)
    remove_hum = context.settings.conditioning.remove_hum
    hum_hz = find_hum(centred_trace, fs_hz=fs_hz) if remove_hum else ()
    conditioned = context.conditioned(without_hum(centred_trace, hum_hz, fs_hz=fs_hz))
    scale = _scale(conditioned)
    noise, filters = _noise_and_filters(conditioned, context)
    evidence = filters.apply(conditioned)
    activity = estimate_activity(
        evidence, filters, context.templates, list(units.amplitudes), prior_rates=units.rates
    )
    profile = Profile(offset, scale, noise, activity, hum_hz=hum_hz)
    return InitialEstimate(profile, evidence, filters)


def with_gain(initial: InitialEstimate, gain: float, context: Context) -> InitialEstimate:
    """Return the initial estimate with firing rates estimated again for a better known gain.

    Parameters
    ----------
    initial : InitialEstimate
        From `estimate_initially`.
    gain : float
    context : Context

    Returns
    -------
    InitialEstimate
    """
    cumulants = measure_cumulants(initial.evidence)
    activity = estimate_rates(
        cumulants,
        initial.filters,
        context.templates,
        list(context.units.amplitudes),
        gain=gain,
        prior_rates=context.units.rates,
    )
    return replace(initial, profile=replace(initial.profile, activity=activity))


def estimate_profile(initial: InitialEstimate, context: Context, *, gain_known: bool = False) -> Profile:
    """Estimate a recording's background spikes and, if it has any, its gain and firing rates again.

    Parameters
    ----------
    initial : InitialEstimate
        From `estimate_initially`.
    context : Context
    gain_known : bool
        Whether to keep the gain of the initial estimate.

    Returns
    -------
    Profile
    """
    profile = initial.profile
    if not _has_background(initial, context):
        return profile
    # Quiet parts show that a background skews the noise, but not the number and size of its spikes, as
    # the largest are excluded from them. The whole distribution does.
    spikes = ShotNoise(initial.filters, context.templates, context.units.amplitudes, context.units.rates)
    histogram, gain = measure_histogram(initial.evidence), profile.activity.gain
    fit = spikes.fit_background(histogram, gain=gain)
    if not gain_known:
        fit = _at_best_gain(fit, spikes, histogram)
    activity = replace(profile.activity, gain=fit.gain, rates=fit.rates)
    return replace(profile, activity=activity, background=fit.background)


def is_faint(initial: InitialEstimate) -> bool:
    """Return whether no unit can be distinguished from a recording's noise at its gain; warn if so.

    Parameters
    ----------
    initial : InitialEstimate

    Returns
    -------
    bool
    """
    clearest = float(initial.filters.detectability.max() * abs(initial.profile.activity.gain))
    if clearest >= LEAST_DETECTABILITY:
        return False
    logger.warning(
        "no labelled unit can be distinguished from this recording's noise (the clearest has a d' of %.2g); "
        "do not trust the result. Do the recording and the labelled one have the same unit of voltage?",
        clearest,
    )
    return True


def _has_background(initial: InitialEstimate, context: Context) -> bool:
    """Return whether the quiet parts of a recording are more skewed than those of a rehearsal without any.

    Quiet parts contain undetected spikes of the smallest units. The rehearsal contains as many.
    """
    rehearsal = plant_rehearsal(
        context,
        initial.profile,
        n_samples=BACKGROUND_SAMPLES,
        gain_jitter=0.0,
        jitter_samples=BACKGROUND_SAMPLES,
        rng=context.rng(*PROFILE, 0),
    )
    rehearsed = initial.filters.apply(context.conditioned(rehearsal.trace))
    quiet, expected = (
        measure_cumulants(evidence[_quiet(evidence, context)]) for evidence in (initial.evidence, rehearsed)
    )
    return is_skewed(quiet, expected, gain=initial.profile.activity.gain)


def _at_best_gain(fit: BackgroundFit, spikes: ShotNoise, histogram: Histogram) -> BackgroundFit:
    """Return the fit at the gain nearby that explains a recording best, if any does; at 1 if that is as good.

    Where waveforms vary, or other units fire, no gain explains the distribution, and none is believed.
    """
    best = spikes.fit_gain(histogram, near=fit.gain)
    if best.misfit >= MOST_MISFIT * histogram.bins:
        return fit
    at_one = spikes.fit_background(histogram, gain=1.0)
    chosen = best if best.misfit < at_one.misfit - MUCH_BETTER else at_one
    logger.info("gain %.3g: best fit of spikes and background (%.3g before)", chosen.gain, fit.gain)
    return chosen


def _noise_and_filters(conditioned: Trace, context: Context) -> tuple[NoiseSpectrum, MatchedFilters]:
    evidence = conditioned
    for _ in range(NOISE_ROUNDS):
        quiet = _quiet(evidence, context)
        noise = estimate_noise_spectrum(conditioned, quiet, n_fft=context.settings.noise.n_fft)
        filters = make_matched_filters(context.templates, noise, reach=context.whitening_reach)
        evidence = filters.apply(conditioned)
    return noise, filters


def _scale(conditioned: Trace) -> Trace:
    scale = noise_scale(conditioned)
    if not np.all(scale > ROUNDING * conditioned.std(axis=0)):
        raise NothingToSortError(
            "more than half of the samples are equal, so there is no noise to measure; "
            "if the trace is simulated or gated, add a little noise to it"
        )
    return scale


def _quiet(evidence: Trace, context: Context) -> npt.NDArray[np.bool_]:
    settings = context.settings
    return quiet_samples(
        evidence,
        threshold=settings.noise.quiet_threshold,
        before=context.samples(settings.templates.before_ms + QUIET_BEFORE_MS),
        after=context.samples(settings.templates.after_ms + QUIET_AFTER_MS),
    )
