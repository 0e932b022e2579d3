"""Leave out candidates that the labels do not decide: those that a labeller's dead time may have hidden.

Many labels come from a detector that finds nothing for a while after an event. A spike found there without a
label is neither right nor wrong. Counted as wrong, it would raise thresholds and lower the forecast. The
event may also be of a neuron that has no labels.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from spikesorter.core.spikes import Spikes
from spikesorter.decoding.candidates import Candidates
from spikesorter.signal.peaks import largest_of_rows, pick_peaks

__all__ = ["after_hiding", "decided", "hiding_events", "in_dead_time"]

NEAR_MS = 0.4
LIKELY = 0.5  # probability at which a candidate counts as an event
LONGEST_RISE_MS = 1.5  # from a spike's start to its largest sample
SMALL = 0.02  # quantile of the labelled spikes' heights
THRESHOLDS = (0.4, 0.5, 0.6, 0.7, 0.85, 1.0, 1.15, 1.3, 1.6)  # of that height; those that are tried
FEWER = 0.5  # labels after events that hide spikes, relative to the number that chance would put there
CLEARLY_FEWER = 3.0  # standard errors
Int64Array = npt.NDArray[np.int64]


def decided(found: Candidates, labels: Spikes, dead_samples: int, *, fs_hz: float) -> Candidates:
    """Return the candidates without those in a dead time that no label confirms.

    Parameters
    ----------
    found : Candidates
        Of all units, also unlabelled ones, whose spikes have a dead time as well.
    labels : Spikes
    dead_samples : int
        From `estimation.labelled.dead_time`.
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
    return _soon_after(found.sample, np.sort(np.concatenate([labels.sample, likely])), near, dead_samples)


def hiding_events(
    trace: npt.NDArray[np.float32], labels: Spikes, dead_samples: int, *, fs_hz: float
) -> Int64Array:
    """Return events without a label after which the labeller's detector found nothing.

    They are of neurons without labels, or spikes whose label is missing. The detector had a threshold, which
    is unknown. Of several the one is taken above which the dead time after events without a label holds most
    clearly fewer labels than chance would put there.

    Parameters
    ----------
    trace : ndarray of float32, shape (samples, channels)
        Labelled recording, conditioned.
    labels : Spikes
    dead_samples : int
        From `estimation.labelled.dead_time`.
    fs_hz : float

    Returns
    -------
    ndarray of int64, shape (events,)
        Samples at which such a spike would start; none if labels are as frequent there as elsewhere.
    """
    none, near = np.zeros(0, np.int64), round(NEAR_MS * fs_hz / 1000)
    if dead_samples <= near or len(labels) == 0:
        return none
    height, rise = _heights(trace, labels.sample, round(LONGEST_RISE_MS * fs_hz / 1000), near)
    heights = height[np.clip(labels.sample + rise, 0, len(height) - 1)]
    limits = np.quantile(heights, SMALL) * np.array(THRESHOLDS)
    if limits[0] <= 0:
        return none
    peaks = pick_peaks(height, threshold=float(limits[0]), distance_samples=near)
    peaks = peaks[~_soon_after(peaks - rise, labels.sample, -near, near)]
    in_dead = _counted(labels.sample, peaks - rise, near, dead_samples)
    by_chance = len(labels) / len(trace) * (dead_samples - near)
    fewest, hiding = CLEARLY_FEWER, none
    for limit in limits:
        large = height[peaks] >= limit
        expected, there = by_chance * int(large.sum()), int(in_dead[large].sum())
        fewer = (expected - there) / np.sqrt(max(expected, 1e-30))
        if fewer > fewest and there < FEWER * expected:
            fewest, hiding = fewer, peaks[large] - rise
    return hiding


def _heights(
    trace: npt.NDArray[np.float32], starts: Int64Array, longest: int, near: int
) -> tuple[npt.NDArray[np.float32], int]:
    """Return the largest sample of any channel in the direction of spikes, and how late it is in a spike."""
    lags = np.arange(-near, longest)
    around = trace[np.clip(starts[:, None] + lags, 0, len(trace) - 1)].mean(axis=0)
    largest = np.abs(around).argmax(axis=0)
    signs = np.sign(around[largest, np.arange(around.shape[1])]).astype(np.float32)
    return largest_of_rows(signs * trace), int(lags[np.abs(around).max(axis=1).argmax()])


def after_hiding(
    samples: Int64Array, hiding: Int64Array, dead_samples: int, *, fs_hz: float
) -> npt.NDArray[np.bool_]:
    """Return which samples are in the dead time after an event without a label; see `hiding_events`.

    Examples
    --------
    >>> after_hiding(np.array([95, 105, 120, 130]), np.array([100]), 30, fs_hz=25_000)
    array([False, False,  True, False])
    """
    return _soon_after(samples, hiding, round(NEAR_MS * fs_hz / 1000), dead_samples)


def _soon_after(
    samples: Int64Array, events: Int64Array, least: int, dead_samples: int
) -> npt.NDArray[np.bool_]:
    """Return which samples are more than `least` after an event, and less than the dead time."""
    first = np.searchsorted(events, samples - dead_samples, "right")  # labels were seen at that interval
    return np.asarray(np.searchsorted(events, samples - least, "left") > first)


def _counted(samples: Int64Array, events: Int64Array, least: int, dead_samples: int) -> Int64Array:
    """Return how many samples are so soon after each event."""
    last = np.searchsorted(samples, events + dead_samples, "left")
    return np.asarray(last - np.searchsorted(samples, events + least, "right"), np.int64)


def _labelled(found: Candidates, labels: Spikes, reach: int) -> npt.NDArray[np.bool_]:
    """Return which candidates have a label of their unit near."""
    labelled = np.zeros(len(found), bool)
    for unit in labels.unit_ids:
        own, there = found.unit == unit, labels.of(unit).sample
        first = np.searchsorted(there, found.sample[own] - reach, "left")
        labelled[own] = np.searchsorted(there, found.sample[own] + reach, "right") > first
    return labelled
