"""Many recordings, each a task that fails alone: in this process, in local ones, or wherever Dask runs.

What is finished is known by a note beside it, so that a batch that was killed goes on when it is started
again. Nothing here schedules work: a loop does in this process, Dask does everywhere else.
"""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from spikesorter.errors import InputError, SpikeSorterError
from spikesorter.io.atomic import check_writable, only_one, write_json
from spikesorter.io.export import check_export, check_export_place
from spikesorter.jobs import sort_recording
from spikesorter.manifest import Job
from spikesorter.models import Model, load_model
from spikesorter.progress import Progress, silent
from spikesorter.report.results import SORT, sort_facts

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["BATCH", "BATCH_SPAN_SECONDS", "Outcome", "dask_runner", "run_batch", "run_here", "summary"]

logger = logging.getLogger(__name__)

BATCH = "batch.json"
PREDICTIONS, NOTES, SPANS, LOCK = "predictions", ".batch", ".spans", "lock"
BATCH_SPAN_SECONDS = 60.0  # shorter ones would be more files than a shared disk likes
RETRIES = 2
WAIT_SECONDS = 1.0
MAY_PASS = {
    getattr(errno, name)
    for name in ("EAGAIN", "EBUSY", "EINTR", "EIO", "EMFILE", "ENETDOWN", "ENETUNREACH", "ENFILE", "ENOMEM",
                 "ESTALE", "ETIMEDOUT", "EREMOTEIO")
    if hasattr(errno, name)
}  # fmt: skip

State = Literal["done", "kept", "failed"]


@dataclass(frozen=True)
class Outcome:
    """What became of one recording.

    Parameters
    ----------
    name, recording : str
    state : {"done", "kept", "failed"}
        kept: an earlier run had finished it.
    reason : str
        Why it failed.
    result : str
        Where the spikes are, below the batch's folder.
    spikes : int
    forecast : dict
        Of each group of channels: expected `score`, `low`, `high`.
    adapted_to : dict
        Of each group.
    seconds : float
        That it took.
    peak_mb : float
        Most memory that its process has used so far.
    attempts : int
    """

    name: str
    recording: str
    state: State
    reason: str = ""
    result: str = ""
    spikes: int = 0
    forecast: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    adapted_to: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    peak_mb: float = 0.0
    attempts: int = 0


@dataclass(frozen=True)
class Task:
    """A job and where its result goes; travels to other processes and machines as it is."""

    job: Job
    out: Path
    to: str
    span_seconds: float
    threads: int
    model_digest: str


Runner = Callable[[Callable[[Task], Outcome], list[Task]], Iterator[Outcome]]
"""Applies a function to tasks, wherever, and yields what comes back, in any order."""


def run_batch(
    jobs: list[Job],
    out: Path,
    *,
    to: str = "mat",
    runner: Runner | None = None,
    threads: int = 1,
    span_seconds: float = BATCH_SPAN_SECONDS,
    restart: bool = False,
    progress: Progress = silent,
    on_outcome: Callable[[Outcome], None] = lambda outcome: None,
) -> list[Outcome]:
    """Sort many recordings; one that fails does not stop the others.

    Parameters
    ----------
    jobs : list of Job
        From `read_jobs`.
    out : Path
        Gets `predictions/NAME.mat`, `batch.json`, and, in `.batch`, a note of each recording that is done.
    to : str
        Format of the results, see `write_spikes`.
    runner : callable, optional
        `run_here`, if not given; `dask_runner` for other processes and machines.
    threads : int
        Of each process. They change no result.
    span_seconds : float
        A killed recording loses at most what was being done of such spans; each makes a small file.
    restart : bool
        Take over a folder of other settings or another version, and sort everything again.
    progress : callable, optional
    on_outcome : callable, optional
        Told what became of each recording as soon as it is known.

    Returns
    -------
    list of Outcome
        In the order of the jobs.

    Raises
    ------
    InputError
        If the folder cannot be written to or is another batch's.
    ModelError
        If a model cannot be used.
    """
    check_export(to)
    models = {folder: load_model(folder) for folder in dict.fromkeys(job.model for job in jobs)}
    digests = {folder: model.whole_digest() for folder, model in models.items()}
    tasks = [Task(job, out, to, span_seconds, threads, digests[job.model]) for job in jobs]
    _make_folders(out)
    outcomes: dict[str, Outcome] = {}
    with only_one(out / NOTES / LOCK, "running a batch"):
        _check_folder(out, tasks, restart=restart)
        progress("sorting", 0.0)
        for outcome in (runner or run_here)(sort_task, tasks):
            outcomes[outcome.name] = outcome
            on_outcome(outcome)
            progress("sorting", len(outcomes) / len(tasks))
        ordered = [outcomes[job.name] for job in jobs]
        write_json(out / SORT, {"recordings": _sorts(jobs, ordered, models)})  # `spikesorter view` goes by it
        write_json(out / BATCH, summary(ordered))
    return ordered


