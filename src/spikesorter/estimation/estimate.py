"""Finding out what a recording is like, without labels."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from spikesorter.core.errors import InputError
from spikesorter.core.settings import Settings
from spikesorter.estimation.profile import Profile, conditioning_kernel, without_hum
from spikesorter.estimation.rehearsal import plant_rehearsal
from spikesorter.estimation.units import Units
from spikesorter.io.samples import centred
from spikesorter.signal.filters import fir_filter, noise_scale
from spikesorter.signal.gain import (
    SILENT,
    Cumulants,
    estimate_activity,
    estimate_background,
    estimate_rates,
    measure_cumulants,
)
from spikesorter.signal.hum import find_hum
from spikesorter.signal.matched import MatchedFilters, make_matched_filters
from spikesorter.signal.noise import NoiseSpectrum, estimate_noise_spectrum, quiet_samples
from spikesorter.signal.spans import to_samples
from spikesorter.signal.templates import Templates

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
QUIET_BEFORE_MS, QUIET_AFTER_MS = 1.6, 1.2  # kept free around a shape, whose place is roughly known
ROUNDING = 1e-5  # 100 dB below the spikes there is nothing but the rounding of float32
NOISE_ROUNDS = 2  # the second finds what the first one's noise hid; a third changes nothing measurable
BACKGROUND_ROUNDS = 2
BACKGROUND_SAMPLES = 1 << 19
BACKGROUND_SCALE = (0.07, 0.1, 0.14, 0.2, 0.28, 0.4)  # sizes to try, as long as they get better
HISTOGRAM_EDGES = np.arange(-12.0, 12.5, 0.5)  # in SD of the noise
HISTOGRAM_ERROR = 0.02
LEAST_DETECTABILITY = 1.0
"""d' of a neuron that can be told from noise at all."""
PROFILING = 2  # a stream of random numbers of its own


@dataclass(frozen=True, eq=False)
class InitialEstimate:
    """A recording at first initial.

    Parameters
    ----------
    profile : Profile
        As if it held no spikes of distant neurons.
    evidence : ndarray of float32, shape (samples, classes)
        Outputs of `filters`.
    filters : MatchedFilters
    """

    profile: Profile
    evidence: Trace
    filters: MatchedFilters


def estimate_initially(
    trace: npt.NDArray[Any], units: Units, settings: Settings, *, fs_hz: float
) -> InitialEstimate:
    """Estimate a recording's noise, gain and firing rates, without labels: well enough to compare.

    Parameters
    ----------
    trace : ndarray, shape (samples, channels)
        Raw, in the recording's own data type.
    units : Units
        What the labelled recording taught.
    settings : Settings
    fs_hz : float

    Returns
    -------
    InitialEstimate

    Raises
    ------
    InputError
        If too little of the recording is free of spikes, or it holds no noise at all.
    """
    offset = np.median(trace, axis=0).astype(np.float64)
    kernel = conditioning_kernel(settings.conditioning, fs_hz)
    centred_trace = centred(trace, offset)
    hum_hz = find_hum(centred_trace, fs_hz=fs_hz) if settings.conditioning.remove_hum else ()
    conditioned = fir_filter(without_hum(centred_trace, hum_hz, fs_hz=fs_hz), kernel)
    noise, filters = _noise_and_filters(conditioned, units, settings, fs_hz)
    templates, amplitudes = units.templates.filtered(kernel), list(units.amplitudes)
    evidence = filters.apply(conditioned)
    activity = estimate_activity(evidence, filters, templates, amplitudes, prior_rates=units.rates)
    return InitialEstimate(
        Profile(offset, _scale(conditioned), noise, activity, hum_hz=hum_hz), evidence, filters
    )


def with_gain(
    initial: InitialEstimate, gain: float, units: Units, settings: Settings, *, fs_hz: float
) -> InitialEstimate:
    """Return what was seen of a recording, its rates estimated anew at a gain that is known better.

    Parameters
    ----------
    initial : InitialEstimate
        From `estimate_initially`.
    gain : float
    units, settings, fs_hz
        As for it.

    Returns
    -------
    InitialEstimate
    """
    kernel = conditioning_kernel(settings.conditioning, fs_hz)
    activity = estimate_rates(
        measure_cumulants(initial.evidence),
        initial.filters,
        units.templates.filtered(kernel),
        list(units.amplitudes),
        gain=gain,
        prior_rates=units.rates,
        background=SILENT,
    )
    return replace(initial, profile=replace(initial.profile, activity=activity))


