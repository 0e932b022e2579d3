"""Run a study: a labelled recording D1.mat and its targets D2.mat, D3.mat, ..."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spikesorter.core.cores import effective_n_jobs
from spikesorter.core.errors import InputError
from spikesorter.core.progress import Progress, silent
from spikesorter.core.score import Score, score, study_score
from spikesorter.core.settings import Settings
from spikesorter.core.spikes import UNKNOWN, Spikes
from spikesorter.core.versions import versions
from spikesorter.io.atomic import write_json
from spikesorter.io.exclusion import Exclusion
from spikesorter.io.mat import read_mat_spikes
from spikesorter.io.mat_writing import write_submission
from spikesorter.io.recording import RecordingOptions
from spikesorter.report.contents import report_contents
from spikesorter.report.kept_results import RUN, option_facts
from spikesorter.report.page import write_page
from spikesorter.report.peri_events import write_peri_events
from spikesorter.report.results import REPORT, Result
from spikesorter.sorting.forecast import forecast_study
from spikesorter.sorting.model_places import WHOLE, target_place
from spikesorter.sorting.sorter import Sorter
from spikesorter.workflows.files import checked_results, given_events
from spikesorter.workflows.one_recording import bad_seconds
from spikesorter.workflows.recordings import CheckedRecording, open_labelled, open_targets
from spikesorter.workflows.targets import TargetTask, running, targets_at_once, timed
from spikesorter.workflows.training import check_places, fit_labelled

__all__ = ["StudyFiles", "TargetResult", "find_study", "run_study", "submission_words", "whole_score"]

SUBMISSION = "submission.zip"


@dataclass(frozen=True)
class StudyFiles:
    """The files of a study: the labelled recording, targets by name, and true spikes if known."""

    labelled: Path
    targets: dict[str, Path]
    truth: dict[str, Path]


@dataclass(frozen=True, eq=False)
class TargetResult:
    """The result of one target.

    Parameters
    ----------
    name : str
    spikes : Spikes
        Found spikes.
    sorter : Sorter
        Sorter that found the spikes.
    score : Score or None
        None if the true spikes are not known.
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
        If the folder has no D1.mat or no target.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name in ("D1.mat", "D2.mat", "D10.mat"):
    ...         (Path(folder) / name).touch()
    ...     study = find_study(Path(folder))
    >>> study.labelled.name, list(study.targets)
    ('D1.mat', ['D2', 'D10'])
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; expected one with D1.mat, D2.mat, ...")
    labelled = folder / "D1.mat"
    if not labelled.is_file():
        raise InputError(f"{labelled}: no such file; the labelled recording of a study has this name")
    numbered = {
        int(match[1]): path
        for path in folder.iterdir()
        if (match := re.fullmatch(r"D([1-9]\d*)\.mat", path.name))
    }
    targets = {f"D{number}": numbered[number] for number in sorted(numbered) if number > 1}
    if not targets:
        raise InputError(f"{folder}: has no targets; expected D2.mat, D3.mat, ... beside D1.mat")
    truth = {name: folder / "truth" / f"{name}.mat" for name in targets}
    return StudyFiles(labelled, targets, {name: path for name, path in truth.items() if path.is_file()})


