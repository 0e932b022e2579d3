"""Show recordings before anything is learnt from them: what they are, and some seconds of their trace."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from spikesorter.core.errors import InputError
from spikesorter.io.formats import stem_of
from spikesorter.io.recording import RecordingOptions
from spikesorter.io.samples import read_samples
from spikesorter.signal.filters import drift_kernel, fir_filter

if TYPE_CHECKING:
    from spikeinterface import BaseRecording

__all__ = ["MOST_SECONDS", "Opened", "choices", "describe", "open_for_preview", "strip"]

FloatArray = npt.NDArray[np.float32]

MOST_SECONDS = 60.0
MOST_VALUES = 20_000_000  # of all channels, in one strip
MOST_COLUMNS = 4000
PROBES, PROBE_S = 60, 0.05  # places in which loudness is measured
MAD = 0.6745  # of a normal distribution of SD 1
DRIFT_MS = 20.0
TENTHS = 10  # of an SD, in which a strip's values are sent
FAR = 30_000  # tenths, beyond which a value is of no interest


@dataclass(frozen=True, eq=False)
class Opened:
    """A recording that is open for its preview.

    Parameters
    ----------
    recording : spikeinterface.BaseRecording
    middle, spread : ndarray of float64, shape (channels,)
        Median of each channel, and SD of its noise without drift.
    loudness : ndarray of float64, shape (places,)
        SD in places spread over the recording, of the loudest channel, relative to the usual one.
    """

    recording: BaseRecording
    middle: npt.NDArray[np.float64]
    spread: npt.NDArray[np.float64]
    loudness: npt.NDArray[np.float64]

    @property
    def fs_hz(self) -> float:
        """Sampling rate."""
        return float(self.recording.get_sampling_frequency())

    @property
    def n_samples(self) -> int:
        """Length."""
        return int(self.recording.get_num_frames())

    @property
    def channels(self) -> list[str]:
        """Ids of the channels."""
        return [str(one) for one in self.recording.get_channel_ids()]


def open_for_preview(path: Path, options: RecordingOptions) -> Opened:
    """Open a recording, or return it as it was opened last.

    Of a file of any length only sixty short pieces are read; `.mat` files are read at once.

    Parameters
    ----------
    path : Path
    options : RecordingOptions
        How it is read; all channels are.

    Raises
    ------
    InputError
        If it cannot be read.
    """
    try:
        changed = path.stat().st_mtime_ns
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from None
    with _OPENING:
        return _opened(path, options, changed)


_OPENING = threading.Lock()


@lru_cache(maxsize=2)
def _opened(path: Path, options: RecordingOptions, changed: int) -> Opened:
    recording = options.open(path).recording
    fs_hz, n_samples = float(recording.get_sampling_frequency()), int(recording.get_num_frames())
    length = min(max(round(PROBE_S * fs_hz), 1), n_samples)
    starts = np.linspace(0, n_samples - length, PROBES).astype(int).tolist()
    pieces = np.stack([_finite(read_samples(recording, start, start + length)) for start in starts], axis=1)
    middle = np.median(pieces, axis=(0, 1))
    flat = _without_drift((pieces - middle).reshape(length, -1), fs_hz).reshape(pieces.shape)
    levels = np.median(np.abs(flat), axis=0) / MAD  # of each place and channel
    quiet = np.median(levels, axis=0)
    spread = np.where(quiet > 0, quiet, 1.0)
    return Opened(recording, middle, spread, (levels / spread).max(axis=1))


def choices(path: Path, options: RecordingOptions) -> dict[str, Any]:
    """Return what can be chosen of a file with several recordings, for JSON.

    Parameters
    ----------
    path : Path
    options : RecordingOptions
        With what was chosen.

    Returns
    -------
    dict
        `streams` (their names), `segments` (their lengths, s), and `choose`: "stream" or "segment" if that
        has to be chosen first, otherwise "".

    Raises
    ------
    InputError
        If it cannot be read.
    """
    streams = options.streams(path)
    try:
        segments = options.segment_lengths_s(path)
    except InputError:
        if len(streams) < 2 or options.stream is not None:
            raise
        return {"streams": streams, "segments": [], "choose": "stream"}
    choose = "segment" if len(segments) > 1 and options.segment is None else ""
    return {"streams": streams, "segments": segments, "choose": choose}


def describe(path: Path, opened: Opened) -> dict[str, Any]:
    """Return what a recording is, for JSON.

    Returns
    -------
    dict
        `name`, `seconds`, `fs_hz`, `channels` (their ids), and `loudness` in places spread over it.
    """
    return {
        "name": stem_of(path),
        "seconds": opened.n_samples / opened.fs_hz,
        "fs_hz": opened.fs_hz,
        "channels": opened.channels,
        "loudness": opened.loudness.round(2).tolist(),
    }


def strip(
    opened: Opened, *, start_s: float, seconds: float, channels: list[int], columns: int, flat: bool
) -> dict[str, Any]:
    """Return a part of a recording, thinned to the least and the greatest value in each column of pixels.

    Parameters
    ----------
    opened : Opened
    start_s, seconds : float
        The part; only its samples are read. It is moved into the recording if it is outside.
    channels : list of int
        Channels to show, counted from 0.
    columns : int
        Pixels.
    flat : bool
        Whether drift is removed.

    Returns
    -------
    dict
        `start_s`, `stop_s`, and `low` and `high`: a list for each channel, in tenths of the SD of its noise;
        None where samples are missing.

    Raises
    ------
    InputError
        If it is too much for one picture, or there is no such channel.
    """
    fs_hz, n_samples = opened.fs_hz, opened.n_samples
    if not 0 < seconds <= MOST_SECONDS or seconds * fs_hz * len(channels) > MOST_VALUES:
        raise InputError(f"trace: {seconds:g} s of {len(channels)} channels are too much for one picture")
    if not 1 <= columns <= MOST_COLUMNS:
        raise InputError(f"trace: columns must be between 1 and {MOST_COLUMNS}, not {columns}")
    if not channels or not all(0 <= k < len(opened.channels) for k in channels):
        raise InputError(f"trace: choose from {len(opened.channels)} channels, counted from 0")
    length = min(max(round(seconds * fs_hz), 1), n_samples)
    start = min(max(round(start_s * fs_hz), 0), n_samples - length)
    values, missing = _values(opened, start, start + length, channels, flat=flat)
    edges = np.unique(np.linspace(0, length, min(columns, length) + 1).astype(int))[:-1]
    gone = np.logical_or.reduceat(missing, edges)
    low, high = (one.reduceat(values, edges).round().astype(int) for one in (np.minimum, np.maximum))
    return {
        "start_s": start / fs_hz,
        "stop_s": (start + length) / fs_hz,
        "low": _listed(low, gone),
        "high": _listed(high, gone),
    }


def _values(
    opened: Opened, start: int, stop: int, channels: list[int], *, flat: bool
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Return samples in tenths of an SD, and whether any channel's are missing."""
    ids = [opened.recording.get_channel_ids()[k] for k in channels]
    reach = round(DRIFT_MS * opened.fs_hz / 1000) if flat else 0
    first, last = max(start - reach, 0), min(stop + reach, opened.n_samples)
    raw = read_samples(opened.recording.select_channels(ids), first, last)
    inside = slice(start - first, stop - first)
    missing = np.asarray(~np.isfinite(raw[inside]).all(axis=1), np.bool_)
    trace = np.asarray(_finite(raw) - opened.middle[channels], np.float32)
    trace = _without_drift(trace, opened.fs_hz) if flat else trace
    scaled = trace[inside] / opened.spread[channels] * TENTHS
    return np.clip(scaled, -FAR, FAR), missing


def _without_drift(trace: npt.NDArray[Any], fs_hz: float) -> FloatArray:
    edge = round(DRIFT_MS * fs_hz / 1000)
    around = np.pad(np.asarray(trace, np.float32), ((edge, edge), (0, 0)), mode="edge")
    return fir_filter(around, drift_kernel(window_ms=DRIFT_MS, fs_hz=fs_hz))[edge : edge + len(trace)]


def _finite(raw: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    return np.nan_to_num(np.asarray(raw, np.float64), nan=0.0, posinf=0.0, neginf=0.0)


def _listed(values: npt.NDArray[np.int64], gone: npt.NDArray[np.bool_]) -> list[list[int | None]]:
    """Return a list for each channel."""
    return [
        [None if lost else value for value, lost in zip(column, gone.tolist(), strict=True)]
        for column in values.T.tolist()
    ]
