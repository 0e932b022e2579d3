"""Find bad stretches: samples that are missing, channels that are dead or saturated, artefacts.

A recording is divided into short cells on a fixed grid, and only the least and the greatest value of each
channel in a cell are looked at. These do not depend on rounding, and what is decided of a cell depends on
cells within a stated distance. So files, spans of files and streams find the same stretches.

A cell is an artefact if the trace changes, within two milliseconds, by more than the labelled units' spikes
and the noise together could make it change. That holds for stimulation pulses, taps on the electrode and
jumps of the baseline, but not for slow drift. An artefact lasts as long as the trace stays louder than noise.

A channel is dead where it is constant, and also where it is switched off: where its range in ten milliseconds
is less than a twentieth of the usual range of noise in two. That is a power 400 times smaller and more, as
no tissue has; noise that falls to a tenth is noise that changes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.ndimage import binary_dilation, maximum_filter1d, minimum_filter1d

from spikesorter.core.bad_stretches import KINDS, BadStretches
from spikesorter.signal.spans import Margin

__all__ = [
    "AROUND",
    "NOT_BAD",
    "OFF",
    "CellKinds",
    "Cells",
    "Screen",
    "bad_cells_of_channels",
    "find_bad_cells",
    "may_be_bad",
    "measure_cells",
    "stretches_of",
    "swings",
]

Flags = npt.NDArray[np.bool_]
CellKinds = npt.NDArray[np.int8]
LARGEST, NOISE = 3.0, 2.0  # of the usual swing of spikes, and of noise, that together are an artefact
LOUD = 1.3  # times the usual swing of noise around a cell
AROUND = 2  # cells on either side within which the swing of the trace is measured
DEAD_CELLS = 20  # that do not change, one after the other
OFF = 1 / 20  # of the usual swing of noise, within which a channel stays where it is switched off
OFF_REACH = DEAD_CELLS // 2  # cells on either side within which it does
BEFORE_CELLS, AFTER_CELLS = 12, 60  # how far an artefact may reach from a cell beyond the limit
EDGE_CELLS = 1  # added on either side
GAP_CELLS = 8  # two bad stretches with fewer cells between them are one
NOT_BAD = -1
_COLUMN = np.ones((3, 1), np.bool_)  # neighbours in time
MISSING, DEAD, SATURATED, ARTEFACT = (KINDS.index(k) for k in ("missing", "dead", "saturated", "artefact"))


@dataclass(frozen=True, eq=False)
class Cells:
    """Least and greatest value of each channel in cells of equal length.

    Parameters
    ----------
    low, high : ndarray, shape (cells, channels)
        Values in the recording's own data type; NaN where a sample is NaN.
    """

    low: npt.NDArray[Any]
    high: npt.NDArray[Any]

    def __len__(self) -> int:
        return len(self.low)

    @staticmethod
    def joined(parts: list[Cells]) -> Cells:
        """Return the cells of consecutive parts of a recording as one."""
        return Cells(np.concatenate([p.low for p in parts]), np.concatenate([p.high for p in parts]))


@dataclass(frozen=True, eq=False)
class Screen:
    """What is an artefact on each channel of a recording.

    Parameters
    ----------
    cell_samples : int
        Length of a cell.
    spikes : ndarray of float64, shape (channels,)
        Swing of the trace at the largest unit's spikes, in the recording's unit; infinite if not known.
    quiet : ndarray of float64, shape (channels,)
        Usual swing of the noise.
    offset : ndarray of float64, shape (channels,)
        Usual value of the trace.
    prompt : bool
        Whether a cell is decided at once, by the past alone, for low latency. Less of a bad stretch is then
        found: its beginning only from where it is seen, and no short gaps.
    """

    cell_samples: int
    spikes: npt.NDArray[np.float64]
    quiet: npt.NDArray[np.float64]
    offset: npt.NDArray[np.float64]
    prompt: bool = False

    def of_channels(self, columns: tuple[int, ...]) -> Screen:
        """Return the screen for some channels of the recording."""
        kept = list(columns)
        return replace(self, spikes=self.spikes[kept], quiet=self.quiet[kept], offset=self.offset[kept])

    @property
    def limit(self) -> npt.NDArray[np.float64]:
        """Swing that no spikes and no noise make."""
        return LARGEST * self.spikes + NOISE * self.quiet

    @property
    def loud(self) -> npt.NDArray[np.float64]:
        """Swing of a single cell above which it belongs to an artefact nearby."""
        return LOUD * self.quiet

    @property
    def off(self) -> npt.NDArray[np.float64]:
        """Swing below which a channel is switched off; 0 where the noise is not known."""
        return np.where(np.isfinite(self.quiet), OFF * self.quiet, 0.0)

    @property
    def margin_cells(self) -> Margin:
        """Greatest distance of the cells that a cell's kind depends on, in cells."""
        beside = EDGE_CELLS + GAP_CELLS
        reaches = (AFTER_CELLS, BEFORE_CELLS)
        before, after = (max(2 * AROUND + reach, DEAD_CELLS) + beside for reach in reaches)
        return Margin(before + 2 * AROUND, 0) if self.prompt else Margin(before, after)


