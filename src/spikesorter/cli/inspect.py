"""Commands to inspect results and models: `view`, `evaluate`, `plot`, `model info`."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from spikesorter.cli.commands import PlainCommand, PlainGroup, examples
from spikesorter.cli.console import (
    echo,
    model_json,
    print_comparisons,
    print_confusion,
    print_left_out,
    print_model,
    print_scores,
)
from spikesorter.cli.options import (
    AsJson,
    EventsFile,
    Rate,
    between,
)
from spikesorter.cli.progress import working
from spikesorter.cli.reading import reads_recordings
from spikesorter.core.errors import InputError

if TYPE_CHECKING:
    from spikesorter.io.recording import RecordingOptions

__all__ = [
    "EVALUATE_EXAMPLES",
    "PLOT_EXAMPLES",
    "VIEW_EXAMPLES",
    "evaluate",
    "model_commands",
    "plot",
    "view",
]

VIEW_EXAMPLES = examples("view", "view OUT", "view SORTED --no-browser --port 8000")
EVALUATE_EXAMPLES = examples(
    "evaluate OUT/predictions STUDY/truth",
    "evaluate phy_folder truth.csv --fs 30000 --json",
)
PLOT_EXAMPLES = examples(
    "plot D2.mat --found OUT/predictions/D2.mat --truth truth/D2.mat --out d2.png",
    "plot probe.dat --fs 30000 --dtype int16 --channels 4 --start 12.5 --seconds 0.1 --out probe.svg",
)

model_commands = typer.Typer(name="model", cls=PlainGroup, help="Inspect a model.", no_args_is_help=True)


@model_commands.callback()
def _model() -> None:
    pass  # without it, typer would drop the name of the only command, `info`


@model_commands.command(cls=PlainCommand, epilog=examples("model info MODEL", "model info OUT/model --json"))
def info(
    model: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="Model, from `train`, or OUT/model of `run`.")
    ],
    as_json: AsJson = False,
) -> None:
    """Check that a model is undamaged, and print its units, targets and expected scores."""
    from spikesorter.sorting.model import load_model

    loaded = load_model(model, warn=False)  # it is among the contents
    if as_json:
        typer.echo(model_json(loaded))
    else:
        print_model(loaded)


def view(
    out: Annotated[
        Path | None,
        typer.Argument(
            metavar="FOLDER",
            help="Results of `run`, `sort` or `batch`. [a start page, to choose recordings and sort them]",
            show_default=False,
        ),
    ] = None,
    port: Annotated[
        int,
        typer.Option(metavar="N", help="Port of the page; 0: any free port.", callback=between(0, 65535)),
    ] = 0,
    browser: Annotated[
        bool,
        typer.Option(
            "--browser/--no-browser",
            help="Open the page in the browser. [opened by default]",
            show_default=False,
        ),
    ] = True,
    events: EventsFile = None,
) -> None:
    """View and correct results in the browser, until stopped with Ctrl-C.

    Recordings may have any length. Doubtful spikes can be accepted, rejected or assigned to another unit. The
    corrected spikes are saved to FOLDER/corrected/NAME.csv, as labels for the next `train`.

    Without FOLDER, the page lets you choose recordings and labels, learns, sorts, and shows the results.

    Only you, on this machine, can open the page: its address contains a new random token each time.
    """
    import webbrowser

    from spikesorter.report.server import redirecting_file
    from spikesorter.report.viewer import run_viewer

    with working(quiet=False) as (progress, say), ExitStack() as until_stopped:

        def ready(url: str) -> None:
            progress("serving", 1.0)
            say(f"Viewer: {url} (stop with Ctrl-C)")
            if browser:
                webbrowser.open(until_stopped.enter_context(redirecting_file(url)).as_uri())

        progress("reading the results" if out else "starting", 0.0)
        if out is None:
            from spikesorter.core.settings import Settings
            from spikesorter.workflows.start_page import run_start_page

            if events is not None:
                raise InputError("--events is for results; give their FOLDER too")
            written = run_start_page(Settings(), port=port, on_ready=ready)
        else:
            written = run_viewer(out, port=port, events=events, on_ready=ready)
    for path in written:
        echo(f"Labels: {path}")


def evaluate(
    predictions: Annotated[
        Path,
        typer.Argument(
            metavar="FOUND", help="The found spikes: a result in any format, or a folder of results."
        ),
    ],
    truth: Annotated[Path, typer.Argument(metavar="TRUTH", help="The true spikes, in the same form.")],
    fs: Rate = None,
    pairing: Annotated[
        Literal["hungarian", "name"],
        typer.Option(help="Pair each true unit with the one that agrees most, or the one of the same name."),
    ] = "hungarian",
    as_json: AsJson = False,
) -> None:
    """Score found spikes against true spikes.

    The first tables show the study's score, the strict score and the confusion matrix, with units paired by
    name. The last table shows the accuracy, precision and recall of each true unit by SpikeInterface's
    compare_sorter_to_ground_truth, for units of any names.
    """
    from spikesorter.core.score import study_score
    from spikesorter.report.scoring import compare_files, mismatches_of_files, score_files, unpredicted

    with working(quiet=as_json) as (progress, _):
        scores = score_files(truth, predictions, fs_hz=fs, progress=progress)
        comparisons = compare_files(truth, predictions, fs_hz=fs, pairing=pairing, progress=progress)
    for words in mismatches_of_files(truth, predictions, fs_hz=fs):
        echo(f"spikesorter: warning: {words}", err=True)
    missing = unpredicted(truth, predictions)
    whole = None if missing else study_score({name: s.score for name, s in scores.items()})
    if missing:
        echo(f"spikesorter: warning: no predictions for {', '.join(missing)}; no study score", err=True)
    if as_json:
        rows = {
            name: s.summary() | {"left_out_s": s.left_out_s, "comparison": comparisons[name].summary()}
            for name, s in scores.items()
        }
        contents: dict[str, Any] = {"recordings": rows}
        typer.echo(json.dumps(contents | ({} if missing else {"study": whole}), indent=2))
    else:
        print_scores({name: (s, []) for name, s in scores.items()}, [], whole)
        print_left_out(scores)
        for name, s in scores.items():
            print_confusion(name, s)
        print_comparisons(comparisons)


@reads_recordings
def plot(
    recording: Annotated[Path, typer.Argument(metavar="RECORDING", help="The recording to draw.")],
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="Figure to write (.png, .svg, .pdf).")],
    found: Annotated[
        Path | None, typer.Option(metavar="PATH", help="Spikes found in it, in any format.")
    ] = None,
    truth: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="Its true spikes. [the labels in the recording's own file]"),
    ] = None,
    start: Annotated[
        float,
        typer.Option(metavar="S", help="Start of the part to draw, in seconds.", callback=between(0, 1e9)),
    ] = 0.0,
    seconds: Annotated[
        float, typer.Option(metavar="S", help="Length of the part, in seconds.", callback=between(0.001, 60))
    ] = 0.2,
    *,
    options: RecordingOptions,
) -> None:
    """Draw part of a recording with found and true spikes."""
    from spikesorter.io.formats import stem_of
    from spikesorter.io.labels import own_labels, read_labels
    from spikesorter.report.figures import save_trace_figure

    opened = options.open(recording)
    rate = opened.recording.get_sampling_frequency()
    own = None if truth else own_labels(opened)
    save_trace_figure(
        out,
        opened.recording,
        found=read_labels(found, fs_hz=rate) if found else None,
        truth=read_labels(truth, fs_hz=rate) if truth else own,
        start_s=start,
        seconds=seconds,
        title=stem_of(recording) if recording.is_dir() else recording.name,
    )
    echo(f"Figure: {out}")
