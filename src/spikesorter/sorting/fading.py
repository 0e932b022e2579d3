"""Compare the sizes and numbers of each unit's spikes in the quarters of a recording that was sorted.

A unit whose spikes shrink is first found smaller, then found less and less, while the spikes that are missed
leave no other trace in the result.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from spikesorter.core.bad_stretches import BadStretches
from spikesorter.core.spikes import Spikes
from spikesorter.decoding.run import TraceReader
from spikesorter.signal.bank import Bank
from spikesorter.sorting.amplitudes import amplitudes, median_of

__all__ = ["SHORTEST_SECONDS", "Quarters", "fading_doubt", "measure_quarters"]

Float64Array: TypeAlias = npt.NDArray[np.float64]
QUARTERS = ("first", "second", "third", "last")
STRETCHES = 4  # of each quarter, in which amplitudes are measured
STRETCH_SECONDS, LONGEST_SECONDS, SHARE = 0.5, 4.0, 1 / 160  # of the recording
SHORTEST_SECONDS = 10.0  # of a recording in which units are expected to change
SHRUNK, SURE = 0.8, 5.0  # ratio of sizes, and that many standard errors, beyond which a unit fades
MUCH, FEWER = (
    0.7,
    0.9,
)  # ratio beyond which that is told even if no fewer spikes are found where it is smaller
GONE, MANY = 1 / 8, 40  # share of its spikes in another quarter, which has at least so many


@dataclass(frozen=True, eq=False)
class Quarters:
    """Spikes of each unit in the quarters of a recording.

    Parameters
    ----------
    unit_ids : tuple of int
    counts : ndarray of int64, shape (4, units)
    sizes : ndarray of float64, shape (4, units)
        Median amplitude, relative to the sorter's template; NaN where too few spikes were measured.
    errors : ndarray of float64, shape (4, units)
        Standard errors of the sizes.
    """

    unit_ids: tuple[int, ...]
    counts: npt.NDArray[np.int64]
    sizes: Float64Array
    errors: Float64Array

    def least_size(self, unit: int) -> float:
        """Return a unit's size where it is smallest, relative to where it is largest; NaN if not measured.

        Examples
        --------
        >>> sizes = np.array([[1.0], [0.9], [0.8], [np.nan]])
        >>> Quarters((7,), np.full((4, 1), 90), sizes, np.full((4, 1), 0.01)).least_size(7)
        0.8
        """
        sizes = self.sizes[:, self.unit_ids.index(unit)]
        known = sizes[np.isfinite(sizes)]
        return float(known.min() / known.max()) if len(known) > 1 else float("nan")

    def least_rate(self, unit: int) -> float:
        """Return a unit's number of spikes where it is least, relative to where it is largest."""
        counts = self.counts[:, self.unit_ids.index(unit)]
        return float(counts.min() / max(counts.max(), 1))


def measure_quarters(
    spikes: Spikes,
    bank: Bank,
    unit_ids: tuple[int, ...],
    read_trace: TraceReader,
    n_samples: int,
    *,
    bad: BadStretches,
    fs_hz: float,
) -> Quarters:
    """Measure the sizes of spikes that were found, in stretches spread over what is good of a recording.

    Parameters
    ----------
    spikes : Spikes
        Of the whole recording.
    bank : Bank
        Of the units, at their mean sizes.
    unit_ids : tuple of int
        In the bank's order.
    read_trace : callable
        Returns the trace between two samples, without its offset.
    n_samples : int
        Length of the recording.
    bad : BadStretches
        Its bad stretches, in which there are no spikes; quarters are those of the rest.
    fs_hz : float

    Returns
    -------
    Quarters
    """
    known = spikes.select(np.isin(spikes.unit, unit_ids))
    column = np.searchsorted(unit_ids, known.unit)
    n_good = n_samples - bad.samples
    quarter = bad.moved(known.sample) * len(QUARTERS) // n_good
    counts = np.zeros((len(QUARTERS), len(unit_ids)), np.int64)
    np.add.at(counts, (quarter, column), 1)
    length = int(np.clip(n_good * SHARE, STRETCH_SECONDS * fs_hz, LONGEST_SECONDS * fs_hz))
    measured = []
    for start in _starts(bad, n_good, length):
        inside = slice(*np.searchsorted(known.sample, [start, start + length]))
        samples, columns = known.sample[inside], column[inside]
        read = read_trace(start - bank.margin.before, start + length + bank.margin.after)
        measured.append((quarter[inside], columns, amplitudes(bank, read, samples - start, columns)))
    quarters, columns, values = map(np.concatenate, zip(*measured, strict=True))
    return Quarters(unit_ids, counts, *_medians(quarters, columns, values, counts.shape))


