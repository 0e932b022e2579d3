from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from spikeinterface.core import BinaryRecordingExtractor

from spikesorter import read_recording
from spikesorter.core.errors import InputError
from spikesorter.io.foreign_recording import _choose_stream, open_extractor
from spikesorter.io.formats import Source
from spikesorter.io.recording import RecordingOptions
from tests.io.makers import (
    write_blackrock,
    write_edf,
    write_intan,
    write_neuralynx,
    write_open_ephys,
    write_plexon,
    write_spike2,
    write_spikeglx,
    write_tdt,
)
from tests.io.recording_files import FS_HZ, save, save_nwb, tofile

pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # SpikeInterface leaves what it wrote open
    pytest.mark.filterwarnings("ignore:The extractor is not serializable"),
]


@pytest.fixture
def trace(rng: np.random.Generator) -> np.ndarray:
    return rng.integers(-1000, 1000, (3000, 3)).astype(np.int16)


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


@pytest.mark.parametrize(
    ("wanted", "own", "chosen"),
    [("LFP", None, "1"), ("1", "0", "1"), (None, "1", "1"), (None, "0", "0")],
)
def test_the_stream_that_is_named_counts_before_that_of_the_file(
    wanted: str | None, own: str | None, chosen: str
) -> None:
    assert _choose_stream(Path("a"), ["AP", "LFP", "SYNC"], ["0", "1", "2"], wanted, own) == chosen


def test_a_neural_stream_counts_before_others_and_alone_is_clear() -> None:
    assert _choose_stream(Path("a"), ["SYNC", "AP"], ["0", "1"], None) == "1"
    assert _choose_stream(Path("a"), ["SYNC"], ["0"], None) == "0"
    for names in (["AP", "LFP"], ["SYNC", "ADC"]):
        with pytest.raises(InputError, match=r"several streams; choose one .*: \w+ \(id 0\); \w+ \(id 1\)"):
            _choose_stream(Path("a"), names, ["0", "1"], None, "9")


