"""Export the results in a folder to MATLAB: a file for each recording, with a struct for each unit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from spikesorter.io.mat_units import UnitStruct, check_replaceable_units, write_units_mat
from spikesorter.report.results import Result, open_results

__all__ = ["export_units"]


def export_units(results: Path, out: Path) -> list[Path]:
    """Write OUT/NAME-units.mat for each recording of a folder of results.

    Parameters
    ----------
    results : Path
        Written by `run`, `sort` or `batch`.
    out : Path

    Returns
    -------
    list of Path
        The files, in the order of sorting.

    Raises
    ------
    InputError
        If the folder has no results, or a file that is in the way was written by another program.
    """
    by_place: dict[Path, list[Result]] = {}
    for one in open_results(results):
        by_place.setdefault(out / f"{one.place.stem}-units.mat", []).append(one)
    for path in by_place:
        check_replaceable_units(path)
    for path, parts in by_place.items():
        rate = parts[0].spikes.fs_hz or parts[0].sorter.fs_hz
        write_units_mat(path, list(_structs(parts)), fs_hz=rate)
    return list(by_place)


def _structs(parts: Sequence[Result]) -> Iterator[UnitStruct]:
    """Yield the labelled units of a recording, those of each group of channels after one another."""
    for part in parts:
        sorter = part.sorter
        templates = sorter.units.templates.scaled(sorter.profile.factors)
        for unit in sorter.units.known:
            train = part.spikes.of(unit)
            waveform = templates.waveforms[templates.unit_ids.index(unit)]
            name = sorter.names[unit]
            yield UnitStruct(unit, name, train.sample, train.joint, waveform, templates.before)
