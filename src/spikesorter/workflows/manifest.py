"""Read the list of recordings for a batch, from a folder or from a manifest."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from spikesorter.core.errors import InputError, SpikeSorterError, naming
from spikesorter.core.toml import read_toml
from spikesorter.io.formats import check_regular, find_source, stem_of
from spikesorter.io.paths import is_there
from spikesorter.io.recording import RecordingOptions
from spikesorter.io.recording_parts import part_name

__all__ = ["BatchItem", "read_batch", "read_folder", "read_manifest"]

logger = logging.getLogger(__name__)

MOST_BYTES = 4 << 20  # 50,000 recordings
MOST_SHOWN = 3
MOST_SKIPPED = 20
LONGEST_KEY = 100
OPTIONS = (
    "fs_hz",
    "dtype",
    "channels",
    "format",
    "stream",
    "segment",
    "channel",
    "group",
    "resample",
    "planar",
    "variable",
)


@dataclass(frozen=True)
class BatchItem:
    """One recording to sort, with its model.

    Parameters
    ----------
    name : str
        Name of its result; unique in a batch.
    recording : Path
    model : Path
    options : RecordingOptions
        Options of `read_recording`.
    several : bool
        Whether the recording has several segments, of which this is one.
    """

    name: str
    recording: Path
    model: Path
    options: RecordingOptions
    several: bool = False

    @property
    def part(self) -> str:
        """Name of the recording, or of its segment."""
        return part_name(self.recording, self.options.segment if self.several else None)


def _as_list(value: object) -> object:
    return [value] if isinstance(value, (str, int)) else value


def _as_table(value: object) -> object:
    return {"path": value} if isinstance(value, str) else value


Channels = Annotated[list[str | int], BeforeValidator(_as_list)]


class _Options(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    model: str | None = None
    fs_hz: Annotated[float, Field(ge=100, le=1e7, strict=False)] | None = None
    dtype: str | None = None
    channels: Annotated[int, Field(ge=1, le=100_000)] | None = None
    format: str | None = None
    stream: str | None = None
    segment: Annotated[int, Field(ge=0, le=1_000_000)] | None = None
    channel: Channels | None = None
    group: str | int | None = None
    resample: bool | None = None
    planar: bool | None = None
    variable: Channels | None = None


class _Entry(_Options):
    path: Annotated[str, Field(min_length=1, max_length=4096)]
    name: Annotated[str, Field(min_length=1, max_length=200)] | None = None


class _Manifest(_Options):
    recordings: list[Annotated[_Entry, BeforeValidator(_as_table)]]


def read_batch(
    source: Path,
    *,
    model: Path | None = None,
    options: RecordingOptions | None = None,
    root: Path | None = None,
) -> list[BatchItem]:
    """Read the recordings to sort from a manifest or a folder of recordings.

    Parameters
    ----------
    source : Path
        A `.toml` file or a folder.
    model : Path, optional
        Model for recordings without a model in the manifest.
    options : RecordingOptions, optional
        Options for recordings without them in the manifest.
    root : Path, optional
        Folder to which a manifest's paths are relative; by default the folder of the manifest.

    Returns
    -------
    list of BatchItem

    Raises
    ------
    InputError
        If there is nothing to sort, two results would have the same name, or the manifest cannot be used.
    """
    if source.is_dir():
        return read_folder(source, model=model, options=options)
    return read_manifest(source, model=model, options=options, root=root)


def read_folder(
    folder: Path, *, model: Path | None, options: RecordingOptions | None = None
) -> list[BatchItem]:
    """Return an item for each recording in a folder, in order of name; see `read_batch`.

    Raises
    ------
    InputError

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name in ("b.mat", "a.ns5", "notes.txt"):
    ...         (Path(folder) / name).touch()
    ...     items = read_folder(Path(folder), model=Path("model"))
    >>> [item.name for item in items]
    ['a', 'b']
    """
    if model is None:
        raise InputError(f"{folder}: give the model for this folder with --model")
    entries = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    chosen = options or RecordingOptions()
    skipped = {path: reason for path in entries if (reason := _why_not(path, chosen))}
    found = [BatchItem(stem_of(path), path, model, chosen) for path in entries if path not in skipped]
    _tell_skipped(folder, skipped)
    if not found:
        raise InputError(f"{folder}: contains no recordings of a recognised format; see --format")
    return _named_once([part for item in found for part in _segments_of(item)])


def read_manifest(
    path: Path,
    *,
    model: Path | None = None,
    options: RecordingOptions | None = None,
    root: Path | None = None,
) -> list[BatchItem]:
    r"""Read a manifest: a TOML file with common options and a list `recordings`.

    Parameters, return value and errors are those of `read_batch`. Paths in a manifest may not lead out of
    `root`, so that a manifest from elsewhere cannot make the program read other files.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "night.toml"
    ...     _ = path.write_text('model = "MODEL"\nrecordings = ["a.mat", {path = "b.ns5", channel = "e17"}]')
    ...     [(item.name, item.options.channel) for item in read_manifest(path)]
    [('a', ()), ('b', ('e17',))]
    """
    base = path.parent if root is None else root
    manifest = _parsed(path)
    common = {key: getattr(manifest, key) for key in OPTIONS}
    asked = {key: getattr(options or RecordingOptions(), key) or None for key in OPTIONS}
    items = []
    for number, entry in enumerate(manifest.recordings, start=1):
        with naming(f"{path}: recording {number}"):
            chosen = {key: _first(getattr(entry, key), common[key], asked[key]) for key in OPTIONS}
            chosen["channel"] = tuple(chosen["channel"] or ())
            chosen["variable"] = tuple(map(str, chosen["variable"] or ()))
            chosen |= {key: bool(chosen[key]) for key in ("resample", "planar")}
            chosen["exclude"] = options.exclude if options else None
            recording = _inside(base, entry.path)
            own_model = entry.model or manifest.model
            if own_model is None and model is None:
                raise InputError("has no model; name it in the manifest or give --model")
            item = BatchItem(
                _plain_name(entry.name or stem_of(recording)),
                recording,
                _inside(base, own_model) if own_model else Path(str(model)),
                RecordingOptions(**chosen),
            )
            items += _segments_of(item, named=entry.name is not None)
    if not items:
        raise InputError(f"{path}: lists no recordings")
    with naming(path):
        return _named_once(items)


def _parsed(path: Path) -> _Manifest:
    if not path.exists():
        raise InputError(f"{path}: no such file or folder; expected a manifest (.toml) or recordings")
    contents = read_toml(path, what="manifest", most_bytes=MOST_BYTES)
    try:
        return _Manifest.model_validate(contents)
    except ValidationError as error:
        wrong = [_explained(one) for one in error.errors()[:MOST_SHOWN]]
        raise InputError(f"{path}: {'; '.join(wrong)}") from None


def _explained(error: Mapping[str, Any]) -> str:
    place = [str(part + 1) if isinstance(part, int) else part[:LONGEST_KEY] for part in error["loc"]]
    if error["type"] == "extra_forbidden":
        known = ", ".join(_Entry.model_fields)
        return f"{' '.join(place)}: no such key; a recording may have {known}"
    return f"{' '.join(place)}: {error['msg']}"


def _inside(base: Path, text: str) -> Path:
    """Return a path inside a folder; refuse a path that leads out of it on any operating system."""
    for kind in (PurePosixPath, PureWindowsPath):
        pure = kind(text)
        if pure.is_absolute() or pure.drive or ".." in pure.parts:
            raise InputError(
                f"{text}: leads out of {base.resolve()}, to which paths are relative; see --root"
            )
    if "\0" in text:
        raise InputError(f"{text!r}: is not a valid path")
    try:
        is_there(base / text)
    except OSError as error:  # the name is too long, or the folder cannot be read
        raise InputError(f"{text[:LONGEST_KEY]}: is not a valid path: {error.strerror or error}") from None
    return base / text


def _plain_name(name: str) -> str:
    """Refuse a name that is not a valid file name on all operating systems."""
    if (
        name in (".", "..")
        or name.startswith((".", " "))
        or not name.isprintable()
        or set(name) & set('/\\:*?"<>|')
    ):
        raise InputError(f"name {name!r}: cannot be a file name; give another name with name = ...")
    return name


def _segments_of(item: BatchItem, *, named: bool = False) -> list[BatchItem]:
    """Return an item for each segment, if none was chosen; a file that cannot be read is kept as it is."""
    try:
        count = item.options.segments(item.recording)
    except (SpikeSorterError, OSError):
        return [item]
    if count == 1:
        return [item]
    chosen = item.options.segment
    if chosen is not None:
        name = item.name if named else f"{item.name}-segment{chosen}"
        return [replace(item, name=name, several=True)]
    logger.warning(
        "%s: has %d segments, each of which is sorted: %s-segment0, ...", item.recording, count, item.name
    )
    return [
        replace(item, name=f"{item.name}-segment{k}", options=replace(item.options, segment=k), several=True)
        for k in range(count)
    ]


def _named_once(items: list[BatchItem]) -> list[BatchItem]:
    first: dict[str, BatchItem] = {}
    for item in items:
        other = first.setdefault(item.name.casefold(), item)
        if other is not item:
            raise InputError(
                f"{item.recording} and {other.recording} have the same name, {item.name}, so their results "
                "would collide; rename one of them with name = ... in a manifest"
            )
    return items


def _why_not(path: Path, options: RecordingOptions) -> str:
    """Return why an entry of a folder is no recording; "" if it is one."""
    source = path
    try:
        check_regular(path)
        if options.format is None:
            source = find_source(path).path
    except SpikeSorterError as error:
        return str(error).removeprefix(f"{path}: ").partition(";")[0].partition(". ")[0]
    except OSError as error:
        return error.strerror or str(error)
    if options.format is not None or path.name.endswith(".xdat.json"):
        return ""
    if path.suffix == ".json":
        return (
            "such a file may describe a recording or anything else; if SpikeInterface saved a recording in "
            "it, name it in a manifest"
        )
    return f"is read with {source.name}" if path.suffix == ".xdat" and source != path else ""


def _tell_skipped(folder: Path, skipped: Mapping[Path, str]) -> None:
    """Log the entries of a folder that are not sorted, by reason."""
    by_reason: dict[str, list[str]] = {}
    for path, reason in skipped.items():
        by_reason.setdefault(reason, []).append(path.name)
    for reason, names in by_reason.items():
        more = f" and {len(names) - MOST_SKIPPED} more" if len(names) > MOST_SKIPPED else ""
        logger.warning("%s: skipped %s%s: %s", folder, ", ".join(names[:MOST_SKIPPED]), more, reason)


def _first(*values: Any) -> Any:
    return next((value for value in values if value is not None), None)
