"""A study on disk: a labelled D1.mat and its targets D2.mat, D3.mat, ..., run from end to end."""

from __future__ import annotations

import json
import platform
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from spikesorter.config import Settings
from spikesorter.errors import InputError, ModelError, naming
from spikesorter.evaluate import Score, score, study_score
from spikesorter.io.atomic import atomic_file, check_writable
from spikesorter.io.mat import (
    check_replaceable,
    read_mat,
    read_mat_fs,
    read_mat_spikes,
    write_mat,
    write_submission,
)
from spikesorter.io.model import check_model_place
from spikesorter.progress import Progress, silent
from spikesorter.recordings import shortest_samples
from spikesorter.sorter import Sorter, nearest_sorter
from spikesorter.spikes import Spikes

__all__ = [
    "StudyFiles",
    "TargetResult",
    "find_study",
    "load_sorters",
    "run_study",
    "score_files",
    "sort_files",
    "train_model",
    "unpredicted",
]

TARGETS = "targets"
LABELLED = "(labelled)"
PACKAGES = ("neural-spike-sorter", "numpy", "scipy", "PyWavelets", "keras", "jax", "spikeinterface")


@dataclass(frozen=True)
class StudyFiles:
    """The files of a study: the labelled recording, its targets by name, and their truth where known."""

    labelled: Path
    targets: dict[str, Path]
    truth: dict[str, Path]


@dataclass(frozen=True, eq=False)
class TargetResult:
    """What became of one target.

    Parameters
    ----------
    name : str
    spikes : Spikes
        What was found.
    sorter : Sorter
        What it was found with.
    score : Score or None
        Against the truth, if that is known.
    """

    name: str
    spikes: Spikes
    sorter: Sorter
    score: Score | None


