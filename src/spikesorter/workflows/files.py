"""Train a model on files, and sort files with it."""

from __future__ import annotations

import hashlib
import json
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spikesorter.core.cores import effective_n_jobs
from spikesorter.core.errors import InputError, naming
from spikesorter.core.progress import Progress, prefixed, silent
from spikesorter.core.settings import Settings
from spikesorter.core.spikes import Spikes
from spikesorter.decoding.run import in_threads
from spikesorter.io.atomic import check_writable, in_turn, write_json
from spikesorter.io.export import check_export, check_export_place, write_spikes
from spikesorter.io.formats import stem_of
from spikesorter.io.mat_writing import check_replaceable
from spikesorter.io.model_files import check_model_place
from spikesorter.io.nwb import session_start_of
from spikesorter.io.recording import OpenedRecording, RecordingOptions
from spikesorter.report.contents import report_contents
from spikesorter.report.page import write_page
from spikesorter.report.results import (
    REPORT,
    SORT,
    Result,
    known_sorts,
    opened_when_read,
    results_of,
    sort_facts,
)
from spikesorter.sorting.groups import adapt_groups, channel_groups, fit_groups
from spikesorter.sorting.model import Model, check_group_places, group_place, target_place
from spikesorter.sorting.sorter import SPAN_SECONDS, Sorter
from spikesorter.workflows.recordings import (
    CheckedRecording,
    LabelledRecording,
    LabelOptions,
    keep_open,
    open_labelled,
    open_targets,
    unique_names,
)

__all__ = [
    "SortedFile",
    "check_places",
    "checked_results",
    "fit_labelled",
    "sort_files",
    "sort_recording",
    "stamp_of",
    "train_model",
]

OnSorter = Callable[[str, Sorter], None]
WRITING = threading.Lock()  # SpikeInterface and pynwb are not thread-safe
LOCK = ".lock"
SPANS = ".spans"  # subfolder of results for finished spans during a resumable run


@dataclass(frozen=True, eq=False)
class SortedFile:
    """The result of one recording.

    Parameters
    ----------
    path : Path
    spikes : Spikes
        Found spikes, as samples of the file.
    chosen : mapping of str to str
        The target that the sorter of each group of channels was adapted to.
    sorters : mapping of str to Sorter
        Sorters used, by group of channels.
    place : Path
        File or folder of the spikes.
    """

    path: Path
    spikes: Spikes
    chosen: Mapping[str, str]
    sorters: Mapping[str, Sorter]
    place: Path

    @property
    def adapted_to(self) -> str:
        """The targets that the sorters were adapted to, as text."""
        return ", ".join(dict.fromkeys(self.chosen.values()))


def train_model(
    labelled: Path,
    targets: list[Path],
    model: Path,
    settings: Settings,
    *,
    labels: Path | None = None,
    options: RecordingOptions | None = None,
    reading: LabelOptions | None = None,
    by_group: bool = False,
    n_jobs: int | None = None,
    progress: Progress = silent,
    on_sorter: OnSorter = lambda name, sorter: None,
) -> None:
    """Fit to a labelled recording, adapt to targets, and save all sorters in one model folder.

    Parameters
    ----------
    labelled : Path
    targets : list of Path
        Targets are named by their file names without ending.
    model : Path
        Folder for the fitted sorter and, under `targets/NAME`, the adapted ones.
    settings : Settings
    labels : Path, optional
        Labels in any format; those in the recording's own file if not given.
    options : RecordingOptions, optional
        Options of `read_recording`, for the labelled recording and the targets.
    reading : LabelOptions, optional
        How the labels are read.
    by_group : bool
        Whether to fit a sorter to each group of channels (property `group`).
    n_jobs : int, optional
        Number of threads; -1 or None: one on each core. It does not affect the result.
    progress : callable, optional
    on_sorter : callable, optional
        Called with the name and the sorter of the labelled recording, then of each target.

    Raises
    ------
    InputError
        If a file cannot be used or two targets have the same name. All files are opened and checked before
        anything is written.
    SettingsError
        If `n_jobs` is invalid.
    """
    n_jobs, names = effective_n_jobs(n_jobs), unique_names(targets)
    known = open_labelled(labelled, settings, labels=labels, options=options, reading=reading)
    opened = open_targets(names, known, settings, options=options, progress=progress)
    if by_group:
        _train_groups(known, opened, model, settings, n_jobs, progress, on_sorter)
        return
    check_places(model, [])
    fitted = fit_labelled(known, settings, n_jobs=n_jobs, progress=progress)
    fitted.save(model)
    on_sorter(stem_of(labelled), fitted)
    for name, target in opened.items():
        recording = target.open().recording
        with naming(target.path):
            adapted = fitted.adapt(recording, n_jobs=n_jobs, progress=prefixed(name, progress))
        adapted.save(target_place(model, name))
        on_sorter(name, adapted)


