"""Follow the sizes of units over a target by the amplitudes of their spikes, block after block.

A pursuit with the sizes of the block before explains a block; the amplitudes of its spikes give the block's
own sizes. So a unit is followed from a size that is known, even where its spikes have come to resemble those
of another unit. This needs fixed templates in noise; where waveforms vary, `estimation.size_evidence` is
used.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from spikesorter.decoding.pursuit import Explanation, PursuitDecoder, make_pursuit, sample_explanation
from spikesorter.estimation.context import Context
from spikesorter.estimation.course import Course
from spikesorter.estimation.profile import Profile, without_hum
from spikesorter.io.samples import centred
from spikesorter.sorting.refine import quick_context

__all__ = ["MeasuredSizes", "measure_sizes"]

Trace = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]
ROUNDS, CLOSE = 2, 0.03  # of explaining each block; change of its sizes after which another tells the same
CLEAR_DETECTABILITY, CLEAR_SPIKES = 4.0, 12  # at which the amplitudes of a unit in a block give its size
SMALLEST, LARGEST = 0.2, 3.0
SETTLED = 0.06  # change of a size, half of the least that heights of events are believed
WORTH_FOLLOWING, SURE = 0.1, 5.0  # change of a size, and that many standard errors, beyond which it changes


@dataclass(frozen=True, eq=False)
class MeasuredSizes:
    """Sizes of all units, block by block, as the amplitudes of their spikes give them.

    Parameters
    ----------
    sizes, errors : ndarray of float64, shape (blocks, units)
        Standard errors are infinite where a unit is not clear enough to be measured.
    labelled : ndarray of bool, shape (units,)
        Units that may change; the others stay as they are.
    """

    sizes: Float64Array
    errors: Float64Array
    labelled: npt.NDArray[np.bool_]

    @property
    def changing(self) -> npt.NDArray[np.bool_]:
        """For each unit whether its size differs from 1 somewhere, by enough and beyond chance."""
        away = np.abs(self.sizes - 1)
        beyond = np.any((away > WORTH_FOLLOWING) & (away > SURE * self.errors), axis=0)
        return np.asarray(beyond & self.labelled)

    @property
    def settled(self) -> npt.NDArray[np.bool_]:
        """For each unit whether it is clear in all blocks, and near 1, or in none.

        Sizes that heights of events might give it would not stand up to `checked`.
        """
        near = np.abs(self.sizes - 1) < SETTLED
        clear = np.isfinite(self.errors)
        return np.asarray(np.all(near, axis=0) & (np.all(clear, axis=0) | ~np.any(clear, axis=0)))

    def checked(self, course: Course) -> Course:
        """Return a course without sizes of units that were not measured to change.

        That is so if 1 is as much like the measured sizes as those of the course, as for a unit that is never
        clear.
        """
        given = np.broadcast_to(course.sizes, self.sizes.shape)
        misfit, of_one = (
            np.sum(((self.sizes - assumed) / self.errors) ** 2, axis=0) for assumed in (given, 1.0)
        )
        unchanged = (of_one <= misfit) & ~self.changing
        if np.all(given[:, unchanged] == 1):
            return course
        return _resized(course, np.where(unchanged, 1.0, given))

    def followed(self, course: Course) -> Course:
        """Return a course with the measured sizes of the units that change, and its own of the others."""
        changing = self.changing
        if not changing.any():
            return course
        given = np.broadcast_to(course.sizes, self.sizes.shape)
        return _resized(course, np.where(changing, self.sizes, given))


def measure_sizes(
    raw: npt.NDArray[np.generic], profile: Profile, context: Context, *, blocks: int, n_jobs: int
) -> MeasuredSizes:
    """Measure the sizes of units over a target, from a size of 1 before its first block on.

    Parameters
    ----------
    raw : ndarray, shape (samples, channels)
        The target, in its own data type.
    profile : Profile
        Of the target; the sizes that it states do not matter.
    context : Context
    blocks : int
        Of equal length, in which sizes are measured.
    n_jobs : int
        Number of threads; it does not affect the result.

    Returns
    -------
    MeasuredSizes
    """
    trace = without_hum(centred(raw, profile.offset), profile.hum_hz, fs_hz=context.fs_hz)
    levels = np.broadcast_to(profile.course.levels, blocks)
    latest = _Sizes(np.ones(len(context.units.unit_ids)), np.full(len(context.units.unit_ids), np.inf))
    measured = []
    for block, level in zip(np.array_split(trace, blocks), levels.tolist(), strict=True):
        here = replace(profile, noise=profile.noise.scaled(level**2))
        for _ in range(ROUNDS):
            before = latest.sizes
            latest = _measured(block, latest, here, quick_context(context), n_jobs=n_jobs)
            if np.all(np.abs(latest.sizes - before) < CLOSE):
                break
        measured.append(latest)
    return MeasuredSizes(
        np.stack([one.sizes for one in measured]),
        np.stack([one.errors for one in measured]),
        np.isin(context.units.unit_ids, context.units.known),
    )


@dataclass(frozen=True, eq=False)
class _Sizes:
    """Sizes of all units in one block, with standard errors, infinite where nothing was measured."""

    sizes: Float64Array
    errors: Float64Array


def _resized(course: Course, sizes: Float64Array) -> Course:
    return replace(course, sizes=np.ones((1, 1)) if np.all(sizes == 1) else sizes)


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
