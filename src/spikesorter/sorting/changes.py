"""Track how a target changes: the size of each unit and the level of the noise, block by block."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from spikesorter.estimation.context import Context
from spikesorter.estimation.course import STEADY, Course
from spikesorter.estimation.gain_evidence import GainComparison
from spikesorter.estimation.profile import Profile, without_hum
from spikesorter.estimation.rehearsal import Labelled
from spikesorter.estimation.size_evidence import find_sizes
from spikesorter.io.samples import centred
from spikesorter.signal.filters import noise_scale
from spikesorter.signal.matched import make_matched_filters

__all__ = ["track_changes"]

Trace = npt.NDArray[np.float32]
MOST_SAMPLES = 1_500_000  # of the target, in parts spread over it
BLOCK_SECONDS, MOST_BLOCKS = 10.0, 24
MOST_SECTIONS = 3  # of the target, whose events are compared with the rehearsal's
LEAST_LEVEL_RATIO = 1.25  # of the noise in two blocks


def track_changes(
    raw: npt.NDArray[np.generic], profile: Profile, context: Context, labelled: Labelled
) -> Profile:
    """Return the profile with the course of unit sizes and noise, if they change beyond chance.

    Parameters
    ----------
    raw : ndarray, shape (samples, channels)
        The target, or parts spread over it, in its own data type.
    profile : Profile
        Of the target.
    context : Context
    labelled : Labelled

    Returns
    -------
    Profile
    """
    blocks = int(np.clip(len(raw) / (BLOCK_SECONDS * context.fs_hz), 1, MOST_BLOCKS))
    trace = _parts(raw, blocks)
    target = without_hum(centred(trace, profile.offset), profile.hum_hz, fs_hz=context.fs_hz)
    conditioned = context.conditioned(target)
    steady = Course(levels=_noise_levels(conditioned, blocks))
    templates = context.templates.scaled(profile.activity.gain)
    filters = make_matched_filters(templates, profile.noise, reach=context.whitening_reach)
    evidence, sections = filters.apply(conditioned), min(blocks, MOST_SECTIONS)
    comparison = GainComparison(labelled, context, profile, filters, evidence, sections)
    return replace(profile, course=find_sizes(comparison, replace(profile, course=steady), blocks=blocks))


def _parts(raw: npt.NDArray[np.generic], blocks: int) -> npt.NDArray[np.generic]:
    """Return the middle of each block, so that no more than `MOST_SAMPLES` remain."""
    if len(raw) <= MOST_SAMPLES:
        return raw
    length = MOST_SAMPLES // blocks
    starts = (np.arange(blocks) + 0.5) * (len(raw) / blocks) - length / 2
    return np.concatenate([raw[int(start) : int(start) + length] for start in starts])


def _noise_levels(conditioned: Trace, blocks: int) -> npt.NDArray[np.float64]:
    """Return the level of the noise in each block, or a single 1 if it hardly changes."""
    scales = [noise_scale(part).astype(np.float64).mean() for part in np.array_split(conditioned, blocks)]
    levels = np.array(scales) / max(float(np.sqrt(np.mean(np.square(scales)))), 1e-30)
    return levels if levels.max() > LEAST_LEVEL_RATIO * levels.min() else STEADY.levels
