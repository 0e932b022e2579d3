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


def recordings_of_two_seconds(study: Path, folder: Path, names: tuple[str, ...]) -> Path:
    for k, name in enumerate(names):
        trace = read_mat(study / f"{name}.mat")[0].get_traces()
        write_mat_recording(folder / f"R{k}.mat", trace[k * 50_000 : (k + 1) * 50_000], fs_hz=25_000.0)
    return folder


@pytest.fixture(scope="module")
def two(study_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return recordings_of_two_seconds(study_folder, tmp_path_factory.mktemp("two"), ("D2", "D3"))


def harness(what: str, recordings: Path, study: Path, out: Path, *words: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.faults.harness", what, *words]
    places = ["--model", study / "model", "--recordings", recordings, "--out", out]
    ended = subprocess.run([*command, *map(str, places)], capture_output=True, text=True, cwd=ROOT)
    assert ended.returncode == 0, ended.stderr
    said: dict[str, Any] = json.loads(ended.stdout)
    return said


@pytest.mark.parametrize("workers", [1, 2])
def test_killed_at_a_hundred_random_moments(
    workers: int, two: Path, sorted_study: Path, tmp_path: Path
) -> None:
    said = harness("kills", two, sorted_study, tmp_path, "--kills", "100", "--workers", str(workers))
    assert said["kills"] == 100


def test_killed_before_each_step_that_changes_the_disk(two: Path, sorted_study: Path, tmp_path: Path) -> None:
    said = harness("points", two, sorted_study, tmp_path)
    assert said["steps"] > 30


def test_a_disk_that_is_full_at_any_step_is_said_and_leaves_nothing_half_written(
    two: Path, sorted_study: Path, tmp_path: Path
) -> None:
    said = harness("full", two, sorted_study, tmp_path)
    assert said["steps"] > 30
    assert said["refused"] + said["recordings_failed"] > 10
