"""Give a recording the channels that it lacks of those that a sorter knows, with missing samples."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from spikeinterface.core import BaseRecording, BaseRecordingSegment

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["with_missing_channels"]


def with_missing_channels(recording: BaseRecording, known: Sequence[str]) -> BaseRecording:
    """Return a recording with all known channels; those that it lacks are NaN throughout.

    Parameters
    ----------
    recording : spikeinterface.BaseRecording
        One segment, with some of the channels (`lacks_channels`).
    known : sequence of str
        Ids of the channels.

    Returns
    -------
    spikeinterface.BaseRecording
        As float32.

    Examples
    --------
    >>> from spikeinterface.core import NumpyRecording
    >>> recording = NumpyRecording([np.int16([[1, 2], [3, 4]])], 30_000.0, channel_ids=["e3", "e1"])
    >>> with_missing_channels(recording, ("e1", "e2", "e3")).get_traces().tolist()
    [[2.0, nan, 1.0], [4.0, nan, 3.0]]
    """
    own = [str(one) for one in recording.channel_ids]
    return _Completed(recording, own, list(known))


class _Completed(BaseRecording):  # type: ignore[misc]  # the base class has no types
    def __init__(self, recording: BaseRecording, own: list[str], known: list[str]) -> None:
        super().__init__(recording.get_sampling_frequency(), known, np.dtype(np.float32))
        columns = [own.index(one) if one in own else None for one in known]
        self.add_recording_segment(_Segment(recording, columns))


class _Segment(BaseRecordingSegment):  # type: ignore[misc]  # the base class has no types
    def __init__(self, recording: BaseRecording, columns: list[int | None]) -> None:
        super().__init__(**recording.segments[0].get_times_kwargs())
        self._recording, self._columns = recording, columns

    def get_num_samples(self) -> int:
        """Return the number of samples."""
        return int(self._recording.get_num_frames())

    def get_traces(
        self, start_frame: int | None = None, end_frame: int | None = None, channel_indices: Any = None
    ) -> npt.NDArray[Any]:
        """Return samples, shape (samples, channels)."""
        chosen = slice(None) if channel_indices is None else channel_indices
        wanted = [self._columns[k] for k in np.arange(len(self._columns))[chosen].tolist()]
        there = [k for k in wanted if k is not None]
        ids = [self._recording.channel_ids[k] for k in there]
        read = self._recording.get_traces(0, start_frame, end_frame, channel_ids=ids)
        trace = np.full((len(read), len(wanted)), np.nan, np.float32)
        trace[:, [k is not None for k in wanted]] = read
        return trace
