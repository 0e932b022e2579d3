"""Waveforms of the spikes of units, without other spikes, aligned with each other."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from spikesorter.signal.spans import to_samples
from spikesorter.sorting.finding.aligning import aligned, best_lags, main_lobe
from spikesorter.sorting.finding.explaining import Explained, distance
from spikesorter.sorting.finding.trimming import WINDOW_MS

__all__ = ["aligned_spikes"]

Int64Array = npt.NDArray[np.int64]
Float64Array = npt.NDArray[np.float64]
REACH_MS = 0.4  # from where a spike's peak is expected to where it is


def aligned_spikes(explained: Explained, units: list[int]) -> tuple[Float64Array, Int64Array, Int64Array]:
    """Return the spikes of units, all aligned to agree best with the main peak of the clearest.

    Spikes of one neuron may be in several of the units, so that one template has to serve for all. Where
    spikes vary, what comes after the main peak comes sooner or later.

    Parameters
    ----------
    explained : Explained
    units : list of int
        Places of units near each other.

    Returns
    -------
    waveforms : ndarray of float64, shape (spikes, samples, channels)
        Without the spikes that overlap them, unless these are so small that they may be how a spike varies.
    samples : ndarray of int64, shape (spikes,)
        Where the peak of the template lies.
    index : ndarray of int64, shape (spikes,)
        Which of the explanation's spikes they are.
    """
    fs_hz = explained.fs_hz
    reach = to_samples(REACH_MS, fs_hz) + 1
    before, after = (to_samples(ms, fs_hz) for ms in WINDOW_MS)
    waves, samples, found = [], [], []
    for k, peak in zip(units, _peaks(explained, units), strict=True):
        mask, cleaned = explained.cleaned(
            k, first=peak + before - reach, last=peak + after + reach, with_pieces=True
        )
        waves.append(cleaned)
        samples.append(explained.spikes.sample[mask] + peak)
        found.append(np.flatnonzero(mask))
    every = np.concatenate(waves)
    peaks = _peaks(explained, units)
    clearest = _clearest(explained, units)
    first = peaks[units.index(clearest)] + before
    lags = best_lags(every, main_lobe(explained.window_of(clearest, first, first + after - before)))
    cut = aligned(every, lags, first=reach, length=after - before)
    return cut, np.concatenate(samples) + np.rint(lags).astype(np.int64), np.concatenate(found)


def _peaks(explained: Explained, units: list[int]) -> list[int]:
    """Return the sample of one peak in all templates, by how they agree best with the clearest."""
    clearest = _clearest(explained, units)
    return [explained.peak_of(clearest) - distance(explained, clearest, k)[1] for k in units]


def _clearest(explained: Explained, units: list[int]) -> int:
    return max(units, key=lambda k: (float(explained.detectability[k]), -k))
