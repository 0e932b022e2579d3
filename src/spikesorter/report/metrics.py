"""What is found in a recording, measured for the eye: shapes, sizes, intervals and correlograms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from scipy.signal import oaconvolve

from spikesorter.core.spikes import Spikes, pairs_within
from spikesorter.estimation.profile import conditioning_kernel
from spikesorter.signal.filters import fir_filter
from spikesorter.sorting.sorter import Sorter

if TYPE_CHECKING:
    from spikeinterface import BaseRecording

__all__ = [
    "Histogram",
    "Shape",
    "measure_correlogram",
    "measure_intervals",
    "measure_shapes",
    "read_conditioned",
]

FloatArray = npt.NDArray[np.float32]
SPIKES_SEEN = 400  # of a neuron: enough for a mean and to see a drift
CORRELATED_SPIKES = 20_000  # likewise: the first ones, evenly thinned ones would show false gaps


@dataclass(frozen=True, eq=False)
class Shape:
    """How spikes of one neuron look in a recording, and how they should.

    Parameters
    ----------
    unit : int
    mean, spread : ndarray of float32, shape (samples, channels)
        Mean and standard deviation of the conditioned trace around the spikes seen.
    expected : ndarray of float32, shape (samples, channels)
        The labelled recording's shape, conditioned too, at this recording's gain.
    before : int
        Samples before the spikes' start.
    sample : ndarray of int64, shape (spikes seen,)
    amplitude : ndarray of float32, shape (spikes seen,)
        Of each spike, relative to the expected shape; overlapping ones add to it.
    """

    unit: int
    mean: FloatArray
    spread: FloatArray
    expected: FloatArray
    before: int
    sample: npt.NDArray[np.int64]
    amplitude: FloatArray


@dataclass(frozen=True, eq=False)
class Histogram:
    """Counts in bins.

    Parameters
    ----------
    edges_ms : ndarray of float64, shape (bins + 1,)
    counts : ndarray of int64, shape (bins,)
    """

    edges_ms: npt.NDArray[np.float64]
    counts: npt.NDArray[np.int64]


def read_conditioned(sorter: Sorter, recording: BaseRecording, start: int, stop: int) -> FloatArray:
    """Read a stretch of a recording as the decoders take it: without offset, hum and drift.

    Parameters
    ----------
    sorter : Sorter
        Adapted to the recording.
    recording : spikeinterface.BaseRecording
    start, stop : int
        Samples, possibly beyond the ends.

    Returns
    -------
    ndarray of float32, shape (stop - start, channels)
    """
    kernel = conditioning_kernel(sorter.settings.conditioning, sorter.fs_hz)
    reach = len(kernel) // 2
    return fir_filter(sorter.trace_reader(recording)(start - reach, stop + reach), kernel)[reach:-reach]


def measure_shapes(sorter: Sorter, recording: BaseRecording, spikes: Spikes) -> list[Shape]:
    """Measure the mean waveform of each neuron, its spread, and the sizes of single spikes.

    Parameters
    ----------
    sorter : Sorter
        Adapted to the recording.
    recording : spikeinterface.BaseRecording
    spikes : Spikes
        Found in it.

    Returns
    -------
    list of Shape
        One for each of the sorter's neurons that has spikes; of many spikes, some from all over are seen.
    """
    kernel = conditioning_kernel(sorter.settings.conditioning, sorter.fs_hz)
    reach, read = len(kernel) // 2, sorter.trace_reader(recording)
    templates = sorter.units.templates
    filtered = templates.filtered(kernel).scaled(sorter.profile.activity.gain)
    begin = filtered.before - templates.before  # a filter's echoes say nothing more
    inside = slice(begin, begin + templates.waveforms.shape[1])
    shapes = []
    for unit, expected in zip(templates.unit_ids, filtered.waveforms[:, inside], strict=True):
        train = spikes.of(unit).sample
        if unit not in sorter.units.known or len(train) == 0:
            continue
        seen = train[:: -(-len(train) // SPIKES_SEEN)]
        first = (seen - templates.before - reach).tolist()
        raw = np.stack([read(start, start + len(expected) + 2 * reach) for start in first])
        windows = oaconvolve(raw, kernel[None, :, None], mode="valid", axes=1)
        amplitude = np.einsum("stc,tc->s", windows, expected) / np.maximum((expected**2).sum(), 1e-30)
        mean, spread, amplitudes = (
            values.astype(np.float32) for values in (windows.mean(axis=0), windows.std(axis=0), amplitude)
        )
        shapes.append(Shape(unit, mean, spread, expected, templates.before, seen, amplitudes))
    return shapes


def measure_intervals(spikes: Spikes, *, fs_hz: float, most_ms: float = 100.0, bins: int = 50) -> Histogram:
    """Count the intervals between successive spikes, given those of one neuron.

    Parameters
    ----------
    spikes : Spikes
    fs_hz : float
    most_ms : float
        Longer intervals are left out.
    bins : int

    Returns
    -------
    Histogram

    Examples
    --------
    >>> measure_intervals(Spikes.from_arrays([0, 50, 80], [1, 1, 1]), fs_hz=1000.0, bins=2).counts
    array([1, 1])
    """
    edges = np.linspace(0, most_ms, bins + 1)
    counts, _ = np.histogram(np.diff(spikes.sample) * 1000 / fs_hz, edges)
    return Histogram(edges, counts.astype(np.int64))


def measure_correlogram(
    spikes: Spikes, others: Spikes, *, fs_hz: float, most_ms: float = 50.0, bins: int = 101
) -> Histogram:
    """Count the distances from one neuron's spikes to another's, or to its own other spikes.

    Parameters
    ----------
    spikes, others : Spikes
        The first 20,000 of each are used.
    fs_hz : float
    most_ms : float
        Greatest distance.
    bins : int

    Returns
    -------
    Histogram
        Positive where `others` come later.

    Examples
    --------
    >>> a, b = Spikes.from_arrays([0, 100], [1, 1]), Spikes.from_arrays([10, 110], [2, 2])
    >>> measure_correlogram(a, b, fs_hz=1000.0, bins=5).counts
    array([0, 0, 0, 2, 0])
    """
    edges = np.linspace(-most_ms, most_ms, bins + 1)
    first, second = spikes.sample[:CORRELATED_SPIKES], others.sample[:CORRELATED_SPIKES]
    i, j = pairs_within(first, second, int(most_ms * fs_hz / 1000))
    if np.array_equal(first, second):
        i, j = i[i != j], j[i != j]
    counts, _ = np.histogram((second[j] - first[i]) * 1000 / fs_hz, edges)
    return Histogram(edges, counts.astype(np.int64))
