from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from spikeinterface.core import NumpyRecording, append_recordings

from spikesorter import read_recording
from spikesorter.core.errors import InputError
from spikesorter.io.exclusion import Exclusion
from spikesorter.io.recording import RecordingOptions, check_recording
from tests.io.makers import (
    write_blackrock,
    write_neuralynx,
    write_open_ephys,
    write_spike2,
    write_spikeglx,
    write_tdt,
)
from tests.io.recording_files import FS_HZ, mat, npy, raw, save, save_nwb, tofile, wav

pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # SpikeInterface leaves what it wrote open
    pytest.mark.filterwarnings("ignore:The extractor is not serializable"),
]
RAW = {"fs_hz": FS_HZ, "dtype": "int16", "channels": 3}


@pytest.fixture
def trace(rng: np.random.Generator) -> np.ndarray:
    return rng.integers(-1000, 1000, (3000, 3)).astype(np.int16)


WRITERS: dict[str, tuple[Callable[[Path, np.ndarray], Path], str, dict[str, Any]]] = {
    "mat": (mat, "a.mat", {}),
    "npy": (npy, "a.npy", {"fs_hz": FS_HZ}),
    "npy, channels first": (lambda path, x: npy(path, x.T), "a.npy", {"fs_hz": FS_HZ}),
    "npy, Fortran's order": (lambda path, x: npy(path, np.asfortranarray(x)), "a.npy", {"fs_hz": FS_HZ}),
    "npy, big-endian": (lambda path, x: npy(path, x.astype(">i2")), "a.npy", {"fs_hz": FS_HZ}),
    "wav": (wav, "a.wav", {}),
    "raw": (raw, "a.dat", RAW),
    "raw of another name": (lambda path, x: tofile(path, x), "a.samples", {**RAW, "format": "raw"}),
    "SpikeInterface's folder": (save, "folder", {}),
    "SpikeInterface's zarr": (lambda path, x: save(path, x, "zarr"), "a.zarr", {}),
    "NWB": (save_nwb, "a.nwb", {}),
    "Blackrock": (write_blackrock, "a.ns5", {}),
    "Open Ephys": (lambda path, x: write_open_ephys(path, {"Probe": x}), "session", {}),
    "SpikeGLX": (write_spikeglx, "run", {}),
    "TDT": (write_tdt, "tank/Block-1", {}),
    "a tank of TDT": (lambda path, x: write_tdt(path / "Block-1", x).parent, "tank", {}),
    "Spike2": (write_spike2, "a.smr", {}),
    "Neuralynx": (lambda path, x: write_neuralynx(path, x, fs_hz=FS_HZ), "session", {}),
}


@pytest.mark.parametrize("name", WRITERS)
def test_what_others_wrote_is_read(name: str, trace: np.ndarray, tmp_path: Path) -> None:
    write, place, options = WRITERS[name]
    recording = read_recording(write(tmp_path / place, trace), **options)
    assert recording.get_sampling_frequency() == FS_HZ
    assert recording.get_num_segments() == 1
    found = recording.get_traces(start_frame=100, end_frame=900)
    np.testing.assert_array_equal(found, trace[100:900])
    np.testing.assert_array_equal(recording.get_traces(), trace)


@pytest.mark.parametrize("name", ["npy", "wav", "raw", "mat", "Blackrock", "NWB"])
def test_one_channel_is_enough(name: str, trace: np.ndarray, tmp_path: Path) -> None:
    write, place, options = WRITERS[name]
    path = write(tmp_path / place, trace[:, :1])
    recording = read_recording(path, **options | ({"channels": 1} if name == "raw" else {}))
    np.testing.assert_array_equal(recording.get_traces(), trace[:, :1])


