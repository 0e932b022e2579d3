"""Recordings of several segments: each is sorted, and has a result of its own."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from spikeinterface.core import NumpyRecording

from spikesorter.core.errors import InputError
from spikesorter.io.exclusion import Exclusion
from spikesorter.io.labels import read_labels
from spikesorter.io.mat import read_mat
from spikesorter.io.recording import RecordingOptions
from spikesorter.report.correction_log import CorrectionLog
from spikesorter.report.corrections import Correction
from spikesorter.report.results import open_results
from spikesorter.report.viewer import CORRECTED
from spikesorter.sorting.model import load_model
from spikesorter.workflows.batch import run_batch
from spikesorter.workflows.files import sort_files
from spikesorter.workflows.manifest import read_batch
from spikesorter.workflows.recordings import recording_parts
from tests.cli.test_cli import spikesorter
from tests.conftest import FS_HZ, PURSUIT

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # SpikeInterface leaves what it wrote open
    pytest.mark.filterwarnings("ignore:The extractor is not serializable"),
]


@pytest.fixture
def night(study_folder: Path, tmp_path: Path) -> Path:
    """D2 in two segments of 5 and 3 s."""
    trace = read_mat(study_folder / "D2.mat")[0].get_traces()
    path = tmp_path / "recordings" / "night"
    path.parent.mkdir()
    NumpyRecording(np.split(trace, [125_000]), FS_HZ).save(folder=path, verbose=False)
    return path


def test_all_segments_are_sorted_and_none_overwrites_another(
    night: Path, sorted_study: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    out, model = tmp_path / "out", load_model(sorted_study / "model")
    done = sort_files([night], model, out)
    assert [one.place.name for one in done] == ["night-segment0.mat", "night-segment1.mat"]
    assert "night: has 2 segments; each is sorted, with a result of its own: night-segment0," in caplog.text
    assert [one.title for one in done] == [f"{night} (night-segment{k})" for k in (0, 1)]
    assert [one.n_samples for one in done] == [125_000, 75_000]
    assert all(read_labels(one.place).sample.max() < one.n_samples for one in done)
    known = json.loads((out / "sort.json").read_text())["recordings"]
    assert {name: one["options"]["segment"] for name, one in known.items()} == {
        "night-segment0": 0,
        "night-segment1": 1,
    }
    assert [result.n_samples for result in open_results(out)] == [125_000, 75_000]
    before = [one.place.read_bytes() for one in done]
    sort_files([night], model, out, options=RecordingOptions(segment=1), report=False)
    assert [one.place.read_bytes() for one in done] == before
    assert sorted(path.name for path in out.glob("*.mat")) == ["night-segment0.mat", "night-segment1.mat"]


def test_a_batch_sorts_all_segments(night: Path, sorted_study: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.csv").write_text("recording,start_s,stop_s\nnight-segment1,1,2\n")
    options = RecordingOptions(exclude=Exclusion(str(tmp_path / "bad.csv")))
    items = read_batch(night.parent, model=sorted_study / "model", options=options)
    assert [item.name for item in items] == ["night-segment0", "night-segment1"]
    done = run_batch(items, tmp_path / "out")
    assert [(one.state, one.bad_s) for one in done] == [("done", {}), ("done", {"given": 1.0})]
    assert [one.state for one in run_batch(items, tmp_path / "out")] == ["kept", "kept"]


def test_a_recording_of_one_segment_keeps_its_name(study_folder: Path) -> None:
    names, options = recording_parts([study_folder / "D2.mat"], RecordingOptions(segment=0))
    assert list(names) == ["D2"]
    assert options["D2"].segment == 0


def test_a_name_that_is_taken_is_refused(night: Path, study_folder: Path, tmp_path: Path) -> None:
    taken = tmp_path / "night-segment1.mat"
    taken.write_bytes((study_folder / "D2.mat").read_bytes())
    with pytest.raises(InputError, match="night-segment1 is also a result of .*; rename one of them"):
        recording_parts([night, taken], RecordingOptions())


def test_bad_stretches_and_corrections_of_a_segment_are_found_by_its_name(
    night: Path, sorted_study: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Its results, and the files beside them, are named after the segment."""
    options = RecordingOptions(segment=0)
    (done,) = sort_files([night], load_model(sorted_study / "model"), tmp_path / "out", options=options)
    log = CorrectionLog(tmp_path / "out" / CORRECTED / "night-segment0.jsonl")
    spikes = read_labels(done.place)
    first = next(k for k, unit in enumerate(spikes.unit.tolist()) if unit != 0)
    log.append(Correction(int(spikes.sample[first]), int(spikes.unit[first]), "reject"))
    bad = tmp_path / "bad"
    bad.mkdir()
    (bad / "night-segment0.bad.csv").write_text("start_s,stop_s,kind\n1.0,1.5,given\n")
    said = spikesorter(
        "train", night, "--segment", 0, "--labels", tmp_path / "out" / CORRECTED, "--exclude", bad,
        "--model", tmp_path / "model", *(word for text in PURSUIT for word in ("--set", text)),
    )  # fmt: skip
    assert "Corrected labels: " in said.stderr
    assert "night-segment0.csv" in said.stderr
    assert "labelled recording: 0.5 of 5 s are bad and left out: given 0.5 s" in caplog.text
