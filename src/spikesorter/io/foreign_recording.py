"""Open recordings of other programs by SpikeInterface's readers, and choose one of several streams."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import wraps
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from spikesorter.core.errors import InputError
from spikesorter.io.bounds import became_shorter
from spikesorter.io.edf import check_edf, edf_stream
from spikesorter.io.foreign_objects import load_foreign
from spikesorter.io.formats import Source

if TYPE_CHECKING:
    from spikeinterface import BaseRecording

__all__ = [
    "OTHER_NAMES",
    "known_extractors",
    "load_saved_recording",
    "open_extractor",
    "open_nwb",
    "stream_names",
    "without_last_sample",
]

NOT_NEURAL = ("SYNC", "ADC", "AUXILIARY", "SUPPLY VOLTAGE", "DIGITAL", "DC AMPLIFIER", "STIM", "TEMPERATURE")
OTHER_NAMES = {
    "binary": "raw",
    "openephys": "openephysbinary",
    "binaryfolder": "spikeinterface",
    "zarr": "spikeinterface",
}
OWN_OPTIONS = {"blackrock": {"gap_tolerance_ms": 1.0}}
"""A recording with gaps is opened in segments, and not refused."""
PIECE = 1 << 16  # samples, between two looks at the sizes of files
MOST_DEPTH, MOST_WATCHED = 6, 256  # of what a reader holds; mappings of files, some of them several times
NOT_OPENED = (
    "numpy",
    "ibl",  # connects to a server
    "shybrid",  # runs its probe file
    "sinapsresearchplatform",  # evaluates its metadata
)
"""SpikeInterface's readers that are not used."""


def known_extractors() -> dict[str, Callable[..., BaseRecording]]:
    """Return SpikeInterface's readers that are used, by their names.

    Examples
    --------
    >>> "intan" in known_extractors(), "ibl" in known_extractors()
    (True, False)
    """
    from spikeinterface.extractors import recording_extractor_full_dict

    return {
        name: reader
        for name, reader in recording_extractor_full_dict.items()
        if name not in NOT_OPENED and name not in OTHER_NAMES
    }


def load_saved_recording(path: Path) -> BaseRecording:
    """Load a recording, or that of an analyzer, which SpikeInterface saved.

    Raises
    ------
    InputError
        If it holds anything else.
    """
    from spikeinterface.core import BaseRecording, SortingAnalyzer

    found = load_foreign(path)
    if isinstance(found, SortingAnalyzer) and found.has_recording():
        found = found.recording
    if not isinstance(found, BaseRecording):
        raise InputError(f"{path}: holds a {type(found).__name__} of SpikeInterface, not a recording")
    return _refusing_shorter(found)


def open_nwb(path: Path, stream: str | None) -> BaseRecording:
    """Open the wanted or the only ElectricalSeries of an NWB file.

    Raises
    ------
    InputError
        If there is none, or it is not clear which is meant.
    """
    from spikeinterface.extractors.nwbextractors import NwbRecordingExtractor

    series = NwbRecordingExtractor.fetch_available_electrical_series_paths(path)
    if not series:
        raise InputError(f"{path}: holds no recording (ElectricalSeries)")
    names = [name.rpartition("/")[2] for name in series]
    chosen = _choose_stream(path, names, series, stream)
    return NwbRecordingExtractor(path, electrical_series_path=chosen, load_time_vector=True)


def open_extractor(
    path: Path, source: Source, stream: str | None, *, channel: Sequence[str | int] = ()
) -> BaseRecording:
    """Open the wanted stream, or the only neural one, of any other format.

    Parameters
    ----------
    path : Path
        For the message.
    source : Source
        What is read, and by which of `known_extractors`.
    stream : str or None
        Name or id.
    channel : sequence of str or int
        The wanted channels, by which the stream of an EDF file is chosen.

    Raises
    ------
    InputError
        If there is none, or it is not clear which is meant.
    """
    from spikeinterface.extractors.neoextractors import get_neo_streams, neo_recording_class_dict

    for kind in (DeprecationWarning, FutureWarning):  # of SpikeInterface's use of neo
        warnings.filterwarnings("ignore", message=".*strict_gap_mode", category=kind)
    warnings.filterwarnings("ignore", message="Could not identify sev files")  # they are in the .tev
    reader = known_extractors()[source.format]
    if source.format not in neo_recording_class_dict:
        return reader(source.path) if stream is None else reader(source.path, stream_name=stream)
    if source.format == "edf":
        check_edf(source.path)
    own = OWN_OPTIONS.get(source.format, {})
    names, ids = get_neo_streams(source.format, source.path, **own)
    if not ids:
        raise InputError(f"{path}: holds no recording")
    if source.format == "edf" and stream is None:
        stream = edf_stream(path, ids, channel, lambda key: reader(source.path, stream_id=key))
    chosen = _choose_stream(path, names, ids, stream, source.stream)
    return _refusing_shorter(reader(source.path, stream_id=chosen, **own))


