from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from spikeinterface.core import NumpyRecording

from spikesorter.core.errors import InputError
from spikesorter.io.exclusion import Exclusion

FS_HZ = 1000.0
RECORDING = NumpyRecording([np.zeros((10_000, 1), np.float32)], FS_HZ)
NAMES = ["D2", "D3"]


def starts(exclusion: Exclusion, name: str) -> list[int]:
    return exclusion.of(name, RECORDING).start.tolist()


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "bad.csv"
    path.write_text("recording,start_s,stop_s\nD2,1,2\nD3.mat,3,4\nnight/D3.mat,5,6\nD4,7,8\n")
    return path


def test_a_column_says_of_which_recording_a_row_is(table: Path) -> None:
    exclusion = Exclusion(str(table))
    exclusion.check(NAMES)
    assert [starts(exclusion, name) for name in NAMES] == [[1000], [3000, 5000]]


def test_a_folder_has_a_file_for_each_recording(tmp_path: Path) -> None:
    (tmp_path / "D2.csv").write_text("start_s,stop_s\n1,2\n")
    (tmp_path / "D3.bad.csv").write_text("start_s,stop_s,kind\n3,4,dead\n")
    exclusion = Exclusion(str(tmp_path))
    exclusion.check(NAMES)
    assert [starts(exclusion, name) for name in NAMES] == [[1000], [3000]]
    assert len(exclusion.of("D5", RECORDING)) == 0
    with pytest.raises(InputError, match=r"has no file for any recording; expected names such as D5\.csv"):
        exclusion.check(["D5"])


def test_one_table_is_of_one_recording_or_says_of_which(tmp_path: Path) -> None:
    path = tmp_path / "bad.csv"
    path.write_text("start_s,stop_s\n1,2\n")
    exclusion = Exclusion(str(path))
    exclusion.check(NAMES[:1])
    with pytest.raises(InputError, match=r"there are 2 recordings; say in a column `recording`"):
        exclusion.check(NAMES)


def test_a_table_of_other_recordings_only_is_refused(table: Path) -> None:
    with pytest.raises(InputError, match=r"is of the recordings D2, D3\.mat, .*D4, but not of D9"):
        Exclusion(str(table)).check(["D9"])


def test_events_are_left_out_beside_stretches(table: Path, tmp_path: Path) -> None:
    events = tmp_path / "pulses.csv"
    events.write_text("time_s\n1.9995\n8\n")
    found = Exclusion(str(table), str(events), (-1.0, 5.0)).of(NAMES[0], RECORDING)
    assert list(found) == [(1000, 2005, "given"), (7999, 8005, "given")]


def test_half_a_millisecond_before_events_and_six_after_are_left_out_by_default(tmp_path: Path) -> None:
    (tmp_path / "pulses.csv").write_text("sample\n2000\n")
    found = Exclusion(events=str(tmp_path / "pulses.csv")).of(NAMES[0], RECORDING)
    assert list(found) == [(1999, 2006, "given")]


def test_a_stretch_reaches_to_the_end_at_most_and_begins_before_it(tmp_path: Path) -> None:
    path = tmp_path / "bad.csv"
    path.write_text("start_s,stop_s\n9,12\n")
    assert list(Exclusion(str(path)).of(NAMES[0], RECORDING)) == [(9000, 10_000, "given")]
    path.write_text("start_s,stop_s\n900,1200\n")
    with pytest.raises(InputError, match="begins at 900 s, but D2 has only 10 s; are these times of"):
        Exclusion(str(path)).of(NAMES[0], RECORDING)


@pytest.mark.parametrize("stop_ms", [-0.5, 6])
def test_a_window_stops_after_its_start(stop_ms: float) -> None:
    with pytest.raises(InputError, match=f"--blank-ms 6 {stop_ms}: expected a start and a later stop"):
        Exclusion(window_ms=(6.0, stop_ms))


def test_the_digest_is_of_the_recordings_own_rows(table: Path) -> None:
    exclusion = Exclusion(str(table))
    before = [exclusion.digest(name) for name in NAMES]
    table.write_text(table.read_text().replace("D2,1,2", "D2,1,3"))
    after = [exclusion.digest(name) for name in NAMES]
    assert [one == two for one, two in zip(before, after, strict=True)] == [False, True]
