"""Group the spikes of units that are alike anew, by their waveforms without the spikes that overlap them."""

from __future__ import annotations

from itertools import count

import numpy as np
import numpy.typing as npt

from spikesorter.sorting.finding.clusters import Form, group_waveforms, principal_components
from spikesorter.sorting.finding.explaining import FAR, Explained, distance
from spikesorter.sorting.finding.hints import Hints
from spikesorter.sorting.finding.revising import (
    Revision,
    labels_of,
    units_to_keep,
)
from spikesorter.sorting.finding.trimming import spikes_vary
from spikesorter.sorting.finding.waveforms import aligned_spikes

__all__ = ["regrouped"]

Int64Array = npt.NDArray[np.int64]
CLEAR = 7.0  # d' of a unit whose spikes are grouped anew; among smaller ones is noise
FEATURES = 6
APART = 1.1  # no groups are joined, as to join them is easier afterwards


def regrouped(explained: Explained, hints: Hints, *, seed: int) -> Revision | None:
    """Return labels for the next round, with the spikes of clear units in new groups.

    The first groups are of events, many of which are overlapping spikes or noise, and cut units that vary in
    many. Without overlaps and noise, the form of a unit's spikes shows.

    Parameters
    ----------
    explained : Explained
    hints : Hints
        Units with labels are as they were.
    seed : int

    Returns
    -------
    Revision or None
        None if all clear units are surely different neurons.
    """
    kept = units_to_keep(explained, hints.fixed)
    dropped = len(explained.units.unit_ids) - len(kept)
    ids = explained.units.unit_ids
    clear = [k for k in kept if explained.detectability[k] >= CLEAR and ids[k] not in hints.fixed]
    pools = [pool for pool in _near_each_other(explained, clear) if len(pool) > 1]
    if not pools:
        return None
    found = [samples for pool in pools for samples in _groups(explained, pool, seed)]
    left = [k for k in kept if not any(k in pool for pool in pools)]
    parts = [(explained.samples_of(k), ids[k]) for k in left if ids[k] in hints.fixed]
    others = [explained.samples_of(k) for k in left if ids[k] not in hints.fixed]
    parts += list(zip(found + others, count(hints.first_free), strict=False))
    return Revision(labels_of(parts, explained, hints), dropped, regrouped=True)


def _near_each_other(explained: Explained, units: list[int]) -> list[list[int]]:
    """Return the units in pools; those of different pools are surely different neurons."""
    pools: list[list[int]] = []
    for k in units:
        near = [pool for pool in pools if any(distance(explained, k, j)[0] < FAR for j in pool)]
        pools = [pool for pool in pools if pool not in near] + [[*(j for pool in near for j in pool), k]]
    return pools


def _groups(explained: Explained, units: list[int], seed: int) -> list[Int64Array]:
    """Return the samples of the peaks of the spikes of each group."""
    waves, samples, _ = aligned_spikes(explained, units)
    features = principal_components(waves, FEATURES)
    forms: tuple[Form, ...] = ("full",) if spikes_vary(explained) else ("diag", "full")
    groups = group_waveforms(features, seed=seed, gap=APART, forms=forms)
    return [np.sort(samples[groups == k]) for k in range(int(groups.max()) + 1)]
