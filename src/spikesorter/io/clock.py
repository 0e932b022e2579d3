"""The clock of a recording that states when each sample was taken: its gaps, and the times of samples."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from spikesorter.core.bad_stretches import BadStretches

if TYPE_CHECKING:
    from spikeinterface import BaseRecording

__all__ = ["counted_gaps", "find_gaps", "times_of"]

logger = logging.getLogger(__name__)
AROUND_S = 0.001  # on either side of a gap: a spike across it is cut
LEAST_GAP = 1.5  # sampling periods between neighbouring samples
MOST_GAPS_PER_S, FEW_GAPS = 1.0, 20  # more are those of a clock that was read when samples arrived
CHUNK_SAMPLES = 1 << 20
Reader = Callable[[int, int], npt.NDArray[Any]]


def find_gaps(recording: BaseRecording) -> BadStretches:
    """Return what lies next to gaps in a recording's time stamps, as missing stretches.

    The samples on either side of a gap are neighbours in the file, but not in time.

    Parameters
    ----------
    recording : spikeinterface.BaseRecording
        One segment.

    Returns
    -------
    BadStretches
        None if the recording states only when it begins.

    Examples
    --------
    >>> from spikeinterface.core import NumpyRecording
    >>> recording = NumpyRecording([np.zeros((3000, 1), np.int16)], 1000.0)
    >>> recording.set_times(np.r_[0:1:0.001, 5:7:0.001])
    >>> list(find_gaps(recording))
    [BadStretch(start=999, stop=1001, kind='missing')]
    """
    if not recording.has_time_vector(0):
        return BadStretches()
    fs_hz, n_samples = float(recording.get_sampling_frequency()), recording.get_num_frames()
    return _around(_gaps(_reader(recording), n_samples, LEAST_GAP / fs_hz), n_samples, fs_hz=fs_hz)


def counted_gaps(recording: BaseRecording, segment: int) -> BadStretches:
    """Return the same for gaps in the numbers that Open Ephys gives to samples, which SpikeInterface ignores.

    Parameters
    ----------
    recording : spikeinterface.BaseRecording
        As SpikeInterface's reader opened it, of any format.
    segment : int

    Returns
    -------
    BadStretches
        None if it has no such numbers.
    """
    numbers = _sample_numbers(recording, segment)
    if numbers is None:
        return BadStretches()
    n_samples = min(len(numbers), recording.get_num_samples(segment))
    places = _gaps(lambda start, stop: numbers[start:stop], n_samples, LEAST_GAP)
    return _around(places, n_samples, fs_hz=float(recording.get_sampling_frequency()))


def times_of(recording: BaseRecording, samples: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Return the times of samples, in any order, on the recording's clock.

    Time stamps are read part by part, as those of an hour take as much memory as a trace.

    Examples
    --------
    >>> from spikeinterface.core import NumpyRecording
    >>> recording = NumpyRecording([np.zeros((3000, 1), np.int16)], 1000.0)
    >>> recording.set_times(np.r_[0:1:0.001, 5:7:0.001])
    >>> times_of(recording, np.array([1000, 999]))
    array([5.   , 0.999])
    """
    if not recording.has_time_vector(0):
        return np.asarray(recording.sample_index_to_time(samples), np.float64)
    read, times = _reader(recording), np.empty(len(samples))
    for start, stop in _chunks(recording.get_num_frames()):
        here = (samples >= start) & (samples < stop)
        if here.any():
            times[here] = read(start, stop)[samples[here] - start]
    return times


def _reader(recording: BaseRecording) -> Reader:
    return lambda start, stop: recording.get_times(0, start_frame=start, end_frame=stop)


def _gaps(read: Reader, n_samples: int, most: float) -> list[int]:
    """Return each sample that comes later after the one before than it may, or before it."""
    found: list[int] = []
    for start, stop in _chunks(n_samples):
        steps = np.diff(read(max(start - 1, 0), stop).astype(np.float64, copy=False))
        found += (np.flatnonzero((steps > most) | (steps < 0)) + max(start, 1)).tolist()
    return found


def _around(places: list[int], n_samples: int, *, fs_hz: float) -> BadStretches:
    if len(places) > max(MOST_GAPS_PER_S * n_samples / fs_hz, FEW_GAPS):
        logger.warning(
            "%d of %d time stamps are further apart than samples: they are taken for unsteady, not for gaps",
            len(places), n_samples,
        )  # fmt: skip
        return BadStretches()
    reach = max(round(AROUND_S * fs_hz), 1)
    rows = [(place - reach, place + reach, "missing") for place in places]
    return BadStretches.of([(max(a, 0), min(b, n_samples), kind) for a, b, kind in rows])


def _chunks(n_samples: int) -> Iterator[tuple[int, int]]:
    for start in range(0, n_samples, CHUNK_SAMPLES):
        yield start, min(start + CHUNK_SAMPLES, n_samples)


def _sample_numbers(recording: BaseRecording, segment: int) -> npt.NDArray[Any] | None:
    """Return the sample numbers beside an Open Ephys stream; before version 0.6, in `timestamps.npy`."""
    reader = getattr(recording, "neo_reader", None)
    streams = getattr(reader, "_sig_streams", None)
    if streams is None:
        return None
    block, stream = getattr(recording, "block_index", None) or 0, getattr(recording, "stream_index", None)
    try:
        place = Path(streams[block][segment][stream]["raw_filename"])
    except (AttributeError, IndexError, KeyError, TypeError):  # another format of neo
        return None
    files = [place.with_name(name) for name in ("sample_numbers.npy", "timestamps.npy")]
    file = next((file for file in files if file.is_file()), None)
    numbers = None if file is None else np.load(file, mmap_mode="r", allow_pickle=False)
    return numbers if numbers is not None and numbers.ndim == 1 and numbers.dtype.kind in "iu" else None
