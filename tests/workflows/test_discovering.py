from __future__ import annotations

import csv
import json
from html import unescape
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from spikesorter.cli import app
from spikesorter.core.errors import InputError
from spikesorter.core.score import match_spikes
from spikesorter.core.settings import load_settings
from spikesorter.io.labels import read_labels
from spikesorter.io.mat_writing import write_mat_recording
from spikesorter.report.results import open_results
from spikesorter.simulate import simulate_study
from spikesorter.sorting.model import load_model
from spikesorter.workflows.discovering import DiscoveredFiles, Known, discover_files
from spikesorter.workflows.files import sort_files
from tests.conftest import BRIEF

FS_HZ = 25_000.0
SETTINGS = load_settings(assignments=BRIEF)
SET = [word for one in BRIEF for word in ("--set", one)]


Session = tuple[Path, Path, DiscoveredFiles]


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("session") / "D2.mat"
    _, study = simulate_study(units=2, seconds=8, noise_levels=(0.9,), spikes_per_s=50, seed=1)
    write_mat_recording(path, study.trace, fs_hz=FS_HZ)
    return path


@pytest.fixture(scope="module")
def session(recording: Path) -> Session:
    out = recording.parent / "found"
    return recording, out, discover_files([recording], out, SETTINGS, n_jobs=1)


def test_a_recording_gives_a_model_spikes_and_units(session: Session) -> None:
    _, out, found = session
    assert {path.name for path in out.iterdir()} >= {
        "D2.mat",
        "model",
        "report.html",
        "sort.json",
        "units.csv",
        "units.json",
    }
    units = json.loads((out / "units.json").read_text())["units"]
    assert [unit["unit"] for unit in units] == [1, 2]
    assert [tuple(unit["reasons"]) for unit in units] == [unit.reasons for _, unit in found.units]
    with (out / "units.csv").open(newline="") as opened:
        rows = list(csv.DictReader(opened))
    assert [row["spikes"] for row in rows] == [str(unit["spikes"]) for unit in units]
    assert [row["reasons"] for row in rows] == ["; ".join(unit["reasons"]) for unit in units]
    written = read_labels(out / "D2.mat", fs_hz=FS_HZ)
    assert np.array_equal(written.sample, found.groups[""].spikes.sample)
    assert np.array_equal(found.sorted[0].spikes.sample, written.sample)


def test_its_model_finds_the_spikes_that_were_written(session: Session, tmp_path: Path) -> None:
    """The recording is sorted once only, so what is written has to be what the saved model finds."""
    path, out, found = session
    (again,) = sort_files([path], load_model(out / "model"), tmp_path, report=False, n_jobs=1)
    assert again.spikes == found.sorted[0].spikes
    assert again.spikes.doubts == found.sorted[0].spikes.doubts


def test_the_report_and_the_viewer_say_what_was_said_of_each_unit(session: Session) -> None:
    _, out, found = session
    said = {unit.unit: unit.verdict for _, unit in found.units}
    (result,) = open_results(out)
    assert {unit: words.split(" (")[0] for unit, words in result.discovered.items()} == said
    page = (out / "report.html").read_text(encoding="utf-8")
    assert page.count("Discovered as ") == len(said)
    assert all(f"Discovered as {words}." in unescape(page) for words in result.discovered.values())


def test_no_unit_leaves_no_model(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).standard_normal((90_000, 1)).astype(np.float32)
    write_mat_recording(tmp_path / "D2.mat", noise, fs_hz=FS_HZ)
    found = discover_files([tmp_path / "D2.mat"], tmp_path / "found", SETTINGS, n_jobs=1)
    assert found.sorted == []
    assert not (tmp_path / "found" / "model").exists()
    assert json.loads((tmp_path / "found" / "units.json").read_text())["units"] == []


def test_another_folder_than_a_model_is_not_replaced(recording: Path, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="model"):
        discover_files([recording], tmp_path, SETTINGS, n_jobs=1)
    assert (tmp_path / "model" / "notes.txt").read_text() == "mine"


def test_groups_are_asked_for_only_where_there_are_some(recording: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no groups"):
        discover_files([recording], tmp_path / "found", SETTINGS, by_group=True, n_jobs=1)


def test_labels_belong_to_one_recording(recording: Path, tmp_path: Path) -> None:
    known, other = Known(labels=tmp_path / "labels.csv"), tmp_path / "D3.mat"
    other.write_bytes(recording.read_bytes())
    with pytest.raises(InputError, match="labels are of one recording"):
        discover_files([recording, other], tmp_path / "found", SETTINGS, known=known, n_jobs=1)


def test_recordings_of_a_session_are_alike(recording: Path, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).standard_normal((50_000, 2)).astype(np.float32)
    write_mat_recording(tmp_path / "D3.mat", noise, fs_hz=FS_HZ)
    with pytest.raises(InputError, match="D3.mat: has 2 channels"):
        discover_files([recording, tmp_path / "D3.mat"], tmp_path / "found", SETTINGS, n_jobs=1)


@pytest.mark.slow
def test_recordings_of_a_session_share_their_units(tmp_path: Path) -> None:
    _, *parts = simulate_study(units=2, seconds=8, noise_levels=(0.9, 1.1), spikes_per_s=50, seed=1)
    paths = [tmp_path / "D2.mat", tmp_path / "D3.mat"]
    for path, part in zip(paths, parts, strict=True):
        write_mat_recording(path, part.trace + 40, fs_hz=FS_HZ)
    found = discover_files(paths, tmp_path / "found", SETTINGS, report=False, n_jobs=1)
    assert [unit.unit for _, unit in found.units] == [1, 2]
    assert [one.adapted_to for one in found.sorted] == ["D2", "D3"]
    for part, one in zip(parts, found.sorted, strict=True):
        i, _ = match_spikes(part.spikes.sample, one.spikes.sample, tolerance_samples=25)
        assert len(i) > 0.9 * len(part.spikes)


@pytest.mark.slow
def test_the_command_prints_a_line_for_each_unit(recording: Path, tmp_path: Path) -> None:
    runner, out = CliRunner(), tmp_path / "found"
    words = ["discover", str(recording), "--out", str(out), *SET, "--no-report", "-j", "1"]
    ran = runner.invoke(app, words)
    assert ran.exit_code == 0, ran.output
    units = json.loads((out / "units.json").read_text())["units"]
    assert len(units) == 2
    assert all(unit["verdict"] in ran.output and str(unit["spikes"]) in ran.output for unit in units)
    ran = runner.invoke(app, [*words, "--json", "--units", "2"])
    assert ran.exit_code == 0, ran.output
    printed = json.loads(ran.stdout)
    assert [unit["unit"] for unit in printed["units"]] == [1, 2]
    assert printed["model"] == str(out / "model")