def measure_cells(raw: npt.NDArray[Any], cell_samples: int) -> Cells:
    """Return the least and greatest values of cells; the last one may be shorter.

    Parameters
    ----------
    raw : ndarray, shape (samples, channels)
        From the first sample of a cell on.
    cell_samples : int

    Examples
    --------
    >>> cells = measure_cells(np.array([[1], [5], [2], [9], [7]]), 2)
    >>> cells.low[:, 0], cells.high[:, 0]
    (array([1, 2, 7]), array([5, 9, 7]))
    """
    whole = len(raw) // cell_samples * cell_samples
    shaped = raw[:whole].reshape(-1, cell_samples, raw.shape[1])
    low, high = shaped.min(axis=1), shaped.max(axis=1)
    if whole < len(raw):
        low = np.concatenate([low, raw[whole:].min(axis=0, keepdims=True)])
        high = np.concatenate([high, raw[whole:].max(axis=0, keepdims=True)])
    return Cells(low, high)


def swings(cells: Cells, reach: int = AROUND) -> npt.NDArray[np.float64]:
    """Return the range of each channel's values around each cell; anything where a sample is missing.

    Parameters
    ----------
    cells : Cells
    reach : int
        Number of cells on either side.

    Examples
    --------
    >>> cells = measure_cells(np.r_[np.zeros(8), 4.0, np.zeros(7)][:, None], 2)
    >>> swings(cells)[:, 0]
    array([0., 0., 4., 4., 4., 4., 4., 0.])
    """
    width = 2 * reach + 1
    high = maximum_filter1d(cells.high.astype(np.float64), width, axis=0, mode="nearest")
    low = minimum_filter1d(cells.low.astype(np.float64), width, axis=0, mode="nearest")
    with np.errstate(invalid="ignore"):  # inf - inf
        return np.asarray(high - low)


def may_be_bad(cells: Cells, screen: Screen) -> bool:
    """Return whether some cell may be bad; quicker than `find_bad_cells` to say that none is.

    Examples
    --------
    >>> screen = Screen(2, np.array([2.0]), np.array([1.0]), np.zeros(1))
    >>> quiet, loud = np.array([[1], [2], [3], [1]]), np.array([[1], [2], [3], [99]])
    >>> may_be_bad(measure_cells(quiet, 2), screen), may_be_bad(measure_cells(loud, 2), screen)
    (False, True)
    """
    low, high = (side.astype(np.float64) for side in (cells.low.min(axis=0), cells.high.max(axis=0)))
    if not np.isfinite([low, high]).all():
        return True
    calm = bool(np.all(high - low <= screen.limit)) or bool(np.all(swings(cells) <= screen.limit))
    return not calm or bool((cells.low == cells.high).any()) or _may_be_off(cells, screen)


