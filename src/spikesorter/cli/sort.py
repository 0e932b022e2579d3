"""Commands that sort with a model: `sort`, `batch`, `listen`."""

from __future__ import annotations

import json
import sys
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from spikesorter.cli.console import (
    outcome_line,
    print_batch,
    sorted_json,
    sorted_line,
    working,
)
from spikesorter.cli.options import (
    AsJson,
    Assignments,
    Jobs,
    Quiet,
    Report,
    reads_recordings,
)
from spikesorter.core.errors import SettingsError

if TYPE_CHECKING:
    from spikesorter.core.settings import Settings
    from spikesorter.io.recording import RecordingOptions
    from spikesorter.workflows.tasks import Outcome

__all__ = ["batch", "listen_command", "sort"]


@reads_recordings
def sort(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Recordings to sort.")],
    model: Annotated[
        Path, typer.Option("--model", metavar="FOLDER", help="From `train`, or OUT/model of `run`.")
    ],
    out: Annotated[Path, typer.Option("--out", metavar="FOLDER", help="Where to write the results.")],
    to: Annotated[
        str,
        typer.Option(metavar="FORMAT", help="Of the results: mat, csv, parquet, nwb, phy or analyzer."),
    ] = "mat",
    *,
    options: RecordingOptions,
    assignments: Assignments = None,
    n_jobs: Jobs = None,
    span_seconds: Annotated[
        float,
        typer.Option(metavar="S", min=0.001, max=1e6, help="Read a recording in spans of S. Same result."),
    ] = 10.0,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Keep finished spans; go on where such a run stopped."),
    ] = False,
    report: Report = True,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Sort recordings of any format with a saved model (inference only).

    Each recording's result is named after it, FOLDER/NAME.mat, say; FOLDER/report.html shows them all.
    Each is sorted by the model's adaptation to noise and gain most like its own. Of the settings, only
    output.threshold and output.refractory_ms can still be changed.
    """
    from spikesorter.core.settings import Settings

    point = _working_point(Settings().replace(assignments or ()))
    with working(quiet or as_json) as (progress, say):
        from spikesorter.sorting.model import load_model
        from spikesorter.workflows.files import sort_files

        done = sort_files(
            files,
            load_model(model).with_working_point(**point),
            out,
            to=to,
            options=options,
            n_jobs=n_jobs,
            span_seconds=span_seconds,
            resume=resume,
            report=report,
            progress=progress,
            on_result=lambda one: say(sorted_line(one)),
        )
    if as_json:
        typer.echo(sorted_json(done))
    elif not quiet:
        typer.echo(f"Results: {out}" + (f"; look at {out / 'report.html'}" if report else ""))


@reads_recordings
def batch(
    source: Annotated[
        Path,
        typer.Argument(metavar="MANIFEST|FOLDER", help="TOML that lists recordings, or a folder of them."),
    ],
    out: Annotated[Path, typer.Option("--out", metavar="FOLDER", help="Where to write the results.")],
    model: Annotated[
        Path | None,
        typer.Option("--model", metavar="FOLDER", help="For recordings that the manifest names none for."),
    ] = None,
    to: Annotated[
        str,
        typer.Option(metavar="FORMAT", help="Of the results: mat, csv, parquet, nwb, phy or analyzer."),
    ] = "mat",
    root: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Where a manifest's paths start. [the manifest's own folder]"),
    ] = None,
    n_jobs: Annotated[
        int, typer.Option("--jobs", "-j", metavar="N", min=1, max=1024, help="Processes on this machine.")
    ] = 1,
    scheduler: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Of a running Dask cluster, tcp://HOST:PORT, instead."),
    ] = None,
    span_seconds: Annotated[
        float,
        typer.Option(metavar="S", min=0.001, max=1e6, help="Work that a kill may lose, of each recording."),
    ] = 60.0,
    restart: Annotated[
        bool,
        typer.Option("--restart", help="Take over a folder of other settings: sort everything again."),
    ] = False,
    *,
    options: RecordingOptions,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Sort many recordings; go on where an earlier run was killed; one that fails does not stop the others.

    Writes FOLDER/predictions/NAME.mat and, at the end, batch.json: of each recording what became of it, how
    long it took and how good it is expected to be. The same command, started again, sorts what is missing.
    Exit code 1 if any failed.
    """
    from spikesorter.workflows.manifest import read_jobs

    with working(quiet or as_json) as (progress, say):
        from spikesorter.workflows.batch import run_batch
        from spikesorter.workflows.cluster import running_on

        recordings = read_jobs(source, model=model, options=options, root=root)
        numbers = count(1)

        def tell(outcome: Outcome) -> None:
            line = outcome_line(outcome)
            if outcome.state == "failed" and quiet:
                typer.echo(f"spikesorter: error: {line}", err=True)
            say(f"{next(numbers)}/{len(recordings)} {line}")

        with running_on(n_jobs, scheduler) as runner:
            outcomes = run_batch(
                recordings,
                out,
                to=to,
                runner=runner,
                span_seconds=span_seconds,
                restart=restart,
                progress=progress,
                on_outcome=tell,
            )
    failed = [outcome for outcome in outcomes if outcome.state == "failed"]
    if as_json:
        typer.echo((out / "batch.json").read_text(encoding="utf-8"))
    elif not quiet:
        print_batch(outcomes)
        typer.echo(f"Results: {out}")
    if failed:
        raise typer.Exit(1)


