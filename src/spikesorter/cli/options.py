"""Options that several commands share: one definition each."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

if TYPE_CHECKING:
    from spikesorter.io.recording import RecordingOptions

__all__ = [
    "AsJson",
    "Assignments",
    "Channel",
    "Channels",
    "Config",
    "Dtype",
    "Format",
    "Group",
    "Jobs",
    "Objective",
    "Preset",
    "Quiet",
    "Rate",
    "Report",
    "Segment",
    "StreamName",
    "reads_recordings",
]

INPUT = "Recordings"

Config = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="TOML file of settings; see `spikesorter config`."),
]
Assignments = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="A single setting, such as output.threshold=0.8. Repeatable."
    ),
]
Preset = Annotated[
    str,
    typer.Option("--preset", metavar="NAME", help="default, or published: the published pipeline's choices."),
]
Objective = Annotated[
    str | None,
    typer.Option(
        "--objective",
        metavar="NAME",
        help="What to tune for: study (default), strict, f1, or a precision to keep, such as precision=0.99.",
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print errors and warnings only.")]
AsJson = Annotated[
    bool, typer.Option("--json", help="Print one JSON object, for programs, rather than words and tables.")
]
Report = Annotated[
    bool, typer.Option("--report/--no-report", help="Write report.html, to look at in a browser.")
]
Rate = Annotated[
    float | None,
    typer.Option("--fs", metavar="HZ", min=100.0, max=1e7, help="Sampling rate, where a file does not say."),
]
Jobs = Annotated[
    int | None,
    typer.Option(
        "--jobs", "-j", metavar="N", min=1, max=1024, help="Threads; all cores if not given. Same result."
    ),
]
Format = Annotated[
    str | None,
    typer.Option(
        "--format",
        metavar="NAME",
        help="What they are, if the name does not say: raw, npy, intan, openephysbinary, ...",
        rich_help_panel=INPUT,
    ),
]
Dtype = Annotated[
    str | None,
    typer.Option("--dtype", metavar="TYPE", help="Raw binary: int16, float32, ...", rich_help_panel=INPUT),
]
Channels = Annotated[
    int | None,
    typer.Option("--channels", metavar="N", min=1, help="Raw binary: channels.", rich_help_panel=INPUT),
]
Channel = Annotated[
    list[str] | None,
    typer.Option(
        "--channel", metavar="ID", help="Read this channel of many. Repeatable.", rich_help_panel=INPUT
    ),
]
Group = Annotated[
    str | None,
    typer.Option(
        "--group", metavar="ID", help="Read this group of channels (a tetrode).", rich_help_panel=INPUT
    ),
]
StreamName = Annotated[
    str | None,
    typer.Option(
        "--stream", metavar="NAME", help="Read this stream, where there are several.", rich_help_panel=INPUT
    ),
]
Segment = Annotated[
    int | None,
    typer.Option(
        "--segment", metavar="N", min=0, help="Read this segment (from 0) of several.", rich_help_panel=INPUT
    ),
]


READING: dict[str, Any] = {
    "fs": Rate,
    "dtype": Dtype,
    "channels": Channels,
    "form": Format,
    "stream": StreamName,
    "segment": Segment,
    "channel": Channel,
    "group": Group,
}


def reads_recordings(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that say how a recording is read, in the place of its parameter `options`.

    Parameters
    ----------
    command : callable
        Has a keyword parameter `options`, which takes a `RecordingOptions`.

    Returns
    -------
    callable
        With the signature that typer is to see.
    """

    @wraps(command)
    def with_options(**given: Any) -> None:
        said = {name: given.pop(name) for name in READING}
        command(**given, options=_recording_options(**said))

    kinds = get_type_hints(command, localns={"RecordingOptions": Any}, include_extras=True)  # loads nothing
    kind = Parameter.KEYWORD_ONLY
    seen: list[Parameter] = []
    for name, parameter in signature(command).parameters.items():
        if name == "options":
            seen += [Parameter(one, kind, default=None, annotation=READING[one]) for one in READING]
        else:
            seen.append(parameter.replace(kind=kind, annotation=kinds[name]))
    with_options.__signature__ = Signature(seen)  # type: ignore[attr-defined]  # what typer reads
    with_options.__annotations__ = {parameter.name: parameter.annotation for parameter in seen}
    return with_options


def _recording_options(
    *,
    fs: float | None,
    dtype: str | None,
    channels: int | None,
    form: str | None,
    stream: str | None,
    segment: int | None,
    channel: list[str] | None,
    group: str | None,
) -> RecordingOptions:
    from spikesorter.io.recording import RecordingOptions

    return RecordingOptions(
        fs_hz=fs,
        dtype=dtype,
        channels=channels,
        format=form,
        stream=stream,
        segment=segment,
        channel=tuple(channel or ()),
        group=group,
    )
