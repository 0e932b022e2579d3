"""Store a user's corrections of found spikes, and make labels from them for the next fit."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from spikesorter.core.errors import InputError, naming
from spikesorter.core.spikes import Spikes
from spikesorter.io.atomic import check_writable
from spikesorter.io.export import write_spikes

__all__ = [
    "SURE",
    "Action",
    "Correction",
    "CorrectionLog",
    "check_not_linked",
    "corrected",
    "decisions",
    "doubtful",
    "write_labels",
]

Action = Literal["accept", "reject", "rename", "undo"]
"""`undo` cancels an earlier correction of the spike."""

SURE = 0.95
"""A spike with at least this probability is not doubtful."""


@dataclass(frozen=True)
class Correction:
    """A user's decision on one spike.

    Parameters
    ----------
    sample, unit : int
        The spike as found.
    action : {"accept", "reject", "rename", "undo"}
    to : int, optional
        For `rename`: the new unit of the spike.

    Raises
    ------
    InputError
        If a value is not allowed.

    Examples
    --------
    >>> Correction(1200, 1, "rename", to=2).spike
    (1200, 1)
    """

    sample: int
    unit: int
    action: Action
    to: int | None = None

    def __post_init__(self) -> None:
        for name in ("sample", "unit"):
            _check_count(name, getattr(self, name))
        if self.action not in get_args(Action):
            raise InputError(f"action must be one of {', '.join(get_args(Action))}, not {self.action!r:.40}")
        if self.action == "rename":
            _check_count("to, the new unit,", self.to)
        elif self.to is not None:
            raise InputError(f"`to` is for rename only, not for {self.action}")

    @property
    def spike(self) -> tuple[int, int]:
        """Sample and unit of the spike as found."""
        return self.sample, self.unit


class CorrectionLog:
    """File of corrections, one line of JSON for each; lines are added and never removed.

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
    ...     log.read()
    [Correction(sample=1200, unit=1, action='rename', to=2)]
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()

    def append(self, correction: Correction) -> None:
        """Add a correction, which is on disk when this returns.

        Raises
        ------
        InputError
            If it cannot be written; the file is then unchanged.
        """
        line = json.dumps(asdict(correction)).encode() + b"\n"
        with self._lock:
            check_not_linked(self.path)
            check_writable(self.path.parent)
            try:
                self._write(line)
            except OSError as error:
                raise InputError(f"{self.path}: cannot be written: {error.strerror or error}") from None

    def read(self) -> list[Correction]:
        """Return all corrections, in the order in which they were made.

        Logs of earlier versions, which have `label` instead of `unit`, are read as well.

        Raises
        ------
        InputError
            If the file cannot be read or contains anything but corrections.
        """
        check_not_linked(self.path)
        try:
            *lines, _torn = self.path.read_bytes().split(b"\n")
        except FileNotFoundError:
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

    def _parsed(self, number: int, line: bytes) -> Correction:
        with naming(f"{self.path}: line {number}"):
            try:
                return _correction(json.loads(line))
            except (ValueError, TypeError, RecursionError):
                raise InputError(
                    f"is not a correction: {line[:60].decode(errors='replace')!r}; expected e.g. "
                    '{"sample": 1200, "unit": 1, "action": "reject"}. Correct or remove the line'
                ) from None


def decisions(corrections: Iterable[Correction]) -> dict[tuple[int, int], Correction]:
    """Return the last correction of each spike (sample, unit), unless it was undone.

    Examples
    --------
    >>> decided = [Correction(9, 1, "reject"), Correction(9, 1, "accept"), Correction(30, 2, "reject")]
    >>> [last.action for last in decisions([*decided, Correction(30, 2, "undo")]).values()]
    ['accept']
    """
    last = {correction.spike: correction for correction in corrections}
    return {spike: correction for spike, correction in last.items() if correction.action != "undo"}


