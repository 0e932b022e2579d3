"""One spike, and the sampling rates at which spikes are counted."""

from __future__ import annotations

from numbers import Real
from typing import NamedTuple

from spikesorter.core.errors import InputError

__all__ = [
    "HIGHEST_HZ",
    "LOWEST_HZ",
    "Spike",
    "check_rate",
    "same_rate",
    "shown_hz",
]

LOWEST_HZ, HIGHEST_HZ = 100.0, 1e7
SAME_RATE = 1e-4
"""Rates whose ratio differs less are the same for counting samples: a clock of quartz is no more accurate."""


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
    if not isinstance(fs_hz, Real):
        raise InputError(f"the sampling rate must be a number of Hz (fs_hz), not {fs_hz!r}")
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
