"""Join recordings of one session into one, in which units are found together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from spikesorter.core.bad_stretches import BadStretches
from spikesorter.core.errors import InputError, naming
from spikesorter.core.spike import same_rate, shown_hz
from spikesorter.io.recording import check_recording
from spikesorter.io.recording_parts import in_order
from spikesorter.io.samples import centred, read_samples

if TYPE_CHECKING:
    from spikeinterface import BaseRecording

__all__ = ["MOST_SECONDS", "joined"]

MOST_SECONDS = 300.0  # of all recordings together


def joined(
    recordings: Sequence[tuple[BaseRecording, BadStretches, Path]],
) -> tuple[BaseRecording, BadStretches]:
    """Return one recording of the middle of each, one after the other, and its bad stretches.

    Parameters
    ----------
    recordings : sequence of (spikeinterface.BaseRecording, BadStretches, Path)
        With equal sampling rates and channels, in any order. If there is only one, it is returned whole.

    Returns
    -------
    recording : spikeinterface.BaseRecording
        Each part without its median, so that no step is between two.
    bad : BadStretches

    Raises
    ------
    InputError
        If the recordings do not belong together.

    Examples
    --------
    >>> from spikeinterface.core import NumpyRecording
    >>> parts = [NumpyRecording([np.full((n, 1), 7.0)], 25_000.0) for n in (1000, 500)]
    >>> recording, bad = joined([(part, BadStretches(), Path("a.npy")) for part in parts])
    >>> recording.get_num_frames()
    1500
    """
    from spikeinterface.core import NumpyRecording

    first, exclude, path = recordings[0]
    if len(recordings) == 1:
        return first, exclude
    fs_hz, channels = float(first.get_sampling_frequency()), first.get_num_channels()
    most = int(MOST_SECONDS * fs_hz / len(recordings))
    channel_ids = tuple(str(channel) for channel in first.get_channel_ids())
    parts, bad, at = [], BadStretches(), 0
    for one, excluded, own in recordings:
        with naming(own):
            check_recording(one)
            if not same_rate(one.get_sampling_frequency(), fs_hz) or one.get_num_channels() != channels:
                raise InputError(
                    f"has {one.get_num_channels()} channels at {shown_hz(one.get_sampling_frequency())}, but "
                    f"{path} has {channels} at {shown_hz(fs_hz)}; recordings of a session must be alike"
                )
            ordered = in_order(one, channel_ids, whose=str(path))
        n_samples = one.get_num_frames()
        length = min(n_samples, most)
        start = (n_samples - length) // 2
        raw = read_samples(ordered, start, start + length)
        parts.append(centred(raw, np.nanmedian(raw, axis=0)))
        bad = bad.joined(excluded.within(start, start + length).shifted(at - start))
        at += length
    together = NumpyRecording([np.concatenate(parts)], fs_hz, channel_ids=first.get_channel_ids())
    if first.get_property("group") is not None:
        together.set_property("group", first.get_property("group"))
    return together, bad
