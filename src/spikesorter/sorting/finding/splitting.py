"""Split units that hold spikes of several neurons."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from spikesorter.signal.spans import to_samples
from spikesorter.sorting.finding.clusters import group_waveforms, principal_components
from spikesorter.sorting.finding.explaining import Explained
from spikesorter.sorting.finding.trains import fires_as_one
from spikesorter.sorting.finding.trimming import WINDOW_MS, is_of_several, own_samples, varies

__all__ = ["LEAST_SPIKES", "NO_VALLEY", "is_mixed", "parts_of", "without_jitter"]

Int64Array = npt.NDArray[np.int64]
Float64Array = npt.NDArray[np.float64]

LEAST_SPIKES = 20  # of a unit
LEAST_SHARE = 0.03  # of a unit's spikes, in a part that is split off
NO_VALLEY = 1.1  # between neurons whose spikes vary: a unit is split into all parts of its mixture
FEATURES = 4


def is_mixed(explained: Explained, unit: int) -> bool:
    """Return whether a unit is of several neurons, by its intervals, whose spikes vary and leave no valley.

    A unit that has spikes of one that is still missing looks so too: it is to be found first.
    """
    return varies(explained, unit) and is_of_several(explained, explained.samples_of(unit))


def parts_of(explained: Explained, unit: int, seed: int, *, gap: float) -> list[Int64Array]:
    """Return the samples of the spikes of each part of a unit; one part if it has one mode."""
    fs_hz = explained.fs_hz
    peak = int(np.abs(explained.shapes[unit]).max(axis=1).argmax()) - explained.before
    first, last = (peak + to_samples(ms, fs_hz) for ms in WINDOW_MS)
    mask, waves = explained.cleaned(unit, first=first, last=last)
    every = own_samples(explained, unit)
    samples = explained.spikes.sample[mask]
    if len(samples) < 4 * LEAST_SPIKES:
        return [every]
    waves = without_jitter(waves, explained.window_of(unit, first, last))
    groups = group_waveforms(principal_components(waves, FEATURES), seed=seed, gap=gap)
    parts = [samples[groups == k] for k in range(groups.max() + 1)]
    least = max(LEAST_SPIKES, LEAST_SHARE * len(samples))
    parts = [part for part in parts if len(part) >= least]
    if len(parts) < 2:
        return [every]
    others = np.sort(np.concatenate(parts[1:]))
    if fires_as_one(parts[0], others, len(explained.trace), fs_hz=fs_hz):
        return [every]
    return parts


def without_jitter(waveforms: Float64Array, template: Float64Array) -> Float64Array:
    """Take out what a small error of a spike's time changes: the template's first two derivatives."""
    slope = np.gradient(template, axis=0)
    basis, _ = np.linalg.qr(np.stack([slope.ravel(), np.gradient(slope, axis=0).ravel()], axis=1))
    flat = waveforms.reshape(len(waveforms), -1)
    template_in = basis @ (basis.T @ template.ravel())
    flat = flat - (flat @ basis) @ basis.T + template_in
    return np.asarray(flat.reshape(waveforms.shape))
