"""Adapt to targets, and sort those of a study, in this process or several at once in others."""

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
from spikesorter.io.recording import OpenedRecording
from spikesorter.sorting.each_group import doubts_about
from spikesorter.sorting.groups import adapt_living_groups
from spikesorter.sorting.model_places import (
    WHOLE,
    group_place,
    low_latency_place,
    target_place,
    write_unfinished,
)
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
LOW_LATENCY = "low latency"
BYTES_OF_A_PROCESS, BYTES_OF_A_SAMPLE = 1 << 30, 64
"""What adapting to a target takes at most, roughly; for each sample more than was measured (35)."""


@dataclass(frozen=True, eq=False)
class TargetTask:
    """A target and where its results go; pickled for other processes.

    Parameters
    ----------
    name : str
    target : CheckedRecording
        Not kept open, if it is for another process.
    model : Path
        Folder of the fitted sorter, or of those of groups of channels; the adapted ones are saved inside.
    n_jobs : int
        Number of threads.
    prediction : Path or None
        File for its spikes; None if it is not to be sorted, as always with groups.
    groups : tuple of str
        Groups of channels; one, "", if the model is for all channels.
    live : bool
        Whether to keep the low-latency sorter with each adapted one.
    """

    name: str
    target: CheckedRecording
    model: Path
    n_jobs: int
    prediction: Path | None = None
    groups: tuple[str, ...] = (WHOLE,)
    live: bool = False

    @property
    def parts(self) -> tuple[str, ...]:
        """What the names of steps begin with, in each part of the work that takes all steps."""
        groups = [f"{group}: " if group else "" for group in self.groups]
        return (*groups, *(f"{group}{LOW_LATENCY}: " for group in groups if self.live))

    def lost(self, reason: str) -> TargetFailed:
        """Return the outcome if no process could finish it."""
        return TargetFailed(self.name, InputError(f"{self.target.path}: {reason}"))


@dataclass(frozen=True, eq=False)
class TargetDone:
    """A target that is adapted to. The adapted sorters are in its folders of the model.

    Parameters
    ----------
    name : str
    spikes : Spikes or None
        None if it was not to be sorted.
    seconds : mapping of str to float
        Time that each step took.
    lacking : mapping of str to str
        For each group of channels with nothing to sort, to which no sorter is adapted, why, in words.
    """

    name: str
    spikes: Spikes | None
    seconds: Mapping[str, float]
    lacking: Mapping[str, str]


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
    """Provide a function that does the tasks of targets, each in a process if several at once.

    The processes start now, so that they are ready when they are needed. An error in one target is raised
    when the others are done. Until all are done, the model says which it lacks (`read_unfinished`).

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
            yield from _done(tasks, overall.counted(run(_adapt_and_sort, closed), tasks))

        yield run_all


def _done(tasks: Sequence[TargetTask], outcomes: Iterable[TargetDone | TargetFailed]) -> Iterator[TargetDone]:
    """Yield what is done; at the end raise the error of the first target that failed."""
    errors: dict[str, Exception] = {}
    left = [task.name for task in tasks]
    _write_left(tasks, left)
    for number, outcome in enumerate(outcomes, start=1):
        if isinstance(outcome, TargetDone):
            left.remove(outcome.name)
            _write_left(tasks, left)
            yield outcome
            continue
        errors[outcome.name] = outcome.error
        if number < len(tasks) or len(errors) > 1:  # else it is raised now
            logger.warning("%s (other targets are done first)", outcome.error)
    for task in tasks:
        if task.name in errors:
            raise errors[task.name]


def _write_left(tasks: Sequence[TargetTask], left: Sequence[str]) -> None:
    for model in {task.model for task in tasks}:
        write_unfinished(model, left)


class _Overall:
    """Progress of targets that are adapted to at once, as one step."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._shares: dict[str, dict[str, float]] = {}
        self._words = ""

    def counted(
        self, outcomes: Iterable[TargetDone | TargetFailed], tasks: Sequence[TargetTask]
    ) -> Iterator[TargetDone | TargetFailed]:
        """Take note of targets that are done."""
        self._shares = {task.name: dict.fromkeys(task.parts, 0.0) for task in tasks}
        sorted_too = " and sorting them" if any(task.prediction for task in tasks) else ""
        self._words = f"adapting to {len(tasks)} targets{sorted_too}"
        self._show()
        for outcome in outcomes:
            self._shares[outcome.name] = {"": 1.0}
            self._show()
            yield outcome

    def told(self, name: str, step: str, done: float) -> None:
        """Take note of how far a target is."""
        shares = self._shares[name]
        part = max((part for part in shares if step.startswith(part)), key=len)
        step = step.removeprefix(part)
        begun = REACHED.get(step, TRYING)
        reached = begun + done * (1 - begun) if step == "sorting" else begun
        shares[part] = max(reached, shares[part])
        self._show()

    def _show(self) -> None:
        each = [sum(shares.values()) / len(shares) for shares in self._shares.values()]
        self._progress(self._words, sum(each) / len(each))


