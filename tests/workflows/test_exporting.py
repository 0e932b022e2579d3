"""Results are written anew in another format, or as a BIDS dataset, without sorting again."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from spikesorter.core.errors import InputError
from spikesorter.io.labels import read_labels
from spikesorter.report.correction_log import CorrectionLog
from spikesorter.report.corrections import Correction, Edit
from spikesorter.report.viewer import CORRECTED
from spikesorter.workflows.exporting import export_results
from tests.cli.test_cli import spikesorter

pytestmark = pytest.mark.usefixtures("nothing_to_compile")
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


@pytest.mark.parametrize("to", ["nex5", "nex"])
def test_spikes_are_written_for_neuroexplorer(to: str, corrected_study: Path, tmp_path: Path) -> None:
    reader = pytest.importorskip("nex5file.reader")
    export_results(corrected_study, tmp_path, to=to, with_corrections=True)
    data = reader.Reader().ReadNexFile(str(tmp_path / f"D2.{to}"))
    assert "9" in data.NeuronNames()  # the new unit
    assert 12_345 in (data["1"].Timestamps() * data.timestamp_frequencyHz).tolist()  # the added spike


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


@pytest.fixture
def corrected_study(sorted_study: Path, tmp_path: Path) -> Path:
    """Results of which a spike of D2 is rejected, three are a new unit, and one is added."""
    results = Path(shutil.copytree(sorted_study, tmp_path / "results"))
    found = read_labels(results / "predictions" / "D2.mat")
    known = found.select(found.unit != 0)
    first, *others = zip(known.sample.tolist()[:4], known.unit.tolist()[:4], strict=True)
    log = CorrectionLog(results / CORRECTED / "D2.jsonl")
    log.append(Correction(*first, "reject"))
    log.append(Edit("rename", tuple(others), to=9))
    log.append(Correction(12_345, 1, "add"))
    return results


@pytest.mark.parametrize("to", ["csv", "nwb", "phy"])
def test_corrected_spikes_are_written_with_their_new_units(
    to: str, corrected_study: Path, tmp_path: Path
) -> None:
    one, other = export_results(corrected_study, tmp_path / "out", to=to, with_corrections=True)
    found = read_labels(corrected_study / "predictions" / "D2.mat")
    known = found.select(found.unit != 0)
    written = read_labels(one, fs_hz=found.fs_hz)
    assert len(written) == len(known)  # one less, one more
    assert known.sample[0] not in written.sample
    names = {known.name_of(unit) for unit in known.unit_ids}
    (new,) = [unit for unit in written.unit_ids if written.name_of(unit) not in names]
    assert written.of(new).sample.tolist() == known.sample[1:4].tolist()
    assert 12_345 in written.sample
    kept = read_labels(corrected_study / "predictions" / "D3.mat")  # nothing was corrected there
    assert read_labels(other, fs_hz=kept.fs_hz).sample.tolist() == kept.select(kept.unit != 0).sample.tolist()


def test_it_is_said_that_corrections_are_left_out(
    corrected_study: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    export_results(corrected_study, tmp_path / "out", to="csv")
    assert "spikes are written as found; D2 have corrections, which --corrected applies" in caplog.text
    found = read_labels(corrected_study / "predictions" / "D2.mat")
    assert len(read_labels(tmp_path / "out" / "D2.csv", fs_hz=found.fs_hz)) == (found.unit != 0).sum()


@pytest.mark.parametrize(("to", "words"), [("nwb", "has no corrections"), ("mat-units", "not as corrected")])
def test_corrections_that_cannot_be_applied_are_refused(
    to: str, words: str, sorted_study: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=words):
        export_results(sorted_study, tmp_path / "out", to=to, with_corrections=True)
    assert not (tmp_path / "out").exists()


def test_corrected_spikes_are_exported_from_the_command_line(corrected_study: Path, tmp_path: Path) -> None:
    spikesorter("export", corrected_study, "--corrected", "--to", "csv", "--out", tmp_path / "out")
    assert 12_345 in read_labels(tmp_path / "out" / "D2.csv", fs_hz=25_000.0).sample
