"""Estimate a target's profile: gain, rates, noise, and how they change over the recording."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from spikesorter.estimation.context import Context
from spikesorter.estimation.estimate import InitialEstimate, estimate_profile, with_gain
from spikesorter.estimation.gain_evidence import NEAR_ONE, choose_gain, compare_gains
from spikesorter.estimation.labelled import Labelled
from spikesorter.estimation.profile import Profile
from spikesorter.estimation.size_evidence import WORTH_BELIEVING
from spikesorter.signal.gain import SILENT
from spikesorter.sorting.changes import Tracked, track_changes, with_noise_levels
from spikesorter.sorting.refine import refine_profile
from spikesorter.sorting.state import Lessons

__all__ = ["estimate_target"]

logger = logging.getLogger(__name__)
ALMOST_ONE = 1.25  # a gain as near to 1 may be that of some units only


def estimate_target(
    raw: npt.NDArray[Any], initial: InitialEstimate, lessons: Lessons, *, n_jobs: int
) -> Profile:
    """Estimate a target's profile, and its gain from the labelled trace if that was kept.

    Parameters
    ----------
    raw : ndarray, shape (samples, channels)
        The target without its bad stretches.
    initial : InitialEstimate
        Of the same.
    lessons : Lessons
    n_jobs : int
        Number of threads; it does not affect the result.

    Returns
    -------
    Profile
    """
    context = lessons.context
    if lessons.labelled is None:
        return refine_profile(raw, estimate_profile(initial, context), context, n_jobs=n_jobs)
    comparison = compare_gains(initial, lessons.labelled, context, n_jobs=n_jobs)
    choice = choose_gain(comparison)
    # Varying waveforms widen the distribution of a filter's outputs, as a larger gain does.
    varies = lessons.labelled.units_vary(lessons.labelled.profile)
    profile = estimate_profile(with_gain(initial, choice.gain, context), context, gain_known=varies)
    sharp = choice.sharp and profile.background == SILENT

    def may_be(gain: float) -> bool:
        return sharp and comparison.as_good(gain, choice.gain)

    tracked = _tracked(raw, profile, context, lessons.labelled, n_jobs=n_jobs, may_be_gain=may_be)
    if profile.activity.gain == choice.gain:  # else spikes and background explain the target at this gain
        tracked = _or_at_one(tracked, raw, initial, lessons, n_jobs=n_jobs)
    return _with_noise_between_spikes(tracked.profile, lessons.labelled)


def _with_noise_between_spikes(profile: Profile, labelled: Labelled) -> Profile:
    """Return the profile with the noise between spikes; beside background spikes that is measured already."""
    if profile.background != SILENT:
        return profile
    return replace(profile, noise=labelled.between_spikes(profile.noise, profile.activity.gain))


def _tracked(
    raw: npt.NDArray[Any],
    profile: Profile,
    context: Context,
    labelled: Labelled,
    *,
    n_jobs: int,
    may_be_gain: Callable[[float], bool],
) -> Tracked:
    """Refine a profile, block by block if the noise changes, and track how units change.

    Where waveforms vary, an explanation by fixed templates leaves more than noise, so the levels of blocks
    are those of the trace.
    """
    levelled = with_noise_levels(raw, profile, context)
    varies = labelled.units_vary(profile)
    start = profile if varies else levelled
    refined = refine_profile(raw, start, context, n_jobs=n_jobs, may_be_gain=may_be_gain)
    if varies:
        refined = replace(refined, course=levelled.course)
    return track_changes(raw, refined, context, labelled, n_jobs=n_jobs)


def _or_at_one(
    tracked: Tracked, raw: npt.NDArray[Any], initial: InitialEstimate, lessons: Lessons, *, n_jobs: int
) -> Tracked:
    """Return what was tracked, or at a gain of 1 units of other sizes that explain the target as well.

    If some units grow and others fade, the gain of the larger ones fits, without the others' spikes.
    """
    gain, context = tracked.profile.activity.gain, lessons.context
    away = abs(np.log(gain)) if gain > 0 else np.inf
    if lessons.labelled is None or not NEAR_ONE < away < np.log(ALMOST_ONE):
        return tracked
    profile = _profile_at(1.0, initial, context)
    other = _tracked(raw, profile, context, lessons.labelled, n_jobs=n_jobs, may_be_gain=lambda _: False)
    units = context.units
    every = np.broadcast_to(
        other.profile.course.sizes, (len(other.profile.course.sizes), len(units.unit_ids))
    )
    sizes = every[:, np.isin(units.unit_ids, units.known)]
    all_alike = float(np.log(sizes).mean() / np.log(gain)) > 0.5  # that is a gain
    if all_alike or other.misfit > tracked.misfit + WORTH_BELIEVING:
        return tracked
    logger.info("gain 1, not %.3g: units of other sizes explain the target as well", gain)
    return other


def _profile_at(gain: float, initial: InitialEstimate, context: Context) -> Profile:
    return estimate_profile(with_gain(initial, gain, context), context, gain_known=True)
