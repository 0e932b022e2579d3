"""Read events from the digital lines (TTL) that a recording system stores with its recordings.

An event is the moment at which a line becomes high, or a word other than 0 is strobed. Times are seconds from
the first sample of the recording that the lines belong to, by the same clock.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from spikesorter.core.errors import InputError
from spikesorter.io.formats import Source, find_source, reading

if TYPE_CHECKING:
    from spikeinterface import BaseRecording

__all__ = ["LINES_READ", "has_lines", "read_lines"]

LINES_READ = {
    "openephysbinary": "Open Ephys (binary)",
    "blackrock": "Blackrock",
    "intan": "Intan",
    "spikeglx": "SpikeGLX",
}
"""Formats whose digital lines are read, by their names for `format`."""

Column = tuple[npt.NDArray[np.float64], list[str]]  # times and conditions
PIECE_SAMPLES = 1 << 20
INTAN_INPUTS = "digital input"
BLACKROCK_PORTS = {"digital_input_port": "digital", "serial_input_port": "serial"}


def has_lines(path: Path) -> bool:
    """Return whether a file or folder is of a format whose digital lines are read.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "today.nev"
    ...     path.touch()
    ...     has_lines(path), has_lines(Path(folder))
    (True, False)
    """
    try:
        return find_source(path).format in LINES_READ
    except InputError:
        return False


def read_lines(path: Path) -> dict[str, list[str]]:
    """Read the events of a recording's digital lines.

    Parameters
    ----------
    path : Path
        The recording's file or folder, or a `.nev` file.

    Returns
    -------
    dict of str to list of str
        Columns `time_s` and `condition`, which names the line or the word.

    Raises
    ------
    InputError
        If the format's lines are not read, there are none, or they cannot be read.
    """
    source = find_source(path)
    if source.format not in LINES_READ:
        raise InputError(
            f"{path}: digital lines are read from {', '.join(LINES_READ.values())}, not from {source.format} "
            "files; export their events as a table"
        )
    with reading(path, f"digital lines of {LINES_READ[source.format]}"):
        parts = list(_READERS[source.format](path, source))
    times = np.concatenate([times for times, _ in parts] or [np.empty(0)])
    return {
        "time_s": [repr(time) for time in times.tolist()],
        "condition": [name for _, names in parts for name in names],
    }


def _open_ephys(path: Path, source: Source) -> Iterator[Column]:
    """Yield the rising edges of each stream's lines, by the numbers of its samples.

    The files are read here, as neo 0.14 takes the times of events and of samples from two clocks, and leaves
    out edges that have no falling one.
    """
    described = sorted(source.path.glob("**/structure.oebin"))
    if len(described) != 1:
        raise InputError(
            f"{path}: has {len(described)} recordings (structure.oebin); give the folder of one of them"
        )
    folder = described[0].parent
    contents = json.loads(described[0].read_text(encoding="utf-8"))
    streams = {Path(one["folder_name"]).parts[0]: one for one in contents["continuous"]}
    of_lines = [
        folder / "events" / one["folder_name"]
        for one in contents["events"]
        if _states_of(folder / "events" / one["folder_name"]) is not None
    ]
    if not of_lines:
        raise InputError(f"{path}: has no events of digital lines (TTL)")
    for place in of_lines:
        stream = place.relative_to(folder / "events").parts[0]
        if stream not in streams:
            raise InputError(f"{path}: stream {stream} has digital lines, but no recording")
        states = np.load(_states_of(place) or place)
        edges, samples = (_sample_numbers(one) for one in (place, folder / "continuous" / stream))
        rising = states > 0
        first = int(samples[0]) if len(samples) else 0
        before = f"{stream} " if len(of_lines) > 1 else ""
        times = (edges[rising].astype(np.int64) - first) / float(streams[stream]["sample_rate"])
        yield times, [f"{before}line {line}" for line in states[rising].tolist()]


def _states_of(folder: Path) -> Path | None:
    """Return the file with the line of each edge, negative where it falls; its name until version 0.5."""
    names = ("states.npy", "channel_states.npy")
    return next((folder / name for name in names if (folder / name).is_file()), None)


def _sample_numbers(folder: Path) -> npt.NDArray[Any]:
    """Return the numbers of samples of a folder, which until version 0.5 were called timestamps."""
    new = folder / "sample_numbers.npy"
    return np.asarray(np.load(new if new.is_file() else folder / "timestamps.npy", mmap_mode="r"))


def _blackrock(path: Path, source: Source) -> Iterator[Column]:
    if not source.path.with_suffix(".nev").is_file():
        raise InputError(f"{path}: has no .nev file beside it, which holds the digital lines")
    place = str(source.path.with_suffix(""))
    with warnings.catch_warnings():
        for kind in (DeprecationWarning, FutureWarning):
            warnings.filterwarnings("ignore", message=".*strict_gap_mode", category=kind)
        found = _neo_events(_reader(path, "BlackrockRawIO", filename=place, gap_tolerance_ms=1.0))
    for name, port in BLACKROCK_PORTS.items():
        times, words = found.get(name, (np.empty(0), np.empty(0, "U1")))
        strobed = words != "0"
        yield times[strobed], [f"{port} {word}" for word in words[strobed].tolist()]


def _spikeglx(path: Path, source: Source) -> Iterator[Column]:
    reader = _reader(path, "SpikeGLXRawIO", dirname=str(source.path))
    for name, (times, labels) in _neo_events(reader, stream="nidq").items():
        rising = np.char.endswith(labels, " ON") if len(labels) else np.zeros(0, bool)
        yield times[rising], [name] * int(rising.sum())


def _reader(path: Path, kind: str, **options: Any) -> Any:
    """Return neo's reader of a recording without pauses."""
    from spikeinterface.extractors.neoextractors.neobaseextractor import NeoBaseRecordingExtractor

    reader = NeoBaseRecordingExtractor.get_neo_io_reader(kind, **options)
    if reader.block_count() != 1 or reader.segment_count(0) != 1:
        raise InputError(f"{path}: the recording has pauses, so its events have no place in one part of it")
    return reader


