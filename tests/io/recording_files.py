"""Recordings in the formats that libraries at hand write."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import scipy.io.wavfile
from spikeinterface.core import NumpyRecording, write_binary_recording

from spikesorter.io.mat_writing import write_mat_recording

FS_HZ = 30_000


def save(path: Path, trace: np.ndarray, format: str = "binary") -> Path:  # noqa: A002
    recording = NumpyRecording([trace], FS_HZ, channel_ids=["a", "b", "c"][: trace.shape[1]])
    recording.save(folder=path, format=format, verbose=False)
    return path


def save_nwb(path: Path, trace: np.ndarray, *, names: tuple[str, ...] = ("raw",)) -> Path:
    from datetime import UTC, datetime

    from pynwb import NWBHDF5IO, NWBFile
    from pynwb.ecephys import ElectricalSeries

    file = NWBFile(
        session_description="-", identifier="-", session_start_time=datetime(2026, 1, 5, tzinfo=UTC)
    )
    group = file.create_electrode_group("tetrode", "-", "-", file.create_device("device"))
    for _ in range(trace.shape[1]):
        file.add_electrode(group=group, location="-")
    region = file.create_electrode_table_region(list(range(trace.shape[1])), "all")
    for name in names:
        file.add_acquisition(ElectricalSeries(name=name, data=trace, electrodes=region, rate=float(FS_HZ)))
    with NWBHDF5IO(path, "w") as output:
        output.write(file)
    return path


def wav(path: Path, trace: np.ndarray) -> Path:
    scipy.io.wavfile.write(path, FS_HZ, trace)
    return path


def npy(path: Path, array: np.ndarray) -> Path:
    np.save(path, array)
    return path


def raw(path: Path, trace: np.ndarray) -> Path:
    recording = NumpyRecording([trace], FS_HZ)
    write_binary_recording(recording, path, verbose=False, progress_bar=False)
    return path


def tofile(path: Path, trace: np.ndarray) -> Path:
    trace.tofile(path)
    return path


def mat(path: Path, trace: np.ndarray) -> Path:
    write_mat_recording(path, trace, fs_hz=FS_HZ)
    return path
