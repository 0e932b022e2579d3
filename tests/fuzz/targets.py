"""What is fuzzed: each function takes bytes, makes a file of them and reads it.

A reader may return or raise a `SpikeSorterError`. Anything else, a warning too, is a defect.
"""

from __future__ import annotations

import contextlib
import io
import json
import struct
import tempfile
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np

from spikesorter import read_labels, read_recording
from spikesorter.core.errors import SpikeSorterError
from spikesorter.core.settings import load_settings
from spikesorter.io.mat import read_mat, read_mat_fs, read_mat_spikes
from spikesorter.io.model_files import ARRAYS, DESCRIPTION, seal
from spikesorter.sorting.finished_spans import FinishedSpans
from spikesorter.sorting.model import load_model
from spikesorter.workflows.manifest import read_manifest
from spikesorter.workflows.open_ephys import Blocks, parse
from spikesorter.workflows.packets import fill_gaps
from spikesorter.workflows.sources import from_pipe

__all__ = ["TARGETS"]

MODEL = sorted((Path(__file__).parents[1] / "models").glob("format*"))[-1] / "model"
V5_HEADER = b"MATLAB 5.0 MAT-file".ljust(116) + bytes(8) + b"\x00\x01IM"
LABELS = (".csv", ".tsv", ".npz", ".parquet")
RECORDINGS = (".npy", ".wav", ".dat")
PATCH = struct.Struct("<HB")
WHOLE_DESCRIPTION, WHOLE_ARRAYS, PATCHED_DESCRIPTION, PATCHED_ARRAYS = range(4)


@cache
def place() -> Path:
    """A folder in memory, if there is one, of this process alone."""
    memory = Path("/dev/shm")
    return Path(tempfile.mkdtemp(prefix="spikesorter-fuzz-", dir=memory if memory.is_dir() else None))


def mat(data: bytes) -> None:
    """A .mat file of v5: by its first byte as it is, or variables without or with compression."""
    kind, rest = data[:1], data[1:]
    if kind == b"v":
        contents = V5_HEADER + rest
    elif kind == b"z":
        held = zlib.compress(rest, 1)
        contents = V5_HEADER + struct.pack("<II", 15, len(held)) + held
    else:
        contents = data
    _read_mat(contents)


def mat73(data: bytes) -> None:
    """A .mat file of v7.3."""
    _read_mat(data)


def _read_mat(contents: bytes) -> None:
    path = place() / "D1.mat"
    path.write_bytes(contents)
    for read in (read_mat, read_mat_spikes, read_mat_fs):
        with contextlib.suppress(SpikeSorterError):
            read(path)


def recording(data: bytes) -> None:
    """A recording of another format, which the first byte chooses; its samples are read too."""
    ending = RECORDINGS[data[0] % len(RECORDINGS)] if data else ".npy"
    path = place() / f"recording{ending}"
    path.write_bytes(data[1:])
    raw = {"dtype": "int16", "channels": 3} if ending == ".dat" else {}
    with contextlib.suppress(SpikeSorterError):
        opened = read_recording(path, fs_hz=None if ending == ".wav" else 30_000.0, **raw)
        opened.get_traces(end_frame=min(opened.get_num_samples(), 1000))


def labels(data: bytes) -> None:
    """Labels of a format that the first byte chooses."""
    path = place() / f"labels{LABELS[data[0] % len(LABELS)] if data else '.csv'}"
    path.write_bytes(data[1:])
    with contextlib.suppress(SpikeSorterError):
        read_labels(path, fs_hz=30_000.0)


def manifest(data: bytes) -> None:
    """A manifest of a batch."""
    path = place() / "night.toml"
    path.write_bytes(data)
    with contextlib.suppress(SpikeSorterError):
        read_manifest(path, model=Path("MODEL"))


def settings(data: bytes) -> None:
    """A file of settings."""
    path = place() / "settings.toml"
    path.write_bytes(data)
    with contextlib.suppress(SpikeSorterError):
        load_settings(path)


