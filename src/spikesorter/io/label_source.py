"""What all formats of labels share: how they are read, and spikes of units with numbers or names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from spikesorter.core.errors import InputError, naming
from spikesorter.core.spikes import PROBABILITIES, UNKNOWN, Spikes
from spikesorter.io.bounds import check_rate
from spikesorter.io.columns import stored_names
from spikesorter.io.label_checks import LabelTimes, RateNeededError, to_samples

__all__ = [
    "MOST_LETTERS",
    "MOST_SAMPLES",
    "PROBABILITY_NAMES",
    "UNKNOWN_UNIT",
    "Column",
    "LabelSource",
    "short_texts",
    "spikes_of_units",
]

UNKNOWN_UNIT = "unknown"
"""Unit of outlier spikes in tables."""
PROBABILITY_NAMES = {name: stored_names(name) for name in PROBABILITIES}
MOST_LETTERS = 1000  # of a number or a unit's name
MOST_SAMPLES = 2.0**53
Column = npt.NDArray[Any]


@dataclass(frozen=True)
class LabelSource:
    """A file of labels, and how it is read.

    Parameters
    ----------
    path : Path
    fs_hz : float, optional
        Sampling rate of the recording, if the labels do not state it.
    times : {"samples", "seconds", "session"}, optional
        What the times are, if the user said it.
    start_s : float
        Start of the recording in the session, seconds.
    leave_out : tuple of str, optional
        Groups or units that are not read, if the user named them.

    Examples
    --------
    >>> source = LabelSource(Path("labels.csv"), fs_hz=1000.0)
    >>> source.to_samples(np.array([0.25]), "seconds"), source.to_samples(np.array([250]), "samples")
    (array([250.]), array([250]))
    """

    path: Path
    fs_hz: float | None = None
    times: LabelTimes | None = None
    start_s: float = 0.0
    leave_out: tuple[str, ...] | None = None

    def to_samples(self, values: npt.NDArray[Any], times: LabelTimes) -> npt.NDArray[Any]:
        """Return times as samples; `times` says what they are if the user did not.

        Raises
        ------
        RateNeededError
            If they are seconds and the sampling rate is not known.
        """
        times = self.times or times
        if times == "samples":
            return values
        if self.fs_hz is None:
            raise RateNeededError(
                f"{self.path}: holds times in seconds; give the recording's sampling rate: fs_hz (--fs)"
            )
        return to_samples(values, times, check_rate(self.path, self.fs_hz), self.start_s)


def spikes_of_units(
    path: Path,
    samples: npt.NDArray[np.int64],
    units: Column,
    probabilities: Mapping[str, npt.NDArray[np.float64]],
    fs_hz: float | None,
) -> Spikes:
    """Make spikes of units with numbers or names, numbered as in `Spikes.from_spikeinterface`.

    Parameters
    ----------
    path : Path
        For the message.
    samples : ndarray of int64, shape (spikes,)
    units : ndarray of str, shape (spikes,)
    probabilities : mapping of str to ndarray of float64, shape (spikes,)
        Any of `PROBABILITIES`.
    fs_hz : float or None

    Raises
    ------
    InputError
        If the values are invalid.

    Examples
    --------
    >>> spikes_of_units(Path("a.csv"), np.array([30, 10]), np.array(["b", "a"]), {}, None)
    Spikes(2 spikes of 2 units; a: 1, b: 1)
    """
    nameless = np.isin(units, ["", "None"])
    if nameless.any():
        raise InputError(
            f"{path}: {np.count_nonzero(nameless)} spikes have no unit, the first at sample "
            f"{samples[nameless.argmax()]}; give each a unit, or call it `unsorted`"
        )
    names, which = np.unique(units, return_inverse=True)
    plain = [_whole(name) for name in names.tolist()]
    known = [name for name in plain if name != UNKNOWN_UNIT]
    if all(name.isdecimal() and UNKNOWN < int(name) < MOST_SAMPLES for name in known):
        number_of = {name: int(name) for name in known}
        named: dict[int, str] = {}
    else:
        ordered = sorted(
            set(known), key=lambda name: (not name.isdecimal(), int(name) if name.isdecimal() else 0, name)
        )
        number_of = {name: number for number, name in enumerate(ordered, start=1)}
        named = {number: name for name, number in number_of.items()}
    unit_ids = np.array([number_of.get(name, UNKNOWN) for name in plain], np.int64)
    with naming(path):
        return Spikes.from_arrays(
            samples,
            unit_ids[which] if len(units) else [],
            probabilities.get("probability"),
            probabilities.get("unit_probability"),
            fs_hz=fs_hz,
            names=named,
        )


def _whole(name: str) -> str:
    """Return 3 for 3.0, as spreadsheets export whole numbers."""
    head, _, tail = name.partition(".")
    return head if head.isdecimal() and tail and not tail.strip("0") else name


def short_texts(path: Path, name: str, values: Sequence[str]) -> Column:
    """Return texts as an array; refuse long ones, as each entry takes as much memory as the longest.

    Raises
    ------
    InputError
    """
    longest = max(map(len, values), default=0)
    if longest > MOST_LETTERS:
        raise InputError(
            f"{path}: {name}: an entry is {longest} letters long; expected at most {MOST_LETTERS}"
        )
    return np.array(values, str)
