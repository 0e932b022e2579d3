"""Sort many recordings, one task for each: in this process, in several, or on a Dask cluster.

A task that fails does not stop the others. In this process the tasks run in a loop; `processes` and
`dask_runner` run them in others.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spikesorter.core.cores import effective_n_jobs
from spikesorter.core.errors import InputError
from spikesorter.core.progress import Progress, silent
from spikesorter.core.versions import __version__
from spikesorter.io.atomic import check_writable, only_one, write_json
from spikesorter.io.export import check_export, session_for
from spikesorter.report.kept_results import SORT, sort_facts
from spikesorter.sorting.model import Model, load_model
from spikesorter.workflows.manifest import BatchItem
from spikesorter.workflows.running import R, Runner, T, Work, run_here
from spikesorter.workflows.tasks import (
    NOTES,
    PREDICTIONS,
    SPANS,
    Outcome,
    SortTask,
    note_of,
    note_place,
    remove,
    remove_result,
    settings_of,
    sort_task,
)

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["BATCH", "BATCH_SPAN_SECONDS", "dask_runner", "run_batch", "summary"]

BATCH, LOCK = "batch.json", "lock"
VIEWABLE_SECONDS = 30.0  # after so long, a recording that is sorted can be viewed
BATCH_SPAN_SECONDS = 60.0  # shorter spans would make too many files for a shared disk


def run_batch(
    items: list[BatchItem],
    out: Path,
    *,
    to: str = "mat",
    runner: Runner | None = None,
    n_jobs: int | None = 1,
    span_seconds: float = BATCH_SPAN_SECONDS,
    restart: bool = False,
    subject: Path | None = None,
    progress: Progress = silent,
    on_outcome: Callable[[Outcome], None] = lambda outcome: None,
) -> list[Outcome]:
    """Sort many recordings; one that fails does not stop the others.

    Parameters
    ----------
    items : list of BatchItem
        From `read_batch`.
    out : Path
        Folder for `predictions/NAME.mat`, `batch.json` and, in `.batch`, a note on each finished recording.
    to : str
        Format of the results; see `write_spikes`.
    runner : callable, optional
        `run_here` if not given; `running_on` provides those for other processes and machines.
    n_jobs : int, optional
        Number of threads in each process; -1 or None: one on each core. It does not affect the result.
    span_seconds : float
        Length of spans. Each finished span is kept in a small file until the recording is done, so that an
        interruption loses only the spans in progress.
    restart : bool
        Whether to sort everything again, even if the folder has results of other settings or another version.
    subject : Path, optional
        File that describes subject, session and electrodes, for NWB.
    progress : callable, optional
    on_outcome : callable, optional
        Called with the outcome of each recording as soon as it is known.

    Returns
    -------
    list of Outcome
        In the order of the items.

    Raises
    ------
    InputError
        If the folder cannot be written to, or has results of other settings.
    ModelError
        If a model cannot be used.
    SettingsError
        If `n_jobs` is invalid.
    """
    check_export(to)
    session = None if subject is None else session_for(to, subject)
    n_jobs = effective_n_jobs(n_jobs)
    models = {folder: load_model(folder) for folder in dict.fromkeys(item.model for item in items)}
    digests = {folder: model.whole_digest() for folder, model in models.items()}
    tasks = [SortTask(item, out, to, span_seconds, n_jobs, digests[item.model], session) for item in items]
    for excluded in dict.fromkeys(item.options.exclude for item in items):
        if excluded is not None:
            names = dict.fromkeys(item.part for item in items if item.options.exclude == excluded)
            excluded.check(list(names))
    _make_folders(out)
    outcomes: dict[str, Outcome] = {}
    with only_one(out / NOTES / LOCK, "running a batch"):
        _check_folder(out, tasks, restart=restart)
        progress("sorting", 0.0)
        due = time.monotonic()
        try:
            for outcome in (runner or run_here)(sort_task, tasks):
                outcomes[outcome.name] = outcome
                on_outcome(outcome)
                if time.monotonic() > due:  # not at each of thousands; it lists all
                    write_json(out / SORT, {"recordings": _sorts(items, outcomes, models)})
                    due = time.monotonic() + VIEWABLE_SECONDS
                progress("sorting", len(outcomes) / len(tasks))
        finally:  # `spikesorter view` reads this file, also of a batch that is running or was killed
            write_json(out / SORT, {"recordings": _sorts(items, outcomes, models)})
        _remove_unfinished(out)  # of workers that were killed; another has done their tasks
        ordered = [outcomes[item.name] for item in items]
        write_json(out / BATCH, summary(ordered))
    return ordered


def dask_runner(client: Client) -> Runner:
    """Return a runner that uses the workers of a local or remote Dask cluster.

    Parameters
    ----------
    client : distributed.Client

    Returns
    -------
    callable
        If a worker dies, Dask restarts its task on another worker, up to
        `distributed.scheduler.allowed-failures` times, before the recording counts as failed.
    """
    from distributed import as_completed

    def run(work: Work[T, R], tasks: Sequence[T]) -> Iterator[R]:
        futures = client.map(work, tasks, pure=False, key=[f"sort-{task.name}" for task in tasks])
        task_of = dict(zip(futures, tasks, strict=True))
        for future in as_completed(futures):
            task = task_of.pop(future)
            yield future.result() if future.status == "finished" else task.lost(_died(future.exception()))

    return run


def _died(error: BaseException | None) -> str:
    return f"its worker died each time ({type(error).__name__}); is there too little memory?"


def summary(outcomes: Iterable[Outcome]) -> dict[str, Any]:
    """Return the contents of `batch.json`.

    Parameters
    ----------
    outcomes : iterable of Outcome

    Returns
    -------
    dict

    Examples
    --------
    >>> contents = summary([Outcome("a", "a.ns5", "done", spikes=120), Outcome("b", "b.ns5", "failed")])
    >>> contents["done"], contents["failed"]
    (1, 1)
    """
    rows = [asdict(outcome) for outcome in outcomes]
    counts = {state: sum(row["state"] == state for row in rows) for state in ("done", "kept", "failed")}
    return {"version": __version__, **counts, "recordings": rows}


def _make_folders(out: Path) -> None:
    check_writable(out)
    for name in (PREDICTIONS, NOTES, SPANS):
        folder = out / name
        if folder.is_symlink():
            raise InputError(f"{folder}: is a link; results are written inside {out} only")
        check_writable(folder)


def _check_folder(out: Path, tasks: list[SortTask], *, restart: bool) -> None:
    """Refuse a folder with results of other settings; remove unfinished files of a killed run."""
    _remove_unfinished(out)
    for task in tasks:
        known = note_of(task)
        if known is None:
            continue
        if restart:
            remove_result(out, known)
            note_place(task).unlink()
            continue
        unlike = [key for key, value in settings_of(task).items() if known["facts"].get(key) != value]
        if unlike:
            raise InputError(
                f"{out}: {task.item.name} was sorted there with another {', '.join(unlike)}; choose another "
                "folder, or sort everything again with --restart"
            )
    (out / BATCH).unlink(missing_ok=True)  # an earlier run's file must not remain


def _remove_unfinished(out: Path) -> None:
    """Remove what processes that are no more had begun to write."""
    begun = ((out / PREDICTIONS, ".*"), (out / NOTES, ".*"), (out, f".{SORT}.*"), (out, f".{BATCH}.*"))
    for left in [path for folder, pattern in begun for path in folder.glob(pattern)]:
        with suppress(FileNotFoundError):  # a worker that was given up may be about to remove it too
            remove(left)


def _sorts(
    items: list[BatchItem], outcomes: Mapping[str, Outcome], models: Mapping[Path, Model]
) -> dict[str, Any]:
    return {
        item.name: sort_facts(
            Path(one.result), item.recording, models[item.model], item.options, one.adapted_to, one.left_out
        )
        for item in items
        if (one := outcomes.get(item.name)) is not None and one.state != "failed"
    }
