"""Find the sizes of units over a target: those at which the labelled trace is most like the target.

The comparison is that of `estimation.gain_evidence`: heights of matched filter peaks, in sections of the
target, with free firing rates. Sizes at a few times are found by descent, one unit after the other, and
interpolated between. Resizing a unit adds spikes to the rehearsal; as filters are linear, their outputs for
those spikes are computed once for each time.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from spikesorter.core.cores import in_threads
from spikesorter.core.spikes import Spikes
from spikesorter.estimation.context import GAIN
from spikesorter.estimation.course import Course
from spikesorter.estimation.events import THRESHOLD, PartialOutputs, heights
from spikesorter.estimation.gain_evidence import GainComparison
from spikesorter.estimation.labelled import labelled_amplitudes, own_sizes
from spikesorter.estimation.profile import Profile
from spikesorter.estimation.rehearsal import graft_rehearsal
from spikesorter.signal.templates import add_copies

__all__ = ["WORTH_BELIEVING", "SizeFit", "find_sizes"]

logger = logging.getLogger(__name__)
Trace = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]
BLOCKS_FOR_A_BEND = 12  # in shorter targets, sizes change in proportion to time
WORTH_A_BEND = 4.0  # misfit by which sizes that do not have to be better than those that do
LEAST_DETECTABILITY = 4.0  # d' of a unit whose size shows in the heights of events
LEAST_CHANGE = 0.12  # of a size; smaller ones are within the spread of amplitudes
STEPS, MOST_ROUNDS = (0.16, 0.08), 8
SMALLEST, LARGEST = 0.2, 3.0
WELL_FITTED = 0.6  # misfit of a bin, on average, at which nothing seems to change and no size is searched for
ROUNDING = 1e-3  # of outputs, in SD of the noise
WORTH_BELIEVING = 15.0  # misfit by which a rehearsal with changed sizes has to be better


@dataclass(frozen=True, eq=False)
class SizeFit:
    """Result of fitting the labelled trace to a target.

    Parameters
    ----------
    course : Course
    unlike : bool
        Whether the labelled trace, with labelled sizes, is unlike the target.
    misfit : float
        Of the labelled trace with the sizes that were found (chi-squared).
    unit_ids : tuple of int
        Labelled units.
    ratios, errors : ndarray of float64, shape (1 + units,)
        Event rates in the target relative to those in the labelled trace, with standard errors: first of
        events away from all labels, then of each unit.
    """

    course: Course
    unlike: bool
    misfit: float
    unit_ids: tuple[int, ...]
    ratios: Float64Array
    errors: Float64Array


def find_sizes(
    comparison: GainComparison,
    profile: Profile,
    *,
    blocks: int,
    settled: Callable[[], npt.NDArray[np.bool_]] | None = None,
) -> SizeFit:
    """Find the course at which a grafted rehearsal is most like the target.

    Parameters
    ----------
    comparison : GainComparison
        With the target, in sections.
    profile : Profile
        Of the target, with its noise levels.
    blocks : int
        Of the course.
    settled : callable, optional
        Returns for each unit whether its size is known to be 1. It is asked only if the labelled trace is
        unlike the target.

    Returns
    -------
    SizeFit
        Sizes are 1 where others do not make the rehearsal much more like the target.
    """
    units = comparison.context.units
    search = _Search.of(comparison, profile, blocks)
    sizes, best = np.ones((blocks, len(units.unit_ids))), search.start
    unlike = best.misfit > WELL_FITTED * comparison.bins
    searched = comparison.filters.detectability >= LEAST_DETECTABILITY
    if unlike and settled is not None:
        searched &= ~settled()
    for unit in units.known if unlike else ():
        column = units.unit_ids.index(unit)
        if not searched[column]:
            continue
        found = search.descend(best, column)
        gained = best.misfit - found.misfit
        if gained > WORTH_BELIEVING and np.abs(found.sizes - 1).max() > LEAST_CHANGE:
            logger.info(
                "size of unit %d over the recording: %s (misfit %.0f instead of %.0f)",
                unit, np.array2string(found.sizes, precision=2), found.misfit, best.misfit,
            )  # fmt: skip
            sizes[:, column], best = found.sizes, found
    course = profile.course if np.all(sizes == 1) else replace(profile.course, sizes=sizes)
    shares, errors = comparison.shares(best.outputs, search.spikes, search.gain)
    scale = len(best.outputs) / len(comparison.evidence)
    return SizeFit(course, unlike, best.misfit, tuple(search.spikes.unit_ids), scale * shares, scale * errors)


class _Point(NamedTuple):
    """Sizes of one unit, the filters' outputs on a rehearsal with them, and its misfit to the target."""

    sizes: Float64Array
    outputs: Trace
    height: Trace  # the largest output at each sample
    misfit: float


