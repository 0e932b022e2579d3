"""One segment and some channels of an opened recording, at the wanted sampling rate."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from spikesorter.core.errors import InputError
from spikesorter.io.formats import stem_of

if TYPE_CHECKING:
    from spikeinterface import BaseRecording

__all__ = [
    "Channel",
    "channel_names",
    "in_order",
    "lacks_channels",
    "note_on",
    "one_segment",
    "part_name",
    "select_channels",
    "select_group",
]

logger = logging.getLogger(__name__)
Channel = str | int
MOST_LISTED = 24


def one_segment(path: Path, recording: BaseRecording, segment: int | None) -> BaseRecording:
    """Return the wanted segment (from 0), or the only one.

    Raises
    ------
    InputError
        If there is no such segment, or there are several and none is wanted.
    """
    count = recording.get_num_segments()
    if segment is None and count == 1:
        return recording
    rate = recording.get_sampling_frequency()
    lengths = ", ".join(f"{recording.get_num_samples(k) / rate:.1f} s" for k in range(count))
    if segment is None:
        raise InputError(
            f"{path}: has {count} segments ({lengths}); choose one with segment=0 to {count - 1} (--segment)"
        )
    if not 0 <= segment < count:
        raise InputError(f"{path}: has no segment {segment}; there are 0 to {count - 1} ({lengths})")
    return recording.select_segments([segment])


def part_name(path: Path, segment: int | None) -> str:
    """Return the name of a recording, or of one of its segments, which its result has.

    Examples
    --------
    >>> part_name(Path("night/a.ns5"), None), part_name(Path("night/a.ns5"), 2)
    ('a', 'a-segment2')
    """
    return stem_of(path) + ("" if segment is None else f"-segment{segment}")


def select_channels(path: Path, recording: BaseRecording, wanted: tuple[Channel, ...]) -> BaseRecording:
    """Return channels by id, by name or, if neither matches, by position (from 0); all if none is wanted.

    Raises
    ------
    InputError
        If there is no such channel.

    Examples
    --------
    >>> import numpy as np
    >>> from spikeinterface.core import NumpyRecording
    >>> recording = NumpyRecording([np.zeros((9, 3), np.int16)], 30_000.0, channel_ids=["a", "b", "c"])
    >>> select_channels(Path("D1.nwb"), recording, ("c", 0)).channel_ids.tolist()
    ['c', 'a']
    """
    if not wanted:
        return recording
    ids = list(recording.channel_ids)
    by_id = {str(key): key for key in ids}
    names = recording.get_property("channel_name")
    by_name = {} if names is None else dict(zip(map(str, names), ids, strict=True))
    by_place = {str(place): key for place, key in enumerate(ids)}
    known = by_place | by_name | by_id
    for channel in wanted:
        if str(channel) not in known:
            raise InputError(f"{path}: has no channel {channel}; there are {_listed(list(map(str, ids)))}")
    return recording.select_channels(list(dict.fromkeys(known[str(channel)] for channel in wanted)))


def in_order(
    recording: BaseRecording, known: tuple[str, ...], *, whose: str = "the labelled recording"
) -> BaseRecording:
    """Return a recording with its channels in a known order, by their ids.

    Parameters
    ----------
    recording : spikeinterface.BaseRecording
    known : tuple of str
        As many ids as it has channels, or none if they are not known.
    whose : str
        The recording that has these, for the message of an error.

    Returns
    -------
    spikeinterface.BaseRecording
        As it is, if its ids, or the known ones, only count the channels.

    Raises
    ------
    InputError
        If its ids are others.

    Examples
    --------
    >>> import numpy as np
    >>> from spikeinterface.core import NumpyRecording
    >>> recording = NumpyRecording([np.int16([[1, 2], [3, 4]])], 30_000.0, channel_ids=["e2", "e1"])
    >>> in_order(recording, ("e1", "e2")).get_traces().tolist()
    [[2, 1], [4, 3]]
    """
    own = dict(zip(map(str, recording.channel_ids), recording.channel_ids, strict=True))
    if not known or tuple(own) == known:
        return recording
    if {*own} == {*known}:
        logger.info("channels are put in the order %s, as in %s", _listed(list(known)), whose)
        return recording.select_channels([own[channel] for channel in known])
    if _count(tuple(own)) or _count(known):
        return recording
    raise InputError(
        f"has the channels {_listed(list(own))}, but {whose} has {_listed(list(known))}; "
        "choose these with channel=ID (--channel). If they are the same electrodes under other names, rename "
        "them in Python: recording.rename_channels"
    )


def lacks_channels(own: Sequence[str], known: Sequence[str]) -> bool:
    """Return whether a recording has some of the known channels, and no others, by ids that tell which.

    Examples
    --------
    >>> lacks_channels(["e3", "e1"], ["e1", "e2", "e3"]), lacks_channels(["e1", "e4"], ["e1", "e2", "e3"])
    (True, False)
    >>> lacks_channels(["0", "2"], ["0", "1", "2"]), lacks_channels(["0", "1"], ["0", "1", "2"])
    (True, False)
    """
    return 0 < len(own) < len(known) and {*own} < {*known} and not _count(tuple(own))


def channel_names(recording: BaseRecording) -> tuple[list[str], str]:
    """Return what each channel is called in messages, and a note on what that is.

    Names are ids, so that they stay the same when some channels of a recording are left out.

    Returns
    -------
    names : list of str
    note : str
        "" unless the ids count the channels from 0.

    Examples
    --------
    >>> import numpy as np
    >>> from spikeinterface.core import NumpyRecording
    >>> recording = NumpyRecording([np.zeros((9, 3), np.int16)], 30_000.0)
    >>> channel_names(recording)
    (['0', '1', '2'], ' (counted from 0)')
    >>> channel_names(recording.select_channels([1, 2]))
    (['1', '2'], '')
    """
    names = [str(one) for one in recording.channel_ids]
    return names, note_on(names)


def note_on(names: Sequence[str]) -> str:
    """Return the note of `channel_names` on some names."""
    return " (counted from 0)" if list(names) == [str(k) for k in range(len(names))] else ""


def _count(ids: tuple[str, ...]) -> bool:
    """Return whether ids only count the channels, from 0 or from 1."""
    return any(ids == tuple(str(start + k) for k in range(len(ids))) for start in (0, 1))


def select_group(path: Path, recording: BaseRecording, group: Channel | None) -> BaseRecording:
    """Return the channels whose property `group` has this value; all if it is None.

    Raises
    ------
    InputError
        If there are none.
    """
    if group is None:
        return recording
    values = recording.get_property("group")
    if values is None:
        raise InputError(f"{path}: its channels have no groups; choose them with channel=ID (--channel)")
    groups = [str(value) for value in values]
    chosen = [key for key, value in zip(recording.channel_ids, groups, strict=True) if value == str(group)]
    if not chosen:
        raise InputError(f"{path}: has no group {group}; there are {_listed(sorted(set(groups)))}")
    return recording.select_channels(chosen)


def _listed(names: list[str]) -> str:
    more = len(names) - MOST_LISTED
    return ", ".join(names[:MOST_LISTED]) + (f" and {more} more" if more > 0 else "")
