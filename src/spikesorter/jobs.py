"""Jobs on files: train a model, sort recordings with it, score predictions."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from spikesorter.config import Settings
from spikesorter.errors import InputError, ModelError, naming
from spikesorter.evaluate import Score, score
from spikesorter.io.atomic import check_writable
from spikesorter.io.mat import check_replaceable, read_mat, read_mat_fs, read_mat_spikes, write_mat
from spikesorter.io.model import check_model_place
from spikesorter.progress import Progress, silent
from spikesorter.recordings import shortest_samples
from spikesorter.sorter import Sorter, nearest_sorter
from spikesorter.spikes import Spikes

__all__ = [
    "TARGETS",
    "check_places",
    "check_targets",
    "fit_file",
    "load_sorters",
    "prefixed",
    "score_files",
    "sort_files",
    "train_model",
    "unpredicted",
]

TARGETS = "targets"
"""Folder inside a model that holds the sorter adapted to each target."""
LABELLED = "(labelled)"


def train_model(
    labelled: Path, targets: list[Path], model: Path, settings: Settings, *, progress: Progress = silent
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
    progress : callable, optional

    Raises
    ------
    InputError
        If a file cannot be used or two targets have one name.
    """
    names = _unique_names(targets)
    check_targets(labelled, targets, settings)
    check_places(model, [])
    fitted = fit_file(labelled, settings, progress)
    fitted.save(model)
    for name, path in names.items():
        target, _ = read_mat(path, fs_hz=fitted.fs_hz)
        with naming(path):
            fitted.adapt(target, progress=prefixed(name, progress)).save(model / TARGETS / name)


def load_sorters(model: Path) -> dict[str, Sorter]:
    """Load the sorters of a model folder by target name; the fitted one itself is "(labelled)".

    Raises
    ------
    ModelError
        If the folder holds no model or a damaged one.
    """
    if not model.is_dir():
        raise ModelError(f"{model}: no such model folder; make one with `spikesorter train` or `run`")
    folder = model / TARGETS
    adapted = sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    named = {path.name: Sorter.load(path) for path in adapted if not path.name.startswith(".")}
    return {LABELLED: Sorter.load(model), **named}


def sort_files(
    paths: list[Path],
    sorters: dict[str, Sorter],
    out: Path,
    *,
    progress: Progress = silent,
    on_result: Callable[[Path, Spikes, str], None] = lambda path, spikes, name: None,
) -> None:
    """Sort recordings, each by the sorter that was adapted to noise and gain most like its own.

    Parameters
    ----------
    paths : list of Path
    sorters : dict of str to Sorter
        From `load_sorters`.
    out : Path
        Gets one `.mat` file for each recording, of the same name.
    progress : callable, optional
    on_result : callable, optional
        Told the file, its spikes and the name of the sorter used.

    Raises
    ------
    InputError
        If a file cannot be used; all are read and checked before anything is written.
    """
    fs_hz = next(iter(sorters.values())).fs_hz
    chosen = {}
    names = _unique_names(paths)
    for name, path in names.items():
        recording, _ = read_mat(path, fs_hz=fs_hz)
        check_replaceable(out / f"{name}.mat")
        with naming(path):
            chosen[name] = nearest_sorter(sorters, recording)
        progress("checking files", len(chosen) / len(paths))
    check_writable(out)
    for name, path in names.items():
        recording, _ = read_mat(path, fs_hz=fs_hz)
        with naming(path):
            spikes = sorters[chosen[name]].sort(recording, progress=prefixed(name, progress))
        write_mat(out / f"{name}.mat", spikes, unknown=True)  # there are some only if marking was asked for
        on_result(path, spikes, chosen[name])


def score_files(predictions: Path, truth: Path, *, fs_hz: float | None = None) -> dict[str, Score]:
    """Score a file of predictions, or a folder of them, against the truth.

    Parameters
    ----------
    predictions, truth : Path
        Two files, or two folders with files of the same names. Of folders, every file of `predictions`
        is scored, and each needs its truth.
    fs_hz : float, optional
        Sampling rate, where the truth does not state `fs`; 25,000 if not given.

    Returns
    -------
    dict of str to Score
        In order of the names' numbers.

    Raises
    ------
    InputError
        If a file is missing or cannot be used.
    """
    if predictions.is_dir() != truth.is_dir():
        raise InputError(f"{predictions} and {truth}: give two files or two folders")
    found = {predictions.stem: predictions}
    if predictions.is_dir():
        paths = [path for path in predictions.glob("*.mat") if not path.name.startswith(".")]
        found = {path.stem: path for path in sorted(paths, key=_by_number)}
    if not found:
        raise InputError(f"{predictions}: holds no .mat files")
    scores = {}
    for name, path in found.items():
        answer = truth / path.name if truth.is_dir() else truth
        rate = read_mat_fs(answer, default_hz=fs_hz)
        scores[name] = score(read_mat_spikes(path), read_mat_spikes(answer), fs_hz=rate)
    return scores


def unpredicted(predictions: Path, truth: Path) -> list[str]:
    """Return the names of the targets in a folder of truth that a folder of predictions lacks."""
    if not truth.is_dir():
        return []
    wanted = (path for path in truth.glob("*.mat") if path.stem != "D1")
    return [path.stem for path in sorted(wanted, key=_by_number) if not (predictions / path.name).is_file()]


def check_targets(labelled: Path, targets: list[Path], settings: Settings) -> None:
    """Read all recordings and refuse those that cannot be worked with, before hours are spent."""
    recording, truth = read_mat(labelled, fs_hz=settings.fs_hz)
    if truth is None or len(truth) == 0:
        raise InputError(f"{labelled}: has no labels (variables Index and Class)")
    fs_hz, channels = recording.get_sampling_frequency(), recording.get_num_channels()
    shortest = shortest_samples(settings)
    for path in (labelled, *targets):
        target, _ = read_mat(path, fs_hz=fs_hz)
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


def fit_file(labelled: Path, settings: Settings, progress: Progress) -> Sorter:
    """Read a labelled recording and fit a sorter to it."""
    recording, truth = read_mat(labelled, fs_hz=settings.fs_hz)
    if truth is None:
        raise InputError(f"{labelled}: has no labels (variables Index and Class)")
    with naming(labelled):
        return Sorter.fit(recording, truth, settings=settings, progress=progress)


def _unique_names(paths: list[Path]) -> dict[str, Path]:
    """Return files by their names without ending; results are named so, so two must not share one."""
    names: dict[str, Path] = {}
    for path in paths:
        if path.stem in names:
            raise InputError(f"{path}: has the same name as {names[path.stem]}; their results would collide")
        names[path.stem] = path
    return names


def _by_number(path: Path) -> tuple[list[int], str]:
    """D10 after D9."""
    return [int(digits) for digits in re.findall(r"\d+", path.stem)], path.stem


def prefixed(name: str, progress: Progress) -> Progress:
    """Return a progress callback that puts a recording's name before each step."""
    return lambda step, done: progress(f"{name}: {step}", done)
