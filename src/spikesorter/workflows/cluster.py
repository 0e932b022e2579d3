"""Run a batch in this process, in several processes on this machine, or on a Dask cluster."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from spikesorter.core.cores import effective_n_jobs
from spikesorter.core.errors import InputError
from spikesorter.workflows.batch import Runner, dask_runner, run_here

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
        Number of single-threaded processes on this machine; 1: this process; -1 or None: one on each core.
    scheduler : str or None
        Address of a running Dask cluster to use instead.

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
    if scheduler is None and n_jobs == 1:
        yield run_here
        return
    try:
        from distributed import Client, LocalCluster
    except ImportError:
        raise InputError(
            "several processes need Dask: pip install 'neural-spike-sorter[cluster]'; or leave out --n-jobs"
        ) from None
    if scheduler is not None:
        with _connected(scheduler) as client:
            yield dask_runner(client)
        return
    with (
        LocalCluster(
            n_workers=n_jobs,
            threads_per_worker=1,
            dashboard_address="127.0.0.1:0",  # any free port: several batches may run on one machine
            silence_logs=logging.CRITICAL,  # errors are reported in a recording's outcome
        ) as cluster,
        Client(cluster) as client,
    ):
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
