"""The file of a user's corrections: on disk when acknowledged, whole after a kill."""

from __future__ import annotations

import json
import os
import threading
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from spikesorter.core.errors import InputError, naming
from spikesorter.io.atomic import check_writable
from spikesorter.report.corrections import Change, Correction, Edit

__all__ = ["CorrectionLog", "check_not_linked"]


class CorrectionLog:
    """File of corrections, one line of JSON for each correction or edit; lines are added, never removed.

    Once `append` returns, the correction is safely on disk. A line that was incomplete when the program was
    killed is ignored, and removed before the next line is added.

    Parameters
    ----------
    path : Path
        Created with the first correction.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     log = CorrectionLog(Path(folder) / "D5.jsonl")
    ...     log.append(Correction(1200, 1, "rename", to=2))
    ...     [correction.spike for correction in log.read()]
    [(1200, 1)]
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()

    def append(self, change: Change) -> None:
        """Add a correction or an edit, which is on disk when this returns; its time is that of the clock.

        Raises
        ------
        InputError
            If it cannot be written; the file is then unchanged.
        """
        line = json.dumps(_fields(change)).encode() + b"\n"
        with self._lock:
            check_not_linked(self.path)
            check_writable(self.path.parent)
            try:
                self._write(line)
            except OSError as error:
                raise InputError(f"{self.path}: cannot be written: {error.strerror or error}") from None

    def stamp(self) -> tuple[int, ...]:
        """Return numbers that change whenever the file does.

        Raises
        ------
        InputError
            If the file or its folder is a link.
        """
        check_not_linked(self.path)
        try:
            stat = self.path.stat()
        except OSError:
            return ()
        return stat.st_ino, stat.st_size, stat.st_mtime_ns

    def read(self) -> list[Change]:
        """Return all corrections and edits, in the order in which they were made.

        Logs of earlier versions are read as well: those have no times, some have `label` instead of `unit`,
        and to accept a spike meant to accept it as found.

        Raises
        ------
        InputError
            If the file cannot be read or contains anything but corrections.
        """
        check_not_linked(self.path)
        try:
            *lines, _torn = self.path.read_bytes().split(b"\n")
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise InputError(f"{self.path}: cannot be read: {error.strerror or error}") from None
        return [self._parsed(number, line) for number, line in enumerate(lines, start=1)]

    def _write(self, line: bytes) -> None:
        new = not self.path.exists()
        with open(self.path, "ab+", buffering=0, opener=_open_unlinked) as file:
            end = _whole_lines(file.seek(0, os.SEEK_END), file)
            file.truncate(end)
            try:
                if file.write(line) != len(line):
                    raise OSError("only a part of it could be written")
                os.fsync(file.fileno())
            except OSError:
                file.truncate(end)
                raise
        if new and hasattr(os, "O_DIRECTORY"):
            _sync_folder(self.path.parent)

    def _parsed(self, number: int, line: bytes) -> Change:
        with naming(f"{self.path}: line {number}"):
            try:
                return _change(json.loads(line))
            except (ValueError, TypeError, RecursionError):
                raise InputError(
                    f"is not a correction: {line[:60].decode(errors='replace')!r}; expected e.g. "
                    '{"sample": 1200, "unit": 1, "action": "reject"}. Correct or remove the line'
                ) from None


def _fields(change: Change) -> dict[str, Any]:
    given = {name: value for name, value in asdict(change).items() if value not in (None, ())}
    return given | {"at": change.at or datetime.now(UTC).isoformat(timespec="seconds")}


def _change(fields: Any) -> Change:
    if not isinstance(fields, dict):
        raise TypeError("not an object")
    if "sample" not in fields:
        given = {"spikes": tuple(tuple(spike) for spike in fields.get("spikes", ()))}
        return Edit(**fields | given)
    if "at" not in fields:
        fields = _as_now(fields)
    return Correction(**fields)


def _as_now(fields: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a line of an earlier version as they are named and meant now."""
    if "unit" not in fields and "label" in fields:
        fields = {("unit" if name == "label" else name): value for name, value in fields.items()}
    if fields.get("action") == "accept" and fields.get("to") is None:
        return fields | {"to": fields.get("unit")}
    return fields


def check_not_linked(path: Path) -> None:
    """Refuse a file of corrections or labels, or its folder, that is a link to somewhere else.

    Raises
    ------
    InputError
    """
    for place in (path.parent, path):
        if place.is_symlink():
            raise InputError(
                f"{place}: is a link; corrections are written inside the folder of results only. Replace the "
                "link by what it leads to"
            )


def _open_unlinked(path: str, flags: int) -> int:
    """Open a file; refuse a link that has taken its place meanwhile."""
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o666)


def _whole_lines(end: int, file: Any) -> int:
    """Return the end of the last complete line of a file."""
    step = 4096
    while end > 0:
        first = max(end - step, 0)
        file.seek(first)
        found = file.read(end - first).rfind(b"\n")
        if found >= 0:
            return int(first + found + 1)
        end = first
    return 0


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
