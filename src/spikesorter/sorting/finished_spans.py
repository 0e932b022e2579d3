"""Keep the spikes of finished spans on disk, so that an interrupted run can resume where it stopped."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from spikesorter.core.errors import InputError
from spikesorter.core.spikes import Spikes
from spikesorter.io.atomic import atomic_file, check_writable

__all__ = ["FinishedSpans", "open_spans"]

FACTS = "run.json"
FIELDS = ("sample", "unit", "probability", "unit_probability")


@dataclass(frozen=True)
class FinishedSpans:
    """A folder with the spikes of each finished span."""

    folder: Path

    def read(self, start: int, stop: int) -> Spikes | None:
        """Return the spikes of a span, or None if it is not finished or its file is damaged."""
        try:
            with (
                self._path(start, stop).open("rb") as file,  # which NumPy leaves open if it is damaged
                np.load(file, allow_pickle=False) as stored,
            ):
                return Spikes(*(stored[name] for name in FIELDS))
        except Exception:  # a flipped bit makes zipfile and NumPy raise anything
            return None

    def write(self, start: int, stop: int, spikes: Spikes) -> None:
        """Write the spikes of a span atomically."""
        arrays: dict[str, npt.NDArray[Any]] = {name: getattr(spikes, name) for name in FIELDS}
        with atomic_file(self._path(start, stop)) as temporary, temporary.open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays)

    def _path(self, start: int, stop: int) -> Path:
        return self.folder / f"{start:013d}-{stop:013d}.npz"


def open_spans(folder: Path, facts: dict[str, str]) -> FinishedSpans:
    """Return the spans finished by a run with the same facts; remove those of other runs.

    Parameters
    ----------
    folder : Path
        Created if it does not exist.
    facts : dict of str
        Everything that the result depends on, such as digests of the recording and the sorter.

    Raises
    ------
    InputError
        If the folder cannot be written to, or contains something else.
    """
    if folder.is_symlink():
        raise InputError(f"{folder}: is a link; finished spans are kept in the folder of results itself")
    if folder.exists() and not (folder / FACTS).is_file() and _visible(folder):
        raise InputError(f"{folder}: contains something other than the spans of an interrupted run")
    if _facts(folder) != facts:
        shutil.rmtree(folder, ignore_errors=True)
        check_writable(folder)
        with atomic_file(folder / FACTS) as temporary:
            temporary.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    return FinishedSpans(folder)


def _visible(folder: Path) -> bool:
    """Return whether a folder contains more than the temporary files of a killed run."""
    return any(not path.name.startswith(".") for path in folder.iterdir())


def _facts(folder: Path) -> dict[str, str] | None:
    try:
        facts: dict[str, str] = json.loads((folder / FACTS).read_text(encoding="utf-8"))
        return facts
    except (OSError, ValueError):
        return None
