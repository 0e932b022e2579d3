"""Change the sampling rate of a recording, of which samples of some channels may be missing."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from spikeinterface.preprocessing.basepreprocessor import BasePreprocessor, BasePreprocessorSegment

from spikesorter.core.bad_stretches import BadStretches
from spikesorter.core.spike import same_rate, shown_hz
from spikesorter.io.formats import reading
from spikesorter.io.samples import find_missing

if TYPE_CHECKING:
    from spikeinterface import BaseRecording

__all__ = ["resampled"]

logger = logging.getLogger(__name__)
Trace = npt.NDArray[np.float32]
Stretches = tuple[BadStretches, ...]
RESAMPLING_S = 0.005  # beside a missing sample, in which resampled ones depend on it


def resampled(path: Path, recording: BaseRecording, fs_hz: float | None) -> BaseRecording:
    """Return a recording at a sampling rate.

    Parameters
    ----------
    path : Path
        For messages.
    recording : spikeinterface.BaseRecording
    fs_hz : float or None
        None: as it is.

    Returns
    -------
    spikeinterface.BaseRecording
        As float32, if it had another rate; otherwise as it is. What depends on missing samples of a channel
        is NaN in that channel, so that the others can still be used.
    """
    own = float(recording.get_sampling_frequency())
    if fs_hz is None or same_rate(own, fs_hz):
        return recording
    from spikeinterface.preprocessing import resample

    missing = find_missing(recording)
    some = any(map(len, missing))
    source = _Changed(recording, missing, 0.0) if some else recording
    with reading(path, "a recording to resample"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a rate that differs by parts in a million
        changed: BaseRecording = resample(source, fs_hz, dtype="float32")
    logger.info("%s: resampled from %s to %s", path, shown_hz(own), shown_hz(fs_hz))
    if not some:
        return changed
    margin, n_samples = round(RESAMPLING_S * own), recording.get_num_frames()
    wider = [
        BadStretches.of([(max(start - margin, 0), stop + margin, kind) for start, stop, kind in channel])
        for channel in missing
    ]
    there = tuple(channel.within(0, n_samples).at_rate(fs_hz / own) for channel in wider)
    return _Changed(changed, there, np.nan)


class _Changed(BasePreprocessor):  # type: ignore[misc]  # the base class has no types
    """A recording with one value in some stretches of each channel."""

    def __init__(self, recording: BaseRecording, stretches: Stretches, value: float) -> None:
        super().__init__(recording)
        (parent,) = recording.segments
        self.add_recording_segment(_Segment(parent, stretches, value))
        self._kwargs = {"recording": recording, "stretches": stretches, "value": value}
        self._serializability["json"] = False


class _Segment(BasePreprocessorSegment):  # type: ignore[misc]  # the base class has no types
    def __init__(self, parent: Any, stretches: Stretches, value: float) -> None:
        super().__init__(parent)
        self._stretches, self._value = stretches, value

    def get_traces(self, start_frame: int, end_frame: int, channel_indices: Any) -> npt.NDArray[Any]:
        """Return samples, changed in the stretches."""
        read = self.parent_recording_segment.get_traces(start_frame, end_frame, channel_indices)
        trace: npt.NDArray[Any] = np.array(read)
        columns = np.arange(len(self._stretches))[slice(None) if channel_indices is None else channel_indices]
        for k, column in enumerate(columns.tolist()):
            inside = self._stretches[column].within(start_frame, end_frame)
            for start, stop, _ in inside:
                trace[start - start_frame : stop - start_frame, k] = self._value
        return trace