def corrected(spikes: Spikes, corrections: Iterable[Correction]) -> Spikes:
    """Apply corrections to spikes.

    Parameters
    ----------
    spikes : Spikes
        Spikes as found.
    corrections : iterable of Correction
        In the order in which they were made. Corrections of missing spikes are ignored, as the recording may
        have been sorted again.

    Returns
    -------
    Spikes
        Without rejected spikes, and with the new units of renamed spikes. Accepted and renamed spikes have
        probability 1; others keep theirs. A spike that is renamed to the unit of another spike at the same
        sample is merged with it.

    Examples
    --------
    >>> spikes = Spikes.from_arrays([100, 200, 300], [1, 1, 2], [0.5, 0.6, 0.7])
    >>> decided = [Correction(100, 1, "reject"), Correction(200, 1, "rename", to=2)]
    >>> corrected(spikes, decided)
    Spikes(2 spikes of 1 unit; 2: 2)
    """
    decided = decisions(corrections)
    kept = np.ones(len(spikes), np.bool_)
    units, probability, unit_probability = (
        values.copy() for values in (spikes.unit, spikes.probability, spikes.unit_probability)
    )
    for k in _touched(spikes, decided):
        correction = decided.get((int(spikes.sample[k]), int(spikes.unit[k])))
        if correction is None:
            continue
        kept[k] = correction.action != "reject"
        units[k] = spikes.unit[k] if correction.to is None else correction.to
        probability[k] = unit_probability[k] = 1.0
    changed = Spikes.from_arrays(
        spikes.sample[kept],
        units[kept],
        probability[kept],
        unit_probability[kept],
        fs_hz=spikes.fs_hz,
        names=spikes.names,
        bad=spikes.bad,
        doubts=spikes.doubts,
    )
    return _each_once(changed)


def doubtful(spikes: Spikes) -> npt.NDArray[np.int64]:
    """Return the indices of doubtful spikes, in order of the distance of their probability from one half.

    Examples
    --------
    >>> doubtful(Spikes.from_arrays([100, 200, 300], [1, 1, 2], [0.8, 1.0, 0.5]))
    array([2, 0])
    """
    joint = spikes.joint.astype(np.float64)
    order = np.argsort(np.abs(joint - 0.5), kind="stable")
    return order[joint[order] < SURE]


def write_labels(
    path: str | Path, spikes: Spikes, corrections: Iterable[Correction], *, fs_hz: float | None = None
) -> Spikes:
    """Write corrected spikes as labels for the next fit (`spikesorter train RECORDING --labels PATH`).

    Parameters
    ----------
    path : str or Path
        `.csv`, `.mat`, or another format of `write_spikes`. Written atomically.
    spikes : Spikes
        Spikes as found.
    corrections : iterable of Correction
    fs_hz : float, optional
        Sampling rate, if the spikes do not state it.

    Returns
    -------
    Spikes
        The labels written.

    Raises
    ------
    InputError
        If the path is anything but earlier labels, or cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> spikes = Spikes.from_arrays([100, 200], [1, 1], fs_hz=25_000.0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     written = write_labels(Path(folder) / "D5.csv", spikes, [Correction(100, 1, "reject")])
    >>> written.sample
    array([200])
    """
    labels = corrected(spikes, corrections)
    write_spikes(path, labels, fs_hz=fs_hz)
    return labels


def _touched(spikes: Spikes, decided: dict[tuple[int, int], Correction]) -> list[int]:
    samples = np.array([sample for sample, _ in decided], np.int64)
    return [int(k) for k in np.flatnonzero(np.isin(spikes.sample, samples))]


def _each_once(spikes: Spikes) -> Spikes:
    """Keep only the most probable of several spikes of one unit at one sample."""
    order = np.lexsort((-spikes.joint, spikes.unit, spikes.sample))
    sample, unit = spikes.sample[order], spikes.unit[order]
    again = np.zeros(len(spikes), np.bool_)
    again[order[1:]] = (np.diff(sample) == 0) & (np.diff(unit) == 0)
    return spikes.select(~again)


def _correction(fields: Any) -> Correction:
    if not isinstance(fields, dict):
        raise TypeError("not an object")
    if "unit" not in fields and "label" in fields:  # written by earlier versions
        fields = {("unit" if name == "label" else name): value for name, value in fields.items()}
    return Correction(**fields)


def _check_count(name: str, value: Any) -> None:
    if type(value) is not int or not 0 <= value < 2**62:
        raise InputError(f"{name} must be a whole number, 0 or more, not {value!r:.40}")


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
