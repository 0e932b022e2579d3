"""Recordings whose sampling rate is that of the model, nearly, or not at all."""

from __future__ import annotations

import base64
import csv
import json
from pathlib import Path

import numpy as np
import pytest
from spikeinterface.core import NumpyRecording
from spikeinterface.preprocessing import resample

from spikesorter.core.errors import InputError
from spikesorter.core.spike import same_rate
from spikesorter.io.labels import read_labels
from spikesorter.io.mat import read_mat
from spikesorter.io.mat_writing import write_mat_recording
from spikesorter.io.recording import RecordingOptions
from spikesorter.report.results import open_results
from spikesorter.report.viewer import result_session
from spikesorter.sorting.model import load_model
from spikesorter.workflows.files import sort_files
from spikesorter.workflows.manifest import read_manifest


@pytest.fixture
def trace(study_folder: Path) -> np.ndarray:
    return np.asarray(read_mat(study_folder / "D2.mat")[0].get_traces())


def sorted_at(fs_hz: float, trace: np.ndarray, model: Path, folder: Path, *, do: bool = False) -> Path:
    folder.mkdir(exist_ok=True)
    events = folder / "pulses.csv"
    events.write_text(f"sample\n{round(2 * fs_hz)}\n")  # after 2 s
    write_mat_recording(folder / "a.mat", trace, fs_hz=fs_hz)
    options = RecordingOptions(resample=do)
    sort_files(
        [folder / "a.mat"], load_model(model), folder, options=options, to="csv", report=False, events=events
    )
    return folder / "a.csv"


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (30_000.0, 30_000.39, True),
        (24_414.0, 24_414.0625, True),
        (30_000.0, 30_000.39e3, False),
        (24_414.0625, 25_000.0, False),
        (30_000.0, 30_010.0, False),
    ],
)
def test_rates_that_differ_by_less_than_a_clock_are_the_same(one: float, other: float, same: bool) -> None:
    assert same_rate(one, other) is same
    assert same_rate(other, one) is same


def test_a_clock_that_is_a_little_fast_changes_no_sample(
    trace: np.ndarray, sorted_study: Path, tmp_path: Path
) -> None:
    exact, fast = (
        read_labels(sorted_at(fs_hz, trace, sorted_study / "model", tmp_path / name))
        for name, fs_hz in (("exact", 25_000.0), ("fast", 25_000.33))
    )
    assert fast == exact
    assert fast.fs_hz == pytest.approx(25_000.33, abs=1e-3)  # times are by the recording's own clock


def test_another_rate_is_refused_with_the_option_that_mends_it(
    trace: np.ndarray, sorted_study: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=r"a\.mat: sampled at 30000 Hz, .* at 25000 Hz; .*--resample"):
        sorted_at(30_000.0, trace, sorted_study / "model", tmp_path)


def test_a_resampled_recording_is_sorted_in_its_own_samples(
    trace: np.ndarray, sorted_study: Path, tmp_path: Path
) -> None:
    model = sorted_study / "model"
    known = read_labels(sorted_at(25_000.0, trace, model, tmp_path / "own"))
    faster = resample(NumpyRecording([trace], 25_000.0), 30_000.0).get_traces()
    path = sorted_at(30_000.0, faster, model, tmp_path / "other", do=True)
    found = read_labels(path)
    assert found.fs_hz == pytest.approx(30_000.0)
    near = [np.abs(known.sample * 1.2 - sample).min() <= 2 for sample in found.sample]
    assert np.mean(near) > 0.98
    assert len(found) == pytest.approx(len(known), rel=0.02)
    with (path.parent / "a-events.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["event_time_s"] for row in rows} == {"2.000000"}
    assert [float(row["from_event_s"]) for row in rows] == pytest.approx(
        [int(row["sample"]) / 30_000 - 2 for row in rows], abs=1e-6
    )
    assert {int(row["sample"]) for row in rows} == {k for k in found.sample.tolist() if 45_000 <= k < 90_000}
    session, contents = result_session(path.parent, events=path.parent / "pulses.csv")
    panel = json.loads(session.routes()["GET", "figures"]({"r": 0}).body)[-1]
    assert (panel["id"], contents["recordings"][0]["figures"][-1]["figure"]) == ("events", None)
    packed = [one["x"] for one in panel["figure"]["data"] if one["mode"] == "markers"]
    lags = [np.frombuffer(base64.b64decode(one["bdata"]), one["dtype"]) for one in packed]
    assert sorted(np.concatenate(lags).tolist()) == pytest.approx(
        sorted(float(row["from_event_s"]) for row in rows), abs=1e-3
    )
    (shown,) = open_results(path.parent)
    assert shown.n_samples == len(trace)  # the page shows what was sorted
    assert np.mean([np.abs(known.sample - sample).min() <= 2 for sample in shown.spikes.sample]) > 0.98


def test_a_manifest_may_ask_for_it(tmp_path: Path) -> None:
    path = tmp_path / "night.toml"
    path.write_text(
        'model = "M"\nresample = true\nrecordings = ["a.mat", {path = "b.mat", resample = false}]'
    )
    assert [item.options.resample for item in read_manifest(path)] == [True, False]
