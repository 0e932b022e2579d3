"""Pursuit decoder: known templates in known noise, with overlapping spikes resolved jointly."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from spikesorter.core.spikes import Spikes
from spikesorter.decoding.base import LEAST_PROBABILITY
from spikesorter.decoding.bench import DecoderKind, untrained
from spikesorter.decoding.candidates import Candidates, pick_candidates, reach_of_picking
from spikesorter.decoding.gibbs import (
    Plan,
    Priors,
    explain_blocks,
    explain_causally,
    priors_at,
    stack_priors,
)
from spikesorter.decoding.run import compute_in_spans
from spikesorter.decoding.short_sums import sum_over_last
from spikesorter.estimation.context import Context
from spikesorter.estimation.profile import Profile
from spikesorter.signal.bank import Bank, CausalBank
from spikesorter.signal.spans import Margin

__all__ = [
    "LOW_LATENCY_LENGTHS",
    "USUAL_LENGTHS",
    "Explanation",
    "PursuitDecoder",
    "make_between_samples",
    "make_pursuit",
    "sample_explanation",
]

Trace = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Lengths:
    """Lengths in samples: a block, its context before and after, and the largest shift of its ends."""

    block: int
    before: int
    after: int
    leeway: int

    @property
    def plain(self) -> tuple[int, int, int, int]:
        """The lengths in this order, as compiled code takes them."""
        return self.block, self.before, self.after, self.leeway


# Short blocks keep the delay of streams short. Spikes beyond the context hardly matter.
USUAL_LENGTHS = Lengths(block=336, before=128, after=128, leeway=48)
SMOOTHINGS = (0, 1, 2, 4, 8)
LOW_LATENCY_LENGTHS = Lengths(block=24, before=96, after=68, leeway=0)
LOW_LATENCY_SMOOTHINGS = (0, 1)
WINDOWS = (
    16,
    8,
    4,
)  # samples; overlapping spikes share a window in some sweeps and are in different windows in others
PAIR_WINDOW = 14
SETTLING_SWEEPS = 4  # sampled, but not counted
SINGLES, PAIRS = 1, 2
HOT_PAIRS = 2


@dataclass(frozen=True, eq=False)
class Explanation:
    """One explanation of a trace, sampled from the posterior.

    Its residual is noise of the right power. The residual of the most probable explanation is too weak, and
    that of the mean too strong.

    Parameters
    ----------
    spikes : Spikes
    amplitudes : ndarray of float32, shape (spikes,)
        Relative amplitude of each.
    expected : ndarray of float64, shape (units,)
        Posterior mean number of spikes of each unit.
    """

    spikes: Spikes
    amplitudes: Trace
    expected: Float64Array


@dataclass(frozen=True, eq=False)
class PursuitDecoder:
    """Posterior probabilities of spikes by Gibbs sampling, given templates, noise and rates.

    Parameters
    ----------
    unit_ids : tuple of int
    bank : Bank or CausalBank
        A `CausalBank` for low latency.
    log_odds : ndarray of float64, shape (units,)
        Log odds that a spike starts at a sample, from the firing rates.
    spreads : ndarray of float64, shape (units,)
        SD of each unit's relative amplitude.
    sweeps : int
        Number of counted sweeps.
    annealing_factor : float
        Factor between the heats of two annealing steps.
    annealing_detectability : float
        d' of the median unit at which annealing starts.
    seed : int
    lengths : Lengths
        Of the blocks.
    smoothing_samples : int
        Samples on either side over which a spike's probability is summed, as noise spreads it.
    one_unit : bool
        Whether only the most probable unit is kept for a spike.
    shifts : int
        Shifts within a sample at which the bank has each template, those of a unit together; what is found of
        them is added up. `log_odds` and `spreads` are those of units all the same.
    """

    unit_ids: tuple[int, ...]
    bank: Bank | CausalBank
    log_odds: Float64Array
    spreads: Float64Array
    sweeps: int
    annealing_factor: float
    annealing_detectability: float
    seed: int
    lengths: Lengths = USUAL_LENGTHS
    smoothing_samples: int = 0
    one_unit: bool = False
    shifts: int = 1

    @property
    def grid_samples(self) -> int:
        """Length of the blocks."""
        return self.lengths.block

    @property
    def margin(self) -> Margin:
        """Samples around a block on which its evidence depends."""
        return self.bank.margin + Margin(self.lengths.before, self.lengths.after)

    @property
    def overlap_samples(self) -> int:
        """Samples by which the evidence of neighbouring blocks overlaps."""
        return self.lengths.leeway

    @property
    def pick_reach(self) -> int:
        """Samples on either side of a candidate on whose evidence it depends."""
        return reach_of_picking(self.smoothing_samples)

    def evidence(self, trace: Trace) -> Trace:
        """Return the expected number of spikes of each unit that start at each sample.

        Parameters
        ----------
        trace : ndarray of float32, shape (margin.before + blocks * grid_samples + margin.after, channels)

        Returns
        -------
        ndarray of float32, shape (overlap_samples + blocks * grid_samples + overlap_samples, units)
        """
        return self._explained(trace)[0]

    def curves(self, evidence: Trace) -> Trace:
        """Return the evidence itself."""
        return evidence

    def pick(self, evidence: Trace) -> Candidates:
        """Return the candidates: samples at which spikes may start.

        Parameters
        ----------
        evidence : ndarray of float32, shape (pick_reach + samples + pick_reach, units)
        """
        picked = pick_candidates(
            evidence,
            self.unit_ids,
            smoothing_samples=self.smoothing_samples,
            least=LEAST_PROBABILITY,
            one_unit=self.one_unit,
        )
        return picked.inside(self.pick_reach, len(evidence) - self.pick_reach)

    def variants(self) -> list[PursuitDecoder]:
        """Return variants with more or less smoothing.

        Each spike is of one unit. One that may as well be of either of two, reported as both, would score
        better by F1, as one of the reports is right; but for whoever uses them the other is a false spike.
        """
        smoothings = SMOOTHINGS if self.lengths == USUAL_LENGTHS else LOW_LATENCY_SMOOTHINGS
        return [replace(self, smoothing_samples=samples, one_unit=True) for samples in smoothings]

    def explain(self, trace: Trace) -> Trace:
        """Return the evidence followed, in further columns, by one explanation sampled from the posterior.

        Parameters
        ----------
        trace : ndarray of float32
            As for `evidence`.

        Returns
        -------
        ndarray of float32, shape (overlap_samples + blocks * grid_samples + overlap_samples, 2 * units)
            Amplitudes in the second half of the columns, 0 where no spike starts.
        """
        return np.concatenate(self._explained(trace), axis=1)

    def _explained(self, trace: Trace) -> tuple[Trace, Trace]:
        """Return the evidence, and one explanation."""
        lengths = self.lengths.plain
        if isinstance(self.bank, CausalBank):
            white, bank = self.bank.whiten(trace), self.bank
            expected, amplitudes = explain_causally(
                white, bank.shapes, bank.lead, bank.overlaps, self._plan, lengths, self.seed
            )
        else:
            expected, amplitudes = explain_blocks(
                self.bank.apply(trace), self.bank.overlaps[None], self._plan, lengths, lengths[0], self.seed
            )
        return self._of_units(expected), self._of_units(amplitudes)

    def _of_units(self, columns: Trace) -> Trace:
        """Add up the columns of each unit's shifts."""
        if self.shifts == 1:
            return columns
        by_unit = columns.reshape(len(columns), len(self.unit_ids), self.shifts)
        return sum_over_last(by_unit)

    def to_explanation(self, explained: Trace) -> Explanation:
        """Convert the output of `explain` to spikes and amplitudes."""
        units, flat = len(self.unit_ids), explained.ravel()
        there = np.flatnonzero(flat != 0)  # few of all
        samples, columns = np.divmod(there, 2 * units)
        placed, values = columns >= units, flat[there]
        spikes = Spikes.from_arrays(samples[placed], np.array(self.unit_ids)[columns[placed] - units])
        expected = np.bincount(columns[~placed], values[~placed], minlength=units).astype(np.float64)
        return Explanation(spikes, values[placed], expected)

    @cached_property
    def _plan(self) -> Plan:
        """Return the schedule: annealing sweeps, then settling sweeps, then counted sweeps."""
        stages = self._annealing()
        schedule = np.random.default_rng(self.seed)

        def row(stage: int, window: int, most: int) -> tuple[int, int, int, int]:
            return stage, window, int(schedule.integers(window)), most

        hot = []
        for stage in range(len(stages)):
            hot += [row(stage, window, SINGLES) for window in WINDOWS[:2]]
            if stage % HOT_PAIRS == HOT_PAIRS - 1:
                hot.append(row(stage, PAIR_WINDOW, PAIRS))
        kinds = [(window, SINGLES) for window in WINDOWS] + [(PAIR_WINDOW, PAIRS)]
        last = len(stages)
        cold = [row(last, *kinds[i % len(kinds)]) for i in range(SETTLING_SWEEPS + self.sweeps)]
        stacked = stack_priors([*stages, self._priors(1.0)])
        return Plan(stacked, np.array(hot + cold, np.int64), len(hot), SETTLING_SWEEPS)

    def _annealing(self) -> list[Priors]:
        own = float(np.median(np.sqrt(self._energies[-1])))
        start = (self.annealing_detectability / own) ** 2
        if start >= 1:
            return [self._priors(1.0)] * 2
        steps = int(np.ceil(np.log(1 / start) / np.log(self.annealing_factor)))
        heats = np.geomspace(start, 1, steps, endpoint=False)
        return [self._priors(float(heat)) for heat in heats]

    def _priors(self, heat: float) -> Priors:
        samples = self.lengths.before + self.lengths.block + self.lengths.after
        spreads = np.repeat(self.spreads, self.shifts)
        log_odds = np.repeat(self.log_odds - np.log(self.shifts), self.shifts)
        return priors_at(heat, self._energies, spreads, log_odds, samples=samples)

    @property
    def _energies(self) -> Float64Array:
        """Squared d' of each unit, by the number of samples known of a spike, shape (known, units)."""
        return np.atleast_2d(self.bank.energies)


