"""Snap a spike that a user places by hand to where it fits best."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from spikesorter.core.spikes import Spikes
from spikesorter.sorting.placing import Placement, Placer
from spikesorter.sorting.sorter import Sorter

if TYPE_CHECKING:
    from spikesorter.report.results import Result

__all__ = ["best_place"]

BEFORE_MS, AFTER_MS = 1.0, 0.4  # people point at peaks, which come after starts
PLACERS_KEPT = 8


def best_place(result: Result, others: Spikes, sample: int, unit: int | None) -> Placement | None:
    """Return where near a sample one more spike fits best, by the pursuit's evidence.

    Parameters
    ----------
    result : Result
    others : Spikes
        All other spikes of the recording, as corrected.
    sample : int
        Where the user pointed.
    unit : int or None
        The unit of the spike; any if None.

    Returns
    -------
    Placement or None
        None if the unit has no template, as one that the user has made.

    Raises
    ------
    InputError
        If there is no room for a spike.
    """
    placer = _placer(result.sorter)
    if unit is not None and unit not in placer.units:
        return None
    per_ms = result.sorter.fs_hz / 1000
    start, stop = max(sample - round(BEFORE_MS * per_ms), 0), sample + round(AFTER_MS * per_ms) + 1
    return placer.best(result.recording, others, start, min(stop, result.n_samples), unit=unit)


@lru_cache(maxsize=PLACERS_KEPT)
def _placer(sorter: Sorter) -> Placer:
    return Placer(sorter)
