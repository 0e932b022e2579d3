"""Commands that look at results and models: `view`, `evaluate`, `plot`, `model info`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from spikesorter.cli.console import (
    model_json,
    print_comparisons,
    print_confusion,
    print_model,
    print_scores,
    working,
)
from spikesorter.cli.options import (
    AsJson,
    Rate,
    reads_recordings,
)

if TYPE_CHECKING:
    from spikesorter.io.recording import RecordingOptions

__all__ = ["evaluate", "model_commands", "plot", "view"]

model_commands = typer.Typer(name="model", help="Look at a model.", no_args_is_help=True)


@model_commands.callback()
def _model() -> None:
    pass  # keeps `info` a command of its own name while there is no second one


@model_commands.command()
def info(
    model: Annotated[Path, typer.Argument(metavar="FOLDER", help="From `train`, or OUT/model of `run`.")],
    as_json: AsJson = False,
) -> None:
    """Say what a model holds, after checking that it is whole: neurons, what it was adapted to, forecasts."""
    from spikesorter.sorting.model import load_model

    loaded = load_model(model)
    if as_json:
        typer.echo(model_json(loaded))
    else:
        print_model(loaded)


def view(
    out: Annotated[Path, typer.Argument(metavar="FOLDER", help="Results of `run` or `sort`.")],
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any that is free.")] = 0,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open it in the browser.")] = True,
) -> None:
    """Look at results in the browser, however long the recordings, and correct them; ends with Ctrl-C.

    Accept, reject or rename doubtful spikes: FOLDER/corrected/NAME.csv are labels for the next `train`. The
    page is for this machine and this user alone: its address holds a token that is new each time.
    """
    import webbrowser

    from spikesorter.report.viewer import run_viewer

    with working(quiet=False) as (progress, say):

        def ready(url: str) -> None:
            progress("serving", 1.0)
            say(f"Viewer: {url} (Ctrl-C ends it)")
            if browser:
                webbrowser.open(url)

        progress("reading the results", 0.0)
        written = run_viewer(out, port=port, on_ready=ready)
    for path in written:
        typer.echo(f"Labels: {path}")


def evaluate(
    predictions: Annotated[
        Path, typer.Argument(help="Spikes found: a file or folder of any format, or a folder of them.")
    ],
    truth: Annotated[Path, typer.Argument(help="Likewise, with the true spikes.")],
    fs: Rate = None,
    pairing: Annotated[
        Literal["hungarian", "name"],
        typer.Option(help="Pair units with those they agree with most, or with their namesakes."),
    ] = "hungarian",
    as_json: AsJson = False,
) -> None:
    """Score predictions against the truth, as the study does and strictly.

    A second table gives each true unit's accuracy, precision and recall by SpikeInterface's
    compare_sorter_to_ground_truth, for which units may have any names.
    """
    from spikesorter.core.score import study_score
    from spikesorter.report.scoring import compare_files, score_files, unpredicted

    with working(quiet=as_json) as (progress, _):
        scores = score_files(truth, predictions, fs_hz=fs, progress=progress)
        comparisons = compare_files(truth, predictions, fs_hz=fs, pairing=pairing, progress=progress)
    missing = unpredicted(truth, predictions)
    whole = None if missing else study_score({name: s.score for name, s in scores.items()})
    if missing:
        typer.echo(f"spikesorter: warning: no predictions for {', '.join(missing)}: no study score", err=True)
    if as_json:
        rows = {name: s.summary() | {"referee": comparisons[name].summary()} for name, s in scores.items()}
        contents: dict[str, Any] = {"recordings": rows}
        typer.echo(json.dumps(contents | ({} if missing else {"study": whole}), indent=2))
    else:
        print_scores({name: (s, []) for name, s in scores.items()}, [], whole)
        for name, s in scores.items():
            print_confusion(name, s)
        print_comparisons(comparisons)


@reads_recordings
def plot(
    recording: Annotated[Path, typer.Argument(help="The recording.")],
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="Picture to write (.png, .svg, .pdf).")],
    found: Annotated[Path | None, typer.Option(help="Predictions for it.")] = None,
    truth: Annotated[Path | None, typer.Option(help="Its true spikes.")] = None,
    start: Annotated[float, typer.Option(min=0.0, max=1e9, help="Second at which the picture starts.")] = 0.0,
    seconds: Annotated[float, typer.Option(min=0.001, max=60.0, help="How much of it to show.")] = 0.2,
    *,
    options: RecordingOptions,
) -> None:
    """Draw a stretch of a recording with the spikes found in it and the true ones."""
    from spikesorter.io.formats import stem_of
    from spikesorter.io.labels import own_labels, read_labels
    from spikesorter.report.figures import save_trace_figure

    trace = options.read(recording)
    rate = trace.get_sampling_frequency()
    own = None if truth else own_labels(recording, fs_hz=rate, stream=options.stream)
    save_trace_figure(
        out,
        trace,
        found=read_labels(found, fs_hz=rate) if found else None,
        truth=read_labels(truth, fs_hz=rate) if truth else own,
        start_s=start,
        seconds=seconds,
        title=stem_of(recording) if recording.is_dir() else recording.name,
    )
    typer.echo(f"Picture: {out}")