def _starts(bad: BadStretches, n_good: int, length: int) -> list[int]:
    """Return where the stretches begin: their middles are evenly spread over what is good."""
    count = len(QUARTERS) * STRETCHES
    middles = (2 * np.arange(count) + 1) * n_good // (2 * count)
    gone = np.r_[0, np.cumsum(bad.stop - bad.start)]
    places = middles + gone[np.searchsorted(bad.start - gone[:-1], middles, "right")]
    return [max(place - length // 2, 0) for place in places.tolist()]


def _medians(
    quarter: npt.NDArray[np.int64],
    column: npt.NDArray[np.int64],
    values: Float64Array,
    shape: tuple[int, ...],
) -> tuple[Float64Array, Float64Array]:
    """Return the median amplitude of each unit in each quarter, and its standard error."""
    medians, errors = np.full(shape, np.nan), np.full(shape, np.inf)
    for place in np.ndindex(shape):
        medians[place], errors[place] = median_of(values[(quarter == place[0]) & (column == place[1])])
    return medians, errors


def fading_doubt(quarters: Quarters, names: Mapping[int, str]) -> str:
    """Return in words that a unit's spikes shrink, grow or vanish over a recording, or "".

    Parameters
    ----------
    quarters : Quarters
    names : mapping of int to str
        Of the units to look at.

    Examples
    --------
    >>> steady = Quarters((1,), np.full((4, 1), 90), np.ones((4, 1)), np.full((4, 1), 0.01))
    >>> fading_doubt(steady, {1: "basket"})
    ''
    >>> sizes = np.array([[1.0], [0.9], [0.7], [np.nan]])
    >>> fading = Quarters((1,), np.array([[90], [88], [60], [3]]), sizes, np.full((4, 1), 0.01))
    >>> fading_doubt(fading, {1: "basket"}).partition(":")[0]
    'the spikes of unit basket shrink to 0.7 of their size (quarters of the recording have 90, 88, 60 and 3)'
    """
    said = [words for unit, name in names.items() if (words := _changes(quarters, unit, name))]
    if not said:
        return ""
    return (
        f"{'; '.join(said)}: such spikes are missed or taken for others'. Adapt to it (train --targets, "
        "Sorter.adapt), which follows slow changes, or do not trust the result"
    )


def _changes(quarters: Quarters, unit: int, name: str) -> str:
    column = quarters.unit_ids.index(unit)
    counts, sizes = quarters.counts[:, column], quarters.sizes[:, column]
    *most, last = counts.tolist()
    told = f"(quarters of the recording have {', '.join(map(str, most))} and {last})"
    if np.isfinite(sizes).sum() > 1:
        small, large = int(np.nanargmin(sizes)), int(np.nanargmax(sizes))
        error = float(np.hypot(*quarters.errors[[small, large], column]))
        ratio = sizes[small] / sizes[large]
        missed = ratio < MUCH or counts[small] < FEWER * counts[large]
        if ratio < SHRUNK and missed and sizes[large] - sizes[small] > SURE * error:
            change = f"shrink to {ratio:.2g}" if small > large else f"grow to {1 / ratio:.2g}"
            return f"the spikes of unit {name} {change} of their size {told}"
    if counts.max() >= MANY and counts.min() < GONE * counts.max():
        return f"unit {name} comes and goes {told}"
    return ""
