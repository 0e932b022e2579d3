"""Return a sorter that suits a recording some of whose channels are broken: one that goes by the others."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from spikesorter.core.bad_stretches import BadStretches
from spikesorter.core.errors import InputError
from spikesorter.core.progress import Progress, silent
from spikesorter.sorting.adaptation import tune_for
from spikesorter.sorting.narrowing import choose_for, narrow
from spikesorter.sorting.state import SorterState

if TYPE_CHECKING:
    from spikeinterface import BaseRecording

__all__ = ["suited", "without_channels"]

logger = logging.getLogger(__name__)
Made = dict[tuple[int, ...], SorterState]
_MADE: WeakKeyDictionary[SorterState, Made] = WeakKeyDictionary()
_MAKING = threading.Lock()


def suited(
    state: SorterState,
    target: BaseRecording,
    *,
    exclude: BadStretches | None = None,
    n_jobs: int,
    progress: Progress = silent,
) -> SorterState:
    """Return a sorter's state for a recording: its own or, if channels are broken, one of the others.

    Parameters
    ----------
    state : SorterState
    target : spikeinterface.BaseRecording
    exclude : BadStretches, optional
        Parts of it that do not count.
    n_jobs : int
        Number of threads; it does not affect the result.
    progress : callable, optional

    Returns
    -------
    SorterState
        Tuned for the same noise, gain and rates on the channels that are used. It is kept for further
        recordings as long as the sorter's own.

    Raises
    ------
    InputError
        If the recording does not fit the sorter, or nothing can be sorted by the channels that are left.
    """
    if state.channels == 1:
        return state
    choice = choose_for(state, state.fitting(target), as_it_is=True, exclude=exclude)
    if not choice.words:
        return state
    logger.warning("%s", choice.words)
    narrowed = without_channels(state, choice.used, n_jobs=n_jobs, progress=progress)
    return replace(narrowed, remark=choice.words)


def without_channels(
    state: SorterState, columns: tuple[int, ...], *, n_jobs: int, progress: Progress = silent
) -> SorterState:
    """Return a sorter's state that goes by some of its channels, tuned for the same recording.

    Parameters
    ----------
    state : SorterState
    columns : tuple of int
        Positions of the channels that are left, among those that it goes by.
    n_jobs, progress
        As for `suited`.

    Returns
    -------
    SorterState

    Raises
    ------
    InputError
        As for `suited`.
    """
    if len(columns) == state.channels:
        return state
    with _MAKING:  # once, though several recordings are sorted at a time
        made = _MADE.setdefault(state, {})
        if columns not in made:
            made[columns] = _without(state, columns, n_jobs=n_jobs, progress=progress)
        return made[columns]


def columns_without(state: SorterState, channels: Sequence[str | int]) -> tuple[int, ...]:
    """Return the positions, among the channels that a sorter goes by, of those that are not named.

    Parameters
    ----------
    state : SorterState
    channels : sequence of str or int
        Ids or, if none has that id, positions from 0, in the labelled recording.

    Returns
    -------
    tuple of int

    Raises
    ------
    InputError
        If there is no such channel, or none is left.
    """
    places = {str(k): k for k in range(state.received)}
    places |= {name: k for k, name in enumerate(state.channel_ids)}
    unknown = [str(one) for one in channels if str(one) not in places]
    if unknown:
        known = ", ".join(state.channel_ids or map(str, range(state.received)))
        raise InputError(f"has no channel {', '.join(unknown)}; there are {known}")
    gone = {places[str(one)] for one in channels}
    left = tuple(k for k, place in enumerate(state.columns) if place not in gone)
    if not left:
        raise InputError("no channel is left")
    return left


def _without(state: SorterState, columns: tuple[int, ...], *, n_jobs: int, progress: Progress) -> SorterState:
    left = narrow(state, columns)
    if left.words:
        logger.warning("%s", left.words)
    tuned = tune_for(
        left.lessons,
        left.profile(state.profile),
        measured=left.profile(state.measured),
        screen=state.own_screen.of_channels(columns),
        target_samples=None,
        train=True,
        n_jobs=n_jobs,
        progress=progress,
    )
    tuned = replace(
        tuned,
        following=None,
        forecast=left.forecast(tuned.forecast),
        channel_ids=state.channel_ids,
        used=tuple(state.columns[k] for k in columns),
    )
    threshold, refractory_ms = state.asked
    return tuned.with_working_point(threshold=threshold, refractory_ms=refractory_ms)
