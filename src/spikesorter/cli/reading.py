"""Options for how recordings are read and what is left out of them: many options, one value for a command."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial, wraps
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from spikesorter.cli.options import between
from spikesorter.core.errors import InputError

if TYPE_CHECKING:
    from spikesorter.io.exclusion import Exclusion
    from spikesorter.io.recording import RecordingOptions

__all__ = ["BLANK_MS", "exclusion_of", "leaves_out", "reads_recordings"]

INPUT = "How recordings are read"
BLANK_MS = (-0.5, 6.0)

Command = Callable[..., None]

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
LEFT_OUT: dict[str, Any] = {
    "exclude": Exclude,
    "blank_events": BlankEvents,
    "blank_ms": BlankMs,
    "subtract_ms": SubtractMs,
}
LEFT_OUT_DEFAULTS: dict[str, Any] = {"blank_ms": BLANK_MS, "subtract_ms": 0.0}


def reads_recordings(command: Command) -> Command:
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
    return _with_many(command, "options", READING, DEFAULTS, _recording_options)


def leaves_out(*, pulses_are_found: bool = False) -> Callable[[Command], Command]:
    """Replace a command's parameter `exclude` by the command-line options for what to leave out.

    Parameters
    ----------
    pulses_are_found : bool
        Whether the command finds pulses, which needs a model; if not, `--subtract-ms` needs `--blank-events`.

    Returns
    -------
    callable
        For a function with a parameter `exclude` of type `Exclusion` or None, which is None if nothing is to
        be left out.
    """
    made = partial(exclusion_of, pulses_are_found=pulses_are_found)
    return lambda command: _with_many(command, "exclude", LEFT_OUT, LEFT_OUT_DEFAULTS, made)


def _with_many(
    command: Command,
    replaced: str,
    many: Mapping[str, Any],
    defaults: Mapping[str, Any],
    one: Callable[..., Any],
) -> Command:
    """Return a command with many parameters, which are made into the one that it has instead."""

    @wraps(command)
    def with_many(**given: Any) -> None:
        chosen = {name: given.pop(name) for name in many}
        command(**given, **{replaced: one(**chosen)})

    unknown = {"RecordingOptions": Any, "Exclusion": Any}  # imports nothing
    kinds = get_type_hints(command, localns=unknown, include_extras=True)
    kind = Parameter.KEYWORD_ONLY
    shown: list[Parameter] = []
    for name, parameter in signature(command).parameters.items():
        if name == replaced:
            shown += [
                Parameter(each, kind, default=defaults.get(each), annotation=many[each]) for each in many
            ]
        else:
            shown.append(parameter.replace(kind=kind, annotation=kinds[name]))
    with_many.__signature__ = Signature(shown)  # type: ignore[attr-defined]  # read by typer
    with_many.__annotations__ = {parameter.name: parameter.annotation for parameter in shown}
    return with_many


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
