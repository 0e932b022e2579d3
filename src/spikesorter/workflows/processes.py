"""Run tasks in processes of this machine, which are connected by pipes and listen to no port.

A process that dies, such as one whose file shrank while it was being read, takes only its own task with it.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import get_context, parent_process, resource_tracker
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING

from spikesorter.workflows.tasks import Outcome, SortTask, lost

if TYPE_CHECKING:
    from multiprocessing.context import SpawnProcess

    from spikesorter.workflows.batch import Runner

__all__ = ["processes"]

ATTEMPTS = 2
"""How often a task is begun whose process dies each time."""
ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
MEMORY_FAULT = "SIGBUS", "SIGSEGV"

Work = Callable[[SortTask], Outcome]


@contextmanager
def processes(n_jobs: int) -> Iterator[Runner]:
    """Provide a runner that uses processes of this machine, and afterwards stop them.

    They are connected by pipes that only this process and they have. A process that dies is replaced, and its
    task is begun once more before it counts as failed. Their warnings are logged here.

    Parameters
    ----------
    n_jobs : int
        Number of processes; at most one for each task is started.

    Yields
    ------
    callable
    """
    started: list[_Worker] = []

    def run(work: Work, tasks: list[SortTask]) -> Iterator[Outcome]:
        waiting = deque((task, 1) for task in tasks)
        busy: dict[Connection, _Worker] = {}
        while waiting or busy:
            while waiting and len(busy) < n_jobs:
                worker = _idle(started, busy) or _start(work, started, alone=n_jobs == 1)
                worker.begin(*waiting.popleft())
                busy[worker.pipe] = worker
            for pipe in wait(list(busy)):
                worker = busy[pipe]  # type: ignore[index]  # only pipes are waited for
                outcome = worker.outcome()
                if outcome is None:  # it only said something
                    continue
                del busy[worker.pipe]
                if not isinstance(outcome, _Death):
                    yield outcome
                    continue
                started.remove(worker)
                if outcome.attempt < ATTEMPTS:
                    waiting.append((outcome.task, outcome.attempt + 1))
                else:
                    yield lost(outcome.task, outcome.reason)

    try:
        yield run
    finally:
        for worker in started:
            worker.stop()


@dataclass(frozen=True)
class _Death:
    """The end of a process during a task."""

    task: SortTask
    attempt: int
    reason: str


class _Worker:
    """A process and this end of its pipe."""

    def __init__(self, process: SpawnProcess, pipe: Connection) -> None:
        self.process, self.pipe = process, pipe
        self._task: tuple[SortTask, int] | None = None

    def begin(self, task: SortTask, attempt: int) -> None:
        self._task = task, attempt
        with suppress(OSError):  # if it has died, that is noticed when its outcome is read
            self.pipe.send(task)

    def outcome(self) -> Outcome | _Death | None:
        """Return the outcome of its task, or None if it sent a warning, which is logged here."""
        assert self._task is not None
        try:
            said = self.pipe.recv()
        except (EOFError, OSError):
            self.stop()
            return _Death(*self._task, _cause(self.process.exitcode))
        if isinstance(said, Outcome):
            return said
        logging.getLogger(said.name).handle(said)
        return None

    def stop(self) -> None:
        self.process.join(0.5 if self.pipe.closed else 0)
        self.process.kill()  # at any moment: files get their names only when they are complete
        self.process.join()
        self.pipe.close()


def _idle(started: list[_Worker], busy: dict[Connection, _Worker]) -> _Worker | None:
    return next((worker for worker in started if worker.pipe not in busy), None)


def _start(work: Work, started: list[_Worker], *, alone: bool) -> _Worker:
    here, there = get_context("spawn").Pipe()
    process = get_context("spawn").Process(target=_serve, args=(there, work), daemon=True)
    with _environment({} if alone else dict.fromkeys(ONE_THREAD, "1")), _without_interrupts():
        process.start()
    there.close()
    worker = _Worker(process, here)
    started.append(worker)
    return worker


@contextmanager
def _environment(added: dict[str, str]) -> Iterator[None]:
    """Add variables, unless the user has set them, for processes started in a block."""
    new = {name: value for name, value in added.items() if name not in os.environ}
    os.environ.update(new)
    try:
        yield
    finally:
        for name in new:
            del os.environ[name]


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """Let processes started in a block never see Ctrl-C, not even while they import; here it waits."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # starting it would let interrupts through
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _serve(pipe: Connection, work: Work) -> None:
    """Do tasks until the pipe is closed; the main function of a process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # where it is not blocked; the parent ends this process
    threading.Thread(target=_end_with_parent, daemon=True).start()
    logger = logging.getLogger("spikesorter")
    logger.addHandler(_Sender(pipe))
    with suppress(EOFError, OSError):
        while True:
            pipe.send(work(pipe.recv()))


def _end_with_parent() -> None:
    """End this process as soon as the one that started it has died, so that no two batches are running."""
    parent = parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


class _Sender(logging.Handler):
    """Handler that sends warnings to the process that shows them."""

    def __init__(self, pipe: Connection) -> None:
        super().__init__(logging.WARNING)
        self._pipe = pipe

    def emit(self, record: logging.LogRecord) -> None:
        plain = logging.makeLogRecord(
            {**record.__dict__, "msg": record.getMessage(), "args": None, "exc_info": None}
        )
        self._pipe.send(plain)


def _cause(code: int | None) -> str:
    """Return in words why a process ended."""
    if code is None or code >= 0:
        return f"its process ended each time with exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    if name in MEMORY_FAULT:
        return (
            f"its process ended each time by {name}: did the file become shorter while it was read, or is it "
            "damaged?"
        )
    return f"its process was ended each time by {name}; is there too little memory?"
