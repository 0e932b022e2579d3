"""Rehearsals: simulated recordings like a target, with known spikes."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from spikesorter.core.spikes import Spikes
from spikesorter.estimation.context import Context
from spikesorter.estimation.labelled import Labelled, labelled_amplitudes, no_events, own_sizes
from spikesorter.estimation.profile import Profile
from spikesorter.estimation.units import Units, draw_spikes
from spikesorter.signal.gain import BACKGROUND_AMPLITUDES, Background
from spikesorter.signal.noise import NoiseSpectrum, synthesise_noise
from spikesorter.signal.templates import Templates, plant

__all__ = ["LARGEST_RATIO", "Rehearsal", "graft_rehearsal", "plant_rehearsal", "with_more_spikes"]

FloatArray = npt.NDArray[np.float32]
LEAST_SPIKES = 20  # of each unit in a rehearsal, however rarely it fires
LEAST_MISSING = 0.1  # of the target's noise; with less to add, repeated traces are nearly the same
MORE_OFTEN = 1.1  # ratio of firing rates beyond which a rehearsal needs more spikes than were labelled
LARGEST_RATIO = 4.0
"""Ratio of the firing rates of target and labelled recording, beyond which it is not believed."""
LEAST_ACTIVITY = 0.1  # of the labelled rate, as a unit that appears silent may still fire


@dataclass(frozen=True, eq=False)
class Rehearsal:
    """A recording with known spikes.

    Parameters
    ----------
    trace : ndarray of float32, shape (samples, channels)
        Like the target's, without offset; not conditioned.
    clean : ndarray of float32, shape (samples, channels)
        The trace without the added noise.
    spikes : Spikes
        All spikes in it.
    period : int
        Samples after which the spikes repeat, in different noise. The trace's length if they do not.
    hiding : ndarray of int64, shape (events,)
        See `Labelled`.
    added_rates : tuple of float
        Spikes per sample of each unit that were planted beside the labelled ones; empty if none were.
    kept_share : float
        Spikes per second relative to the target's. Below 1 if a unit fires more often there than when
        labelled, and spikes of the others were left out.
    """

    trace: FloatArray
    clean: FloatArray
    spikes: Spikes
    period: int
    hiding: npt.NDArray[np.int64] = field(default_factory=no_events)
    added_rates: tuple[float, ...] = ()
    kept_share: float = 1.0

    def first(self, n_samples: int) -> Rehearsal:
        """Return the first part of the rehearsal."""
        return replace(
            self,
            trace=self.trace[:n_samples],
            clean=self.clean[:n_samples],
            spikes=self.spikes.within(0, n_samples),
            period=min(self.period, n_samples),
            hiding=self.hiding[self.hiding < n_samples],
        )


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
        Relative SD of the gain over time, in addition to the profile's, as estimates are not exact.
    jitter_samples : int
        Interval between changes of gain.
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
    gains *= _sizes(profile, units, spikes, n_samples)
    templates, noise = units.templates, profile.noise.unfiltered(context.kernel)
    clean = plant(n_samples, spikes, (amplitudes * gains).astype(np.float32), templates)
    background, spectrum = _background(profile.background, templates, noise, n_samples, rng)
    gaussian = _noise_lacking(profile, spectrum, None, context, n_samples, rng)
    return Rehearsal(clean + background + gaussian, clean, spikes, n_samples)


def _sizes(profile: Profile, units: Units, spikes: Spikes, n_samples: int) -> npt.NDArray[np.float64]:
    """Return the relative size of each spike, by the course of the recording."""
    columns = np.searchsorted(units.unit_ids, spikes.unit)
    return profile.course.sizes_at(spikes.sample, columns, n_samples=n_samples)


def _noise_lacking(
    profile: Profile,
    background: NoiseSpectrum,
    there: NoiseSpectrum | None,
    context: Context,
    n_samples: int,
    rng: np.random.Generator,
) -> FloatArray:
    """Return the noise that a rehearsal lacks: the target's, minus background spikes and what is there."""
    parts = []
    for start, stop, level in profile.course.level_bounds(n_samples):
        wanted = profile.noise.scaled(level**2)
        lacking = (wanted.minus(there) if there else wanted).unfiltered(context.kernel)
        parts.append(synthesise_noise(lacking.minus(background), stop - start, rng))
    return np.concatenate(parts) if len(parts) > 1 else parts[0]


def _background(
    background: Background,
    templates: Templates,
    noise: NoiseSpectrum,
    n_samples: int,
    rng: np.random.Generator,
) -> tuple[FloatArray, NoiseSpectrum]:
    """Return a random trace of background spikes and its spectrum (by Campbell's theorem)."""
    count = rng.poisson(background.rate * n_samples)
    spikes = Spikes.from_arrays(rng.integers(0, n_samples, count), rng.choice(templates.unit_ids, count))
    amplitudes = (background.amplitude * rng.choice(BACKGROUND_AMPLITUDES, count)).astype(np.float32)
    transforms = np.fft.rfft(templates.waveforms, noise.n_fft, axis=1)
    energy = NoiseSpectrum(np.einsum("kfa,kfb->fab", transforms, transforms.conj()) / len(transforms))
    mean_square = background.amplitude**2 * float(np.mean(BACKGROUND_AMPLITUDES**2))
    return plant(n_samples, spikes, amplitudes, templates), energy.scaled(background.rate * mean_square)


