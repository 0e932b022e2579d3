from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io.wavfile
from spikeinterface.core import (
    NumpyRecording,
    append_recordings,
    write_binary_recording,
)

from spikesorter import read_recording
from spikesorter.core.errors import InputError
from spikesorter.io.mat_writing import write_mat_recording
from spikesorter.io.recording import RecordingOptions, check_recording
from tests.io.makers import (
    write_blackrock,
    write_intan,
    write_neuralynx,
    write_open_ephys,
    write_plexon,
    write_spikeglx,
)

pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # SpikeInterface leaves what it wrote open
    pytest.mark.filterwarnings("ignore:The extractor is not serializable"),
]
FS_HZ = 30_000
RAW = {"fs_hz": FS_HZ, "dtype": "int16", "channels": 3}


@pytest.fixture
def trace(rng: np.random.Generator) -> np.ndarray:
    return rng.integers(-1000, 1000, (3000, 3)).astype(np.int16)


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


def test_a_row_of_samples_is_one_channel(trace: np.ndarray, tmp_path: Path) -> None:
    recording = read_recording(npy(tmp_path / "a.npy", trace[:, 0]), fs_hz=FS_HZ)
    np.testing.assert_array_equal(recording.get_traces(), trace[:, :1])


def test_plexon_files_are_read_up_to_their_last_block(trace: np.ndarray, tmp_path: Path) -> None:
    """neo returns zeros for the last block if the last sample is read."""
    recording = read_recording(write_plexon(tmp_path / "a.plx", trace))
    assert recording.get_sampling_frequency() == FS_HZ
    np.testing.assert_array_equal(recording.get_traces(), trace[:-1])


def test_intan_files_are_read_without_their_auxiliary_inputs(trace: np.ndarray, tmp_path: Path) -> None:
    path = write_intan(tmp_path / "a.rhd", trace)
    recording = read_recording(path, channel="A-001")
    np.testing.assert_array_equal(recording.get_traces()[:, 0].astype(int) - 32_768, trace[:, 1])
    with pytest.raises(InputError, match="no stream nonsense; there are RHD2000 amplifier channel"):
        read_recording(path, stream="nonsense")


@pytest.mark.parametrize("length", [3, 100, 400, 10_001])
def test_damaged_files_get_an_error_that_names_them(length: int, trace: np.ndarray, tmp_path: Path) -> None:
    path = write_intan(tmp_path / "a.rhd", trace)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(InputError, match=r"a\.rhd: cannot be read as intan: .*is the file complete"):
        read_recording(path)


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


def test_one_stream_of_several_is_chosen_by_name(trace: np.ndarray, tmp_path: Path) -> None:
    path = write_open_ephys(tmp_path / "session", {"ProbeA": trace, "ProbeB": -trace})
    with pytest.raises(InputError, match=r"several streams; choose one with stream=NAME .*ProbeA.*ProbeB"):
        read_recording(path)
    recording = read_recording(path, stream="Record Node 101#Source-100.ProbeB")
    np.testing.assert_array_equal(recording.get_traces(), -trace)
    path = save_nwb(tmp_path / "two.nwb", trace, names=("raw", "lfp"))
    with pytest.raises(InputError, match=r"several streams.*acquisition/lfp.*acquisition/raw"):
        read_recording(path)
    assert read_recording(path, stream="raw").get_num_frames() == len(trace)
    assert read_recording(path, stream="acquisition/lfp").get_num_frames() == len(trace)


def test_the_file_named_is_the_stream_read(trace: np.ndarray, tmp_path: Path) -> None:
    path = write_blackrock(tmp_path / "a.ns5", trace)
    write_blackrock(tmp_path / "a.ns2", trace[::30], fs_hz=1000)
    assert read_recording(path).get_num_frames() == len(trace)
    assert read_recording(tmp_path / "a.ns2").get_sampling_frequency() == 1000
    binary = next(write_spikeglx(tmp_path / "run", trace).parent.glob("*.bin"))
    np.testing.assert_array_equal(read_recording(binary).get_traces(), trace)


def test_one_segment_of_several_is_chosen_by_number(trace: np.ndarray, tmp_path: Path) -> None:
    parts = [NumpyRecording([part], FS_HZ) for part in (trace, trace[:1500])]
    append_recordings(parts).save(folder=tmp_path / "two", verbose=False)
    with pytest.raises(InputError, match=r"2 segments \(0\.1 s, 0\.1 s\); choose one with segment=0 to 1"):
        read_recording(tmp_path / "two")
    assert read_recording(tmp_path / "two", segment=1).get_num_frames() == 1500
    with pytest.raises(InputError, match="no segment 2; there are 0 to 1"):
        read_recording(tmp_path / "two", segment=2)


@pytest.mark.parametrize(
    ("channel", "columns"), [("b", [1]), (["c", "a"], [2, 0]), (1, [1]), ("2", [2]), ((0, "a"), [0])]
)
def test_channels_are_chosen_by_id_or_place(
    channel: Any, columns: list[int], trace: np.ndarray, tmp_path: Path
) -> None:
    recording = read_recording(save(tmp_path / "folder", trace), channel=channel)
    np.testing.assert_array_equal(recording.get_traces(), trace[:, columns])


def test_an_id_goes_before_a_name_and_a_name_before_a_place(trace: np.ndarray, tmp_path: Path) -> None:
    path = write_blackrock(tmp_path / "a.ns5", trace)  # channels 1, 2, 3
    for channel, column in (("1", 0), ("elec3", 2), (0, 0), (3, 2)):
        found = read_recording(path, channel=channel).get_traces()
        np.testing.assert_array_equal(found, trace[:, [column]])


