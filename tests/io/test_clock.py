"""Gaps in a recording's time stamps are missing stretches, and times are on its clock."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import h5py
import numpy as np
import pytest
from pynwb import NWBHDF5IO, NWBFile
from pynwb.ecephys import ElectricalSeries
from spikeinterface.core import NumpyRecording

from spikesorter.core.bad_stretches import BadStretches
from spikesorter.core.spikes import Spikes
from spikesorter.io import clock
from spikesorter.io.clock import counted_gaps, find_gaps, times_of
from spikesorter.io.export import write_spikes
from spikesorter.io.recording import RecordingOptions
from spikesorter.signal.screen import Screen
from spikesorter.sorting.screening import screened
from tests.io.makers import write_blackrock, write_open_ephys

# SpikeInterface and neo leave files open.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]
FS_HZ = 1000.0
TIMES = np.r_[np.arange(300), np.arange(900, 1500), np.arange(1501, 1601)] / FS_HZ
GAPS = [(299, 301, "missing"), (899, 901, "missing")]


def timed(times: np.ndarray = TIMES) -> NumpyRecording:
    recording = NumpyRecording([np.random.default_rng(0).standard_normal((len(times), 2))], FS_HZ)
    recording.set_times(times)
    return recording


@pytest.mark.parametrize("chunk", [1, 7, 300, 301, 10_000])
def test_gaps_are_found_wherever_the_parts_end_that_are_read(
    chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clock, "CHUNK_SAMPLES", chunk)
    assert list(find_gaps(timed())) == GAPS
    some = np.array([999, 0, 300, 299, 300])
    np.testing.assert_array_equal(times_of(timed(), some), TIMES[some])


def test_a_steady_clock_has_no_gaps_and_one_that_jumps_back_has() -> None:
    assert len(find_gaps(timed(5 + np.arange(900) / FS_HZ))) == 0
    assert len(find_gaps(NumpyRecording([np.zeros((900, 1))], FS_HZ))) == 0
    assert list(find_gaps(timed(np.r_[np.arange(300), np.arange(200)] / FS_HZ))) == GAPS[:1]


def test_a_clock_read_when_samples_arrived_has_no_gaps_and_is_told(caplog: pytest.LogCaptureFixture) -> None:
    late = np.arange(900) / FS_HZ
    late[::3] += 0.8 / FS_HZ
    assert len(find_gaps(timed(late))) == 0
    assert "299 of 900 time stamps are further apart than samples" in caplog.text


def test_no_spikes_are_looked_for_at_a_gap() -> None:
    screen = Screen(12, np.full(2, 99.0), np.ones(2), np.zeros(2))
    source = screened(timed(), screen, np.zeros(2), exclude=None, fs_hz=FS_HZ, n_jobs=1)
    assert list(source.bad) == GAPS


def write_nwb(path: Path) -> Path:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    file = NWBFile(session_description="", identifier="a", session_start_time=start)
    device = file.create_device(name="device")
    group = file.create_electrode_group(name="group", description="", location="left", device=device)
    file.add_electrode(group=group, location="left")
    electrodes = file.create_electrode_table_region([0], "")
    data = np.random.default_rng(0).standard_normal((len(TIMES), 1)).astype(np.float32)
    file.add_acquisition(ElectricalSeries(name="series", data=data, electrodes=electrodes, timestamps=TIMES))
    with NWBHDF5IO(path, "w") as output:
        output.write(file)
    return path


def test_the_time_stamps_of_nwb_are_read_and_spike_times_are_on_their_clock(tmp_path: Path) -> None:
    recording = RecordingOptions().open(write_nwb(tmp_path / "a.nwb")).recording
    assert list(find_gaps(recording)) == GAPS
    spikes = Spikes([100, 500, 950, 960], [2, 1, 1, 2], fs_hz=FS_HZ, bad=find_gaps(recording))
    write_spikes(tmp_path / "found.nwb", spikes, format="nwb", recording=recording)
    with h5py.File(tmp_path / "found.nwb") as file:
        np.testing.assert_allclose(file["units/spike_times"][()], TIMES[[500, 950, 100, 960]])
        np.testing.assert_allclose(file["intervals/invalid_times/start_time"][()], TIMES[[299, 899]])


@pytest.mark.parametrize("names", ["sample_numbers", "timestamps"])
def test_the_numbers_of_samples_of_open_ephys_are_looked_at(names: str, tmp_path: Path) -> None:
    trace = np.random.default_rng(0).integers(-9, 9, (len(TIMES), 2))
    folder = write_open_ephys(tmp_path / "session", {"ProbeA": trace, "ProbeB": trace})
    (numbers,) = folder.rglob("*ProbeB/sample_numbers.npy")
    (times,) = folder.rglob("*ProbeB/timestamps.npy")
    counted = np.round(TIMES * FS_HZ).astype(np.int64) + 77
    if names == "timestamps":  # before version 0.6
        numbers.unlink()
        numbers = times
    np.save(numbers, counted)
    opened = {name: RecordingOptions(stream=name).open(folder) for name in ("0", "1")}
    assert len(opened["0"].exclude) == 0
    reach = 30
    expected = [(300 - reach, 300 + reach, "missing"), (900 - reach, 900 + reach, "missing")]
    assert list(opened["1"].exclude) == expected
    np.save(numbers, counted.astype(np.float64))  # seconds, not numbers
    assert len(RecordingOptions(stream="1").open(folder).exclude) == 0


def test_other_formats_count_no_samples() -> None:
    assert counted_gaps(NumpyRecording([np.zeros((900, 1))], FS_HZ), 0) == BadStretches()


def test_a_blackrock_recording_with_gaps_is_opened_in_segments(tmp_path: Path) -> None:
    trace = np.random.default_rng(0).integers(-9, 9, (3000, 2)).astype(np.int16)
    path = write_blackrock(tmp_path / "a.ns5", trace, pause_after=1000)
    parts = [RecordingOptions(segment=k).open(path).recording.get_traces() for k in (0, 1)]
    np.testing.assert_array_equal(parts[0], trace[:1000])
    np.testing.assert_array_equal(parts[1], trace[1000:])
