"""Track how a target changes: the size of each unit and the level of the noise, block by block."""

from __future__ import annotations

import logging
from dataclasses import replace
from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from spikesorter.core.cores import WHOLE_TRACES
from spikesorter.estimation.context import Context
from spikesorter.estimation.course import Course, middles_of_blocks, noise_levels
from spikesorter.estimation.gain_evidence import GainComparison
from spikesorter.estimation.labelled import Labelled
from spikesorter.estimation.profile import Profile, without_hum
from spikesorter.estimation.size_evidence import WORTH_BELIEVING, SizeFit, find_sizes
from spikesorter.io.samples import centred
from spikesorter.signal.gain import SILENT
from spikesorter.signal.matched import make_matched_filters
from spikesorter.sorting.refine import with_wander_beside_sizes
from spikesorter.sorting.sizes import MeasuredSizes, measure_sizes

__all__ = ["Tracked", "track_changes", "with_noise_levels"]

logger = logging.getLogger(__name__)
Trace = npt.NDArray[np.float32]
MOST_SAMPLES = 1_500_000  # of the target, in parts spread over it
BLOCK_SECONDS, MOST_BLOCKS = 10.0, 24
MOST_SECTIONS = 3  # of the target, whose events are compared with the rehearsal's
LEAST_RATIO = 0.1  # of the rate in the target to the labelled one
RATIO_ERROR, PURSUIT_ERROR = 0.1, 0.7  # of the logs of rates, beyond chance
USUAL_CHANGE = 1.4  # SD of the logs of rates between recordings


class Tracked(NamedTuple):
    """Profile of a target with its course, and how well the labelled trace then fits it.

    Parameters
    ----------
    profile : Profile
    misfit : float
        Chi-squared of the heights of events.
    """

    profile: Profile
    misfit: float


def with_noise_levels(raw: npt.NDArray[np.generic], profile: Profile, context: Context) -> Profile:
    """Return the profile with the level of the noise in each block, if it changes.

    Parameters
    ----------
    raw : ndarray, shape (samples, channels)
        As for `track_changes`.
    profile : Profile
        Of the target.
    context : Context

    Returns
    -------
    Profile
    """
    blocks = _blocks(raw, context)
    conditioned = _conditioned(middles_of_blocks(raw, blocks, most=MOST_SAMPLES), profile, context)
    return replace(profile, course=Course(levels=noise_levels(conditioned, blocks)))


def track_changes(
    raw: npt.NDArray[np.generic], profile: Profile, context: Context, labelled: Labelled, *, n_jobs: int = 1
) -> Tracked:
    """Return the profile with the course of unit sizes and noise, if they change beyond chance.

    Parameters
    ----------
    raw : ndarray, shape (samples, channels)
        The target, or parts spread over it, in its own data type.
    profile : Profile
        Of the target, with the levels of its noise.
    context : Context
    labelled : Labelled
    n_jobs : int
        Number of threads; it does not affect the result.

    Returns
    -------
    Tracked
    """
    blocks = _blocks(raw, context)
    trace = middles_of_blocks(raw, blocks, most=MOST_SAMPLES)
    conditioned = _conditioned(trace, profile, context)
    steady = Course(levels=profile.course.levels)
    templates = context.templates.scaled(abs(profile.activity.gain))  # the comparison inverts the outputs
    filters = make_matched_filters(templates, profile.noise, reach=context.whitening_reach)
    evidence, sections = filters.apply(conditioned), min(blocks, MOST_SECTIONS)
    at_once = min(n_jobs, WHOLE_TRACES)
    comparison = GainComparison(labelled, context, profile, filters, evidence, sections, at_once)
    start = replace(profile, course=steady)
    follows = profile.background == SILENT and not labelled.units_vary(profile)
    fixed = follows and not labelled.units_vary(labelled.profile)

    @cache
    def measured() -> MeasuredSizes:
        return measure_sizes(trace, start, context, blocks=blocks, n_jobs=n_jobs)

    fit = find_sizes(
        comparison, start, blocks=blocks, settled=(lambda: measured().settled) if fixed else None
    )
    rates = _with_ratios(profile, context, labelled, fit)
    changed = replace(profile, course=fit.course, activity=replace(profile.activity, rates=rates))
    if not fit.unlike or not follows:
        return Tracked(changed, fit.misfit)
    if fit.course is steady and not measured().changing.any():
        return Tracked(changed, fit.misfit)
    tracked = _agreed(comparison, changed, measured(), fixed=fixed)
    if tracked.profile.course.sizes.size == 1:
        return tracked
    return tracked._replace(profile=with_wander_beside_sizes(raw, tracked.profile, context, n_jobs=n_jobs))


def _agreed(comparison: GainComparison, changed: Profile, measured: MeasuredSizes, *, fixed: bool) -> Tracked:
    """Return the profile with the sizes on which heights of events and measured amplitudes agree.

    Where the pursuit's model does not hold, as with unlabelled units, amplitudes that it measures are wrong:
    the labelled trace, so resized, must be as much like the target. Only that nothing changes is believed
    without, if waveforms are `fixed` in the labelled recording.
    """

    def tracked(course: Course) -> Tracked:
        profile = replace(changed, course=course)
        return Tracked(profile, comparison.distance(profile))

    best = tracked(changed.course)
    checked = measured.checked(changed.course)
    if checked is not changed.course:
        without = tracked(checked)
        best = without if fixed or without.misfit - best.misfit <= WORTH_BELIEVING else best
    followed = measured.followed(best.profile.course)
    if followed is best.profile.course:
        return best
    other = tracked(followed)
    if best.misfit - other.misfit <= WORTH_BELIEVING:
        return best
    logger.info("sizes over the recording: %s", np.array2string(followed.sizes.T, precision=2))
    return other


def _with_ratios(profile: Profile, context: Context, labelled: Labelled, fit: SizeFit) -> tuple[float, ...]:
    """Return firing rates that agree with the heights of events, which hold where the pursuit's do not.

    The pursuit explains background spikes, and what varying waveforms leave, by further spikes. The rate of a
    unit that neither sees is the labelled one.
    """
    rates = profile.activity.rates
    if profile.background == SILENT and not labelled.units_vary(profile):
        return rates
    logger.info("rates relative to the labelled recording's: %s", np.array2string(fit.ratios, precision=2))
    units, ratios = context.units, dict(zip((0, *fit.unit_ids), fit.ratios.tolist(), strict=True))
    relative_errors = fit.errors / np.maximum(fit.ratios, LEAST_RATIO)
    errors = dict(zip((0, *fit.unit_ids), np.hypot(relative_errors, RATIO_ERROR).tolist(), strict=True))
    combined = []
    for unit, labelled_rate, rate in zip(units.unit_ids, units.rates.tolist(), rates, strict=True):
        source = unit if unit in ratios else 0
        weights = np.array([errors[source] ** -2, PURSUIT_ERROR**-2, USUAL_CHANGE**-2])
        logs = np.log(np.maximum([ratios[source], rate / labelled_rate, 1.0], LEAST_RATIO))
        combined.append(labelled_rate * float(np.exp(np.average(logs, weights=weights))))
    return tuple(combined)


def _blocks(raw: npt.NDArray[np.generic], context: Context) -> int:
    return int(np.clip(len(raw) / (BLOCK_SECONDS * context.fs_hz), 1, MOST_BLOCKS))


def _conditioned(trace: npt.NDArray[np.generic], profile: Profile, context: Context) -> Trace:
    target = without_hum(centred(trace, profile.offset), profile.hum_hz, fs_hz=context.fs_hz)
    return context.conditioned(target)
