"""Keep the spikes of finished spans on disk, so that an interrupted run goes on where it stopped."""

from __future__ import annotations

import json
import shutil
import zipfile
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
    """A folder that holds the spikes of each finished span."""

    folder: Path

    def read(self, start: int, stop: int) -> Spikes | None:
        """Return the spikes of a span, or None if it is not finished or what was written is damaged."""
        try:
            with np.load(self._path(start, stop), allow_pickle=False) as stored:
                return Spikes(*(stored[name] for name in FIELDS))
        except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile, InputError):
            return None

    def write(self, start: int, stop: int, spikes: Spikes) -> None:
        """Write the spikes of a span, whole or not at all."""
        arrays: dict[str, npt.NDArray[Any]] = {name: getattr(spikes, name) for name in FIELDS}
        with atomic_file(self._path(start, stop)) as temporary, temporary.open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays)

    def _path(self, start: int, stop: int) -> Path:
        return self.folder / f"{start:013d}-{stop:013d}.npz"


def open_spans(folder: Path, facts: dict[str, str]) -> FinishedSpans:
    """Return the spans that a run with the same facts has finished; remove those of other runs.

    Parameters
    ----------
    folder : Path
        Made if it does not exist.
    facts : dict of str
        What the result depends on, such as digests of the recording and of the sorter.

    Raises
    ------
    InputError
        If the folder cannot be written to, or holds something else.
    """
    if folder.is_symlink():
        raise InputError(
            f"{folder}: is a link to elsewhere; finished spans are kept in the folder of results"
        )
    if folder.exists() and not (folder / FACTS).is_file() and _visible(folder):
        raise InputError(f"{folder}: holds something else than the spans of an interrupted run")
    if _facts(folder) != facts:
        shutil.rmtree(folder, ignore_errors=True)
        check_writable(folder)
        with atomic_file(folder / FACTS) as temporary:
            temporary.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    return FinishedSpans(folder)


def _visible(folder: Path) -> bool:
    """Say whether a folder holds more than what a killed run was about to write."""
    return any(not path.name.startswith(".") for path in folder.iterdir())


def _facts(folder: Path) -> dict[str, str] | None:
    try:
        facts: dict[str, str] = json.loads((folder / FACTS).read_text(encoding="utf-8"))
        return facts
    except (OSError, ValueError):
        return None
