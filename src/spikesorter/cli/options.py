"""Options shared by several commands, each defined once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from spikesorter.cli.completion import complete_assignment, complete_format, complete_preset

__all__ = [
    "AsJson",
    "Assignments",
    "Config",
    "EventsFile",
    "ExportFormat",
    "ModelFolder",
    "NJobs",
    "Objective",
    "Out",
    "Preset",
    "Quiet",
    "Rate",
    "Report",
    "SubjectFile",
    "between",
]

SETTINGS = "Settings"
OUTPUT = "Output"

Checked = Callable[[float | None], float | None]


def between(least: float, most: float) -> Checked:
    """Return a callback that refuses values outside these bounds, and NaN."""

    def check(value: float | None) -> float | None:
        if value is not None and not least <= value <= most:
            raise typer.BadParameter(f"must be between {least:g} and {most:g}, not {value:g}")
        return value

    return check


Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        help="TOML file of settings; `spikesorter config` prints one to edit.",
        rich_help_panel=SETTINGS,
    ),
]
Assignments = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="One setting, such as decoder=pursuit. Repeatable.",
        rich_help_panel=SETTINGS,
        autocompletion=complete_assignment,
    ),
]
Preset = Annotated[
    str,
    typer.Option(
        "--preset",
        metavar="NAME",
        help="Settings to start from: default, or published (those of the published pipeline).",
        rich_help_panel=SETTINGS,
        autocompletion=complete_preset,
    ),
]
Objective = Annotated[
    str | None,
    typer.Option(
        "--objective",
        metavar="NAME",
        help="Objective for tuning thresholds: study (default), strict, f1, or a required precision, such as "
        "precision=0.99.",
        rich_help_panel=SETTINGS,
    ),
]
ModelFolder = Annotated[
    Path,
    typer.Option("--model", metavar="FOLDER", help="Model, from `train`, or OUT/model of `run`."),
]
Out = Annotated[Path, typer.Option("--out", metavar="FOLDER", help="Folder for the results.")]
ExportFormat = Annotated[
    str,
    typer.Option(
        "--to",
        metavar="FORMAT",
        help="Format of the results: mat, csv, parquet, nwb, phy or analyzer.",
        rich_help_panel=OUTPUT,
        autocompletion=complete_format,
    ),
]
SubjectFile = Annotated[
    Path | None,
    typer.Option(
        "--subject",
        metavar="FILE",
        help="With NWB: TOML or YAML file that describes subject, session and electrodes.",
        rich_help_panel=OUTPUT,
    ),
]
Quiet = Annotated[
    bool,
    typer.Option("--quiet", "-q", help="Print errors and warnings only.", rich_help_panel=OUTPUT),
]
AsJson = Annotated[
    bool,
    typer.Option("--json", help="Print one JSON object instead of tables.", rich_help_panel=OUTPUT),
]
Report = Annotated[
    bool,
    typer.Option(
        "--report/--no-report",
        help="Write report.html, for viewing in a browser. [written by default]",
        show_default=False,
        rich_help_panel=OUTPUT,
    ),
]
Rate = Annotated[
    float | None,
    typer.Option(
        "--fs",
        metavar="HZ",
        help="Sampling rate of files that do not state it.",
        callback=between(100, 1e7),
    ),
]
NJobs = Annotated[
    int | None,
    typer.Option(
        "--n-jobs",
        "-j",
        metavar="N",
        help="Number of threads; -1: one on each core (default). It does not affect results.",
    ),
]
EventsFile = Annotated[
    Path | None,
    typer.Option(
        "--events",
        metavar="PATH",
        help="Events of the experiment, around which spikes are shown: a table or .mat file with time_s or "
        "sample, and perhaps condition; an .nwb file with trials; a recording of Open Ephys, Blackrock, "
        "Intan or SpikeGLX with digital lines (TTL); or a folder of tables, NAME.csv for each recording.",
    ),
]
