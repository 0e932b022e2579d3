"""Find the units of recordings without labels; write the model, the spikes and what the units are worth."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spikesorter.core.cores import effective_n_jobs
from spikesorter.core.errors import InputError, naming
from spikesorter.core.progress import Progress, prefixed, silent
from spikesorter.core.settings import Settings
from spikesorter.core.spikes import Spikes
from spikesorter.io.atomic import atomic_file, check_writable, write_json
from spikesorter.io.export import check_export, check_export_place
from spikesorter.io.label_checks import check_plausible
from spikesorter.io.labels import read_labels
from spikesorter.io.model_files import check_model_place
from spikesorter.io.recording import OpenedRecording, RecordingOptions
from spikesorter.report.kept_results import MODEL, UNITS
from spikesorter.sorting.discovered_units import DiscoveredUnit
from spikesorter.sorting.discovery import Discovery
from spikesorter.sorting.finding.hints import Polarity
from spikesorter.sorting.finding.joint import joined
from spikesorter.sorting.groups import adapt_groups, channel_groups, discover_groups, group_of_channels
from spikesorter.sorting.model import load_model
from spikesorter.sorting.model_places import (
    WHOLE,
    check_group_places,
    group_place,
    target_place,
    write_channels,
)
from spikesorter.sorting.sorter import Sorter
from spikesorter.workflows.files import sort_files
from spikesorter.workflows.one_recording import SortedFile
from spikesorter.workflows.recordings import recording_parts

if TYPE_CHECKING:
    from spikeinterface import BaseRecording

__all__ = ["DiscoveredFiles", "Known", "discover_files"]


@dataclass(frozen=True)
class Known:
    """What is known of the units beforehand; see `Sorter.discover`.

    Parameters
    ----------
    n_units : int, optional
    polarity : {"negative", "positive"}, optional
    labels : Path, optional
        Some labels of the recording, in any format that `read_labels` reads.
    """

    n_units: int | None = None
    polarity: Polarity | None = None
    labels: Path | None = None


@dataclass(frozen=True, eq=False)
class DiscoveredFiles:
    """What was found in the recordings of a session.

    Parameters
    ----------
    groups : mapping of str to Discovery
        By group of channels; one, "", if all channels are one group.
    sorted : list of SortedFile
        Spikes of each recording as they were written; empty if no unit was found.
    """

    groups: Mapping[str, Discovery]
    sorted: list[SortedFile]

    @property
    def units(self) -> list[tuple[str, DiscoveredUnit]]:
        """Group and description of each unit."""
        return [(group, unit) for group, one in self.groups.items() for unit in one.units]

    @property
    def rows(self) -> list[dict[str, Any]]:
        """A row for each unit, for tables and JSON; with the group, if there are groups."""
        named = list(self.groups) != [WHOLE]
        return [({"group": group} if named else {}) | unit.row() for group, unit in self.units]


def discover_files(
    paths: list[Path],
    out: Path,
    settings: Settings,
    *,
    to: str = "mat",
    options: RecordingOptions | None = None,
    known: Known | None = None,
    by_group: bool = False,
    n_jobs: int | None = None,
    report: bool = True,
    progress: Progress = silent,
) -> DiscoveredFiles:
    """Find the units of a session's recordings, fit a sorter to them, and sort each recording with it.

    Parameters
    ----------
    paths : list of Path
        Of one electrode. Units are found in all of them together. If there are several, the sorter is
        adapted to each.
    out : Path
        Folder for `model`, `units.json` and `units.csv`, and for what `sort_files` writes.
    settings : Settings
    to : str
        Format of the spikes; see `write_spikes`.
    options : RecordingOptions, optional
        Options of `read_recording`.
    known : Known, optional
    by_group : bool
        Whether to find the units of each group of channels (property `group`) on its own.
    n_jobs : int, optional
        Number of threads; -1 or None: one on each core. It does not affect the result.
    report : bool
        Whether to write `report.html`.
    progress : callable, optional

    Returns
    -------
    DiscoveredFiles

    Raises
    ------
    InputError
        If a file cannot be used, or the results cannot be written. All are checked before anything is
        written.
    SettingsError
        If what is known is out of range.
    """
    check_export(to)
    n_jobs, known = effective_n_jobs(n_jobs), known or Known()
    names, chosen = recording_parts(paths, options or RecordingOptions())
    if options is not None and options.exclude is not None:
        options.exclude.check(list(names))
    opened = {name: chosen[name].open(path, fs_hz=settings.recording.fs_hz) for name, path in names.items()}
    one = next(iter(opened.values()))
    if by_group and one.recording.get_property("group") is None:
        raise InputError(f"{one.path}: its channels have no groups (property group); leave out --by-group")
    groups = list(channel_groups(one.recording)) if by_group else [WHOLE]
    _check_places(out, names, groups, to)
    labels = _labels(known, list(opened.values()))
    found = _found(opened, settings, known, labels, by_group=by_group, n_jobs=n_jobs, progress=progress)
    result = DiscoveredFiles(found, [])
    _write_units(out, names, result)
    sorters = {group: one.sorter for group, one in found.items() if one.sorter is not None}
    if not sorters:
        return result
    _save(out / MODEL, sorters, one.recording)
    if len(opened) > 1:
        _adapt(out / MODEL, sorters, opened, n_jobs=n_jobs, progress=progress)
    spikes = _spikes_of_one(opened, found)
    done = sort_files(
        paths,
        load_model(out / MODEL),
        out,
        to=to,
        options=options,
        found=spikes,
        n_jobs=n_jobs,
        report=report,
        progress=progress,
    )
    return DiscoveredFiles(found, done)


def _check_places(out: Path, names: Mapping[str, Path], groups: list[str], to: str) -> None:
    for name in names:
        check_export_place(out / f"{name}.{to}", to)
    if groups == [WHOLE]:
        check_model_place(out / MODEL)
    else:
        check_group_places(out / MODEL, groups)
    check_writable(out)


def _labels(known: Known, opened: list[OpenedRecording]) -> Spikes | None:
    """Read the labels that are known, if there are any."""
    if known.labels is None:
        return None
    if len(opened) > 1:
        raise InputError(f"{known.labels}: labels are of one recording; give only that one")
    recording = opened[0].recording
    fs_hz = float(recording.get_sampling_frequency())
    labels = read_labels(known.labels, fs_hz=fs_hz, start_s=float(recording.get_start_time(0)))
    check_plausible(known.labels, labels, n_samples=recording.get_num_frames(), fs_hz=fs_hz)
    return labels


def _found(
    opened: Mapping[str, OpenedRecording],
    settings: Settings,
    known: Known,
    labels: Spikes | None,
    *,
    by_group: bool,
    n_jobs: int,
    progress: Progress,
) -> dict[str, Discovery]:
    recording, exclude = joined([(one.recording, one.exclude, one.path) for one in opened.values()])
    discover = discover_groups if by_group else _as_one_group
    with naming(next(iter(opened.values())).path if len(opened) == 1 else "the session"):
        return discover(
            recording,
            settings=settings,
            n_units=known.n_units,
            polarity=known.polarity,
            labels=labels,
            exclude=exclude,
            n_jobs=n_jobs,
            progress=progress,
        )


def _as_one_group(recording: BaseRecording, **given: Any) -> dict[str, Discovery]:
    return {WHOLE: Sorter.discover(recording, **given)}


def _save(model: Path, sorters: Mapping[str, Sorter], recording: BaseRecording) -> None:
    for group, sorter in sorters.items():
        sorter.save(_place(model, group))
    if list(sorters) != [WHOLE]:
        channel_ids = [str(one) for one in recording.get_channel_ids()]
        write_channels(model, group_of_channels(recording), channel_ids)


def _place(model: Path, group: str) -> Path:
    return model if group == WHOLE else group_place(model, group)


def _adapt(
    model: Path,
    sorters: Mapping[str, Sorter],
    opened: Mapping[str, OpenedRecording],
    *,
    n_jobs: int,
    progress: Progress,
) -> None:
    """Adapt the sorters to each recording of a session, and save them beside the model."""
    for name, one in opened.items():
        adapt = _adapt_whole if list(sorters) == [WHOLE] else adapt_groups
        with naming(one.path):
            told = prefixed(name, progress)
            adapted = adapt(sorters, one.recording, exclude=one.exclude, n_jobs=n_jobs, progress=told)
        for group, sorter in adapted.items():
            if sorter is not sorters[group]:  # else it is dead in this recording
                sorter.save(target_place(_place(model, group), name))


def _adapt_whole(sorters: Mapping[str, Sorter], recording: BaseRecording, **given: Any) -> dict[str, Sorter]:
    return {WHOLE: sorters[WHOLE].adapt(recording, **given)}


def _spikes_of_one(
    opened: Mapping[str, OpenedRecording], found: Mapping[str, Discovery]
) -> dict[str, Spikes] | None:
    """Return the spikes of the only recording, which are known already; None if there are several."""
    if len(opened) > 1:
        return None
    ((name, one),) = opened.items()
    parts = [discovery.spikes for discovery in found.values() if discovery.sorter is not None]
    names = dict(pair for part in parts for pair in part.names.items())
    rate = float(one.recording.get_sampling_frequency())
    return {name: Spikes.concatenate(parts).described(fs_hz=rate, names=names)}


def _write_units(out: Path, names: Mapping[str, Path], result: DiscoveredFiles) -> None:
    rows = result.rows
    recordings = [str(path) for path in names.values()]
    write_json(out / UNITS, {"recordings": recordings, "units": rows})
    columns = DiscoveredUnit.columns()
    if list(result.groups) != [WHOLE]:
        columns.insert(0, "group")
    table = (out / UNITS).with_suffix(".csv")
    with atomic_file(table) as temporary, temporary.open("w", encoding="utf-8", newline="") as opened:
        writer = csv.DictWriter(opened, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(row | {"reasons": "; ".join(row["reasons"])} for row in rows)
