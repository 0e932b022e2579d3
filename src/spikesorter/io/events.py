"""Read events of an experiment, such as stimuli: when, and in which condition."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import numpy.typing as npt

from spikesorter.core.errors import InputError
from spikesorter.io.digital_lines import LINES_READ, has_lines, read_lines
from spikesorter.io.label_tables import csv_columns
from spikesorter.io.mat_variables import read_variables
from spikesorter.io.stretches import EVENT_SAMPLES, TABLES

__all__ = ["Clock", "Events", "events_by_name", "read_events"]

logger = logging.getLogger(__name__)
TIMES = ("time_s", "time", "start_time", "start_s", "onset", "times")
SAMPLES = (*EVENT_SAMPLES, "start_sample", "first_sample")
CONDITIONS = ("condition", "type", "trial_type", "stimulus", "label", "name", "value")
TRIALS = "intervals/trials"
EXPECTED = f"a column {' or '.join((TIMES[0], SAMPLES[0]))} (others: {', '.join((*TIMES[1:], *SAMPLES[1:]))})"


@dataclass(frozen=True, eq=False)
class Events:
    """Events of one recording, in order of time.

    Parameters
    ----------
    time_s : ndarray of float64, shape (events,)
        Seconds from the recording's first sample.
    condition : tuple of str
        Of each event; "" if there are no conditions.
    """

    time_s: npt.NDArray[np.float64]
    condition: tuple[str, ...]

    @property
    def conditions(self) -> tuple[str, ...]:
        """The conditions, in order of their names."""
        return tuple(sorted(set(self.condition)))

    def __len__(self) -> int:
        return len(self.time_s)


@dataclass(frozen=True)
class Clock:
    """How the times of a recording are counted.

    Parameters
    ----------
    fs_hz : float
        Sampling rate of the recording's file, to which events in samples refer.
    seconds : float
        Length of the recording.
    start_s : float
        Start of the recording in the session, seconds; for NWB files, whose times are those of the session.
    """

    fs_hz: float
    seconds: float
    start_s: float = 0.0


def read_events(path: Path, *, fs_hz: float) -> Events:
    """Read events from a table, a .mat file, trials of an .nwb file or digital lines, as they stand there.

    Parameters
    ----------
    path : Path
        A table or .mat file has times in seconds or samples, in a column or variable such as `time_s` or
        `sample`, and may have one such as `condition`. Digital lines: see `read_lines`.
    fs_hz : float
        Sampling rate of the recording, for samples.

    Returns
    -------
    Events

    Raises
    ------
    InputError
        If the file cannot be read, has no times or no events, or one is not a time.
    """
    if not path.exists():
        raise InputError(f"{path}: no such file with events")
    ending = path.suffix.lower()
    if ending == ".nwb":
        columns = _trials(path)
    elif ending == ".mat":
        found = read_variables(path, (*TIMES, *SAMPLES, *CONDITIONS))
        columns = {name: _texts(path, name, values) for name, values in found.items()}
    elif ending in TABLES:
        columns = {name: [str(one) for one in column] for name, column in csv_columns(path, ",").items()}
    elif has_lines(path):
        columns = read_lines(path)
    else:
        raise InputError(
            f"{path}: events are read from {', '.join(TABLES)}, .mat and .nwb files, and from digital lines "
            f"of {', '.join(LINES_READ.values())}; export other events as a table"
        )
    return _events(path, columns, fs_hz)


def events_by_name(path: Path, clocks: Mapping[str, Clock]) -> dict[str, Events]:
    """Read the events of recordings: a file for one, or a folder with NAME.csv, .mat or .nwb for each.

    Parameters
    ----------
    path : Path
    clocks : mapping of str to Clock
        Of each recording, by its name.

    Returns
    -------
    dict of str to Events
        Of the recordings that have some.

    Raises
    ------
    InputError
        If there are several recordings and only one file, none has events, or an event lies outside its
        recording. Edges of digital lines outside it, which were stored for longer, are left out.
    """
    names = list(clocks)
    if path.is_dir() and (len(names) > 1 or not has_lines(path)):
        files = {name: found for name in names if (found := _in_folder(path, name))}
        if not files:
            raise InputError(f"{path}: has no file of events of {', '.join(names)}, such as {names[0]}.csv")
        return {name: _placed(file, clocks[name]) for name, file in files.items()}
    if len(names) > 1:
        raise InputError(
            f"{path}: is one file of events, but there are {len(names)} recordings; give a folder with "
            f"{names[0]}.csv, {names[1]}.csv, ..."
        )
    return {names[0]: _placed(path, clocks[names[0]])}


def _placed(path: Path, clock: Clock) -> Events:
    """Read events, and return them by the time from the recording's first sample; refuse any outside it."""
    events = read_events(path, fs_hz=clock.fs_hz)
    seconds = events.time_s - (clock.start_s if path.suffix.lower() == ".nwb" else 0.0)
    inside = (seconds >= 0) & (seconds < clock.seconds)
    outside = np.flatnonzero(~inside)
    if len(outside) and inside.any() and _is_of_lines(path):
        logger.warning("%s: %d of %d events are outside the recording", path, len(outside), len(events))
        kept = np.flatnonzero(inside)
        return Events(seconds[kept], tuple(events.condition[k] for k in kept.tolist()))
    if len(outside):
        raise InputError(
            f"{path}: {len(outside)} of {len(events)} events are outside the recording, which lasts "
            f"{clock.seconds:g} s; the first is at {seconds[outside[0]]:g} s. Give times in seconds from the "
            "recording's first sample, and only events of this recording"
        )
    return Events(seconds, events.condition)