def listen_command(
    model: Annotated[
        Path, typer.Option("--model", metavar="FOLDER", help="From `train`, or OUT/model of `run`.")
    ],
    source: Annotated[
        str, typer.Argument(help="-: standard input; tcp://HOST:PORT; or lsl:NAME (Lab Streaming Layer).")
    ] = "-",
    like: Annotated[
        str | None,
        typer.Option("--like", metavar="NAME", help="Sort as adapted to this target."),
    ] = None,
    calibrate: Annotated[
        float,
        typer.Option(metavar="S", min=0.0, max=1e5, help="Or adapt to the first S seconds."),
    ] = 0.0,
    fast: Annotated[
        bool, typer.Option("--fast", help="Report within some milliseconds, a little less accurately.")
    ] = False,
    dtype: Annotated[
        Literal["int16", "float32"], typer.Option(help="Of raw samples (not for lsl).")
    ] = "int16",
    quiet: Quiet = False,
) -> None:
    """Sort a recording that is still going on; write each spike as a line of JSON as soon as it is sure.

    Each line says `sample`, `time_s`, `class`, `probability`, `unit_probability`, and `behind_s`: how much
    later the stream was when the spike was reported. Nothing is dropped: samples that come during calibration
    are sorted after it.
    """
    from spikesorter.workflows.live import open_source, open_stream
    from spikesorter.workflows.sources import listen

    with working(quiet) as (_, say):
        stream = open_stream(model, like=like, calibration_seconds=calibrate, fast=fast, say=say)
        packets = open_source(source, dtype=dtype, fs_hz=stream.fs_hz, channels=stream.channels)
        found = 0
        for spike in listen(packets, stream):
            sys.stdout.write(json.dumps(spike) + "\n")
            sys.stdout.flush()
            found += 1
        say(f"{found} spikes in {stream.received_samples / stream.fs_hz:.1f} s of signal")


def _working_point(settings: Settings) -> dict[str, Any]:
    from spikesorter.core.settings import Settings

    point = {"threshold": settings.output.threshold, "refractory_ms": settings.output.refractory_ms}
    if settings.replace(output=dict.fromkeys(point)) != Settings():
        raise SettingsError(
            "only output.threshold and output.refractory_ms can be set when sorting; "
            "all else was fixed when the model was trained"
        )
    return point