class _Move(NamedTuple):
    """A change of sizes, the change of the filters' outputs that comes with it, and the most of that."""

    ramp: Float64Array
    response: Trace
    most: Trace  # of either sign, at each sample


class _Resizable(NamedTuple):
    """Spikes of a rehearsal that lie wholly inside the labelled trace."""

    spikes: Spikes
    amplitudes: Trace
    own: Float64Array  # sizes that their units had at the time


@dataclass(frozen=True, eq=False)
class _Search:
    """Comparison of rehearsals that differ in the sizes of their units."""

    comparison: GainComparison
    gain: float
    spikes: Spikes  # of the rehearsal
    plain: Trace  # outputs of the filters, with labelled sizes
    blocks: int

    @classmethod
    def of(cls, comparison: GainComparison, profile: Profile, blocks: int) -> _Search:
        context, labelled = comparison.context, comparison.labelled
        unchanged = np.ones((blocks, len(context.units.unit_ids)))
        rehearsal = graft_rehearsal(
            labelled,
            context,
            replace(profile, course=replace(profile.course, sizes=unchanged)),
            n_samples=len(comparison.evidence),
            rng=context.rng(*GAIN),
        )
        outputs = comparison.outputs(rehearsal.trace)
        return cls(comparison, profile.activity.gain, rehearsal.spikes, outputs, blocks)

    @cached_property
    def _resizable(self) -> _Resizable:
        labelled = self.comparison.labelled
        inside, once = labelled_amplitudes(labelled, self.comparison.context)
        length = len(labelled.trace)
        times = len(self.plain) // length
        return _Resizable(
            Spikes.concatenate([inside.shifted(number * length) for number in range(times)]),
            np.tile(once, times),
            np.tile(own_sizes(inside, once), times),
        )

    @property
    def start(self) -> _Point:
        """The rehearsal with labelled sizes."""
        return self._point(np.ones(self.blocks), self.plain)

    def _point(self, sizes: Float64Array, outputs: Trace, misfit: float | None = None) -> _Point:
        if misfit is None:
            misfit = self._misfit(outputs)
        return _Point(sizes, outputs, heights(outputs, self.gain), misfit)

    def descend(self, start: _Point, column: int) -> _Point:
        """Return the best point when the sizes of one unit change, from 1 on.

        Its size in the labelled trace may change as well, and is made steady first. Sizes that change in
        proportion to time are found before a bend: searched for at once, it may be one that noise made.
        """
        steady = self._point(np.ones(self.blocks), start.outputs + self._steadied(column))
        straight = self._descended(steady, column, times=min(self.blocks, 2))
        if self.blocks < BLOCKS_FOR_A_BEND:
            return straight
        bent = self._descended(straight, column, times=3)
        return bent if straight.misfit - bent.misfit > WORTH_A_BEND else straight

    def _descended(self, best: _Point, column: int, *, times: int) -> _Point:
        """Return the best point near another, with sizes that may change at a few times.

        Where a change at each time alone is worse, one of all sizes together or a tilt may be better.
        """
        ramps = _ramps(self.blocks, times)
        together = [np.ones(self.blocks), ramps[-1] - ramps[0]] if times > 1 else []
        moves = list(
            in_threads(partial(self._move, column), [*ramps, *together], n_jobs=self.comparison.n_jobs)
        )
        return self._stepped(self._stepped(best, moves[:times]), moves)

    def _stepped(self, best: _Point, moves: list[_Move]) -> _Point:
        """Return the point from which none of the moves is better, in ever smaller steps."""
        for step in STEPS:
            if step < STEPS[0] and np.all(best.sizes == 1):
                break  # a smaller change would be too small to be believed
            for _ in range(MOST_ROUNDS):
                before = best.misfit
                for move in moves:
                    best = self._moved(best, move, step)
                if best.misfit == before:
                    break
        return best

    def _moved(self, best: _Point, move: _Move, step: float) -> _Point:
        """Return the point a step down or up from the best one, if it is better, or the best one.

        Misfits come from the samples at which either step may make an event; the others do not matter.
        """
        sizes = {change: best.sizes + change * move.ramp for change in (-step, step)}
        possible = [change for change, its in sizes.items() if its.min() >= SMALLEST and its.max() <= LARGEST]
        samples = np.flatnonzero(best.height + np.float32(step) * move.most >= THRESHOLD - ROUNDING)
        outputs, response = (np.take(one, samples, axis=0) for one in (best.outputs, move.response))

        def misfit(change: float) -> float:
            changed = _added(outputs, response, change)
            return self._misfit(PartialOutputs(samples, changed, len(best.outputs)))

        misfits = in_threads(misfit, possible, n_jobs=self.comparison.n_jobs)
        for change, its in zip(possible, misfits, strict=True):
            if its < best.misfit:
                return self._point(sizes[change], _added(best.outputs, move.response, change), its)
        return best

    def _misfit(self, outputs: Trace | PartialOutputs) -> float:
        return self.comparison.difference(outputs, self.spikes, self.gain)

    def response(self, column: int, change: Float64Array) -> Trace:
        """Return the change of the filters' outputs when the size of one unit changes, block by block."""
        samples, own = self._resizable.spikes.sample, self._resizable.own
        blocks = np.clip(samples * self.blocks // len(self.plain), 0, self.blocks - 1)
        return self._with_added(column, change[blocks] / own)

    def _move(self, column: int, change: Float64Array) -> _Move:
        response = self.response(column, change)
        return _Move(change, response, np.maximum(heights(response, 1.0), heights(response, -1.0)))

    def _steadied(self, column: int) -> Trace:
        """Return the change of the filters' outputs when one unit has its usual size all the time."""
        return self._with_added(column, 1 / self._resizable.own - 1)

    def _with_added(self, column: int, factors: Float64Array) -> Trace:
        """Return the change of the filters' outputs when spikes of one unit are added, in proportion."""
        every, own_amplitudes, _ = self._resizable
        n_samples, own = len(self.plain), every.unit == self.comparison.context.units.unit_ids[column]
        spikes = every.select(own)
        amplitudes = (self.gain * own_amplitudes[own] * factors[own]).astype(np.float32)
        outputs, first = self.of_one(column)
        changed = np.zeros((n_samples + 2 * len(outputs), outputs.shape[1]), np.float32)
        add_copies(changed, spikes.sample + len(outputs) + first, amplitudes, outputs)
        return changed[len(outputs) : len(outputs) + n_samples]

    def of_one(self, column: int) -> tuple[Trace, int]:
        """Return the filters' outputs on one spike of a unit, and where they begin relative to its start.

        They fade within the reach of the filters; spikes near the ends are not treated otherwise.
        """
        context = self.comparison.context
        templates = context.units.templates
        reach = len(context.kernel) + len(self.comparison.filters.kernels[0])
        alone = np.zeros((2 * reach + templates.waveforms.shape[1], templates.waveforms.shape[2]), np.float32)
        alone[reach : len(alone) - reach] = templates.waveforms[column]
        return self.comparison.outputs(alone), -templates.before - reach


def _added(outputs: Trace, response: Trace, change: float) -> Trace:
    changed = np.float32(change) * response
    changed += outputs
    return changed


def _ramps(blocks: int, times: int) -> list[Float64Array]:
    """Return the functions, one for each time, that interpolate between sizes at a few times.

    Examples
    --------
    >>> np.round(_ramps(5, 2), 2)
    array([[1.  , 0.75, 0.5 , 0.25, 0.  ],
           [0.  , 0.25, 0.5 , 0.75, 1.  ]])
    """
    at = np.linspace(0, 1, times)
    return [np.interp(np.linspace(0, 1, blocks), at, one) for one in np.eye(times)]
