"""What benchmarks measured is kept as JSON and, value by value, as a Parquet table."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from benchmarks.raw_results import main, rows_of, write_results

from spikesorter.core.versions import versions

RESULTS = {
    "D2": {"score": np.float64(0.5), "names": ["a", None], "fails": False},
    "seeds": np.array([21, 22]),
}
ROWS = [
    ("D2", "score", None, 0.5, None),
    ("D2", "names", "0", None, "a"),
    ("D2", "names", "1", None, None),
    ("D2", "fails", None, 0.0, None),
    ("seeds", "0", None, 21.0, None),
    ("seeds", "1", None, 22.0, None),
]


def rows_in(path: Path) -> list[tuple[object, ...]]:
    return [tuple(row.values()) for row in pq.read_table(path).to_pylist()]


def test_a_table_lies_beside_the_json_with_each_value_and_the_versions(tmp_path: Path) -> None:
    write_results(tmp_path / "new" / "bath.json", RESULTS)
    kept = json.loads((tmp_path / "new" / "bath.json").read_text())
    assert kept == {"D2": {"score": 0.5, "names": ["a", None], "fails": False}, "seeds": [21, 22]}
    table = tmp_path / "new" / "bath.parquet"
    assert pq.read_schema(table).names == ["key_1", "key_2", "key_3", "value", "text"]
    assert rows_in(table) == ROWS
    assert json.loads(pq.read_schema(table).metadata[b"measured with"]) == versions()


def test_a_single_number_and_nothing_at_all_have_tables_too(tmp_path: Path) -> None:
    for results, rows in ((3, [(3.0, None)]), ({}, [])):
        write_results(tmp_path / "one.json", results)
        assert rows_in(tmp_path / "one.parquet") == rows
    assert list(rows_of([])) == []


def test_tables_of_what_was_measured_before_have_the_versions_that_it_states(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "old.json").write_text('{"versions": {"numpy": "2.0"}, "score": 0.5}')
    (tmp_path / "older.json").write_text("[0.5]")
    monkeypatch.setattr(sys, "argv", ["raw_results.py", str(tmp_path)])
    main()
    assert rows_in(tmp_path / "older.parquet") == [("0", 0.5, None)]
    stated = [pq.read_schema(tmp_path / f"{n}.parquet").metadata[b"measured with"] for n in ("old", "older")]
    assert [json.loads(one) for one in stated] == [{"numpy": "2.0"}, None]
