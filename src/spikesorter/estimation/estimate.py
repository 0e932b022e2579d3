"""Estimate the profile of an unlabelled recording: offset, hum, noise, gain, firing rates, background."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from spikesorter.core.errors import InputError
from spikesorter.estimation.context import PROFILE, Context
from spikesorter.estimation.profile import Profile, without_hum
from spikesorter.estimation.rehearsal import plant_rehearsal
from spikesorter.io.samples import centred
from spikesorter.signal.filters import noise_scale
from spikesorter.signal.gain import (
    SILENT,
    Activity,
    Background,
    Cumulants,
    estimate_activity,
    estimate_background,
    estimate_rates,
    measure_cumulants,
)
from spikesorter.signal.hum import find_hum
from spikesorter.signal.matched import MatchedFilters, make_matched_filters
from spikesorter.signal.noise import NoiseSpectrum, estimate_noise_spectrum, quiet_samples

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
BACKGROUND_ROUNDS = 2
BACKGROUND_SAMPLES = 1 << 19
BACKGROUND_SCALE = (0.07, 0.1, 0.14, 0.2, 0.28, 0.4)  # amplitudes to try, as long as they fit better
HISTOGRAM_EDGES = np.arange(-12.0, 12.5, 0.5)  # in SD of the noise
HISTOGRAM_ERROR = 0.02
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
    activity = _rates_at(cumulants, initial.filters, context, gain=gain, background=SILENT)
    return replace(initial, profile=replace(initial.profile, activity=activity))


def estimate_profile(initial: InitialEstimate, context: Context, *, gain_known: bool = False) -> Profile:
    """Estimate a recording's background spikes, and then its gain and firing rates again.

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
    profile, evidence = initial.profile, initial.evidence
    quiet = measure_cumulants(evidence[_quiet(evidence, context)])
    comparison = _Comparison(initial, measure_cumulants(evidence), quiet, context)
    background = comparison.with_background(profile, amplitude=None).profile.background
    if background == SILENT:
        return profile
    if not gain_known:
        activity = estimate_activity(
            evidence,
            initial.filters,
            context.templates,
            list(context.units.amplitudes),
            prior_rates=context.units.rates,
            background=background,
        )
        profile = replace(profile, activity=activity)
    # Quiet parts show how much the background skews the noise. They do not determine the number and
    # amplitude of its spikes, as the largest are excluded from them. The whole distribution does.
    best = comparison.with_background(profile, amplitude=BACKGROUND_SCALE[0])
    for amplitude in BACKGROUND_SCALE[1:]:
        trial = comparison.with_background(profile, amplitude=amplitude)
        if trial.misfit > best.misfit:
            break
        best = trial
    return best.profile


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


@dataclass(frozen=True, eq=False)
class _Trial:
    """A profile, and the misfit of its rehearsal to the recording."""

    profile: Profile
    misfit: float


@dataclass(frozen=True, eq=False)
class _Comparison:
    """Comparison of a recording with its rehearsals by matched filter outputs."""

    initial: InitialEstimate
    whole: Cumulants
    quiet: Cumulants
    context: Context

    def with_background(self, profile: Profile, *, amplitude: float | None) -> _Trial:
        """Fit the background's rate and, unless given, its amplitude; then the units' rates."""
        for number in range(BACKGROUND_ROUNDS):
            rehearsed = self._rehearsed(profile, number)
            background = estimate_background(
                self.quiet,
                measure_cumulants(rehearsed[_quiet(rehearsed, self.context)]),
                self.initial.filters,
                self.context.templates,
                gain=profile.activity.gain,
                background=profile.background,
                amplitude=amplitude,
            )
            if background == profile.background:
                break
            activity = _rates_at(
                self.whole,
                self.initial.filters,
                self.context,
                gain=profile.activity.gain,
                background=background,
            )
            profile = replace(profile, activity=activity, background=background)
        if amplitude is None:
            return _Trial(profile, 0.0)
        return _Trial(profile, self._misfit(self._rehearsed(profile, BACKGROUND_ROUNDS)))

    def _rehearsed(self, profile: Profile, number: int) -> Trace:
        rehearsal = plant_rehearsal(
            self.context,
            profile,
            n_samples=BACKGROUND_SAMPLES,
            gain_jitter=0.0,
            jitter_samples=BACKGROUND_SAMPLES,
            rng=self.context.rng(*PROFILE, number),
        )
        return self.initial.filters.apply(self.context.conditioned(rehearsal.trace))

    @cached_property
    def _observed(self) -> npt.NDArray[np.float64]:
        return _histogram(self.initial.evidence)

    def _misfit(self, rehearsed: Trace) -> float:
        """Return the chi-squared distance of the outputs' histograms, with a model error of 2 %."""
        share = len(self.initial.evidence) / len(rehearsed)
        observed, expected = self._observed, share * _histogram(rehearsed)
        variance = observed + share * expected + (HISTOGRAM_ERROR * observed) ** 2 + 10
        return float(((observed - expected) ** 2 / variance).sum())


def _rates_at(
    cumulants: Cumulants, filters: MatchedFilters, context: Context, *, gain: float, background: Background
) -> Activity:
    return estimate_rates(
        cumulants,
        filters,
        context.templates,
        list(context.units.amplitudes),
        gain=gain,
        prior_rates=context.units.rates,
        background=background,
    )


def _histogram(evidence: Trace) -> npt.NDArray[np.float64]:
    """Return how many outputs of each filter are in each bin, shape (units, bins)."""
    bins, width = len(HISTOGRAM_EDGES) - 1, HISTOGRAM_EDGES[1] - HISTOGRAM_EDGES[0]
    counts = []
    for column in evidence.T:  # bins of equal width: no search among the edges
        at = np.floor((column - np.float32(HISTOGRAM_EDGES[0])) / np.float32(width))
        inside = at[(at >= 0) & (at < bins)].astype(np.int64)
        counts.append(np.bincount(inside, minlength=bins))
    return np.stack(counts).astype(np.float64)


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
        raise InputError(
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
