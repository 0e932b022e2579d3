"""Command to start without labels: `discover`."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from spikesorter.cli.commands import examples
from spikesorter.cli.console import echo, sorted_line
from spikesorter.cli.options import (
    AsJson,
    Assignments,
    Config,
    ExportFormat,
    NJobs,
    Out,
    Preset,
    Quiet,
    Report,
)
from spikesorter.cli.progress import working
from spikesorter.cli.reading import leaves_out, reads_recordings
from spikesorter.core.text import visible

if TYPE_CHECKING:
    from spikesorter.io.exclusion import Exclusion
    from spikesorter.io.recording import RecordingOptions
    from spikesorter.workflows.discovering import DiscoveredFiles

__all__ = ["DISCOVER_EXAMPLES", "discover"]

DISCOVER_EXAMPLES = examples(
    "discover session.ns5 --channel 17 --out FOUND",
    "discover monday-1.ns5 monday-2.ns5 --channel 17 --out FOUND --polarity negative",
    "discover tetrodes.nwb --by-group --out FOUND",
    "discover tetrode.dat --fs 30000 --dtype int16 --channels 4 --out FOUND --to phy",
)
FIGURES = ("unit", "spikes", "Hz", "d'", "false", "missed", "<1.5\nms", "nearest\n(d')")


@leaves_out()
@reads_recordings
def discover(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE...", help="Recordings without labels; several of one session share their units."
        ),
    ],
    out: Out,
    n_units: Annotated[
        int | None, typer.Option("--units", metavar="N", help="How many units there are. [found out]")
    ] = None,
    polarity: Annotated[
        Literal["negative", "positive"] | None,
        typer.Option("--polarity", help="Of the largest deflection of all spikes. [either]"),
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(
            "--labels",
            metavar="PATH",
            help="Some spikes that are known, as for `train`: they stay what they are. [none]",
        ),
    ] = None,
    by_group: Annotated[
        bool,
        typer.Option(
            "--by-group", help="Find units in each group of channels (tetrode); `sort` combines the results."
        ),
    ] = False,
    n_jobs: NJobs = None,
    config: Config = None,
    assignments: Assignments = None,
    preset: Preset = "default",
    *,
    options: RecordingOptions,
    exclude: Exclusion | None = None,
    to: ExportFormat = "mat",
    report: Report = True,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Find the units of recordings without labels, and sort them.

    Writes FOLDER/model, with which `sort`, `batch` and `listen` go on; FOLDER/NAME.mat (or another
    format), the spikes; units.json and units.csv, what is known of each unit; and report.html.
    """
    from spikesorter.core.settings import load_settings

    settings = load_settings(config, preset=preset, assignments=assignments or ())
    with working(quiet or as_json) as (progress, say):
        from spikesorter.workflows.discovering import Known, discover_files

        found = discover_files(
            files,
            out,
            settings,
            to=to,
            options=replace(options, exclude=exclude),
            known=Known(n_units, polarity, labels),
            by_group=by_group,
            n_jobs=n_jobs,
            report=report,
            progress=progress,
        )
        for one in found.sorted:
            say(sorted_line(one, discovered=True))
    if as_json:
        model = str(out / "model") if found.sorted else None
        listed = {"recordings": [str(file) for file in files], "model": model, "units": found.rows}
        typer.echo(json.dumps(listed, indent=2))
    elif not quiet:
        _print_units(found)
        echo(f"Results: {out}" + (f"; see {out / 'report.html'}" if report and found.sorted else ""))


def _print_units(found: DiscoveredFiles) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    if not found.units:
        echo("No units were found.")
        return
    # Narrow, so that no number is cut off in a terminal of 80 columns.
    table, named = Table(box=SIMPLE_HEAD, pad_edge=False, padding=0, show_edge=False), len(found.groups) > 1
    if named:
        table.add_column("group", overflow="fold")
    for column in FIGURES:
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    table.add_column("why", overflow="fold")
    for group, unit in found.units:
        near = "" if unit.nearest is None else f"{unit.nearest} ({unit.nearest_detectability:.1f})"
        shares = (f"{share:.1%}" for share in (unit.false_share, unit.missed_share, unit.violations))
        figures = (str(unit.spikes), f"{unit.rate_hz:.1f}", f"{unit.detectability:.1f}")
        cells = (str(unit.unit), *figures, *shares, near, unit.verdict, "\n".join(unit.reasons))
        table.add_row(*([Text(visible(group))] if named else []), *cells)
    Console().print(table)
