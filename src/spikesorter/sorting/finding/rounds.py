"""Find the units of a trace in rounds: group events, explain the trace by the groups, revise them."""

from __future__ import annotations

import logging

import numpy as np
import numpy.typing as npt

from spikesorter.core.pairs import pairs_within
from spikesorter.core.progress import Progress, silent
from spikesorter.core.settings import Settings
from spikesorter.core.spikes import Spikes
from spikesorter.signal.filters import fir_filter
from spikesorter.sorting.finding.clusters import group_waveforms, principal_components
from spikesorter.sorting.finding.events import find_events, whitened
from spikesorter.sorting.finding.explaining import PICKING_SAMPLES, Explained, explain
from spikesorter.sorting.finding.hints import Hints, with_labels
from spikesorter.sorting.finding.regrouping import regrouped
from spikesorter.sorting.finding.revising import (
    GROUPING_FEATURES,
    LEAST_DETECTABILITY,
    centred_on_peaks,
    revised,
    without_echoes,
)
from spikesorter.sorting.finding.splitting import LEAST_SPIKES
from spikesorter.sorting.finding.trimming import own_spikes

__all__ = ["find_labels"]

logger = logging.getLogger(__name__)
Trace = npt.NDArray[np.float32]
STEP = "finding units"
THRESHOLD = 4.8  # robust SD
NO_GAP = 1.1  # first groups are not joined: to join them is easier once overlapping spikes are taken apart
MOST_ROUNDS, ROUNDS_WITH_NEW, ROUNDS_TO_TRIM = 4, 3, 3
REGROUPING = 0  # round after which spikes are grouped anew, rather than units merged and split
CONFIDENT = 0.5  # least probability of a spike that is used as a label
SWEEPS = 8  # of the pursuit between rounds; shapes need no exact probabilities


def find_labels(
    trace: Trace,
    settings: Settings,
    hints: Hints | None = None,
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
    hints : Hints, optional
        With labels as samples of this trace.
    kernel : ndarray of float64, shape (taps,)
        Conditioning filter.
    fs_hz : float
    n_jobs : int
        Number of threads; it does not affect the result.
    progress : callable, optional

    Returns
    -------
    Spikes
        At the largest deflection of each, or where the labels of the hints lie from theirs. Units without
        such labels are numbered from the first free number, the clearest first. Empty if there are no units.
    """
    hints = Hints() if hints is None else hints
    progress(STEP, 0.0)
    quick = settings.replace(pursuit={"sweeps": min(SWEEPS, settings.pursuit.sweeps)})
    labels = _first_labels(fir_filter(trace, kernel), settings, hints, fs_hz=fs_hz)
    for number in range(MOST_ROUNDS):
        progress(STEP, (number + 1) / (MOST_ROUNDS + 1))
        if len(labels) == 0:
            return labels
        explained = explain(trace, labels, quick, kernel=kernel, fs_hz=fs_hz, n_jobs=n_jobs)
        revision = None
        if number == REGROUPING:
            revision = regrouped(explained, hints, seed=settings.seed)
        if revision is None:
            more = number < ROUNDS_WITH_NEW
            revision = revised(explained, hints, seed=settings.seed, look_for_more=more)
        logger.debug("round %d: %s", number + 1, revision.summary)
        again = revision.changed or (revision.trimmed > 0 and number < ROUNDS_TO_TRIM)
        if number + 1 == MOST_ROUNDS or (number and not again):
            break
        labels = revision.labels
    progress(STEP, 1.0)
    return _confident(explained, hints)


def _first_labels(conditioned: Trace, settings: Settings, hints: Hints, *, fs_hz: float) -> Spikes:
    white = whitened(conditioned, n_fft=settings.noise.n_fft, fs_hz=fs_hz)
    events = find_events(white, threshold=THRESHOLD, fs_hz=fs_hz, sign=hints.sign)
    if len(events) < LEAST_SPIKES:
        return hints.labels
    features = principal_components(events.waveforms, GROUPING_FEATURES)
    groups = group_waveforms(features, seed=settings.seed, gap=NO_GAP)
    kept = without_echoes(events, groups, fs_hz=fs_hz)
    kept &= np.bincount(groups)[groups] >= LEAST_SPIKES
    labels = Spikes.from_arrays(events.sample[kept], groups[kept] + hints.first_free)
    return with_labels(labels, hints.labels, fs_hz=fs_hz)


def _confident(explained: Explained, hints: Hints) -> Spikes:
    """Return the confident spikes of units that are clear and frequent enough, the clearest first."""
    labels = _without_background(explained, explained.picked.select(explained.picked.joint > CONFIDENT))
    labels = centred_on_peaks(explained, labels, hints.fixed)
    counts = labels.counts()
    order = np.argsort(-explained.detectability, kind="stable")
    kept = [
        explained.units.unit_ids[k]
        for k in order
        if explained.detectability[k] >= LEAST_DETECTABILITY
        and counts.get(explained.units.unit_ids[k], 0) >= LEAST_SPIKES
        and explained.units.unit_ids[k] not in hints.fixed
    ]
    numbers = {unit: number for number, unit in enumerate(kept, hints.first_free)}
    numbers |= {unit: unit for unit in hints.fixed}
    chosen = labels.select(np.isin(labels.unit, list(numbers)))
    found = Spikes.from_arrays(chosen.sample, [numbers[unit] for unit in chosen.unit.tolist()])
    if hints.n_units is not None and len(numbers) != hints.n_units:
        logger.warning("%d units were found, not %d", len(numbers), hints.n_units)
    return with_labels(found, hints.labels, fs_hz=explained.fs_hz)


def _without_background(explained: Explained, labels: Spikes) -> Spikes:
    """Leave out spikes that the sampled explanation has as spikes of the background."""
    kept = np.ones(len(labels), bool)
    for k, unit in enumerate(explained.units.unit_ids):
        every = explained.spikes.unit == unit
        others = explained.spikes.sample[every & ~own_spikes(explained, k)]
        mine = np.flatnonzero(labels.unit == unit)
        i, _ = pairs_within(labels.sample[mine], others, PICKING_SAMPLES)
        kept[mine[i]] = False
    return labels.select(kept)