def run_here(work: Callable[[Task], Outcome], tasks: list[Task]) -> Iterator[Outcome]:
    """Run tasks in this process, one after the other."""
    return map(work, tasks)


def dask_runner(client: Client) -> Runner:
    """Return a runner on the workers of a Dask cluster, local or not.

    Parameters
    ----------
    client : distributed.Client

    Returns
    -------
    callable
        A worker that dies takes no other recording with it: Dask starts its tasks again elsewhere, up to
        `distributed.scheduler.allowed-failures` times, before they count as failed.
    """
    from distributed import as_completed

    def run(work: Callable[[Task], Outcome], tasks: list[Task]) -> Iterator[Outcome]:
        futures = client.map(work, tasks, pure=False, key=[f"sort-{task.job.name}" for task in tasks])
        task_of = dict(zip(futures, tasks, strict=True))
        for future in as_completed(futures):
            task = task_of.pop(future)
            yield future.result() if future.status == "finished" else _lost(task, future.exception())

    return run


def sort_task(task: Task) -> Outcome:
    """Sort one recording, unless that is done; say what became of it.

    Faults that may pass, such as a file server that does not answer, are tried again twice.

    Parameters
    ----------
    task : Task

    Returns
    -------
    Outcome
    """
    start = time.perf_counter()
    for attempt in range(1, RETRIES + 2):
        try:
            return _sorted(task, start, attempt)
        except (SpikeSorterError, OSError, MemoryError) as error:
            if attempt > RETRIES or not _may_pass(error):
                reason = (
                    f"{type(error).__name__}: {error}"
                    if not isinstance(error, SpikeSorterError)
                    else str(error)
                )
                return _failed(task, reason, time.perf_counter() - start, attempt)
            time.sleep(WAIT_SECONDS * attempt)
        except Exception as error:  # another library's: this recording fails, the batch goes on
            logger.exception("%s", task.job.recording)
            return _failed(task, _reason(error), time.perf_counter() - start, attempt)
    raise AssertionError("unreachable")


def summary(outcomes: Iterable[Outcome]) -> dict[str, Any]:
    """Return what `batch.json` holds.

    Parameters
    ----------
    outcomes : iterable of Outcome

    Returns
    -------
    dict
    """
    rows = [asdict(outcome) for outcome in outcomes]
    counts = {state: sum(row["state"] == state for row in rows) for state in ("done", "kept", "failed")}
    return {"version": version("neural-spike-sorter"), **counts, "recordings": rows}


def _sorted(task: Task, start: float, attempt: int) -> Outcome:
    job, place = task.job, _place(task)
    known, facts = _note(task), _facts(task, job.recording)
    spans = task.out / SPANS / job.name
    if known is not None and known["facts"] == facts and _intact(place, known["sha256"]):
        shutil.rmtree(spans, ignore_errors=True)
        return Outcome(**known["outcome"] | {"state": "kept"})
    if known is not None:  # of what the recording was before
        _remove_result(task.out, known)
    check_export_place(place, task.to)
    model = _loaded(job.model, task.model_digest)
    one = sort_recording(
        job.recording,
        place,
        model,
        to=task.to,
        options=job.options,
        jobs=task.threads,
        span_seconds=task.span_seconds,
        resume=spans,
    )
    if _facts(task, job.recording) != facts:
        place.unlink(missing_ok=True)
        raise InputError(f"{job.recording}: was changed while it was sorted; sort it again when it is whole")
    outcome = Outcome(
        name=job.name,
        recording=str(job.recording),
        state="done",
        result=str(place.relative_to(task.out)),
        spikes=len(one.spikes),
        forecast={
            group: {key: float(getattr(sorter.forecast, key)) for key in ("score", "low", "high")}
            for group, sorter in one.sorters.items()
        },
        adapted_to=dict(one.chosen),
        seconds=round(time.perf_counter() - start, 3),
        peak_mb=_peak_mb(),
        attempts=attempt,
    )
    note = {"facts": facts, "sha256": _digest_of(place), "outcome": asdict(outcome)}
    write_json(_note_place(task), note)
    shutil.rmtree(spans, ignore_errors=True)
    return outcome


def _make_folders(out: Path) -> None:
    check_writable(out)
    for name in (PREDICTIONS, NOTES, SPANS):
        folder = out / name
        if folder.is_symlink():
            raise InputError(f"{folder}: is a link to elsewhere; results are written inside {out} only")
        check_writable(folder)