def run_study(
    folder: Path,
    out: Path,
    settings: Settings,
    *,
    preset: str = "default",
    exclude: Exclusion | None = None,
    n_jobs: int | None = None,
    progress: Progress = silent,
    events: Path | None = None,
    report: bool = True,
    on_sorter: Callable[[str, Sorter], None] = lambda name, sorter: None,
    on_result: Callable[[TargetResult], None] = lambda result: None,
) -> list[TargetResult]:
    """Train, adapt to every target, sort, score if true spikes are known, and write all results.

    All files are opened and checked before anything is written. Each result is written immediately.

    Parameters
    ----------
    folder : Path
        See `find_study`.
    out : Path
        Folder for `model/`, `forecast.json`, `predictions/`, `submission.zip`, `run.json`, `report.html` and,
        if true spikes are known, `scores.json`.
    settings : Settings
    preset : str
        Name of the preset of these settings, for `run.json`.
    exclude : Exclusion, optional
        What to leave out of the recordings, which are named D1, D2, ...
    n_jobs : int, optional
        Number of threads; -1 or None: one on each core. With 2 or more, so many targets are adapted to at
        once, each in a process. It does not affect the result.
    progress : callable, optional
    events : Path, optional
        Events of the target, or a folder with a file of each target's (`events_by_name`). They are shown in
        the report, and OUT/NAME-events.csv lists the spikes around each.
    report : bool
        Whether to write `report.html`.
    on_sorter : callable, optional
        Called with the name and the sorter of the labelled recording, then of each target when it is sorted.
    on_result : callable, optional
        Called with each target's result as soon as it is known.

    Returns
    -------
    list of TargetResult

    Raises
    ------
    InputError
        If a file cannot be used.
    SettingsError
        If `n_jobs` is invalid.
    """
    settings = settings.tuned_for("study")
    n_jobs, files = effective_n_jobs(n_jobs), find_study(folder)
    options = RecordingOptions(exclude=exclude)
    if exclude is not None:
        exclude.check([files.labelled.stem, *files.targets])
    truth = {name: read_mat_spikes(path) for name, path in files.truth.items()}
    seconds: dict[str, float] = {}
    found: dict[str, TargetResult] = {}
    model = out / "model"
    with timed(seconds, "total"):
        with timed(seconds, "check"):
            labelled = open_labelled(files.labelled, settings, options=options)
            targets = open_targets(files.targets, labelled, settings, options=options, progress=progress)
            given = given_events(events, targets)
            check_places(model, [_prediction(out, name) for name in targets])
            for stale in ("scores.json", "forecast.json", RUN, SUBMISSION, REPORT):
                (out / stale).unlink(missing_ok=True)  # an earlier run's files must not remain
        channels = labelled.opened.recording.get_num_channels()
        at_once = targets_at_once([one.n_samples * channels for one in targets.values()], n_jobs=n_jobs)
        with running(at_once, progress) as run:
            with timed(seconds, "fit"):
                fitted = fit_labelled(labelled, settings, n_jobs=n_jobs, progress=progress)
                fitted.save(model)
            on_sorter(files.labelled.stem, fitted)
            tasks = [
                TargetTask(name, target, model, n_jobs // at_once, prediction=_prediction(out, name))
                for name, target in targets.items()
            ]
            seconds |= {f"{step} {name}": 0.0 for name in targets for step in ("adapt", "sort")}  # in order
            for done in run(tasks):
                seconds |= done.seconds
                assert done.spikes is not None, "it was to be sorted"
                name, sorter = done.name, Sorter.load(target_place(model, done.name))
                on_sorter(name, sorter)
                if name in given:
                    place = out / f"{name}-events.csv"
                    write_peri_events(place, done.spikes, given[name], fs_hz=sorter.fs_hz)
                measured = _scored(done.spikes, truth.get(name), sorter)
                found[name] = TargetResult(name, done.spikes, sorter, measured)
                so_far = {one: found[one].sorter.forecast for one in targets if one in found}
                write_json(out / "forecast.json", forecast_study(so_far))
                on_result(found[name])
        results = [found[name] for name in targets]
        write_submission(out / SUBMISSION, {result.name: result.spikes for result in results})
    _write_scores(out / "scores.json", results)
    write_json(out / RUN, _run_facts(folder, settings, preset, options, seconds, results))
    if report:
        progress("writing the report", 0.0)
        shown = [
            _shown(result, targets[result.name], _prediction(out, result.name), truth.get(result.name))
            for result in results
        ]
        contents = report_contents(
            _title(folder),
            shown,
            overall=whole_score(results),
            seconds=seconds,
            events=given,
            hand_in=f"To hand in: {SUBMISSION}, beside this file. {submission_words(list(targets))}",
        )
        write_page(out / REPORT, contents)
        progress("writing the report", 1.0)
    return results


def submission_words(names: Sequence[str]) -> str:
    """Return what is in the file to hand in.

    Examples
    --------
    >>> submission_words(["D2", "D3"])
    'It contains D2.mat, D3.mat, each with Index (where spikes start) and Class (their units).'
    """
    files = ", ".join(f"{name}.mat" for name in names)
    each = "each with" if len(names) > 1 else "with"
    return f"It contains {files}, {each} Index (where spikes start) and Class (their units)."


def _title(folder: Path) -> str:
    name = folder.resolve().name
    return f"{name[0].upper()}{name[1:]}" if name.lower().startswith("study") else f"Study {name}"


def _prediction(out: Path, name: str) -> Path:
    return out / "predictions" / f"{name}.mat"


def _scored(spikes: Spikes, truth: Spikes | None, sorter: Sorter) -> Score | None:
    """Score the found spikes without outlier spikes; None if the true spikes are not known."""
    if truth is None:
        return None
    return score(truth, spikes.select(spikes.unit != UNKNOWN), fs_hz=sorter.fs_hz)


def _shown(result: TargetResult, target: CheckedRecording, place: Path, truth: Spikes | None) -> Result:
    """Return a target's result for the report."""
    (shown,) = checked_results(result.name, target, result.spikes, {WHOLE: result.sorter}, place, truth=truth)
    return shown


def _run_facts(
    folder: Path,
    settings: Settings,
    preset: str,
    options: RecordingOptions,
    seconds: dict[str, float],
    results: list[TargetResult],
) -> dict[str, Any]:
    return {
        "study": str(folder.resolve()),
        "preset": preset,
        "seed": settings.seed,
        "settings": settings.model_dump(mode="json"),
        "options": option_facts(options),
        "versions": versions(),
        "seconds": {step: round(value, 3) for step, value in seconds.items()},
        "recordings": {
            result.name: {
                "spikes": len(result.spikes),
                "bad_s": bad_seconds(result.spikes),
                **({"left_out": list(ids)} if (ids := result.sorter.state.left_out) else {}),
                "noise": [float(value) for value in result.sorter.profile.scale],
                "gain": result.sorter.profile.activity.gain,
                "spikes_per_s": sum(result.sorter.profile.activity.rates) * result.sorter.fs_hz,
                "decoder": result.sorter.decoder,
                "thresholds": list(result.sorter.point.thresholds),
                "refractory_ms": 1000 * result.sorter.point.refractory_samples / result.sorter.fs_hz,
            }
            for result in results
        },
    }


def whole_score(results: list[TargetResult]) -> float | None:
    """Return a study's score, or None unless the true spikes of every target are known."""
    scores = {result.name: result.score.score for result in results if result.score is not None}
    return study_score(scores) if scores and len(scores) == len(results) else None


def _write_scores(path: Path, results: list[TargetResult]) -> None:
    scores = {result.name: result.score.summary() for result in results if result.score is not None}
    whole = whole_score(results)
    if scores:
        write_json(path, {"recordings": scores} | ({} if whole is None else {"study": whole}))
