"""Processes of a batch: no ports, and one that dies takes only its own task with it."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from spikesorter.core.errors import naming
from spikesorter.core.progress import Progress, silent
from spikesorter.io.recording import RecordingOptions
from spikesorter.workflows.manifest import BatchItem
from spikesorter.workflows.processes import processes
from spikesorter.workflows.tasks import Outcome, SortTask

ROOT = Path(__file__).parents[2]


def task(name: str, recording: Path = Path("a.npy")) -> SortTask:
    item = BatchItem(name, recording, Path("model"), RecordingOptions())
    return SortTask(item, Path("out"), to="mat", span_seconds=60.0, n_jobs=1, model_digest="")


def done(task: SortTask, reason: str = "") -> Outcome:
    return Outcome(task.item.name, "a.npy", "done", reason=reason)


def connections_of(process: psutil.Process) -> list[Any]:
    """Return all connections; psutil has renamed the method in version 6."""
    return list(getattr(process, "net_connections" if psutil.version_info >= (6,) else "connections")("all"))


def look_for_ports(task: SortTask, progress: Progress = silent) -> Outcome:
    family = [psutil.Process(), *psutil.Process().parents()[:1]]
    listening = [one for process in family for one in listening_in_family(process)]
    logging.getLogger("spikesorter.test").warning("%s is odd", task.item.name)
    return done(task, "; ".join(listening))


def listening_in_family(process: psutil.Process) -> list[str]:
    """Return what a process and its children in Python listen to; a browser of other tests is left out."""
    children = [one for one in process.children(recursive=True) if one.name().startswith("python")]
    return [port for one in (process, *children) for port in listening_of(one)]


def listening_of(process: psutil.Process) -> list[str]:
    return [
        str(one)
        for one in connections_of(process)
        if one.status == psutil.CONN_LISTEN or (one.family.name == "AF_UNIX" and one.laddr)
    ]


def die_or_not(task: SortTask, progress: Progress = silent) -> Outcome:
    if task.item.name == "b":
        os.kill(os.getpid(), signal.SIGKILL)
    return done(task, str(os.getpid()))


def read_what_shrinks(task: SortTask, progress: Progress = silent) -> Outcome:
    task.item.recording.write_bytes(b"\1" * 100_000)
    mapped = np.memmap(task.item.recording, np.uint8, mode="r")
    if task.item.name == "b":
        os.truncate(task.item.recording, 0)
    return done(task, str(mapped.sum()))


def list_blocked(task: SortTask, progress: Progress = silent) -> Outcome:
    return done(task, str(signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, [])))


def say_something(task: SortTask, progress: Progress = silent) -> Outcome:
    progress("sorting", 0.5)
    with naming(f"{task.name}.npy"):
        logging.getLogger("spikesorter.test").warning("0.3 s are bad")
    return done(task, str(os.getpid()))


def wait_long(task: SortTask, progress: Progress = silent) -> Outcome:
    time.sleep(600)
    return done(task)


@pytest.mark.slow
def test_they_listen_to_no_port_and_their_warnings_are_logged_here(caplog: pytest.LogCaptureFixture) -> None:
    before = {"", *listening_in_family(psutil.Process())}  # such as the servers of other tests' pages
    with processes(2) as runner:
        outcomes = list(runner(look_for_ports, [task("a"), task("b"), task("c")]))
    assert sorted(one.name for one in outcomes) == ["a", "b", "c"]
    assert {words for one in outcomes for words in one.reason.split("; ")} <= before
    assert sorted(one.getMessage() for one in caplog.records) == ["a is odd", "b is odd", "c is odd"]


@pytest.mark.slow
def test_they_can_be_started_early_and_say_how_far_they_are_and_what_a_warning_is_about(
    caplog: pytest.LogCaptureFixture,
) -> None:
    steps: set[tuple[str, str, float]] = set()
    before = set(psutil.Process().children())
    with processes(2, told=lambda *step: steps.add(step), early=say_something) as runner:
        started = {one.pid for one in set(psutil.Process().children()) - before}
        outcomes = list(runner(say_something, [task("a"), task("b")]))
    assert steps == {("a", "sorting", 0.5), ("b", "sorting", 0.5)}
    assert {one.getMessage() for one in caplog.records} == {"a.npy: 0.3 s are bad", "b.npy: 0.3 s are bad"}
    assert {int(one.reason) for one in outcomes} <= started


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="signals")
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_a_process_that_dies_takes_only_its_own_task_with_it(n_jobs: int) -> None:
    with processes(n_jobs) as runner:
        found = {one.name: one for one in runner(die_or_not, [task(name) for name in "abcd"])}
    assert {name: one.state for name, one in found.items()} == {
        "a": "done", "b": "failed", "c": "done", "d": "done",
    }  # fmt: skip
    assert "SIGKILL; is there too little memory?" in found["b"].reason


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="Windows")
def test_an_interruption_reaches_only_the_process_that_started_them() -> None:
    """Python would print where a process was interrupted while it imported."""
    with processes(1) as runner:
        (found,) = runner(list_blocked, [task("a")])
    assert found.reason == "True"
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGBUS"), reason="no such signal")
def test_a_file_that_shrinks_while_it_is_read_fails_alone(tmp_path: Path) -> None:
    with processes(1) as runner:
        found = {one.name: one for one in runner(read_what_shrinks, [task(n, tmp_path / n) for n in "ba"])}
    assert found["a"].reason == "100000"
    assert found["b"].state == "failed"
    assert "SIGBUS: did the file become shorter" in found["b"].reason


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="signals")
@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGINT])
def test_they_end_with_the_process_that_started_them(ending: signal.Signals) -> None:
    program = (
        "import signal\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # which jobs in the background ignore
        "from spikesorter.workflows.processes import processes\n"
        "from tests.workflows.test_processes import wait_long, task\n"
        "with processes(2) as runner: list(runner(wait_long, [task('a'), task('b')]))\n"
    )
    path = os.pathsep.join(sys.path)
    parent = subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": path},
        stderr=subprocess.DEVNULL,
    )
    family: list[psutil.Process] = []
    while len(family) < 3:  # the two, and multiprocessing's tracker of resources
        assert parent.poll() is None
        time.sleep(0.05)
        family = psutil.Process(parent.pid).children(recursive=True)
    parent.send_signal(ending)
    parent.wait(timeout=60)
    gone, alive = psutil.wait_procs(family, timeout=60)
    assert alive == []
    assert len(gone) == 3