def _train_groups(
    labelled: LabelledRecording,
    targets: Mapping[str, CheckedRecording],
    model: Path,
    settings: Settings,
    n_jobs: int,
    progress: Progress,
    on_sorter: OnSorter,
) -> None:
    path, recording = labelled.opened.path, labelled.opened.recording
    check_group_places(model, list(channel_groups(recording)))
    check_writable(model.parent)
    with naming(path):
        fitted = fit_groups(recording, labelled.labels, settings=settings, n_jobs=n_jobs, progress=progress)
    for group, sorter in fitted.items():
        sorter.save(group_place(model, group))
        on_sorter(f"{stem_of(path)}, group {group}", sorter)
    for name, target in targets.items():
        opened = target.open().recording
        with naming(target.path):
            adapted = adapt_groups(fitted, opened, n_jobs=n_jobs, progress=prefixed(name, progress))
        for group, sorter in adapted.items():
            sorter.save(target_place(group_place(model, group), name))
            on_sorter(f"{name}, group {group}", sorter)


def sort_files(
    paths: list[Path],
    model: Model,
    out: Path,
    *,
    to: str = "mat",
    options: RecordingOptions | None = None,
    n_jobs: int | None = None,
    span_seconds: float = SPAN_SECONDS,
    resume: bool = False,
    report: bool = True,
    progress: Progress = silent,
    on_result: Callable[[SortedFile], None] = lambda one: None,
) -> list[SortedFile]:
    """Sort recordings, each by the sorter adapted to the most similar noise and gain.

    Several recordings are sorted in parallel, each in one thread. A single recording is sorted span by span,
    in several threads. This does not affect the results.

    Parameters
    ----------
    paths : list of Path
    model : Model
        From `load_model`.
    out : Path
        Folder for one file or folder NAME.FORMAT for each recording, `sort.json`, which states the inputs of
        each, and `report.html`.
    to : str
        Format of the results; see `write_spikes`.
    options : RecordingOptions, optional
        Options of `read_recording`.
    n_jobs : int, optional
        Number of threads; -1 or None: one on each core.
    span_seconds : float
        Length of the spans in which a recording is read.
    resume : bool
        Whether to keep finished spans in the folder `.spans` until all recordings are done, and to use those
        left there by an interrupted run.
    report : bool
        Whether to write `report.html`.
    progress : callable, optional
    on_result : callable, optional
        Called with each recording's result as soon as it is known.

    Returns
    -------
    list of SortedFile

    Raises
    ------
    InputError
        If a file cannot be used. All files are opened and checked before anything is written.
    SettingsError
        If `n_jobs` is invalid.
    """
    check_export(to)
    n_jobs, options, names = effective_n_jobs(n_jobs), options or RecordingOptions(), unique_names(paths)
    at_once = min(n_jobs, len(names))
    checked, chosen = _check_recordings(names, model, out, to, options, at_once, progress)
    check_writable(out)
    (out / REPORT).unlink(missing_ok=True)  # an earlier run's report must not remain
    spans = out / SPANS

    def sort(name: str) -> SortedFile:
        place = out / f"{name}.{to}"
        one = sort_recording(
            checked[name].open(),
            place,
            model,
            to=to,
            chosen=chosen[name],
            n_jobs=n_jobs // at_once,
            span_seconds=span_seconds,
            resume=spans / name if resume else None,
            progress=prefixed(name, progress),
        )
        with WRITING, in_turn(out / LOCK):
            facts = sort_facts(Path(place.name), names[name], model, options, chosen[name])
            write_json(out / SORT, {"recordings": known_sorts(out) | {name: facts}})
        return one

    done = {}
    for name, one in zip(names, in_threads(sort, list(names), n_jobs=at_once), strict=True):
        done[name] = one
        on_result(one)
    for name in names:  # those of other runs into the same folder are kept
        shutil.rmtree(spans / name, ignore_errors=True)
    if spans.is_dir() and not any(spans.iterdir()):
        spans.rmdir()
    if report:
        progress("writing the report", 0.0)
        shown = [
            result
            for name, one in done.items()
            for result in checked_results(name, checked[name], one.spikes, one.sorters, one.place)
        ]
        write_page(out / REPORT, report_contents(f"Sorted with {model.folder.resolve().name}", shown))
        progress("writing the report", 1.0)
    return list(done.values())


