"""Command to start without labels: `discover`."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spikesorter.cli.commands import examples
from spikesorter.cli.console import echo, sorted_line
from spikesorter.cli.options import (
    BLANK_MS,
    AsJson,
    Assignments,
    BlankEvents,
    BlankMs,
    Config,
    Exclude,
    ExportFormat,
    NJobs,
    Out,
    Preset,
    Quiet,
    Report,
    SubtractMs,
    exclusion_of,
    reads_recordings,
)
from spikesorter.cli.progress import working

if TYPE_CHECKING:
    from spikesorter.io.recording import RecordingOptions
    from spikesorter.sorting.discovery import Discovery

__all__ = ["DISCOVER_EXAMPLES", "discover"]

DISCOVER_EXAMPLES = examples(
    "discover session.ns5 --channel 17 --out FOUND",
    "discover tetrode.dat --fs 30000 --dtype int16 --channels 4 --out FOUND --to phy",
)
COLUMNS = ("unit", "spikes", "Hz", "d'", "false", "missed", "<1.5 ms", "nearest", "d' to it", "")


@reads_recordings
def discover(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Recording without labels.")],
    out: Out,
    n_jobs: NJobs = None,
    config: Config = None,
    assignments: Assignments = None,
    preset: Preset = "default",
    *,
    options: RecordingOptions,
    exclude: Exclude = None,
    blank_events: BlankEvents = None,
    blank_ms: BlankMs = BLANK_MS,
    subtract_ms: SubtractMs = 0.0,
    to: ExportFormat = "mat",
    report: Report = True,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Find the units of a recording without labels, and sort it.

    Writes FOLDER/model, with which `sort`, `batch` and `listen` go on; FOLDER/NAME.mat (or another
    format), the spikes; units.json and units.csv, what is known of each unit; and report.html.
    """
    from spikesorter.core.settings import load_settings

    settings = load_settings(config, preset=preset, assignments=assignments or ())
    with working(quiet or as_json) as (progress, say):
        from spikesorter.workflows.discovering import discover_file

        found = discover_file(
            file,
            out,
            settings,
            to=to,
            options=replace(options, exclude=exclusion_of(exclude, blank_events, blank_ms, subtract_ms)),
            n_jobs=n_jobs,
            report=report,
            progress=progress,
        )
        if found.sorted is not None:
            say(sorted_line(found.sorted))
    if as_json:
        model = str(out / "model") if found.sorted else None
        units = [unit.row() for unit in found.discovery.units]
        typer.echo(json.dumps({"recording": str(file), "model": model, "units": units}, indent=2))
    elif not quiet:
        _print_units(found.discovery)
        echo(f"Results: {out}" + (f"; see {out / 'report.html'}" if report and found.sorted else ""))


def _print_units(found: Discovery) -> None:
    from rich.console import Console
    from rich.table import Table

    if not found.units:
        echo("No units were found.")
        return
    table = Table()
    for number, column in enumerate(COLUMNS):
        last = number == len(COLUMNS) - 1
        table.add_column(column, justify="left" if last else "right", no_wrap=last)
    for unit in found.units:
        near = ("", "") if unit.nearest is None else (str(unit.nearest), f"{unit.nearest_detectability:.1f}")
        shares = (f"{share:.1%}" for share in (unit.false_share, unit.missed_share, unit.violations))
        figures = (str(unit.spikes), f"{unit.rate_hz:.1f}", f"{unit.detectability:.1f}")
        table.add_row(str(unit.unit), *figures, *shares, *near, unit.verdict)
    Console().print(table)
