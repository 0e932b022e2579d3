"""Follow the sizes of units over a target by the amplitudes of their spikes, block after block.

A pursuit with the sizes of the block before explains a block; the amplitudes of its spikes give the block's
own sizes. So a unit is followed from a size that is known, even where its spikes have come to resemble those
of another unit. This needs fixed templates in noise; where waveforms vary, `estimation.size_evidence` is
used.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from spikesorter.decoding.pursuit import Explanation, PursuitDecoder, make_pursuit, sample_explanation
from spikesorter.estimation.context import Context
from spikesorter.estimation.course import Course
from spikesorter.estimation.profile import Profile, without_hum
from spikesorter.io.samples import centred
from spikesorter.sorting.refine import quick_context

__all__ = ["follow_sizes"]

logger = logging.getLogger(__name__)
Trace = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]
ROUNDS = 2  # of explaining each block
CLEAR_DETECTABILITY, CLEAR_SPIKES = 4.0, 12  # at which the amplitudes of a unit in a block give its size
SMALLEST, LARGEST = 0.2, 3.0
WORTH_FOLLOWING, SURE = 0.1, 5.0  # change of a size, and that many standard errors, beyond which it changes


@dataclass(frozen=True, eq=False)
class _Sizes:
    """Sizes of all units in one block, with standard errors, infinite where nothing was measured."""

    sizes: Float64Array
    errors: Float64Array


def follow_sizes(
    raw: npt.NDArray[np.generic], profile: Profile, context: Context, *, blocks: int, n_jobs: int
) -> Profile:
    """Return the profile with the sizes of the units that change beyond chance.

    Parameters
    ----------
    raw : ndarray, shape (samples, channels)
        The target, in its own data type.
    profile : Profile
        Of the target.
    context : Context
    blocks : int
        Of equal length, in which sizes are measured.
    n_jobs : int
        Number of threads; it does not affect the result.

    Returns
    -------
    Profile
    """
    trace = without_hum(centred(raw, profile.offset), profile.hum_hz, fs_hz=context.fs_hz)
    levels = np.broadcast_to(profile.course.levels, blocks)
    latest = _Sizes(np.ones(len(context.units.unit_ids)), np.full(len(context.units.unit_ids), np.inf))
    followed = []
    for block, level in zip(np.array_split(trace, blocks), levels.tolist(), strict=True):
        here = replace(profile, noise=profile.noise.scaled(level**2))
        for _ in range(ROUNDS):
            latest = _measured(block, latest, here, quick_context(context), n_jobs=n_jobs)
        followed.append(latest)
    sizes = np.stack([one.sizes for one in followed])
    changing = _changing(sizes, np.stack([one.errors for one in followed])) & _labelled(context)
    if not changing.any():
        return profile
    sizes = np.where(changing, sizes, 1.0)
    for column in np.flatnonzero(changing).tolist():
        logger.info(
            "size of unit %d over the recording: %s",
            context.units.unit_ids[column], np.array2string(sizes[:, column], precision=2),
        )  # fmt: skip
    return replace(profile, course=replace(profile.course, sizes=sizes))


def _measured(block: Trace, latest: _Sizes, profile: Profile, context: Context, *, n_jobs: int) -> _Sizes:
    """Measure a block's sizes with a pursuit that assumes others."""
    pursuit = make_pursuit(context, replace(profile, course=Course(latest.sizes[None])))
    explanation = sample_explanation(pursuit, block, n_jobs=n_jobs)
    sizes, errors = latest.sizes.copy(), np.full(len(latest.sizes), np.inf)
    for k, usual in enumerate(context.units.amplitudes):
        measured = _relative_size(explanation, pursuit, k, float(np.median(usual)))
        if measured is not None:
            factor, error = measured
            sizes[k] = np.clip(latest.sizes[k] * factor, SMALLEST, LARGEST)
            errors[k] = latest.sizes[k] * error
    return _Sizes(sizes, errors)


def _relative_size(
    explanation: Explanation, pursuit: PursuitDecoder, k: int, usual: float
) -> tuple[float, float] | None:
    """Return a unit's size relative to the pursuit's, with its standard error, or None if it is not clear.

    The prior biases a sampled amplitude towards 1, which is known and corrected for.
    """
    energy, precision = float(pursuit.bank.energies[k]), float(1 / pursuit.spreads[k] ** 2)
    amplitudes = explanation.amplitudes[explanation.spikes.unit == pursuit.unit_ids[k]].astype(np.float64)
    if np.sqrt(energy) < CLEAR_DETECTABILITY or len(amplitudes) < CLEAR_SPIKES:
        return None
    unbiased = (amplitudes * (energy + precision) - precision) / energy
    centre = float(np.median(unbiased))
    spread = float(1.4826 * np.median(np.abs(unbiased - centre)))
    return centre / usual, 1.2533 * spread / (usual * np.sqrt(len(amplitudes)))


def _changing(sizes: Float64Array, errors: Float64Array) -> npt.NDArray[np.bool_]:
    """Return for each unit whether its size differs from 1 somewhere, by enough and beyond chance."""
    away = np.abs(sizes - 1)
    return np.asarray(np.any((away > WORTH_FOLLOWING) & (away > SURE * errors), axis=0))


def _labelled(context: Context) -> npt.NDArray[np.bool_]:
    return np.isin(context.units.unit_ids, context.units.known)
