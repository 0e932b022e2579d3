"""Measuring a recording's noise, firing rates and gain anew, once its spikes can be explained.

Stretches that seem quiet hold spikes that were overlooked, and the shadows that drift removal casts beside
large ones; noise measured there is too strong. What is left when a likely set of spikes is taken out has
neither.

How many spikes of a class a decoder expects is biased by whatever its model lacks; on a rehearsal it is
biased alike. So the rates are right when the decoder expects as many in the rehearsal as in the target.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from spikesorter.core.settings import Settings
from spikesorter.decoding.pursuit import Explanation, PursuitDecoder, make_pursuit
from spikesorter.decoding.run import sample_explanation
from spikesorter.estimation.context import Context
from spikesorter.estimation.profile import Profile, conditioning_kernel, without_hum
from spikesorter.estimation.rehearsal import plant_rehearsal
from spikesorter.estimation.units import Units
from spikesorter.io.samples import centred
from spikesorter.signal.filters import fir_filter
from spikesorter.signal.gain import SILENT, Activity
from spikesorter.signal.noise import NoiseSpectrum, estimate_noise_spectrum
from spikesorter.signal.templates import plant

__all__ = ["refine_profile"]

Trace = npt.NDArray[np.float32]

ROUNDS = 3
SWEEPS = 4
MOST_SAMPLES = 1_500_000
LARGEST_STEP = 3.0  # factor on a rate in one round
UNSURE = 10.0  # spikes; fewer say little about a rate
OPEN_SPREAD = 0.1  # of sizes, while it is not known how much they wander
CLEAR_DETECTABILITY, CLEAR_SPIKES = 10.0, 50
ASSUMED_WANDER = 0.03  # where no spike is clear enough to measure it
MOST_WANDER = 0.3
MAD_ERROR = 2.3  # relative standard error of a variance taken from the MAD, times the root of the count
REFINING = 3  # a stream of random numbers of its own


def _anything(_: float) -> bool:
    """Believe any gain."""
    return True


def refine_profile(
    trace: npt.NDArray[np.generic],
    profile: Profile,
    units: Units,
    settings: Settings,
    *,
    fs_hz: float,
    n_jobs: int = 1,
    may_be_gain: Callable[[float], bool] = _anything,
) -> Profile:
    """Return the profile with noise, rates and gain measured on what the known neurons explain.

    Where there is background, the known neurons would be made to explain it: the noise stays as it is.

    Parameters
    ----------
    trace : ndarray, shape (samples, channels)
        Raw, in the recording's own data type.
    profile : Profile
        From `estimate_profile`.
    units : Units
    settings : Settings
    fs_hz : float
    n_jobs : int
        Threads; they change no result.
    may_be_gain : callable
        Says of a gain that clear spikes have whether it is to be believed.

    Returns
    -------
    Profile
    """
    known = without_hum(centred(trace[:MOST_SAMPLES], profile.offset), profile.hum_hz, fs_hz=fs_hz)
    kernel = conditioning_kernel(settings.conditioning, fs_hz)
    quick = settings.model_copy(
        update={
            "pursuit": settings.pursuit.model_copy(
                update={"sweeps": SWEEPS, "least_spread": max(settings.pursuit.least_spread, OPEN_SPREAD)}
            )
        }
    )
    for number in range(ROUNDS):
        pursuit = make_pursuit(Context.of(units, quick, fs_hz=fs_hz), profile)
        explanation = sample_explanation(pursuit, known, n_jobs=n_jobs)
        if profile.background == SILENT:
            noise = _noise_left(known, explanation, units, profile, settings, kernel)
            profile = replace(profile, noise=noise)
        rehearsal = plant_rehearsal(
            units,
            profile,
            kernel=kernel,
            n_samples=len(known),
            gain_jitter=0.0,
            jitter_samples=len(known),
            rng=np.random.default_rng([settings.seed, REFINING, number]),
        )
        activity = _rates_alike(
            profile.activity, explanation, sample_explanation(pursuit, rehearsal.trace, n_jobs=n_jobs)
        )
        sized = _sized_alike(activity, explanation, pursuit, units)
        gain = sized.gain if may_be_gain(sized.gain) else activity.gain
        profile = replace(profile, activity=replace(sized, gain=gain))
    return profile


def _sized_alike(
    activity: Activity, explanation: Explanation, pursuit: PursuitDecoder, units: Units
) -> Activity:
    """Correct the gain by the sizes of clear spikes, and say how much more they spread than labelled ones.

    A drawn size is drawn towards 1 by its prior and has the posterior's noise; both are known and undone.
    """
    energies, precisions = pursuit.bank.energies, 1 / pursuit.spreads**2
    centres, excesses, errors = [], [], []
    for k, unit in enumerate(pursuit.unit_ids):
        amplitudes = explanation.amplitudes[explanation.spikes.unit == unit].astype(np.float64)
        if np.sqrt(energies[k]) < CLEAR_DETECTABILITY or len(amplitudes) < CLEAR_SPIKES:
            continue
        total = energies[k] + precisions[k]
        seen = (amplitudes * total - precisions[k]) / energies[k]
        noise = 1 / energies[k] + total / energies[k] ** 2
        centre = float(np.median(seen))
        spread = float(1.4826 * np.median(np.abs(seen - centre)))
        centres.append(centre / float(np.median(units.amplitudes[k])))
        excesses.append(spread**2 - noise - float(np.var(units.amplitudes[k])))
        errors.append(MAD_ERROR * spread**2 / np.sqrt(len(amplitudes)))
    if not errors:
        return replace(activity, wander=ASSUMED_WANDER)
    weights = 1 / np.square(errors)
    excess = float(np.average(excesses, weights=weights) - 1 / np.sqrt(weights.sum()))
    return replace(
        activity,
        gain=activity.gain * float(np.average(centres, weights=weights)),
        wander=min(float(np.sqrt(max(excess, 0.0))), MOST_WANDER),
    )


def _noise_left(
    known: Trace,
    explanation: Explanation,
    units: Units,
    profile: Profile,
    settings: Settings,
    kernel: npt.NDArray[np.float64],
) -> NoiseSpectrum:
    templates = units.templates.scaled(profile.activity.gain)
    left = fir_filter(
        known - plant(len(known), explanation.spikes, explanation.amplitudes, templates), kernel
    )
    return estimate_noise_spectrum(left, np.ones(len(left), bool), n_fft=settings.noise.n_fft)


def _rates_alike(activity: Activity, target: Explanation, rehearsal: Explanation) -> Activity:
    """Scale the rates by how many more spikes the target seems to hold than its rehearsal."""
    factors = (target.expected + UNSURE) / (rehearsal.expected + UNSURE)
    factors = np.clip(factors, 1 / LARGEST_STEP, LARGEST_STEP)
    return replace(activity, rates=tuple((np.asarray(activity.rates) * factors).tolist()))
