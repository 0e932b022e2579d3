from __future__ import annotations

from pathlib import Path

import pytest

from spikesorter import read_labels
from spikesorter.core.errors import InputError
from spikesorter.core.spikes import Spikes


def test_names_are_kept_and_numbered(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("sample,unit\n5,basket\n9,pyramidal\n12,basket\n13,unknown\n")
    labels = read_labels(tmp_path / "a.csv")
    assert labels == Spikes.from_arrays([5, 9, 12, 13], [1, 2, 1, 0])
    assert labels.names == {1: "basket", 2: "pyramidal"}
    (tmp_path / "a.csv").write_text("sample,unit\n5,0\n9,2\n12,10\n")
    labels = read_labels(tmp_path / "a.csv")
    assert labels.names == {1: "0", 2: "2", 3: "10"}
    assert labels.unit.tolist() == [1, 2, 3]


def test_numbers_as_spreadsheets_write_them_are_labels_and_others_are_names(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("sample,unit\n5,3.0\n9,12.\n12,3.00\n")
    assert read_labels(tmp_path / "a.csv").names == {1: "3", 2: "12."}
    (tmp_path / "a.csv").write_text("sample,unit\n5,3.0\n9,12\n")
    assert read_labels(tmp_path / "a.csv").unit.tolist() == [3, 12]
    (tmp_path / "a.csv").write_text("sample,unit\n5,3.5\n9,10\n12,9\n")
    assert read_labels(tmp_path / "a.csv").names == {1: "9", 2: "10", 3: "3.5"}


def test_names_of_any_length_that_a_person_would_write_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(f"sample,unit\n5,{'n' * 1000}\n")
    assert read_labels(tmp_path / "a.csv").names == {1: "n" * 1000}
    (tmp_path / "a.csv").write_text(f"sample,unit\n5,{'n' * 1001}\n")
    with pytest.raises(InputError, match="an entry is 1001 letters long; expected at most 1000"):
        read_labels(tmp_path / "a.csv")
