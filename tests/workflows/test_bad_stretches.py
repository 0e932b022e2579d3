"""Bad stretches from the recording to every result: `sort`, `batch`, `run`, the viewer and corrections."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from spikesorter.core.bad_stretches import BadStretches
from spikesorter.core.spikes import Spikes
from spikesorter.io.labels import read_labels
from spikesorter.io.mat import read_mat, read_mat_spikes
from spikesorter.io.mat_writing import write_mat, write_mat_recording
from spikesorter.report.correcting import write_labels
from spikesorter.report.corrections import Correction
from spikesorter.report.results import open_results
from spikesorter.sorting.model import load_model
from spikesorter.workflows.batch import run_batch
from spikesorter.workflows.files import sort_files
from spikesorter.workflows.manifest import read_batch
from tests.cli.test_cli import spikesorter
from tests.conftest import PURSUIT

DEAD = (50_000, 75_000)  # 1 of 8 s


@pytest.fixture
def dead(study_folder: Path, tmp_path: Path) -> Path:
    """A copy of D2 with a dead second."""
    recording, _ = read_mat(study_folder / "D2.mat")
    trace = recording.get_traces().copy()
    trace[slice(*DEAD)] = 0
    path = tmp_path / "recordings" / "D2.mat"
    path.parent.mkdir()
    write_mat_recording(path, trace, fs_hz=recording.get_sampling_frequency())
    return path


def is_the_dead_second(bad: BadStretches) -> bool:
    ((start, stop, kind),) = bad
    return kind == "dead" and 0 <= DEAD[0] - start < 100 and 0 <= stop - DEAD[1] < 100


@pytest.mark.parametrize("to", ["mat", "csv", "nwb"])
def test_sort_writes_them_beside_and_into_each_result(
    to: str, dead: Path, sorted_study: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    (one,) = sort_files([dead], load_model(sorted_study / "model"), out, to=to, report=False)
    assert is_the_dead_second(one.spikes.bad)
    assert not one.spikes.bad.contain(one.spikes.sample).any()
    assert one.bad_s["dead"] == pytest.approx(1, abs=0.01)
    assert read_labels(out / f"D2.{to}").bad == one.spikes.bad
    (row,) = csv.DictReader((out / "D2.bad.csv").read_text().splitlines())
    assert (row["kind"], float(row["start_s"])) == ("dead", pytest.approx(2, abs=0.005))
    (shown,) = open_results(out)
    assert shown.spikes.bad == one.spikes.bad
    assert shown.good_seconds == pytest.approx(7, abs=0.01)


def test_sort_tells_them_in_a_line_and_in_json(dead: Path, sorted_study: Path, tmp_path: Path) -> None:
    words = ("sort", dead, "--model", sorted_study / "model", "--out", tmp_path / "out", "--no-report")
    told = " ".join(spikesorter(*words).stderr.split())
    assert told.count("D2.mat: 1 of 8 s are bad and left out: dead 1 s") == 1
    (one,) = json.loads(spikesorter(*words, "--json").stdout)["recordings"]
    assert one["bad_s"] == {"dead": pytest.approx(1, abs=0.01)}


def test_a_batch_lists_them_and_leaves_no_older_table(
    dead: Path, study_folder: Path, sorted_study: Path, tmp_path: Path
) -> None:
    items, out = read_batch(dead.parent, model=sorted_study / "model"), tmp_path / "out"
    (first,) = run_batch(items, out)
    assert first.bad_s == {"dead": pytest.approx(1, abs=0.01)}
    assert json.loads((out / "batch.json").read_text())["recordings"][0]["bad_s"] == first.bad_s
    table = out / "predictions" / "D2.bad.csv"
    assert table.is_file()
    assert run_batch(items, out)[0].bad_s == first.bad_s  # kept
    dead.write_bytes((study_folder / "D2.mat").read_bytes())
    (again,) = run_batch(items, out)
    assert (again.state, again.bad_s, table.exists()) == ("done", {}, False)


def test_corrected_labels_keep_them(dead: Path, sorted_study: Path, tmp_path: Path) -> None:
    (one,) = sort_files([dead], load_model(sorted_study / "model"), tmp_path / "out", report=False)
    spike = one.spikes[0]
    labels = tmp_path / "corrected" / "D2.csv"
    write_labels(labels, one.spikes, [Correction(spike.sample, spike.unit, "reject")])
    again = read_labels(labels)
    assert (len(again), again.bad) == (len(one.spikes) - 1, one.spikes.bad)


@pytest.mark.slow
def test_a_run_lists_and_scores_them(dead: Path, study_folder: Path, tmp_path: Path) -> None:
    study, out = tmp_path / "study", tmp_path / "out"
    (study / "truth").mkdir(parents=True)
    (study / "D1.mat").write_bytes((study_folder / "D1.mat").read_bytes())
    (study / "D2.mat").write_bytes(dead.read_bytes())
    truth = read_mat_spikes(study_folder / "truth" / "D2.mat")
    write_mat(study / "truth" / "D2.mat", truth)
    settings = [f"--set={one}" for one in PURSUIT]
    told = spikesorter("run", study, "--out", out, *settings, "--json")
    assert json.loads(told.stdout)["recordings"]["D2"]["bad_s"]["dead"] == pytest.approx(1, abs=0.01)
    assert json.loads((out / "run.json").read_text())["recordings"]["D2"]["bad_s"]["dead"] > 0.99
    found = read_mat_spikes(out / "predictions" / "D2.mat")
    assert is_the_dead_second(found.bad)
    assert read_labels(out / "predictions" / "D2.mat").bad == found.bad
    assert (out / "predictions" / "D2.bad.csv").is_file()
    missed: Spikes = truth.within(*DEAD)
    assert len(missed) > 10
    assert json.loads((out / "scores.json").read_text())["recordings"]["D2"]["recall"] > 0.9
    text = spikesorter("evaluate", out / "predictions", study / "truth").stdout
    assert "D2: 1 s are bad; spikes in them were left out on both sides" in text
    assert np.isfinite(found.probability).all()
