"""Find the sizes of units over a target: those at which the labelled trace is most like the target.

The comparison is that of `estimation.gain_evidence`: heights of matched filter peaks, in sections of the
target, with free firing rates. Sizes at a few times are found by descent, one unit after the other, and
interpolated between. Resizing a unit adds spikes to the rehearsal; as filters are linear, their outputs for
those spikes are computed once for each time.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from spikesorter.core.cores import in_threads
from spikesorter.core.spikes import Spikes
from spikesorter.estimation.context import GAIN
from spikesorter.estimation.course import Course
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


def find_sizes(comparison: GainComparison, profile: Profile, *, blocks: int) -> SizeFit:
    """Find the course at which a grafted rehearsal is most like the target.

    Parameters
    ----------
    comparison : GainComparison
        With the target, in sections.
    profile : Profile
        Of the target, with its noise levels.
    blocks : int
        Of the course.

    Returns
    -------
    SizeFit
        Sizes are 1 where others do not make the rehearsal much more like the target.
    """
    units = comparison.context.units
    search = _Search.of(comparison, profile, blocks)
    sizes, best = np.ones((blocks, len(units.unit_ids))), search.start
    unlike = best.misfit > WELL_FITTED * comparison.bins
    for unit in units.known if unlike else ():
        column = units.unit_ids.index(unit)
        if comparison.filters.detectability[column] < LEAST_DETECTABILITY:
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
    misfit: float


@dataclass(frozen=True, eq=False)
class _Search:
    """Comparison of rehearsals that differ in the sizes of their units."""

    comparison: GainComparison
    gain: float
    spikes: Spikes  # of the rehearsal
    resizable: Spikes  # those wholly inside the labelled trace
    amplitudes: Trace  # of these
    own: Float64Array  # sizes that their units had at the time
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
        inside, once = labelled_amplitudes(labelled, context)
        length = len(labelled.trace)
        times = len(rehearsal.trace) // length
        return cls(
            comparison,
            profile.activity.gain,
            rehearsal.spikes,
            Spikes.concatenate([inside.shifted(number * length) for number in range(times)]),
            np.tile(once, times),
            np.tile(own_sizes(inside, once), times),
            comparison.outputs(rehearsal.trace),
            blocks,
        )

    @property
    def start(self) -> _Point:
        """The rehearsal with labelled sizes."""
        return _Point(np.ones(self.blocks), self.plain, self._misfit(self.plain))

    def descend(self, start: _Point, column: int) -> _Point:
        """Return the best point when the sizes of one unit change, from 1 on.

        Its size in the labelled trace may change as well, and is made steady first. Sizes that change in
        proportion to time are found before a bend: searched for at once, it may be one that noise made.
        """
        outputs = start.outputs + self._steadied(column)
        steady = _Point(np.ones(self.blocks), outputs, self._misfit(outputs))
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
        responses = in_threads(
            partial(self.response, column), [*ramps, *together], n_jobs=self.comparison.n_jobs
        )
        moves = list(zip([*ramps, *together], responses, strict=True))
        return self._stepped(self._stepped(best, moves[:times]), moves)

    def _stepped(self, best: _Point, moves: list[tuple[Float64Array, Trace]]) -> _Point:
        """Return the point from which none of the moves is better, in ever smaller steps."""
        for step in STEPS:
            if step < STEPS[0] and np.all(best.sizes == 1):
                break  # a smaller change would be too small to be believed
            for _ in range(MOST_ROUNDS):
                before = best.misfit
                for ramp, response in moves:
                    best = self._moved(best, ramp, response, step)
                if best.misfit == before:
                    break
        return best

    def _moved(self, best: _Point, ramp: Float64Array, response: Trace, step: float) -> _Point:
        """Return the point a step down or up from the best one, if it is better, or the best one."""
        sizes = {change: best.sizes + change * ramp for change in (-step, step)}
        possible = [change for change, its in sizes.items() if its.min() >= SMALLEST and its.max() <= LARGEST]

        def at(change: float) -> _Point:
            outputs = np.float32(change) * response
            outputs += best.outputs
            return _Point(sizes[change], outputs, self._misfit(outputs))

        points = in_threads(at, possible, n_jobs=self.comparison.n_jobs)
        return next((point for point in points if point.misfit < best.misfit), best)

    def _misfit(self, outputs: Trace) -> float:
        return self.comparison.difference(outputs, self.spikes, self.gain)

    def response(self, column: int, change: Float64Array) -> Trace:
        """Return the change of the filters' outputs when the size of one unit changes, block by block."""
        blocks = np.clip(self.resizable.sample * self.blocks // len(self.plain), 0, self.blocks - 1)
        return self._with_added(column, change[blocks] / self.own)

    def _steadied(self, column: int) -> Trace:
        """Return the change of the filters' outputs when one unit has its usual size all the time."""
        return self._with_added(column, 1 / self.own - 1)

    def _with_added(self, column: int, factors: Float64Array) -> Trace:
        """Return the change of the filters' outputs when spikes of one unit are added, in proportion."""
        n_samples, own = (
            len(self.plain),
            self.resizable.unit == self.comparison.context.units.unit_ids[column],
        )
        spikes = self.resizable.select(own)
        amplitudes = (self.gain * self.amplitudes[own] * factors[own]).astype(np.float32)
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
