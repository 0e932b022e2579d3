"""Events of a study's targets: in the report, and in a table beside it."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from spikesorter.core.errors import InputError
from spikesorter.core.settings import load_settings
from spikesorter.workflows.study import run_study
from tests.conftest import FS_HZ, PURSUIT

SETTINGS = load_settings(assignments=PURSUIT)


@pytest.fixture
def study(study_folder: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "study"
    folder.mkdir()
    for name in ("D1.mat", "D2.mat"):
        shutil.copy(study_folder / name, folder)
    return folder


@pytest.mark.slow
def test_a_run_shows_the_spikes_around_events(study: Path, tmp_path: Path) -> None:
    events = tmp_path / "D2.csv"
    events.write_text("time_s,condition\n2.0,tone\n4.5,light\n")
    (result,) = run_study(study, tmp_path / "out", SETTINGS, events=events)
    with (tmp_path / "out" / "D2-events.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    near = [sum(np.abs(result.spikes.sample / FS_HZ - t - 0.25) <= 0.75) for t in (2.0, 4.5)]
    assert [sum(row["condition"] == name for row in rows) for name in ("tone", "light")] == near
    report = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    text = report.split('<script type="application/json" id="contents">', 1)[1].split("</script>", 1)[0]
    figures = json.loads(text)["recordings"][0]["figures"]
    assert figures[-1]["id"] == "events"
    assert {one["name"] for one in figures[-1]["figure"]["data"]} >= {"tone", "light"}


def test_events_outside_a_target_are_refused_before_anything_is_written(study: Path, tmp_path: Path) -> None:
    events = tmp_path / "D2.csv"
    events.write_text("time_s\n2.0\n99\n")
    with pytest.raises(InputError, match=r"1 of 2 events are outside the recording, which lasts 8 s"):
        run_study(study, tmp_path / "out", SETTINGS, events=events)
    assert not (tmp_path / "out").exists()