def find_study(folder: Path) -> StudyFiles:
    """List the files of a study.

    Raises
    ------
    InputError
        If the folder holds no D1.mat or no target.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; expected one with D1.mat, D2.mat, ...")
    labelled = folder / "D1.mat"
    if not labelled.is_file():
        raise InputError(f"{labelled}: no such file; a study needs its labelled recording under this name")
    numbered = {
        int(match[1]): path
        for path in folder.iterdir()
        if (match := re.fullmatch(r"D([1-9]\d*)\.mat", path.name))
    }
    targets = {f"D{number}": numbered[number] for number in sorted(numbered) if number > 1}
    if not targets:
        raise InputError(f"{folder}: holds no target; expected D2.mat, D3.mat, ... beside D1.mat")
    truth = {name: folder / "truth" / f"{name}.mat" for name in targets}
    return StudyFiles(labelled, targets, {name: path for name, path in truth.items() if path.is_file()})


def run_study(
    folder: Path,
    out: Path,
    settings: Settings,
    *,
    preset: str = "default",
    progress: Progress = silent,
    on_result: Callable[[TargetResult], None] = lambda result: None,
) -> list[TargetResult]:
    """Train, adapt to every target, sort, score where the truth is known, and write all results.

    Every file is read and checked before anything is written; each result is on disk as soon as it is there.

    Parameters
    ----------
    folder : Path
        See `find_study`.
    out : Path
        Gets `model/`, `predictions/`, `submission.zip`, `run.json` and, with truth, `scores.json`.
    settings : Settings
    preset : str
        Name of the preset that the settings grew from; only recorded.
    progress : callable, optional
    on_result : callable, optional
        Told each target's result as it comes.

    Returns
    -------
    list of TargetResult

    Raises
    ------
    InputError
        If a file cannot be used.
    """
    files = find_study(folder)
    truth = {name: read_mat_spikes(path) for name, path in files.truth.items()}
    seconds: dict[str, float] = {}
    results: list[TargetResult] = []
    model = out / "model"
    with _timed(seconds, "total"):
        with _timed(seconds, "check"):
            _check_targets(files.labelled, list(files.targets.values()), settings)
            _check_places(model, [out / "predictions" / f"{name}.mat" for name in files.targets])
            for stale in ("scores.json", "run.json", "submission.zip"):
                (out / stale).unlink(missing_ok=True)  # an earlier run's must not be taken for this one's
        with _timed(seconds, "fit"):
            fitted = _fit_file(files.labelled, settings, progress)
            fitted.save(model)
        for name, path in files.targets.items():
            target, _ = read_mat(path, fs_hz=fitted.fs_hz)
            with naming(path):
                with _timed(seconds, f"adapt {name}"):
                    sorter = fitted.adapt(target, progress=_prefixed(name, progress))
                    sorter.save(model / TARGETS / name)
                with _timed(seconds, f"sort {name}"):
                    spikes = sorter.sort(target, progress=_prefixed(name, progress))
            write_mat(out / "predictions" / f"{name}.mat", spikes)
            known = score(spikes, truth[name], fs_hz=sorter.fs_hz) if name in truth else None
            results.append(TargetResult(name, spikes, sorter, known))
            on_result(results[-1])
        write_submission(out / "submission.zip", {result.name: result.spikes for result in results})
    _write_scores(out / "scores.json", results)
    _write_json(out / "run.json", _run_facts(folder, settings, preset, seconds, results))
    return results


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
    _check_targets(labelled, targets, settings)
    _check_places(model, [])
    fitted = _fit_file(labelled, settings, progress)
    fitted.save(model)
    for name, path in names.items():
        target, _ = read_mat(path, fs_hz=fitted.fs_hz)
        with naming(path):
            fitted.adapt(target, progress=_prefixed(name, progress)).save(model / TARGETS / name)


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
            spikes = sorters[chosen[name]].sort(recording, progress=_prefixed(name, progress))
        write_mat(out / f"{name}.mat", spikes)
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


def _by_number(path: Path) -> tuple[list[int], str]:
    """D10 after D9."""
    return [int(digits) for digits in re.findall(r"\d+", path.stem)], path.stem


def _check_places(model: Path, predictions: list[Path]) -> None:
    """Make sure that results can be written, and over nothing but older results, before hours are spent."""
    check_model_place(model)
    for path in predictions:
        check_replaceable(path)
    for folder in {model.parent, *(path.parent for path in predictions)}:
        check_writable(folder)


def _fit_file(labelled: Path, settings: Settings, progress: Progress) -> Sorter:
    """Read a labelled recording and fit a sorter to it."""
    recording, truth = read_mat(labelled, fs_hz=settings.fs_hz)
    if truth is None:
        raise InputError(f"{labelled}: has no labels (variables Index and Class)")
    with naming(labelled):
        return Sorter.fit(recording, truth, settings=settings, progress=progress)


def _check_targets(labelled: Path, targets: list[Path], settings: Settings) -> None:
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


def _unique_names(paths: list[Path]) -> dict[str, Path]:
    """Return files by their names without ending; results are named so, so two must not share one."""
    names: dict[str, Path] = {}
    for path in paths:
        if path.stem in names:
            raise InputError(f"{path}: has the same name as {names[path.stem]}; their results would collide")
        names[path.stem] = path
    return names


def _run_facts(
    folder: Path, settings: Settings, preset: str, seconds: dict[str, float], results: list[TargetResult]
) -> dict[str, Any]:
    return {
        "study": str(folder),
        "preset": preset,
        "seed": settings.seed,
        "settings": settings.model_dump(mode="json"),
        "versions": {"python": platform.python_version()} | {name: version(name) for name in PACKAGES},
        "seconds": {step: round(value, 3) for step, value in seconds.items()},
        "recordings": {
            result.name: {
                "spikes": len(result.spikes),
                "noise": [float(value) for value in result.sorter.profile.scale],
                "gain": result.sorter.profile.activity.gain,
                "spikes_per_s": sum(result.sorter.profile.activity.rates) * result.sorter.fs_hz,
                "threshold": result.sorter.point.threshold,
                "refractory_samples": result.sorter.point.refractory_samples,
                "rehearsed": result.sorter.rehearsed,
            }
            for result in results
        },
    }


def _write_scores(path: Path, results: list[TargetResult]) -> None:
    scores = {result.name: result.score for result in results if result.score is not None}
    if not scores:
        return
    whole = (
        {"study": study_score({name: s.score for name, s in scores.items()})}
        if len(scores) == len(results)
        else {}
    )
    _write_json(path, {"recordings": {name: s.summary() for name, s in scores.items()}} | whole)


def _write_json(path: Path, contents: dict[str, Any]) -> None:
    with atomic_file(path) as temporary:
        temporary.write_text(json.dumps(contents, indent=2) + "\n", encoding="utf-8")


@contextmanager
def _timed(seconds: dict[str, float], step: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    seconds[step] = time.perf_counter() - start


def _prefixed(name: str, progress: Progress) -> Progress:
    return lambda step, done: progress(f"{name}: {step}", done)
