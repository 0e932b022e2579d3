"""Batches that are killed or whose disk fails end with the undisturbed bytes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from spikesorter.io.mat import read_mat, write_mat_recording

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="forks"),
]
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def short(study_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three recordings of two seconds."""
    folder = tmp_path_factory.mktemp("short")
    for k, name in enumerate(("D2", "D3", "D2")):
        trace = read_mat(study_folder / f"{name}.mat")[0].get_traces()
        write_mat_recording(folder / f"R{k}.mat", trace[k * 50_000 : (k + 1) * 50_000], fs_hz=25_000.0)
    return folder


def harness(what: str, short: Path, study: Path, out: Path, *words: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.faults.harness", what, *words]
    places = ["--model", study / "model", "--recordings", short, "--out", out]
    ended = subprocess.run([*command, *map(str, places)], capture_output=True, text=True, cwd=ROOT)
    assert ended.returncode == 0, ended.stderr
    said: dict[str, Any] = json.loads(ended.stdout)
    return said


@pytest.mark.parametrize("workers", [1, 2])
def test_killed_at_a_hundred_random_moments(
    workers: int, short: Path, sorted_study: Path, tmp_path: Path
) -> None:
    said = harness("kills", short, sorted_study, tmp_path, "--kills", "100", "--workers", str(workers))
    assert said["kills"] == 100


def test_killed_before_each_step_that_changes_the_disk(
    short: Path, sorted_study: Path, tmp_path: Path
) -> None:
    said = harness("points", short, sorted_study, tmp_path)
    assert said["steps"] > 30


def test_a_disk_that_is_full_at_any_step_is_said_and_leaves_nothing_half_written(
    short: Path, sorted_study: Path, tmp_path: Path
) -> None:
    said = harness("full", short, sorted_study, tmp_path)
    assert said["steps"] > 30
    assert said["refused"] + said["recordings_failed"] > 10
