"""Finding out what a recording is like, without labels."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from spikesorter.config import Settings
from spikesorter.errors import InputError
from spikesorter.profile import Profile, conditioning_kernel
from spikesorter.recordings import centred
from spikesorter.rehearsal import plant_rehearsal
from spikesorter.repertoire import Repertoire
from spikesorter.signal.filters import fir_filter, noise_scale
from spikesorter.signal.gain import estimate_activity, estimate_background, measure_cumulants
from spikesorter.signal.matched import MatchedFilters, make_matched_filters
from spikesorter.signal.noise import NoiseSpectrum, estimate_noise_spectrum, quiet_samples
from spikesorter.signal.spans import to_samples

__all__ = ["profile_recording"]

Trace = npt.NDArray[np.float32]
QUIET_BEFORE_MS, QUIET_AFTER_MS = 1.6, 1.2  # kept free around a shape, whose place is roughly known
ROUNDING = 1e-5  # 100 dB below the spikes there is nothing but the rounding of float32
NOISE_ROUNDS = 2  # the second finds what the first one's noise hid; a third changes nothing measurable
BACKGROUND_ROUNDS = 2
BACKGROUND_SAMPLES = 1 << 20
PROFILING = 2  # a stream of random numbers of its own


def profile_recording(
    trace: npt.NDArray[Any], repertoire: Repertoire, settings: Settings, *, fs_hz: float
) -> Profile:
    """Estimate a recording's noise, gain, firing rates and background, without labels.

    Parameters
    ----------
    trace : ndarray, shape (samples, channels)
        Raw, in the recording's own data type.
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
        If too little of the recording is free of spikes, or it holds no noise at all.
    """
    offset = np.median(trace, axis=0).astype(np.float64)
    kernel = conditioning_kernel(settings.conditioning, fs_hz)
    conditioned = fir_filter(centred(trace, offset), kernel)
    noise, filters = _noise_and_filters(conditioned, repertoire, settings, fs_hz)
    templates, sizes = repertoire.templates.filtered(kernel), list(repertoire.sizes)
    evidence = filters.apply(conditioned)
    activity = estimate_activity(evidence, filters, templates, sizes, prior_rates=repertoire.rates)
    profile = Profile(offset, _scale(conditioned), noise, activity)

    quiet = measure_cumulants(evidence[_quiet(evidence, settings, fs_hz)])
    for number in range(BACKGROUND_ROUNDS):
        rehearsal = plant_rehearsal(
            repertoire,
            profile,
            kernel=kernel,
            n_samples=BACKGROUND_SAMPLES,
            gain_jitter=0.0,
            jitter_samples=BACKGROUND_SAMPLES,
            rng=np.random.default_rng([settings.seed, PROFILING, number]),
        )
        rehearsed = filters.apply(fir_filter(rehearsal.trace, kernel))
        background = estimate_background(
            quiet,
            measure_cumulants(rehearsed[_quiet(rehearsed, settings, fs_hz)]),
            filters,
            templates,
            gain=profile.activity.gain,
            background=profile.background,
        )
        if background == profile.background:
            break
        activity = estimate_activity(
            evidence, filters, templates, sizes, prior_rates=repertoire.rates, background=background
        )
        profile = replace(profile, activity=activity, background=background)
    return profile


def _noise_and_filters(
    conditioned: Trace, repertoire: Repertoire, settings: Settings, fs_hz: float
) -> tuple[NoiseSpectrum, MatchedFilters]:
    templates = repertoire.templates.filtered(conditioning_kernel(settings.conditioning, fs_hz))
    evidence = conditioned
    for _ in range(NOISE_ROUNDS):
        quiet = _quiet(evidence, settings, fs_hz)
        noise = estimate_noise_spectrum(conditioned, quiet, n_fft=settings.noise.n_fft)
        filters = make_matched_filters(
            templates, noise, reach=to_samples(settings.matched_filter.whitening_reach_ms, fs_hz)
        )
        evidence = filters.apply(conditioned)
    return noise, filters


def _scale(conditioned: Trace) -> Trace:
    scale = noise_scale(conditioned)
    if not np.all(scale > ROUNDING * conditioned.std(axis=0)):
        raise InputError(
            "more than half of the samples are exactly equal: there is no noise to measure; "
            "if the trace is simulated or gated, add a little noise to it"
        )
    return scale


def _quiet(evidence: Trace, settings: Settings, fs_hz: float) -> npt.NDArray[np.bool_]:
    return quiet_samples(
        evidence,
        threshold=settings.noise.quiet_threshold,
        before=to_samples(settings.templates.before_ms + QUIET_BEFORE_MS, fs_hz),
        after=to_samples(settings.templates.after_ms + QUIET_AFTER_MS, fs_hz),
    )
