"""Find the units of a trace in rounds: group events, explain the trace by the groups, revise them."""

from __future__ import annotations

import logging

import numpy as np
import numpy.typing as npt

from spikesorter.core.progress import Progress, silent
from spikesorter.core.settings import Settings
from spikesorter.core.spikes import Spikes
from spikesorter.signal.filters import fir_filter
from spikesorter.sorting.finding.clusters import group_waveforms, principal_components
from spikesorter.sorting.finding.events import find_events, whitened
from spikesorter.sorting.finding.explaining import Explained, explain
from spikesorter.sorting.finding.revising import (
    GROUPING_FEATURES,
    LEAST_DETECTABILITY,
    LEAST_SPIKES,
    centred_on_peaks,
    revised,
    without_echoes,
)

__all__ = ["find_labels"]

logger = logging.getLogger(__name__)
Trace = npt.NDArray[np.float32]
STEP = "finding units"
THRESHOLD = 4.8  # robust SD
NO_GAP = 1.1  # first groups are not joined: to join them is easier once overlapping spikes are taken apart
MOST_ROUNDS, ROUNDS_WITH_NEW = 5, 3
CONFIDENT = 0.5  # least probability of a spike that is used as a label
SWEEPS = 8  # of the pursuit between rounds; shapes need no exact probabilities


def find_labels(
    trace: Trace,
    settings: Settings,
    *,
    kernel: npt.NDArray[np.float64],
    fs_hz: float,
    n_jobs: int,
    progress: Progress = silent,
) -> Spikes:
    """Find the units of a trace, and return their confident spikes as labels.

    Parameters
    ----------
    trace : ndarray of float32, shape (samples, channels)
        Without offset and hum.
    settings : Settings
    kernel : ndarray of float64, shape (taps,)
        Conditioning filter.
    fs_hz : float
    n_jobs : int
        Number of threads; it does not affect the result.
    progress : callable, optional

    Returns
    -------
    Spikes
        At the largest deflection of each; units are numbered from 1, the clearest first. Empty if there are
        no units.
    """
    progress(STEP, 0.0)
    quick = settings.replace(pursuit={"sweeps": min(SWEEPS, settings.pursuit.sweeps)})
    labels = _first_labels(fir_filter(trace, kernel), settings, fs_hz=fs_hz)
    for number in range(MOST_ROUNDS):
        progress(STEP, (number + 1) / (MOST_ROUNDS + 1))
        if len(labels) == 0:
            return labels
        explained = explain(trace, labels, quick, kernel=kernel, fs_hz=fs_hz, n_jobs=n_jobs)
        revision = revised(explained, seed=settings.seed, look_for_more=number < ROUNDS_WITH_NEW)
        logger.debug("round %d: %s", number + 1, revision.summary)
        if number + 1 == MOST_ROUNDS or (number and not revision.changed):
            break
        labels = revision.labels
    progress(STEP, 1.0)
    return _confident(explained)


def _first_labels(conditioned: Trace, settings: Settings, *, fs_hz: float) -> Spikes:
    white = whitened(conditioned, n_fft=settings.noise.n_fft, fs_hz=fs_hz)
    events = find_events(white, threshold=THRESHOLD, fs_hz=fs_hz)
    if len(events) < LEAST_SPIKES:
        return Spikes.empty()
    features = principal_components(events.waveforms, GROUPING_FEATURES)
    groups = group_waveforms(features, seed=settings.seed, gap=NO_GAP)
    kept = without_echoes(events, groups, fs_hz=fs_hz)
    kept &= np.bincount(groups)[groups] >= LEAST_SPIKES
    return Spikes.from_arrays(events.sample[kept], groups[kept] + 1)


def _confident(explained: Explained) -> Spikes:
    """Return the confident spikes of units that are clear and frequent enough, the clearest first."""
    labels = explained.picked.select(explained.picked.joint > CONFIDENT)
    labels = centred_on_peaks(explained, labels)
    counts = labels.counts()
    order = np.argsort(-explained.detectability, kind="stable")
    kept = [
        explained.units.unit_ids[k]
        for k in order
        if explained.detectability[k] >= LEAST_DETECTABILITY
        and counts.get(explained.units.unit_ids[k], 0) >= LEAST_SPIKES
    ]
    if not kept:
        return Spikes.empty()
    chosen = labels.select(np.isin(labels.unit, kept))
    numbers = {unit: number for number, unit in enumerate(kept, 1)}
    return Spikes.from_arrays(chosen.sample, [numbers[unit] for unit in chosen.unit.tolist()])
