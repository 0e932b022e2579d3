"""Adapt to the targets of a study and sort them, in this process or several at once in others."""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from spikesorter.core.errors import InputError, SpikeSorterError, naming
from spikesorter.core.progress import Progress, prefixed, silent
from spikesorter.core.spikes import Spikes
from spikesorter.io.bad_table import write_bad_table
from spikesorter.io.bounds import free_memory
from spikesorter.io.mat_writing import write_mat
from spikesorter.sorting.model_places import target_place
from spikesorter.sorting.sorter import Sorter
from spikesorter.workflows.processes import processes
from spikesorter.workflows.recordings import CheckedRecording

__all__ = ["TargetDone", "TargetFailed", "TargetTask", "running", "targets_at_once", "timed"]

logger = logging.getLogger(__name__)

REACHED = {
    "estimating noise, gain and rates": 0.0,
    "rehearsing": 0.4,
    "forecasting": 0.9,
    "comparing target and rehearsal": 0.9,
    "sorting": 0.95,
}
"""Share of a target that is done when a step begins, roughly; trying decoders comes in between."""
TRYING = 0.5
BYTES_OF_A_PROCESS, BYTES_OF_A_SAMPLE = 1 << 30, 64
"""What adapting to a target takes at most, roughly; for each sample more than was measured (35)."""


@dataclass(frozen=True, eq=False)
class TargetTask:
    """A target of a study and where its results go; pickled for other processes.

    Parameters
    ----------
    name : str
    target : CheckedRecording
        Not kept open, if it is for another process.
    model : Path
        Folder of the fitted sorter; the adapted one is saved inside.
    prediction : Path
        File for its spikes.
    n_jobs : int
        Number of threads.
    """

    name: str
    target: CheckedRecording
    model: Path
    prediction: Path
    n_jobs: int

    def lost(self, reason: str) -> TargetFailed:
        """Return the outcome if no process could finish it."""
        return TargetFailed(self.name, InputError(f"{self.target.path}: {reason}"))


@dataclass(frozen=True, eq=False)
class TargetDone:
    """A target that is sorted. Its adapted sorter is in its folder of the model.

    Parameters
    ----------
    name : str
    spikes : Spikes
    seconds : mapping of str to float
        Time that each step took.
    """

    name: str
    spikes: Spikes
    seconds: Mapping[str, float]


@dataclass(frozen=True, eq=False)
class TargetFailed:
    """A target that could not be adapted to or sorted.

    Parameters
    ----------
    name : str
    error : Exception
    """

    name: str
    error: Exception


RunTargets = Callable[[Sequence[TargetTask]], Iterator[TargetDone]]


def targets_at_once(samples: Sequence[int], *, n_jobs: int) -> int:
    """Return how many targets to adapt to at once: one for each thread, if there is memory for them.

    Parameters
    ----------
    samples : sequence of int
        Samples of each target, all channels together.
    n_jobs : int
    """
    each = BYTES_OF_A_PROCESS + BYTES_OF_A_SAMPLE * max(samples)
    return max(min(n_jobs, len(samples), free_memory() // each), 1)


@contextmanager
def running(at_once: int, progress: Progress) -> Iterator[RunTargets]:
    """Provide a function that adapts to targets and sorts them, each in a process if several at once.

    The processes start now, so that they are ready when they are needed. An error in one target is raised
    when the others are done.

    Parameters
    ----------
    at_once : int
        Number of targets at once.
    progress : callable

    Yields
    ------
    callable
        Yields the targets as they are done, in any order.
    """
    if at_once == 1:
        yield lambda tasks: _done(
            tasks, (_adapt_and_sort(task, prefixed(task.name, progress)) for task in tasks)
        )
        return
    overall = _Overall(progress)
    with processes(at_once, told=overall.told, early=_adapt_and_sort) as run:

        def run_all(tasks: Sequence[TargetTask]) -> Iterator[TargetDone]:
            # A study's targets are in order of falling signal-to-noise ratio, and the last take longest.
            closed = [replace(task, target=replace(task.target, kept=None)) for task in reversed(tasks)]
            yield from _done(tasks, overall.counted(run(_adapt_and_sort, closed), len(tasks)))

        yield run_all


def _done(tasks: Sequence[TargetTask], outcomes: Iterable[TargetDone | TargetFailed]) -> Iterator[TargetDone]:
    """Yield what is done; at the end raise the error of the first target that failed."""
    errors: dict[str, Exception] = {}
    for number, outcome in enumerate(outcomes, start=1):
        if isinstance(outcome, TargetDone):
            yield outcome
            continue
        errors[outcome.name] = outcome.error
        if number < len(tasks) or len(errors) > 1:  # else it is raised now
            logger.warning("%s (other targets are done first)", outcome.error)
    for task in tasks:
        if task.name in errors:
            raise errors[task.name]


class _Overall:
    """Progress of targets that are adapted to at once, as one step."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._shares: dict[str, float] = {}
        self._count = 1

    def counted(
        self, outcomes: Iterable[TargetDone | TargetFailed], count: int
    ) -> Iterator[TargetDone | TargetFailed]:
        """Take note of targets that are done."""
        self._count = count
        self._show()
        for outcome in outcomes:
            self._shares[outcome.name] = 1.0
            self._show()
            yield outcome

    def told(self, name: str, step: str, done: float) -> None:
        """Take note of how far a target is."""
        begun = REACHED.get(step, TRYING)
        reached = begun + done * (1 - begun) if step == "sorting" else begun
        self._shares[name] = max(reached, self._shares.get(name, 0.0))
        self._show()

    def _show(self) -> None:
        self._progress(
            f"adapting to {self._count} targets and sorting them", sum(self._shares.values()) / self._count
        )


def _adapt_and_sort(task: TargetTask, progress: Progress = silent) -> TargetDone | TargetFailed:
    """Adapt to a target, sort it, and write sorter and spikes.

    An error has its traceback as a note, as pickling loses it.
    """
    seconds: dict[str, float] = {}
    try:
        with naming(task.target.path):
            spikes = _adapted_and_sorted(task, seconds, progress)
    except SpikeSorterError as error:
        return TargetFailed(task.name, error)
    except Exception as error:
        error.add_note(f"while working on {task.target.path}:\n{traceback.format_exc()}")
        return TargetFailed(task.name, error)
    return TargetDone(task.name, spikes, seconds)


def _adapted_and_sorted(task: TargetTask, seconds: dict[str, float], progress: Progress) -> Spikes:
    opened, fitted = task.target.open(), Sorter.load(task.model)
    recording, left_out, n_jobs = opened.recording, opened.exclude, task.n_jobs
    with timed(seconds, f"adapt {task.name}"):
        sorter = fitted.adapt(recording, exclude=left_out, n_jobs=n_jobs, progress=progress)
        sorter.save(target_place(task.model, task.name))
    with timed(seconds, f"sort {task.name}"):
        spikes = sorter.sort(recording, exclude=left_out, n_jobs=n_jobs, progress=progress)
    write_mat(task.prediction, spikes, unknown=sorter.settings.outliers.mark)
    write_bad_table(task.prediction, spikes.bad, fs_hz=sorter.fs_hz)
    return spikes


@contextmanager
def timed(seconds: dict[str, float], step: str) -> Iterator[None]:
    """Note how long a block takes.

    Examples
    --------
    >>> seconds = {}
    >>> with timed(seconds, "sort D2"):
    ...     pass
    >>> list(seconds), seconds["sort D2"] < 60
    (['sort D2'], True)
    """
    start = time.perf_counter()
    yield
    seconds[step] = time.perf_counter() - start
