"""Commands to learn from labels: `run` and `train`."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from spikesorter.cli.commands import examples
from spikesorter.cli.console import (
    echo,
    print_study,
    result_line,
    sorter_line,
    study_json,
)
from spikesorter.cli.options import (
    AsJson,
    Assignments,
    Config,
    EventsFile,
    NJobs,
    Objective,
    Out,
    Preset,
    Quiet,
    Report,
)
from spikesorter.cli.progress import working
from spikesorter.cli.reading import leaves_out, reads_recordings

if TYPE_CHECKING:
    from spikesorter.io.exclusion import Exclusion
    from spikesorter.io.recording import RecordingOptions
    from spikesorter.sorting.sorter import Sorter

__all__ = ["RUN_EXAMPLES", "TRAIN_EXAMPLES", "run", "train"]

RUN_EXAMPLES = examples(
    "run STUDY --out OUT",
    "run STUDY --out OUT --set decoder=pursuit --n-jobs 4",
    "run STUDY --out OUT --events EVENTS",
)
TRAIN_EXAMPLES = examples(
    "train D1.mat --targets D2.mat D3.mat --model MODEL",
    "train session.ns5 --channel 17 --labels PHY_FOLDER --model MODEL",
    "train tetrodes.nwb --by-group --targets night.nwb --model MODEL",
    "train D1.mat --targets D4.mat --model MODEL --live",
)


@leaves_out()
def run(
    study: Annotated[
        Path, typer.Argument(metavar="STUDY", help="Folder with D1.mat (labelled), D2.mat, D3.mat, ...")
    ],
    out: Out,
    n_jobs: NJobs = None,
    config: Config = None,
    assignments: Assignments = None,
    preset: Preset = "default",
    objective: Objective = None,
    exclude: Exclusion | None = None,
    events: EventsFile = None,
    report: Report = True,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Run a whole study: learn from D1, adapt to each target, sort it, and score it.

    Results are scored if the true spikes are known (STUDY/truth/D2.mat, ...). Writes the model, forecast.json
    (expected scores), predictions/, submission.zip, run.json, report.html and scores.json to FOLDER.
    """
    from spikesorter.core.settings import load_settings

    settings = load_settings(config, preset=preset, assignments=_all(assignments, objective))
    with working(quiet or as_json) as (progress, say):
        from spikesorter.workflows.study import SUBMISSION, run_study, submission_words

        results = run_study(
            study,
            out,
            settings,
            preset=preset,
            exclude=exclude,
            n_jobs=n_jobs,
            progress=progress,
            events=events,
            report=report,
            on_sorter=lambda name, sorter: say(sorter_line(name, sorter)),
            on_result=lambda result: say(result_line(result)),
        )
    if as_json:
        typer.echo(study_json(results, out))
    elif not quiet:
        print_study(results)
        echo(f"Results: {out}" + (f"; see {out / 'report.html'}" if report else ""))
        echo(f"To hand in: {out / SUBMISSION}. {submission_words([result.name for result in results])}")


@leaves_out()
@reads_recordings
def train(
    labelled: Annotated[Path, typer.Argument(metavar="RECORDING", help="The labelled recording.")],
    model: Annotated[Path, typer.Option("--model", metavar="FOLDER", help="Folder for the model.")],
    targets: Annotated[
        list[Path] | None,
        typer.Option(
            "--targets",
            metavar="FILE...",
            help="Recordings to adapt to, from the same electrode. Repeatable.",
        ),
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(
            "--labels",
            metavar="PATH",
            help="Its labels: .mat, .csv, .parquet, .nwb, or a folder of Phy, of SpikeInterface, or of "
            "corrections (OUT/corrected). [those in the recording's own file]",
        ),
    ] = None,
    labels_in: Annotated[
        Literal["samples", "seconds", "session"] | None,
        typer.Option(
            "--labels-in",
            help="What the labels' times are: samples or seconds from the recording's start, or seconds "
            "from the session's. [as their file says]",
        ),
    ] = None,
    leave_out: Annotated[
        list[str] | None,
        typer.Option(
            "--leave-out",
            metavar="NAME",
            help="Group of Phy, or unit, that is not read. Repeatable. [noise; in tables also unsorted and "
            "the like]",
        ),
    ] = None,
    by_group: Annotated[
        bool,
        typer.Option(
            "--by-group",
            help="Learn a sorter for each group of channels (tetrode); `sort` combines their results.",
        ),
    ] = False,
    live: Annotated[
        bool,
        typer.Option(
            "--live",
            help="Keep the low-latency sorter of each target as well, so that `listen --low-latency` starts "
            "at once. It takes some 40 s more for each.",
        ),
    ] = False,
    n_jobs: NJobs = None,
    config: Config = None,
    assignments: Assignments = None,
    preset: Preset = "default",
    objective: Objective = None,
    *,
    options: RecordingOptions,
    exclude: Exclusion | None = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Learn from a labelled recording, adapt to targets, and save the model.

    Prints the noise, gain, firing rate and expected score of each recording.
    """
    from spikesorter.core.settings import load_settings

    settings = load_settings(config, preset=preset, assignments=_all(assignments, objective))
    learnt: dict[str, dict[str, Any]] = {}
    with working(quiet or as_json) as (progress, say):
        from spikesorter.io.formats import stem_of
        from spikesorter.report.relearning import relabel, what_changed
        from spikesorter.report.summary import sorter_facts
        from spikesorter.workflows.recordings import LabelOptions
        from spikesorter.workflows.training import train_model

        corrected = relabel(labels, labelled, name=options.name_of(labelled)) if labels else None
        if corrected:
            say(f"Corrected labels: {corrected.path} ({corrected.words})")

        def tell(name: str, sorter: Sorter) -> None:
            if corrected and name.partition(", group ")[0] == stem_of(labelled):
                for line in what_changed(corrected, sorter):
                    say(line)
            learnt[name] = sorter_facts(sorter)
            say(sorter_line(name, sorter))

        def tell_dead(name: str, why: str) -> None:
            learnt[name] = {"forecast": None, "doubts": [why]}

        train_model(
            labelled,
            targets or [],
            model,
            settings,
            labels=corrected.path if corrected else labels,
            options=replace(options, exclude=exclude),
            reading=LabelOptions(labels_in, tuple(leave_out) if leave_out else None),
            by_group=by_group,
            live=live,
            n_jobs=n_jobs,
            progress=progress,
            on_sorter=tell,
            on_dead=tell_dead,
        )
    if as_json:
        recordings = _in_order(learnt, [stem_of(path) for path in (labelled, *(targets or []))])
        typer.echo(json.dumps({"model": str(model), "recordings": recordings}, indent=2))
    elif not quiet:
        echo(f"Model: {model}")


def _in_order(learnt: dict[str, Any], names: list[str]) -> dict[str, Any]:
    """Return what was learnt in the order of the recordings; several targets are done in any order."""
    return {
        part: facts
        for name in names
        for part, facts in learnt.items()
        if part == name or part.startswith(f"{name}, group ")
    }


def _all(assignments: list[str] | None, objective: str | None) -> list[str]:
    return [*(assignments or []), *([f"tuning.objective='{objective}'"] if objective else [])]
