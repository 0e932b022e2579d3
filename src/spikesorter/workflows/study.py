"""A study on disk: a labelled D1.mat and its targets D2.mat, D3.mat, ..., run from end to end."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spikesorter.core.errors import InputError, naming
from spikesorter.core.progress import Progress, prefixed, silent
from spikesorter.core.score import Score, score, study_score
from spikesorter.core.settings import Settings
from spikesorter.core.spikes import UNKNOWN, Spikes
from spikesorter.core.versions import versions
from spikesorter.io.atomic import write_json
from spikesorter.io.mat import read_mat, read_mat_spikes, write_mat, write_submission
from spikesorter.io.recording import RecordingOptions
from spikesorter.report.contents import report_contents
from spikesorter.report.page import write_page
from spikesorter.report.results import REPORT, RUN, Result, results_of
from spikesorter.sorting.forecast import Forecast, forecast_study
from spikesorter.sorting.model import TARGETS, WHOLE
from spikesorter.sorting.sorter import Sorter
from spikesorter.workflows.files import check_places, check_targets, fit_file

__all__ = ["StudyFiles", "TargetResult", "find_study", "run_study", "whole_score"]


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
    n_jobs: int | None = None,
    progress: Progress = silent,
    report: bool = True,
    on_sorter: Callable[[str, Sorter], None] = lambda name, sorter: None,
    on_result: Callable[[TargetResult], None] = lambda result: None,
) -> list[TargetResult]:
    """Train, adapt to every target, sort, score where the truth is known, and write all results.

    Every file is read and checked before anything is written; each result is on disk as soon as it is there.

    Parameters
    ----------
    folder : Path
        See `find_study`.
    out : Path
        Gets `model/`, `forecast.json`, `predictions/`, `submission.zip`, `run.json`, `report.html` and, with
        truth, `scores.json`.
    settings : Settings
    preset : str
        Name of the preset that the settings grew from; only recorded.
    n_jobs : int, optional
        Threads; all cores that this process may use, if not given. They change no result.
    progress : callable, optional
    report : bool
        Whether to write `report.html`.
    on_sorter : callable, optional
        Told the name and the sorter of the labelled recording, then of each target before it is sorted.
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
    settings = settings.tuned_for("study")
    files = find_study(folder)
    truth = {name: read_mat_spikes(path) for name, path in files.truth.items()}
    seconds: dict[str, float] = {}
    results: list[TargetResult] = []
    shown: list[Result] = []
    forecasts: dict[str, Forecast] = {}
    model = out / "model"
    with _timed(seconds, "total"):
        with _timed(seconds, "check"):
            check_targets(files.labelled, list(files.targets.values()), settings)
            check_places(model, [out / "predictions" / f"{name}.mat" for name in files.targets])
            for stale in ("scores.json", "forecast.json", RUN, "submission.zip", REPORT):
                (out / stale).unlink(missing_ok=True)  # an earlier run's must not be taken for this one's
        with _timed(seconds, "fit"):
            fitted = fit_file(files.labelled, settings, progress, n_jobs=n_jobs)
            fitted.save(model)
        on_sorter(files.labelled.stem, fitted)
        for name, path in files.targets.items():
            target, _ = read_mat(path, fs_hz=fitted.fs_hz)
            with naming(path):
                with _timed(seconds, f"adapt {name}"):
                    sorter = fitted.adapt(target, n_jobs=n_jobs, progress=prefixed(name, progress))
                    sorter.save(model / TARGETS / name)
                on_sorter(name, sorter)
                forecasts[name] = sorter.forecast
                write_json(out / "forecast.json", forecast_study(forecasts))
                with _timed(seconds, f"sort {name}"):
                    spikes = sorter.sort(target, n_jobs=n_jobs, progress=prefixed(name, progress))
            place = out / "predictions" / f"{name}.mat"
            write_mat(place, spikes, unknown=settings.unknown.mark)
            named = spikes.select(spikes.unit != UNKNOWN)
            known = score(named, truth[name], fs_hz=sorter.fs_hz) if name in truth else None
            results.append(TargetResult(name, spikes, sorter, known))
            shown += results_of(
                name, path, RecordingOptions(), spikes, {WHOLE: sorter}, place, truth=truth.get(name)
            )
            on_result(results[-1])
        write_submission(out / "submission.zip", {result.name: result.spikes for result in results})
    _write_scores(out / "scores.json", results)
    write_json(out / RUN, _run_facts(folder, settings, preset, seconds, results))
    if report:
        progress("writing the report", 0.0)
        contents = report_contents(
            f"Study {folder.resolve().name}", shown, overall=whole_score(results), seconds=seconds
        )
        write_page(out / REPORT, contents)
        progress("writing the report", 1.0)
    return results


def _run_facts(
    folder: Path, settings: Settings, preset: str, seconds: dict[str, float], results: list[TargetResult]
) -> dict[str, Any]:
    return {
        "study": str(folder.resolve()),
        "preset": preset,
        "seed": settings.seed,
        "settings": settings.model_dump(mode="json"),
        "versions": versions(),
        "seconds": {step: round(value, 3) for step, value in seconds.items()},
        "recordings": {
            result.name: {
                "spikes": len(result.spikes),
                "noise": [float(value) for value in result.sorter.profile.scale],
                "gain": result.sorter.profile.activity.gain,
                "spikes_per_s": sum(result.sorter.profile.activity.rates) * result.sorter.fs_hz,
                "decoder": result.sorter.decoder,
                "thresholds": list(result.sorter.point.thresholds),
                "refractory_samples": result.sorter.point.refractory_samples,
            }
            for result in results
        },
    }


def whole_score(results: list[TargetResult]) -> float | None:
    """Return a study's score, if the truth of every target is known."""
    scores = {result.name: result.score.score for result in results if result.score is not None}
    return study_score(scores) if scores and len(scores) == len(results) else None


def _write_scores(path: Path, results: list[TargetResult]) -> None:
    scores = {result.name: result.score.summary() for result in results if result.score is not None}
    whole = whole_score(results)
    if scores:
        write_json(path, {"recordings": scores} | ({} if whole is None else {"study": whole}))


@contextmanager
def _timed(seconds: dict[str, float], step: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    seconds[step] = time.perf_counter() - start