def _check_folder(out: Path, tasks: list[Task], *, restart: bool) -> None:
    """Refuse a folder that holds results of other settings; clear away what a killed run was writing."""
    begun = ((out / PREDICTIONS, ".*"), (out / NOTES, ".*"), (out, f".{SORT}.*"), (out, f".{BATCH}.*"))
    for left in [path for folder, pattern in begun for path in folder.glob(pattern)]:
        shutil.rmtree(left) if left.is_dir() else left.unlink()
    for task in tasks:
        known = _note(task)
        if known is None:
            continue
        if restart:
            _remove_result(out, known)
            _note_place(task).unlink()
            continue
        unlike = [key for key, value in _settings(task).items() if known["facts"].get(key) != value]
        if unlike:
            raise InputError(
                f"{out}: {task.job.name} was sorted there with another {', '.join(unlike)}; choose another "
                "folder, or sort everything again with --restart"
            )
    (out / BATCH).unlink(missing_ok=True)  # an earlier run's must not be taken for this one's


def _remove_result(out: Path, note: Mapping[str, Any]) -> None:
    """Remove an earlier run's result, a file or folder, so that nobody takes it for one of today.

    What somebody has put in its place since then is not ours to remove.
    """
    place = out / PREDICTIONS / Path(note["outcome"]["result"]).name
    if not _intact(place, note["sha256"]):
        return
    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place)
    else:
        place.unlink(missing_ok=True)


def _sorts(jobs: list[Job], outcomes: list[Outcome], models: Mapping[Path, Model]) -> dict[str, Any]:
    return {
        job.name: sort_facts(Path(one.result), job.recording, models[job.model], job.options, one.adapted_to)
        for job, one in zip(jobs, outcomes, strict=True)
        if one.state != "failed"
    }


def _settings(task: Task) -> dict[str, Any]:
    """What must be the same for results to belong into one folder."""
    return {
        "version": version("neural-spike-sorter"),
        "model": task.model_digest,
        "format": task.to,
        "options": json.loads(json.dumps(asdict(task.job.options))),
    }


def _facts(task: Task, recording: Path) -> dict[str, Any]:
    return _settings(task) | {"recording": str(recording), "stamp": _stamp(recording)}


def _stamp(path: Path) -> list[list[Any]]:
    """What changes when a recording does: size and time of its files."""
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    try:
        return [[file.name, file.stat().st_size, file.stat().st_mtime_ns] for file in files]
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None


def _note(task: Task) -> dict[str, Any] | None:
    try:
        note = json.loads(_note_place(task).read_text(encoding="utf-8"))
        Outcome(**note["outcome"])
        return note if {"facts", "sha256"} <= note.keys() and isinstance(note["facts"], dict) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _note_place(task: Task) -> Path:
    return task.out / NOTES / f"{task.job.name}.json"


def _place(task: Task) -> Path:
    return task.out / PREDICTIONS / f"{task.job.name}.{task.to}"


def _intact(place: Path, digest: str) -> bool:
    try:
        return _digest_of(place) == digest
    except OSError:
        return False


def _digest_of(place: Path) -> str:
    """Return a SHA-256 of a file, or of all files of a folder and their names."""
    total = hashlib.sha256()
    files = sorted(p for p in place.rglob("*") if p.is_file()) if place.is_dir() else [place]
    for file in files:
        total.update(str(file.relative_to(place)).encode())
        with file.open("rb") as opened:
            total.update(hashlib.file_digest(opened, "sha256").digest())
    return total.hexdigest()


@lru_cache(maxsize=2)
def _loaded(folder: Path, digest: str) -> Model:
    """Load a model once for each process; it must still be the one that the batch began with."""
    model = load_model(folder)
    if model.whole_digest() != digest:
        raise InputError(f"{folder}: the model was changed while the batch ran; start it again")
    return model


def _may_pass(error: BaseException) -> bool:
    """Say whether a fault, or what it came of, may be gone in a moment."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, (MemoryError, TimeoutError)) or getattr(seen, "errno", None) in MAY_PASS:
            return True
        seen = seen.__cause__ or seen.__context__
    return False


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, SpikeSorterError) else f"{type(error).__name__}: {error}"


def _failed(task: Task, reason: str, seconds: float, attempts: int) -> Outcome:
    return Outcome(
        name=task.job.name,
        recording=str(task.job.recording),
        state="failed",
        reason=" ".join(reason.split()),
        seconds=round(seconds, 3),
        peak_mb=_peak_mb(),
        attempts=attempts,
    )


def _lost(task: Task, error: BaseException | None) -> Outcome:
    return _failed(task, f"its worker died each time ({type(error).__name__}); too little memory?", 0.0, 0)


def _peak_mb() -> float:
    """Return the most memory that this process has used, 0 where that cannot be known."""
    try:
        import resource
    except ImportError:  # Windows
        return 0.0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1 << 20 if sys.platform == "darwin" else 1 << 10), 1)
