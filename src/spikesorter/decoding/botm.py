"""Matched filters as linear discriminants: the linear optimum, and the yardstick for every other decoder.

After F. Franke et al. (2015), "Bayes optimal template matching for spike sorting", J. Comput. Neurosci.,
doi 10.1007/s10827-015-0547-7. Overlaps are taken apart by subtraction: the most probable spike first, then
what is left.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import expit, logsumexp, softmax

from spikesorter.decoding.base import LEAST_PROBABILITY
from spikesorter.decoding.candidates import Candidates
from spikesorter.estimation.context import Context
from spikesorter.estimation.profile import Profile
from spikesorter.signal.bank import Bank
from spikesorter.signal.peaks import pick_peaks
from spikesorter.signal.spans import Margin

__all__ = ["BotmDecoder", "make_botm"]

Trace = npt.NDArray[np.float32]
ROUNDS = 4  # of subtraction
DISTANCE_SAMPLES = 15  # of two spikes in one round; nearer ones wait for the next


@dataclass(frozen=True, eq=False)
class BotmDecoder:
    """Linear discriminants with subtraction.

    Parameters
    ----------
    unit_ids : tuple of int
    bank : Bank
    log_odds : ndarray of float64, shape (classes,)
        Of a spike's start at a sample, from the firing rates.
    """

    unit_ids: tuple[int, ...]
    bank: Bank
    log_odds: npt.NDArray[np.float64]

    @property
    def grid_samples(self) -> int:
        """Blocks of one sample: spans may start anywhere."""
        return 1

    @property
    def margin(self) -> Margin:
        """Margin of the filters."""
        return self.bank.margin

    @property
    def overlap_samples(self) -> int:
        """No evidence of a block lies beyond its ends."""
        return 0

    @property
    def pick_reach(self) -> int:
        """How far a spike may depend on others, through all rounds."""
        return ROUNDS * (int(self.bank.overlaps.shape[1]) // 2 + DISTANCE_SAMPLES)

    def evidence(self, trace: Trace) -> Trace:
        """Return the filters' outputs."""
        return self.bank.apply(trace)

    def curves(self, evidence: Trace) -> Trace:
        """Return the probability of a spike of each class at each sample, were it the only one."""
        spike, named = _probabilities(self._discriminants(evidence))
        return np.asarray(spike[:, None] * named, np.float32)

    def variants(self) -> list[BotmDecoder]:
        """Return this decoder: there is one way to read its evidence."""
        return [self]

    def pick(self, evidence: Trace) -> Candidates:
        """Return the places where spikes may be."""
        rest = evidence.copy()
        reach = self.bank.overlaps.shape[1] // 2
        found = []
        for number in range(ROUNDS):
            logs = self._discriminants(rest)
            best = logs.max(axis=1)
            least = 0.0 if number < ROUNDS - 1 else float(np.log(LEAST_PROBABILITY))
            samples = pick_peaks(best, threshold=least, distance_samples=DISTANCE_SAMPLES)
            classes = logs[samples].argmax(axis=1)
            spike, named = _probabilities(logs[samples])
            found.append(
                Candidates.from_arrays(
                    samples, np.array(self.unit_ids)[classes], spike, named[np.arange(len(samples)), classes]
                )
            )
            for sample, k in zip(samples, classes, strict=True):
                first, last = max(sample - reach, 0), min(sample + reach + 1, len(rest))
                rest[first:last] -= self.bank.overlaps[k, first - sample + reach : last - sample + reach]
        return Candidates.concatenate(found).inside(self.pick_reach, len(evidence) - self.pick_reach)

    def _discriminants(self, outputs: Trace) -> Trace:
        """Log posterior odds of each class against no spike, shape (samples, classes)."""
        return np.asarray(outputs - 0.5 * self.bank.energies + self.log_odds, np.float32)


def _probabilities(logs: Trace) -> tuple[Trace, Trace]:
    """Probability that there is a spike, and, if so, of each class."""
    return np.asarray(expit(logsumexp(logs, axis=1))), np.asarray(softmax(logs, axis=1))


def make_botm(context: Context, profile: Profile) -> BotmDecoder:
    """Return the linear discriminants for recordings of a profile."""
    return BotmDecoder(context.units.unit_ids, context.bank(profile), context.log_odds(profile))