def _check_recordings(
    names: Mapping[str, Path],
    model: Model,
    out: Path,
    to: str,
    options: RecordingOptions,
    at_once: int,
    progress: Progress,
) -> tuple[dict[str, CheckedRecording], dict[str, dict[str, str]]]:
    """Open recordings in parallel; return them and, for each, the most similar targets by group."""

    def check(name: str) -> tuple[OpenedRecording, dict[str, str]]:
        opened = options.open(names[name], fs_hz=model.fs_hz)
        check_export_place(out / f"{name}.{to}", to)
        with naming(names[name]):
            return opened, model.nearest(opened.recording)

    chosen: dict[str, dict[str, str]] = {}

    def opened() -> Iterator[OpenedRecording]:
        for name, (one, nearest) in zip(names, in_threads(check, list(names), n_jobs=at_once), strict=True):
            chosen[name] = nearest
            progress("checking files", len(chosen) / len(names))
            yield one

    return dict(zip(names, keep_open(opened()), strict=True)), chosen


def checked_results(
    name: str,
    checked: CheckedRecording,
    spikes: Spikes,
    sorters: Mapping[str, Sorter],
    place: Path,
    *,
    truth: Spikes | None = None,
) -> list[Result]:
    """Return a recording's results for the report; it is opened again only if it was not kept open.

    Parameters
    ----------
    name : str
    checked : CheckedRecording
    spikes, sorters, place, truth
        As for `results_of`.

    Returns
    -------
    list of Result
    """
    kept = checked.kept
    read = (
        opened_when_read(checked.path, checked.options, fs_hz=checked.fs_hz)
        if kept is None
        else lambda: kept.recording
    )
    return results_of(name, read, checked.n_samples, spikes, sorters, place, truth=truth)


def sort_recording(
    opened: OpenedRecording,
    place: Path,
    model: Model,
    *,
    to: str,
    chosen: Mapping[str, str] | None = None,
    n_jobs: int | None = None,
    span_seconds: float = SPAN_SECONDS,
    resume: Path | None = None,
    progress: Progress = silent,
) -> SortedFile:
    """Sort one recording and write its spikes.

    Parameters
    ----------
    opened : OpenedRecording
    place : Path
        File or folder for its spikes.
    model : Model
    to : str
        Format of the spikes.
    chosen : mapping of str to str, optional
        For each group, the target whose adapted sorter is used; the nearest if not given.
    resume : Path, optional
        Folder for finished spans. Those of the recording before it was changed are removed.
    n_jobs, span_seconds, progress
        As for `Sorter.sort`.

    Returns
    -------
    SortedFile

    Raises
    ------
    InputError
        If the recording cannot be used, or the spikes cannot be written.
    """
    path, recording = opened.path, opened.recording
    spans = None if resume is None else _spans_of(path, resume)
    with naming(path):
        nearest = model.nearest(recording) if chosen is None else chosen
        spikes = model.sort(
            recording, nearest, n_jobs=n_jobs, span_seconds=span_seconds, resume=spans, progress=progress
        )
    provenance = {
        "recording": str(path),
        "adapted_to": ", ".join(nearest.values()),
        "sorter": model.digest(nearest),
    }
    written = opened.to_source(spikes)
    with WRITING:
        write_spikes(
            place,
            written,
            format=to,
            recording=opened.source,
            provenance=provenance,
            session_start=session_start_of(path),
        )
    return SortedFile(path, written, nearest, model.chosen(nearest), place)


def stamp_of(path: Path) -> list[list[Any]]:
    """Return names, sizes and times of a recording's files, to detect changes.

    Raises
    ------
    InputError
        If there is no such file.
    """
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    try:
        return [[file.name, file.stat().st_size, file.stat().st_mtime_ns] for file in files]
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None


def _spans_of(path: Path, folder: Path) -> Path:
    """Return the folder for finished spans of a recording as it is now; remove those of before."""
    if folder.is_symlink():
        raise InputError(f"{folder}: is a link; finished spans are kept in the folder of results itself")
    place = folder / hashlib.sha256(json.dumps(stamp_of(path)).encode()).hexdigest()[:16]
    if folder.is_dir():
        for other in folder.iterdir():
            if other != place and other.is_dir() and not other.is_symlink():
                shutil.rmtree(other, ignore_errors=True)
    return place


def check_places(model: Path, predictions: list[Path]) -> None:
    """Check that results can be written, and replace only older results.

    Raises
    ------
    InputError
    """
    check_model_place(model)
    for path in predictions:
        check_replaceable(path)
    for folder in {model.parent, *(path.parent for path in predictions)}:
        check_writable(folder)


def fit_labelled(
    labelled: LabelledRecording,
    settings: Settings,
    *,
    n_jobs: int | None = None,
    progress: Progress = silent,
) -> Sorter:
    """Fit a sorter to a labelled recording; errors include its file name."""
    with naming(labelled.opened.path):
        return Sorter.fit(
            labelled.opened.recording, labelled.labels, settings=settings, n_jobs=n_jobs, progress=progress
        )
