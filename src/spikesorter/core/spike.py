"""One spike, and checks of the numbers that spikes are made of."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from spikesorter.core.errors import InputError

__all__ = [
    "HIGHEST_HZ",
    "LOWEST_HZ",
    "Float32Array",
    "Int64Array",
    "Spike",
    "check_rate",
    "probabilities",
    "same_rate",
    "shown_hz",
    "whole_numbers",
]

Int64Array = npt.NDArray[np.int64]
Float32Array = npt.NDArray[np.float32]

LOWEST_HZ, HIGHEST_HZ = 100.0, 1e7
SAME_RATE = 1e-4
"""Rates whose ratio differs less are the same for counting samples: a clock of quartz is no more accurate."""
MOST_SAMPLES = 1 << 53


class Spike(NamedTuple):
    """One spike, in plain numbers; see `Spikes`.

    Examples
    --------
    >>> Spike(sample=120, unit=2, probability=0.9, unit_probability=1.0).unit
    2
    """

    sample: int
    unit: int
    probability: float
    unit_probability: float


def check_rate(fs_hz: float) -> float:
    """Return a sampling rate; refuse one that is out of range.

    Raises
    ------
    InputError

    Examples
    --------
    >>> check_rate(25.0)
    Traceback (most recent call last):
    spikesorter.InputError: sampled at 25 Hz (fs_hz); expected 100 Hz to 10 MHz
    """
    if not LOWEST_HZ <= fs_hz <= HIGHEST_HZ:
        raise InputError(f"sampled at {fs_hz:g} Hz (fs_hz); expected 100 Hz to 10 MHz")
    return fs_hz


def same_rate(one_hz: float, other_hz: float) -> bool:
    """Return whether two sampling rates (Hz) differ by less than a clock may be wrong.

    Examples
    --------
    >>> same_rate(30_000.0, 30_000.39), same_rate(24_414.0, 24_414.0625), same_rate(24_414.0, 25_000.0)
    (True, True, False)
    """
    return abs(one_hz - other_hz) <= SAME_RATE * max(one_hz, other_hz)


def shown_hz(fs_hz: float) -> str:
    """Return a sampling rate as text, with as many digits as tell it from others.

    Examples
    --------
    >>> shown_hz(30_000.0), shown_hz(24_414.0625)
    ('30000 Hz', '24414.0625 Hz')
    """
    return f"{fs_hz:.10g} Hz"


def _numbers(name: str, values: npt.ArrayLike) -> npt.NDArray[Any]:
    try:
        array = np.asarray(values)
    except ValueError as error:  # lists of several lengths
        raise InputError(f"spikes: {name} must hold numbers: {error}") from None
    if array.size and array.dtype.kind not in "iuf":
        raise InputError(f"spikes: {name} must hold real numbers, not {array.dtype}")
    return array


def probabilities(name: str, values: npt.ArrayLike) -> Float32Array:
    """Return values as float32; refuse values outside 0 to 1.

    Raises
    ------
    InputError

    Examples
    --------
    >>> probabilities("probability", [0, 0.25])
    array([0.  , 0.25], dtype=float32)
    """
    array = _numbers(name, values)
    if not np.all((array >= 0) & (array <= 1)):
        raise InputError(f"spikes: {name}: probabilities must lie between 0 and 1")
    return array.astype(np.float32)


def whole_numbers(name: str, values: npt.ArrayLike) -> Int64Array:
    """Return values as int64; refuse fractions and values beyond any recording's length.

    Raises
    ------
    InputError

    Examples
    --------
    >>> whole_numbers("sample", [120.0, 300.0])
    array([120, 300])
    """
    array = _numbers(name, values)
    if array.size == 0:
        return array.astype(np.int64)
    if array.dtype.kind == "f" and not np.all(np.isfinite(array) & (array == np.round(array))):
        raise InputError(f"spikes: {name} must hold whole numbers; some are fractional, NaN or infinite")
    if not -MOST_SAMPLES < array.min() <= array.max() < MOST_SAMPLES:
        raise InputError(f"spikes: {name} holds numbers beyond any recording's length")
    return array.astype(np.int64)
