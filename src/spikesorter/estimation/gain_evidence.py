"""Choose a target's gain: the one at which the labelled trace is most like the target.

Estimates from cumulants and from the amplitudes of clear spikes assume that all spikes are of labelled units.
Spikes of other units bias them. The labelled trace contains those spikes too. Scaled by the right gain, and
with noise added to match, it has the same distribution of matched filter peaks as the target. As firing rates
may have changed, the numbers of peaks near each unit's labels, and away from all labels, are fitted. Rates
far from the labelled ones are improbable, though: at too large a gain, the peaks of other units pass for
labelled spikes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from spikesorter.core.cores import WHOLE_TRACES, in_threads
from spikesorter.core.spikes import Spikes
from spikesorter.estimation import mixtures
from spikesorter.estimation.context import GAIN, Context
from spikesorter.estimation.course import Course, noise_levels
from spikesorter.estimation.estimate import InitialEstimate
from spikesorter.estimation.events import PartialOutputs, bins_of, counted, edges_of, located, nearest_label
from spikesorter.estimation.labelled import Labelled
from spikesorter.estimation.profile import Profile
from spikesorter.estimation.rehearsal import graft_rehearsal
from spikesorter.signal.matched import MatchedFilters

__all__ = [
    "NEAR_ONE",
    "GainChoice",
    "GainComparison",
    "choose_gain",
    "compare_gains",
]

logger = logging.getLogger(__name__)
Trace = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]
LEVEL_SECONDS = 5.0  # of the target, for one level of its noise
COMPARED_SECONDS = 30.0  # of either trace; longer parts hardly help
STEPS = np.exp(np.linspace(-np.log(2), np.log(2), 9))
FINE_STEP = 0.03
NEAR_BEST = 0.25  # log gain; the misfits of gains this near are interpolated to find the minimum
LOG_GAIN_SD = 0.35  # prior: most gains are within a factor of 1.4, but any is possible
MOST_SURPRISE = 9.0
LOG_NOISE_SD = 0.2  # prior of how far a gain may raise the labelled noise above the target's
MOST_NOISE_SURPRISE = 16.0  # for it may be the spikes' alone
AGAINST_ONE = 6.0  # misfit by which a gain other than 1 has to be better
NEAR_ONE = 0.04
"""Logarithm of a gain, up to which it makes no difference whether the gain is 1."""
COARSE = 40.0  # misfit by which a gain may be better than those that are tried beside it
FAR_WORSE = 400.0  # misfit beyond which gains farther away are not tried
ALIKE = 4.0  # misfits that differ by less are equally good
NEXT_TO_NONE = 0.01  # gain at which no spike stands out of any noise


@dataclass(frozen=True)
class GainChoice:
    """A gain and the reason for it.

    Parameters
    ----------
    gain : float
    sharp : bool
        Whether it is that of the target's clear spikes, which later estimates may refine.
    reason : str
        For the log.
    """

    gain: float
    sharp: bool
    reason: str


@dataclass(frozen=True, eq=False)
class GainComparison:
    """Comparison of a target's matched filter peaks with those of the labelled trace, at any gain.

    Parameters
    ----------
    labelled : Labelled
    context : Context
    profile : Profile
        Of the target.
    filters : MatchedFilters
        For the target's noise.
    evidence : ndarray of float32, shape (samples, units)
        Outputs of `filters` on the target.
    sections : int
        Parts of the target that are compared separately, if it changes.
    n_jobs : int
        Number of threads; it does not affect the result.
    """

    labelled: Labelled
    context: Context
    profile: Profile
    filters: MatchedFilters
    evidence: Trace
    sections: int = 1
    n_jobs: int = 1
    _known: dict[float, float] = field(default_factory=dict)

    def misfit(self, gain: float) -> float:
        """Return the misfit of the labelled trace at a gain to the target (chi-squared plus prior)."""
        key = round(gain, 6)
        if key not in self._known:
            activity = replace(self.profile.activity, gain=gain)
            distance = self.distance(replace(self.profile, activity=activity))
            self._known[key] = distance + self._prior(gain)
        return self._known[key]

    def _prior(self, gain: float) -> float:
        """Return how improbable a gain is before the target is looked at."""
        surprise = min((np.log(abs(gain)) / LOG_GAIN_SD) ** 2, MOST_SURPRISE)
        louder = max(np.log(abs(gain)) - self._noise_room, 0.0)
        return float(surprise + min((louder / LOG_NOISE_SD) ** 2, MOST_NOISE_SURPRISE))

    def best(self, starts: tuple[float, ...]) -> float:
        """Return the gain of least misfit, searching from several starts."""
        tried = [self._around(start) for start in starts]
        least = min(self.misfit(gain) for gains in tried for gain in gains)
        lows = [gain for gains in tried for gain in _lows(gains, self.misfit)]
        close = [gain for gain in lows if self.misfit(gain) <= least + COARSE]
        return min((self._refined(gain) for gain in close), key=self.misfit)

    def _around(self, start: float) -> list[float]:
        """Return the gains around a start, in order, both ways until they fit far worse than the best.

        Beyond, misfits rise or stay as they are, as hardly any event has the right height.
        """
        gains = [start * float(step) for step in STEPS]
        first = last = len(gains) // 2
        least = self.misfit(gains[first])
        while True:
            ends = ((first, first - 1), (last, last + 1))
            bearable = [beyond for end, beyond in ends if self.misfit(gains[end]) <= least + FAR_WORSE]
            further = [i for i in bearable if 0 <= i < len(gains)]
            if not further:
                return gains[first : last + 1]
            misfits = in_threads(self.misfit, [gains[i] for i in further], n_jobs=self.n_jobs)
            least = min(least, *misfits)
            first, last = min(first, *further), max(last, *further)

    def _refined(self, best: float) -> float:
        """Return the gain of least misfit near one that was tried."""
        for factor in (1 + 3 * FINE_STEP, 1 + FINE_STEP):
            near = [best / factor, best, best * factor]
            misfits = list(in_threads(self.misfit, near, n_jobs=self.n_jobs))
            best = near[misfits.index(min(misfits))]
        lowest = self._lowest(best)
        return lowest if self.as_good(lowest, best) else best

    def _lowest(self, best: float) -> float:
        """Return the minimum of a parabola fitted to the misfits around the least one."""
        # In order, as threads may have found them in any, which would change the last digits.
        near = [gain for gain in sorted(self._known) if gain * best > 0 and _apart(gain, best) < NEAR_BEST]
        steps = np.log(np.array(near) / best)
        curvature, slope, _ = np.polyfit(steps, [self._known[gain] for gain in near], 2)
        if curvature <= 0:
            return best
        return best * float(np.exp(np.clip(-slope / (2 * curvature), -2 * FINE_STEP, 2 * FINE_STEP)))

    def as_good(self, gain: float, other: float) -> bool:
        """Return whether one gain fits the target as well as another."""
        return self.misfit(gain) <= self.misfit(other) + ALIKE

    def only_noise(self, best: float) -> bool:
        """Return whether noise without spikes is as much like the target as spikes of the best gain are."""
        none, some = (self.misfit(gain) - self._prior(gain) for gain in (NEXT_TO_NONE, best))
        return none <= some + ALIKE

    def distance(self, profile: Profile) -> float:
        """Return how unlike the target a grafted rehearsal of some profile is (chi-squared)."""
        rehearsal = graft_rehearsal(
            self.labelled,
            self.context,
            profile,
            n_samples=len(self.labelled.trace) if profile.course.steady else len(self.evidence),
            rng=self.context.rng(*GAIN),
        )
        return self.difference(self.outputs(rehearsal.trace), rehearsal.spikes, profile.activity.gain)

    def outputs(self, trace: Trace) -> Trace:
        """Return the outputs of the filters on a trace, shape (samples, units)."""
        return self.filters.apply(self.context.conditioned(trace))

    def difference(self, outputs: Trace | PartialOutputs, spikes: Spikes, gain: float) -> float:
        """Return how unlike the target a rehearsal is (chi-squared).

        Parameters
        ----------
        outputs : ndarray of float32, shape (samples, units), or PartialOutputs
            Of the filters on the rehearsal.
        spikes : Spikes
            Labelled spikes of the rehearsal.
        gain : float
            A negative gain inverts the outputs of both.

        Returns
        -------
        float
        """
        counts = self._counts(outputs, spikes, gain)
        wanted, parts = (np.sum([one[i] for one in counts], axis=0) for i in (0, 1))
        times = len(self.evidence) / len(outputs)
        return sum(mixtures.misfit(*one) for one in counts) + mixtures.surprise(wanted, parts, times)

    @property
    def _noise_room(self) -> float:
        """Logarithm of the gain at which the labelled noise would be as strong as the target's weakest.

        If the target has less noise than that, a gain of 1 is not improbable for it.
        """
        own, its = (max(one.noise.variance.mean(), 1e-30) for one in (self.profile, self.labelled.profile))
        return max(float(np.log(self.profile.course.levels.min()) + np.log(own / its) / 2), 0.0)

    @property
    def bins(self) -> int:
        """Number of bins that are compared: heights of the events of each filter, in each section."""
        edges, _ = self._wanted(self.profile.activity.gain)
        return self.sections * sum(len(edge) - 1 for edge in edges)

    def shares(self, outputs: Trace, spikes: Spikes, gain: float) -> tuple[Float64Array, Float64Array]:
        """Return how many times as often the target has the events of each source of a rehearsal.

        Parameters
        ----------
        outputs, spikes, gain
            As for `difference`.

        Returns
        -------
        shares, errors : ndarray of float64, shape (1 + units,)
            Of events away from all labels, then of each labelled unit's, with standard errors.
        """
        counts = self._counts(outputs, spikes, gain)
        wanted = np.sum([one for one, _ in counts], axis=0)
        return mixtures.shares_with_errors(wanted, np.sum([parts for _, parts in counts], axis=0))

    def _counts(
        self, outputs: Trace | PartialOutputs, spikes: Spikes, gain: float
    ) -> list[tuple[Float64Array, Float64Array]]:
        """Return, for each section, the target's events by height, and the rehearsal's, by source too."""
        edges, wanted = self._wanted(gain)
        at, winner, height = located(outputs, self.context, gain)
        source = nearest_label(at, spikes, self.context)
        bin_of, section_of = bins_of(winner, height, edges), at * self.sections // len(outputs)
        counts = []
        for section, own in enumerate(wanted):
            here = section_of == section
            parts = [counted(bin_of[here & (source == k)], len(own)) for k in (0, *spikes.unit_ids)]
            counts.append((own, np.stack(parts, axis=1)))
        return counts

    def _wanted(self, gain: float) -> tuple[list[Float64Array], list[Float64Array]]:
        """Return bins of height, and for each section the target's events in them."""
        return self._upright if gain > 0 else self._inverted

    @cached_property
    def _upright(self) -> tuple[list[Float64Array], list[Float64Array]]:
        return self._wanted_at(1.0)

    @cached_property
    def _inverted(self) -> tuple[list[Float64Array], list[Float64Array]]:
        return self._wanted_at(-1.0)

    def _wanted_at(self, gain: float) -> tuple[list[Float64Array], list[Float64Array]]:
        at, winner, height = located(self.evidence, self.context, gain)
        edges = edges_of(winner, height, self.evidence.shape[1])
        bin_of, section_of = bins_of(winner, height, edges), at * self.sections // len(self.evidence)
        bins = sum(len(edge) - 1 for edge in edges)
        return edges, [counted(bin_of[section_of == section], bins) for section in range(self.sections)]


