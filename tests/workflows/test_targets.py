"""Targets of `run` and `train`, one after another or at once in processes: the same but for the time."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import psutil
import pytest

from spikesorter.core.errors import InputError, ModelError
from spikesorter.core.settings import load_settings
from spikesorter.io.mat_writing import write_mat_recording
from spikesorter.io.recording import RecordingOptions
from spikesorter.report.kept_results import RUN
from spikesorter.sorting.model_places import read_unfinished, unfinished_words
from spikesorter.sorting.sorter import Sorter
from spikesorter.workflows import targets
from spikesorter.workflows.live_model import LiveOptions, open_streams
from spikesorter.workflows.recordings import CheckedRecording
from spikesorter.workflows.study import run_study
from spikesorter.workflows.targets import TargetDone, TargetFailed, TargetTask, running, targets_at_once
from spikesorter.workflows.training import train_model
from tests.cli.test_cli import PROGRAM, spikesorter
from tests.conftest import FS_HZ, PURSUIT

SETTINGS = load_settings(assignments=PURSUIT)
SETS = [word for assignment in PURSUIT for word in ("--set", assignment)]
INTERRUPTED = 130


def bytes_in(folder: Path) -> dict[str, bytes]:
    """All files of a run but the one with the times that it took."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != RUN]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def target_task(folder: Path, name: str = "D2") -> TargetTask:
    target = CheckedRecording(folder / f"{name}.mat", RecordingOptions(), FS_HZ, 200_000, None)
    return TargetTask(name, target, folder / "model", 1, prediction=folder / "out.mat")


@pytest.fixture
def alone(sorted_study: Path) -> Path:
    """What a run leaves that adapts to one target after another, with the settings of this file."""
    return sorted_study


