"""Refuse labels that cannot be meant, with the likely cause and the option that mends it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from spikesorter.core.errors import InputError
from spikesorter.core.spike import same_rate, shown_hz
from spikesorter.core.spikes import UNKNOWN, Spikes

__all__ = [
    "LabelTimes",
    "RateNeededError",
    "check_label_times",
    "check_plausible",
    "check_whole",
    "to_samples",
]

LabelTimes = Literal["samples", "seconds", "session"]
"""What times of labels are: samples of the recording (from 0); seconds from its start; or seconds from the
start of the session, at which the recording may already have been running or not yet."""

LARGEST = {"int8": 127, "uint8": 255, "int16": 32_767, "uint16": 65_535, "int32": (1 << 31) - 1,
           "uint32": (1 << 32) - 1}  # fmt: skip
STUCK = 3
"""So many labels at the largest value of a type are no chance."""
RASTER = 1000  # entries
MOST_PER_S = 500.0
"""More spikes per second than a neuron can fire for long."""
FEW = 10  # labels, from which nothing is concluded
LONG_S, BEGINNING_S = 20.0, 1.0
OTHER_RATES = (20_000.0, 24_000.0, 24_414.0625, 25_000.0, 30_000.0, 32_000.0, 40_000.0, 48_828.125, 50_000.0)


class RateNeededError(InputError):
    """Labels are times, and their sampling rate is not known."""


def check_label_times(name: str | None) -> LabelTimes | None:
    """Return what times of labels are, as given by a user.

    Raises
    ------
    InputError
    """
    if name is None or name in get_args(LabelTimes):
        return name  # type: ignore[return-value]  # just checked
    raise InputError(f"labels in {name!r}: expected one of {', '.join(get_args(LabelTimes))} (--labels-in)")


def to_samples(
    values: npt.NDArray[Any], times: LabelTimes, fs_hz: float, start_s: float
) -> npt.NDArray[np.float64]:
    """Return times of labels as samples, rounded.

    Parameters
    ----------
    values : ndarray
    times : {"samples", "seconds", "session"}
    fs_hz : float
        Sampling rate of the recording.
    start_s : float
        Start of the recording in the session, seconds.

    Examples
    --------
    >>> to_samples(np.array([120.5]), "session", 1000.0, start_s=120.0)
    array([500.])
    """
    if times == "samples":
        return np.asarray(values, np.float64)
    seconds = np.asarray(values, np.float64) - (start_s if times == "session" else 0.0)
    return np.asarray(np.rint(seconds * fs_hz), np.float64)


def check_whole(path: Path, name: str, values: npt.NDArray[Any]) -> None:
    """Refuse samples of spikes that are a raster, stick at the largest value of a type, or are fractional.

    Raises
    ------
    InputError
    """
    if len(values) >= RASTER and values.dtype.kind in "iufb" and np.isin(values, (0, 1)).all():
        raise InputError(
            f"{path}: {name} looks like a raster: {len(values)} values that are all 0 or 1. Give the number "
            f"of each spike's sample instead; in MATLAB, {name} = find({name}) - 1"
        )
    if not len(values) or values.dtype.kind not in "iuf" or not np.isfinite(values).all():
        return
    top = int(values.max())
    kind = next((kind for kind, largest in LARGEST.items() if largest == top), None)
    if kind is not None and np.count_nonzero(values == top) >= STUCK:
        raise InputError(
            f"{path}: {name} sticks at {top}, the largest number of type {kind}, for "
            f"{np.count_nonzero(values == top)} spikes, so samples beyond it were lost when it was "
            f"converted; save {name} again as int64 or double, before any conversion"
        )
    if values.dtype.kind == "f" and np.any(values != np.rint(values)):
        raise InputError(
            f"{path}: {name} must hold whole numbers, counted in samples, and some are fractional; if they "
            "are times in seconds, say so: --labels-in seconds (from the recording's start) or --labels-in "
            "session (from the session's)"
        )


def check_plausible(source: Path, labels: Spikes, *, n_samples: int, fs_hz: float) -> None:
    """Refuse labels that a recording of this length cannot have.

    Parameters
    ----------
    source : Path
        File of the labels, for the message.
    labels : Spikes
    n_samples : int
        Length of the recording.
    fs_hz : float
        Its sampling rate.

    Raises
    ------
    InputError
    """
    known = labels.select(labels.unit != UNKNOWN)
    if not len(known):
        return
    first, last, seconds = int(known.sample[0]), int(known.sample[-1]), n_samples / fs_hz
    if last >= n_samples or first < 0:
        raise InputError(
            f"{source}: labels go from sample {first} to {last}, but the recording has only {n_samples} "
            f"samples ({seconds:.1f} s at {shown_hz(fs_hz)}); {_cause_beyond(first, last, n_samples, fs_hz)}"
        )
    if len(known) >= FEW and seconds >= LONG_S and last < BEGINNING_S * fs_hz:
        raise InputError(
            f"{source}: all {len(known)} labels are in the first {last / fs_hz:.3g} s of {seconds:.1f} s; "
            "if they are times in seconds, say so: --labels-in seconds; if they are milliseconds, multiply "
            f"them by {fs_hz / 1000:g}. If only the beginning was labelled, cut the recording there"
        )
    _check_counts(source, known, seconds)


def _check_counts(source: Path, known: Spikes, seconds: float) -> None:
    for unit, count in known.counts().items():
        if count >= FEW and count > MOST_PER_S * max(seconds, 1 / MOST_PER_S):
            raise InputError(
                f"{source}: unit {known.name_of(unit)} has {count} labels in {seconds:.1f} s, "
                f"{count / seconds:.0f} per second; no neuron fires more than {MOST_PER_S:g} per second for "
                "long. Are these threshold crossings or samples of a raster rather than spikes?"
            )


def _cause_beyond(first: int, last: int, n_samples: int, fs_hz: float) -> str:
    """Return the likely cause of labels beyond the end of a recording, and what mends it."""
    span = last - first
    for rate in OTHER_RATES:
        if (
            rate > fs_hz
            and not same_rate(rate, fs_hz)
            and last * fs_hz / rate < n_samples
            and first < n_samples
        ):
            other = f"; or they count samples at another rate, such as {shown_hz(rate)}"
            break
    else:
        other = ""
    if span < n_samples and first > 0:
        return (
            "they may count from the start of the session, not of the recording: give their times in seconds "
            f"with --labels-in session{other}"
        )
    return f"are they labels of another recording{other}?"
