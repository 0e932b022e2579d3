"""Cross-fitting: each part of a rehearsal is judged by what was learnt and tuned on the others.

A rehearsal on the labelled trace holds each labelled spike once, however often the trace is repeated in other
noise. What was trained or tuned on a spike knows it by heart and would promise too much of spikes like it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from spikesorter.core.spikes import Spikes
from spikesorter.decoding.candidates import Candidates

__all__ = ["FOLDS", "Folds"]

FOLDS = 2
STRETCHES = 12  # of the labelled trace, in turn of one fold and of another: slow change is in all folds
BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Folds:
    """Which part of a rehearsal each of its samples belongs to.

    Parameters
    ----------
    period : int
        Samples after which the same spikes come again: they belong to the same fold.

    Examples
    --------
    >>> Folds(period=24).of(np.array([0, 1, 2, 4, 24, 26]))
    array([0, 0, 1, 0, 0, 1])
    """

    period: int

    def of(self, samples: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return the fold, from 0 on, of each sample."""
        return np.asarray(samples % self.period * STRETCHES // self.period % FOLDS)

    def mask(self, n_samples: int, fold: int) -> BoolArray:
        """Return which of so many samples, from the first on, are of a fold."""
        return np.asarray(self.of(np.arange(n_samples)) == fold)

    def select(self, events: Candidates | Spikes, fold: int, *, others: bool = False) -> BoolArray:
        """Return which events are of a fold; or which are of the others."""
        return np.asarray((self.of(events.sample) == fold) != others)
