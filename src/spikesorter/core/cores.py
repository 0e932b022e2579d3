"""Threads and processes: the meaning of `n_jobs`, defined once, and how work is shared out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from numbers import Integral
from threading import Lock
from typing import Any, TypeVar

from spikesorter.core.errors import SettingsError

__all__ = ["WHOLE_TRACES", "effective_n_jobs", "in_threads", "one_blas_thread"]

ALL_CORES = -1
MOST_JOBS = 1024
WHOLE_TRACES = 2
"""Most threads that may each hold copies of a whole trace, so that memory stays bounded on many cores."""
Item = TypeVar("Item")
Result = TypeVar("Result")


def effective_n_jobs(n_jobs: int | None) -> int:
    """Return the number of threads or processes that `n_jobs` asks for.

    Parameters
    ----------
    n_jobs : int or None
        1 to 1024; -1 or None for one on each core available to this process. The operating system, a
        container or `LOKY_MAX_CPU_COUNT` may limit these.

    Returns
    -------
    int

    Raises
    ------
    SettingsError
        If `n_jobs` is anything else, such as 0.

    Examples
    --------
    >>> effective_n_jobs(2)
    2
    >>> effective_n_jobs(-1) == effective_n_jobs(None) >= 1
    True
    >>> effective_n_jobs(0)
    Traceback (most recent call last):
    spikesorter.SettingsError: n_jobs must be a whole number from 1 to 1024, or -1 for all \
cores, not 0
    """
    if n_jobs is None or n_jobs == ALL_CORES:
        from joblib import cpu_count

        return int(cpu_count())
    whole = isinstance(n_jobs, Integral) and not isinstance(n_jobs, bool)
    if not whole or not 1 <= n_jobs <= MOST_JOBS:
        raise SettingsError(
            f"n_jobs must be a whole number from 1 to {MOST_JOBS}, or -1 for all cores, not {n_jobs!r}"
        )
    return int(n_jobs)


def in_threads(function: Callable[[Item], Result], items: list[Item], *, n_jobs: int) -> Iterator[Result]:
    """Yield a function's results in order, computed in threads: NumPy and compiled code release the GIL.

    Examples
    --------
    >>> list(in_threads(lambda x: x * x, [3, 1, 2], n_jobs=2))
    [9, 1, 4]
    """
    if n_jobs == 1 or len(items) < 2:
        yield from map(function, items)
        return
    with ThreadPoolExecutor(n_jobs) as threads:
        try:
            yield from threads.map(function, items)
        except BaseException:
            threads.shutdown(cancel_futures=True)
            raise


class _BlasLimit:
    """Limit of the threads of linear algebra, which is the whole process's, while any block needs it."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._blocks = 0
        self._limit: Any = None

    def enter(self) -> None:
        from threadpoolctl import threadpool_limits

        with self._lock:
            self._blocks += 1
            if self._blocks == 1:
                self._limit = threadpool_limits(1, user_api="blas")

    def leave(self) -> None:
        with self._lock:
            self._blocks -= 1
            if self._blocks == 0:
                self._limit.restore_original_limits()


_BLAS_LIMIT = _BlasLimit()


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Let linear algebra use one thread during a block or a function, as work is shared out otherwise.

    NumPy's library would start a thread on each core. Between two calls they wait by counting, which takes as
    much time of the processor as all else. Blocks may overlap in several threads: after the last of them, the
    caller's own number of threads is back.

    Examples
    --------
    >>> with one_blas_thread():
    ...     pass
    """
    _BLAS_LIMIT.enter()
    try:
        yield
    finally:
        _BLAS_LIMIT.leave()