@pytest.fixture(scope="module")
def trained(study_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model of a training that adapts to one target after another."""
    model = tmp_path_factory.mktemp("trained") / "model"
    files = [study_folder / f"D{number}.mat" for number in (1, 2, 3)]
    train_model(files[0], files[1:], model, SETTINGS, n_jobs=1)
    return model


@pytest.mark.slow
def test_processes_give_the_same_bytes_in_the_same_order_and_say_how_far_they_are(
    study_folder: Path, alone: Path, tmp_path: Path
) -> None:
    steps: list[tuple[str, float]] = []
    sorters: dict[str, Sorter] = {}
    results = run_study(
        study_folder,
        tmp_path / "out",
        SETTINGS,
        n_jobs=2,
        report=False,
        progress=lambda step, done: steps.append((step, done)),
        on_sorter=lambda name, sorter: sorters.update({name: sorter}),
    )
    assert bytes_in(tmp_path / "out") == bytes_in(alone)
    assert [result.name for result in results] == ["D2", "D3"]
    assert set(sorters) == {"D1", "D2", "D3"}
    assert sorters["D3"].profile.scale > 1.5 * sorters["D2"].profile.scale
    shares = [done for step, done in steps if step == "adapting to 2 targets and sorting them"]
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (0.0, 1.0)
    assert len(set(shares)) > 6  # more than what is done


@pytest.mark.slow
def test_one_job_starts_no_process(
    study_folder: Path, alone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(targets, "processes", None)
    steps: list[str] = []
    run_study(
        study_folder,
        tmp_path / "out",
        SETTINGS,
        n_jobs=1,
        report=False,
        progress=lambda step, _: steps.append(step),
    )
    assert bytes_in(tmp_path / "out") == bytes_in(alone)
    assert steps.index("D2: sorting") < steps.index("D3: estimating noise, gain and rates")


@pytest.fixture
def with_a_silent_target(study_folder: Path, tmp_path: Path) -> Path:
    """The study with a first target that nothing can be learnt from."""
    folder = tmp_path / "study"
    shutil.copytree(study_folder, folder)
    trace = np.zeros((200_000, 1), np.float32)
    trace[::5000] = 10.0
    write_mat_recording(folder / "D2.mat", trace, fs_hz=FS_HZ)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_an_error_in_one_target_is_raised_when_the_others_are_done(
    n_jobs: int, with_a_silent_target: Path, alone: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    out, done = tmp_path / "out", []
    with pytest.raises(InputError, match=r"D2\.mat: .*no noise to measure") as raised:
        run_study(
            with_a_silent_target, out, SETTINGS, n_jobs=n_jobs, on_result=lambda one: done.append(one.name)
        )
    assert done == ["D3"]
    (kept,) = (out / "predictions").glob("*.mat")
    assert kept.read_bytes() == (alone / "predictions" / "D3.mat").read_bytes()
    assert not {RUN, "scores.json", "submission.zip", "report.html"} & {path.name for path in out.iterdir()}
    said = [one.getMessage() for one in caplog.records if "other targets" in one.getMessage()]
    assert said == [f"{raised.value} (other targets are done first)"]  # in a moment, and D3 takes seconds


# Programs that are started in the background ignore an interrupt, as do those that they start.
HEARD = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
os.execv(sys.argv[1], sys.argv[1:])
"""


@contextmanager
def started(*words: object) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", HEARD, *map(str, [PROGRAM, *words, "--n-jobs", "2", *SETS])]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def family_at_work(process: subprocess.Popen[str], model: Path) -> list[psutil.Process]:
    """Wait until targets are adapted to, and return the processes that do it, suspended."""
    while not (model / "unfinished.json").exists():
        assert process.poll() is None
        time.sleep(0.05)
    family = psutil.Process(process.pid).children(recursive=True)
    assert len(family) >= 2
    for one in family:
        one.suspend()
    return family


def end(process: subprocess.Popen[str], model: Path, ending: signal.Signals) -> None:
    """End a program that adapts to targets, and check that it leaves no process."""
    family = family_at_work(process, model)
    process.send_signal(ending)
    for one in family:
        with suppress(psutil.NoSuchProcess):  # it was ended already
            one.resume()
    _, words = process.communicate(timeout=60)
    if ending == signal.SIGINT:
        assert process.returncode == INTERRUPTED
        assert words.splitlines()[-1] == "spikesorter: interrupted; the files written so far are complete"
    assert psutil.wait_procs(family, timeout=60)[1] == []


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="signals")
@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGKILL])
def test_a_training_that_is_ended_leaves_a_model_that_names_the_targets_it_lacks(
    ending: signal.Signals, study_folder: Path, trained: Path, tmp_path: Path
) -> None:
    model = tmp_path / "model"
    files = [study_folder / f"D{number}.mat" for number in (1, 2, 3)]
    with started("train", files[0], "--targets", *files[1:], "--model", model) as process:
        end(process, model, ending)
    line = f"{model}: its training was ended before it was adapted to D2, D3; train it again to have all"
    assert line in spikesorter("model", "info", model).stdout.splitlines()
    facts = json.loads(spikesorter("model", "info", model, "--json").stdout)
    assert facts["unfinished"] == ["D2", "D3"]
    sort = ("sort", files[1], "--model", model, "--out", tmp_path / "out")
    assert f"spikesorter: warning: {line}" in spikesorter(*sort).stderr.splitlines()
    said: list[str] = []
    open_streams(model, LiveOptions(calibration_seconds=5.0), n_jobs=1, say=said.append).close()
    assert said[0] == line
    train_model(files[0], files[1:], model, SETTINGS, n_jobs=1)
    assert bytes_in(model) == bytes_in(trained)
    assert "was ended" not in spikesorter("model", "info", model).stdout


@pytest.mark.slow
def test_training_in_processes_gives_the_same_bytes_and_says_how_far_it_is(
    study_folder: Path, trained: Path, tmp_path: Path
) -> None:
    steps: list[tuple[str, float]] = []
    sorters: dict[str, Sorter] = {}
    train_model(
        study_folder / "D1.mat",
        [study_folder / "D2.mat", study_folder / "D3.mat"],
        tmp_path / "model",
        SETTINGS,
        n_jobs=2,
        progress=lambda step, done: steps.append((step, done)),
        on_sorter=lambda name, sorter: sorters.update({name: sorter}),
    )
    assert bytes_in(tmp_path / "model") == bytes_in(trained)
    assert next(iter(sorters)) == "D1"
    assert sorters["D3"].profile.scale > 1.5 * sorters["D2"].profile.scale
    shares = [done for step, done in steps if step == "adapting to 2 targets"]
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (0.0, 1.0)
    assert len(set(shares)) > 6  # more than what is done


