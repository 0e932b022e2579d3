from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from spikesorter.core.errors import ModelError
from spikesorter.io.mat import read_mat
from spikesorter.report.summary import model_facts
from spikesorter.sorting.model import load_model
from spikesorter.sorting.model_places import low_latency_place
from spikesorter.sorting.sorter import Sorter
from tests.cli.test_cli import spikesorter


def test_a_model_says_what_it_holds(sorted_study: Path, study_folder: Path) -> None:
    folder = sorted_study / "model"
    facts = model_facts(load_model(folder))
    assert facts["settings"]["decoder"] == "pursuit"
    (group,) = facts["groups"].values()
    _, labels = read_mat(study_folder / "D1.mat")
    assert labels is not None
    assert [one["unit"] for one in group["units"]] == list(labels.unit_ids)
    assert sum(one["labelled_spikes"] for one in group["units"]) == pytest.approx(len(labels), rel=0.05)
    targets = sorted(path.stem for path in study_folder.glob("D[2-9].mat"))
    assert list(group["recordings"]) == ["(labelled)", *targets]
    noise = [one["noise"][0] for one in group["recordings"].values()]
    assert noise == sorted(noise)
    described = json.loads((folder / "model.json").read_text())
    assert group["recordings"]["(labelled)"]["sha256"] == described["sha256"]


def test_it_is_shown_in_words_and_for_programs(sorted_study: Path) -> None:
    shown = spikesorter("model", "info", sorted_study / "model").stdout
    assert "format 7, by spikesorter" in shown
    assert "pursuit" in shown
    told = json.loads(spikesorter("model", "info", sorted_study / "model", "--json").stdout)
    assert told == model_facts(load_model(sorted_study / "model"))


def test_a_kept_low_latency_sorter_is_shown(sorted_study: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(sorted_study / "model", tmp_path / "model"))
    Sorter.load(folder / "targets" / "D2").save(low_latency_place(folder / "targets" / "D2"))
    (group,) = model_facts(load_model(folder))["groups"].values()
    assert {name: one["low_latency"] for name, one in group["recordings"].items()} == {
        "(labelled)": False, "D2": True, "D3": False
    }  # fmt: skip
    assert spikesorter("model", "info", folder).stdout.count("pursuit and low_latency") == 1


def test_no_damaged_model_is_described(sorted_study: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(sorted_study / "model", folder)
    arrays = folder / "targets" / "D2" / "arrays.npz"
    arrays.write_bytes(arrays.read_bytes()[:-1] + b"x")
    with pytest.raises(ModelError, match="SHA-256 differs"):
        load_model(folder)
    said = spikesorter("model", "info", folder, rc=2).stderr
    assert said.startswith(f"spikesorter: error: {folder / 'targets' / 'D2'}: the model is damaged")