def _adapt_and_sort(task: TargetTask, progress: Progress = silent) -> TargetDone | TargetFailed:
    """Adapt to a target, sort it if that is wanted, and write sorters and spikes.

    An error has its traceback as a note, as pickling loses it.
    """
    seconds: dict[str, float] = {}
    try:
        with naming(task.target.path):
            return _adapted_and_sorted(task, seconds, progress)
    except SpikeSorterError as error:
        return TargetFailed(task.name, error)
    except Exception as error:
        error.add_note(f"while working on {task.target.path}:\n{traceback.format_exc()}")
        return TargetFailed(task.name, error)


def _adapted_and_sorted(task: TargetTask, seconds: dict[str, float], progress: Progress) -> TargetDone:
    opened, n_jobs = task.target.open(), task.n_jobs
    with timed(seconds, f"adapt {task.name}"):
        adapted, lacking = _adapted(task, opened, progress)
        for group, sorter in adapted.items():
            _save(sorter, task, group, progress)
    if task.prediction is None:
        return TargetDone(task.name, None, seconds, lacking)
    (sorter,) = adapted.values()
    with timed(seconds, f"sort {task.name}"):
        spikes = sorter.sort(opened.recording, exclude=opened.exclude, n_jobs=n_jobs, progress=progress)
    write_mat(task.prediction, spikes, unknown=sorter.settings.outliers.mark)
    write_bad_table(task.prediction, spikes.bad, fs_hz=sorter.fs_hz)
    return TargetDone(task.name, spikes, seconds, lacking)


def _adapted(
    task: TargetTask, opened: OpenedRecording, progress: Progress
) -> tuple[dict[str, Sorter], dict[str, str]]:
    """Return the adapted sorters by group, and why there is none for a group, in words."""
    fitted = {group: Sorter.load(group_place(task.model, group)) for group in task.groups}
    recording, exclude, n_jobs = opened.recording, opened.exclude, task.n_jobs
    if task.groups == (WHOLE,):
        adapted = fitted[WHOLE].adapt(recording, exclude=exclude, n_jobs=n_jobs, progress=progress)
        return {WHOLE: adapted}, {}
    adapted_groups, words = adapt_living_groups(
        fitted, recording, exclude=exclude, n_jobs=n_jobs, progress=progress
    )
    dead = [group for group in task.groups if group not in adapted_groups]
    return adapted_groups, {group: doubts_about(words, group)[0] for group in dead}


def _save(sorter: Sorter, task: TargetTask, group: str, progress: Progress) -> None:
    """Save an adapted sorter, and inside its folder the low-latency one, if wanted."""
    place = target_place(group_place(task.model, group), task.name)
    sorter.save(place)
    if task.live:
        told = prefixed(LOW_LATENCY, prefixed(group, progress) if group else progress)
        prompt = sorter.low_latency(n_jobs=task.n_jobs, progress=told)
        prompt.save(low_latency_place(place))


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
