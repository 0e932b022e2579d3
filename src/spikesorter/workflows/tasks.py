"""Sort one recording of a batch, with retries after transient faults, and record that it is done.

A task may be killed at any moment. Therefore a file gets its final name only when it is complete, and a
recording gets a note only when it is done.
"""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import shutil
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from spikesorter.core.errors import InputError, SpikeSorterError
from spikesorter.core.progress import Progress, silent
from spikesorter.core.versions import __version__
from spikesorter.io.atomic import write_json
from spikesorter.io.bad_table import remove_bad_table
from spikesorter.io.export import check_export_place
from spikesorter.io.session import SessionFacts
from spikesorter.sorting.each_group import doubts_about
from spikesorter.sorting.model import Model, load_model
from spikesorter.workflows.manifest import BatchItem
from spikesorter.workflows.one_recording import sort_recording, stamp_of

__all__ = [
    "NOTES",
    "PREDICTIONS",
    "SPANS",
    "Outcome",
    "SortTask",
    "note_of",
    "note_place",
    "remove",
    "remove_result",
    "settings_of",
    "sort_task",
]

logger = logging.getLogger(__name__)

PREDICTIONS, NOTES, SPANS = "predictions", ".batch", ".spans"
RETRIES = 2
WAIT_SECONDS = 1.0
TRANSIENT = {
    getattr(errno, name)
    for name in ("EAGAIN", "EBUSY", "EINTR", "EIO", "EMFILE", "ENETDOWN", "ENETUNREACH", "ENFILE", "ENOMEM",
                 "ESTALE", "ETIMEDOUT", "EREMOTEIO")
    if hasattr(errno, name)
}  # fmt: skip

State = Literal["done", "kept", "failed"]


@dataclass(frozen=True)
class Outcome:
    """The outcome of one recording.

    Parameters
    ----------
    name, recording : str
    state : {"done", "kept", "failed"}
        kept: sorted by an earlier run.
    reason : str
        Reason for the failure.
    result : str
        Path of the spikes, relative to the batch's folder.
    spikes : int
    forecast : dict
        For each group of channels: expected `score`, `low`, `high`; none if it is unlike what its sorter was
        adapted to, or dead.
    adapted_to : dict
        For each group, the target that its sorter was adapted to.
    seconds : float
        Time taken.
    peak_mb : float
        Peak memory of its process so far, MB.
    attempts : int
    bad_s : dict
        Length of its bad stretches by kind, in seconds.
    doubts : tuple of str
        Why groups have no forecast.
    left_out : dict
        Ids of broken channels that were left out, for each group that has some.
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
    bad_s: Mapping[str, float] = field(default_factory=dict)
    doubts: tuple[str, ...] = ()
    left_out: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class SortTask:
    """A recording of a batch and how to sort it; pickled for other processes and machines.

    Parameters
    ----------
    item : BatchItem
    out : Path
        Folder of the batch's results.
    to : str
        Format of the result.
    span_seconds : float
    n_jobs : int
        Threads.
    model_digest : str
        Digest of the model at the start of the batch.
    session : SessionFacts, optional
        Subject, session and electrodes, for NWB.
    """

    item: BatchItem
    out: Path
    to: str
    span_seconds: float
    n_jobs: int
    model_digest: str
    session: SessionFacts | None = None

    @property
    def name(self) -> str:
        """Name of the recording."""
        return self.item.name

    def lost(self, reason: str) -> Outcome:
        """Return the outcome if no process could finish it."""
        return _failed(self, reason, 0.0, 0)


def sort_task(task: SortTask, progress: Progress = silent) -> Outcome:
    """Sort one recording, unless it is already done.

    After a transient fault, such as a file server that does not answer, it is tried again, up to twice.

    Parameters
    ----------
    task : SortTask
    progress : callable, optional

    Returns
    -------
    Outcome
    """
    start = time.perf_counter()
    for attempt in range(1, RETRIES + 2):
        try:
            return _sorted(task, start, attempt, progress)
        except (SpikeSorterError, OSError, MemoryError) as error:
            if attempt > RETRIES or not _is_transient(error):
                return _failed(task, _reason(error), time.perf_counter() - start, attempt)
            time.sleep(WAIT_SECONDS * attempt)
        except Exception as error:  # in another library: this recording fails, the batch continues
            logger.exception("%s", task.item.recording)
            return _failed(task, _reason(error), time.perf_counter() - start, attempt)
    raise AssertionError("unreachable")


def settings_of(task: SortTask) -> dict[str, Any]:
    """Return the facts that all results in one folder must have in common."""
    told = {} if task.session is None else {"session": task.session.facts()}
    return {
        "version": __version__,
        "model": task.model_digest,
        "format": task.to,
        "options": json.loads(json.dumps(asdict(task.item.options))),
        **told,
    }


def note_of(task: SortTask) -> dict[str, Any] | None:
    """Return the note (`outcome`, `facts`, `sha256`) of a finished recording; None if it is not finished."""
    try:
        note = json.loads(note_place(task).read_text(encoding="utf-8"))
        Outcome(**note["outcome"])
        return note if {"facts", "sha256"} <= note.keys() and isinstance(note["facts"], dict) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def note_place(task: SortTask) -> Path:
    """Return the path of a recording's note.

    Examples
    --------
    >>> from spikesorter.io.recording import RecordingOptions
    >>> item = BatchItem("a", Path("night/a.ns5"), Path("model"), RecordingOptions())
    >>> task = SortTask(item, Path("out"), to="mat", span_seconds=60.0, n_jobs=1, model_digest="")
    >>> note_place(task).as_posix()
    'out/.batch/a.json'
    """
    return task.out / NOTES / f"{task.item.name}.json"


def remove_result(out: Path, note: Mapping[str, Any]) -> None:
    """Remove an earlier run's result, if it is unchanged, so that it is not mistaken for a new one."""
    place = out / PREDICTIONS / Path(note["outcome"]["result"]).name
    if _intact(place, note["sha256"]):
        remove(place)
        remove_bad_table(place)


