"""Tables of bad stretches, `NAME.bad.csv`, beside results."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np

from spikesorter.core.bad_stretches import KINDS, BadStretches
from spikesorter.core.errors import InputError, naming
from spikesorter.io.atomic import atomic_file
from spikesorter.io.formats import reading
from spikesorter.io.label_checks import RateNeededError

__all__ = [
    "ENDING",
    "bad_table_place",
    "is_bad_table",
    "read_bad_table",
    "remove_bad_table",
    "to_stretch",
    "write_bad_table",
]

ENDING = ".bad.csv"
COLUMNS = ("start_s", "stop_s", "kind")
HEADER = ",".join(COLUMNS) + "\n"
WHOLE_SAMPLES = 1e-3  # a time so close to a sample is that sample


def bad_table_place(result: Path) -> Path:
    """Return the path of the table beside a result.

    Examples
    --------
    >>> bad_table_place(Path("OUT/D6.mat")).as_posix(), bad_table_place(Path("OUT/night.1.phy")).as_posix()
    ('OUT/D6.bad.csv', 'OUT/night.1.bad.csv')
    """
    return result.with_name(result.stem + ENDING)


def is_bad_table(path: Path) -> bool:
    """Return whether a path is that of a table of bad stretches.

    Examples
    --------
    >>> is_bad_table(Path("D6.bad.csv")), is_bad_table(Path("D6.csv"))
    (True, False)
    """
    return path.name.lower().endswith(ENDING)


def write_bad_table(result: Path, bad: BadStretches, *, fs_hz: float | None) -> None:
    """Write the table beside a result; if there are no bad stretches, remove that of an older result.

    Parameters
    ----------
    result : Path
        File or folder of the spikes.
    bad : BadStretches
    fs_hz : float or None
        Sampling rate.

    Raises
    ------
    InputError
        If the sampling rate is not known, the table cannot be written, or something else has its name.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     result = Path(folder) / "D6.mat"
    ...     write_bad_table(result, BadStretches.of([(50, 125, "dead")]), fs_hz=25_000.0)
    ...     print(bad_table_place(result).read_text())
    start_s,stop_s,kind
    0.002,0.005,dead
    <BLANKLINE>
    """
    place = bad_table_place(result)
    if place.exists() and not _is_own(place):
        raise InputError(f"{place}: exists and was not written by spikesorter; move it away")
    if not len(bad):
        remove_bad_table(result)
        return
    if fs_hz is None:
        raise InputError(f"{place}: the sampling rate of the spikes is not known; give fs_hz")
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows((start / fs_hz, stop / fs_hz, kind) for start, stop, kind in bad)
    with atomic_file(place) as temporary:
        temporary.write_text(text.getvalue(), encoding="utf-8", newline="")


def remove_bad_table(result: Path) -> None:
    """Remove the table beside a result, if `write_bad_table` wrote it."""
    place = bad_table_place(result)
    if place.is_file() and _is_own(place):
        place.unlink()


def read_bad_table(result: Path, *, fs_hz: float | None) -> BadStretches:
    """Read the table beside a result; without a table, there are no bad stretches.

    Parameters
    ----------
    result : Path
        File or folder of the spikes.
    fs_hz : float or None
        Sampling rate.

    Returns
    -------
    BadStretches
        Those of an unknown kind, or of none, are `given`.

    Raises
    ------
    InputError
        If the table cannot be read, its times are no times, or the rate is not known (`RateNeededError`).
    """
    place = bad_table_place(result)
    if is_bad_table(result) or not place.is_file():
        return BadStretches()
    with reading(place, "a table"), place.open(newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file, strict=True))
    if not rows:
        return BadStretches()
    if fs_hz is None:
        raise RateNeededError(
            f"{place}: holds times in seconds; give the recording's sampling rate: fs_hz (--fs)"
        )
    with naming(place):
        return BadStretches.of([_stretch(number, row, fs_hz) for number, row in enumerate(rows, start=2)])


def to_stretch(start: float, stop: float, kind: str) -> tuple[int, int, str]:
    """Return the stretch that covers the time from `start` to `stop`, both counted in samples.

    Examples
    --------
    >>> to_stretch(99.9999, 200.5, "artefact"), to_stretch(-3.0, 4.0, "laser")
    ((100, 201, 'artefact'), (0, 4, 'given'))
    """
    first, last = (
        round(value) if abs(value - round(value)) < WHOLE_SAMPLES else int(rounded(value))
        for value, rounded in ((start, np.floor), (stop, np.ceil))
    )
    return max(first, 0), last, kind if kind in KINDS else "given"


def _stretch(number: int, row: dict[str, str], fs_hz: float) -> tuple[int, int, str]:
    try:
        start, stop = float(row["start_s"]) * fs_hz, float(row["stop_s"]) * fs_hz
        return to_stretch(start, stop, row.get("kind") or "")
    except (KeyError, TypeError, ValueError, OverflowError):
        raise InputError(
            f"row {number}: expected columns start_s and stop_s with times in seconds, and kind"
        ) from None


def _is_own(place: Path) -> bool:
    with place.open("rb") as file:
        return file.read(len(HEADER)) == HEADER.encode()