@pytest.mark.parametrize(("stream", "given"), [(None, {}), ("a", {"stream_name": "a"})])
def test_readers_that_list_no_streams_are_given_the_wanted_one(
    stream: str | None, given: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def reader(path: Path, **options: str) -> tuple[Path, dict[str, str]]:
        return path, options

    monkeypatch.setattr("spikesorter.io.foreign_recording.known_extractors", lambda: {"mda": reader})
    assert open_extractor(tmp_path / "raw.mda", Source(tmp_path, "mda"), stream) == (tmp_path, given)


def test_the_file_named_is_the_stream_read(trace: np.ndarray, tmp_path: Path) -> None:
    path = write_blackrock(tmp_path / "a.ns5", trace)
    write_blackrock(tmp_path / "a.ns2", trace[::30], fs_hz=1000)
    assert read_recording(path).get_num_frames() == len(trace)
    assert read_recording(tmp_path / "a.ns2").get_sampling_frequency() == 1000
    binary = next(write_spikeglx(tmp_path / "run", trace).parent.glob("*.bin"))
    np.testing.assert_array_equal(read_recording(binary).get_traces(), trace)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("a.smrx", "ced needs a package that is not installed: .*pip install sonpy"),
        ("a.edf", r'edf needs pyedflib: pip install "neural-spike-sorter\[edf\]"'),
    ],
)
def test_a_missing_package_is_named(
    name: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("neo.rawio.edfrawio.HAS_PYEDF", False)
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(InputError, match=told):
        read_recording(tmp_path / name)


def test_a_tank_of_tdt_has_a_segment_for_each_block(trace: np.ndarray, tmp_path: Path) -> None:
    for k, name in enumerate(("Block-1", "Block-2")):
        write_tdt(tmp_path / "tank" / name, trace + np.int16(k), name=name)
    assert RecordingOptions().segments(tmp_path / "tank") == 2
    with pytest.raises(InputError, match="segment"):
        read_recording(tmp_path / "tank")
    (one,) = (tmp_path / "tank" / "Block-2").glob("*.tev")
    np.testing.assert_array_equal(read_recording(one).get_traces(), trace + 1)


def test_spike2_channels_know_their_voltage(trace: np.ndarray, tmp_path: Path) -> None:
    recording = read_recording(write_spike2(tmp_path / "a.smr", trace))
    found = recording.get_traces(start_frame=990, end_frame=1010, return_in_uV=True)
    np.testing.assert_allclose(found, trace[990:1010] * (1000 / 6553.6), rtol=1e-5)  # a scale of 1 is 5 mV


def test_edf_files_know_their_channels_and_voltage(trace: np.ndarray, tmp_path: Path) -> None:
    recording = read_recording(write_edf(tmp_path / "a.edf", trace))
    assert recording.get_sampling_frequency() == FS_HZ
    np.testing.assert_array_equal(recording.get_traces(), trace)
    np.testing.assert_allclose(recording.get_traces(return_in_uV=True), trace / 10, atol=0.1)
    one = read_recording(tmp_path / "a.edf", channel="E2")
    np.testing.assert_array_equal(one.get_traces(), trace[:, 1:2])


@pytest.mark.parametrize("length", [10, 300, 1000, 10_000])
def test_edf_files_that_are_cut_off_are_refused(length: int, trace: np.ndarray, tmp_path: Path) -> None:
    path = write_edf(tmp_path / "a.edf", trace)
    os.truncate(path, length)
    with pytest.raises(InputError, match=r"a\.edf: cannot be read as edf: .*is the file complete"):
        read_recording(path)


@pytest.mark.parametrize(
    ("place", "written", "told"),
    [
        (0, b"\xffBIOSEMI", "is a BDF file, with samples of 24 bits"),  # neo would cut them to 16
        (192, b"EDF+D", "Only continuous EDF"),  # a recording with gaps
    ],
)
def test_relatives_of_edf_are_refused(
    place: int, written: bytes, told: str, trace: np.ndarray, tmp_path: Path
) -> None:
    path = write_edf(tmp_path / "a.edf", trace)
    stored = path.read_bytes()
    path.write_bytes(stored[:place] + written + stored[place + len(written) :])
    with pytest.raises(InputError, match=told):
        read_recording(path)


def test_a_sorting_is_no_recording(tmp_path: Path) -> None:
    from spikeinterface.core import NumpySorting

    sorting = NumpySorting.from_unit_dict([{"a": np.array([1, 2])}], FS_HZ)
    sorting.save(folder=tmp_path / "sorting")
    with pytest.raises(InputError, match="not a recording"):
        read_recording(tmp_path / "sorting")


def save_part(path: Path, trace: np.ndarray) -> Path:
    """A part of a recording, as SpikeInterface describes it."""
    raw = tofile(path.with_suffix(".dat"), trace)
    whole = BinaryRecordingExtractor([raw], FS_HZ, "int16", num_channels=trace.shape[1])
    whole.frame_slice(0, 59_000).select_channels(whole.channel_ids[1:]).dump_to_json(path)
    return path


@pytest.mark.parametrize(
    ("write", "name", "part"),
    [
        (write_blackrock, "a.ns5", "a.ns5"),
        (write_edf, "a.edf", "a.edf"),
        (write_intan, "a.rhd", "a.rhd"),
        (write_neuralynx, "a", "a/CSC2.ncs"),
        (lambda path, x: write_open_ephys(path, {"Probe": x}), "a", "a/**/continuous.dat"),
        (write_plexon, "a.plx", "a.plx"),
        (write_spike2, "a.smr", "a.smr"),
        (write_spikeglx, "a", "a/*.bin"),
        (write_tdt, "tank/a", "tank/a/*.tev"),
        (save, "a", "a/*.raw"),
        (save_part, "a.json", "a.dat"),
    ],
    ids=[
        "Blackrock",
        "EDF",
        "Intan",
        "Neuralynx",
        "Open Ephys",
        "Plexon",
        "Spike2",
        "SpikeGLX",
        "TDT",
        "SpikeInterface",
        "SpikeInterface's JSON",
    ],
)
def test_a_systems_file_that_becomes_shorter_is_an_error(
    write: Any, name: str, part: str, trace: np.ndarray, tmp_path: Path
) -> None:
    """neo maps most, so that to read what is gone would end the process; pyedflib returns anything for it."""
    (tmp_path / "tank").mkdir()
    long = np.tile(trace, (20, 1))
    recording = read_recording(write(tmp_path / name, long))
    assert len(recording.get_traces(start_frame=50_000, end_frame=50_100)) == 100
    (file,) = tmp_path.glob(part)
    os.truncate(file, file.stat().st_size // 4)
    with pytest.raises(InputError, match=r"became shorter while it was read; read it again") as error:
        recording.get_traces(start_frame=50_000, end_frame=51_000)
    assert str(error.value).startswith(str(file))


def test_a_file_that_becomes_shorter_within_a_reading_is_an_error(
    trace: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sizes are looked at again before each piece."""
    monkeypatch.setattr("spikesorter.io.foreign_recording.PIECE", 5000)
    recording = read_recording(write_spikeglx(tmp_path / "a", np.tile(trace, (20, 1))))
    np.testing.assert_array_equal(recording.get_traces(end_frame=9000), np.tile(trace, (3, 1)))
    assert recording.get_traces(start_frame=7, end_frame=7).shape == (0, 3)
    (file,) = tmp_path.glob("a/*.bin")
    read = recording.neo_reader.get_analogsignal_chunk

    def shrinking(*args: Any, **kwargs: Any) -> Any:
        found = read(*args, **kwargs).copy()
        os.truncate(file, 1000)
        return found

    monkeypatch.setattr(recording.neo_reader, "get_analogsignal_chunk", shrinking)
    with pytest.raises(InputError, match="became shorter while it was read"):
        recording.get_traces()