def stream_names(source: Source) -> list[str]:
    """Return the names of all streams that a file or folder holds; none if its reader lists none.

    Parameters
    ----------
    source : Source
    """
    from spikeinterface.extractors.neoextractors import get_neo_streams, neo_recording_class_dict

    if source.format == "nwb":
        from spikeinterface.extractors.nwbextractors import NwbRecordingExtractor

        paths = NwbRecordingExtractor.fetch_available_electrical_series_paths(source.path)
        names = [path.rpartition("/")[2] for path in paths]
        return names if len({*names}) == len(names) else list(paths)
    if source.format not in neo_recording_class_dict:
        return []
    names, ids = get_neo_streams(source.format, source.path, **OWN_OPTIONS.get(source.format, {}))
    return list(names) if len({*names}) == len(names) else [str(key) for key in ids]


def _refusing_shorter(recording: BaseRecording) -> BaseRecording:
    """Let a recording check before each reading that its files have become no shorter.

    To read what is no longer there from a mapped file would end the process (SIGBUS); pyedflib returns
    anything for it.
    """
    from spikeinterface.core.binaryrecordingextractor import BinaryRecordingSegment

    if hasattr(recording, "neo_reader"):
        mapped = set(islice(_mapped_files(vars(recording.neo_reader)), MOST_WATCHED))
        if isinstance(name := getattr(recording.neo_reader, "filename", None), (str, Path)):
            mapped.add(Path(name))
        for segment in recording.segments:
            _check_before_reading(segment, mapped)
        return recording
    source = recording  # of what SpikeInterface saved, which may be derived from a file
    while source is not None:
        for segment in source.segments:
            if isinstance(segment, BinaryRecordingSegment):
                _check_before_reading(segment, {Path(segment.file_path)})
        source = source.get_parent()
    return recording


def _check_before_reading(segment: Any, files: set[Path]) -> None:
    """Let a segment be read in short pieces, before each of which the sizes of its files are checked."""
    sizes = {file: file.stat().st_size for file in files if file.is_file()}
    read = segment.get_traces

    @wraps(read)
    def checked(
        start_frame: int | None = None, end_frame: int | None = None, channel_indices: Any = None
    ) -> npt.NDArray[Any]:
        start = 0 if start_frame is None else int(start_frame)
        stop = segment.get_num_samples() if end_frame is None else int(end_frame)
        pieces = []
        for first in range(start, max(stop, start + 1), PIECE):
            for file, size in sizes.items():
                if file.exists() and file.stat().st_size < size:
                    raise became_shorter(file)
            pieces.append(read(first, min(first + PIECE, stop), channel_indices))
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)

    segment.get_traces = checked


def _mapped_files(held: Any, depth: int = MOST_DEPTH) -> Iterator[Path]:
    """Yield the files that a reader of neo maps, or will map, by what its attributes hold."""
    if isinstance(held, np.memmap):
        if held.filename:
            yield Path(held.filename)
    elif depth and isinstance(held, dict):
        if isinstance(held.get("file_path"), (str, Path)):
            yield Path(held["file_path"])
        for one in held.values():
            yield from _mapped_files(one, depth - 1)
    elif depth and isinstance(held, (list, tuple)):
        for one in held:
            yield from _mapped_files(one, depth - 1)


def without_last_sample(recording: BaseRecording) -> BaseRecording:
    """Leave out the last sample of a .plx file: if it is read, neo 0.14 returns zeros for its whole block."""
    return recording.frame_slice(0, recording.get_num_frames() - 1)


def _choose_stream(
    path: Path, names: Sequence[str], ids: Sequence[str], wanted: str | None, own: str | None = None
) -> str:
    """Return the id of the wanted stream, or of the only neural stream."""
    listed = "; ".join(
        name if name == key else f"{name} (id {key})" for name, key in zip(names, ids, strict=True)
    )
    if wanted is not None:
        fitting = [key for name, key in zip(names, ids, strict=True) if str(wanted) in (name, str(key))]
        if not fitting:
            raise InputError(f"{path}: has no stream {wanted}; there are {listed}")
        return fitting[0]
    if own is not None and own in ids:
        return own
    neural = [
        key
        for name, key in zip(names, ids, strict=True)
        if not any(word in name.upper() for word in NOT_NEURAL)
    ]
    if len(neural or ids) > 1:
        raise InputError(
            f"{path}: has several streams; choose one with stream=NAME (--stream NAME): {listed}"
        )
    return (neural or list(ids))[0]
