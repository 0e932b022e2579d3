"""Refine the estimates of a recording's noise, firing rates and gain with an explanation of its spikes.

Quiet parts contain undetected spikes, and the undershoot that drift removal leaves near large spikes. Noise
measured there is therefore too strong. The residual of a sampled explanation contains neither.

Deficiencies of a decoder's model bias the number of spikes that it expects. On a rehearsal the bias is the
same, so the rates are right when the decoder expects as many spikes in the rehearsal as in the target.

Where the noise changes, each block is explained in its own. One level for all would take noise of the loud
blocks for spikes, and miss spikes of the quiet ones.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from scipy.stats import hmean

from spikesorter.core.spikes import Spikes
from spikesorter.decoding.pursuit import Explanation, PursuitDecoder, make_between_samples, sample_explanation
from spikesorter.estimation.context import REFINE, Context
from spikesorter.estimation.course import Course, middles_of_blocks, relative_levels
from spikesorter.estimation.profile import Profile, without_hum
from spikesorter.estimation.rehearsal import plant_rehearsal
from spikesorter.estimation.units import Units
from spikesorter.io.samples import centred
from spikesorter.signal.gain import SILENT, Activity
from spikesorter.signal.noise import NoiseSpectrum, estimate_noise_spectrum
from spikesorter.signal.templates import plant

__all__ = ["noise_left", "quick_context", "refine_profile", "with_wander_beside_sizes"]

Trace = npt.NDArray[np.float32]

ROUNDS = 3
SWEEPS = 4
MOST_SAMPLES = 1_500_000
MOST_AT_FIRST, PARTS = 500_000, 8  # before the last round, in so many parts spread over the recording
LARGEST_STEP = 3.0  # factor on a rate in one round
UNSURE = 10.0  # spikes; fewer do not determine a rate
OPEN_SPREAD = 0.1  # SD of amplitudes until the fluctuation of the gain is known
CLEAR_DETECTABILITY, CLEAR_SPIKES = 10.0, 50
ASSUMED_WANDER = 0.03  # if there are not enough clear spikes to measure it
MOST_WANDER = 0.3
MUCH_LEFT = 0.2  # of the units' squared d', lost in what is left, from which on it is more than noise
MAD_ERROR = 2.3  # relative standard error of a variance taken from the MAD, times the root of the count


def _any_gain(_: float) -> bool:
    return True


def refine_profile(
    trace: npt.NDArray[np.generic],
    profile: Profile,
    context: Context,
    *,
    n_jobs: int = 1,
    may_be_gain: Callable[[float], bool] = _any_gain,
) -> Profile:
    """Return the profile with noise, rates and gain measured on a sampled explanation.

    If there are background spikes, the explanation assigns them to labelled units, and the noise is kept.

    Parameters
    ----------
    trace : ndarray, shape (samples, channels)
        Raw, in the recording's own data type.
    profile : Profile
        From `estimate_profile`, with the levels of the noise if they change.
    context : Context
    n_jobs : int
        Number of threads; it does not affect the result.
    may_be_gain : callable
        Returns whether to accept the gain of the clear spikes.

    Returns
    -------
    Profile
    """
    centred_trace = centred(_excerpt(trace, profile), profile.offset)
    whole = without_hum(centred_trace, profile.hum_hz, fs_hz=context.fs_hz)
    quick, levels = quick_context(context), len(profile.course.levels)
    at_first = middles_of_blocks(whole, levels if levels > 1 else PARTS, most=MOST_AT_FIRST)
    for number in range(ROUNDS):
        target = whole if number == ROUNDS - 1 else at_first
        pursuits = [make_between_samples(quick, part) for part in profile.parts()]
        explanation = _explanation(pursuits, target, n_jobs=n_jobs)
        if profile.background == SILENT:
            profile = _with_noise_left(target, explanation, context, profile)
        rehearsal = plant_rehearsal(
            context,
            profile,
            n_samples=len(target),
            gain_jitter=0.0,
            jitter_samples=len(target),
            rng=context.rng(*REFINE, number),
        )
        rehearsed = _explanation(pursuits, rehearsal.trace, n_jobs=n_jobs)
        activity = _with_rates(profile.activity, explanation, rehearsed)
        measured = _with_gain(activity, explanation, pursuits, context.units)
        gain = measured.gain if may_be_gain(measured.gain) else activity.gain
        profile = replace(profile, activity=replace(measured, gain=gain))
    return profile


def noise_left(trace: Trace, profile: Profile, context: Context, *, n_jobs: int = 1) -> NoiseSpectrum | None:
    """Measure what an explanation by templates leaves of the labelled recording, as of a target.

    Parameters
    ----------
    trace : ndarray of float32, shape (samples, channels)
        Labelled recording, without its offset.
    profile : Profile
        Its own.
    context : Context
    n_jobs : int
        Number of threads; it does not affect the result.

    Returns
    -------
    NoiseSpectrum or None
        None if it is hardly more than the noise between spikes, or if background spikes are left too.
    """
    if profile.background != SILENT:
        return None
    whole = without_hum(trace, profile.hum_hz, fs_hz=context.fs_hz)
    part, quick = middles_of_blocks(whole, PARTS, most=MOST_AT_FIRST), quick_context(context)
    own = make_between_samples(quick, profile)
    left = _with_noise_left(part, _explanation([own], part, n_jobs=n_jobs), context, profile)
    again = make_between_samples(quick, left)
    lost = 1 - np.median(_energies([again]) / _energies([own]))
    if lost < MUCH_LEFT:
        return None
    return _with_noise_left(part, _explanation([again], part, n_jobs=n_jobs), context, left).noise


def with_wander_beside_sizes(
    trace: npt.NDArray[np.generic], profile: Profile, context: Context, *, n_jobs: int = 1
) -> Profile:
    """Return the profile with the fluctuation of the gain measured again, beside the course of sizes.

    What was measured before the course was known contains the change of all units.

    Parameters
    ----------
    trace, context, n_jobs
        As for `refine_profile`.
    profile : Profile
        With sizes that change.

    Returns
    -------
    Profile
        Its gain fluctuates by no more than before.
    """
    before = profile.activity
    parts = replace(profile, activity=replace(before, wander=0.0)).parts()
    excerpt = centred(middles_of_blocks(trace, len(parts), most=MOST_AT_FIRST), profile.offset)
    target = without_hum(excerpt, profile.hum_hz, fs_hz=context.fs_hz)
    pursuits = [make_between_samples(quick_context(context), part) for part in parts]
    explanation = _explanation(pursuits, target, n_jobs=n_jobs)
    wander = _with_gain(before, explanation, pursuits, context.units).wander
    return replace(profile, activity=replace(before, wander=min(wander, before.wander)))


def quick_context(context: Context) -> Context:
    """Return the context with settings for a pursuit with few sweeps and a wide prior on amplitudes."""
    settings, pursuit = context.settings, context.settings.pursuit
    least_spread = max(pursuit.least_spread, OPEN_SPREAD)
    pursuit = pursuit.model_copy(update={"sweeps": SWEEPS, "least_spread": least_spread})
    return replace(context, settings=settings.model_copy(update={"pursuit": pursuit}))


def _excerpt(trace: npt.NDArray[np.generic], profile: Profile) -> npt.NDArray[np.generic]:
    """Return the beginning of a trace, or if the noise changes, part of each block."""
    if profile.course.steady:
        return trace[:MOST_SAMPLES]
    return middles_of_blocks(trace, len(profile.course.levels), most=MOST_SAMPLES)


def _explanation(pursuits: list[PursuitDecoder], trace: Trace, *, n_jobs: int) -> Explanation:
    """Sample an explanation of a trace, with a pursuit for each of its blocks."""
    edges = _edges(len(trace), len(pursuits))
    found = [
        sample_explanation(pursuit, trace[start:stop], n_jobs=n_jobs)
        for pursuit, (start, stop) in zip(pursuits, edges, strict=True)
    ]
    if len(found) == 1:
        return found[0]
    shifted = [one.spikes.shifted(start) for one, (start, _) in zip(found, edges, strict=True)]
    return Explanation(
        Spikes.concatenate(shifted),
        np.concatenate([one.amplitudes for one in found]),
        np.sum([one.expected for one in found], axis=0),
    )


def _edges(n_samples: int, blocks: int) -> list[tuple[int, int]]:
    """Return the first and last sample of each block, as the course of a rehearsal has them."""
    return [(start, stop) for start, stop, _ in Course(levels=np.ones(blocks)).level_bounds(n_samples)]


def _energies(pursuits: list[PursuitDecoder]) -> npt.NDArray[np.float64]:
    """Return the energy of each template (much the same at all shifts) in noise of the mean power."""
    energies = [pursuit.bank.energies[:: pursuit.shifts] for pursuit in pursuits]
    return energies[0] if len(energies) == 1 else np.asarray(hmean(energies, axis=0))


def _with_gain(
    activity: Activity, explanation: Explanation, pursuits: list[PursuitDecoder], units: Units
) -> Activity:
    """Correct the gain by the amplitudes of clear spikes, and measure its fluctuation.

    The prior biases a sampled amplitude towards 1, and sampling adds noise. Both are known and corrected for.
    """
    energies = _energies(pursuits)
    precisions = 1 / pursuits[0].spreads ** 2
    centres, excesses, errors = [], [], []
    for k, unit in enumerate(pursuits[0].unit_ids):
        amplitudes = explanation.amplitudes[explanation.spikes.unit == unit].astype(np.float64)
        if np.sqrt(energies[k]) < CLEAR_DETECTABILITY or len(amplitudes) < CLEAR_SPIKES:
            continue
        total = energies[k] + precisions[k]
        unbiased = (amplitudes * total - precisions[k]) / energies[k]
        noise = 1 / energies[k] + total / energies[k] ** 2
        centre = float(np.median(unbiased))
        spread = float(1.4826 * np.median(np.abs(unbiased - centre)))
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


def _with_noise_left(trace: Trace, explanation: Explanation, context: Context, profile: Profile) -> Profile:
    """Return the profile with the noise that an explanation leaves, and the levels of its blocks."""
    templates = context.units.templates.scaled(profile.factors)
    explained = plant(len(trace), explanation.spikes, explanation.amplitudes, templates)
    left = context.conditioned(trace - explained)
    course = profile.course
    if not course.steady:
        blocks = [left[start:stop] for start, stop in _edges(len(left), len(course.levels))]
        course = replace(course, levels=relative_levels(blocks))
        scaled = [part / np.float32(level) for part, level in zip(blocks, course.levels, strict=True)]
        left = np.concatenate(scaled)
    n_fft = context.settings.noise.n_fft
    noise = estimate_noise_spectrum(left, np.ones(len(left), bool), n_fft=n_fft)
    return replace(profile, noise=noise, course=course)


def _with_rates(activity: Activity, target: Explanation, rehearsal: Explanation) -> Activity:
    """Scale the rates by the ratio of expected spikes in target and rehearsal."""
    factors = (target.expected + UNSURE) / (rehearsal.expected + UNSURE)
    factors = np.clip(factors, 1 / LARGEST_STEP, LARGEST_STEP)
    return replace(activity, rates=tuple((np.asarray(activity.rates) * factors).tolist()))
