"""Train a model on a labelled recording and targets."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from spikesorter.core.cores import effective_n_jobs
from spikesorter.core.errors import naming
from spikesorter.core.progress import Progress, silent
from spikesorter.core.settings import Settings
from spikesorter.io.atomic import check_writable
from spikesorter.io.formats import stem_of
from spikesorter.io.mat_writing import check_replaceable
from spikesorter.io.model_files import check_model_place
from spikesorter.io.recording import RecordingOptions
from spikesorter.sorting.groups import channel_groups, fit_groups, group_of_channels
from spikesorter.sorting.model_places import (
    WHOLE,
    check_group_places,
    group_place,
    target_place,
    write_channels,
)
from spikesorter.sorting.sorter import Sorter
from spikesorter.workflows.recordings import (
    LabelledRecording,
    LabelOptions,
    open_labelled,
    open_targets,
    unique_names,
)
from spikesorter.workflows.targets import TargetTask, running, targets_at_once

__all__ = ["check_places", "fit_labelled", "train_model"]

OnSorter = Callable[[str, Sorter], None]
OnDead = Callable[[str, str], None]


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
    on_dead: OnDead = lambda name, why: None,
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
        Number of threads; -1 or None: one on each core. With 2 or more, so many targets are adapted to at
        once, each in a process. It does not affect the result.
    progress : callable, optional
    on_sorter : callable, optional
        Called with the name and the sorter of the labelled recording, then of each target when it is done.
    on_dead : callable, optional
        Called with the name of a target's group of channels with nothing to sort, to which no sorter is
        adapted, and why.

    Raises
    ------
    InputError
        If a file cannot be used or two targets have the same name. All files are opened and checked before
        anything is written. An error in one target is raised when the others are done.
    SettingsError
        If `n_jobs` is invalid.
    """
    n_jobs, names = effective_n_jobs(n_jobs), unique_names(targets)
    if options is not None and options.exclude is not None:
        options.exclude.check([options.name_of(path) for path in (labelled, *names.values())])
    known = open_labelled(labelled, settings, labels=labels, options=options, reading=reading)
    opened = open_targets(names, known, settings, options=options, progress=progress)
    if by_group:
        check_group_places(model, list(channel_groups(known.opened.recording)))
        check_writable(model.parent)
    else:
        check_places(model, [])
    at_once = 1
    if opened:
        channels = known.opened.recording.get_num_channels()
        at_once = targets_at_once([one.n_samples * channels for one in opened.values()], n_jobs=n_jobs)
    with running(at_once, progress) as run:
        fit = _fit_groups if by_group else _fit_whole
        fitted = fit(known, model, settings, n_jobs=n_jobs, progress=progress)
        for group, sorter in fitted.items():
            on_sorter(_part(stem_of(labelled), group), sorter)
        tasks = [
            TargetTask(name, target, model, n_jobs // at_once, groups=tuple(fitted), live=live)
            for name, target in opened.items()
        ]
        for done in run(tasks):
            for group in fitted:
                part = _part(done.name, group)
                if group in done.lacking:
                    on_dead(part, done.lacking[group])
                else:
                    on_sorter(part, Sorter.load(target_place(group_place(model, group), done.name)))


def _part(name: str, group: str) -> str:
    """Return the name of a recording, or of a group of its channels."""
    return name if group == WHOLE else f"{name}, group {group}"


def _fit_whole(
    labelled: LabelledRecording, model: Path, settings: Settings, *, n_jobs: int, progress: Progress
) -> dict[str, Sorter]:
    """Fit a sorter for all channels, and save it."""
    fitted = fit_labelled(labelled, settings, n_jobs=n_jobs, progress=progress)
    fitted.save(model)
    return {WHOLE: fitted}


def _fit_groups(
    labelled: LabelledRecording, model: Path, settings: Settings, *, n_jobs: int, progress: Progress
) -> dict[str, Sorter]:
    """Fit a sorter to each group of channels, and save them."""
    recording = labelled.opened.recording
    labelled.warn_of_rate()
    with naming(labelled.opened.path):
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
    return fitted


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
