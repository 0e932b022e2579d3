"""Commands to sort files with a model: `sort`, `batch`."""

from __future__ import annotations

from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spikesorter.cli.commands import examples
from spikesorter.cli.console import (
    bad_line,
    echo,
    outcome_line,
    print_batch,
    sorted_json,
    sorted_line,
)
from spikesorter.cli.options import (
    OUTPUT,
    AsJson,
    Assignments,
    EventsFile,
    ExportFormat,
    NJobs,
    Out,
    Quiet,
    Report,
    SubjectFile,
    between,
)
from spikesorter.cli.progress import working
from spikesorter.cli.reading import leaves_out, reads_recordings
from spikesorter.core.errors import SettingsError

if TYPE_CHECKING:
    from spikesorter.core.settings import Settings
    from spikesorter.io.exclusion import Exclusion
    from spikesorter.io.recording import RecordingOptions
    from spikesorter.workflows.one_recording import SortedFile
    from spikesorter.workflows.tasks import Outcome

__all__ = ["BATCH_EXAMPLES", "SORT_EXAMPLES", "batch", "sort"]

SORT_EXAMPLES = examples(
    "sort D4.mat D5.mat --model OUT/model --out SORTED",
    "sort session.ns5 --channel 17 --model MODEL --out SORTED --to nwb",
    "sort session.ns5 --channel 17 --model MODEL --out SORTED --to nwb --subject subject.toml",
    "sort probe.dat --fs 30000 --dtype int16 --channels 4 --model MODEL --out SORTED",
    "sort D4.mat --model MODEL --out SORTED --exclude bad.csv --blank-events pulses.csv --blank-ms -0.5 6",
)
BATCH_EXAMPLES = examples(
    "batch RECORDINGS --model MODEL --out NIGHT --n-jobs 8",
    "batch night.toml --out NIGHT",
)


@leaves_out(pulses_are_found=True)
@reads_recordings
def sort(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Recordings to sort.")],
    out: Out,
    model: Annotated[
        Path | None,
        typer.Option("--model", metavar="FOLDER", help="Model, from `train`, or OUT/model of `run`."),
    ] = None,
    n_jobs: NJobs = None,
    *,
    options: RecordingOptions,
    exclude: Exclusion | None = None,
    assignments: Assignments = None,
    to: ExportFormat = "mat",
    subject: SubjectFile = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Keep finished parts, and resume an interrupted run that kept them.",
            rich_help_panel=OUTPUT,
        ),
    ] = False,
    span_seconds: Annotated[
        float,
        typer.Option(
            metavar="S",
            help="Read recordings in spans of S seconds. It does not affect results.",
            callback=between(0.001, 1e6),
            rich_help_panel=OUTPUT,
        ),
    ] = 10.0,
    events: EventsFile = None,
    report: Report = True,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Sort recordings with a saved model.

    The model has a sorter for each target that it was adapted to. Each recording is sorted by the sorter
    whose target is most similar in noise and gain. Its spikes are written to FOLDER/NAME.mat (or another
    format), and FOLDER/report.html shows them.

    The only settings that can be changed here are output.threshold and output.refractory_ms.
    """
    from spikesorter.core.settings import Settings

    if model is None:
        raise SettingsError(
            "--model FOLDER is missing: give a model from `spikesorter train`; without labels, `spikesorter "
            f"discover {files[0]} --out {out}` finds the units, and sorts"
        )
    point = _working_point(Settings().replace(assignments or ()))
    with working(quiet or as_json) as (progress, say):
        from spikesorter.sorting.model import load_model
        from spikesorter.workflows.files import sort_files

        def tell(one: SortedFile) -> None:
            for line in (sorted_line(one), bad_line(one)):
                if line:
                    say(line)

        done = sort_files(
            files,
            load_model(model).with_working_point(**point),
            out,
            to=to,
            options=replace(options, exclude=exclude),
            n_jobs=n_jobs,
            span_seconds=span_seconds,
            resume=resume,
            events=events,
            report=report,
            subject=subject,
            progress=progress,
            on_result=tell,
        )
    if as_json:
        typer.echo(sorted_json(done))
    elif not quiet:
        echo(f"Results: {out}" + (f"; see {out / 'report.html'}" if report else ""))


@leaves_out(pulses_are_found=True)
@reads_recordings
def batch(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="MANIFEST|FOLDER", help="TOML file that lists recordings, or a folder of recordings."
        ),
    ],
    out: Out,
    model: Annotated[
        Path | None,
        typer.Option("--model", metavar="FOLDER", help="Model for recordings without one in the manifest."),
    ] = None,
    root: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Folder to which paths in a manifest are relative. [the manifest's own folder]",
        ),
    ] = None,
    n_jobs: Annotated[
        int,
        typer.Option(
            "--n-jobs", "-j", metavar="N", help="Number of processes on this machine; -1: one on each core."
        ),
    ] = 1,
    scheduler: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS", help="Use the Dask cluster at this address (tcp://HOST:PORT) instead."
        ),
    ] = None,
    *,
    options: RecordingOptions,
    exclude: Exclusion | None = None,
    to: ExportFormat = "mat",
    subject: SubjectFile = None,
    restart: Annotated[
        bool,
        typer.Option(
            "--restart",
            help="Sort everything again, even if the folder has results of other settings.",
            rich_help_panel=OUTPUT,
        ),
    ] = False,
    span_seconds: Annotated[
        float,
        typer.Option(
            metavar="S",
            help="Keep finished parts of S seconds, so that an interruption loses no more of a recording.",
            callback=between(0.001, 1e6),
            rich_help_panel=OUTPUT,
        ),
    ] = 60.0,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Sort many recordings; one that fails does not stop the others.

    Spikes are written to FOLDER/predictions/NAME.mat. At the end, FOLDER/batch.json has the state, time and
    expected score of each recording. After an interruption, the same command sorts the remaining recordings.
    The exit code is 1 if a recording failed.
    """
    from spikesorter.workflows.manifest import read_batch

    with working(quiet or as_json) as (progress, say):
        from spikesorter.workflows.batch import run_batch
        from spikesorter.workflows.cluster import running_on

        items = read_batch(source, model=model, options=replace(options, exclude=exclude), root=root)
        numbers = count(1)

        def tell(outcome: Outcome) -> None:
            line = outcome_line(outcome)
            if outcome.state == "failed" and quiet:
                echo(f"spikesorter: error: {line}", err=True)
            say(f"{next(numbers)}/{len(items)} {line}")

        with running_on(n_jobs, scheduler) as runner:
            outcomes = run_batch(
                items,
                out,
                to=to,
                runner=runner,
                span_seconds=span_seconds,
                restart=restart,
                subject=subject,
                progress=progress,
                on_outcome=tell,
            )
    failed = [outcome for outcome in outcomes if outcome.state == "failed"]
    if as_json:
        typer.echo((out / "batch.json").read_text(encoding="utf-8"))
    elif not quiet:
        print_batch(outcomes)
        echo(f"Results: {out}")
    if failed:
        raise typer.Exit(1)


def _working_point(settings: Settings) -> dict[str, Any]:
    from spikesorter.core.settings import Settings

    point = {"threshold": settings.output.threshold, "refractory_ms": settings.output.refractory_ms}
    if settings.replace(output=dict.fromkeys(point)) != Settings():
        raise SettingsError(
            "only output.threshold and output.refractory_ms can be set when sorting; "
            "all other settings were fixed by training"
        )
    return point