def model(data: bytes) -> None:
    """A model: either of its files, whole or patched, sealed anew or, for an odd second byte, not."""
    if len(data) < 2:
        return
    kind, sealed, rest = data[0] % 4, data[1] % 2 == 0, data[2:]
    description, arrays = _model_files()
    if kind in (WHOLE_DESCRIPTION, PATCHED_DESCRIPTION):
        description = rest if kind == WHOLE_DESCRIPTION else _patched(description, rest)
    else:
        arrays = rest if kind == WHOLE_ARRAYS else _patched(arrays, rest)
    folder = place() / "model"
    folder.mkdir(exist_ok=True)
    (folder / DESCRIPTION).write_bytes(_sealed(description, arrays) if sealed else description)
    (folder / ARRAYS).write_bytes(arrays)
    with contextlib.suppress(SpikeSorterError):
        load_model(folder)


def foreign(data: bytes) -> None:
    """A JSON file of SpikeInterface: a recording or, for an odd first byte, the description of a folder."""
    folder = place() / "foreign"
    folder.mkdir(exist_ok=True)
    is_folder = bool(data) and data[0] % 2 == 1
    path = folder / ("si_folder.json" if is_folder else "recording.json")
    path.write_bytes(data[1:])
    with contextlib.suppress(SpikeSorterError):
        if is_folder:
            read_labels(folder)
        else:
            read_recording(path)
    path.unlink()


def phy(data: bytes) -> None:
    """A folder of Phy: the first byte chooses the file that the others replace."""
    folder = place() / "phy"
    folder.mkdir(exist_ok=True)
    held = {
        "spike_times.npy": _npy(np.array([3, 9, 20])),
        "spike_clusters.npy": _npy(np.array([1, 2, 1], np.int32)),
        "cluster_group.tsv": b"cluster_id\tgroup\n1\tgood\n2\tnoise\n",
        "params.py": b"sample_rate = 30000.0\n",
    }
    if data:
        held[list(held)[data[0] % len(held)]] = data[1:]
    for name, contents in held.items():
        (folder / name).write_bytes(contents)
    with contextlib.suppress(SpikeSorterError):
        read_labels(folder, fs_hz=30_000.0)


def spans(data: bytes) -> None:
    """The file of a finished span; damaged ones are taken for unfinished."""
    finished = FinishedSpans(place())
    (place() / f"{0:013d}-{1000:013d}.npz").write_bytes(data)
    finished.read(0, 1000)


def stream(data: bytes) -> None:
    """A stream of raw samples: type and channels by its first byte, then bytes in packets of any length."""
    kind, channels = ("int16", "float32")[bool(data) and data[0] % 2], 1 + (data[0] >> 1) % 4 if data else 1
    with contextlib.suppress(SpikeSorterError):
        for packet in from_pipe(io.BytesIO(data[1:]), dtype=kind, channels=channels):
            assert packet.samples.shape[1] == channels


def messages(data: bytes) -> None:
    """Messages of Open Ephys for two channels at 1 kHz: lines are frames, an empty one ends a message."""
    blocks = Blocks(2, 1000.0)
    with contextlib.suppress(SpikeSorterError):
        for frames in (message.split(b"\n") for message in data.split(b"\n\n")):
            found = parse(frames)
            packets = blocks.add(found) if found else []
            for packet in fill_gaps(iter(packets), fs_hz=1000.0, jitter_s=0.0005):
                assert packet.samples.shape[1] == 2


def _npy(values: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, values)
    return buffer.getvalue()


@cache
def _model_files() -> tuple[bytes, bytes]:
    return (MODEL / DESCRIPTION).read_bytes(), (MODEL / ARRAYS).read_bytes()


def _patched(contents: bytes, patches: bytes) -> bytes:
    """Put single bytes at places; neighbouring patches make words."""
    changed = bytearray(contents)
    for at in range(0, len(patches) - PATCH.size + 1, PATCH.size):
        offset, value = PATCH.unpack_from(patches, at)
        changed[offset % len(changed)] = value
    return bytes(changed)


def _sealed(description: bytes, arrays: bytes) -> bytes:
    """Seal a description as an attacker would, who knows how."""
    try:
        values = json.loads(description)
        return json.dumps({**values, "sha256": seal(values, arrays)}).encode()
    except (ValueError, TypeError, RecursionError, AttributeError):
        return description


TARGETS: dict[str, Callable[[bytes], None]] = {
    target.__name__: target
    for target in (
        mat,
        mat73,
        recording,
        labels,
        manifest,
        settings,
        model,
        foreign,
        phy,
        spans,
        stream,
        messages,
    )
}
