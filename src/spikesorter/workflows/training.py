"""Train a model on a labelled recording and targets."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from spikesorter.core.cores import effective_n_jobs
from spikesorter.core.errors import naming
from spikesorter.core.progress import Progress, prefixed, silent
from spikesorter.core.settings import Settings
from spikesorter.io.atomic import check_writable
from spikesorter.io.formats import stem_of
from spikesorter.io.mat_writing import check_replaceable
from spikesorter.io.model_files import check_model_place
from spikesorter.io.recording import RecordingOptions
from spikesorter.sorting.groups import adapt_groups, channel_groups, fit_groups, group_of_channels
from spikesorter.sorting.model_places import (
    check_group_places,
    group_place,
    low_latency_place,
    target_place,
    write_channels,
)
from spikesorter.sorting.sorter import Sorter
from spikesorter.workflows.recordings import (
    CheckedRecording,
    LabelledRecording,
    LabelOptions,
    open_labelled,
    open_targets,
    unique_names,
)

__all__ = ["check_places", "fit_labelled", "train_model"]

OnSorter = Callable[[str, Sorter], None]


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
    live: bool = False,
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
    live : bool
        Whether to keep the low-latency sorter of each target as well, so that live sorting starts at once.
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
    if options is not None and options.exclude is not None:
        options.exclude.check([options.name_of(path) for path in (labelled, *names.values())])
    known = open_labelled(labelled, settings, labels=labels, options=options, reading=reading)
    opened = open_targets(names, known, settings, options=options, progress=progress)
    if by_group:
        _train_groups(known, opened, model, settings, n_jobs, progress, on_sorter, live=live)
        return
    check_places(model, [])
    fitted = fit_labelled(known, settings, n_jobs=n_jobs, progress=progress)
    fitted.save(model)
    on_sorter(stem_of(labelled), fitted)
    for name, target in opened.items():
        one, told = target.open(), prefixed(name, progress)
        with naming(target.path):
            adapted = fitted.adapt(one.recording, exclude=one.exclude, n_jobs=n_jobs, progress=told)
        _save(adapted, target_place(model, name), live=live, n_jobs=n_jobs, progress=told)
        on_sorter(name, adapted)


def _save(adapted: Sorter, place: Path, *, live: bool, n_jobs: int, progress: Progress) -> None:
    """Save an adapted sorter, and inside its folder the low-latency one, if wanted."""
    adapted.save(place)
    if live:
        prompt = adapted.low_latency(n_jobs=n_jobs, progress=prefixed("low latency", progress))
        prompt.save(low_latency_place(place))


def _train_groups(
    labelled: LabelledRecording,
    targets: Mapping[str, CheckedRecording],
    model: Path,
    settings: Settings,
    n_jobs: int,
    progress: Progress,
    on_sorter: OnSorter,
    *,
    live: bool,
) -> None:
    path, recording = labelled.opened.path, labelled.opened.recording
    check_group_places(model, list(channel_groups(recording)))
    check_writable(model.parent)
    labelled.warn_of_rate()
    with naming(path):
        fitted = fit_groups(
            recording,
            labelled.labels,
            settings=settings,
            exclude=labelled.opened.exclude,
            n_jobs=n_jobs,
            progress=progress,
        )
    channel_ids = [str(one) for one in recording.get_channel_ids()]
    for group in set(channel_groups(recording)) - set(fitted):  # of an older model
        shutil.rmtree(group_place(model, group), ignore_errors=True)
    for group, sorter in fitted.items():
        sorter.save(group_place(model, group))
    write_channels(model, group_of_channels(recording), channel_ids)
    for group, sorter in fitted.items():
        on_sorter(f"{stem_of(path)}, group {group}", sorter)
    for name, target in targets.items():
        one, told = target.open(), prefixed(name, progress)
        with naming(target.path):
            adapted = adapt_groups(fitted, one.recording, exclude=one.exclude, n_jobs=n_jobs, progress=told)
        for group, sorter in adapted.items():
            if sorter is fitted[group]:  # it is dead in this target
                continue
            place = target_place(group_place(model, group), name)
            _save(sorter, place, live=live, n_jobs=n_jobs, progress=told)
            on_sorter(f"{name}, group {group}", sorter)


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
    labelled.warn_of_rate()
    with naming(labelled.opened.path):
        return Sorter.fit(
            labelled.opened.recording,
            labelled.labels,
            settings=settings,
            exclude=labelled.opened.exclude,
            n_jobs=n_jobs,
            progress=progress,
        )
