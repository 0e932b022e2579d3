"""The pursuit decoder: known shapes in known noise, overlapping spikes explained jointly."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from spikesorter.decoders.base import LEAST_PROBABILITY
from spikesorter.decoders.gibbs import Priors, Stretch, new_stretch, pairs, priors_at, resolve, singles
from spikesorter.events import Candidates, pick_candidates
from spikesorter.signal.bank import Bank
from spikesorter.signal.spans import Margin
from spikesorter.spikes import Spikes

__all__ = ["Draw", "PursuitDecoder"]

Trace = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]
BLOCK_SAMPLES = 8192  # small enough for the cache, long enough that margins cost little
CONTEXT_SAMPLES = 1024  # on either side of a block: far beyond it, other explanations change nothing
SMOOTHINGS = (0, 1, 2, 4, 8)
WINDOWS = (16, 8, 4)  # samples; overlapping spikes are in one window of some sweep and apart in another
PAIR_WINDOW = 14
RESOLVED_WINDOW, RESOLVED_LEAD, RESOLVED_GAP, RESOLVED_STARTS = 48, 8, 40, 8
RESOLVED_TWICE = 2
SETTLING_SWEEPS = 4  # drawn, but not counted


@dataclass(frozen=True, eq=False)
class Draw:
    """One explanation of a trace, drawn from the posterior.

    Unlike the most probable explanation, or the mean, it leaves noise behind that is neither too small nor
    too large.

    Parameters
    ----------
    spikes : Spikes
    sizes : ndarray of float32, shape (spikes,)
        Relative size of each.
    expected : ndarray of float64, shape (classes,)
        Expected number of spikes of each class, over all draws.
    """

    spikes: Spikes
    sizes: Trace
    expected: Float64Array


@dataclass(frozen=True, eq=False)
class PursuitDecoder:
    """Spikes' posterior probabilities by sampling, given shapes, noise and rates.

    Parameters
    ----------
    labels : tuple of int
    bank : Bank
    log_odds : ndarray of float64, shape (classes,)
        Of a spike's start at a sample, from the firing rates.
    spreads : ndarray of float64, shape (classes,)
        SD of each class's relative size.
    sweeps : int
        Counted sweeps.
    annealing_steps : int
    annealing_detectability : float
        d' of a middling class at which annealing starts.
    seed : int
    smoothing_samples : int
        Where noise blurs a spike's place: how far to either side its probability is gathered.
    one_name : bool
        Whether only the likeliest of several names for one spike is kept.
    """

    labels: tuple[int, ...]
    bank: Bank
    log_odds: Float64Array
    spreads: Float64Array
    sweeps: int
    annealing_steps: int
    annealing_detectability: float
    seed: int
    smoothing_samples: int = 0
    one_name: bool = False

    @property
    def grid_samples(self) -> int:
        """Spans must start where blocks do."""
        return BLOCK_SAMPLES

    @property
    def margin(self) -> Margin:
        """How far from a block's ends the samples lie that decide about it."""
        return self.bank.margin + Margin(CONTEXT_SAMPLES, CONTEXT_SAMPLES)

    def evidence(self, trace: Trace) -> Trace:
        """Return the expected number of spikes of each class that start at each sample.

        Parameters
        ----------
        trace : ndarray of float32, shape (margin.before + samples + margin.after, channels)

        Returns
        -------
        ndarray of float32, shape (samples, classes)
        """
        inner = [curve[CONTEXT_SAMPLES : len(curve) - CONTEXT_SAMPLES] for curve in self._curves(trace)]
        return np.concatenate(inner)

    def candidates(self, trace: Trace) -> Candidates:
        """Return the places where spikes may be; `trace` as for `evidence`."""
        return self._pick(list(self._curves(trace)))

    def readings(self, trace: Trace) -> list[tuple[PursuitDecoder, Candidates]]:
        """Return variants: more or less smoothing, one name a spike or several; and what each finds."""
        curves = list(self._curves(trace))
        variants = [
            replace(self, smoothing_samples=samples, one_name=one_name)
            for samples in SMOOTHINGS
            for one_name in (False, True)
        ]
        return [(variant, variant._pick(curves)) for variant in variants]

    def _pick(self, curves: list[Trace]) -> Candidates:
        """Pick each block's candidates, its context at hand."""
        parts = []
        for number, curve in enumerate(curves):
            picked = pick_candidates(
                curve,
                self.labels,
                smoothing_samples=self.smoothing_samples,
                least=LEAST_PROBABILITY,
                one_name=self.one_name,
            )
            samples = picked.sample - CONTEXT_SAMPLES
            inside = (samples >= 0) & (samples < len(curve) - 2 * CONTEXT_SAMPLES)
            parts.append(picked.select(inside).shifted(number * BLOCK_SAMPLES - CONTEXT_SAMPLES))
        return Candidates.concatenate(parts)

    def _explained(self, trace: Trace) -> Iterator[Stretch]:
        """Explain a trace block by block, each on its own with its context, so that nothing else matters."""
        n_samples = len(trace) - self.margin.before - self.margin.after
        around = self.margin.before + self.margin.after
        stretches = (
            trace[start : min(start + BLOCK_SAMPLES, n_samples) + around]
            for start in range(0, n_samples, BLOCK_SAMPLES)
        )
        with ThreadPoolExecutor(os.cpu_count()) as threads:  # compiled code lets the others run
            yield from threads.map(self._explain, stretches)

    def draw(self, trace: Trace) -> Draw:
        """Draw one explanation of a trace from the posterior.

        Parameters
        ----------
        trace : ndarray of float32, shape (margin.before + samples + margin.after, channels)

        Returns
        -------
        Draw
        """
        parts, sizes, expected = [], [], np.zeros(len(self.labels))
        for number, stretch in enumerate(self._explained(trace)):
            inner = stretch.size[CONTEXT_SAMPLES : len(stretch.size) - CONTEXT_SAMPLES]
            samples, classes = np.nonzero(inner)
            labels = np.array(self.labels)[classes]
            parts.append(Spikes.from_arrays(samples + number * BLOCK_SAMPLES, labels))
            sizes.append(inner[samples, classes])
            counts = stretch.counts[CONTEXT_SAMPLES : len(stretch.size) - CONTEXT_SAMPLES]
            expected += counts.sum(axis=0, dtype=np.float64) / self.sweeps
        return Draw(Spikes.concatenate(parts), np.concatenate(sizes), expected)

    def _curves(self, trace: Trace) -> Iterator[Trace]:
        """Yield each block's expected number of spikes a sample, its context included."""
        for stretch in self._explained(trace):
            yield stretch.counts / np.float32(self.sweeps)

    def _explain(self, trace: Trace) -> Stretch:
        stretch = new_stretch(self.bank.apply(trace), self.bank.overlaps, seed=self.seed)
        schedule = np.random.default_rng(self.seed)

        def offset(window: int) -> int:
            return int(schedule.integers(window))

        for number, priors in enumerate(self._annealing()):
            for window in WINDOWS[:2]:
                singles(stretch, priors, window, offset(window))
            if number % 2:
                pairs(stretch, priors, PAIR_WINDOW, offset(PAIR_WINDOW))
        priors = self._priors(1.0)
        for _ in range(RESOLVED_TWICE):
            resolve(stretch, priors, RESOLVED_WINDOW, RESOLVED_LEAD, RESOLVED_GAP, RESOLVED_STARTS)
        for sweep in range(SETTLING_SWEEPS + self.sweeps):
            if sweep == SETTLING_SWEEPS:
                stretch.counts[:] = 0
            kind = sweep % (len(WINDOWS) + 1)
            if kind == len(WINDOWS):
                pairs(stretch, priors, PAIR_WINDOW, offset(PAIR_WINDOW))
            else:
                singles(stretch, priors, WINDOWS[kind], offset(WINDOWS[kind]))
        return stretch

    def _annealing(self) -> list[Priors]:
        own = float(np.median(np.sqrt(self.bank.energies)))
        start = (self.annealing_detectability / own) ** 2
        if start >= 1:
            return [self._priors(1.0)] * 2
        heats = np.geomspace(start, 1, self.annealing_steps, endpoint=False)
        return [self._priors(float(heat)) for heat in heats]

    def _priors(self, heat: float) -> Priors:
        return priors_at(heat, self.bank.energies, self.spreads, self.log_odds)
