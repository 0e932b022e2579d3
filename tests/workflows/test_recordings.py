"""Each recording of a command is opened once, and handed on."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io as sio

import spikesorter.io.mat_variables
from spikesorter.core.errors import InputError, SettingsError
from spikesorter.core.settings import Settings, load_settings
from spikesorter.io.recording import RecordingOptions
from spikesorter.sorting.model import LABELLED, load_model, load_sorters
from spikesorter.sorting.model_places import low_latency_place, target_place
from spikesorter.sorting.sorter import Sorter
from spikesorter.workflows import files, recordings
from spikesorter.workflows.batch import run_batch
from spikesorter.workflows.files import sort_files
from spikesorter.workflows.manifest import read_batch
from spikesorter.workflows.recordings import LabelOptions, keep_open, open_labelled, open_targets
from spikesorter.workflows.study import run_study
from spikesorter.workflows.training import train_model
from tests.cli.test_cli import spikesorter as in_this_process
from tests.conftest import PURSUIT

SETTINGS = load_settings(assignments=PURSUIT)


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each `.mat` file is parsed, by its path's last two parts."""
    counts: Counter[str] = Counter()
    parse = spikesorter.io.mat_variables._stored_variables

    def counted(path: Path, names: tuple[str, ...]) -> dict[str, np.ndarray]:
        counts["/".join(path.parts[-2:])] += 1
        return parse(path, names)

    monkeypatch.setattr(spikesorter.io.mat_variables, "_stored_variables", counted)
    return counts


@pytest.fixture
def study(study_folder: Path, tmp_path: Path) -> Path:
    return shutil.copytree(study_folder, tmp_path / "study")


