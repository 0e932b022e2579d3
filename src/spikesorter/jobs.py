"""Jobs on files: train a model, sort recordings with it, score predictions."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy.typing as npt

from spikesorter.config import Settings
from spikesorter.decoding import in_threads
from spikesorter.errors import InputError, ModelError, naming
from spikesorter.evaluate import Score, score
from spikesorter.io.atomic import check_writable
from spikesorter.io.mat import check_replaceable, read_mat, read_mat_fs, read_mat_spikes, write_mat
from spikesorter.io.model import check_model_place
from spikesorter.listen import from_lsl, from_pipe, from_tcp
from spikesorter.progress import Progress, silent
from spikesorter.recordings import shortest_samples
from spikesorter.referee import Pairing, Verdict, referee
from spikesorter.sorter import SPAN_SECONDS, Sorter, nearest_sorter, usable_cores
from spikesorter.spikes import Spikes
from spikesorter.stream import Stream

__all__ = [
    "TARGETS",
    "check_places",
    "check_targets",
    "fit_file",
    "judge_files",
    "load_sorters",
    "open_source",
    "open_stream",
    "prefixed",
    "score_files",
    "sort_files",
    "train_model",
    "unpredicted",
]

TARGETS = "targets"
"""Folder inside a model that holds the sorter adapted to each target."""
LABELLED = "(labelled)"
SPANS = ".spans"  # finished ones, in the folder of results, while a resumable run goes on


def train_model(
    labelled: Path,
    targets: list[Path],
    model: Path,
    settings: Settings,
    *,
    jobs: int | None = None,
    progress: Progress = silent,
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
    jobs : int, optional
        Threads; all cores that this process may use, if not given. They change no result.
    progress : callable, optional

    Raises
    ------
    InputError
        If a file cannot be used or two targets have one name.
    """
    names = _unique_names(targets)
    check_targets(labelled, targets, settings)
    check_places(model, [])
    fitted = fit_file(labelled, settings, progress, jobs=jobs)
    fitted.save(model)
    for name, path in names.items():
        target, _ = read_mat(path, fs_hz=fitted.fs_hz)
        with naming(path):
            fitted.adapt(target, jobs=jobs, progress=prefixed(name, progress)).save(model / TARGETS / name)


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
    jobs: int | None = None,
    span_seconds: float = SPAN_SECONDS,
    resume: bool = False,
    progress: Progress = silent,
    on_result: Callable[[Path, Spikes, str], None] = lambda path, spikes, name: None,
) -> None:
    """Sort recordings, each by the sorter that was adapted to noise and gain most like its own.

    Several are sorted at once, each by one thread; a single one by all threads, span by span. Neither changes
    any result.

    Parameters
    ----------
    paths : list of Path
    sorters : dict of str to Sorter
        From `load_sorters`.
    out : Path
        Gets one `.mat` file for each recording, of the same name.
    jobs : int, optional
        Threads; all cores that this process may use, if not given.
    span_seconds : float
        Length of the spans that a recording is read in.
    resume : bool
        Keep finished spans in the folder `.spans` beside the results until all recordings are done, and go on
        from those that an interrupted run left there.
    progress : callable, optional
    on_result : callable, optional
        Told the file, its spikes and the name of the sorter used.

    Raises
    ------
    InputError
        If a file cannot be used; all are read and checked before anything is written.
    """
    fs_hz = next(iter(sorters.values())).fs_hz
    names = _unique_names(paths)
    jobs = jobs or usable_cores()
    at_once = min(jobs, len(names))

    def choose(name: str) -> str:
        recording, _ = read_mat(names[name], fs_hz=fs_hz)
        check_replaceable(out / f"{name}.mat")
        with naming(names[name]):
            return nearest_sorter(sorters, recording)

    chosen = {}
    for name, choice in zip(names, in_threads(choose, list(names), jobs=at_once), strict=True):
        chosen[name] = choice
        progress("checking files", len(chosen) / len(paths))
    check_writable(out)
    spans = out / SPANS

    def sort(name: str) -> Spikes:
        recording, _ = read_mat(names[name], fs_hz=fs_hz)
        with naming(names[name]):
            spikes = sorters[chosen[name]].sort(
                recording,
                jobs=jobs // at_once,
                span_seconds=span_seconds,
                resume=spans / name if resume else None,
                progress=prefixed(name, progress),
            )
        write_mat(out / f"{name}.mat", spikes, unknown=True)  # there are some only if marking was asked for
        return spikes

    for name, spikes in zip(names, in_threads(sort, list(names), jobs=at_once), strict=True):
        on_result(names[name], spikes, chosen[name])
    shutil.rmtree(spans, ignore_errors=True)


