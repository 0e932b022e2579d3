"""Batches that are killed or whose disk fails end with the undisturbed bytes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from spikesorter.io.mat import read_mat
from spikesorter.io.mat_writing import write_mat_recording

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="forks"),
]
ROOT = Path(__file__).resolve().parents[2]


def write_recordings(study: Path, folder: Path) -> Path:
    """Write two recordings of 1 s: four spans each, and as short as can be, as they are sorted 400 times."""
    folder.mkdir()
    for k, name in enumerate(("D2", "D3")):
        trace = read_mat(study / f"{name}.mat")[0].get_traces()
        write_mat_recording(folder / f"R{k}.mat", trace[k * 25_000 : (k + 1) * 25_000], fs_hz=25_000.0)
    return folder


@pytest.fixture(scope="module")
def said(
    study_folder: Path, labelled_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, dict[str, Any]]:
    """What the harness says of all trials, in one process: to load takes as long as many kills."""
    place = tmp_path_factory.mktemp("killed")
    recordings = write_recordings(study_folder, place / "in")
    command = [sys.executable, "-m", "tests.faults.harness", "kills", "points", "full"]
    options = ["--kills", "100", "--workers", "1", "2"]
    places = ["--model", labelled_model, "--recordings", recordings, "--out", place]
    ended = subprocess.run([*command, *options, *map(str, places)], capture_output=True, text=True, cwd=ROOT)
    assert ended.returncode == 0, ended.stderr
    found: dict[str, dict[str, Any]] = json.loads(ended.stdout)
    return found


@pytest.mark.parametrize("workers", [1, 2])
def test_killed_at_a_hundred_random_moments(workers: int, said: dict[str, dict[str, Any]]) -> None:
    trial = said[f"kills-{workers}"]
    assert (trial["kills"], trial["workers"]) == (100, workers)


def test_killed_before_each_step_that_changes_the_disk(said: dict[str, dict[str, Any]]) -> None:
    assert said["points"]["steps"] > 30


def test_a_disk_that_is_full_at_any_step_is_said_and_leaves_nothing_half_written(
    said: dict[str, dict[str, Any]],
) -> None:
    full = said["full"]
    assert full["steps"] > 30
    assert full["refused"] + full["recordings_failed"] > 10