def _neo_events(
    reader: Any, *, stream: str = ""
) -> dict[str, tuple[npt.NDArray[np.float64], npt.NDArray[np.str_]]]:
    """Return times and labels of each of neo's channels of events, from the start of its signals."""
    names = reader.header["signal_streams"]["name"].tolist()
    k = next((k for k, name in enumerate(names) if stream in name), 0)
    start_s = float(reader.get_signal_t_start(0, 0, k)) if names else 0.0
    found = {}
    for k, name in enumerate(reader.header["event_channels"]["name"].tolist()):
        stamps, _, labels = reader.get_event_timestamps(0, 0, k)
        times = reader.rescale_event_timestamp(stamps, dtype="float64", event_channel_index=k)
        found[name] = (times - start_s, labels)
    return found


def _intan(path: Path, source: Source) -> Iterator[Column]:
    """Yield the rising edges of each digital input, which is stored as samples."""
    from spikeinterface.extractors import read_intan
    from spikeinterface.extractors.neoextractors import get_neo_streams

    names, ids = get_neo_streams("intan", source.path)
    chosen = [key for name, key in zip(names, ids, strict=True) if INTAN_INPUTS in name.lower()]
    if not chosen:
        raise InputError(f"{path}: was recorded without digital inputs; there are {', '.join(names)}")
    recording = read_intan(source.path, stream_id=chosen[0])
    yield from _rising(recording)


def _rising(recording: BaseRecording) -> Iterator[Column]:
    channels, n_samples = recording.get_channel_ids(), recording.get_num_frames()
    edges: list[list[npt.NDArray[np.int64]]] = [[] for _ in channels]
    for start in range(0, n_samples, PIECE_SAMPLES):
        first = max(start - 1, 0)
        high = recording.get_traces(start_frame=first, end_frame=min(start + PIECE_SAMPLES, n_samples)) > 0
        for k, line in enumerate(high.T):
            edges[k].append(np.flatnonzero(line[1:] & ~line[:-1]) + 1 + first)
    for name, found in zip(channels, edges, strict=True):
        times = np.concatenate(found) / float(recording.get_sampling_frequency())
        yield times, [str(name)] * len(times)


_READERS = {
    "openephysbinary": _open_ephys,
    "blackrock": _blackrock,
    "intan": _intan,
    "spikeglx": _spikeglx,
}
