"""Results are written anew in another format, or as a BIDS dataset, without sorting again."""

from __future__ import annotations

from pathlib import Path

import pytest

from spikesorter.core.errors import InputError
from spikesorter.io.labels import read_labels
from spikesorter.workflows.exporting import export_results
from tests.cli.test_cli import spikesorter

SUBJECT = '[subject]\nid = "M17"\nspecies = "Mus musculus"\nsex = "F"\nage = "P90D"\n'


@pytest.mark.parametrize("to", ["csv", "nwb", "phy"])
def test_spikes_are_those_of_the_results(to: str, sorted_study: Path, tmp_path: Path) -> None:
    told: list[Path] = []
    written = export_results(sorted_study, tmp_path / "out", to=to, on_written=told.append)
    assert written == told == [tmp_path / "out" / f"D{number}.{to}" for number in (2, 3)]
    for place in written:
        kept = read_labels(sorted_study / "predictions" / f"{place.stem}.mat")
        known = kept.select(kept.unit != 0)
        found = read_labels(place, fs_hz=kept.fs_hz)
        assert found.sample.tolist() == known.sample.tolist()
        assert found.unit.tolist() == known.unit.tolist()


def test_a_dataset_is_written_from_the_command_line(sorted_study: Path, tmp_path: Path) -> None:
    (tmp_path / "subject.toml").write_text(SUBJECT)
    told = ("--subject", tmp_path / "subject.toml", "--out", tmp_path / "set")
    said = spikesorter("export", sorted_study, "--to", "bids", *told)
    assert f"Results: {tmp_path / 'set'}" in said.stdout
    for name in ("D2", "D3"):
        found = read_labels(tmp_path / "set" / "sub-M17" / "ecephys" / f"sub-M17_acq-{name}_ecephys.nwb")
        kept = read_labels(sorted_study / "predictions" / f"{name}.mat")
        assert found.sample.tolist() == kept.select(kept.unit != 0).sample.tolist()


@pytest.mark.parametrize(
    ("to", "message"),
    [("bids", "--subject FILE"), ("xlsx", "unknown format 'xlsx'; spikes can be written as")],
)
def test_nothing_is_written_if_something_is_missing(
    to: str, message: str, sorted_study: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=message):
        export_results(sorted_study, tmp_path / "out", to=to)
    assert not (tmp_path / "out").exists()


def test_anothers_files_are_not_replaced(sorted_study: Path, tmp_path: Path) -> None:
    (tmp_path / "D3.csv").write_text("mine\n")
    with pytest.raises(InputError, match=r"D3\.csv: exists and was not written by spikesorter"):
        export_results(sorted_study, tmp_path, to="csv")
    assert not (tmp_path / "D2.csv").exists()
