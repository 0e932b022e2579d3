"""Rehearsals: labelled recordings made by the program, as noisy as a target."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from spikesorter.core.spikes import Spikes
from spikesorter.estimation.profile import Profile
from spikesorter.estimation.units import Units, draw_spikes
from spikesorter.signal.gain import BACKGROUND_AMPLITUDES, Background
from spikesorter.signal.noise import NoiseSpectrum, synthesise_noise
from spikesorter.signal.templates import Templates, plant

__all__ = ["Labelled", "Rehearsal", "graft_rehearsal", "plant_rehearsal"]

FloatArray = npt.NDArray[np.float32]
LEAST_SPIKES = 20  # of each neuron in a rehearsal, however rarely it fires
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
    """

    trace: FloatArray
    clean: FloatArray
    spikes: Spikes


@dataclass(frozen=True, eq=False)
class Labelled:
    """The labelled recording itself, less its offset, with its own profile."""

    trace: FloatArray
    spikes: Spikes
    profile: Profile


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
    return Rehearsal(clean + background + gaussian, clean, spikes)


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


def graft_rehearsal(
    labelled: Labelled, profile: Profile, *, kernel: npt.NDArray[np.float64], rng: np.random.Generator
) -> Rehearsal:
    """Lay on the labelled trace, at the target's gain, the noise that it lacks to be like the target.

    Parameters
    ----------
    labelled : Labelled
    profile : Profile
        Of the target.
    kernel : ndarray, shape (taps,)
        The conditioning filter, under which the noise was measured.
    rng : numpy.random.Generator

    Returns
    -------
    Rehearsal
        As long as the labelled recording.
    """
    gain = profile.activity.gain
    missing = profile.noise.minus(labelled.profile.noise.scaled(gain**2)).unfiltered(kernel)
    clean = (gain * labelled.trace).astype(np.float32)
    return Rehearsal(clean + synthesise_noise(missing, len(clean), rng), clean, labelled.spikes)
