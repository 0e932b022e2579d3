"""Commands that learn: `run` and `train`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spikesorter.cli.console import (
    print_study,
    result_line,
    sorter_line,
    study_json,
    working,
)
from spikesorter.cli.options import (
    INPUT,
    AsJson,
    Assignments,
    Config,
    Jobs,
    Objective,
    Preset,
    Quiet,
    Report,
    reads_recordings,
)

if TYPE_CHECKING:
    from spikesorter.io.recording import RecordingOptions
    from spikesorter.sorting.sorter import Sorter

__all__ = ["run", "train"]


def run(
    study: Annotated[Path, typer.Argument(help="Folder with D1.mat (labelled), D2.mat, D3.mat, ...")],
    out: Annotated[Path, typer.Option("--out", metavar="FOLDER", help="Where to write the results.")],
    config: Config = None,
    assignments: Assignments = None,
    preset: Preset = "default",
    objective: Objective = None,
    n_jobs: Jobs = None,
    report: Report = True,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Do everything for a study: train on D1, adapt to each target, sort it, score it if truth/ is there.

    Writes FOLDER/model/, forecast.json (how good to expect the results to be), predictions/,
    submission.zip, run.json, report.html and, with truth, scores.json.
    """
    from spikesorter.core.settings import load_settings

    settings = load_settings(config, preset=preset, assignments=_all(assignments, objective))
    with working(quiet or as_json) as (progress, say):
        from spikesorter.workflows.study import run_study

        results = run_study(
            study,
            out,
            settings,
            preset=preset,
            n_jobs=n_jobs,
            progress=progress,
            report=report,
            on_sorter=lambda name, sorter: say(sorter_line(name, sorter)),
            on_result=lambda result: say(result_line(result)),
        )
    if as_json:
        typer.echo(study_json(results, out))
    elif not quiet:
        print_study(results)
        typer.echo(f"Results: {out}" + (f"; look at {out / 'report.html'}" if report else ""))


@reads_recordings
def train(
    labelled: Annotated[
        Path, typer.Argument(metavar="RECORDING", help="Labelled recording; must come first.")
    ],
    model: Annotated[Path, typer.Option("--model", metavar="FOLDER", help="Where to save the model.")],
    labels: Annotated[
        Path | None,
        typer.Option(
            "--labels",
            metavar="PATH",
            help="Its labels: .mat, .csv, .parquet, .nwb, folder of Phy or SpikeInterface. "
            "[those in the recording's own file]",
        ),
    ] = None,
    targets: Annotated[
        list[Path] | None,
        typer.Option(
            "--targets", metavar="FILE", help="Recording to adapt to. Repeatable; several may follow."
        ),
    ] = None,
    more_targets: Annotated[
        list[Path] | None, typer.Argument(metavar="[MORE_TARGETS]...", hidden=True)
    ] = None,
    config: Config = None,
    assignments: Assignments = None,
    preset: Preset = "default",
    objective: Objective = None,
    *,
    options: RecordingOptions,
    by_group: Annotated[
        bool,
        typer.Option(
            "--by-group",
            help="Learn a sorter for each group of channels (tetrode); `sort` joins their results.",
            rich_help_panel=INPUT,
        ),
    ] = False,
    n_jobs: Jobs = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Learn from a labelled recording, adapt to targets, and save the model.

    Says of each what was found out about it, and how good its result is expected to be.
    """
    from spikesorter.core.settings import load_settings

    settings = load_settings(config, preset=preset, assignments=_all(assignments, objective))
    learnt: dict[str, dict[str, Any]] = {}
    with working(quiet or as_json) as (progress, say):
        from spikesorter.report.summary import sorter_facts
        from spikesorter.workflows.files import train_model

        def tell(name: str, sorter: Sorter) -> None:
            learnt[name] = sorter_facts(sorter)
            say(sorter_line(name, sorter))

        every = [*(targets or []), *(more_targets or [])]
        train_model(
            labelled,
            every,
            model,
            settings,
            labels=labels,
            options=options,
            by_group=by_group,
            n_jobs=n_jobs,
            progress=progress,
            on_sorter=tell,
        )
    if as_json:
        typer.echo(json.dumps({"model": str(model), "recordings": learnt}, indent=2))
    elif not quiet:
        typer.echo(f"Model: {model}")


def _all(assignments: list[str] | None, objective: str | None) -> list[str]:
    return [*(assignments or []), *([f"tuning.objective='{objective}'"] if objective else [])]