def remove(place: Path) -> None:
    """Remove a file or a folder."""
    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place)
    else:
        place.unlink(missing_ok=True)


def _sorted(task: SortTask, start: float, attempt: int, progress: Progress) -> Outcome:
    item, place = task.item, _place(task)
    known, facts = note_of(task), _facts(task, item.recording)
    spans = task.out / SPANS / item.name
    if known is not None and known["facts"] == facts and _intact(place, known["sha256"]):
        shutil.rmtree(spans, ignore_errors=True)
        return Outcome(**known["outcome"] | {"state": "kept"})
    if known is not None:  # the recording or the settings have changed
        remove_result(task.out, known)
    check_export_place(place, task.to)
    model = _loaded(item.model, task.model_digest)
    one = sort_recording(
        item.options.open(item.recording, fs_hz=model.fs_hz),
        place,
        model,
        to=task.to,
        n_jobs=task.n_jobs,
        span_seconds=task.span_seconds,
        resume=spans,
        session=task.session,
        progress=progress,
    )
    if _facts(task, item.recording) != facts:
        remove(place)
        remove_bad_table(place)
        raise InputError(f"{item.recording}: changed during sorting; sort it again when it is complete")
    outcome = Outcome(
        name=item.name,
        recording=str(item.recording),
        state="done",
        result=str(place.relative_to(task.out)),
        spikes=len(one.spikes),
        forecast={
            group: {key: float(getattr(sorter.forecast, key)) for key in ("score", "low", "high")}
            for group, sorter in one.sorters.items()
            if not doubts_about(one.doubts, group)
        },
        adapted_to=dict(one.chosen),
        seconds=round(time.perf_counter() - start, 3),
        peak_mb=_peak_mb(),
        attempts=attempt,
        bad_s=one.bad_s,
        doubts=one.doubts,
        left_out=one.left_out,
    )
    note = {"facts": facts, "sha256": _digest_of(place), "outcome": asdict(outcome)}
    write_json(note_place(task), note)
    shutil.rmtree(spans, ignore_errors=True)
    return outcome


def _facts(task: SortTask, recording: Path) -> dict[str, Any]:
    facts = settings_of(task) | {"recording": str(recording), "stamp": stamp_of(recording)}
    excluded = task.item.options.exclude
    return facts if excluded is None else facts | {"excluded": excluded.digest(task.item.part)}


def _place(task: SortTask) -> Path:
    return task.out / PREDICTIONS / f"{task.item.name}.{task.to}"


def _intact(place: Path, digest: str) -> bool:
    try:
        return _digest_of(place) == digest
    except OSError:
        return False


def _digest_of(place: Path) -> str:
    """Return the SHA-256 of a file, or of a folder's files and their names."""
    total = hashlib.sha256()
    files = sorted(p for p in place.rglob("*") if p.is_file()) if place.is_dir() else [place]
    for file in files:
        total.update(str(file.relative_to(place)).encode())
        with file.open("rb") as opened:
            total.update(hashlib.file_digest(opened, "sha256").digest())
    return total.hexdigest()


@lru_cache(maxsize=2)
def _loaded(folder: Path, digest: str) -> Model:
    """Load a model once in each process; refuse one that has changed since the start of the batch."""
    model = load_model(folder, warn=False)  # the batch has said it
    if model.whole_digest() != digest:
        raise InputError(f"{folder}: the model changed during the batch; start the batch again")
    return model


def _is_transient(error: BaseException) -> bool:
    """Return whether a fault, or one of its causes, is transient."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, (MemoryError, TimeoutError)) or getattr(cause, "errno", None) in TRANSIENT:
            return True
        cause = cause.__cause__ or cause.__context__
    return False


def _failed(task: SortTask, reason: str, seconds: float, attempts: int) -> Outcome:
    return Outcome(
        name=task.item.name,
        recording=str(task.item.recording),
        state="failed",
        reason=" ".join(reason.split()),
        seconds=round(seconds, 3),
        peak_mb=_peak_mb(),
        attempts=attempts,
    )


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, SpikeSorterError) else f"{type(error).__name__}: {error}"


def _peak_mb() -> float:
    """Return the peak memory of this process in MB; 0 on Windows."""
    try:
        import resource
    except ImportError:  # Windows
        return 0.0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1 << 20 if sys.platform == "darwin" else 1 << 10), 1)