def open_stream(
    model: Path,
    *,
    like: str | None,
    calibration_seconds: float,
    fast: bool,
    say: Callable[[str], None] = lambda line: None,
) -> Stream:
    """Make a stream that sorts by a saved model.

    Parameters
    ----------
    model : Path
    like : str, optional
        Target of the model to sort as; not needed where there is only one, or with calibration.
    calibration_seconds : float
        How much of the stream to adapt to first; 0: none.
    fast : bool
        Whether to decide early.
    say : callable, optional
        Told what the stream is sorted as.

    Raises
    ------
    ModelError
        If there is no such model or target.
    InputError
        If it is not clear which target is meant.
    """
    sorters = load_sorters(model)
    targets = [name for name in sorters if name != LABELLED]
    if calibration_seconds and like:
        raise InputError("listen: give a target to sort as, or a time to calibrate, not both")
    if like is not None and like not in targets:
        raise ModelError(f"{model}: was not adapted to {like}; it knows: {', '.join(targets) or 'no target'}")
    if like is None and not calibration_seconds and len(targets) != 1:
        known = f"--like NAME (one of {', '.join(targets)}) or " if targets else ""
        raise InputError(f"{model}: give {known}--calibrate SECONDS, so that the stream's noise is known")
    name = LABELLED if calibration_seconds else like or targets[0]
    to = f"the first {calibration_seconds:g} s" if calibration_seconds else name
    say(f"sorting{' early' if fast else ''}, as adapted to {to}")
    return sorters[name].stream(
        sorters[name].fs_hz, mode="fast" if fast else "exact", calibration_seconds=calibration_seconds
    )


def open_source(source: str, *, dtype: str, fs_hz: float, channels: int) -> Iterator[npt.NDArray[Any]]:
    """Return the packets of a source: "-" (standard input), "tcp://HOST:PORT" or "lsl:NAME".

    Raises
    ------
    InputError
        If it is none of these.
    """
    if source == "-":
        return from_pipe(sys.stdin.buffer, dtype=dtype, channels=channels)
    if source.startswith("lsl:"):
        return from_lsl(source.removeprefix("lsl:"), fs_hz=fs_hz, channels=channels)
    place = urlsplit(source)
    try:
        host, port = place.hostname, place.port
    except ValueError:
        host = port = None
    if place.scheme != "tcp" or not host or not port:
        raise InputError(f"{source}: expected -, tcp://HOST:PORT or lsl:NAME")
    return from_tcp(host, port, dtype=dtype, channels=channels)


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
    pairs = _found_and_true(predictions, truth, fs_hz)
    return {name: score(found, true, fs_hz=rate) for name, found, true, rate in pairs}


def judge_files(
    predictions: Path, truth: Path, *, fs_hz: float | None = None, pairing: Pairing = "hungarian"
) -> dict[str, Verdict]:
    """Judge files as `score_files` does, but each true unit by SpikeInterface's comparison.

    See `score_files` for the files, `spikesorter.referee.referee` for how units are paired.
    """
    pairs = _found_and_true(predictions, truth, fs_hz)
    return {name: referee(found, true, fs_hz=rate, pairing=pairing) for name, found, true, rate in pairs}


def _found_and_true(
    predictions: Path, truth: Path, fs_hz: float | None
) -> Iterator[tuple[str, Spikes, Spikes, float]]:
    """Read pairs of files: their name, the spikes found, the true ones, and the sampling rate."""
    if predictions.is_dir() != truth.is_dir():
        raise InputError(f"{predictions} and {truth}: give two files or two folders")
    found = {predictions.stem: predictions}
    if predictions.is_dir():
        paths = [path for path in predictions.glob("*.mat") if not path.name.startswith(".")]
        found = {path.stem: path for path in sorted(paths, key=_by_number)}
    if not found:
        raise InputError(f"{predictions}: holds no .mat files")
    for name, path in found.items():
        answer = truth / path.name if truth.is_dir() else truth
        rate = read_mat_fs(answer, default_hz=fs_hz)
        yield name, read_mat_spikes(path), read_mat_spikes(answer), rate


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


def fit_file(labelled: Path, settings: Settings, progress: Progress, *, jobs: int | None = None) -> Sorter:
    """Read a labelled recording and fit a sorter to it."""
    recording, truth = read_mat(labelled, fs_hz=settings.fs_hz)
    if truth is None:
        raise InputError(f"{labelled}: has no labels (variables Index and Class)")
    with naming(labelled):
        return Sorter.fit(recording, truth, settings=settings, jobs=jobs, progress=progress)


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
