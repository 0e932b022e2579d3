"""Cut bad stretches out of a trace where no spike is cut through."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.ndimage import maximum_filter1d

from spikesorter.core.bad_stretches import BadStretches
from spikesorter.signal.screen import measure_cells

__all__ = ["between_spikes"]

NOISE_QUANTILE, LOUD = 0.2, 1.6  # of the ranges of cells; a spike makes them that much larger
QUIET_CELLS = 3  # in a row: as long as a spike
MOST_CELLS = 40  # that a stretch grows by on either side


def between_spikes(bad: BadStretches, raw: npt.NDArray[Any], cell_samples: int) -> BadStretches:
    """Widen bad stretches until no spike reaches over their ends.

    A spike of which a part was cut out is explained by no unit's shape, and many of them look like units of
    their own.

    Parameters
    ----------
    bad : BadStretches
    raw : ndarray, shape (samples, channels)
    cell_samples : int
        Length of the cells that are looked at, about half a millisecond.

    Returns
    -------
    BadStretches
        Little wider than they were where there is no quiet place near.
    """
    cells = measure_cells(np.nan_to_num(raw, posinf=0.0, neginf=0.0), cell_samples)
    ranges = cells.high.astype(np.float64) - cells.low
    good = ranges[~bad.contain(np.arange(len(ranges)) * cell_samples)]
    if not len(bad) or not len(good):
        return bad
    noise = np.quantile(good, NOISE_QUANTILE, axis=0)
    loud = np.any(maximum_filter1d(ranges, QUIET_CELLS, axis=0) > LOUD * noise, axis=1)
    widened = [
        (
            _nearest_quiet(loud, start // cell_samples - 1, -1) * cell_samples,
            (_nearest_quiet(loud, -(-stop // cell_samples), 1) + 1) * cell_samples,
            kind,
        )
        for start, stop, kind in bad
    ]
    return bad.joined(BadStretches.of(widened).within(0, len(raw)))


def _nearest_quiet(loud: npt.NDArray[np.bool_], cell: int, step: int) -> int:
    """Return the nearest quiet cell in one direction, or the first one if there is none."""
    for place in range(cell, cell + step * MOST_CELLS, step):
        if not 0 <= place < len(loud):
            break
        if not loud[place]:
            return place
    return min(max(cell, 0), len(loud) - 1)
