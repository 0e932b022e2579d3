"""Join recordings of one session into one, in which units are found together."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from spikesorter.core.bad_stretches import BadStretches
from spikesorter.core.errors import InputError, naming
from spikesorter.core.spike import same_rate, shown_hz
from spikesorter.io.recording import check_recording
from spikesorter.io.recording_parts import in_order
from spikesorter.io.samples import centred, read_samples

if TYPE_CHECKING:
    from spikeinterface import BaseRecording

__all__ = ["MOST_SECONDS", "joined"]

logger = logging.getLogger(__name__)
MOST_SECONDS = 300.0  # of all recordings together
SAME_GAIN = 1e-4  # relative; files store gains with few digits


def joined(
    recordings: Sequence[tuple[BaseRecording, BadStretches, Path]],
) -> tuple[BaseRecording, BadStretches]:
    """Return one recording of the middle of each, one after the other, and its bad stretches.

    Parameters
    ----------
    recordings : sequence of (spikeinterface.BaseRecording, BadStretches, Path)
        With equal sampling rates and channels, in any order. If there is only one, it is returned whole.
        If all state the unit of their samples (`gain_to_uV`), they may differ in it by one factor.

    Returns
    -------
    recording : spikeinterface.BaseRecording
        Each part without its median, so that no step is between two, in the first one's unit.
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
            factor = _factor(ordered, first, own=own, whose=path)
        n_samples = one.get_num_frames()
        length = min(n_samples, most)
        start = (n_samples - length) // 2
        raw = read_samples(ordered, start, start + length)
        part = centred(raw, np.nanmedian(raw, axis=0))
        parts.append(part if factor == 1 else part * np.float32(factor))
        bad = bad.joined(excluded.within(start, start + length).shifted(at - start))
        at += length
    together = NumpyRecording([np.concatenate(parts)], fs_hz, channel_ids=first.get_channel_ids())
    if first.get_property("group") is not None:
        together.set_property("group", first.get_property("group"))
    return together, bad


def _factor(one: BaseRecording, first: BaseRecording, *, own: Path, whose: Path) -> float:
    """Return what samples of a recording are multiplied by to be in the unit of the first one.

    Channels in the same order are expected. One sorter is adapted to all recordings of the session, each by
    one gain for all channels, so channels that need factors of their own are refused.
    """
    own_uv, first_uv = _microvolts(one), _microvolts(first)
    if own_uv is None and first_uv is None:
        return 1.0
    if own_uv is None or first_uv is None:
        stating, silent = (whose, own) if own_uv is None else (own, whose)
        logger.warning(
            "%s does not state the unit of its samples, but %s does; they are taken to be the same",
            silent,
            stating,
        )
        return 1.0
    factors = own_uv / first_uv
    if np.ptp(factors) > SAME_GAIN * np.abs(factors).max():
        shown = ", ".join(f"{factor:.4g}" for factor in factors.tolist())
        raise InputError(
            f"its channels have {shown} times the microvolts per step (gain_to_uV) of those of {whose}; "
            "recordings of a session may differ by one factor for all channels; write both in one unit "
            "first, for example with spikeinterface.preprocessing.scale_to_uV"
        )
    return 1.0 if abs(factors[0] - 1) < SAME_GAIN else float(factors[0])


def _microvolts(recording: BaseRecording) -> npt.NDArray[np.float64] | None:
    """Return what a step of each channel's samples is in microvolts, if it is stated of all."""
    gains = recording.get_property("gain_to_uV")
    if gains is None:
        return None
    values = np.asarray(gains, np.float64)
    return values if np.all(np.isfinite(values) & (values != 0)) else None
