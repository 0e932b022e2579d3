"""Leave out candidates that the labels do not decide: those that a labeller's dead time may have hidden.

Many labels come from a detector that finds nothing for a while after an event. A spike found there without a
label is neither right nor wrong. Counted as wrong, it would raise thresholds and lower the forecast.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from spikesorter.core.spikes import Spikes
from spikesorter.decoding.candidates import Candidates

__all__ = ["dead_time", "decided", "in_dead_time"]

LONGEST_MS, NEAR_MS = 3.0, 0.4
LEAST_EXPECTED = 10.0  # pairs of labels that chance would have put into a dead time
LIKELY = 0.5  # probability at which a candidate counts as an event
Int64Array = npt.NDArray[np.int64]


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


def decided(found: Candidates, labels: Spikes, dead_samples: int, *, fs_hz: float) -> Candidates:
    """Return the candidates without those in a dead time that no label confirms.

    Parameters
    ----------
    found : Candidates
        Of all units, also unlabelled ones, whose spikes have a dead time as well.
    labels : Spikes
    dead_samples : int
        From `dead_time`.
    fs_hz : float

    Returns
    -------
    Candidates

    Examples
    --------
    >>> labels = Spikes.from_arrays([100, 500], [1, 1])
    >>> found = Candidates.from_arrays([100, 120, 300, 520], [1, 2, 2, 2], [0.9] * 4, [0.9] * 4)
    >>> decided(found, labels, 30, fs_hz=25_000).sample
    array([100, 300])
    """
    hidden = in_dead_time(found, labels, dead_samples, fs_hz=fs_hz)
    return found.select(~hidden | _labelled(found, labels, round(NEAR_MS * fs_hz / 1000)))


def in_dead_time(
    found: Candidates, labels: Spikes, dead_samples: int, *, fs_hz: float
) -> npt.NDArray[np.bool_]:
    """Return which candidates are in the dead time after a label or a likely spike; see `decided`."""
    near = round(NEAR_MS * fs_hz / 1000)
    if dead_samples <= near:
        return np.zeros(len(found), bool)
    likely = found.sample[found.joint >= LIKELY]
    events = np.sort(np.concatenate([labels.sample, likely]))
    first = np.searchsorted(events, found.sample - dead_samples, "right")  # labels were seen at that interval
    return np.asarray(np.searchsorted(events, found.sample - near, "left") > first)


def _labelled(found: Candidates, labels: Spikes, reach: int) -> npt.NDArray[np.bool_]:
    """Return which candidates have a label of their unit near."""
    labelled = np.zeros(len(found), bool)
    for unit in labels.unit_ids:
        own, there = found.unit == unit, labels.of(unit).sample
        first = np.searchsorted(there, found.sample[own] - reach, "left")
        labelled[own] = np.searchsorted(there, found.sample[own] + reach, "right") > first
    return labelled
