"""Find the units of a recording without labels; write the model, the spikes and what the units are worth."""

from __future__ import annotations

import csv
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from spikesorter.core.cores import effective_n_jobs
from spikesorter.core.errors import naming
from spikesorter.core.progress import Progress, silent
from spikesorter.core.settings import Settings
from spikesorter.io.atomic import atomic_file, check_writable, write_json
from spikesorter.io.export import check_export, check_export_place
from spikesorter.io.formats import stem_of
from spikesorter.io.model_files import check_model_place
from spikesorter.io.recording import RecordingOptions
from spikesorter.sorting.discovery import DiscoveredUnit, Discovery
from spikesorter.sorting.model import load_model
from spikesorter.sorting.sorter import Sorter
from spikesorter.workflows.files import sort_files
from spikesorter.workflows.one_recording import SortedFile

__all__ = ["MODEL", "UNITS", "DiscoveredFile", "discover_file"]

MODEL, UNITS = "model", "units"


@dataclass(frozen=True, eq=False)
class DiscoveredFile:
    """What was found in a file.

    Parameters
    ----------
    discovery : Discovery
    sorted : SortedFile or None
        Its spikes as they were written; None if no unit was found.
    """

    discovery: Discovery
    sorted: SortedFile | None


def discover_file(
    path: Path,
    out: Path,
    settings: Settings,
    *,
    to: str = "mat",
    options: RecordingOptions | None = None,
    n_jobs: int | None = None,
    report: bool = True,
    progress: Progress = silent,
) -> DiscoveredFile:
    """Find the units of a recording, fit a sorter to them, and sort the recording with it.

    Parameters
    ----------
    path : Path
    out : Path
        Folder for `model`, `units.json` and `units.csv`, and for what `sort_files` writes.
    settings : Settings
    to : str
        Format of the spikes; see `write_spikes`.
    options : RecordingOptions, optional
        Options of `read_recording`.
    n_jobs : int, optional
        Number of threads; -1 or None: one on each core. It does not affect the result.
    report : bool
        Whether to write `report.html`.
    progress : callable, optional

    Returns
    -------
    DiscoveredFile

    Raises
    ------
    InputError
        If the file cannot be used, or the results cannot be written.
    """
    check_export(to)
    n_jobs, options = effective_n_jobs(n_jobs), options or RecordingOptions()
    opened = options.open(path, fs_hz=settings.recording.fs_hz)
    check_export_place(out / f"{stem_of(path)}.{to}", to)
    check_model_place(out / MODEL)
    check_writable(out)
    with naming(path):
        found = Sorter.discover(
            opened.recording,
            settings=settings,
            exclude=opened.exclude,
            n_jobs=n_jobs,
            progress=progress,
        )
    rows = [unit.row() for unit in found.units]
    write_json(out / f"{UNITS}.json", {"recording": str(path), "units": rows})
    _write_table(out / f"{UNITS}.csv", rows)
    if found.sorter is None:
        return DiscoveredFile(found, None)
    found.sorter.save(out / MODEL)
    (one,) = sort_files(
        [path],
        load_model(out / MODEL),
        out,
        to=to,
        options=options,
        n_jobs=n_jobs,
        report=report,
        progress=progress,
    )
    return DiscoveredFile(found, one)


def _write_table(path: Path, rows: list[dict[str, Any]]) -> None:
    names = [field.name for field in fields(DiscoveredUnit)]
    with atomic_file(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as opened:
        writer = csv.DictWriter(opened, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
