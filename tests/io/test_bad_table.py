from __future__ import annotations

from pathlib import Path

import pytest

from spikesorter import read_labels
from spikesorter.core.bad_stretches import BadStretches
from spikesorter.core.errors import InputError
from spikesorter.io.bad_table import bad_table_place, read_bad_table, to_stretch, write_bad_table
from spikesorter.io.label_checks import RateNeededError

BAD = BadStretches.of([(0, 1, "missing"), (123_456_789, 987_654_321, "saturated")])


@pytest.mark.parametrize("fs_hz", [24_414.0625, 30_000.0, 29_999.97])
def test_samples_come_back_exactly(fs_hz: float, tmp_path: Path) -> None:
    write_bad_table(tmp_path / "D6.mat", BAD, fs_hz=fs_hz)
    assert read_bad_table(tmp_path / "D6.nwb", fs_hz=fs_hz) == BAD


def test_a_table_by_hand_needs_no_kinds(tmp_path: Path) -> None:
    (tmp_path / "a.bad.csv").write_text("start_s,stop_s\n2,2.0105\n1.5,2\n")
    assert list(read_bad_table(tmp_path / "a.csv", fs_hz=1000.0)) == [(1500, 2011, "given")]


def test_without_a_table_nothing_is_bad(tmp_path: Path) -> None:
    assert len(read_bad_table(tmp_path / "a.csv", fs_hz=None)) == 0
    bad_table_place(tmp_path / "a.csv").write_text("start_s,stop_s,kind\n")
    assert len(read_bad_table(tmp_path / "a.csv", fs_hz=None)) == 0


def test_the_rate_is_needed(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("sample,unit\n5,1\n")
    write_bad_table(tmp_path / "a.csv", BAD, fs_hz=1000.0)
    with pytest.raises(RateNeededError, match="a.bad.csv: holds times in seconds"):
        read_labels(tmp_path / "a.csv")
    assert read_labels(tmp_path / "a.csv", fs_hz=1000.0).bad == BAD
    with pytest.raises(InputError, match="sampling rate of the spikes is not known"):
        write_bad_table(tmp_path / "a.csv", BAD, fs_hz=None)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("start_s,end\n1,2\n", "row 2: expected columns start_s and stop_s"),
        ("start_s,stop_s\n1,2\n3,x\n", "row 3: expected columns"),
        ("start_s,stop_s\n1\n", "row 2: expected columns"),
        ("start_s,stop_s\nnan,inf\n", "row 2: expected columns"),
        ("start_s,stop_s\n2,1\n", "from sample 2000 to 1000 is nothing"),
    ],
)
def test_damaged_tables_are_refused_by_name(rows: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.bad.csv").write_text(rows)
    with pytest.raises(InputError, match=message) as error:
        read_bad_table(tmp_path / "a.csv", fs_hz=1000.0)
    assert str(error.value).startswith(str(tmp_path / "a.bad.csv"))


def test_a_stretch_covers_the_samples_that_it_touches() -> None:
    assert to_stretch(10.5, 20.5, "dead") == (10, 21, "dead")
    assert to_stretch(10.0000001, 19.9999999, "") == (10, 20, "given")