def compare_gains(
    initial: InitialEstimate, labelled: Labelled, context: Context, *, n_jobs: int = 1
) -> GainComparison:
    """Prepare the comparison of a target with the labelled trace.

    Parameters
    ----------
    initial : InitialEstimate
        Of the target.
    labelled : Labelled
    context : Context
    n_jobs : int
        Number of threads; it does not affect the result.

    Returns
    -------
    GainComparison
    """
    most = int(COMPARED_SECONDS * context.fs_hz)
    start = max((len(initial.evidence) - most) // 2, 0)
    evidence = initial.evidence[start : start + most]
    # Noise that changes raises the peaks of one part and not of another, which a gain would have to explain.
    blocks = max(int(len(evidence) / (LEVEL_SECONDS * context.fs_hz)), 1)
    course = Course(levels=noise_levels(evidence, blocks))
    return GainComparison(
        labelled=labelled.excerpt(most),
        context=context,
        profile=replace(initial.profile, course=course),
        filters=initial.filters,
        evidence=evidence,
        n_jobs=min(n_jobs, WHOLE_TRACES),
    )


def choose_gain(comparison: GainComparison) -> GainChoice:
    """Choose between a gain of 1, the gain of a target's cumulants and clear spikes, and any other.

    Parameters
    ----------
    comparison : GainComparison

    Returns
    -------
    GainChoice
    """
    estimated = comparison.profile.activity.gain
    starts = (1.0,) if STEPS[0] < estimated < STEPS[-1] else (1.0, estimated)
    best = comparison.best(starts)
    at_one, at_estimate, at_best = (comparison.misfit(gain) for gain in (1.0, estimated, best))
    if at_one <= min(at_estimate, at_best) + AGAINST_ONE:
        choice = GainChoice(1.0, False, "the labelled recording's fits as well")
    elif best < 1 and comparison.only_noise(best):
        choice = GainChoice(1.0, False, "no spikes stand out of the noise, from which a gain could be told")
    elif best > 0 and abs(np.log(best)) < NEAR_ONE:
        choice = GainChoice(1.0, False, f"the best fit, {best:.3g}, hardly differs")
    elif comparison.as_good(estimated, best):
        choice = GainChoice(estimated, True, "of its clear spikes; it fits the labelled trace")
    else:
        choice = GainChoice(
            best, False, f"best fit of the labelled trace; its clear spikes have {estimated:.3g}"
        )
    logger.info(
        "gain %.3g: %s (misfit %.0f; at 1, %.0f; at %.3g, %.0f)",
        choice.gain, choice.reason, comparison.misfit(choice.gain), at_one, estimated, at_estimate,
    )  # fmt: skip
    return choice


def _apart(gain: float, other: float) -> float:
    """Return the distance of the logarithms of two gains of one sign."""
    return abs(float(np.log(gain / other)))


def _lows(gains: list[float], misfit: Callable[[float], float]) -> list[float]:
    """Return the gains of less misfit than the ones beside them.

    Examples
    --------
    >>> _lows([1.0, 2.0, 3.0, 4.0, 5.0], lambda gain: [5, 1, 4, 3, 2][int(gain) - 1])
    [2.0, 5.0]
    """
    around = [np.inf, *(misfit(gain) for gain in gains), np.inf]
    return [gain for i, gain in enumerate(gains) if around[i + 1] <= min(around[i], around[i + 2])]
