from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from spikesorter.core.errors import InputError
from spikesorter.core.score import score
from spikesorter.io.exclusion import Exclusion
from spikesorter.io.mat import read_mat
from spikesorter.io.mat_writing import write_mat_recording
from spikesorter.io.recording import RecordingOptions
from spikesorter.report.kept_results import discovered_as
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


@pytest.mark.parametrize("given", ["", "pulses.csv"])
def test_what_was_sorted_is_shown_if_responses_were_subtracted(
    given: str, study_folder: Path, labelled_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether the pulses were found or given, and wherever the results are viewed from."""
    clean = read_mat(study_folder / "D2.mat")[0].get_traces()[:100_000].astype(np.float32)
    events, pulsed = np.arange(2000, 97_000, 2500), clean.copy()
    for event in events:
        pulsed[event : event + 610, 0] += 150 * np.r_[[4] * 5, [-4] * 5, np.exp(-np.arange(600) / 100)]
    write_mat_recording(tmp_path / "a.mat", pulsed, fs_hz=25_000.0)
    (tmp_path / "pulses.csv").write_text("sample\n" + "".join(f"{event}\n" for event in events))
    monkeypatch.chdir(tmp_path)
    asked = Exclusion(events=given, window_ms=(-0.5, 2.0), subtract_ms=24.0)
    options = RecordingOptions(exclude=asked)
    sort_files([Path("a.mat")], load_model(labelled_model), Path("out"), options=options, report=False)
    monkeypatch.chdir(tmp_path.parent)
    (result,) = open_results(tmp_path / "out")
    shown, good = result.recording.get_traces(), ~result.spikes.bad.contain(np.arange(len(clean)))
    assert result.n_samples == len(clean)
    assert abs(pulsed - clean)[good].max() > 80
    assert abs(shown - clean)[good].max() < 8


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


SAID = {
    "recordings": ["day/D2.mat"],
    "units": [{"unit": 3, "verdict": "doubtful", "reasons": ["many false"]}],
}


@pytest.mark.parametrize(
    ("contents", "model", "recording", "said"),
    [
        (json.dumps(SAID), "model", "D2.mat", {3: "doubtful (many false)"}),
        (json.dumps(SAID), "other", "D2.mat", {}),
        (json.dumps(SAID), "model", "D3.mat", {}),
        (json.dumps({**SAID, "units": [{"unit": 3, "verdict": "single"}]}), "model", "D2.mat", {3: "single"}),
        ("{", "model", "D2.mat", {}),
        ("[]", "model", "D2.mat", {}),
        ('{"recordings": ["D2.mat"], "units": [3]}', "model", "D2.mat", {}),
    ],
)
def test_what_discovery_said_holds_for_its_recordings_and_its_model(
    contents: str, model: str, recording: str, said: dict[int, str], tmp_path: Path
) -> None:
    """A file of an earlier version has no reasons; one that is not ours says nothing."""
    (tmp_path / "units.json").write_text(contents, encoding="utf-8")
    assert discovered_as(tmp_path, tmp_path / model, Path("elsewhere") / recording) == said