def find_bad_cells(cells: Cells, screen: Screen) -> CellKinds:
    """Return the kind of each cell: a position in `KINDS`, or -1 if it is good.

    Parameters
    ----------
    cells : Cells
        Consecutive ones. What is returned for a cell is final if `screen.margin_cells` lie on either side,
        or the recording ends there.
    screen : Screen

    Returns
    -------
    ndarray of int8, shape (cells,)
    """
    missing = ~(np.isfinite(cells.low) & np.isfinite(cells.high)).all(axis=1)
    known = Cells(*(np.where(missing[:, None], 0, side) for side in (cells.low, cells.high)))
    swing = swings(known)
    swing[binary_dilation(missing, iterations=AROUND)] = 0  # what stands in for missing values is no jump
    near = binary_dilation(np.any(swing > screen.limit, axis=1), iterations=AROUND)
    loud = np.any(_own_swings(known) > screen.loud, axis=1) & ~missing
    still = (known.low == known.high) & _as_before(known.low) & ~missing[:, None]
    if screen.prompt:
        artefact = _carried(_later(near, 2 * AROUND) & loud, loud, AFTER_CELLS)
        still = _run_lengths(still) >= DEAD_CELLS
    else:
        artefact, still = _extended(near & loud, loud), _long_runs(still)
    if _may_be_off(known, screen):
        still |= _off(known, missing, screen)
    dead = still.any(axis=1)
    extreme = (still & (np.abs(known.low - screen.offset) > screen.limit / 2)).any(axis=1)
    kinds = np.full(len(cells), NOT_BAD, np.int8)
    for flags, kind in ((artefact, ARTEFACT), (dead, DEAD), (extreme, SATURATED), (missing, MISSING)):
        kinds[flags] = kind
    if screen.prompt:
        return np.where(kinds == NOT_BAD, _later(kinds, EDGE_CELLS, NOT_BAD), kinds).astype(np.int8)
    return _without_gaps(_with_edges(kinds))


def bad_cells_of_channels(cells: Cells, screen: Screen) -> CellKinds:
    """Return the kind of each cell on each channel alone, whatever the others do there.

    It tells which channels are worth using; `find_bad_cells` decides what is bad for those that are used.

    Parameters
    ----------
    cells : Cells
    screen : Screen

    Returns
    -------
    ndarray of int8, shape (cells, channels)
        A position in `KINDS`, or -1 if it is good.

    Examples
    --------
    >>> trace = np.random.default_rng(0).standard_normal((1200, 2))
    >>> trace[:, 1] = 0
    >>> screen = Screen(12, np.full(2, 9.0), np.full(2, 4.0), np.zeros(2))
    >>> kinds = bad_cells_of_channels(measure_cells(trace, 12), screen)
    >>> [KINDS[kind] if kind >= 0 else "good" for kind in kinds[50].tolist()]
    ['good', 'dead']
    """
    if not may_be_bad(cells, screen):
        return np.full(cells.low.shape, NOT_BAD, np.int8)
    missing = ~(np.isfinite(cells.low) & np.isfinite(cells.high))
    known = Cells(*(np.where(missing, 0, side) for side in (cells.low, cells.high)))
    beside = binary_dilation(missing, _COLUMN, iterations=AROUND)
    near = binary_dilation((swings(known) > screen.limit) & ~beside, _COLUMN, iterations=AROUND)
    artefact = near & (_own_swings(known) > screen.loud)
    still = _long_runs((known.low == known.high) & _as_before(known.low) & ~missing)
    if _may_be_off(known, screen):
        quiet = (swings(known, OFF_REACH) < screen.off) & ~beside
        still |= binary_dilation(quiet, _COLUMN, iterations=OFF_REACH)
    kinds = np.full(missing.shape, NOT_BAD, np.int8)
    for flags, kind in ((artefact, ARTEFACT), (still, DEAD), (missing, MISSING)):
        kinds[flags] = kind
    return kinds


def _may_be_off(cells: Cells, screen: Screen) -> bool:
    """Return whether some cell alone is so quiet as one that is switched off."""
    return bool((cells.high.astype(np.float64) - cells.low < screen.off).any())


def _off(known: Cells, missing: Flags, screen: Screen) -> Flags:
    """Return the cells, shape (cells, channels), in a window without missing ones in which a channel is off.

    A prompt screen knows only the window that ends with the cell.
    """
    swing = swings(known, OFF_REACH)
    whole = np.zeros(len(known), np.bool_)
    whole[OFF_REACH:-OFF_REACH] = True
    whole &= ~binary_dilation(missing, iterations=OFF_REACH)
    middles = (swing < screen.off) & whole[:, None]
    if screen.prompt:
        return np.concatenate([np.zeros_like(middles[:OFF_REACH]), middles])[: len(middles)]
    return np.asarray(maximum_filter1d(middles, 2 * OFF_REACH + 1, axis=0, mode="nearest"))