def estimate_profile(
    initial: InitialEstimate, units: Units, settings: Settings, *, fs_hz: float, gain_known: bool = False
) -> Profile:
    """Estimate a recording's background too, and the rest anew beside it.

    Parameters
    ----------
    initial : InitialEstimate
        From `estimate_initially`.
    units, settings, fs_hz
        As for it.
    gain_known : bool
        Whether the gain is not to be estimated anew.

    Returns
    -------
    Profile
    """
    profile, evidence, filters = initial.profile, initial.evidence, initial.filters
    kernel = conditioning_kernel(settings.conditioning, fs_hz)
    templates, amplitudes = units.templates.filtered(kernel), list(units.amplitudes)
    whole, quiet = (measure_cumulants(e) for e in (evidence, evidence[_quiet(evidence, settings, fs_hz)]))
    likeness = _Likeness(evidence, whole, quiet, filters, templates, units, settings, fs_hz)
    first = likeness.with_background(profile, amplitude=None)
    if first.profile.background == SILENT:
        return profile
    activity = estimate_activity(
        evidence,
        filters,
        templates,
        amplitudes,
        prior_rates=units.rates,
        background=first.profile.background,
    )
    if not gain_known:
        profile = replace(profile, activity=activity)
    # The quiet stretches say how skewed the background makes the noise, but not by how many spikes of what
    # size: the largest are cut out of them. The whole distribution says it.
    trials = {0: likeness.with_background(profile, amplitude=BACKGROUND_SCALE[0])}
    best = 0
    for step in range(1, len(BACKGROUND_SCALE)):
        trials[step] = likeness.with_background(profile, amplitude=BACKGROUND_SCALE[step])
        if trials[step].misfit > trials[best].misfit:
            break
        best = step
    return trials[best].profile


@dataclass(frozen=True, eq=False)
class _Trial:
    """A profile, and how unlike the target its rehearsal is."""

    profile: Profile
    misfit: float


@dataclass(frozen=True, eq=False)
class _Likeness:
    """Compares a target with rehearsals of it by their matched filters' outputs."""

    evidence: Trace
    whole: Cumulants
    quiet: Cumulants
    filters: MatchedFilters
    templates: Templates
    units: Units
    settings: Settings
    fs_hz: float

    def with_background(self, profile: Profile, *, amplitude: float | None) -> _Trial:
        """Fit the background's rate, and its size unless that is given, and the neurons' rates beside it."""
        for number in range(BACKGROUND_ROUNDS):
            rehearsed = self._rehearsed(profile, number)
            background = estimate_background(
                self.quiet,
                measure_cumulants(rehearsed[_quiet(rehearsed, self.settings, self.fs_hz)]),
                self.filters,
                self.templates,
                gain=profile.activity.gain,
                background=profile.background,
                amplitude=amplitude,
            )
            if background == profile.background:
                break
            activity = estimate_rates(
                self.whole,
                self.filters,
                self.templates,
                list(self.units.amplitudes),
                gain=profile.activity.gain,
                prior_rates=self.units.rates,
                background=background,
            )
            profile = replace(profile, activity=activity, background=background)
        if amplitude is None:
            return _Trial(profile, 0.0)
        return _Trial(profile, self._misfit(self._rehearsed(profile, BACKGROUND_ROUNDS)))

    def _rehearsed(self, profile: Profile, number: int) -> Trace:
        kernel = conditioning_kernel(self.settings.conditioning, self.fs_hz)
        rehearsal = plant_rehearsal(
            self.units,
            profile,
            kernel=kernel,
            n_samples=BACKGROUND_SAMPLES,
            gain_jitter=0.0,
            jitter_samples=BACKGROUND_SAMPLES,
            rng=np.random.default_rng([self.settings.seed, PROFILING, number]),
        )
        return self.filters.apply(fir_filter(rehearsal.trace, kernel))

    def _misfit(self, rehearsed: Trace) -> float:
        """Chi-squared distance of the outputs' histograms, neither trusted to better than 2 %."""
        share = len(self.evidence) / len(rehearsed)
        seen, expected = _histogram(self.evidence), share * _histogram(rehearsed)
        variance = seen + share * expected + (HISTOGRAM_ERROR * seen) ** 2 + 10
        return float(((seen - expected) ** 2 / variance).sum())


def _histogram(evidence: Trace) -> npt.NDArray[np.float64]:
    return np.stack([np.histogram(column, HISTOGRAM_EDGES)[0] for column in evidence.T]).astype(np.float64)


def _noise_and_filters(
    conditioned: Trace, units: Units, settings: Settings, fs_hz: float
) -> tuple[NoiseSpectrum, MatchedFilters]:
    templates = units.templates.filtered(conditioning_kernel(settings.conditioning, fs_hz))
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


def is_faint(initial: InitialEstimate) -> bool:
    """Return whether all neurons drown in a recording's noise, at the gain measured there; warn if so.

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
        "no labelled neuron can be told from this recording's noise (the clearest has a d' of %.2g): is it "
        "in another unit than the labelled one? The result is not to be trusted",
        clearest,
    )
    return True
