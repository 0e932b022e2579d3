"""Sort one recording with a model and write its spikes."""

from __future__ import annotations

import hashlib
import json
import shutil
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from spikesorter.core.errors import InputError, naming
from spikesorter.core.progress import Progress, silent
from spikesorter.core.spikes import Spikes
from spikesorter.io.export import write_spikes
from spikesorter.io.formats import stem_of
from spikesorter.io.nwb import session_start_of
from spikesorter.io.recording import OpenedRecording
from spikesorter.io.session import SessionFacts
from spikesorter.sorting.model import Choice, Model
from spikesorter.sorting.sorter import SPAN_SECONDS, Sorter

__all__ = ["WRITING", "SortedFile", "bad_seconds", "sort_recording", "stamp_of"]

WRITING = threading.Lock()  # SpikeInterface and pynwb are not thread-safe


@dataclass(frozen=True, eq=False)
class SortedFile:
    """The result of one recording.

    Parameters
    ----------
    path : Path
    spikes : Spikes
        Found spikes, as samples of the file.
    chosen : mapping of str to str
        The target that the sorter of each group of channels was adapted to, without dead groups.
    sorters : mapping of str to Sorter
        Sorters used, by group of channels.
    place : Path
        File or folder of the spikes.
    n_samples : int
        Length of the file.
    """

    path: Path
    spikes: Spikes
    chosen: Mapping[str, str]
    sorters: Mapping[str, Sorter]
    place: Path
    n_samples: int

    @property
    def title(self) -> str:
        """The recording's path, with the name of the result if it is that of a segment."""
        name = self.place.stem
        return str(self.path) if name == stem_of(self.path) else f"{self.path} ({name})"

    @property
    def doubts(self) -> tuple[str, ...]:
        """Why the sorters' forecasts do not hold for it."""
        return self.spikes.doubts

    @property
    def left_out(self) -> dict[str, tuple[str, ...]]:
        """Ids of the broken channels that the sorters do not go by, for each group that has some."""
        return {group: ids for group, one in self.sorters.items() if (ids := one.state.left_out)}

    @property
    def bad_s(self) -> dict[str, float]:
        """Length of the bad stretches by kind, in seconds."""
        return bad_seconds(self.spikes)

    @property
    def adapted_to(self) -> str:
        """The targets that the sorters were adapted to, as text."""
        return ", ".join(dict.fromkeys(self.chosen.values()))


def sort_recording(
    opened: OpenedRecording,
    place: Path,
    model: Model,
    *,
    to: str,
    chosen: Choice | None = None,
    found: Spikes | None = None,
    n_jobs: int | None = None,
    span_seconds: float = SPAN_SECONDS,
    resume: Path | None = None,
    session: SessionFacts | None = None,
    progress: Progress = silent,
) -> SortedFile:
    """Sort one recording and write its spikes.

    Parameters
    ----------
    opened : OpenedRecording
    place : Path
        File or folder for its spikes.
    model : Model
    to : str
        Format of the spikes.
    chosen : Choice, optional
        The targets whose adapted sorters are used; the nearest if not given.
    found : Spikes, optional
        Its spikes, if this model found them before; it is not sorted again.
    resume : Path, optional
        Folder for finished spans. Those of the recording before it was changed are removed.
    session : SessionFacts, optional
        Subject, session and electrodes, for NWB.
    n_jobs, span_seconds, progress
        As for `Sorter.sort`.

    Returns
    -------
    SortedFile

    Raises
    ------
    InputError
        If the recording cannot be used, or the spikes cannot be written.
    """
    path = opened.path
    spans = None if resume is None else _spans_of(path, resume)
    with naming(path):
        opened = model.without_found_pulses(opened)
        recording, exclude = opened.recording, opened.exclude
        choice = model.nearest(recording, exclude=exclude) if chosen is None else chosen
        sorters, lacking = model.suited(recording, choice.names, exclude=exclude, n_jobs=n_jobs)
        nearest = {group: choice.names[group] for group in sorters}
        spikes = found
        if spikes is None:
            spikes = model.sort(
                recording,
                sorters,
                exclude=exclude,
                n_jobs=n_jobs,
                span_seconds=span_seconds,
                resume=spans,
                progress=progress,
            )
    provenance = {
        "recording": str(path),
        "adapted_to": ", ".join(nearest.values()),
        "sorter": model.digest(nearest),
    }
    if left_out := [one for sorter in sorters.values() for one in sorter.state.left_out]:
        provenance["channels_left_out"] = ", ".join(left_out)
    written = opened.to_source(replace(spikes, doubts=(*choice.doubts, *lacking, *spikes.doubts)))
    with WRITING:
        write_spikes(
            place,
            written,
            format=to,
            recording=opened.source,
            provenance=provenance,
            session_start=session_start_of(path),
            subject=session,
        )
    n_samples = opened.source.get_num_frames()
    return SortedFile(path, written, nearest, sorters, place, n_samples)


def bad_seconds(spikes: Spikes) -> dict[str, float]:
    """Return the length of the bad stretches by kind, in seconds, for tables and JSON.

    Examples
    --------
    >>> from spikesorter.core.bad_stretches import BadStretches
    >>> bad_seconds(Spikes([300], [1], fs_hz=25_000.0, bad=BadStretches.of([(0, 250, "dead")])))
    {'dead': 0.01}
    """
    if not len(spikes.bad) or spikes.fs_hz is None:
        return {}
    return {kind: round(seconds, 6) for kind, seconds in spikes.bad.seconds_by_kind(spikes.fs_hz).items()}


def stamp_of(path: Path) -> list[list[Any]]:
    """Return names, sizes and times of a recording's files, to detect changes.

    Raises
    ------
    InputError
        If there is no such file.
    """
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    try:
        return [[file.name, file.stat().st_size, file.stat().st_mtime_ns] for file in files]
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None


def _spans_of(path: Path, folder: Path) -> Path:
    """Return the folder for finished spans of a recording as it is now; remove those of before."""
    if folder.is_symlink():
        raise InputError(f"{folder}: is a link; finished spans are kept in the folder of results itself")
    place = folder / hashlib.sha256(json.dumps(stamp_of(path)).encode()).hexdigest()[:16]
    if folder.is_dir():
        for other in folder.iterdir():
            if other != place and other.is_dir() and not other.is_symlink():
                shutil.rmtree(other, ignore_errors=True)
    return place
