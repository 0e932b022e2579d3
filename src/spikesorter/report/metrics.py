"""Measure what figures show of found spikes: waveforms, amplitudes, intervals and correlograms.

Intervals and correlograms are counted by SpikeInterface.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from scipy.signal import oaconvolve

from spikesorter.core.spikes import UNKNOWN, Spikes
from spikesorter.signal.filters import fir_filter
from spikesorter.sorting.sorter import Sorter

if TYPE_CHECKING:
    from spikeinterface import BaseRecording
    from spikeinterface.core import NumpySorting

__all__ = [
    "Histograms",
    "Shape",
    "measure_correlograms",
    "measure_intervals",
    "measure_shapes",
    "read_conditioned",
]

FloatArray = npt.NDArray[np.float32]
SPIKES_SEEN = 400  # of a unit: enough for a mean, and to see drift


@dataclass(frozen=True, eq=False)
class Shape:
    """The waveform of one unit in a recording, and the one that is expected.

    Parameters
    ----------
    unit : int
    mean, spread : ndarray of float32, shape (samples, channels)
        Mean and standard deviation of the conditioned trace around the spikes that were read.
    expected : ndarray of float32, shape (samples, channels)
        The unit's template from the labelled recording, conditioned too, at this recording's gain.
    before : int
        Samples before the spikes' start.
    sample : ndarray of int64, shape (spikes read,)
    amplitude : ndarray of float32, shape (spikes read,)
        Of each spike, 1 as expected. Overlapping spikes change it.
    """

    unit: int
    mean: FloatArray
    spread: FloatArray
    expected: FloatArray
    before: int
    sample: npt.NDArray[np.int64]
    amplitude: FloatArray


@dataclass(frozen=True, eq=False)
class Histograms:
    """Counts in bins, of each unit or of each pair of units.

    Parameters
    ----------
    unit_ids : tuple of int
        The units that have spikes, in order.
    edges_ms : ndarray of float64, shape (bins + 1,)
        A bin holds its lower edge and not its upper one.
    counts : ndarray of int64, shape (units, bins) or (units, units, bins)

    Examples
    --------
    >>> counts = np.array([[3, 1]])
    >>> Histograms((1,), np.array([0.0, 2.0, 4.0]), counts).middles_ms
    array([1., 3.])
    """

    unit_ids: tuple[int, ...]
    edges_ms: npt.NDArray[np.float64]
    counts: npt.NDArray[np.int64]

    @property
    def middles_ms(self) -> npt.NDArray[np.float64]:
        """The middle of each bin, float64, shape (bins,)."""
        return (self.edges_ms[1:] + self.edges_ms[:-1]) / 2


def read_conditioned(sorter: Sorter, recording: BaseRecording, start: int, stop: int) -> FloatArray:
    """Read a part of a recording as the decoders do: without offset, hum and drift.

    Parameters
    ----------
    sorter : Sorter
        Adapted to the recording.
    recording : spikeinterface.BaseRecording
    start, stop : int
        Samples; they may lie beyond the ends.

    Returns
    -------
    ndarray of float32, shape (stop - start, channels)
    """
    kernel = sorter.state.lessons.context.kernel
    reach = len(kernel) // 2
    return fir_filter(sorter.trace_reader(recording)(start - reach, stop + reach), kernel)[reach:-reach]


def measure_shapes(sorter: Sorter, recording: BaseRecording, spikes: Spikes) -> list[Shape]:
    """Measure the mean waveform of each unit, its spread, and the amplitudes of single spikes.

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
        One for each of the sorter's units that has spikes. Of many spikes, 400 or fewer from all over the
        recording are read.
    """
    kernel = sorter.state.lessons.context.kernel
    reach, read = len(kernel) // 2, sorter.trace_reader(recording)
    templates = sorter.units.templates
    filtered = templates.filtered(kernel).scaled(sorter.profile.activity.gain)
    begin = filtered.before - templates.before  # beyond lies only what the filter adds
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


def measure_intervals(
    spikes: Spikes, *, fs_hz: float, window_ms: float = 100.0, bin_ms: float = 2.0
) -> Histograms:
    """Count the intervals between successive spikes of each unit.

    Parameters
    ----------
    spikes : Spikes
        Spikes of unknown units are left out.
    fs_hz : float
    window_ms : float
        Longer intervals are left out.
    bin_ms : float
        Rounded to a whole number of samples.

    Returns
    -------
    Histograms
        Counts of shape (units, bins).

    See Also
    --------
    spikeinterface.postprocessing.compute_isi_histograms_numpy : Does the counting.

    Examples
    --------
    >>> spikes = Spikes.from_arrays([0, 50, 80], [1, 1, 1])
    >>> measure_intervals(spikes, fs_hz=1000.0, bin_ms=50.0).counts
    array([[1, 1]])
    """
    from spikeinterface.postprocessing import compute_isi_histograms_numpy

    unit_ids, sorting = _known_units(spikes, fs_hz)
    counts, edges = compute_isi_histograms_numpy(sorting, window_ms, _at_least_a_sample(bin_ms, fs_hz))
    return Histograms(unit_ids, edges, counts)


def measure_correlograms(
    spikes: Spikes, *, fs_hz: float, window_ms: float = 50.0, bin_ms: float = 1.0
) -> Histograms:
    """Count the lags from each unit's spikes to every other unit's, and to its own other spikes.

    Parameters
    ----------
    spikes : Spikes
        Spikes of unknown units are left out.
    fs_hz : float
    window_ms : float
        Greatest lag, before and after.
    bin_ms : float
        Rounded to a whole number of samples.

    Returns
    -------
    Histograms
        Counts of shape (units, units, bins): ``counts[i, j]`` is of positive lags where unit j fires after
        unit i. No bin lies around 0: lag 0 is in the first bin of the second half.

    See Also
    --------
    spikeinterface.postprocessing.compute_correlograms : Does the counting, with its rows and columns swapped.

    Notes
    -----
    SpikeInterface's method in NumPy is used. Its compiled one gives the same counts, but first compiles for
    more than a second in each process, and leaves Numba with one thread.

    Examples
    --------
    >>> spikes = Spikes.from_arrays([0, 10, 100, 110], [1, 2, 1, 2])
    >>> found = measure_correlograms(spikes, fs_hz=1000.0, window_ms=20.0, bin_ms=10.0)
    >>> found.edges_ms
    array([-20., -10.,   0.,  10.,  20.])
    >>> found.counts[0, 1]
    array([0, 0, 0, 2])
    """
    from spikeinterface.postprocessing import compute_correlograms

    unit_ids, sorting = _known_units(spikes, fs_hz)
    counts, edges = compute_correlograms(
        sorting, window_ms=2 * window_ms, bin_ms=_at_least_a_sample(bin_ms, fs_hz), method="numpy"
    )
    return Histograms(unit_ids, edges, counts.transpose(1, 0, 2))


def _known_units(spikes: Spikes, fs_hz: float) -> tuple[tuple[int, ...], NumpySorting]:
    from spikeinterface.core import NumpySorting

    unit_ids = tuple(unit for unit in spikes.unit_ids if unit != UNKNOWN)
    trains = {unit: spikes.of(unit).sample for unit in unit_ids}
    return unit_ids, NumpySorting.from_unit_dict([trains], fs_hz)


def _at_least_a_sample(bin_ms: float, fs_hz: float) -> float:
    return max(bin_ms, 1001 / fs_hz)  # a thousandth more: SpikeInterface refuses less, and rounds
