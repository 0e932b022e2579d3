"""Subtract the responses to events, such as stimulation pulses, from a recording."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from spikeinterface.preprocessing.basepreprocessor import BasePreprocessor, BasePreprocessorSegment

from spikesorter.core.errors import InputError
from spikesorter.io.samples import read_samples
from spikesorter.signal.spans import to_samples

if TYPE_CHECKING:
    from spikeinterface import BaseRecording

__all__ = ["without_responses"]

GROUP = 32  # successive events with one mean response, so that slow change is followed
FEWEST = 8  # events whose median spikes hardly change
BASE_MS = 4.0  # before an event, in which the level is measured that a response starts from
FADING = 1 / 4  # of the response, at its end
ROUNDS = 3  # of the median of events that are divided by their sizes, and of sizes
SIZES = (0.5, 2.0)  # of single responses, relative to the median
Trace = npt.NDArray[np.float32]


def without_responses(
    recording: BaseRecording,
    events: npt.NDArray[np.int64],
    *,
    before_ms: float,
    after_ms: float,
    blank_ms: float = 0.0,
) -> BaseRecording:
    """Return a recording without the responses to its events.

    The shape of a response is the median over some successive events; each event has its own size.
    SpikeInterface's `remove_artifacts` has one shape for the whole recording and cannot cut an event at both
    ends of a short part.

    Parameters
    ----------
    recording : spikeinterface.BaseRecording
        One segment.
    events : ndarray of int64, shape (events,)
        Samples of the events.
    before_ms, after_ms : float
        Where the response begins, before its event, and ends; it never goes on beyond the next event.
    blank_ms : float
        After the event, until when the trace does not count for the size: it may be saturated.

    Returns
    -------
    spikeinterface.BaseRecording
        In 32-bit numbers; read on demand. The recording itself, if it has none of the events.

    Raises
    ------
    InputError
        If it has some of them, but fewer than eight.

    Examples
    --------
    >>> from spikeinterface.core import NumpyRecording
    >>> trace = np.zeros((1000, 1), np.float32)
    >>> trace[50::100] = 7
    >>> pulses = np.arange(50, 1000, 100)
    >>> quiet = without_responses(NumpyRecording([trace], 1000.0), pulses, before_ms=0, after_ms=20)
    >>> float(abs(quiet.get_traces()).max())
    0.0
    """
    fs_hz, n_samples = float(recording.get_sampling_frequency()), recording.get_num_frames()
    before = to_samples(before_ms, fs_hz)
    length = before + max(to_samples(after_ms, fs_hz), 1)
    starts = np.unique(events[(events >= before) & (events < n_samples)]) - before
    if not len(starts):
        return recording
    if len(starts) < FEWEST:
        raise InputError(
            f"has {len(starts)} of the events; at least {FEWEST} are needed to subtract their mean response"
        )
    counted = min(before + to_samples(blank_ms, fs_hz), length - 1)
    edges = range(GROUP, max(len(starts) - GROUP // 2, 1), GROUP)  # the last group takes in a short rest
    groups = np.split(starts, list(edges))
    found = [_response(recording, group, length, counted, fs_hz) for group in groups]
    responses = _Responses(
        starts,
        np.repeat(np.arange(len(groups)), [*map(len, groups)]),
        np.concatenate([sizes for _, sizes in found]),
        np.stack([shape for shape, _ in found]),
    )
    return _WithoutResponses(recording, responses)


def _response(
    recording: BaseRecording, starts: npt.NDArray[np.int64], length: int, counted: int, fs_hz: float
) -> tuple[Trace, Trace]:
    """Return the median of what follows some events, from the level before each, and the size of each.

    The median fades out at its end. Sizes are those of least squares, from sample `counted` on.
    """
    base, n_samples = max(to_samples(BASE_MS, fs_hz), 1), recording.get_num_frames()
    each = np.full((len(starts), length, recording.get_num_channels()), np.nan, np.float32)
    for k, start in enumerate(starts.tolist()):
        known = min(base, start)
        read = read_samples(recording, start - known, min(start + length, n_samples)).astype(np.float32)
        each[k, : len(read) - known] = read[known:] - np.median(read[: max(known, 1)], axis=0)
    sizes: Trace = np.ones(len(starts), np.float32)
    for _ in range(ROUNDS):
        shape = _median(each / sizes[:, None, None])
        sizes = _sizes(each[:, counted:], shape[counted:])
    fading = max(round(FADING * length), 1)
    shape[-fading:] *= (0.5 + 0.5 * np.cos(np.pi * np.arange(1, fading + 1) / fading))[:, None]
    return shape, sizes


def _median(each: npt.NDArray[np.floating[Any]]) -> Trace:
    """Return the median of the events at each sample; 0 where all are missing."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.asarray(np.nan_to_num(np.nanmedian(each, axis=0)), np.float32)


def _sizes(each: Trace, shape: Trace) -> Trace:
    """Return the size of each event by least squares."""
    known = np.where(np.isfinite(each), shape, 0.0)
    energy = np.sum(known**2, axis=(1, 2))
    sizes = np.sum(known * np.nan_to_num(each), axis=(1, 2)) / np.maximum(energy, 1e-30)
    return np.where(energy > 0, np.clip(sizes, *SIZES), 1.0).astype(np.float32)


@dataclass(frozen=True, eq=False)
class _Responses:
    """The responses to all events of a recording: where each starts, its group and size; shapes by group."""

    starts: npt.NDArray[np.int64]
    group: npt.NDArray[np.int64]
    sizes: Trace
    shapes: Trace

    def added(self, start: int, stop: int) -> Trace:
        """Return what the events add to a part of the recording, each until the next one."""
        added = np.zeros((stop - start, self.shapes.shape[2]), np.float32)
        length = self.shapes.shape[1]
        first, last = np.searchsorted(self.starts, [start - length, stop], "right")
        for k in range(first, last):
            begin = int(self.starts[k])
            following = int(self.starts[k + 1]) if k + 1 < len(self.starts) else stop
            a, b = max(begin, start), min(begin + length, following, stop)
            if a < b:
                added[a - start : b - start] = (
                    self.sizes[k] * self.shapes[self.group[k], a - begin : b - begin]
                )
        return added


class _WithoutResponses(BasePreprocessor):  # type: ignore[misc]  # the base class has no types
    def __init__(self, recording: BaseRecording, responses: _Responses) -> None:
        super().__init__(recording, dtype="float32")
        (parent,) = recording.segments
        self.add_recording_segment(_Segment(parent, responses))
        self._kwargs = {"recording": recording, "responses": responses}
        self._serializability["json"] = False


class _Segment(BasePreprocessorSegment):  # type: ignore[misc]  # the base class has no types
    def __init__(self, parent: Any, responses: _Responses) -> None:
        super().__init__(parent)
        self._responses = responses

    def get_traces(self, start_frame: int, end_frame: int, channel_indices: Any) -> Trace:
        """Return samples without what the events add to them."""
        read = self.parent_recording_segment.get_traces(start_frame, end_frame, channel_indices)
        trace: Trace = read.astype(np.float32)
        trace -= self._responses.added(start_frame, end_frame)[:, channel_indices]
        return trace