@pytest.mark.parametrize(
    ("name", "contents"),
    [("a.npy", b"\x93NUMPY"), ("a.wav", b"RIFF"), ("a.nwb", b"HDF"), ("a.ns5", b"NEURALCD"), ("a.npy", b"")],
)
def test_files_that_are_not_what_they_are_called_are_refused(
    name: str, contents: bytes, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(contents)
    with pytest.raises(InputError, match=f"{name}: cannot be read as"):
        read_recording(tmp_path / name, fs_hz=FS_HZ)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, r"give fs_hz \(--fs\), dtype \(--dtype\), channels \(--channels\)"),
        ({"fs_hz": FS_HZ, "dtype": "int16"}, r"give channels \(--channels\)"),
        ({**RAW, "channels": 7}, "18000 bytes, not a whole number of 7-channel samples of int16"),
        ({**RAW, "channels": 0}, "channels must be between 1 and"),
        ({**RAW, "dtype": "text"}, "dtype must be a type of real numbers, such as int16, not text"),
        ({**RAW, "channel": 3}, "no channel 3; there are 0, 1, 2"),
        ({**RAW, "group": 0}, "have no groups"),
        ({**RAW, "format": "nonsense"}, "unknown format nonsense; known are mat, npy, raw, wav, .*spikeglx"),
        ({**RAW, "segment": 1}, "no segment 1"),
    ],
)
def test_what_is_missing_or_wrong_is_said(
    options: dict[str, Any], message: str, trace: np.ndarray, tmp_path: Path
) -> None:
    path = raw(tmp_path / "a.dat", trace)
    with pytest.raises(InputError, match=message) as error:
        read_recording(path, **options)
    assert str(error.value).startswith(str(path))


@pytest.mark.parametrize(
    ("what", "kind"), [("D1.mat", "str"), (np.zeros(10), "ndarray"), (None, "NoneType"), ({}, "dict")]
)
def test_what_is_no_recording_is_called_by_its_kind(what: Any, kind: str) -> None:
    with pytest.raises(InputError, match=f"expected a SpikeInterface recording, not a {kind}; .*opens files"):
        check_recording(what)


@pytest.mark.parametrize("wrong", ["trace", "=data", "trace="])
def test_variables_are_given_as_name_and_value(wrong: str) -> None:
    assert RecordingOptions(variable=["trace=data", "fs=a=b"]).variables == {"trace": "data", "fs": "a=b"}
    with pytest.raises(InputError, match="expected NAME=VARIABLE, such as trace=data"):
        RecordingOptions(variable=["fs=sr", wrong]).variables  # noqa: B018


def test_what_is_not_there_is_said_whatever_its_format(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere\.rhd: no such file"):
        read_recording(tmp_path / "nowhere.rhd", format="intan")


def test_segments_are_counted_before_a_recording_is_opened(trace: np.ndarray, tmp_path: Path) -> None:
    append_recordings([NumpyRecording([trace], FS_HZ)] * 2).save(folder=tmp_path / "two", verbose=False)
    paths = [mat(tmp_path / "a.mat", trace), npy(tmp_path / "a.npy", trace), tmp_path / "two"]
    assert [RecordingOptions().segments(path) for path in paths] == [1, 1, 2]


def test_the_only_segment_has_the_name_of_the_recording(trace: np.ndarray, tmp_path: Path) -> None:
    (tmp_path / "bad.csv").write_text("recording,start_sample,stop_sample\na,5,9\na-segment0,70,90\n")
    options = RecordingOptions(segment=0, exclude=Exclusion(str(tmp_path / "bad.csv")))
    opened = options.open(npy(tmp_path / "a.npy", trace), fs_hz=FS_HZ)
    assert list(opened.exclude) == [(5, 9, "given")]


def test_a_recording_has_one_segment() -> None:
    part = np.zeros((100, 1), np.float32)
    check_recording(NumpyRecording([part], FS_HZ))
    with pytest.raises(InputError, match="has 2 segments; select one with select_segments"):
        check_recording(NumpyRecording([part, part], FS_HZ))


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (np.zeros((0, 1), np.float32), "has no samples"),
        (np.zeros((2, 500), np.float32), "500 channels of 2 samples.*transpose"),
        (np.zeros((50, 1), object), "samples of type object"),
        (np.zeros((50, 1), np.complex64), "samples of type complex64"),
        (np.zeros((50, 1), bool), "samples of type bool"),
    ],
)
def test_what_is_no_trace_is_refused(samples: np.ndarray, message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_recording(NumpyRecording([samples], FS_HZ))