def graft_rehearsal(
    labelled: Labelled,
    context: Context,
    profile: Profile,
    *,
    n_samples: int,
    rng: np.random.Generator,
) -> Rehearsal:
    """Scale the labelled trace to the target's gain and add noise to match the target's spectrum.

    Such a rehearsal keeps the real properties of the labelled trace: varying waveforms, unlabelled units,
    noise that is not Gaussian, and errors of the labels.

    Parameters
    ----------
    labelled : Labelled
    context : Context
        With the templates of background spikes, which are added if the target has any.
    profile : Profile
        Of the target.
    n_samples : int
        Approximate length. The labelled trace is repeated as often as fits best, each time in different
        noise. If hardly any noise has to be added, it is used once.
    rng : numpy.random.Generator

    Returns
    -------
    Rehearsal
        One or more whole labelled traces, one after the other.
    """
    gain, length = profile.activity.gain, len(labelled.trace)
    there = labelled.profile.noise.scaled(gain**2)
    missing = profile.noise.minus(there)
    share = float(missing.variance.sum()) / max(float(profile.noise.variance.sum()), 1e-30)
    once = share < LEAST_MISSING and profile.course.steady
    times = 1 if once else max(round(n_samples / length), 1)
    clean = np.tile((gain * labelled.trace).astype(np.float32), (times, 1))
    spikes = Spikes.concatenate([labelled.spikes.shifted(number * length) for number in range(times)])
    hiding = np.concatenate([labelled.hiding + number * length for number in range(times)])
    clean += _resized(labelled, spikes, context, profile, len(clean))
    outside = replace(profile.background, rate=share * profile.background.rate)
    unfiltered = missing.unfiltered(context.kernel)
    background, spectrum = _background(outside, context.units.templates, unfiltered, len(clean), rng)
    noise = _noise_lacking(profile, spectrum, there, context, len(clean), rng)
    return Rehearsal(clean + background + noise, clean, spikes, length, hiding)


def with_more_spikes(
    rehearsal: Rehearsal, context: Context, profile: Profile, rng: np.random.Generator
) -> Rehearsal:
    """Plant spikes of the units that fire more often in the target than in the labelled recording.

    Without them, fewer spikes of a grafted rehearsal would overlap than of the target, and a forecast would
    be too hopeful.

    Parameters
    ----------
    rehearsal : Rehearsal
        Grafted.
    context : Context
    profile : Profile
        Of the target.
    rng : numpy.random.Generator

    Returns
    -------
    Rehearsal
        The same one if no unit fires more often.
    """
    units, n_samples = context.units, len(rehearsal.trace)
    ratios = np.minimum(np.asarray(profile.activity.rates) / np.maximum(units.rates, 1e-30), LARGEST_RATIO)
    more = np.isin(units.unit_ids, units.known) & (ratios > MORE_OFTEN)
    if not more.any():
        return rehearsal
    rates = np.where(more, (ratios - 1) * units.rates, 0.0)
    drawn, amplitudes = draw_spikes(units, tuple(rates.tolist()), n_samples, rng)
    added = np.isin(drawn.unit, np.array(units.unit_ids)[more])
    spikes = drawn.select(added)
    sizes = profile.activity.gain * _sizes(profile, units, spikes, n_samples)
    planted = plant(n_samples, spikes, (amplitudes[added] * sizes).astype(np.float32), units.templates)
    return replace(
        rehearsal,
        trace=rehearsal.trace + planted,
        clean=rehearsal.clean + planted,
        spikes=Spikes.concatenate([rehearsal.spikes, spikes]),
        added_rates=tuple(rates.tolist()),
    )


def _resized(
    labelled: Labelled, spikes: Spikes, context: Context, profile: Profile, n_samples: int
) -> FloatArray | float:
    """Return what to add to a repeated labelled trace so that its units have the target's sizes."""
    if np.all(profile.course.sizes == 1):
        return 0.0
    templates, length = context.units.templates, len(labelled.trace)
    inside, amplitudes = labelled_amplitudes(labelled, context)
    times = n_samples // length
    every = Spikes.concatenate([inside.shifted(number * length) for number in range(times)])
    factors = _sizes(profile, context.units, every, n_samples) / np.tile(own_sizes(inside, amplitudes), times)
    changes = np.any(profile.course.sizes != 1, axis=0)[np.searchsorted(context.units.unit_ids, every.unit)]
    change = np.where(changes, factors - 1, 0.0) * np.tile(amplitudes, times)
    return plant(n_samples, every, (profile.activity.gain * change).astype(np.float32), templates)
