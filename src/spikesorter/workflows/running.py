"""What runs tasks: this process, others on this machine (`processes`), or a cluster (`dask_runner`)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol, TypeVar

from spikesorter.core.progress import Progress, silent

__all__ = ["Runner", "Task", "Work", "run_here"]


class Task(Protocol):
    """Something to be done, which can be pickled for other processes."""

    @property
    def name(self) -> str:
        """Its name, different from those of all others."""

    def lost(self, reason: str) -> Any:
        """Return the outcome if no process could finish it."""


T = TypeVar("T", bound=Task)
T_contra = TypeVar("T_contra", bound=Task, contravariant=True)
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)


class Work(Protocol[T_contra, R_co]):
    """Does a task and returns its outcome, also if it fails."""

    def __call__(self, task: T_contra, progress: Progress = silent, /) -> R_co: ...


class Runner(Protocol):
    """Applies a function to tasks and yields their outcomes in any order."""

    def __call__(self, work: Work[T, R], tasks: Sequence[T], /) -> Iterator[R]: ...


def run_here(work: Work[T, R], tasks: Sequence[T]) -> Iterator[R]:
    """Run tasks in this process, one after another."""
    return map(work, tasks)
