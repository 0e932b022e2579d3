"""Measure features of single spikes: principal components of whitened waveforms, and amplitudes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import fft

from spikesorter.core.spikes import Spikes
from spikesorter.sorting.finding.clusters import principal_components
from spikesorter.sorting.sorter import Sorter

if TYPE_CHECKING:
    from spikeinterface import BaseRecording

__all__ = [
    "COMPONENTS",
    "MOST_MEASURED",
    "Features",
    "amplitudes_of",
    "means_of",
    "measure_features",
]

FloatArray: TypeAlias = npt.NDArray[np.float32]
Int64Array: TypeAlias = npt.NDArray[np.int64]

COMPONENTS = 5
MOST_MEASURED = 20_000  # spikes of a recording, spread over it
MOST_FITTED = 4_000  # of these, from which the components are learnt
BATCH = 256  # spikes


@dataclass(frozen=True, eq=False)
class Features:
    """Whitened waveforms of spikes, and their principal components.

    In whitened waveforms noise has an SD of 1 along any template, so that distances between waveforms are in
    units of the noise's SD.

    Parameters
    ----------
    place : ndarray of int64, shape (measured,)
        Positions of the spikes among all that were given.
    white : ndarray of float32, shape (measured, samples, channels)
    components : ndarray of float32, shape (measured, 5)
        Fewer columns if a waveform has fewer values.
    """

    place: Int64Array
    white: FloatArray
    components: FloatArray

    def __len__(self) -> int:
        return len(self.place)


def measure_features(
    sorter: Sorter, recording: BaseRecording, spikes: Spikes, *, most: int = MOST_MEASURED
) -> Features:
    """Measure the features of spikes, or of some of them that are spread evenly over all.

    Parameters
    ----------
    sorter : Sorter
        Adapted to the recording.
    recording : spikeinterface.BaseRecording
    spikes : Spikes
        Spikes of it, with its bad stretches.
    most : int
        Greatest number of spikes to measure.

    Returns
    -------
    Features
    """
    place = np.unique(np.linspace(0, len(spikes) - 1, min(len(spikes), most)).round().astype(np.int64))
    white = np.concatenate([_nothing(sorter), *_whitened(sorter, recording, spikes, place)])
    return Features(place, white, _components(white))


def means_of(features: Features, unit: Int64Array) -> dict[int, FloatArray]:
    """Return the mean whitened waveform of each unit, by the unit of each measured spike."""
    return {int(one): features.white[unit == one].mean(axis=0) for one in np.unique(unit)}


def amplitudes_of(features: Features, unit: Int64Array) -> FloatArray:
    """Return the amplitude of each measured spike, relative to the mean of its unit.

    Examples
    --------
    >>> white = np.float32([[[1.0], [2.0]], [[3.0], [6.0]]])
    >>> amplitudes_of(Features(np.arange(2), white, white[:, :, 0]), np.array([1, 1]))
    array([0.5, 1.5], dtype=float32)
    """
    amplitude = np.ones(len(features), np.float32)
    for one, mean in means_of(features, unit).items():
        own = unit == one
        energy = max(float((mean**2).sum()), 1e-12)
        amplitude[own] = np.einsum("stc,tc->s", features.white[own], mean) / energy
    return amplitude


def _nothing(sorter: Sorter) -> FloatArray:
    _, samples, channels = sorter.units.templates.waveforms.shape
    return np.empty((0, samples, channels), np.float32)


def _whitened(
    sorter: Sorter, recording: BaseRecording, spikes: Spikes, place: Int64Array
) -> Iterator[FloatArray]:
    """Yield the whitened waveforms of spikes, in batches."""
    whitener = sorter.state.lessons.context.bank(sorter.profile).whitener
    read, reach = sorter.trace_reader(recording, bad=spikes.bad), len(whitener) // 2
    templates = sorter.units.templates
    length = templates.waveforms.shape[1] + 2 * reach
    n_fft = fft.next_fast_len(length, real=True)  # what wraps around is cut off
    across = fft.rfft(whitener, n_fft, axis=0).transpose(0, 2, 1)
    for begin in range(0, len(place), BATCH):
        first = (spikes.sample[place[begin : begin + BATCH]] - templates.before - reach).tolist()
        raw = np.stack([read(start, start + length) for start in first])
        spectra = fft.rfft(raw.astype(np.float64), n_fft, axis=1).transpose(1, 0, 2) @ across
        filtered = fft.irfft(spectra.transpose(1, 0, 2), n_fft, axis=1)
        yield np.asarray(filtered[:, 2 * reach : length], np.float32)


def _components(white: FloatArray) -> FloatArray:
    """Return the first principal components of all spikes together."""
    if len(white) == 0:
        return np.empty((0, COMPONENTS), np.float32)
    return np.asarray(principal_components(white, COMPONENTS, most_fitted=MOST_FITTED), np.float32)
