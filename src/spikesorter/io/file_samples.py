"""Samples of plain files, which are read and not mapped.

A file that becomes shorter while it is mapped ends the process (SIGBUS); when it is read, that is an error.
The pages of a mapped file also count as memory of the process.
"""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from spikeinterface.core import BaseRecording, BaseRecordingSegment

from spikesorter.io.bounds import became_shorter

__all__ = ["StoredSamples", "read_from"]


@dataclass(frozen=True)
class StoredSamples:
    """Where the samples of a file are.

    Parameters
    ----------
    path : Path
    dtype : dtype
    n_samples, channels : int
    offset : int
        Bytes before the first sample.
    planar : bool
        Whether each channel is stored as a whole, one after the other; otherwise they are interleaved.
    """

    path: Path
    dtype: np.dtype
    n_samples: int
    channels: int
    offset: int = 0
    planar: bool = False


def read_from(recording: BaseRecording, stored: StoredSamples) -> BaseRecording:
    """Let a recording of SpikeInterface that maps a file read it instead; return it.

    Its class stays SpikeInterface's, so that what is derived from it can be saved and loaded there.

    Parameters
    ----------
    recording : spikeinterface.BaseRecording
        One segment.
    stored : StoredSamples

    Returns
    -------
    spikeinterface.BaseRecording
    """
    segment = _FileSegment(stored, recording.get_sampling_frequency())
    segment.set_parent_extractor(recording)
    recording.segments[:] = [segment]
    return recording


class _FileSegment(BaseRecordingSegment):  # type: ignore[misc]  # the base class has no types
    """A segment that reads the samples that are asked for."""

    def __init__(self, stored: StoredSamples, fs_hz: float) -> None:
        super().__init__(sampling_frequency=fs_hz)
        self._stored = stored
        self._file = stored.path.open("rb", buffering=0)
        self._seeking = threading.Lock()

    def get_num_samples(self) -> int:
        """Return the number of samples."""
        return self._stored.n_samples

    def get_traces(
        self, start_frame: int | None = None, end_frame: int | None = None, channel_indices: Any = None
    ) -> npt.NDArray[Any]:
        """Return samples, shape (samples, channels).

        Raises
        ------
        InputError
            If the file has become shorter.
        """
        stored = self._stored
        start = 0 if start_frame is None else int(start_frame)
        stop = stored.n_samples if end_frame is None else int(end_frame)
        if not stored.planar:
            trace = np.empty((stop - start, stored.channels), stored.dtype)
            self._fill(trace, start * stored.channels)
            return trace if channel_indices is None else trace[:, channel_indices]
        chosen = range(stored.channels) if channel_indices is None else channel_indices
        wanted = np.arange(stored.channels)[chosen]
        columns = np.empty((len(wanted), stop - start), stored.dtype)
        for column, channel in zip(columns, wanted.tolist(), strict=True):
            self._fill(column, channel * stored.n_samples + start)
        return columns.T

    def _fill(self, values: npt.NDArray[Any], first: int) -> None:
        """Read as many values as an array has, from the so-manieth value of the file."""
        left = values.reshape(-1).view(np.uint8).data
        place = self._stored.offset + first * self._stored.dtype.itemsize
        while left:
            count = self._read(left, place)
            if count == 0:
                raise became_shorter(self._stored.path)
            left, place = left[count:], place + count

    def _read(self, left: memoryview, place: int) -> int:
        """Read some bytes from a place in the file; return how many."""
        if hasattr(
            os, "preadv"
        ):  # several threads, and processes that were forked, do not disturb each other
            return os.preadv(self._file.fileno(), [left], place)
        with self._seeking:
            self._file.seek(place)
            return self._file.readinto(left) or 0

    def __del__(self) -> None:
        """Close the file."""
        if hasattr(self, "_file"):
            self._file.close()
