"""Front end of the networks: features of a raw trace, computed by local operators."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from spikesorter.core.settings import Settings
from spikesorter.estimation.context import Context
from spikesorter.estimation.profile import Profile
from spikesorter.estimation.rehearsal import Rehearsal
from spikesorter.signal.filters import fir_filter, fir_margin, local_unit_variance
from spikesorter.signal.matched import MatchedFilters, make_matched_filters
from spikesorter.signal.spans import Margin
from spikesorter.signal.templates import Templates
from spikesorter.signal.wavelet import denoise, denoise_margin, level_noise

__all__ = ["FrontEnd", "Stages", "choose_denoise_strength", "fit_front_end", "make_front_end"]

Trace = npt.NDArray[np.float32]
STRENGTHS = (0.0, 0.1, 0.2, 0.3, 0.45, 0.6, 0.8, 1.0)


@dataclass(frozen=True, eq=False)
class Stages:
    """What the operators of a front end make of a trace; each has its length.

    Parameters
    ----------
    scaled : ndarray of float32, shape (samples, channels)
        Conditioned, in SD of the noise.
    denoised : ndarray of float32, shape (samples, channels), or None
        The same after wavelet denoising, if there is any.
    filtered : ndarray of float32, shape (samples, filters), or None
        The matched filters' outputs, if there are any.
    """

    scaled: Trace
    denoised: Trace | None
    filtered: Trace | None


@dataclass(frozen=True, eq=False)
class FrontEnd:
    """Local operators that turn a raw trace into features; all statistics are estimated beforehand.

    Parameters
    ----------
    kernel : ndarray of float64, shape (taps,)
        Conditioning filter: drift removal and band-pass.
    scale : ndarray of float32, shape (channels,)
        Divisor of the conditioned trace; negative if the polarity is inverted.
    wavelet : str
    level_sd : ndarray of float32, shape (levels, channels)
        Noise SD of the scaled trace at each wavelet level.
    strength : float
        Strength of the denoising; 0 for none.
    filters : MatchedFilters or None
        Applied to the conditioned trace.
    window_samples : int
        Length of the window that is scaled to unit variance; 0 for none.
    feature_sd : ndarray of float32, shape (columns,)
        Divisor of the features, which brings them to order 1.
    """

    kernel: npt.NDArray[np.float64]
    scale: Trace
    wavelet: str
    level_sd: Trace
    strength: float
    filters: MatchedFilters | None
    window_samples: int
    feature_sd: Trace

    @property
    def columns(self) -> int:
        """Number of features."""
        return len(self.scale) + (len(self.filters.kernels) if self.filters else 0)

    @property
    def margin(self) -> Margin:
        """Margin of `features`."""
        margin = fir_margin(self.kernel)
        branches = [Margin()]
        if self.strength:
            branches.append(denoise_margin(wavelet=self.wavelet, level=len(self.level_sd)))
        if self.filters:
            branches.append(self.filters.margin)
        margin += Margin(max(b.before for b in branches), max(b.after for b in branches))
        return margin + Margin(self.window_samples // 2, self.window_samples // 2)

    def features(self, trace: Trace) -> Trace:
        """Return the denoised trace and the matched filters' outputs, shape (samples, columns).

        `trace` is without its offset but not conditioned.
        """
        stages = self.stages(trace)
        shown = stages.scaled if stages.denoised is None else stages.denoised
        columns = [shown] if stages.filtered is None else [shown, stages.filtered]
        features = np.concatenate(columns, axis=1)
        if self.window_samples:
            features = local_unit_variance(features, window_samples=self.window_samples)
        features /= self.feature_sd
        return features

    def stages(self, trace: Trace) -> Stages:
        """Return what each operator makes of a trace, as in `features`."""
        conditioned = fir_filter(trace, self.kernel)
        scaled = conditioned / self.scale
        denoised = None
        if self.strength:
            denoised = denoise(scaled, noise_sd=self.level_sd, strength=self.strength, wavelet=self.wavelet)
        return Stages(scaled, denoised, self.filters.apply(conditioned) if self.filters else None)

    def standardised(self, trace: Trace) -> FrontEnd:
        """Return a front end whose features have an SD of 1 on this trace."""
        plain = replace(self, feature_sd=np.ones(self.columns, np.float32))
        return replace(self, feature_sd=np.maximum(plain.features(trace).std(axis=0), 1e-6))


def make_front_end(context: Context, profile: Profile, *, average: Trace) -> FrontEnd:
    """Make the front end for recordings of a profile, before denoising and scaling are set.

    Parameters
    ----------
    context : Context
    profile : Profile
    average : ndarray of float32, shape (window, channels)
        Average labelled waveform, conditioned (for ``matched_filter.kind = "average"``).

    Returns
    -------
    FrontEnd
    """
    settings, gain = context.settings, np.float32(profile.activity.gain)
    filters = None
    if settings.matched_filter.kind == "per_unit":
        templates = context.templates.scaled(profile.factors)
        filters = make_matched_filters(templates, profile.noise, reach=context.whitening_reach)
    elif settings.matched_filter.kind == "average":
        template = Templates((0,), gain * average[None], settings.classifier.before_samples)
        filters = make_matched_filters(template, profile.noise, reach=0, whiten=False)
    front_end = FrontEnd(
        kernel=context.kernel,
        scale=np.float32(np.sign(gain)) * profile.scale,
        wavelet=settings.denoise.wavelet,
        level_sd=np.zeros((settings.denoise.level, len(profile.scale)), np.float32),
        strength=0.0,
        filters=filters,
        window_samples=settings.detector.window_samples if settings.detector.unit_variance else 0,
        feature_sd=np.ones(1, np.float32),
    )
    return replace(front_end, feature_sd=np.ones(front_end.columns, np.float32))


def choose_denoise_strength(
    front_end: FrontEnd, settings: Settings, *, trace: Trace, clean: Trace
) -> FrontEnd:
    """Return the front end with the denoising strength of the settings, or the best on a rehearsal.

    Parameters
    ----------
    front_end : FrontEnd
    settings : Settings
    trace, clean : ndarray of float32, shape (samples, channels)
        A rehearsal with and without its noise. The best strength brings the first closest to the second, by
        least squares.

    Returns
    -------
    FrontEnd
    """
    strength, wavelet = settings.denoise.strength, front_end.wavelet
    if strength == 0:
        return front_end
    noisy, wanted = (fir_filter(part, front_end.kernel) / front_end.scale for part in (trace, clean))
    level_sd = level_noise(noisy, wavelet=wavelet, level=settings.denoise.level)
    if strength == "auto":
        errors = [
            float(np.mean((denoise(noisy, noise_sd=level_sd, strength=s, wavelet=wavelet) - wanted) ** 2))
            for s in STRENGTHS
        ]
        strength = STRENGTHS[int(np.argmin(errors))]
    return replace(front_end, strength=float(strength), level_sd=level_sd)


def fit_front_end(context: Context, profile: Profile, rehearsal: Rehearsal, *, average: Trace) -> FrontEnd:
    """Make the front end for recordings of a profile, with statistics from a rehearsal.

    Parameters
    ----------
    context : Context
    profile : Profile
    rehearsal : Rehearsal
        Of this profile.
    average : ndarray of float32, shape (window, channels)
        Average labelled waveform, conditioned.

    Returns
    -------
    FrontEnd
    """
    front_end = make_front_end(context, profile, average=average)
    front_end = choose_denoise_strength(
        front_end, context.settings, trace=rehearsal.trace, clean=rehearsal.clean
    )
    return front_end.standardised(rehearsal.trace)
