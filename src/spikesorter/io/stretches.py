"""Read stretches to leave out: tables of starts and stops, `invalid_times` of NWB files, events."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
import numpy.typing as npt

from spikesorter.core.bad_stretches import BadStretches
from spikesorter.core.errors import InputError
from spikesorter.io.bad_table import to_stretch
from spikesorter.io.formats import check_regular, reading
from spikesorter.io.label_checks import RateNeededError
from spikesorter.io.label_tables import TIME_NAMES, csv_columns

__all__ = [
    "EVENT_SAMPLES",
    "TABLES",
    "StretchRow",
    "event_rows",
    "read_stretches",
    "stretch_rows",
    "to_events",
    "to_stretches",
]

TABLES = (".csv", ".tsv", ".txt")
START_S, STOP_S = ("start_s", "start_time"), ("stop_s", "end_s", "stop_time", "end_time")
FIRST, LAST = ("first_sample", "start_sample"), ("last_sample", "stop_sample")
EVENT_SAMPLES = ("sample", "sample_index", "frame")
INVALID = "intervals/invalid_times"
EXPECTED = (
    "expected columns start_s and stop_s (seconds), or first_sample and last_sample (from 0, both left out)"
)


class StretchRow(NamedTuple):
    """A row of a table of stretches, as it stands there.

    `start` and `stop` are samples, or seconds if `in_seconds`; `where` is the row's place, for messages;
    `recording` is the name of the recording that it is of, or "".
    """

    where: str
    recording: str
    start: float
    stop: float
    kind: str
    in_seconds: bool


def read_stretches(path: str | Path, *, fs_hz: float | None = None, start_s: float = 0.0) -> BadStretches:
    r"""Read stretches of a recording that are to be left out, for `Sorter.fit`, `adapt` and `sort`.

    Parameters
    ----------
    path : str or Path
        `.csv` or `.tsv` with columns `start_s` and `stop_s` (seconds from the recording's start), or
        `first_sample` and `last_sample` (from 0, both left out), and `kind`, if they are of different kinds;
        or `.nwb`, whose table `invalid_times` is read.
    fs_hz : float, optional
        Sampling rate of the recording, for times in seconds.
    start_s : float
        Start of the recording in the session, seconds; for NWB files, whose times are those of the session.

    Returns
    -------
    BadStretches
        For numbers instead of a file, see `BadStretches.of`.

    Raises
    ------
    InputError
        If the file cannot be read, or a row is no stretch.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "D6.csv"
    ...     _ = path.write_text("start_s,stop_s\n0.5,0.75\n2,2.004\n")
    ...     list(read_stretches(path, fs_hz=1000))
    [BadStretch(start=500, stop=750, kind='given'), BadStretch(start=2000, stop=2004, kind='given')]
    """
    path = Path(path)
    return to_stretches(path, stretch_rows(path), fs_hz=fs_hz, start_s=start_s)


def stretch_rows(path: Path) -> list[StretchRow]:
    """Read the rows of a table of stretches, or of `invalid_times` in an NWB file.

    Raises
    ------
    InputError
    """
    check_regular(path)
    if path.suffix.lower() == ".nwb":
        return _invalid_times(path)
    columns = _table(path)
    for (first, last), in_seconds in (((START_S, STOP_S), True), ((FIRST, LAST), False)):
        names = [next((name for name in known if name in columns), None) for known in (first, last)]
        start, stop = names
        if start is not None and stop is not None:
            inclusive = 1.0 if stop == "last_sample" else 0.0
            return [
                _row(
                    path,
                    number,
                    columns,
                    columns[start][number],
                    columns[stop][number],
                    inclusive,
                    in_seconds,
                )
                for number in range(len(columns[start]))
            ]
    raise InputError(f"{path}: {EXPECTED}; found {', '.join(columns) or 'none'}")


def event_rows(path: Path) -> list[StretchRow]:
    """Read a table of events, each of which is a stretch without length.

    Raises
    ------
    InputError
    """
    check_regular(path)
    columns = _table(path, headless=True)
    for names, in_seconds in ((TIME_NAMES, True), (EVENT_SAMPLES, False)):
        name = next((name for name in names if name in columns), None)
        if name is not None:
            times = columns[name]
            return [
                _row(path, number, columns, time, time, 0.0, in_seconds) for number, time in enumerate(times)
            ]
    raise InputError(
        f"{path}: expected a column time_s (seconds) or sample (from 0), with its name in the first line; "
        f"found {', '.join(columns) or 'none'}"
    )


def to_events(
    path: Path, rows: Iterable[StretchRow], *, fs_hz: float, start_s: float
) -> npt.NDArray[np.int64]:
    """Return the samples of events; parameters as for `to_stretches`."""
    origin = start_s if path.suffix.lower() == ".nwb" else 0.0
    samples = [(row.start - origin) * fs_hz if row.in_seconds else row.start for row in rows]
    return np.round(samples).astype(np.int64)


def to_stretches(
    path: Path,
    rows: Iterable[StretchRow],
    *,
    fs_hz: float | None,
    start_s: float = 0.0,
    window_ms: tuple[float, float] = (0.0, 0.0),
) -> BadStretches:
    """Return rows as bad stretches of a recording.

    Parameters
    ----------
    path : Path
        The file, for messages.
    rows : iterable of StretchRow
    fs_hz : float or None
        Sampling rate of the recording.
    start_s : float
        Start of the recording in the session, seconds; for NWB files.
    window_ms : (float, float)
        What is added to the start and the stop of each.

    Raises
    ------
    InputError
        If the rate is needed and not known (`RateNeededError`), or a stretch is empty or reversed.
    """
    origin = start_s if path.suffix.lower() == ".nwb" else 0.0
    stretches = []
    for row in rows:
        if fs_hz is None and (row.in_seconds or any(window_ms)):
            raise RateNeededError(f"{path}: holds times; give the recording's sampling rate: fs_hz (--fs)")
        rate = fs_hz or 1.0
        scale, zero = (rate, origin) if row.in_seconds else (1.0, 0.0)
        edges = zip((row.start, row.stop), window_ms, strict=True)
        start, stop = ((value - zero) * scale + beside * rate / 1000 for value, beside in edges)
        if not start < stop:
            raise InputError(
                f"{path}: {row.where}: stops at {row.stop:g}, not after its start at {row.start:g}"
            )
        one = to_stretch(start, stop, row.kind)
        stretches += [one] if one[1] > one[0] else []  # none of it lies in the recording
    return BadStretches.of(stretches)


def _table(path: Path, *, headless: bool = False) -> dict[str, list[str]]:
    """Read the columns of a table as text; with `headless`, refuse one whose first line is a number."""
    if path.suffix.lower() not in TABLES:
        raise InputError(f"{path}: expected a table ({', '.join(TABLES)})" + ("" if headless else " or .nwb"))
    columns = csv_columns(path, "\t" if path.suffix.lower() == ".tsv" else ",")
    if any(_is_number(name) for name in columns):
        need = "time_s (seconds) or sample" if headless else "start_s,stop_s"
        raise InputError(f"{path}: its first line is no header; write the names of its columns there: {need}")
    return {name: [str(cell).strip() for cell in column] for name, column in columns.items()}


def _row(
    path: Path,
    number: int,
    columns: Mapping[str, list[str]],
    start: str,
    stop: str,
    inclusive: float,
    in_seconds: bool,
) -> StretchRow:
    where = f"row {number + 2}"
    values = []
    for text in (start, stop):
        if not _is_number(text) or not math.isfinite(float(text)):
            raise InputError(f"{path}: {where}: {text!r} is no {'time' if in_seconds else 'sample'}")
        values.append(float(text))
    recording, kind = (columns[name][number] if name in columns else "" for name in ("recording", "kind"))
    return StretchRow(where, recording, values[0], values[1] + inclusive, kind, in_seconds)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _invalid_times(path: Path) -> list[StretchRow]:
    with reading(path, "NWB"), h5py.File(path, "r") as file:
        table = file.get(INVALID)
        if not isinstance(table, h5py.Group):
            raise InputError(f"{path}: has no table invalid_times")
        start, stop = (np.asarray(table[name][()], np.float64) for name in ("start_time", "stop_time"))
    if not np.isfinite([*start, *stop]).all():
        raise InputError(f"{path}: invalid_times holds times that are NaN or infinite")
    pairs = zip(start.tolist(), stop.tolist(), strict=True)
    return [StretchRow(f"invalid_times {number}", "", a, b, "", True) for number, (a, b) in enumerate(pairs)]
