"""Options shared by several commands, each defined once."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from spikesorter.cli.completion import complete_assignment, complete_format, complete_preset
from spikesorter.core.errors import InputError

if TYPE_CHECKING:
    from spikesorter.io.exclusion import Exclusion
    from spikesorter.io.recording import RecordingOptions

__all__ = [
    "BLANK_MS",
    "AsJson",
    "Assignments",
    "BlankEvents",
    "BlankMs",
    "Config",
    "EventsFile",
    "Exclude",
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
    "exclusion_of",
    "reads_recordings",
]

INPUT = "How recordings are read"
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
        help="With --to nwb: TOML file that describes subject, session and electrodes.",
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
Format = Annotated[
    str | None,
    typer.Option(
        "--format",
        metavar="NAME",
        help="Format, if the file name does not show it: raw, npy, intan, openephysbinary, ...",
        rich_help_panel=INPUT,
    ),
]
Dtype = Annotated[
    str | None,
    typer.Option(
        "--dtype",
        metavar="TYPE",
        help="Raw binary: type of a sample, such as int16 or float32.",
        rich_help_panel=INPUT,
    ),
]
Channels = Annotated[
    int | None,
    typer.Option(
        "--channels",
        metavar="N",
        help="Raw binary: number of channels.",
        rich_help_panel=INPUT,
        callback=between(1, 100_000),
    ),
]
Planar = Annotated[
    bool,
    typer.Option(
        "--planar",
        help="Raw binary: each channel is stored as a whole, one after the other.",
        rich_help_panel=INPUT,
    ),
]
Channel = Annotated[
    list[str] | None,
    typer.Option(
        "--channel",
        metavar="ID",
        help="Read only this channel, by id, name or position (from 0). Repeatable.",
        rich_help_panel=INPUT,
    ),
]
Group = Annotated[
    str | None,
    typer.Option(
        "--group",
        metavar="ID",
        help="Read only this group of channels, such as a tetrode.",
        rich_help_panel=INPUT,
    ),
]
StreamName = Annotated[
    str | None,
    typer.Option(
        "--stream", metavar="NAME", help="Read this stream, if there are several.", rich_help_panel=INPUT
    ),
]
Segment = Annotated[
    int | None,
    typer.Option(
        "--segment",
        metavar="N",
        help="Read this segment (from 0), if there are several.",
        rich_help_panel=INPUT,
        callback=between(0, 1_000_000),
    ),
]
InputRate = Annotated[
    float | None,
    typer.Option(
        "--fs",
        metavar="HZ",
        help="Sampling rate of files that do not state it.",
        rich_help_panel=INPUT,
        callback=between(100, 1e7),
    ),
]


Resample = Annotated[
    bool,
    typer.Option(
        "--resample",
        help="Resample recordings whose sampling rate is not the model's. Results count the recording's "
        "own samples.",
        rich_help_panel=INPUT,
    ),
]

Variable = Annotated[
    list[str] | None,
    typer.Option(
        "--variable",
        metavar="NAME=VARIABLE",
        help="Variable of a .mat file that has another name: of trace (d), fs, index (Index) or class "
        "(Class). Repeatable.",
        rich_help_panel=INPUT,
    ),
]


Exclude = Annotated[
    Path | None,
    typer.Option(
        "--exclude",
        metavar="PATH",
        help="Stretches to leave out: a table with columns start_s and stop_s, or first_sample and "
        "last_sample (for several recordings also recording); an .nwb file with invalid_times; or a folder "
        "of such files, NAME.csv for each recording.",
        rich_help_panel=INPUT,
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
BlankEvents = Annotated[
    Path | None,
    typer.Option(
        "--blank-events",
        metavar="PATH",
        help="Events to leave out, such as stimulation pulses: a table with a column time_s or sample, or a "
        "folder of such files.",
        rich_help_panel=INPUT,
    ),
]
BlankMs = Annotated[
    tuple[float, float],
    typer.Option(
        "--blank-ms",
        metavar="FROM TO",
        help="What is left out around each event, milliseconds.",
        rich_help_panel=INPUT,
    ),
]
SubtractMs = Annotated[
    float,
    typer.Option(
        "--subtract-ms",
        metavar="MS",
        help="Subtract the response to each event, up to so long after it; 0: do not. Without "
        "--blank-events, sort and batch find pulses of one shape by themselves.",
        rich_help_panel=INPUT,
    ),
]
BLANK_MS = (-0.5, 6.0)
"""Default of `--blank-ms`."""


def exclusion_of(
    exclude: Path | None,
    blank_events: Path | None,
    blank_ms: tuple[float, float],
    subtract_ms: float,
    *,
    pulses_are_found: bool = False,
) -> Exclusion | None:
    """Return what these options leave out of recordings, or None if they were not given.

    Pulses are found with a model only; without one, `--subtract-ms` needs `--blank-events`.
    """
    from spikesorter.io.exclusion import Exclusion

    if exclude is None and blank_events is None and not subtract_ms:
        return None
    if subtract_ms and blank_events is None and not pulses_are_found:
        raise InputError(
            "--subtract-ms: needs the events whose response is subtracted (--blank-events); only sort and "
            "batch find them"
        )
    return Exclusion(str(exclude or ""), str(blank_events or ""), blank_ms, subtract_ms)


READING: dict[str, Any] = {
    "fs": InputRate,
    "dtype": Dtype,
    "channels": Channels,
    "planar": Planar,
    "form": Format,
    "stream": StreamName,
    "segment": Segment,
    "channel": Channel,
    "group": Group,
    "resample": Resample,
    "variable": Variable,
}
DEFAULTS: dict[str, Any] = {"planar": False, "resample": False}


def reads_recordings(command: Callable[..., None]) -> Callable[..., None]:
    """Replace a command's parameter `options` by the command-line options for reading recordings.

    Parameters
    ----------
    command : callable
        Function with a keyword parameter `options` of type `RecordingOptions`.

    Returns
    -------
    callable
        The command, with a signature for typer.
    """

    @wraps(command)
    def with_options(**given: Any) -> None:
        chosen = {name: given.pop(name) for name in READING}
        command(**given, options=_recording_options(**chosen))

    kinds = get_type_hints(command, localns={"RecordingOptions": Any}, include_extras=True)  # imports nothing
    kind = Parameter.KEYWORD_ONLY
    shown: list[Parameter] = []
    for name, parameter in signature(command).parameters.items():
        if name == "options":
            shown += [
                Parameter(one, kind, default=DEFAULTS.get(one), annotation=READING[one]) for one in READING
            ]
        else:
            shown.append(parameter.replace(kind=kind, annotation=kinds[name]))
    with_options.__signature__ = Signature(shown)  # type: ignore[attr-defined]  # read by typer
    with_options.__annotations__ = {parameter.name: parameter.annotation for parameter in shown}
    return with_options


def _recording_options(
    *,
    fs: float | None,
    dtype: str | None,
    channels: int | None,
    planar: bool,
    form: str | None,
    stream: str | None,
    segment: int | None,
    channel: list[str] | None,
    group: str | None,
    resample: bool,
    variable: list[str] | None,
) -> RecordingOptions:
    from spikesorter.io.recording import RecordingOptions

    return RecordingOptions(
        fs_hz=fs,
        dtype=dtype,
        channels=channels,
        planar=planar,
        format=form,
        stream=stream,
        segment=segment,
        channel=tuple(channel or ()),
        group=group,
        resample=resample,
        variable=tuple(variable or ()),
    )
