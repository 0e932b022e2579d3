"""Run tasks in processes of this machine, which are connected by pipes and listen to no port.

A process that dies, such as one whose file shrank while it was being read, takes only its own task with it.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context, parent_process, resource_tracker
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING, Any

from spikesorter.core.errors import about_subject
from spikesorter.workflows.running import R, Runner, T, Task, Work

if TYPE_CHECKING:
    from multiprocessing.context import SpawnProcess

__all__ = ["processes"]

ATTEMPTS = 2
"""How often a task is begun whose process dies each time."""
ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
MEMORY_FAULT = "SIGBUS", "SIGSEGV"

Told = Callable[[str, str, float], None]
"""Called with the name of a task, its current step, and the share of that step that is done."""


def _ignore(name: str, step: str, done: float) -> None:
    """Do not show what processes say on how far they are."""


@contextmanager
def processes(n_jobs: int, *, told: Told = _ignore, early: Work[Any, Any] | None = None) -> Iterator[Runner]:
    """Provide a runner that uses processes of this machine, and afterwards stop them.

    They are connected by pipes that only this process and they have. A process that dies is replaced, and its
    task is begun once more before it counts as failed. Their warnings are logged here.

    Parameters
    ----------
    n_jobs : int
        Number of processes; at most one for each task is started.
    told : callable, optional
        Called with what they say on how far they are.
    early : callable, optional
        Work for which all processes are started at once, so that they have loaded what it needs before there
        are tasks; if not given, each is started for its first task.

    Yields
    ------
    callable
    """
    started: list[_Worker] = []

    def start(work: Work[Any, Any]) -> _Worker:
        started.append(_start(work, alone=n_jobs == 1))
        return started[-1]

    def run(work: Work[T, R], tasks: Sequence[T]) -> Iterator[R]:
        waiting = deque((task, 1) for task in tasks)
        busy: dict[Connection, _Worker] = {}
        while waiting or busy:
            while waiting and len(busy) < n_jobs:
                worker = _idle(started, busy) or start(work)
                worker.begin(work, *waiting.popleft())
                busy[worker.pipe] = worker
            for pipe in wait(list(busy)):
                worker = busy[pipe]  # type: ignore[index]  # only pipes are waited for
                said = worker.said(told)
                if said is None:  # a warning, or how far it is
                    continue
                del busy[worker.pipe]
                if isinstance(said, _Done):
                    yield said.outcome
                    continue
                started.remove(worker)
                if said.attempt < ATTEMPTS:
                    waiting.append((said.task, said.attempt + 1))
                else:
                    yield said.task.lost(said.reason)

    try:
        if early is not None:
            for _ in range(n_jobs):
                start(early)
        yield run
    finally:
        for worker in started:
            worker.stop()


@dataclass(frozen=True)
class _Step:
    """How far a process is with its task."""

    name: str
    step: str
    done: float


@dataclass(frozen=True)
class _Done:
    """The outcome of a task that a process has done."""

    outcome: Any


@dataclass(frozen=True)
class _Death:
    """The end of a process during a task."""

    task: Any
    attempt: int
    reason: str


class _Worker:
    """A process and this end of its pipe."""

    def __init__(self, process: SpawnProcess, pipe: Connection) -> None:
        self.process, self.pipe = process, pipe
        self._task: tuple[Task, int] | None = None

    def begin(self, work: Work[Any, Any], task: Task, attempt: int) -> None:
        self._task = task, attempt
        with suppress(OSError):  # if it has died, that is noticed when its outcome is read
            self.pipe.send((work, task))

    def said(self, told: Told) -> _Done | _Death | None:
        """Return how its task ended, or None if it sent a warning or how far it is, which is passed on."""
        assert self._task is not None
        try:
            said = self.pipe.recv()
        except (EOFError, OSError):
            self.stop()
            return _Death(*self._task, _cause(self.process.exitcode))
        if isinstance(said, _Done):
            return said
        if isinstance(said, _Step):
            told(said.name, said.step, said.done)
        else:
            logging.getLogger(said.name).handle(said)
        return None

    def stop(self) -> None:
        self.process.join(0.5 if self.pipe.closed else 0)
        self.process.kill()  # at any moment: files get their names only when they are complete
        self.process.join()
        self.pipe.close()


def _idle(started: list[_Worker], busy: dict[Connection, _Worker]) -> _Worker | None:
    return next((worker for worker in started if worker.pipe not in busy), None)


def _start(work: Work[Any, Any], *, alone: bool) -> _Worker:
    here, there = get_context("spawn").Pipe()
    process = get_context("spawn").Process(target=_serve, args=(there, work), daemon=True)
    with _environment({} if alone else dict.fromkeys(ONE_THREAD, "1")), _without_interrupts():
        process.start()
    there.close()
    return _Worker(process, here)


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


def _serve(pipe: Connection, work: Work[Any, Any]) -> None:
    """Do tasks until the pipe is closed; the main function of a process, which has to load its work first."""
    del work
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # where it is not blocked; the parent ends this process
    threading.Thread(target=_end_with_parent, daemon=True).start()
    outbox = _Outbox(pipe)
    logging.getLogger("spikesorter").addHandler(_Sender(outbox))
    with suppress(EOFError, OSError):
        while True:
            wanted, task = pipe.recv()
            outbox.send(_Done(wanted(task, partial(outbox.send_step, task.name))))


class _Outbox:
    """The end of a pipe that several threads write to."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe, self._lock = pipe, threading.Lock()

    def send(self, said: object) -> None:
        with self._lock:
            self._pipe.send(said)

    def send_step(self, name: str, step: str, done: float) -> None:
        self.send(_Step(name, step, done))


def _end_with_parent() -> None:
    """End this process as soon as the one that started it has died, so that no two batches are running."""
    parent = parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


class _Sender(logging.Handler):
    """Handler that sends warnings to the process that shows them, with what they are about."""

    def __init__(self, outbox: _Outbox) -> None:
        super().__init__(logging.WARNING)
        self._outbox = outbox

    def emit(self, record: logging.LogRecord) -> None:
        plain = logging.makeLogRecord(
            {**record.__dict__, "msg": about_subject(record.getMessage()), "args": None, "exc_info": None}
        )
        self._outbox.send(plain)


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
