"""Matched filters as linear discriminants: the linear optimum, and the yardstick for every other decoder.

After F. Franke et al. (2015), "Bayes optimal template matching for spike sorting", J. Comput. Neurosci.,
doi 10.1007/s10827-015-0547-7. Overlaps are taken apart by subtraction: the most probable spike first, then
what is left.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from spikesorter.decoders.base import LEAST_PROBABILITY
from spikesorter.events import Candidates, pick_candidates
from spikesorter.signal.bank import Bank
from spikesorter.signal.spans import Margin
from spikesorter.spikes import pairs_within

__all__ = ["BotmDecoder"]

Trace = npt.NDArray[np.float32]
ROUNDS = 3  # of subtraction


@dataclass(frozen=True, eq=False)
class BotmDecoder:
    """Linear discriminants with subtraction.

    Parameters
    ----------
    labels : tuple of int
    bank : Bank
    log_odds : ndarray of float64, shape (classes,)
        Of a spike's start at a sample, from the firing rates.
    """

    labels: tuple[int, ...]
    bank: Bank
    log_odds: npt.NDArray[np.float64]

    @property
    def grid_samples(self) -> int:
        """Spans may start anywhere."""
        return 1

    @property
    def margin(self) -> Margin:
        """Margin of `candidates`."""
        reach = ROUNDS * (self.bank.overlaps.shape[1] // 2)
        return self.bank.margin + Margin(2 * reach, 2 * reach)

    def evidence(self, trace: Trace) -> Trace:
        """Return the probability of a spike of each class at each sample, were it the only one.

        Parameters
        ----------
        trace : ndarray of float32, shape (margin.before + samples + margin.after, channels)

        Returns
        -------
        ndarray of float32, shape (samples, classes)
        """
        inner = slice(self.margin.before - self.bank.margin.before, None)
        outputs = self.bank.apply(trace)[inner]
        return self._probabilities(outputs)[: len(trace) - self.margin.before - self.margin.after]

    def readings(self, trace: Trace) -> list[tuple[BotmDecoder, Candidates]]:
        """Return this decoder with its candidates: there is one way to read them."""
        return [(self, self.candidates(trace))]

    def candidates(self, trace: Trace) -> Candidates:
        """Return the places where spikes may be; `trace` as for `evidence`."""
        rest = self.bank.apply(trace)
        reach = self.bank.overlaps.shape[1] // 2
        found = []
        for _ in range(ROUNDS):
            curves = self._probabilities(rest)
            picked = pick_candidates(curves, self.labels, smoothing_samples=0, least=LEAST_PROBABILITY)
            picked = _strongest(picked, reach // 4)
            found.append(picked)
            sure = picked.select(picked.joint > 0.5)
            for sample, k in zip(sure.sample, np.searchsorted(self.labels, sure.label), strict=True):
                first, last = max(sample - reach, 0), min(sample + reach + 1, len(rest))
                rest[first:last] -= self.bank.overlaps[k, first - sample + reach : last - sample + reach]
        before = self.margin.before - self.bank.margin.before
        n_samples = len(trace) - self.margin.before - self.margin.after
        events = Candidates.concatenate(found)
        inside = (events.sample >= before) & (events.sample < before + n_samples)
        return events.select(inside).shifted(-before)

    def _probabilities(self, outputs: Trace) -> Trace:
        logs = outputs - 0.5 * self.bank.energies + self.log_odds
        best = np.maximum(logs.max(axis=1, keepdims=True), 0)
        odds = np.exp(logs - best)
        return np.asarray(odds / (odds.sum(axis=1, keepdims=True) + np.exp(-best)), np.float32)


def _strongest(candidates: Candidates, reach: int) -> Candidates:
    """Keep those that no more probable one of any class has within reach: subtraction will show the rest."""
    i, j = pairs_within(candidates.sample, candidates.sample, reach)
    joint = candidates.joint
    beaten = (joint[j] > joint[i]) | ((joint[j] == joint[i]) & (j < i))
    keep = np.ones(len(candidates), bool)
    keep[i[beaten]] = False
    return candidates.select(keep)
