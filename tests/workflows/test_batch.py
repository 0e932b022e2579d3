from __future__ import annotations

import errno
import gc
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from spikesorter.core.errors import InputError, ModelError
from spikesorter.io import atomic
from spikesorter.io.atomic import only_one
from spikesorter.io.mat import read_mat
from spikesorter.io.mat_writing import write_mat_recording
from spikesorter.io.recording import OpenedRecording, RecordingOptions
from spikesorter.report.results import open_results
from spikesorter.sorting.model import load_model
from spikesorter.workflows import cluster, tasks
from spikesorter.workflows.batch import BATCH, dask_runner, run_batch
from spikesorter.workflows.cluster import running_on
from spikesorter.workflows.manifest import BatchItem, read_batch
from spikesorter.workflows.tasks import Outcome
from tests.cli.test_cli import in_new_process, spikesorter
from tests.conftest import FS_HZ


@pytest.fixture
def recordings(study_folder: Path, tmp_path: Path) -> Path:
    """Three seconds of each target."""
    folder = tmp_path / "recordings"
    folder.mkdir()
    for name in ("D2", "D3"):
        trace = read_mat(study_folder / f"{name}.mat")[0].get_traces()
        write_mat_recording(folder / f"{name}.mat", trace[:75_000], fs_hz=FS_HZ)
    return folder


@pytest.fixture
def items(recordings: Path, sorted_study: Path) -> list[BatchItem]:
    return read_batch(recordings, model=sorted_study / "model")


def bytes_of(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (out / "predictions").iterdir()}


def states(outcomes: list[Outcome]) -> list[tuple[str, str]]:
    return [(outcome.name, outcome.state) for outcome in outcomes]


def test_every_recording_is_sorted_as_sort_sorts_it(
    items: list[BatchItem], recordings: Path, sorted_study: Path, tmp_path: Path
) -> None:
    told: list[Outcome] = []
    out = tmp_path / "out"
    outcomes = run_batch(items, out, on_outcome=told.append)
    assert states(outcomes) == [("D2", "done"), ("D3", "done")]
    assert told == outcomes
    words = ("sort", *sorted(recordings.iterdir()), "--model", sorted_study / "model", "--no-report")
    spikesorter(*words, "--out", tmp_path / "sorted")
    assert bytes_of(out) == {path.name: path.read_bytes() for path in (tmp_path / "sorted").glob("*.mat")}
    said = json.loads((out / BATCH).read_text())
    assert (said["done"], said["kept"], said["failed"]) == (2, 0, 0)
    one = said["recordings"][0]
    assert one["adapted_to"] == {"": "D2"}
    assert 0 < one["forecast"][""]["low"] <= one["forecast"][""]["score"] <= 1
    assert one["spikes"] > 100
    assert one["seconds"] > 0
    assert not list((out / ".spans").iterdir())
    assert [result.name for result in open_results(out)] == ["D2", "D3"]


@pytest.mark.slow
def test_one_that_fails_does_not_stop_the_others(
    recordings: Path, sorted_study: Path, tmp_path: Path
) -> None:
    (recordings / "C.mat").write_text("junk")
    ended = spikesorter(
        "batch", recordings, "--model", sorted_study / "model", "--out", tmp_path / "out", rc=1
    )
    assert "not a .mat file" in ended.stdout
    assert "2 sorted, 0 sorted before, 1 failed" in ended.stdout
    again = spikesorter(
        "batch", recordings, "--model", sorted_study / "model", "--out", tmp_path / "out", "--json", rc=1
    )
    said = json.loads(again.stdout)
    assert [row["state"] for row in said["recordings"]] == ["failed", "kept", "kept"]
    assert "C.mat: not a .mat file" in said["recordings"][0]["reason"]


