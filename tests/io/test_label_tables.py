from __future__ import annotations

from pathlib import Path

import pytest

from spikesorter import read_labels
from spikesorter.core.errors import InputError
from spikesorter.core.spikes import Spikes

FS_HZ = 30_000.0
TRUE = Spikes.from_arrays([100, 250, 250, 900], [2, 1, 2, 1], fs_hz=FS_HZ)


@pytest.mark.parametrize(
    "text",
    [
        "sample,unit\n100,2\n250,1\n250,2\n900,1\n",
        "Unit,Sample\n2,100\n1,250\n2,250\n1,900\n",
        "sample_index,cluster_id,depth\n900,1,x\n250,1,y\n250,2,z\n100,2,\n",
        "sample;unit\n".replace(";", ",") + "100.0,2.0\n250.0,1.0\n250.0,2.0\n900.0,1.0\n\n",
        "\ufefftime_s,class\r\n0.0033333333,2\r\n0.0083333333,1\r\n0.0083333333,2\r\n0.03,1\r\n",
    ],
)
def test_tables_of_samples_or_seconds(text: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(text, encoding="utf-8", newline="")
    assert read_labels(tmp_path / "a.csv", fs_hz=FS_HZ) == TRUE


def test_tables_of_other_tools(tmp_path: Path) -> None:
    import pandas as pd

    table = pd.DataFrame({"sample": TRUE.sample, "unit": TRUE.unit, "amplitude": 1.5})
    table.to_csv(tmp_path / "a.tsv", sep="\t", index=False)
    table.to_parquet(tmp_path / "a.parquet")
    assert read_labels(tmp_path / "a.tsv") == read_labels(tmp_path / "a.parquet") == TRUE


def test_samples_beside_seconds_tell_the_rate(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("sample,time_s,unit\n100,0.004096,1\n250,0.01024,1\n")
    assert read_labels(tmp_path / "a.csv", fs_hz=FS_HZ).fs_hz == 24414.0625
    (tmp_path / "a.csv").write_text("sample,time_s,unit\n100,0.0041,1\n250,0.0102,1\n")  # rounded
    assert read_labels(tmp_path / "a.csv").fs_hz is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected a header with `sample` or `time_s`, and `unit`; found none"),
        ("when,what\n1,2\n", "found when, what"),
        ("sample\n1\n", "and `unit`; found sample"),
        ("unit\n1\n", "expected a header with `sample` or `time_s`, and `unit`; found unit"),
        ("sample,unit\n1\n", "row 2 has 1 cells, but the header 2"),
        ("sample,unit\nsoon,1\n", "sample: 'soon' is no number"),
        ("sample,unit\n0.5,1\n", "sample must hold whole numbers"),
        ("sample,unit\n,1\n", "sample: '' is no number"),
        ("sample,unit\n5,1\n9,\n", "1 spikes have no unit, the first at sample 9"),
        ("sample,unit\nnan,1\n", "NaN"),
        ("sample,unit\n-4,1\n", "found -4"),
        ("time_s,unit\n0.5,1\n", r"give the recording's sampling rate: fs_hz \(--fs\)"),
        ("sample,unit,probability\n1,1,2\n", "probabilities must lie between 0 and 1"),
    ],
)
def test_tables_that_make_no_sense_are_refused(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=message) as error:
        read_labels(path)
    assert str(error.value).startswith(str(path))


def test_no_spikes_are_labels_too(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("sample,unit\n")
    assert read_labels(tmp_path / "a.csv") == Spikes.empty()


@pytest.mark.parametrize(
    ("rows", "fs_hz"),
    [
        ("100,0.004096,1", None),  # one alone could be rounded
        ("0,0,1\n100,0.004096,1", None),
        ("0,0,1\n100,0.004096,1\n250,0.01024,1", 24414.0625),
        ("100,0.004096,1\n250,0.0102,1", None),
    ],
)
def test_a_rate_is_told_by_two_spikes_that_agree(rows: str, fs_hz: float | None, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(f"sample,time_s,unit\n{rows}\n")
    assert read_labels(tmp_path / "a.csv").fs_hz == fs_hz


def test_samples_up_to_what_a_float_counts_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(f"sample,unit\n{2**53},1\n")
    with pytest.raises(InputError, match="beyond any recording's length"):
        read_labels(tmp_path / "a.csv")
    (tmp_path / "a.csv").write_text(f"sample,unit\n{2**53 - 1},1\n")
    assert read_labels(tmp_path / "a.csv").sample.tolist() == [2**53 - 1]


def test_missing_cells_in_parquet_are_refused(tmp_path: Path) -> None:
    import pandas as pd

    pd.DataFrame({"sample": [1.0, None], "unit": ["a", "b"]}).to_parquet(tmp_path / "a.parquet")
    with pytest.raises(InputError, match="a.parquet: sample"):
        read_labels(tmp_path / "a.parquet")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize(
    "text",
    [
        "time_s;unit\n0,01;a\n0,025;b\n",
        "time_s\tunit\n0,01\ta\n0,025\tb\n",
        "time_s,unit\n0.01,a\n0.025,b\n",
        "time_s;unit\r\n1,0e-2;a\r\n0.025;b\r\n",
    ],
)
def test_tables_of_other_countries_and_of_spreadsheets(text: str, encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(text.encode(encoding))
    labels = read_labels(path, fs_hz=1000.0)
    assert labels.sample.tolist() == [10, 25]
    assert labels.names == {1: "a", 2: "b"}


def test_decimal_commas_between_commas_are_said(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("time_s,unit\n0,01,a\n")
    with pytest.raises(InputError, match=r"row 2 has 3 cells, .*decimal marks commas\? Then separate"):
        read_labels(path, fs_hz=1000.0)
