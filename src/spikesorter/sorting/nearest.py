"""Which of several sorters fits a recording best."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING

from spikesorter.core.errors import ModelError
from spikesorter.estimation.estimate import estimate_initially, is_faint
from spikesorter.io.samples import check_trace, read_representative, shortest_samples
from spikesorter.sorting.sorter import Sorter

if TYPE_CHECKING:
    from spikeinterface import BaseRecording

__all__ = ["nearest_sorter"]

logger = logging.getLogger(__name__)
LIKE_GAINS = (0.5, 2.0)


def nearest_sorter(sorters: Mapping[str, Sorter], target: BaseRecording) -> str:
    """Return the name of the sorter whose target was most like this one: in noise and gain.

    Parameters
    ----------
    sorters : mapping of str to Sorter
        Adapted from one fitted sorter.
    target : spikeinterface.BaseRecording

    Returns
    -------
    str

    Raises
    ------
    InputError
        If the target does not fit the sorters or cannot be used.
    """
    if not sorters:
        raise ModelError("there is no sorter to choose from")
    one = next(iter(sorters.values()))
    one.check_fits(target)
    raw = read_representative(target)
    if len(sorters) == 1 and len(raw) < shortest_samples(one.settings):
        return next(iter(sorters))  # too short to be measured, but not to be sorted
    check_trace(raw, one.settings)
    initial = estimate_initially(raw, one.units, one.settings, fs_hz=one.fs_hz)
    profile = initial.profile
    distances = {name: sorter.measured.distance(profile) for name, sorter in sorters.items()}
    nearest = min(distances, key=lambda name: (distances[name], name))
    if not is_faint(initial):
        _warn_of_other_gain(profile.activity.gain / sorters[nearest].measured.activity.gain, nearest)
    return nearest


def _warn_of_other_gain(ratio: float, name: str) -> None:
    if not LIKE_GAINS[0] <= ratio <= LIKE_GAINS[1]:
        logger.warning(
            "the spikes seem to be %.3g times as large as in %s, which the sorter was adapted to: "
            "is this recording in another unit? Adapt to it (train --targets, Sorter.adapt), or the result "
            "is not to be trusted",
            ratio,
            name,
        )
