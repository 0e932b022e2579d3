from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from spikesorter.core.errors import InputError
from spikesorter.core.score import score
from spikesorter.report.results import open_results
from spikesorter.sorting.model import load_model
from spikesorter.workflows.files import sort_files


def test_a_runs_results_come_with_truth_and_sorter(sorted_study: Path) -> None:
    results = open_results(sorted_study)
    assert [result.name for result in results] == ["D2", "D3"]
    for result in results:
        assert result.truth is not None
        assert score(result.truth, result.spikes).score > 0.85
        assert result.sorter.sort(result.recording) == result.spikes
        assert result.place == sorted_study / "predictions" / f"{result.name}.mat"


@pytest.mark.parametrize("to", ["mat", "csv"])
def test_sorted_files_are_opened_again(
    to: str, sorted_study: Path, study_folder: Path, tmp_path: Path
) -> None:
    model = load_model(sorted_study / "model").with_working_point(threshold=0.9)
    sort_files([study_folder / "D2.mat"], model, tmp_path, to=to)
    sort_files([study_folder / "D3.mat"], model, tmp_path, to=to, report=False)
    results = open_results(tmp_path)
    assert [result.name for result in results] == ["D2", "D3"]
    assert [result.truth for result in results] == [None, None]
    for result in results:
        assert set(result.sorter.point.thresholds) == {0.9}
        assert result.sorter.sort(result.recording) == result.spikes


def test_results_that_were_tidied_away_are_left_out(
    sorted_study: Path, study_folder: Path, tmp_path: Path
) -> None:
    model = load_model(sorted_study / "model")
    sort_files([study_folder / "D2.mat", study_folder / "D3.mat"], model, tmp_path, report=False)
    (tmp_path / "D2.mat").unlink()
    assert [result.name for result in open_results(tmp_path)] == ["D3"]


def test_a_folder_without_results_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"has no results \(run\.json or sort\.json\)"):
        open_results(tmp_path)


@pytest.mark.parametrize("text", ["{", "[]", '{"recordings": {"D2": {}}}'])
def test_damaged_facts_are_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "sort.json").write_text(text)
    with pytest.raises(InputError, match=r"sort\.json: is damaged"):
        open_results(tmp_path)


def test_a_recording_that_is_gone_or_was_cut_is_named(sorted_study: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(sorted_study, out)
    facts = json.loads((out / "run.json").read_text())
    (out / "run.json").write_text(json.dumps(facts | {"study": str(tmp_path / "gone")}))
    with pytest.raises(InputError, match=r"gone/D2\.mat"):
        open_results(out)
