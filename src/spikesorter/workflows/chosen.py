"""What a user has chosen on the start page: files, channels, bad stretches."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from spikesorter.core.bad_stretches import BadStretches
from spikesorter.core.errors import InputError, naming
from spikesorter.io.bad_table import to_stretch, write_bad_table
from spikesorter.io.exclusion import Exclusion
from spikesorter.io.paths import is_there
from spikesorter.io.recording import RecordingOptions
from spikesorter.workflows.preview import open_for_preview

__all__ = ["EXCLUDED", "Chosen", "number_in", "path_in", "reading_options"]

EXCLUDED = "excluded"
"""Folder in the results with the stretches that were marked as bad, a table for each recording."""

Fields = Mapping[str, Any]
Span = tuple[float, float]


@dataclass(frozen=True)
class Chosen:
    """What to learn from, what to sort, and what to leave out.

    Parameters
    ----------
    recording : Path
    labels : Path or None
        None: those in the recording's own file.
    targets : tuple of Path
        Recordings to sort; none: the recording itself.
    out : Path
    unlabelled : bool
        Whether units are to be found.
    reading : RecordingOptions
        How the recordings are read, with the chosen channels.
    bad : mapping of Path to tuple of (float, float)
        Start and stop of stretches to leave out, in seconds, for each recording that has any.
    """

    recording: Path
    labels: Path | None
    targets: tuple[Path, ...]
    out: Path
    unlabelled: bool
    reading: RecordingOptions
    bad: Mapping[Path, tuple[Span, ...]]

    @classmethod
    def of(cls, fields: Fields) -> Chosen:
        """Return what the fields of a form say.

        Parameters
        ----------
        fields : mapping
            `recording`, `labels` ("": its own), `unlabelled`, `targets`, `out`; `reading`, `channels` (ids;
            none: all); `bad`: a list of [start, stop], in seconds, for each path.

        Raises
        ------
        InputError
            If something is missing, or cannot be.
        """
        recording, out = path_in(fields, "recording"), path_in(fields, "out", must_exist=False)
        labels = path_in(fields, "labels") if fields.get("labels") else None
        targets = _list(fields, "targets", "paths")
        unlabelled = fields.get("unlabelled") is True
        if unlabelled and labels is not None:
            raise InputError("labels: they are not used if units are to be found; remove one of the two")
        channels = tuple(str(one) for one in _list(fields, "channels", "names of channels"))
        chosen = tuple(path_in({"target": one}, "target") for one in targets)
        reading = replace(reading_options(fields), channel=channels)
        bad = _bad(fields, {recording, *chosen})
        return cls(recording, labels, chosen, out, unlabelled, reading, bad)

    def options(self, paths: Sequence[Path]) -> RecordingOptions:
        """Return how recordings are read, and what is left out of them, if anything is."""
        if not any(path in self.bad for path in paths):
            return self.reading
        return replace(self.reading, exclude=Exclusion(str((self.out / EXCLUDED).resolve())))

    def write_bad(self) -> None:
        """Write the table of each recording's bad stretches, or remove an older one.

        Raises
        ------
        InputError
            If two recordings have one name, a stretch is not in its recording, or a table cannot be written.
        """
        folder, every = self.out / EXCLUDED, dict.fromkeys([self.recording, *self.targets])
        if not self.bad and not folder.is_dir():
            return
        names = {self.reading.name_of(path): path for path in every}
        if len(names) < len(every):
            raise InputError("bad stretches: two recordings have one name; rename one of them")
        for name, path in names.items():
            opened = open_for_preview(path, replace(self.reading, channel=()))
            with naming(path):
                stretches = _stretches(self.bad.get(path, ()), opened.fs_hz, opened.n_samples)
            write_bad_table(folder / f"{name}.mat", stretches, fs_hz=opened.fs_hz)


def reading_options(fields: Fields) -> RecordingOptions:
    """Return how recordings are read: `reading` has `fs_hz`, `dtype`, `channels`, `stream`, `segment`.

    Raises
    ------
    InputError
        If a number is none.
    """
    given = fields.get("reading") or {}
    if not isinstance(given, Mapping):
        raise InputError("reading must be an object with fs_hz, dtype, channels, stream and segment")
    fs_hz = number_in(given, "fs_hz") if given.get("fs_hz") else None
    channels = round(number_in(given, "channels")) if given.get("channels") else None
    dtype = str(given["dtype"]).strip() if given.get("dtype") else ""
    stream = str(given["stream"]) if given.get("stream") else None
    segment = None if given.get("segment") in (None, "") else round(number_in(given, "segment"))
    return RecordingOptions(
        fs_hz=fs_hz, dtype=dtype or None, channels=channels, stream=stream, segment=segment
    )


def path_in(fields: Fields, name: str, *, must_exist: bool = True) -> Path:
    """Return the path in a field.

    Raises
    ------
    InputError
        If there is none, or nothing is there.
    """
    given = fields.get(name)
    if not isinstance(given, str) or not given.strip():
        raise InputError(f"{name}: choose a {'folder' if name == 'out' else 'file'}")
    try:
        path = Path(given.strip()).expanduser()
        exists = is_there(path)
    except (OSError, RuntimeError, ValueError) as error:  # too long, an unknown user's home, a null
        raise InputError(f"{name}: {given:.80}: cannot be used: {error}") from None
    if must_exist and not exists:
        raise InputError(f"{path}: no such file")
    return path


def number_in(fields: Fields, name: str) -> float:
    """Return the number in a field, which may be text.

    Raises
    ------
    InputError
        If it is none, or not finite.
    """
    try:
        value = float(fields.get(name))  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        value = math.nan
    if not math.isfinite(value):
        raise InputError(f"{name}: expected a number, not {fields.get(name)!r:.40}")
    return value


def _list(fields: Fields, name: str, what: str) -> list[Any]:
    given = fields.get(name) or []
    if not isinstance(given, list):
        raise InputError(f"{name} must be a list of {what}")
    return given


def _bad(fields: Fields, known: set[Path]) -> dict[Path, tuple[Span, ...]]:
    given = fields.get("bad") or {}
    if not isinstance(given, Mapping):
        raise InputError("bad must be an object with a list of stretches for each path")
    chosen = {
        path_in({"bad": path}, "bad"): tuple(map(_span, spans)) for path, spans in given.items() if spans
    }
    return {path: spans for path, spans in chosen.items() if path in known}


def _span(given: Any) -> Span:
    if not isinstance(given, list) or len(given) != 2:
        raise InputError(f"a bad stretch must be a start and a stop in seconds, not {given!r:.40}")
    start, stop = (number_in({"time": value}, "time") for value in given)
    if not 0 <= start < stop:
        raise InputError(
            f"bad stretch: from {start:g} to {stop:g} s is nothing; give a start and a later stop"
        )
    return start, stop


def _stretches(spans: Sequence[Span], fs_hz: float, n_samples: int) -> BadStretches:
    for start, _ in spans:
        if start * fs_hz >= n_samples:
            raise InputError(f"bad stretch at {start:g} s: the recording has only {n_samples / fs_hz:.6g} s")
    every = BadStretches.of([to_stretch(start * fs_hz, stop * fs_hz, "given") for start, stop in spans])
    return every.within(0, n_samples)