@pytest.fixture
def _fitted_before(sorted_study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have recordings read as ever, but nothing learnt from them: the sorter is there already."""
    sorter = Sorter.load(sorted_study / "model")
    monkeypatch.setattr(
        Sorter, "fit", lambda recording, *_, **__: recording.get_traces() is not None and sorter
    )
    monkeypatch.setattr(
        Sorter, "adapt", lambda self, recording, **_: recording.get_traces() is not None and self
    )


@pytest.mark.usefixtures("_fitted_before")
def test_run_parses_each_file_once(study: Path, tmp_path: Path, parsed: Counter[str]) -> None:
    run_study(study, tmp_path / "out", SETTINGS)
    once = ("study/D1.mat", "study/D2.mat", "study/D3.mat", "truth/D2.mat", "truth/D3.mat")
    assert parsed == Counter(dict.fromkeys(once, 1))
    assert (tmp_path / "out" / "report.html").is_file()


@pytest.mark.usefixtures("_fitted_before")
@pytest.mark.parametrize("stated", [True, False])
def test_a_rate_that_no_file_states_is_told(
    study: Path, tmp_path: Path, stated: bool, caplog: pytest.LogCaptureFixture
) -> None:
    found = sio.loadmat(study / "D1.mat", squeeze_me=True)
    kept = {name: found[name] for name in ("d", "Index", "Class", *(["fs"] if stated else []))}
    sio.savemat(study / "D1.mat", kept)
    train_model(study / "D1.mat", [], tmp_path / "model", SETTINGS)
    assert ("D1.mat: states no sampling rate (fs); 25000 Hz is taken" in caplog.text) is not stated


@pytest.mark.usefixtures("_fitted_before")
def test_train_parses_each_file_once(study: Path, tmp_path: Path, parsed: Counter[str]) -> None:
    train_model(study / "D1.mat", [study / "D2.mat"], tmp_path / "model", SETTINGS)
    assert parsed == {"study/D1.mat": 1, "study/D2.mat": 1}


@pytest.mark.usefixtures("_fitted_before")
@pytest.mark.parametrize("live", [True, False])
def test_train_keeps_the_low_latency_sorter_if_asked_to(
    live: bool, study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Sorter, "low_latency", lambda self, **_: self.with_working_point(threshold=0.25))
    train_model(study / "D1.mat", [study / "D2.mat"], tmp_path / "model", SETTINGS, live=live)
    kept = low_latency_place(target_place(tmp_path / "model", "D2"))
    assert kept.is_dir() == live
    assert list(load_sorters(tmp_path / "model")) == [LABELLED, "D2"]
    if live:
        assert Sorter.load(kept).point.thresholds[0] == 0.25


def test_sort_parses_each_file_once(
    study: Path, sorted_study: Path, tmp_path: Path, parsed: Counter[str]
) -> None:
    in_this_process(
        "sort",
        study / "D2.mat",
        study / "D3.mat",
        "--model",
        sorted_study / "model",
        "--out",
        tmp_path / "out",
    )
    assert parsed == {"study/D2.mat": 1, "study/D3.mat": 1}
    assert (tmp_path / "out" / "report.html").is_file()


def test_batch_parses_a_recording_once(
    study: Path, sorted_study: Path, tmp_path: Path, parsed: Counter[str]
) -> None:
    (tmp_path / "night").mkdir()
    shutil.copy(study / "D2.mat", tmp_path / "night" / "D2.mat")
    run_batch(read_batch(tmp_path / "night", model=sorted_study / "model"), tmp_path / "out")
    assert parsed == {"night/D2.mat": 1}


def test_plot_parses_a_recording_and_its_labels_once(
    study: Path, tmp_path: Path, parsed: Counter[str]
) -> None:
    in_this_process("plot", study / "D1.mat", "--out", tmp_path / "d1.png")
    assert parsed == {"study/D1.mat": 1}


@pytest.mark.slow
def test_files_beyond_the_memory_are_opened_again_and_give_the_same(
    study: Path, sorted_study: Path, tmp_path: Path, parsed: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    paths, model = [study / "D2.mat", study / "D3.mat"], load_model(sorted_study / "model")
    kept = sort_files(paths, model, tmp_path / "kept")
    parsed.clear()
    monkeypatch.setattr(recordings.keep_open, "__kwdefaults__", {"most_open": 1, "most_bytes": 1 << 30})
    again = sort_files(paths, model, tmp_path / "again", report=False)
    assert parsed == {"study/D2.mat": 1, "study/D3.mat": 2}
    assert [one.spikes for one in again] == [one.spikes for one in kept]
    monkeypatch.setattr(files, "write_page", lambda place, contents: None)
    sort_files(paths, model, tmp_path / "again")  # the report opens it once more
    assert parsed == {"study/D2.mat": 2, "study/D3.mat": 5}


def test_as_many_are_kept_open_as_the_limits_allow(study: Path) -> None:
    opened = [RecordingOptions().open(study / f"D{number}.mat") for number in (1, 2, 3)]
    one = opened[0].bytes_in_memory
    assert one == opened[0].recording.get_traces().nbytes
    for limits, kept in (
        ({}, [True, True, True]),
        ({"most_open": 1}, [True, False, False]),
        ({"most_bytes": 2 * one}, [True, True, False]),
        ({"most_bytes": 0}, [False, False, False]),
    ):
        checked = list(keep_open(opened, **limits))
        assert [recording.kept is not None for recording in checked] == kept
        for recording, original in zip(checked, opened, strict=True):
            found = recording.open().recording
            np.testing.assert_array_equal(found.get_traces(), original.recording.get_traces())
            assert recording.n_samples == found.get_num_frames()


def test_files_that_are_read_bit_by_bit_take_no_memory(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.arange(1000, dtype=np.int16))
    assert RecordingOptions(fs_hz=25_000.0).open(tmp_path / "a.npy").bytes_in_memory == 0


def test_targets_that_cannot_be_worked_with_are_refused(study: Path, tmp_path: Path) -> None:
    labelled = open_labelled(study / "D1.mat", SETTINGS)
    np.save(tmp_path / "two.npy", np.random.default_rng(0).standard_normal((30_000, 2)))
    with pytest.raises(InputError, match=r"two\.npy: has 2 channels, but .*D1\.mat has 1"):
        open_targets({"two": tmp_path / "two.npy"}, labelled, SETTINGS)
    other = RecordingOptions(fs_hz=30_000.0)
    np.save(tmp_path / "one.npy", np.random.default_rng(0).standard_normal(30_000))
    with pytest.raises(InputError, match=r"one\.npy: sampled at 30000 Hz, but .*D1\.mat at 25000 Hz"):
        open_targets({"one": tmp_path / "one.npy"}, labelled, SETTINGS, options=other)


@pytest.mark.parametrize("n_jobs", [0, -3])
def test_threads_that_make_no_sense_are_refused_before_anything_is_written(
    n_jobs: int, study: Path, sorted_study: Path, tmp_path: Path
) -> None:
    out, model = tmp_path / "out", sorted_study / "model"
    for work in (
        lambda: run_study(study, out, SETTINGS, n_jobs=n_jobs),
        lambda: train_model(study / "D1.mat", [], out, SETTINGS, n_jobs=n_jobs),
        lambda: sort_files([study / "D2.mat"], load_model(model), out, n_jobs=n_jobs),
    ):
        with pytest.raises(SettingsError, match=f"n_jobs must be .*, not {n_jobs}"):
            work()
    refused = in_this_process("batch", study, "--model", model, "--out", out, "-j", n_jobs, rc=2)
    said = f"n_jobs must be a whole number from 1 to 1024, or -1 for all cores, not {n_jobs}"
    assert refused.stderr.splitlines()[-1] == f"spikesorter: error: {said}"
    assert not out.exists()


def test_labels_that_cannot_be_meant_are_refused_before_anything_is_learnt(
    study: Path, quick_settings: Settings, tmp_path: Path
) -> None:
    (tmp_path / "a.csv").write_text(
        "sample,unit\n" + "".join(f"{k},1\n" for k in range(400_000, 600_000, 500))
    )
    with pytest.raises(InputError, match=r"a\.csv: labels go from .* --labels-in session"):
        open_labelled(study / "D1.mat", quick_settings, labels=tmp_path / "a.csv")


def test_labels_of_no_unit_are_said(
    study: Path, quick_settings: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "a.csv").write_text("sample,unit\n100,1\n200,unknown\n300,2\n")
    known = open_labelled(study / "D1.mat", quick_settings, labels=tmp_path / "a.csv")
    assert known.labels.sample.tolist() == [100, 300]
    assert "1 spikes of no unit (Class 0 or `unknown`) are left out" in caplog.text


@pytest.mark.parametrize("times", ["seconds", "session"])
def test_labels_are_read_as_the_user_says(
    times: Any, study: Path, quick_settings: Settings, tmp_path: Path
) -> None:
    (tmp_path / "a.csv").write_text("sample,unit\n0.5,1\n1.25,noise\n")
    options = LabelOptions(times=times, leave_out=("1",))
    known = open_labelled(study / "D1.mat", quick_settings, labels=tmp_path / "a.csv", reading=options)
    assert known.labels.sample.tolist() == [31_250]
