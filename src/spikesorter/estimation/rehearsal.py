"""Rehearsals: labelled recordings made by the program, as noisy as a target."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy.ndimage import uniform_filter1d

from spikesorter.core.spikes import Spikes
from spikesorter.estimation.profile import Profile
from spikesorter.estimation.units import Units, draw_spikes
from spikesorter.signal.filters import fir_filter
from spikesorter.signal.gain import BACKGROUND_AMPLITUDES, Background
from spikesorter.signal.noise import NoiseSpectrum, synthesise_noise
from spikesorter.signal.templates import Templates, plant, spike_amplitudes

__all__ = ["Labelled", "Rehearsal", "graft_rehearsal", "measure_variance_left", "plant_rehearsal"]

FloatArray = npt.NDArray[np.float32]
LEAST_SPIKES = 20  # of each neuron in a rehearsal, however rarely it fires
LEAST_MISSING = 0.1  # of the target's noise; the same trace in less other noise teaches nothing new
LEAST_ACTIVITY = 0.1  # of the labelled rate: a neuron that seems silent must still be known if it fires


@dataclass(frozen=True, eq=False)
class Rehearsal:
    """A recording with a known answer.

    Parameters
    ----------
    trace : ndarray of float32, shape (samples, channels)
        Like a target's, less its offset: not yet conditioned.
    clean : ndarray of float32, shape (samples, channels)
        The same without the noise that was added.
    spikes : Spikes
        The truth.
    period : int
        Samples after which the same spikes come again, in other noise: what is learnt from one of them is
        known of the others. The length of the trace, if they never do.
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
        Less its offset.
    spikes : Spikes
        Its labels.
    profile : Profile
        Its own.
    variance_left : float
        What the best of each unit's shape leaves beside a spike beyond what is left elsewhere: variance a
        sample, conditioned, mean over the channels. 0: units do not vary.
    """

    trace: FloatArray
    spikes: Spikes
    profile: Profile
    variance_left: float = 0.0

    def varies_beyond(self, profile: Profile) -> float:
        """Return the variance that spikes leave at a target's gain, relative to the target's noise."""
        left = self.variance_left * profile.activity.gain**2
        return left / max(float(profile.noise.variance.mean()), 1e-30)

    def excerpt(self, samples: int) -> Labelled:
        """Return so many samples from its middle; all of it, if it is no longer."""
        if len(self.trace) <= samples:
            return self
        start = (len(self.trace) - samples) // 2
        spikes = self.spikes.within(start, start + samples).shifted(-start)
        return replace(self, trace=self.trace[start : start + samples], spikes=spikes)


def plant_rehearsal(
    units: Units,
    profile: Profile,
    *,
    kernel: npt.NDArray[np.float64],
    n_samples: int,
    gain_jitter: float,
    jitter_samples: int,
    rng: np.random.Generator,
) -> Rehearsal:
    """Plant spikes like the labelled ones in noise like a target's, at its gain and firing rates.

    Parameters
    ----------
    units : Units
    profile : Profile
        Of the target.
    kernel : ndarray, shape (taps,)
        The conditioning filter, under which the noise was measured.
    n_samples : int
    gain_jitter : float
        Relative SD of the gain from stretch to stretch, beside the profile's own: estimates are a little off.
    jitter_samples : int
        Length of such a stretch.
    rng : numpy.random.Generator

    Returns
    -------
    Rehearsal
    """
    least = np.maximum(LEAST_ACTIVITY * units.rates, LEAST_SPIKES / n_samples)
    rates = tuple(np.maximum(profile.activity.rates, least).tolist())
    spikes, amplitudes = draw_spikes(units, rates, n_samples, rng)
    jitter = np.hypot(gain_jitter, profile.activity.wander)
    stretches = 1 + jitter * rng.standard_normal(n_samples // jitter_samples + 1)
    gains = profile.activity.gain * stretches[spikes.sample // jitter_samples]
    templates, noise = units.templates, profile.noise.unfiltered(kernel)
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
    """Draw a trace of distant spikes; return it with its spectrum (by Campbell's theorem)."""
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
    """Measure what fixed shapes, each at its best size, leave beside spikes beyond what is left elsewhere.

    Parameters
    ----------
    trace : ndarray of float32, shape (samples, channels)
        Labelled recording, less its median.
    spikes : Spikes
        All that are known, those of unlabelled units too.
    templates : Templates
        Their shapes.
    kernel : ndarray, shape (taps,)
        The conditioning filter.
    window : tuple of int
        Samples before a spike's start and from it on in which it is looked at.

    Returns
    -------
    float
        Variance a sample, mean over the channels; the median spike's, so that overlooked ones do not count.
    """
    sizes = spike_amplitudes(trace, spikes, templates, kernel=kernel)
    left = fir_filter(trace - plant(len(trace), spikes, sizes, templates), kernel)
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
    templates: Templates,
    profile: Profile,
    *,
    kernel: npt.NDArray[np.float64],
    n_samples: int,
    rng: np.random.Generator,
) -> Rehearsal:
    """Lay on the labelled trace, at the target's gain, the noise that it lacks to be like the target.

    All that is real about the labelled trace is in such a rehearsal: spikes that vary, neurons that nobody
    labelled, noise that is not Gaussian, labels with their faults.

    Parameters
    ----------
    labelled : Labelled
    templates : Templates
        Shapes of the background's spikes, which are part of what is laid over where the target has any.
    profile : Profile
        Of the target.
    kernel : ndarray, shape (taps,)
        The conditioning filter, under which the noise was measured.
    n_samples : int
        Length wanted. The labelled trace comes as often as gives the nearest length, each time in other
        noise; once only, where it lacks next to none.
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
    unfiltered = missing.unfiltered(kernel)
    background, spectrum = _background(outside, templates, unfiltered, len(clean), rng)
    noise = synthesise_noise(unfiltered.minus(spectrum), len(clean), rng)
    return Rehearsal(clean + background + noise, clean, spikes, length)
