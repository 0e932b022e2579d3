from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from spikesorter.cli import app
from spikesorter.core.errors import InputError
from spikesorter.core.settings import load_settings
from spikesorter.io.labels import read_labels
from spikesorter.io.mat_writing import write_mat_recording
from spikesorter.simulate import simulate_study
from spikesorter.sorting.model import load_model
from spikesorter.workflows.discovering import discover_file
from tests.conftest import BRIEF

FS_HZ = 25_000.0
SETTINGS = load_settings(assignments=BRIEF)
SET = [word for one in BRIEF for word in ("--set", one)]


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("session") / "D2.mat"
    (study,) = simulate_study(units=2, seconds=12, noise_levels=(), spikes_per_s=50, seed=1)
    write_mat_recording(path, study.trace, fs_hz=FS_HZ)
    return path


def test_a_recording_gives_a_model_spikes_and_units(session: Path, tmp_path: Path) -> None:
    found = discover_file(session, tmp_path / "found", SETTINGS, n_jobs=1)
    out = tmp_path / "found"
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
    with (out / "units.csv").open(newline="") as opened:
        assert [row["spikes"] for row in csv.DictReader(opened)] == [str(unit["spikes"]) for unit in units]
    written = read_labels(out / "D2.mat", fs_hz=FS_HZ)
    assert np.array_equal(written.sample, found.discovery.spikes.sample)
    assert found.sorted is not None
    assert np.array_equal(found.sorted.spikes.sample, written.sample)


def test_no_unit_leaves_no_model(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).standard_normal((150_000, 1)).astype(np.float32)
    write_mat_recording(tmp_path / "D2.mat", noise, fs_hz=FS_HZ)
    found = discover_file(tmp_path / "D2.mat", tmp_path / "found", SETTINGS, n_jobs=1)
    assert found.sorted is None
    assert not (tmp_path / "found" / "model").exists()
    assert json.loads((tmp_path / "found" / "units.json").read_text())["units"] == []


def test_another_folder_than_a_model_is_not_replaced(session: Path, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="model"):
        discover_file(session, tmp_path, SETTINGS, n_jobs=1)
    assert (tmp_path / "model" / "notes.txt").read_text() == "mine"


@pytest.mark.slow
def test_the_command_prints_a_line_for_each_unit_and_the_model_sorts(session: Path, tmp_path: Path) -> None:
    runner, out = CliRunner(), tmp_path / "found"
    ran = runner.invoke(app, ["discover", str(session), "--out", str(out), *SET, "--no-report", "-j", "1"])
    assert ran.exit_code == 0, ran.output
    units = json.loads((out / "units.json").read_text())["units"]
    assert all(unit["verdict"] in ran.output and str(unit["spikes"]) in ran.output for unit in units)
    assert len(load_model(out / "model").groups[""]) == 1
    again = runner.invoke(
        app,
        ["sort", str(session), "--model", str(out / "model"), "--out", str(tmp_path / "sorted"), "-j", "1"],
    )
    assert again.exit_code == 0, again.output
    first, second = (read_labels(tmp_path / name / "D2.mat", fs_hz=FS_HZ) for name in ("found", "sorted"))
    assert first == second


@pytest.mark.slow
def test_the_command_prints_json(session: Path, tmp_path: Path) -> None:
    words = [
        "discover",
        str(session),
        "--out",
        str(tmp_path / "found"),
        *SET,
        "--no-report",
        "-j",
        "1",
        "--json",
    ]
    ran = CliRunner().invoke(app, words)
    assert ran.exit_code == 0, ran.output
    printed = json.loads(ran.stdout)
    assert [unit["unit"] for unit in printed["units"]] == [1, 2]
    assert printed["model"] == str(tmp_path / "found" / "model")
