"""Rehearsals: simulated recordings like a target, with known spikes."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy.ndimage import uniform_filter1d

from spikesorter.core.spikes import Spikes
from spikesorter.estimation.context import Context
from spikesorter.estimation.profile import Profile
from spikesorter.estimation.units import draw_spikes
from spikesorter.signal.filters import fir_filter
from spikesorter.signal.gain import BACKGROUND_AMPLITUDES, Background
from spikesorter.signal.noise import NoiseSpectrum, synthesise_noise
from spikesorter.signal.templates import Templates, plant, spike_amplitudes

__all__ = ["Labelled", "Rehearsal", "graft_rehearsal", "measure_variance_left", "plant_rehearsal"]

FloatArray = npt.NDArray[np.float32]
LEAST_SPIKES = 20  # of each unit in a rehearsal, however rarely it fires
LEAST_MISSING = 0.1  # of the target's noise; with less added, repeating the trace teaches nothing
LEAST_ACTIVITY = 0.1  # of the labelled rate, as a unit that seems silent may still fire


@dataclass(frozen=True, eq=False)
class Rehearsal:
    """A recording with known spikes.

    Parameters
    ----------
    trace : ndarray of float32, shape (samples, channels)
        Like a target's without its offset; not conditioned.
    clean : ndarray of float32, shape (samples, channels)
        The same without the added noise.
    spikes : Spikes
        Those in it.
    period : int
        Samples after which the same spikes are repeated, in other noise. Length of the trace if they are not.
    """

    trace: FloatArray
    clean: FloatArray
    spikes: Spikes
    period: int


@dataclass(frozen=True, eq=False)
class Labelled:
    """The labelled recording itself.

    Parameters
    ----------
    trace : ndarray of float32, shape (samples, channels)
        Without its offset.
    spikes : Spikes
        Its labels.
    profile : Profile
        Its own.
    variance_left : float
        Variance that templates leave beside spikes, beyond that elsewhere: of a sample of the conditioned
        trace, mean over the channels. 0 if units do not vary.
    """

    trace: FloatArray
    spikes: Spikes
    profile: Profile
    variance_left: float = 0.0

    def varies_beyond(self, profile: Profile) -> float:
        """Return the variance left beside spikes at a target's gain, relative to the target's noise."""
        left = self.variance_left * profile.activity.gain**2
        return left / max(float(profile.noise.variance.mean()), 1e-30)

    def excerpt(self, samples: int) -> Labelled:
        """Return at most that many samples from its middle."""
        if len(self.trace) <= samples:
            return self
        start = (len(self.trace) - samples) // 2
        spikes = self.spikes.within(start, start + samples).shifted(-start)
        return replace(self, trace=self.trace[start : start + samples], spikes=spikes)


def plant_rehearsal(
    context: Context,
    profile: Profile,
    *,
    n_samples: int,
    gain_jitter: float,
    jitter_samples: int,
    rng: np.random.Generator,
) -> Rehearsal:
    """Add spikes like the labelled ones to noise like a target's, at its gain and firing rates.

    Parameters
    ----------
    context : Context
    profile : Profile
        Of the target.
    n_samples : int
    gain_jitter : float
        Relative SD of the gain over time, on top of the profile's, as estimates are not exact.
    jitter_samples : int
        After which the gain changes.
    rng : numpy.random.Generator

    Returns
    -------
    Rehearsal
    """
    units = context.units
    least = np.maximum(LEAST_ACTIVITY * units.rates, LEAST_SPIKES / n_samples)
    rates = tuple(np.maximum(profile.activity.rates, least).tolist())
    spikes, amplitudes = draw_spikes(units, rates, n_samples, rng)
    jitter = np.hypot(gain_jitter, profile.activity.wander)
    factors = 1 + jitter * rng.standard_normal(n_samples // jitter_samples + 1)
    gains = profile.activity.gain * factors[spikes.sample // jitter_samples]
    templates, noise = units.templates, profile.noise.unfiltered(context.kernel)
    clean = plant(n_samples, spikes, (amplitudes * gains).astype(np.float32), templates)
    background, spectrum = _background(profile.background, templates, noise, n_samples, rng)
    gaussian = synthesise_noise(noise.minus(spectrum), n_samples, rng)
    return Rehearsal(clean + background + gaussian, clean, spikes, n_samples)


def _background(
    background: Background,
    templates: Templates,
    noise: NoiseSpectrum,
    n_samples: int,
    rng: np.random.Generator,
) -> tuple[FloatArray, NoiseSpectrum]:
    """Draw a trace of background spikes; return it with its spectrum (by Campbell's theorem)."""
    count = rng.poisson(background.rate * n_samples)
    spikes = Spikes.from_arrays(rng.integers(0, n_samples, count), rng.choice(templates.unit_ids, count))
    amplitudes = (background.amplitude * rng.choice(BACKGROUND_AMPLITUDES, count)).astype(np.float32)
    transforms = np.fft.rfft(templates.waveforms, noise.n_fft, axis=1)
    energy = NoiseSpectrum(np.einsum("kfa,kfb->fab", transforms, transforms.conj()) / len(transforms))
    mean_square = background.amplitude**2 * float(np.mean(BACKGROUND_AMPLITUDES**2))
    return plant(n_samples, spikes, amplitudes, templates), energy.scaled(background.rate * mean_square)


def measure_variance_left(
    trace: FloatArray,
    spikes: Spikes,
    templates: Templates,
    *,
    kernel: npt.NDArray[np.float64],
    window: tuple[int, int],
) -> float:
    """Measure how much units vary: what templates at their best amplitudes leave beside spikes.

    Parameters
    ----------
    trace : ndarray of float32, shape (samples, channels)
        Labelled recording, without its median.
    spikes : Spikes
        All that are known.
    templates : Templates
        Of their units.
    kernel : ndarray, shape (taps,)
        The conditioning filter.
    window : tuple of int
        Samples before a spike's start and from it on, in which the rest is measured.

    Returns
    -------
    float
        Variance of a sample beyond that elsewhere, mean over the channels; of the median spike, so that
        overlapping ones do not count.
    """
    amplitudes = spike_amplitudes(trace, spikes, templates, kernel=kernel)
    left = fir_filter(trace - plant(len(trace), spikes, amplitudes, templates), kernel)
    before, after = window
    energy = uniform_filter1d((left.astype(np.float64) ** 2).mean(axis=1), before + after)
    at = np.clip(spikes.sample + (after - before) // 2, 0, len(trace) - 1)
    away = np.ones(len(trace), bool)
    for shift in range(-before - after, before + after + 1, max((before + after) // 2, 1)):
        away[np.clip(at + shift, 0, len(trace) - 1)] = False
    elsewhere = energy[:: before + after][away[:: before + after]]
    if len(elsewhere) == 0 or len(at) == 0:
        return 0.0
    return max(float(np.median(energy[at]) - np.median(elsewhere)), 0.0)


def graft_rehearsal(
    labelled: Labelled,
    context: Context,
    profile: Profile,
    *,
    n_samples: int,
    rng: np.random.Generator,
) -> Rehearsal:
    """Add to the labelled trace, at the target's gain, the noise that it lacks to be like the target.

    Such a rehearsal has all that is real about the labelled trace: spikes that vary, unlabelled units, noise
    that is not Gaussian, and labels with errors.

    Parameters
    ----------
    labelled : Labelled
    context : Context
        With the templates of background spikes, which are added as well if the target has any.
    profile : Profile
        Of the target.
    n_samples : int
        Length wanted. The labelled trace is repeated to come nearest to it, each time in other noise. If it
        lacks hardly any noise, it comes once.
    rng : numpy.random.Generator

    Returns
    -------
    Rehearsal
        Of whole labelled traces, one after the other.
    """
    gain, length = profile.activity.gain, len(labelled.trace)
    missing = profile.noise.minus(labelled.profile.noise.scaled(gain**2))
    share = float(missing.variance.sum()) / max(float(profile.noise.variance.sum()), 1e-30)
    times = 1 if share < LEAST_MISSING else max(round(n_samples / length), 1)
    clean = np.tile((gain * labelled.trace).astype(np.float32), (times, 1))
    spikes = Spikes.concatenate([labelled.spikes.shifted(number * length) for number in range(times)])
    outside = replace(profile.background, rate=share * profile.background.rate)
    unfiltered = missing.unfiltered(context.kernel)
    background, spectrum = _background(outside, context.units.templates, unfiltered, len(clean), rng)
    noise = synthesise_noise(unfiltered.minus(spectrum), len(clean), rng)
    return Rehearsal(clean + background + noise, clean, spikes, length)