def test_what_is_done_is_not_done_again(
    items: list[BatchItem], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = run_batch(items, tmp_path / "out")
    before = bytes_of(tmp_path / "out")

    def never(*_: Any, **__: Any) -> None:
        raise AssertionError("sorted again")

    monkeypatch.setattr(tasks, "sort_recording", never)
    again = run_batch(items, tmp_path / "out")
    assert states(again) == [("D2", "kept"), ("D3", "kept")]
    assert [one.spikes for one in again] == [one.spikes for one in first]
    assert bytes_of(tmp_path / "out") == before


def test_what_a_killed_worker_had_begun_is_gone_when_the_batch_ends(
    items: list[BatchItem], tmp_path: Path
) -> None:
    out = tmp_path / "out"

    def killed_once(work: Any, given: Any) -> Iterator[Outcome]:
        (out / "predictions" / ".D2.mat.abc").touch()
        (out / ".batch" / ".D2.json.abc").touch()
        (out / "predictions" / ".D3.phy.abc").mkdir()
        yield from map(work, given)

    assert states(run_batch(items, out, runner=killed_once)) == [("D2", "done"), ("D3", "done")]
    assert not [path for path in out.rglob("*") if path.name.endswith(".abc")]


@pytest.mark.parametrize("harm", ["result", "note", "recording", "gone"])
def test_what_is_not_whole_or_not_of_this_recording_is_done_again(
    harm: str, items: list[BatchItem], recordings: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    run_batch(items, out)
    before = bytes_of(out)
    if harm == "result":
        with (out / "predictions" / "D2.mat").open("ab") as file:
            file.write(b"x")
    elif harm == "note":
        (out / ".batch" / "D2.json").write_text('{"facts": 3}')
    elif harm == "recording":
        os.utime(recordings / "D2.mat", ns=(1, 1))
    else:
        (out / "predictions" / "D2.mat").unlink()
    assert states(run_batch(items, out)) == [("D2", "done"), ("D3", "kept")]
    assert bytes_of(out) == before


def test_a_folder_of_other_settings_is_refused_or_taken_over(
    items: list[BatchItem], sorted_study: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    run_batch(items, out)
    with pytest.raises(InputError, match="D2 was sorted there with another format; choose another"):
        run_batch(items, out, to="csv")
    other = shutil.copytree(sorted_study / "model", tmp_path / "model")
    shutil.rmtree(other / "targets" / "D3")
    changed = [BatchItem(item.name, item.recording, other, item.options) for item in items]
    with pytest.raises(InputError, match="with another model"):
        run_batch(changed, out)
    sorted_otherwise = [BatchItem(j.name, j.recording, j.model, RecordingOptions(fs_hz=FS_HZ)) for j in items]
    with pytest.raises(InputError, match="with another options"):
        run_batch(sorted_otherwise, out)
    assert states(run_batch(changed, out, restart=True)) == [("D2", "done"), ("D3", "done")]
    assert states(run_batch(changed, out)) == [("D2", "kept"), ("D3", "kept")]
    run_batch(changed, out, to="csv", restart=True)
    assert sorted(path.name for path in (out / "predictions").iterdir()) == ["D2.csv", "D3.csv"]


def test_what_was_done_before_an_interruption_can_be_looked_at(
    items: list[BatchItem], tmp_path: Path
) -> None:
    def interrupt(_: Outcome) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_batch(items, tmp_path / "out", on_outcome=interrupt)
    assert [result.name for result in open_results(tmp_path / "out")] == ["D2"]
    assert not (tmp_path / "out" / BATCH).exists()


@pytest.mark.slow
def test_a_recording_that_can_no_longer_be_sorted_leaves_no_older_result(
    items: list[BatchItem], recordings: Path, sorted_study: Path, tmp_path: Path
) -> None:
    run_batch(items, tmp_path / "out")
    (recordings / "D2.mat").write_text("junk")
    assert states(run_batch(items, tmp_path / "out")) == [("D2", "failed"), ("D3", "kept")]
    assert [path.name for path in (tmp_path / "out" / "predictions").iterdir()] == ["D3.mat"]
    words = (recordings, "--model", sorted_study / "model", "--out", tmp_path / "out", "-q")
    said = spikesorter("batch", *words, rc=1)
    assert said.stdout == ""
    assert said.stderr.startswith("spikesorter: error: D2: failed: ")
    assert len(said.stderr.splitlines()) == 1


def test_recordings_may_be_added(items: list[BatchItem], tmp_path: Path) -> None:
    run_batch(items[:1], tmp_path)
    assert states(run_batch(items, tmp_path)) == [("D2", "kept"), ("D3", "done")]


def test_a_model_that_cannot_be_used_stops_before_anything_is_written(
    items: list[BatchItem], tmp_path: Path
) -> None:
    wrong = [BatchItem(item.name, item.recording, tmp_path / "none", item.options) for item in items]
    with pytest.raises(ModelError, match="no such model folder"):
        run_batch(wrong, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["predictions", ".batch", ".spans"])
def test_nothing_is_written_through_a_link_to_elsewhere(
    name: str, items: list[BatchItem], tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / name).symlink_to(elsewhere)
    with pytest.raises(InputError, match=f"{name}: is a link; results are written inside"):
        run_batch(items, tmp_path / "out")
    assert not list(elsewhere.iterdir())


def test_nor_through_a_link_of_one_recording(items: list[BatchItem], tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / "out" / ".spans").mkdir(parents=True)
    (tmp_path / "out" / ".spans" / "D2").symlink_to(elsewhere)
    outcomes = run_batch(items, tmp_path / "out")
    assert states(outcomes) == [("D2", "failed"), ("D3", "done")]
    assert "is a link; finished spans are kept in the folder of results itself" in outcomes[0].reason
    assert not list(elsewhere.iterdir())


def test_a_recording_that_changes_meanwhile_is_not_trusted(
    items: list[BatchItem], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sort = tasks.sort_recording

    def slow(opened: OpenedRecording, *args: Any, **kwargs: Any) -> Any:
        one = sort(opened, *args, **kwargs)
        if opened.path.stem == "D2":
            os.utime(opened.path, ns=(1, 1))
        return one

    monkeypatch.setattr(tasks, "sort_recording", slow)
    outcomes = run_batch(items, tmp_path / "out")
    assert states(outcomes) == [("D2", "failed"), ("D3", "done")]
    assert "changed during sorting" in outcomes[0].reason
    assert set(bytes_of(tmp_path / "out")) == {"D3.mat"}


@pytest.mark.parametrize(
    ("number", "times", "state", "attempts"),
    [(errno.EIO, 2, "done", 3), (errno.EIO, 9, "failed", 3), (errno.EACCES, 1, "failed", 1)],
)
def test_faults_that_may_pass_are_tried_again(
    number: int,
    times: int,
    state: str,
    attempts: int,
    items: list[BatchItem],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sort, left = tasks.sort_recording, [times]

    def flaky(*args: Any, **kwargs: Any) -> Any:
        if left[0]:
            left[0] -= 1
            raise OSError(number, os.strerror(number))
        return sort(*args, **kwargs)

    monkeypatch.setattr(tasks, "sort_recording", flaky)
    monkeypatch.setattr(tasks, "WAIT_SECONDS", 0.0)
    (outcome,) = run_batch(items[:1], tmp_path / "out")
    assert (outcome.state, outcome.attempts) == (state, attempts)
    assert (os.strerror(number) in outcome.reason) == (state == "failed")


def test_another_librarys_error_is_that_recordings_alone(
    items: list[BatchItem], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sort = tasks.sort_recording

    def broken(opened: OpenedRecording, *args: Any, **kwargs: Any) -> Any:
        if opened.path.stem == "D2":
            raise ZeroDivisionError("by a reader")
        return sort(opened, *args, **kwargs)

    monkeypatch.setattr(tasks, "sort_recording", broken)
    outcomes = run_batch(items, tmp_path / "out")
    assert states(outcomes) == [("D2", "failed"), ("D3", "done")]
    assert outcomes[0].reason == "ZeroDivisionError: by a reader"


def test_two_batches_cannot_write_to_one_folder(
    items: list[BatchItem], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(atomic, "PATIENCE_SECONDS", 0.1)
    (tmp_path / ".batch").mkdir()
    with (
        only_one(tmp_path / ".batch" / "lock", "running a batch"),
        pytest.raises(InputError, match="another process is running a batch there"),
    ):
        run_batch(items, tmp_path)
    assert states(run_batch(items[:1], tmp_path)) == [("D2", "done")]


@pytest.mark.slow
def test_processes_give_the_same_bytes(items: list[BatchItem], tmp_path: Path) -> None:
    run_batch(items, tmp_path / "here")
    with running_on(2, None) as runner:
        outcomes = run_batch(items, tmp_path / "there", runner=runner)
    assert states(outcomes) == [("D2", "done"), ("D3", "done")]
    assert bytes_of(tmp_path / "there") == bytes_of(tmp_path / "here")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_cluster_is_used_by_its_address(items: list[BatchItem], sorted_study: Path, tmp_path: Path) -> None:
    from distributed import LocalCluster

    with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=":0") as cluster:
        words = ("batch", items[0].recording.parent, "--model", sorted_study / "model")
        ended = in_new_process(*words, "--out", tmp_path / "out", "--scheduler", cluster.scheduler_address)
        assert "2 sorted, 0 sorted before, 0 failed" in ended.stdout


@pytest.mark.slow
@pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning"
)
def test_a_cluster_that_dask_jobqueue_started_gives_the_same_bytes(
    items: list[BatchItem], tmp_path: Path
) -> None:
    from dask_jobqueue.local import LocalCluster  # runs the jobs' scripts here instead of submitting them
    from distributed import Client

    run_batch(items, tmp_path / "here")
    few = {"cores": 1, "processes": 1, "memory": "4GB", "scheduler_options": {"dashboard_address": ":0"}}
    with LocalCluster(**few, log_directory=str(tmp_path)) as cluster:
        cluster.scale(jobs=2)
        with Client(cluster) as client:
            outcomes = run_batch(items, tmp_path / "there", runner=dask_runner(client))
    del cluster
    gc.collect()  # its processes, which it leaves behind, must not be warned of in a later test
    assert {outcome.state for outcome in outcomes} == {"done"}
    assert bytes_of(tmp_path / "there") == bytes_of(tmp_path / "here")


def test_a_cluster_that_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "CONNECT_SECONDS", 0.2)
    with (
        pytest.raises(InputError, match="tcp://127.0.0.1:1: no Dask scheduler answers"),
        running_on(1, "tcp://127.0.0.1:1"),
    ):
        pass


def test_what_dask_gives_up_is_that_recordings_failure(
    items: list[BatchItem], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Future:
        status = "error"

        def exception(self) -> Exception:
            return MemoryError("gone")

    class Client:
        def map(self, work: Any, tasks: list[Any], **_: Any) -> list[Future]:
            return [Future() for _ in tasks]

    monkeypatch.setattr("distributed.as_completed", iter)
    outcomes = run_batch(items, tmp_path / "out", runner=dask_runner(Client()))
    assert states(outcomes) == [("D2", "failed"), ("D3", "failed")]
    assert "its worker died each time (MemoryError)" in outcomes[0].reason


def test_the_model_that_is_loaded_later_must_be_the_same(
    items: list[BatchItem], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digests = iter(["first", "second", "third"])
    monkeypatch.setattr(type(load_model(items[0].model)), "whole_digest", lambda self: next(digests))
    (outcome,) = run_batch(items[:1], tmp_path / "out")
    assert "the model changed during the batch" in outcome.reason
