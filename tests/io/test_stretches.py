from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from spikesorter.core.bad_stretches import BadStretches
from spikesorter.core.errors import InputError
from spikesorter.io.bad_table import write_bad_table
from spikesorter.io.stretches import event_rows, read_stretches, to_stretches

FS_HZ = 1000.0


def table(folder: Path, text: str, name: str = "bad.csv") -> Path:
    path = folder / name
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("start_s,stop_s\n0.5,0.75\n2,2.004\n", "bad.csv"),
        ("start_s\tend_s\n0.5\t0.75\n2\t2.004\n", "bad.tsv"),
        ("start_s;stop_s\n0,5;0,75\n2;2,004\n", "bad.csv"),
        ("stop_time,start_time\n0.75,0.5\n2.004,2\n", "bad.csv"),
        ("first_sample,last_sample\n500,749\n2000,2003\n", "bad.csv"),
        ("start_sample,stop_sample,why\n2000,2004,tap\n500,750,tap\n", "bad.csv"),
    ],
)
def test_tables_are_in_seconds_or_samples_as_their_header_says(text: str, name: str, tmp_path: Path) -> None:
    found = read_stretches(table(tmp_path, text, name), fs_hz=FS_HZ)
    assert list(found) == [(500, 750, "given"), (2000, 2004, "given")]


def test_samples_need_no_rate_but_seconds_do(tmp_path: Path) -> None:
    samples = table(tmp_path, "first_sample,last_sample\n500,749\n")
    assert list(read_stretches(samples)) == [(500, 750, "given")]
    with pytest.raises(InputError, match=r"a\.csv: holds times; give the recording's sampling rate"):
        read_stretches(table(tmp_path, "start_s,stop_s\n1,2\n", "a.csv"))


def test_a_table_beside_a_result_comes_back(tmp_path: Path) -> None:
    bad = BadStretches.of([(7, 50, "dead"), (333, 1001, "artefact")])
    write_bad_table(tmp_path / "D6.mat", bad, fs_hz=30_000.0)
    assert read_stretches(tmp_path / "D6.bad.csv", fs_hz=30_000.0) == bad


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("start_s,stop_s\n1,2\n3,3\n", "row 3: stops at 3, not after its start at 3"),
        ("start_s,stop_s\n1,2\n4,3\n", "row 3: stops at 3, not after its start at 4"),
        ("start_s,stop_s\n1,two\n", "row 2: 'two' is no time"),
        ("first_sample,last_sample\n1,\n", "row 2: '' is no sample"),
        ("start_s,stop_s\nnan,2\n", "row 2: 'nan' is no time"),
        ("start_s,stop_s\n1,2,3\n", "row 2 has 3 cells, but the header 2"),
        ("from,to\n1,2\n", "expected columns start_s and stop_s .* found from, to"),
        ("1.5,2.5\n3.5,4.5\n", "its first line is no header"),
        ("", "expected columns"),
    ],
)
def test_what_is_no_stretch_is_named_with_its_row(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=rf"bad\.csv: .*{message}"):
        read_stretches(table(tmp_path, text), fs_hz=FS_HZ)


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"expected a table \(\.csv, \.tsv, \.txt\) or \.nwb"):
        read_stretches(table(tmp_path, "", "bad.mat"), fs_hz=FS_HZ)
    for read in (read_stretches, event_rows):
        with pytest.raises(InputError, match=r"nowhere\.csv: no such file"):
            read(tmp_path / "nowhere.csv")


def test_invalid_times_count_from_the_start_of_the_session(tmp_path: Path) -> None:
    path = tmp_path / "a.nwb"
    with h5py.File(path, "w") as file:
        file["intervals/invalid_times/start_time"] = np.array([9.0, 9.6, 10.5, 20.0])
        file["intervals/invalid_times/stop_time"] = np.array([9.5, 10.0, 10.75, 21.0])
    found = read_stretches(path, fs_hz=FS_HZ, start_s=10.0)
    assert list(found) == [(500, 750, "given"), (10_000, 11_000, "given")]  # the first two are before it
    with h5py.File(path, "a") as file:
        del file["intervals"]
    with pytest.raises(InputError, match=r"a\.nwb: has no table invalid_times"):
        read_stretches(path, fs_hz=FS_HZ)


@pytest.mark.parametrize("text", ["time_s\n0.5\n1\n", "sample\n500\n1000\n", "time_s,code\n0.5,7\n1,8\n"])
def test_events_have_a_window(text: str, tmp_path: Path) -> None:
    path = table(tmp_path, text)
    found = to_stretches(path, event_rows(path), fs_hz=FS_HZ, window_ms=(-3.0, 6.0))
    assert list(found) == [(497, 506, "given"), (997, 1006, "given")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0.5\n1\n", "its first line is no header; write the names of its columns there: time_s"),
        ("when\n0.5\n", "expected a column time_s .* found when"),
        ("time_s\n0.5\nx\n", "row 3: 'x' is no time"),
    ],
)
def test_events_that_are_none_are_refused(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        event_rows(table(tmp_path, text))
