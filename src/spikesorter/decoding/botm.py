"""Linear discriminants on matched filters (BOTM): the linear optimum, as a baseline.

After F. Franke et al. (2015), "Bayes optimal template matching for spike sorting", J. Comput. Neurosci.,
doi 10.1007/s10827-015-0547-7. Overlapping spikes are resolved by subtraction: the most probable spike is
subtracted first, then others are found in the residual.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import expit, logsumexp, softmax

from spikesorter.decoding.base import LEAST_PROBABILITY
from spikesorter.decoding.bench import DecoderKind, untrained
from spikesorter.decoding.candidates import Candidates
from spikesorter.estimation.context import Context
from spikesorter.estimation.profile import Profile
from spikesorter.signal.bank import Bank
from spikesorter.signal.peaks import largest_of_rows, pick_peaks
from spikesorter.signal.spans import Margin

__all__ = ["BotmDecoder", "make_botm"]

Trace = npt.NDArray[np.float32]
ROUNDS = 4  # of subtraction
DISTANCE_SAMPLES = 15  # between two spikes of one round; nearer ones are found in the next round


@dataclass(frozen=True, eq=False)
class BotmDecoder:
    """Linear discriminants with subtraction.

    Parameters
    ----------
    unit_ids : tuple of int
    bank : Bank
    log_odds : ndarray of float64, shape (units,)
        Log odds that a spike starts at a sample, from the firing rates.
    """

    unit_ids: tuple[int, ...]
    bank: Bank
    log_odds: npt.NDArray[np.float64]

    @property
    def grid_samples(self) -> int:
        """Length of a block: one sample, so spans may start anywhere."""
        return 1

    @property
    def margin(self) -> Margin:
        """Margin of the filters."""
        return self.bank.margin

    @property
    def overlap_samples(self) -> int:
        """Samples by which blocks overlap: none."""
        return 0

    @property
    def pick_reach(self) -> int:
        """Samples on either side of a candidate on which it depends, through all rounds of subtraction."""
        return ROUNDS * (int(self.bank.overlaps.shape[1]) // 2 + DISTANCE_SAMPLES)

    def evidence(self, trace: Trace) -> Trace:
        """Return the filters' outputs."""
        return self.bank.apply(trace)

    def curves(self, evidence: Trace) -> Trace:
        """Return the probability of a spike of each unit at each sample, if it were the only spike."""
        probability, unit_probability = _probabilities(self._discriminants(evidence))
        return np.asarray(probability[:, None] * unit_probability, np.float32)

    def variants(self) -> list[BotmDecoder]:
        """Return this decoder alone."""
        return [self]

    def pick(self, evidence: Trace) -> Candidates:
        """Return the candidates: samples at which spikes may start."""
        rest = evidence.copy()
        reach = self.bank.overlaps.shape[1] // 2
        samples_found, logs_found = [], []
        for number in range(ROUNDS):
            logs = self._discriminants(rest)
            best = largest_of_rows(logs)
            least = 0.0 if number < ROUNDS - 1 else float(np.log(LEAST_PROBABILITY))
            samples = pick_peaks(best, threshold=least, distance_samples=DISTANCE_SAMPLES)
            best_unit = logs[samples].argmax(axis=1)
            samples_found.append(samples)
            logs_found.append(logs[samples])
            for sample, k in zip(samples, best_unit, strict=True):
                first, last = max(sample - reach, 0), min(sample + reach + 1, len(rest))
                rest[first:last] -= self.bank.overlaps[k, first - sample + reach : last - sample + reach]
        logs = np.concatenate(logs_found)
        best_unit = logs.argmax(axis=1)
        probability, unit_probability = _probabilities(logs)
        found = Candidates.from_arrays(
            np.concatenate(samples_found),
            np.array(self.unit_ids)[best_unit],
            probability,
            unit_probability[np.arange(len(logs)), best_unit],
        )
        return found.inside(self.pick_reach, len(evidence) - self.pick_reach)

    def _discriminants(self, outputs: Trace) -> Trace:
        """Return the log posterior odds of each unit against no spike, shape (samples, units)."""
        return np.asarray(outputs - 0.5 * self.bank.energies + self.log_odds, np.float32)


def _probabilities(logs: Trace) -> tuple[Trace, Trace]:
    """Return the probability of a spike, and that of each unit given a spike."""
    return np.asarray(expit(logsumexp(logs, axis=1))), np.asarray(softmax(logs, axis=1))


def make_botm(context: Context, profile: Profile) -> BotmDecoder:
    """Return the linear discriminants for recordings of a profile."""
    return BotmDecoder(context.units.unit_ids, context.bank(profile), context.log_odds(profile))


KIND = DecoderKind("botm", BotmDecoder, untrained(make_botm), rank=22, in_auto=True, quickly_judged=True)
"""Entry of the registry of decoders."""
