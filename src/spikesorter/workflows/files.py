"""Jobs on files: train a model, sort recordings with it."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from spikesorter.core.errors import InputError, naming
from spikesorter.core.progress import Progress, prefixed, silent
from spikesorter.core.settings import Settings
from spikesorter.core.spikes import UNKNOWN, Spikes
from spikesorter.decoding.run import in_threads
from spikesorter.io.atomic import check_writable, write_json
from spikesorter.io.export import check_export, check_export_place, write_spikes
from spikesorter.io.formats import stem_of
from spikesorter.io.labels import own_labels, read_labels
from spikesorter.io.mat import check_replaceable
from spikesorter.io.model_files import check_model_place
from spikesorter.io.nwb import session_start_of
from spikesorter.io.recording import RecordingOptions
from spikesorter.io.samples import shortest_samples
from spikesorter.report.contents import report_contents
from spikesorter.report.page import write_page
from spikesorter.report.results import REPORT, SORT, Result, known_sorts, results_of, sort_facts
from spikesorter.sorting.groups import adapt_groups, channel_groups, fit_groups
from spikesorter.sorting.model import Model, check_group_places, group_place, target_place
from spikesorter.sorting.sorter import SPAN_SECONDS, Sorter, usable_cores

if TYPE_CHECKING:
    from spikeinterface import BaseRecording

__all__ = [
    "SortedFile",
    "check_places",
    "check_targets",
    "fit_file",
    "sort_files",
    "sort_recording",
    "train_model",
]

OnSorter = Callable[[str, Sorter], None]
WRITING = threading.Lock()  # SpikeInterface and pynwb were not made for several threads
SPANS = ".spans"  # finished ones, in the folder of results, while a resumable run goes on


@dataclass(frozen=True, eq=False)
class SortedFile:
    """What became of one recording.

    Parameters
    ----------
    path : Path
    options : RecordingOptions
        How it is read.
    spikes : Spikes
        What was found.
    chosen : mapping of str to str
        The target that the sorter of each group of channels was adapted to.
    sorters : mapping of str to Sorter
        Those used, by group of channels.
    place : Path
        Where the spikes are written.
    """

    path: Path
    options: RecordingOptions
    spikes: Spikes
    chosen: Mapping[str, str]
    sorters: Mapping[str, Sorter]
    place: Path

    @property
    def adapted_to(self) -> str:
        """The targets that the sorters used were adapted to, in words."""
        return ", ".join(dict.fromkeys(self.chosen.values()))

    def results(self) -> list[Result]:
        """Return what the report shows: one for each group of channels."""
        return results_of(stem_of(self.path), self.path, self.options, self.spikes, self.sorters, self.place)


def train_model(
    labelled: Path,
    targets: list[Path],
    model: Path,
    settings: Settings,
    *,
    labels: Path | None = None,
    options: RecordingOptions | None = None,
    by_group: bool = False,
    n_jobs: int | None = None,
    progress: Progress = silent,
    on_sorter: OnSorter = lambda name, sorter: None,
) -> None:
    """Fit to a labelled recording, adapt to targets, and save all of it in one model folder.

    Parameters
    ----------
    labelled : Path
    targets : list of Path
        The targets' names are their file names without ending.
    model : Path
        Gets the fitted sorter, and each adapted one under `targets/NAME`.
    settings : Settings
    labels : Path, optional
        Labels of any format; those of the recording's own file, if not given.
    options : RecordingOptions, optional
        How recordings are read, labelled one and targets alike.
    by_group : bool
        Whether each group of channels (property `group`) has a sorter of its own.
    n_jobs : int, optional
        Threads; all cores that this process may use, if not given. They change no result.
    progress : callable, optional
    on_sorter : callable, optional
        Told the name and the sorter of the labelled recording, then of each target.

    Raises
    ------
    InputError
        If a file cannot be used or two targets have one name.
    """
    names, options = _unique_names(targets), options or RecordingOptions()
    check_targets(labelled, targets, settings, labels=labels, options=options)
    if by_group:
        _train_groups(labelled, names, model, settings, labels, options, n_jobs, progress, on_sorter)
        return
    check_places(model, [])
    fitted = fit_file(labelled, settings, progress, n_jobs=n_jobs, labels=labels, options=options)
    fitted.save(model)
    on_sorter(stem_of(labelled), fitted)
    for name, path in names.items():
        target = options.read(path, fs_hz=fitted.fs_hz)
        with naming(path):
            adapted = fitted.adapt(target, n_jobs=n_jobs, progress=prefixed(name, progress))
        adapted.save(target_place(model, name))
        on_sorter(name, adapted)


def _train_groups(
    labelled: Path,
    targets: dict[str, Path],
    model: Path,
    settings: Settings,
    labels: Path | None,
    options: RecordingOptions,
    n_jobs: int | None,
    progress: Progress,
    on_sorter: OnSorter,
) -> None:
    recording, truth = _read_labelled(labelled, labels, settings, options)
    check_group_places(model, list(channel_groups(recording)))
    check_writable(model.parent)
    with naming(labelled):
        fitted = fit_groups(recording, truth, settings=settings, n_jobs=n_jobs, progress=progress)
    for group, sorter in fitted.items():
        sorter.save(group_place(model, group))
        on_sorter(f"{stem_of(labelled)}, group {group}", sorter)
    for name, path in targets.items():
        target = options.read(path, fs_hz=float(recording.get_sampling_frequency()))
        with naming(path):
            adapted = adapt_groups(fitted, target, n_jobs=n_jobs, progress=prefixed(name, progress))
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
    """Sort recordings, each by the sorter that was adapted to noise and gain most like its own.

    Several are sorted at once, each by one thread; a single one by all threads, span by span. Neither changes
    any result.

    Parameters
    ----------
    paths : list of Path
    model : Model
        From `load_model`.
    out : Path
        Gets one file or folder for each recording, of the same name, with the format as its ending;
        `sort.json`, which says what each was made from; and `report.html`.
    to : str
        Format of the results, see `write_spikes`.
    options : RecordingOptions, optional
        How recordings are read.
    n_jobs : int, optional
        Threads; all cores that this process may use, if not given.
    span_seconds : float
        Length of the spans that a recording is read in.
    resume : bool
        Keep finished spans in the folder `.spans` beside the results until all recordings are done, and go on
        from those that an interrupted run left there.
    report : bool
        Whether to write `report.html`.
    progress : callable, optional
    on_result : callable, optional
        Told each file's result as it comes.

    Returns
    -------
    list of SortedFile

    Raises
    ------
    InputError
        If a file cannot be used; all are read and checked before anything is written.
    """
    check_export(to)
    options = options or RecordingOptions()
    names = _unique_names(paths)
    n_jobs = n_jobs or usable_cores()
    at_once = min(n_jobs, len(names))

    def choose(name: str) -> dict[str, str]:
        recording = options.read(names[name], fs_hz=model.fs_hz)
        check_export_place(out / f"{name}.{to}", to)
        with naming(names[name]):
            return model.nearest(recording)

    chosen = {}
    for name, choice in zip(names, in_threads(choose, list(names), n_jobs=at_once), strict=True):
        chosen[name] = choice
        progress("checking files", len(chosen) / len(paths))
    check_writable(out)
    spans = out / SPANS

    (out / REPORT).unlink(missing_ok=True)  # an earlier run's must not be taken for this one's

    def sort(name: str) -> SortedFile:
        path, place = names[name], out / f"{name}.{to}"
        one = sort_recording(
            path,
            place,
            model,
            to=to,
            options=options,
            chosen=chosen[name],
            n_jobs=n_jobs // at_once,
            span_seconds=span_seconds,
            resume=spans / name if resume else None,
            progress=prefixed(name, progress),
        )
        with WRITING:
            facts = sort_facts(Path(place.name), path, model, options, chosen[name])
            write_json(out / SORT, {"recordings": known_sorts(out) | {name: facts}})
        return one

    done = []
    for one in in_threads(sort, list(names), n_jobs=at_once):
        done.append(one)
        on_result(one)
    for name in names:  # not those of another run into the same folder
        shutil.rmtree(spans / name, ignore_errors=True)
    if spans.is_dir() and not any(spans.iterdir()):
        spans.rmdir()
    if report:
        progress("writing the report", 0.0)
        shown = [result for one in done for result in one.results()]
        write_page(out / REPORT, report_contents(f"Sorted with {model.folder.resolve().name}", shown))
        progress("writing the report", 1.0)
    return done


def sort_recording(
    path: Path,
    place: Path,
    model: Model,
    *,
    to: str,
    options: RecordingOptions,
    chosen: Mapping[str, str] | None = None,
    n_jobs: int | None = None,
    span_seconds: float = SPAN_SECONDS,
    resume: Path | None = None,
    progress: Progress = silent,
) -> SortedFile:
    """Read one recording, sort it and write its spikes.

    Parameters
    ----------
    path, place : Path
        The recording, and where its spikes go.
    model : Model
    to : str
        Format of the spikes.
    options : RecordingOptions
    chosen : mapping of str to str, optional
        For each group the target whose adaptation is used; the nearest, if not given.
    n_jobs, span_seconds, resume, progress
        As for `Sorter.sort`.

    Returns
    -------
    SortedFile

    Raises
    ------
    InputError
        If the recording cannot be used or the spikes not be written.
    """
    recording = options.read(path, fs_hz=model.fs_hz)
    with naming(path):
        nearest = model.nearest(recording) if chosen is None else chosen
        spikes = model.sort(
            recording, nearest, n_jobs=n_jobs, span_seconds=span_seconds, resume=resume, progress=progress
        )
    provenance = {
        "recording": str(path),
        "adapted_to": ", ".join(nearest.values()),
        "sorter": model.digest(nearest),
    }
    with WRITING:
        write_spikes(
            place,
            spikes,
            format=to,
            recording=recording,
            provenance=provenance,
            session_start=session_start_of(path),
        )
    return SortedFile(path, options, spikes, nearest, model.chosen(nearest), place)


def check_targets(
    labelled: Path,
    targets: list[Path],
    settings: Settings,
    *,
    labels: Path | None = None,
    options: RecordingOptions | None = None,
) -> None:
    """Open all recordings and refuse those that cannot be worked with, before hours are spent."""
    options = options or RecordingOptions()
    recording, _ = _read_labelled(labelled, labels, settings, options)
    fs_hz, channels = recording.get_sampling_frequency(), recording.get_num_channels()
    shortest = shortest_samples(settings)
    for path in (labelled, *targets):
        target = options.read(path, fs_hz=fs_hz)
        if target.get_num_frames() < shortest:
            raise InputError(
                f"{path}: only {target.get_num_frames()} samples long; at least {shortest} are needed"
            )
        if target.get_sampling_frequency() != fs_hz:
            raise InputError(
                f"{path}: sampled at {target.get_sampling_frequency():g} Hz, but {labelled} at {fs_hz:g} Hz; "
                "resample one of them first"
            )
        if target.get_num_channels() != channels:
            raise InputError(
                f"{path}: has {target.get_num_channels()} channels, but {labelled} has {channels}"
            )


def check_places(model: Path, predictions: list[Path]) -> None:
    """Make sure that results can be written, and over nothing but older results, before hours are spent."""
    check_model_place(model)
    for path in predictions:
        check_replaceable(path)
    for folder in {model.parent, *(path.parent for path in predictions)}:
        check_writable(folder)


def fit_file(
    labelled: Path,
    settings: Settings,
    progress: Progress,
    *,
    n_jobs: int | None = None,
    labels: Path | None = None,
    options: RecordingOptions | None = None,
) -> Sorter:
    """Read a labelled recording and fit a sorter to it."""
    recording, truth = _read_labelled(labelled, labels, settings, options or RecordingOptions())
    with naming(labelled):
        return Sorter.fit(recording, truth, settings=settings, n_jobs=n_jobs, progress=progress)


def _read_labelled(
    path: Path, labels: Path | None, settings: Settings, options: RecordingOptions
) -> tuple[BaseRecording, Spikes]:
    """Read a recording and its labels: those of its own file, unless others are given."""
    is_mat = path.suffix.lower() == ".mat"
    recording = options.read(path, fs_hz=settings.recording.fs_hz if is_mat else None)
    rate, source = float(recording.get_sampling_frequency()), labels or path
    truth = read_labels(labels, fs_hz=rate) if labels else own_labels(path, fs_hz=rate, stream=options.stream)
    if truth is None or len(truth) == 0:
        variables = " (variables Index and Class)" if is_mat and not labels else ""
        raise InputError(
            f"{source}: has no labels{variables}{'' if labels else '; or give some by --labels'}"
        )
    if truth.fs_hz and abs(truth.fs_hz - rate) > 1e-6 * rate:
        raise InputError(f"{source}: labels count at {truth.fs_hz:g} Hz, but {path} is at {rate:g} Hz")
    return recording, truth.select(truth.unit != UNKNOWN)


def _unique_names(paths: list[Path]) -> dict[str, Path]:
    """Return recordings by their names without ending; results are named so, so two must not share one."""
    names: dict[str, Path] = {}
    for path in paths:
        name = stem_of(path)
        if name in names:
            raise InputError(f"{path}: has the same name as {names[name]}; their results would collide")
        names[name] = path
    return names
