"""Where a batch runs: in this process, in others on this machine, or on a Dask cluster."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from spikesorter.core.errors import InputError
from spikesorter.workflows.batch import Runner, dask_runner, run_here

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["running_on"]

CONNECT_SECONDS = 20


@contextmanager
def running_on(n_jobs: int, scheduler: str | None) -> Iterator[Runner]:
    """Give a runner for `run_batch`, and end what was started for it.

    Parameters
    ----------
    n_jobs : int
        Processes on this machine, of one thread each; 1: this process itself.
    scheduler : str or None
        Address of a Dask cluster that is running; its workers do it then.

    Yields
    ------
    callable

    Raises
    ------
    InputError
        If Dask is needed and not installed, or the cluster does not answer.
    """
    if scheduler is None and n_jobs == 1:
        yield run_here
        return
    try:
        from distributed import Client, LocalCluster
    except ImportError:
        raise InputError(
            "several processes need Dask: pip install 'neural-spike-sorter[cluster]'; or leave out --jobs"
        ) from None
    if scheduler is not None:
        with _connected(scheduler) as client:
            yield dask_runner(client)
        return
    with (
        LocalCluster(
            n_workers=n_jobs,
            threads_per_worker=1,
            dashboard_address="127.0.0.1:0",  # any free port: others may run batches here too
            silence_logs=logging.CRITICAL,  # what happens to a recording is told by its outcome
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
        raise InputError(f"{address}: no Dask scheduler answers there: {error}") from None
    with client:
        yield client
