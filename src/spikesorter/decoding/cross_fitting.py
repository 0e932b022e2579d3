"""Cross-fitting: each part of a rehearsal is judged by what was learnt and tuned on the others.

A rehearsal on the labelled trace holds the same labelled spikes, however often the trace is repeated in
other noise. A decoder that was trained or tuned on a spike does better on it than on others, and would
promise too much.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from spikesorter.core.spikes import Spikes
from spikesorter.decoding.candidates import Candidates

__all__ = ["FOLDS", "Folds"]

FOLDS = 2
PARTS = 12  # of the labelled trace, in alternating folds, so that slow change is in all of them
BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Folds:
    """Assigns each sample of a rehearsal to a fold.

    Parameters
    ----------
    period : int
        Samples after which the same spikes are repeated. Repeated spikes are in the same fold.

    Examples
    --------
    >>> Folds(period=24).of(np.array([0, 1, 2, 4, 24, 26]))
    array([0, 0, 1, 0, 0, 1])
    """

    period: int

    def of(self, samples: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return the fold of each sample, counted from 0."""
        return np.asarray(samples % self.period * PARTS // self.period % FOLDS)

    def mask(self, n_samples: int, fold: int) -> BoolArray:
        """Return which of the first `n_samples` samples are in a fold."""
        return np.asarray(self.of(np.arange(n_samples)) == fold)

    def select(self, events: Candidates | Spikes, fold: int, *, others: bool = False) -> BoolArray:
        """Return which events are in a fold, or in the other folds."""
        return np.asarray((self.of(events.sample) == fold) != others)
