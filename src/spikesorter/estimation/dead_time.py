"""Tell a labeller's dead time: many labels come from a detector that finds nothing just after an event."""

from __future__ import annotations

import numpy as np

from spikesorter.core.spikes import Spikes

__all__ = ["dead_time"]

LONGEST_MS = 3.0
LEAST_EXPECTED = 10.0  # pairs of labels that chance would have put into a dead time


def dead_time(labels: Spikes, n_samples: int, *, fs_hz: float) -> int:
    """Return the dead time after labelled spikes, in samples; 0 if they show none.

    It is the least interval between labelled spikes of different units, if far more than none of them would
    be shorter by chance. Within a unit, a refractory period does the same.

    Parameters
    ----------
    labels : Spikes
    n_samples : int
        Length of the labelled recording.
    fs_hz : float

    Returns
    -------
    int

    Examples
    --------
    >>> samples = np.sort(np.random.default_rng(0).integers(0, 1_500_000, 3000))
    >>> labels = Spikes.from_arrays(samples, np.arange(3000) % 3)
    >>> dead_time(labels, 1_500_000, fs_hz=25_000)
    0
    >>> apart = labels.select(np.diff(samples, prepend=-100) > 30)
    >>> dead_time(apart, 1_500_000, fs_hz=25_000)
    31
    """
    intervals, other = np.diff(labels.sample), np.diff(labels.unit) != 0
    if not other.any():
        return 0
    shortest = int(min(intervals[other].min(), LONGEST_MS * fs_hz / 1000))
    rates = np.array(list(labels.counts().values())) / n_samples
    expected = shortest * n_samples * float(rates.sum() ** 2 - (rates**2).sum())
    return shortest if expected > LEAST_EXPECTED else 0
