"""Measure waveforms, amplitudes, intervals and correlograms of found spikes, for figures.

Intervals and correlograms are counted by SpikeInterface.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from scipy.signal import oaconvolve

from spikesorter.core.bad_stretches import BadStretches
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
SPIKES_READ = 400  # of a unit, enough for a mean and for drift


@dataclass(frozen=True, eq=False)
class Shape:
    """The mean waveform of one unit in a recording, and the expected waveform.

    Parameters
    ----------
    unit : int
    mean, spread : ndarray of float32, shape (samples, channels)
        Mean and standard deviation of the conditioned trace around the spikes read.
    expected : ndarray of float32, shape (samples, channels)
        The unit's template from the labelled recording, conditioned, at this recording's gain.
    before : int
        Samples before the start of the spikes.
    sample : ndarray of int64, shape (spikes read,)
    amplitude : ndarray of float32, shape (spikes read,)
        Amplitude of each spike, relative to the expected waveform. Overlapping spikes change it.
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
    """Counts in bins for each unit, or for each pair of units.

    Parameters
    ----------
    unit_ids : tuple of int
        The units that have spikes, in order.
    edges_ms : ndarray of float64, shape (bins + 1,)
        A bin includes its lower edge but not its upper edge.
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
        """Centres of the bins, float64, shape (bins,)."""
        return (self.edges_ms[1:] + self.edges_ms[:-1]) / 2


def read_conditioned(
    sorter: Sorter,
    recording: BaseRecording,
    start: int,
    stop: int,
    *,
    bad: BadStretches | None = None,
) -> FloatArray:
    """Read part of a recording without offset, hum, drift and bad stretches, as decoders use it.

    Parameters
    ----------
    sorter : Sorter
        Adapted to the recording.
    recording : spikeinterface.BaseRecording
    start, stop : int
        Range of samples, which may lie beyond the ends.
    bad : BadStretches, optional
        As for `Sorter.trace_reader`.

    Returns
    -------
    ndarray of float32, shape (stop - start, channels)
    """
    kernel = sorter.state.lessons.context.kernel
    reach = len(kernel) // 2
    read = sorter.trace_reader(recording, bad=bad)
    return fir_filter(read(start - reach, stop + reach), kernel)[reach:-reach]


def measure_shapes(sorter: Sorter, recording: BaseRecording, spikes: Spikes) -> list[Shape]:
    """Measure each unit's mean waveform and its spread, and the amplitudes of single spikes.

    Parameters
    ----------
    sorter : Sorter
        Adapted to the recording.
    recording : spikeinterface.BaseRecording
    spikes : Spikes
        Spikes found in it, with its bad stretches.

    Returns
    -------
    list of Shape
        One for each of the sorter's units that has spikes. At most 400 spikes of a unit, spread over the
        recording, are read.
    """
    kernel = sorter.state.lessons.context.kernel
    reach, read = len(kernel) // 2, sorter.trace_reader(recording, bad=spikes.bad)
    templates = sorter.units.templates
    filtered = templates.filtered(kernel).scaled(sorter.profile.activity.gain)
    begin = filtered.before - templates.before  # the filter's tails lie outside
    inside = slice(begin, begin + templates.waveforms.shape[1])
    shapes = []
    for unit, expected in zip(templates.unit_ids, filtered.waveforms[:, inside], strict=True):
        train = spikes.of(unit).sample
        if unit not in sorter.units.known or len(train) == 0:
            continue
        chosen = train[:: -(-len(train) // SPIKES_READ)]
        first = (chosen - templates.before - reach).tolist()
        raw = np.stack([read(start, start + len(expected) + 2 * reach) for start in first])
        windows = oaconvolve(raw, kernel[None, :, None], mode="valid", axes=1)
        amplitude = np.einsum("stc,tc->s", windows, expected) / np.maximum((expected**2).sum(), 1e-30)
        mean, spread, amplitudes = (
            values.astype(np.float32) for values in (windows.mean(axis=0), windows.std(axis=0), amplitude)
        )
        shapes.append(Shape(unit, mean, spread, expected, templates.before, chosen, amplitudes))
    return shapes


def measure_intervals(
    spikes: Spikes, *, fs_hz: float, window_ms: float = 100.0, bin_ms: float = 2.0
) -> Histograms:
    """Count the intervals between successive spikes of each unit.

    Parameters
    ----------
    spikes : Spikes
        Outlier spikes are left out.
    fs_hz : float
    window_ms : float
        Longest interval to count.
    bin_ms : float
        Rounded to a whole number of samples.

    Returns
    -------
    Histograms
        Counts of shape (units, bins).

    See Also
    --------
    spikeinterface.postprocessing.compute_isi_histograms_numpy : Counts the intervals or lags.

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
    """Count the lags from each unit's spikes to all other spikes, by unit.

    Parameters
    ----------
    spikes : Spikes
        Outlier spikes are left out.
    fs_hz : float
    window_ms : float
        Largest lag in either direction.
    bin_ms : float
        Rounded to a whole number of samples.

    Returns
    -------
    Histograms
        Counts of shape (units, units, bins). Positive lags in ``counts[i, j]`` mean that unit j fires after
        unit i. Zero is a bin edge: lag 0 is in the first bin of the second half.

    See Also
    --------
    spikeinterface.postprocessing.compute_correlograms : Counts the intervals or lags, with its rows and
    columns swapped.

    Notes
    -----
    SpikeInterface's NumPy method is used. Its compiled method gives the same counts, but takes more than a
    second to compile in each process, and leaves Numba with one thread.

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
    return max(
        bin_ms, 1001 / fs_hz
    )  # a thousandth more, as SpikeInterface rounds, and refuses less than one sample
