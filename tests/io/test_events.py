"""Events of an experiment from tables, .mat and .nwb files."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io

from spikesorter.core.errors import InputError
from spikesorter.io.events import SAMPLES, TIMES, Clock, events_by_name, read_events

FS_HZ = 2000.0
CLOCK = Clock(FS_HZ, 10.0, start_s=2.0)


@pytest.mark.parametrize("name", TIMES)
def test_seconds_have_several_names(tmp_path: Path, name: str) -> None:
    path = tmp_path / "events.csv"
    path.write_text(f"{name}\n3.5\n1.25\n")
    events = read_events(path, fs_hz=FS_HZ)
    assert events.time_s.tolist() == [1.25, 3.5]
    assert events.condition == ("", "")
    assert events.conditions == ("",)


@pytest.mark.parametrize("name", SAMPLES)
def test_samples_are_divided_by_the_rate(tmp_path: Path, name: str) -> None:
    path = tmp_path / "events.csv"
    path.write_text(f"{name},condition\n2500,b\n2000,a\n3000,b\n")
    events = read_events(path, fs_hz=FS_HZ)
    assert events.time_s.tolist() == [1.0, 1.25, 1.5]
    assert events.condition == ("a", "b", "b")
    assert (events.conditions, len(events)) == (("a", "b"), 3)


def test_events_at_one_time_keep_their_order(tmp_path: Path) -> None:
    path = tmp_path / "events.csv"
    path.write_text("time_s,type\n1,second?\n1,b\n0,a\n")
    assert read_events(path, fs_hz=FS_HZ).condition == ("a", "second?", "b")


def test_a_comma_as_decimal_mark_is_read_in_tables_of_semicolons(tmp_path: Path) -> None:
    path = tmp_path / "events.csv"
    path.write_text("time_s;condition\n1,5;a\n0,25;b\n")
    assert read_events(path, fs_hz=FS_HZ).time_s.tolist() == [0.25, 1.5]


def test_numbers_in_mat_files_are_conditions_too(tmp_path: Path) -> None:
    path = tmp_path / "events.mat"
    scipy.io.savemat(path, {"sample": [[200.0], [100.0]], "value": np.array([2, 1])})
    events = read_events(path, fs_hz=FS_HZ)
    assert events.time_s.tolist() == [0.05, 0.1]
    assert events.condition == ("1", "2")


def test_a_mat_file_with_other_conditions_than_times_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "events.mat"
    scipy.io.savemat(path, {"time_s": [1.0, 2.0, 3.0], "condition": np.array([2, 1])})
    with pytest.raises(InputError, match=r"events\.mat: has 3 times of events, but 2 conditions"):
        read_events(path, fs_hz=FS_HZ)


def test_trials_of_an_nwb_file_are_its_events(tmp_path: Path) -> None:
    path = tmp_path / "session.nwb"
    with h5py.File(path, "w") as file:
        trials = file.create_group("intervals/trials")
        trials["start_time"] = [0.5, 2.0]
        trials["stop_time"] = [1.0, 3.0]
        trials["stimulus"] = ["tone", "light"]
    events = read_events(path, fs_hz=FS_HZ)
    assert events.time_s.tolist() == [0.5, 2.0]
    assert events.condition == ("tone", "light")


def test_files_without_events_are_refused_by_name(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "empty.nwb", "w"):
        pass
    (tmp_path / "broken.nwb").write_bytes(b"no hdf5")
    (tmp_path / "events.xls").write_bytes(b"")
    for name, words in (
        ("empty.nwb", "has no trials"),
        ("broken.nwb", "cannot be read as an .nwb file"),
        ("events.xls", "events are read from .csv, .tsv, .txt, .mat and .nwb files"),
        ("missing.csv", "no such file with events"),
    ):
        with pytest.raises(InputError, match=f"{name}: {words}"):
            read_events(tmp_path / name, fs_hz=FS_HZ)


def test_each_recording_has_its_own_file_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "D2.csv").write_text("time_s\n1\n")
    (tmp_path / "D3.tsv").write_text("time_s\tcondition\n2\ta\n")
    found = events_by_name(tmp_path, dict.fromkeys(["D2", "D3", "D4"], CLOCK))
    assert {name: events.time_s.tolist() for name, events in found.items()} == {"D2": [1.0], "D3": [2.0]}
    one = events_by_name(tmp_path / "D2.csv", {"other": CLOCK})
    assert list(one) == ["other"]


@pytest.mark.parametrize(
    ("text", "first"), [("time_s\n3\n9.999\n10\n", "10"), ("time_s\n-0.5\n11\n1\n", "-0.5")]
)
def test_events_outside_their_recording_are_refused(tmp_path: Path, text: str, first: str) -> None:
    path = tmp_path / "events.csv"
    path.write_text(text)
    said = rf"of 3 events are outside the recording, which lasts 10 s; the first is at {first} s\. Give times"
    with pytest.raises(InputError, match=said):
        events_by_name(path, {"D2": CLOCK})


def test_times_of_an_nwb_file_count_from_the_start_of_the_session(tmp_path: Path) -> None:
    path = tmp_path / "D2.nwb"
    with h5py.File(path, "w") as file:
        file["intervals/trials/start_time"] = [2.5, 11.75]
    assert events_by_name(path, {"D2": CLOCK})["D2"].time_s.tolist() == [0.5, 9.75]  # it began at 2 s


def test_a_matrix_of_times_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "events.mat"
    scipy.io.savemat(path, {"time": [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]})  # starts and stops
    with pytest.raises(
        InputError, match=r"events\.mat: time: expected one value for each event, not .* 3 x 2"
    ):
        read_events(path, fs_hz=FS_HZ)


def test_trials_that_are_no_table_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "odd.nwb"
    with h5py.File(path, "w") as file:
        file["intervals/trials"] = [1.0, 2.0]
    with pytest.raises(InputError, match="has no trials"):
        read_events(path, fs_hz=FS_HZ)