def _is_of_lines(path: Path) -> bool:
    return path.suffix.lower() not in (*TABLES, ".mat", ".nwb") and has_lines(path)


def _in_folder(folder: Path, name: str) -> Path | None:
    places = (folder / f"{name}{ending}" for ending in (*TABLES, ".mat", ".nwb"))
    return next((place for place in places if place.is_file()), None)


def _events(path: Path, columns: dict[str, list[str]], fs_hz: float) -> Events:
    name = next((one for one in (*TIMES, *SAMPLES) if one in columns), None)
    if name is None:
        raise InputError(f"{path}: expected {EXPECTED}, but it has {', '.join(columns) or 'none'}")
    times = np.empty(len(columns[name]))
    for row, text in enumerate(columns[name]):
        try:
            times[row] = float(text)
        except ValueError:
            times[row] = np.nan
        if not np.isfinite(times[row]):
            raise InputError(f"{path}: {name}: event {row + 1} is not a time: {text!r:.40}")
    if not len(times):
        raise InputError(f"{path}: has no events")
    given = next((columns[one] for one in CONDITIONS if one in columns), [""] * len(times))
    if len(given) != len(times):
        raise InputError(f"{path}: has {len(times)} times of events, but {len(given)} conditions")
    order = np.argsort(times, kind="stable")
    seconds = times[order] / (fs_hz if name in SAMPLES else 1.0)
    return Events(seconds, tuple(given[k].strip() for k in order.tolist()))


def _texts(path: Path, name: str, values: npt.NDArray[np.generic]) -> list[str]:
    if sum(length != 1 for length in values.shape) > 1:
        raise InputError(
            f"{path}: {name}: expected one value for each event, not a matrix of "
            f"{' x '.join(map(str, values.shape))}"
        )
    flat = values.ravel().tolist()
    return [
        f"{one:g}" if isinstance(one, float) and one == int(one) and abs(one) < 1e5 else str(one)
        for one in flat
    ]


def _trials(path: Path) -> dict[str, list[str]]:
    try:
        with h5py.File(path, "r") as file:
            table = file.get(TRIALS)
            if not isinstance(table, h5py.Group):
                raise InputError(f"{path}: has no trials")
            wanted = [name for name in (*TIMES, *CONDITIONS) if isinstance(table.get(name), h5py.Dataset)]
            read = {name: table[name][()] for name in wanted}
    except OSError as error:
        raise InputError(f"{path}: cannot be read as an .nwb file: {error}") from None
    return {
        name: [
            one.decode(errors="replace") if isinstance(one, bytes) else str(one) for one in values.tolist()
        ]
        for name, values in read.items()
        if values.ndim == 1
    }