def _own_swings(cells: Cells) -> npt.NDArray[np.float64]:
    """Return the range of each channel's values in each cell, from the last value before it on."""
    high, low = cells.high.astype(np.float64), cells.low.astype(np.float64)
    jump = np.maximum(low[1:] - high[:-1], low[:-1] - high[1:])
    swing = high - low
    swing[1:] = np.maximum(swing[1:], jump)
    return swing


def stretches_of(kinds: CellKinds, cell_samples: int, *, n_samples: int) -> BadStretches:
    """Return the stretches of a whole recording's cells.

    Examples
    --------
    >>> list(stretches_of(np.array([-1, 4, 4, -1, 2], np.int8), 10, n_samples=45))
    [BadStretch(start=10, stop=30, kind='artefact'), BadStretch(start=40, stop=45, kind='dead')]
    """
    edges = np.flatnonzero(np.diff(kinds != NOT_BAD, prepend=False, append=False)).reshape(-1, 2)
    first = [int(kinds[a:b].min()) for a, b in edges.tolist()]
    start, stop = edges[:, 0] * cell_samples, np.minimum(edges[:, 1] * cell_samples, n_samples)
    return BadStretches(start, stop, np.array(first, np.int64))


def _extended(beyond: Any, loud: Any) -> Flags:
    """Extend flags over neighbouring loud cells, as far as an artefact may reach."""
    forward = _carried(beyond, loud, AFTER_CELLS)
    backward = _carried(beyond[::-1], loud[::-1], BEFORE_CELLS)[::-1]
    return np.asarray(forward | backward)


def _later(values: Any, cells: int, first: int = 0) -> Any:
    """Return values moved to later cells."""
    return np.concatenate([np.full(cells, first, values.dtype), values])[: len(values)]


def _carried(seeds: Flags, through: Flags, most: int) -> Flags:
    """Return the cells at most `most` after a seed with none outside `through` in between."""
    places = np.arange(len(seeds))
    seed = np.maximum.accumulate(np.where(seeds, places, -most - 1))
    barrier = np.maximum.accumulate(np.where(through, -1, places))
    return np.asarray((places - seed <= most) & (barrier < seed))


def _as_before(low: npt.NDArray[Any]) -> Flags:
    same = np.ones(low.shape, np.bool_)
    same[1:] = low[1:] == low[:-1]
    same[:-1] |= same[1:]  # the first cell of a run
    return same


def _long_runs(flags: Flags) -> Flags:
    """Return the flags, shape (cells, channels), that stand in runs of at least `DEAD_CELLS` cells."""
    middles = _run_lengths(flags) + _run_lengths(flags[::-1])[::-1] - 1 >= DEAD_CELLS
    return np.asarray(flags & middles)


def _run_lengths(flags: Flags) -> npt.NDArray[np.int64]:
    """Return how many flags of a channel in a row are set up to each one."""
    places = np.arange(len(flags))[:, None]
    last = np.maximum.accumulate(np.where(flags, -1, places), axis=0)
    return np.asarray(np.where(flags, places - last, 0))


def _with_edges(kinds: CellKinds) -> CellKinds:
    """Add cells on either side of each bad stretch, of the kind beside them."""
    wider = kinds.copy()
    for _ in range(EDGE_CELLS):
        beside = np.maximum(np.r_[NOT_BAD, wider[:-1]], np.r_[wider[1:], NOT_BAD])
        wider = np.where(wider == NOT_BAD, beside, wider).astype(np.int8)
    return wider


def _without_gaps(kinds: CellKinds) -> CellKinds:
    """Fill short gaps between two bad stretches with the kind before them."""
    places, bad = np.arange(len(kinds)), kinds != NOT_BAD
    before = np.maximum.accumulate(np.where(bad, places, -GAP_CELLS - 1))
    after = np.minimum.accumulate(np.where(bad, places, len(kinds) + GAP_CELLS)[::-1])[::-1]
    inside = ~bad & (after - before <= GAP_CELLS) & (before >= 0) & (after < len(kinds))
    return np.where(inside, kinds[np.maximum(before, 0)], kinds).astype(np.int8)
