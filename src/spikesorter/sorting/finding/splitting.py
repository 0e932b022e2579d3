"""Split units that hold spikes of several neurons."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from spikesorter.sorting.finding.clusters import Form, group_waveforms, principal_components
from spikesorter.sorting.finding.explaining import Explained
from spikesorter.sorting.finding.trains import fires_as_one
from spikesorter.sorting.finding.trimming import is_of_several, own_samples, variation
from spikesorter.sorting.finding.waveforms import aligned_spikes

__all__ = ["LEAST_SPIKES", "NO_VALLEY", "is_mixed", "parts_of"]

Int64Array = npt.NDArray[np.int64]

LEAST_SPIKES = 20  # of a unit
LEAST_SHARE = 0.03  # of a unit's spikes, in a part that is split off
NO_VALLEY = 1.1  # between neurons whose spikes vary: a unit is split into all parts of its mixture
FEATURES = 4
MIXED = 1.5  # SD of the sizes of a unit's spikes, in that of the noise, above which it may be of several


def is_mixed(explained: Explained, unit: int) -> bool:
    """Return whether a unit is of several neurons, by its intervals, whose spikes vary and leave no valley.

    A unit that has spikes of one that is still missing looks so too: it is to be found first.
    """
    return variation(explained, unit) > MIXED and is_of_several(explained, explained.samples_of(unit))


def parts_of(explained: Explained, unit: int, seed: int, *, gap: float) -> list[Int64Array]:
    """Return the samples of the spikes of each part of a unit; one part if it has one mode."""
    waves, _, index = aligned_spikes(explained, [unit])
    every = own_samples(explained, unit)
    samples = explained.spikes.sample[index]
    if len(samples) < 4 * LEAST_SPIKES:
        return [every]
    # Where a valley need not be, a unit that varies would be cut in parts by any but full covariances.
    forms: tuple[Form, ...] = ("full",) if gap >= NO_VALLEY else ("diag",)
    groups = group_waveforms(principal_components(waves, FEATURES), seed=seed, gap=gap, forms=forms)
    parts = [samples[groups == k] for k in range(groups.max() + 1)]
    least = max(LEAST_SPIKES, LEAST_SHARE * len(samples))
    parts = [part for part in parts if len(part) >= least]
    if len(parts) < 2:
        return [every]
    others = np.sort(np.concatenate(parts[1:]))
    as_one = fires_as_one(parts[0], others, len(explained.trace), fs_hz=explained.fs_hz)
    if as_one or (as_one is None and gap >= NO_VALLEY):
        return [every]
    return parts