def make_pursuit(context: Context, profile: Profile, *, shifts: int = 1) -> PursuitDecoder:
    """Return the pursuit for recordings of a profile, with each template at some shifts within a sample."""
    settings = context.settings.pursuit
    spreads = np.array([np.std(amplitudes) for amplitudes in context.units.amplitudes])
    fluctuation = np.hypot(settings.least_spread, profile.activity.wander)
    return PursuitDecoder(
        unit_ids=context.units.unit_ids,
        bank=context.bank(profile, shifts=shifts),
        log_odds=context.log_odds(profile),
        spreads=np.hypot(np.hypot(spreads, fluctuation), profile.course.size_spreads),
        sweeps=settings.sweeps,
        annealing_factor=settings.annealing_factor,
        annealing_detectability=settings.annealing_detectability,
        seed=context.settings.seed,
        shifts=shifts,
    )


def make_between_samples(context: Context, profile: Profile) -> PursuitDecoder:
    """Return the pursuit with as many shifts of the templates as matter in a profile's noise."""
    return make_pursuit(context, profile, shifts=context.shifts(profile))


def sample_explanation(pursuit: PursuitDecoder, trace: Trace, *, n_jobs: int) -> Explanation:
    """Sample one explanation of a whole trace from the posterior.

    Parameters
    ----------
    pursuit : PursuitDecoder
    trace : ndarray of float32, shape (samples, channels)
        Without its offset.
    n_jobs : int
        Number of threads; it does not affect the result.

    Returns
    -------
    Explanation
    """
    return pursuit.to_explanation(compute_in_spans(pursuit, pursuit.explain, trace, n_jobs=n_jobs))


KIND = DecoderKind(
    "pursuit",
    PursuitDecoder,
    untrained(make_between_samples),
    rank=20,
    in_auto=True,
    quickly_judged=True,
    preferred=True,
)
"""Entry of the registry of decoders."""
