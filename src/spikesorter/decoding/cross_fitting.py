"""Cross-fitting: each part of a rehearsal is decoded by what was learnt and tuned on the others.

A grafted rehearsal repeats the same labelled spikes in different noise. A decoder does better on spikes that
it was trained or tuned on than on others, so its forecast would be too high.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from spikesorter.core.spikes import Spikes
from spikesorter.decoding.candidates import Candidates

__all__ = ["FOLDS", "Folds"]

FOLDS = 2
PARTS = 12  # of the labelled trace, in alternating folds, so that slow changes affect all folds
BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Folds:
    """Assignment of each sample of a rehearsal to a fold.

    Parameters
    ----------
    period : int
        Samples after which the same spikes are repeated. Repeated spikes are in the same fold.
    count : int
        Number of folds; it divides `PARTS`.

    Examples
    --------
    >>> Folds(period=24).of(np.array([0, 1, 2, 4, 24, 26]))
    array([0, 0, 1, 0, 0, 1])
    """

    period: int
    count: int = FOLDS

    def of(self, samples: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return the fold of each sample, counted from 0."""
        return np.asarray(samples % self.period * PARTS // self.period % self.count)

    def mask(self, n_samples: int, fold: int) -> BoolArray:
        """Return which of the samples 0 to `n_samples` - 1 are in a fold."""
        return np.asarray(self.of(np.arange(n_samples)) == fold)

    def select(self, events: Candidates | Spikes, fold: int, *, others: bool = False) -> BoolArray:
        """Return which events are in a fold, or with `others` in any other fold."""
        return np.asarray((self.of(events.sample) == fold) != others)
