"""Sort files with a model, and report on them."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from spikesorter.core.cores import effective_n_jobs, in_threads
from spikesorter.core.errors import naming
from spikesorter.core.progress import Progress, prefixed, silent
from spikesorter.core.spikes import Spikes
from spikesorter.io.atomic import check_writable, in_turn, write_json
from spikesorter.io.events import Clock, Events, events_by_name
from spikesorter.io.export import check_export, check_export_place, session_for
from spikesorter.io.recording import OpenedRecording, RecordingOptions
from spikesorter.report.contents import report_contents
from spikesorter.report.kept_results import SORT, discovered_as, known_sorts, sort_facts
from spikesorter.report.page import write_page
from spikesorter.report.peri_events import write_peri_events
from spikesorter.report.results import (
    REPORT,
    Result,
    opened_when_read,
    results_of,
)
from spikesorter.sorting.model import Choice, Model
from spikesorter.sorting.sorter import SPAN_SECONDS, Sorter
from spikesorter.workflows.one_recording import (
    WRITING,
    SortedFile,
    sort_recording,
)
from spikesorter.workflows.recordings import CheckedRecording, keep_open, recording_parts

__all__ = ["checked_results", "given_events", "sort_files"]

LOCK = ".lock"
SPANS = ".spans"  # subfolder of results for finished spans during a resumable run


def sort_files(
    paths: list[Path],
    model: Model,
    out: Path,
    *,
    to: str = "mat",
    options: RecordingOptions | None = None,
    found: Mapping[str, Spikes] | None = None,
    n_jobs: int | None = None,
    span_seconds: float = SPAN_SECONDS,
    resume: bool = False,
    events: Path | None = None,
    report: bool = True,
    subject: Path | None = None,
    progress: Progress = silent,
    on_result: Callable[[SortedFile], None] = lambda one: None,
) -> list[SortedFile]:
    """Sort recordings, each by the sorter adapted to the most similar noise and gain.

    Several recordings are sorted in parallel, each in one thread. A single recording is sorted span by span,
    in several threads. This does not affect the results.

    Parameters
    ----------
    paths : list of Path
        If one has several segments and the options choose none, each is sorted and has its own result,
        NAME-segment0, NAME-segment1, ...
    model : Model
        From `load_model`.
    out : Path
        Folder for one file or folder NAME.FORMAT for each recording, `sort.json`, which states the inputs of
        each, and `report.html`.
    to : str
        Format of the results; see `write_spikes`.
    options : RecordingOptions, optional
        Options of `read_recording`.
    found : mapping of str to Spikes, optional
        Spikes of recordings, by name, which this model found before; these are not sorted again.
    n_jobs : int, optional
        Number of threads; -1 or None: one on each core.
    span_seconds : float
        Length of the spans in which a recording is read.
    resume : bool
        Whether to keep finished spans in the folder `.spans` until all recordings are done, and to use those
        left there by an interrupted run.
    events : Path, optional
        Events of the recording, or a folder with a file of each recording's (`events_by_name`). They are
        shown in the report, and NAME-events.csv lists the spikes around each.
    report : bool
        Whether to write `report.html`.
    subject : Path, optional
        File that describes subject, session and electrodes, for NWB.
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
    session = None if subject is None else session_for(to, subject)
    n_jobs = effective_n_jobs(n_jobs)
    names, chosen_options = recording_parts(paths, options or RecordingOptions())
    if options is not None and options.exclude is not None:
        options.exclude.check(list(names))
    at_once = min(n_jobs, len(names))
    checked, chosen = _check_recordings(names, model, out, to, chosen_options, at_once, progress)
    given = given_events(events, checked)
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
            found=(found or {}).get(name),
            n_jobs=n_jobs // at_once,
            span_seconds=span_seconds,
            resume=spans / name if resume else None,
            session=session,
            progress=prefixed(name, progress),
        )
        with WRITING, in_turn(out / LOCK):
            facts = sort_facts(
                Path(place.name), names[name], model, chosen_options[name], one.chosen, one.left_out
            )
            known = known_sorts(out) | {name: facts}
            own = {one: known.pop(one) for one in names if one in known}  # in order, whichever is ready first
            write_json(out / SORT, {"recordings": known | own})
        return one

    done = {}
    for name, one in zip(names, in_threads(sort, list(names), n_jobs=at_once), strict=True):
        done[name] = one
        on_result(one)
    for name in names:  # those of other runs into the same folder are kept
        shutil.rmtree(spans / name, ignore_errors=True)
    if spans.is_dir() and not any(spans.iterdir()):
        spans.rmdir()
    for name, times in given.items():
        found_here = done[name].spikes  # samples of the file, which may have another rate than the model
        write_peri_events(
            out / f"{name}-events.csv", found_here, times, fs_hz=found_here.fs_hz or model.fs_hz
        )
    if report:
        progress("writing the report", 0.0)
        shown = [
            result
            for name, one in done.items()
            for result in checked_results(name, checked[name], one.spikes, one.sorters, one.place, model)
        ]
        write_page(
            out / REPORT, report_contents(f"Sorted with {model.folder.resolve().name}", shown, events=given)
        )
        progress("writing the report", 1.0)
    return list(done.values())


def _check_recordings(
    names: Mapping[str, Path],
    model: Model,
    out: Path,
    to: str,
    options: Mapping[str, RecordingOptions],
    at_once: int,
    progress: Progress,
) -> tuple[dict[str, CheckedRecording], dict[str, Choice]]:
    """Open recordings in parallel; return them and, for each, the most similar targets by group."""

    def check(name: str) -> tuple[OpenedRecording, Choice]:
        opened = options[name].open(names[name], fs_hz=model.fs_hz)
        check_export_place(out / f"{name}.{to}", to)
        with naming(names[name]):
            opened = model.without_found_pulses(opened)
            return opened, model.nearest(opened.recording, exclude=opened.exclude)

    chosen: dict[str, Choice] = {}

    def opened() -> Iterator[OpenedRecording]:
        for name, (one, nearest) in zip(names, in_threads(check, list(names), n_jobs=at_once), strict=True):
            chosen[name] = nearest
            progress("checking files", len(chosen) / len(names))
            yield one

    return dict(zip(names, keep_open(opened()), strict=True)), chosen


def given_events(events: Path | None, checked: Mapping[str, CheckedRecording]) -> dict[str, Events]:
    """Read the events of recordings, by name, before anything is sorted; none if no place is given.

    Raises
    ------
    InputError
        As for `events_by_name`.
    """
    if events is None:
        return {}
    return events_by_name(events, {name: _clock(one) for name, one in checked.items()})


def _clock(checked: CheckedRecording) -> Clock:
    source = checked.open().source
    fs_hz = float(source.get_sampling_frequency())
    return Clock(fs_hz, source.get_num_frames() / fs_hz, float(source.get_start_time(0)))


def checked_results(
    name: str,
    checked: CheckedRecording,
    spikes: Spikes,
    sorters: Mapping[str, Sorter],
    place: Path,
    model: Model | None = None,
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
    model : Model, optional
        As for `opened_when_read`.

    Returns
    -------
    list of Result
    """
    kept = checked.kept
    read = (
        opened_when_read(checked.path, checked.options, model, fs_hz=checked.fs_hz)
        if kept is None
        else lambda: kept.recording
    )
    discovered = None if model is None else discovered_as(place.parent, model.folder, checked.path)
    given = (name, read, checked.n_samples, spikes, sorters, place)
    return results_of(*given, truth=truth, discovered=discovered)
