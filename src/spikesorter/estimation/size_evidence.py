"""Find the sizes of units over a target: those at which the labelled trace is most like the target.

The comparison is that of `estimation.gain_evidence`: heights of matched filter peaks, in sections of the
target, with free firing rates. Sizes at a few times are found by descent, one unit after the other, and
interpolated between. Resizing a unit adds spikes to the rehearsal; as filters are linear, their outputs for
those spikes are computed once for each time.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from spikesorter.core.spikes import Spikes
from spikesorter.estimation.context import GAIN
from spikesorter.estimation.course import Course
from spikesorter.estimation.gain_evidence import GainComparison
from spikesorter.estimation.profile import Profile
from spikesorter.estimation.rehearsal import graft_rehearsal, labelled_amplitudes
from spikesorter.signal.templates import plant

__all__ = ["SizeFit", "find_sizes"]

logger = logging.getLogger(__name__)
Trace = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]
BLOCKS_FOR_A_BEND = 12  # in shorter targets, sizes change in proportion to time
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
    unit_ids : tuple of int
        Labelled units.
    ratios, errors : ndarray of float64, shape (1 + units,)
        Event rates in the target relative to those in the labelled trace, with standard errors: first of
        events away from all labels, then of each unit.
    """

    course: Course
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
    sizes, outputs = np.ones((blocks, len(units.unit_ids))), search.plain
    misfit = search.misfit(outputs)
    unlike = misfit > WELL_FITTED * search.bins
    for unit in units.known if unlike else ():
        column = units.unit_ids.index(unit)
        found, its_outputs, its_misfit = search.descend(outputs, misfit, column)
        if its_misfit < misfit - WORTH_BELIEVING and np.abs(found - 1).max() > LEAST_CHANGE:
            logger.info(
                "size of unit %d over the recording: %s (misfit %.0f instead of %.0f)",
                unit, np.array2string(found, precision=2), its_misfit, misfit,
            )  # fmt: skip
            sizes[:, column], outputs, misfit = found, its_outputs, its_misfit
    course = profile.course if np.all(sizes == 1) else replace(profile.course, sizes=sizes)
    shares, errors = comparison.shares(outputs, search.spikes, search.gain)
    scale = len(outputs) / len(comparison.evidence)
    return SizeFit(course, tuple(search.spikes.unit_ids), scale * shares, scale * errors)


@dataclass(frozen=True, eq=False)
class _Search:
    """Comparison of rehearsals that differ in the sizes of their units."""

    comparison: GainComparison
    gain: float
    spikes: Spikes  # of the rehearsal
    resizable: Spikes  # those wholly inside the labelled trace
    amplitudes: Trace  # of these
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
            comparison.outputs(rehearsal.trace),
            blocks,
        )

    @property
    def bins(self) -> int:
        """Number of heights and sections that are compared."""
        return self.comparison.bins

    def misfit(self, outputs: Trace) -> float:
        """Return how unlike the target a rehearsal with these outputs is."""
        return self.comparison.difference(outputs, self.spikes, self.gain)

    def descend(self, outputs: Trace, misfit: float, column: int) -> tuple[Float64Array, Trace, float]:
        """Return the best sizes of one unit, starting from 1, with the outputs and misfit at these."""
        sizes, ramps = np.ones(self.blocks), _ramps(self.blocks)
        responses = [self.response(column, ramp) for ramp in ramps]
        for step in STEPS:
            for _ in range(MOST_ROUNDS):
                before = misfit
                for ramp, response in zip(ramps, responses, strict=True):
                    for change in (-step, step):
                        changed = sizes + change * ramp
                        if changed.min() < SMALLEST or changed.max() > LARGEST:
                            continue
                        its_outputs = outputs + np.float32(change) * response
                        its_misfit = self.misfit(its_outputs)
                        if its_misfit < misfit:
                            sizes, outputs, misfit = changed, its_outputs, its_misfit
                            break
                if misfit == before:
                    break
        return sizes, outputs, misfit

    def response(self, column: int, change: Float64Array) -> Trace:
        """Return the change of the filters' outputs when the size of one unit changes, block by block."""
        context, n_samples = self.comparison.context, len(self.plain)
        own = self.resizable.unit == context.units.unit_ids[column]
        spikes = self.resizable.select(own)
        blocks = np.clip(spikes.sample * self.blocks // n_samples, 0, self.blocks - 1)
        amplitudes = (self.gain * self.amplitudes[own] * change[blocks]).astype(np.float32)
        return self.comparison.outputs(plant(n_samples, spikes, amplitudes, context.units.templates))


def _ramps(blocks: int) -> list[Float64Array]:
    """Return the functions, one for each time, that interpolate between sizes at a few times.

    Examples
    --------
    >>> np.round(_ramps(5), 2)
    array([[1.  , 0.75, 0.5 , 0.25, 0.  ],
           [0.  , 0.25, 0.5 , 0.75, 1.  ]])
    """
    times = min(blocks, 3 if blocks >= BLOCKS_FOR_A_BEND else 2)
    at = np.linspace(0, 1, times)
    return [np.interp(np.linspace(0, 1, blocks), at, one) for one in np.eye(times)]
