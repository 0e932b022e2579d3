"""What changes between an interruption and the restart, and several programs in one folder."""

from __future__ import annotations

import json
import os
import threading
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spikesorter.io.mat import read_mat
from spikesorter.io.recording import RecordingOptions
from spikesorter.report.kept_results import known_sorts
from spikesorter.report.results import open_results
from spikesorter.sorting.model import load_model
from spikesorter.workflows import files, one_recording
from spikesorter.workflows.batch import run_batch
from spikesorter.workflows.files import sort_files
from spikesorter.workflows.manifest import read_batch
from spikesorter.workflows.tasks import Outcome

pytestmark = pytest.mark.slow

NPY = RecordingOptions(fs_hz=25_000.0)


class Stopped(BaseException):
    """As if killed."""


@pytest.fixture
def trace(study_folder: Path) -> np.ndarray:
    return np.asarray(read_mat(study_folder / "D2.mat")[0].get_traces(), np.float32)


@pytest.mark.parametrize("way", ["sort", "batch"])
def test_a_recording_that_was_replaced_is_sorted_as_it_is_now(
    way: str, trace: np.ndarray, sorted_study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The new one has the length of the old one, and its values wherever a signature of parts would look."""
    folder, model = tmp_path / "in", sorted_study / "model"
    folder.mkdir()
    path = folder / "a.npy"
    other = trace.copy()
    monkeypatch.setattr("spikesorter.sorting.following.read_signature", lambda recording: np.zeros(1))
    other[60_000:120_000] = trace[:60_000]

    def sort(out: Path, *, stop: bool = False) -> bytes:
        def stop_after_spans(step: str, done: float) -> None:
            if stop and done > 0.5 and "sorting" in step:
                raise Stopped

        if way == "batch":
            items = read_batch(folder, model=model, options=NPY)
            if stop:  # its spans are those of sort_recording, whose progress a batch does not show
                original = one_recording.write_spikes
                monkeypatch.setattr(
                    one_recording, "write_spikes", lambda *a, **k: (_ for _ in ()).throw(Stopped)
                )
                try:
                    run_batch(items, out, span_seconds=1.0)
                finally:
                    monkeypatch.setattr(one_recording, "write_spikes", original)
            run_batch(items, out, span_seconds=1.0)
            return (out / "predictions" / "a.mat").read_bytes()
        sort_files(
            [path], load_model(model), out, options=NPY, span_seconds=1.0, resume=True, report=False,
            progress=stop_after_spans,
        )  # fmt: skip
        return (out / "a.mat").read_bytes()

    np.save(path, trace)
    with pytest.raises(Stopped):
        sort(tmp_path / "out", stop=True)
    assert list((tmp_path / "out" / ".spans").rglob("*.npz"))
    np.save(path, other)
    os.utime(path, ns=(1, 1))
    assert sort(tmp_path / "out") == sort(tmp_path / "fresh")
    assert not list((tmp_path / "out").rglob("*.npz"))


def test_several_sorts_into_one_folder_lose_no_entry(
    study_folder: Path, sorted_study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each reads sort.json, and writes it a moment later; the lock within a process is taken away."""

    def slow(out: Path) -> dict[str, Any]:
        known = known_sorts(out)
        time.sleep(0.1)
        return known

    for module in (files, one_recording):
        monkeypatch.setattr(module, "WRITING", nullcontext())
    monkeypatch.setattr(files, "known_sorts", slow)
    model = load_model(sorted_study / "model")
    names = [f"R{k}" for k in range(4)]
    for name in names:
        (tmp_path / f"{name}.mat").symlink_to(study_folder / "D2.mat")
    threads = [
        threading.Thread(
            target=sort_files,
            args=([tmp_path / f"{name}.mat"], model, tmp_path / "out"),
            kwargs={"report": False},
        )
        for name in names
    ]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert sorted(known_sorts(tmp_path / "out")) == names


def test_a_batch_that_is_killed_can_be_viewed(study_folder: Path, sorted_study: Path, tmp_path: Path) -> None:
    seen: list[list[str]] = []
    (tmp_path / "in").mkdir()
    for name in ("D2", "D3"):
        (tmp_path / "in" / f"{name}.mat").symlink_to(study_folder / f"{name}.mat")
    items = read_batch(tmp_path / "in", model=sorted_study / "model")

    def look(outcome: Outcome) -> None:
        if outcome.name == "D3":
            seen.append([result.name for result in open_results(tmp_path / "out")])

    run_batch(items, tmp_path / "out", on_outcome=look)
    assert seen == [["D2"]]
    assert sorted(json.loads((tmp_path / "out" / "sort.json").read_text())["recordings"]) == ["D2", "D3"]
