"""Run a batch in processes on this machine, or on a Dask cluster."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from spikesorter.core.cores import effective_n_jobs
from spikesorter.core.errors import InputError
from spikesorter.workflows.batch import dask_runner
from spikesorter.workflows.processes import processes
from spikesorter.workflows.running import Runner

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["running_on"]

CONNECT_SECONDS = 20


@contextmanager
def running_on(n_jobs: int | None, scheduler: str | None) -> Iterator[Runner]:
    """Provide a runner for `run_batch`, and afterwards stop the processes started for it.

    Parameters
    ----------
    n_jobs : int or None
        Number of single-threaded processes on this machine; -1 or None: one on each core. They listen to no
        port.
    scheduler : str or None
        Address of a running Dask cluster to use instead. Whoever can connect to it can run programs as its
        workers' user, unless it was started with TLS.

    Yields
    ------
    callable

    Raises
    ------
    InputError
        If Dask is needed but not installed, or the cluster does not answer.
    SettingsError
        If `n_jobs` is invalid.
    """
    n_jobs = effective_n_jobs(n_jobs)
    if scheduler is None:
        with processes(n_jobs) as runner:
            yield runner
        return
    try:
        import distributed  # noqa: F401 (whether it is there)
    except ImportError:
        raise InputError(
            "--scheduler needs Dask: pip install 'neural-spike-sorter[cluster]'; or use --n-jobs instead"
        ) from None
    with _connected(scheduler) as client:
        yield dask_runner(client)


@contextmanager
def _connected(address: str) -> Iterator[Client]:
    from distributed import Client

    try:
        client = Client(address, timeout=CONNECT_SECONDS)
    except (OSError, ValueError, ImportError) as error:
        raise InputError(f"{address}: no Dask scheduler answers: {error}") from None
    with client:
        yield client