def test_channels_are_chosen_by_group(trace: np.ndarray, tmp_path: Path) -> None:
    recording = NumpyRecording([trace], FS_HZ)
    recording.set_property("group", np.array(["left", "right", "left"]))
    recording.save(folder=tmp_path / "folder", verbose=False)
    found = read_recording(tmp_path / "folder", group="left").get_traces()
    np.testing.assert_array_equal(found, trace[:, [0, 2]])
    with pytest.raises(InputError, match="no group up; there are left, right"):
        read_recording(tmp_path / "folder", group="up")
    with pytest.raises(InputError, match="has no group left; there are right"):
        read_recording(tmp_path / "folder", group="left", channel=1)


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
    ("array", "message"),
    [
        (np.zeros((2, 2, 2)), "shape"),
        (np.array(["a", "b"]), "array of numbers"),
        (np.zeros(0), "array of numbers"),
        (np.ones((5000, 5000), np.int8), "at most 4096 channels are supported"),
    ],
)
def test_arrays_that_are_no_recordings_are_refused(array: np.ndarray, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        read_recording(npy(tmp_path / "a.npy", array), fs_hz=FS_HZ)


def test_arrays_need_a_rate(trace: np.ndarray, tmp_path: Path) -> None:
    path = npy(tmp_path / "a.npy", trace)
    with pytest.raises(InputError, match=r"does not state its sampling rate; give fs_hz \(--fs\)"):
        read_recording(path)
    assert RecordingOptions().read(path, fs_hz=20_000.0).get_sampling_frequency() == 20_000
    assert RecordingOptions(fs_hz=10_000.0).read(path, fs_hz=20_000.0).get_sampling_frequency() == 10_000


def test_pickled_arrays_are_not_opened(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([{}], object))
    with pytest.raises(InputError, match="cannot be read as npy"):
        read_recording(tmp_path / "a.npy", fs_hz=FS_HZ)


def test_a_missing_package_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.smrx").write_bytes(b"")
    with pytest.raises(InputError, match="ced needs a package that is not installed: .*pip install sonpy"):
        read_recording(tmp_path / "a.smrx")


def test_plain_files_are_mapped_not_read(trace: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "large.npy"
    np.lib.format.open_memmap(path, "w+", np.int16, (20_000_000_000, 1))  # sparse: no disk is used
    recording = read_recording(path, fs_hz=FS_HZ)
    assert recording.get_num_frames() == 20_000_000_000
    assert not recording.get_traces(start_frame=19_999_999_000, end_frame=20_000_000_000).any()


def test_a_sorting_is_no_recording(tmp_path: Path) -> None:
    from spikeinterface.core import NumpySorting

    sorting = NumpySorting.from_unit_dict([{"a": np.array([1, 2])}], FS_HZ)
    sorting.save(folder=tmp_path / "sorting")
    with pytest.raises(InputError, match="not a recording"):
        read_recording(tmp_path / "sorting")


@pytest.mark.parametrize(
    ("what", "kind"), [("D1.mat", "str"), (np.zeros(10), "ndarray"), (None, "NoneType"), ({}, "dict")]
)
def test_what_is_no_recording_is_called_by_its_kind(what: Any, kind: str) -> None:
    with pytest.raises(InputError, match=f"expected a SpikeInterface recording, not a {kind}; .*opens files"):
        check_recording(what)


def test_a_recording_has_one_segment() -> None:
    part = np.zeros((100, 1), np.float32)
    check_recording(NumpyRecording([part], FS_HZ))
    with pytest.raises(InputError, match="has 2 segments; select one with select_segments"):
        check_recording(NumpyRecording([part, part], FS_HZ))


def test_wav_of_24_bits_and_of_the_other_order_of_bytes(trace: np.ndarray, tmp_path: Path) -> None:
    samples = trace.astype(np.int32) << 8  # as if with 24 bits
    packed = samples.astype("<i4").tobytes()
    three = b"".join(packed[k : k + 3] for k in range(0, len(packed), 4))
    channels = trace.shape[1]
    head = struct.pack("<HHIIHH", 1, channels, FS_HZ, FS_HZ * channels * 3, channels * 3, 24)
    body = b"WAVE" + b"fmt " + struct.pack("<I", 16) + head + b"data" + struct.pack("<I", len(three)) + three
    (tmp_path / "a.wav").write_bytes(b"RIFF" + struct.pack("<I", len(body)) + body)
    found = read_recording(tmp_path / "a.wav").get_traces()
    np.testing.assert_array_equal(found, trace.astype(np.int32) << 16)  # in the upper three of four bytes
    swapped = trace.astype(">i2").tobytes()
    head = struct.pack(">HHIIHH", 1, channels, FS_HZ, FS_HZ * channels * 2, channels * 2, 16)
    body = (
        b"WAVE" + b"fmt " + struct.pack(">I", 16) + head + b"data" + struct.pack(">I", len(swapped)) + swapped
    )
    (tmp_path / "b.wav").write_bytes(b"RIFX" + struct.pack(">I", len(body)) + body)
    np.testing.assert_array_equal(read_recording(tmp_path / "b.wav").get_traces(), trace)
    (tmp_path / "c.dat").write_bytes(swapped)
    raw = read_recording(tmp_path / "c.dat", fs_hz=FS_HZ, dtype=">i2", channels=channels)
    np.testing.assert_array_equal(raw.get_traces(), trace)