@pytest.mark.parametrize("grouped", [True, False])
def test_a_model_names_the_targets_that_it_lacks_until_all_are_done(grouped: bool, tmp_path: Path) -> None:
    (tmp_path / "model" / "groups" if grouped else tmp_path / "model").mkdir(parents=True)
    tasks = [target_task(tmp_path), target_task(tmp_path, "D3")]
    outcomes = [TargetDone(name, None, {}, {}) for name in ("D3", "D2")]
    lacking = [read_unfinished(tmp_path / "model") for _ in targets._done(tasks, outcomes)]
    assert lacking == [("D2",), ()]
    assert unfinished_words(tmp_path / "model") == ""
    failed = tasks[0].lost("its process was ended")
    with pytest.raises(InputError, match="was ended"):
        list(targets._done(tasks, [failed, outcomes[0]]))
    assert "before it was adapted to D2; train it" in unfinished_words(tmp_path / "model")
    (place,) = (tmp_path / "model").rglob("unfinished.json")
    for damage in ("{", "{}", '{"targets": [1]}', "[]"):
        place.write_text(damage)
        with pytest.raises(ModelError, match=r"unfinished\.json: is damaged"):
            read_unfinished(tmp_path / "model")


def test_progress_of_groups_and_low_latency_counts_each_part(tmp_path: Path) -> None:
    task = replace(target_task(tmp_path), prediction=None, groups=("a", "a: b"), live=True)
    shown: list[tuple[str, float]] = []
    overall = targets._Overall(lambda step, done: shown.append((step, done)))
    counted = overall.counted([TargetDone("D2", None, {}, {})], [task])
    next(counted)
    assert shown[0] == ("adapting to 1 targets", 0.0)
    assert shown[-1][1] == 1.0
    shown.clear()
    counted = overall.counted(iter(()), [task])
    list(counted)
    for step, share in (
        ("a: forecasting", 0.9),
        ("a: b: forecasting", 1.8),
        ("a: low latency: rehearsing", 2.2),
    ):
        overall.told("D2", step, 0.5)
        assert shown[-1][1] == pytest.approx(share / 4)


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="signals")
@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGKILL, signal.SIGTERM])
def test_a_run_that_is_ended_leaves_no_process_and_can_be_run_again(
    ending: signal.Signals, study_folder: Path, alone: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    with started("run", study_folder, "--out", out, "--no-report") as process:
        end(process, out / "model", ending)
    assert not (out / "submission.zip").exists()
    assert read_unfinished(out / "model") == ("D2", "D3")
    if ending == signal.SIGKILL:
        run_study(study_folder, out, SETTINGS, n_jobs=1, report=False)
        assert bytes_in(out) == bytes_in(alone)


def test_a_target_that_no_process_could_finish_is_named(tmp_path: Path) -> None:
    failed = target_task(tmp_path).lost("its process was ended each time by SIGKILL")
    assert str(failed.error) == f"{tmp_path / 'D2.mat'}: its process was ended each time by SIGKILL"
    with pytest.raises(InputError, match="SIGKILL"):
        list(targets._done([target_task(tmp_path)], [failed]))


def test_an_unforeseen_error_comes_back_with_the_place_where_it_was_raised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: CheckedRecording) -> None:
        raise ZeroDivisionError("by chance")

    monkeypatch.setattr(CheckedRecording, "open", broken)
    failed = targets._adapt_and_sort(target_task(tmp_path))
    assert isinstance(failed, TargetFailed)
    again = pickle.loads(pickle.dumps(failed)).error
    assert isinstance(again, ZeroDivisionError)
    (note,) = again.__notes__
    assert note.startswith(f"while working on {tmp_path / 'D2.mat'}:")
    assert 'in broken\n    raise ZeroDivisionError("by chance")' in note


def test_the_first_error_is_raised_and_the_others_are_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with running(1, lambda step, done: None) as run, pytest.raises(InputError, match=r"D2\.mat: no such"):
        list(run([target_task(tmp_path), target_task(tmp_path, "D3")]))
    assert len(caplog.records) == 2


def test_targets_at_once_are_as_many_as_there_are_threads_and_memory_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    short, long = [1_440_000] * 5, [400_000_000] * 2
    monkeypatch.setattr(targets, "free_memory", lambda: 64 << 30)
    assert [targets_at_once(short, n_jobs=n_jobs) for n_jobs in (1, 2, 16)] == [1, 2, 5]
    assert targets_at_once(long, n_jobs=16) == 2
    for free, expected in ((4 << 30, 3), (1 << 30, 1), (0, 1)):
        monkeypatch.setattr(targets, "free_memory", partial(int, free))
        assert targets_at_once(short, n_jobs=16) == expected
        assert targets_at_once(long, n_jobs=16) == 1
