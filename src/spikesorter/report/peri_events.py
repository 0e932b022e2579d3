"""Count spikes around events: rasters and peri-event histograms with intervals."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from spikesorter.core.bad_stretches import BadStretches
from spikesorter.core.spikes import UNKNOWN, Spikes
from spikesorter.io.atomic import atomic_file
from spikesorter.io.columns import table_text
from spikesorter.io.events import Events

__all__ = [
    "AFTER_S",
    "BEFORE_S",
    "BIN_S",
    "PeriEvent",
    "around_events",
    "edges_s",
    "is_peri_event_table",
    "write_peri_events",
]

Float64Array = npt.NDArray[np.float64]
BEFORE_S, AFTER_S, BIN_S = 0.5, 1.0, 0.025
NORMAL = 1.96  # SDs on either side of 95 % of a normal distribution
COLUMNS = ("event", "event_time_s", "condition", "unit", "sample", "from_event_s", "probability")
HEADER = ",".join(COLUMNS).encode()


@dataclass(frozen=True, eq=False)
class PeriEvent:
    """Spikes of one unit around the events of one condition.

    Parameters
    ----------
    unit : int
    condition : str
    lag_s : ndarray of float64, shape (spikes,)
        Time of each spike from its event.
    event : ndarray of int64, shape (spikes,)
        Number of the event among those of the condition.
    rate, low, high : ndarray of float64, shape (bins,)
        Mean firing rate per second over events, and its 95 % interval, from the spread between events. An
        event counts for a bin if more than half of the bin is recorded: inside the recording, and in no bad
        stretch. NaN: too few events count.
    events : int
        Number of events.
    """

    unit: int
    condition: str
    lag_s: Float64Array
    event: npt.NDArray[np.int64]
    rate: Float64Array
    low: Float64Array
    high: Float64Array
    events: int


def edges_s() -> Float64Array:
    """Return the edges of the bins; one is at the event."""
    bins = np.arange(-round(BEFORE_S / BIN_S), round(AFTER_S / BIN_S) + 1)
    return np.asarray(BIN_S * bins, np.float64)


def around_events(spikes: Spikes, events: Events, *, fs_hz: float, n_samples: int) -> list[PeriEvent]:
    """Count the spikes of each unit around the events of each condition.

    Parameters
    ----------
    spikes : Spikes
        With the recording's bad stretches. Outlier spikes are left out.
    events : Events
    fs_hz : float
        Sampling rate.
    n_samples : int
        Length of the recording.

    Returns
    -------
    list of PeriEvent
        By unit, then by condition.

    Examples
    --------
    >>> spikes = Spikes.from_arrays([1010, 2010, 9000], [1, 1, 1])
    >>> events = Events(np.array([1.0, 2.0]), ("", ""))
    >>> (one,) = around_events(spikes, events, fs_hz=1000.0, n_samples=10_000)
    >>> one.lag_s.round(3), float(one.rate[20])
    (array([0.01, 0.01]), 40.0)
    """
    recorded_s = _recorded_s(spikes.bad, events, fs_hz, n_samples)
    return [
        _around(spikes.of(unit).sample / fs_hz, events, recorded_s, unit, condition)
        for unit in spikes.unit_ids
        if unit != UNKNOWN
        for condition in events.conditions
    ]


def _recorded_s(bad: BadStretches, events: Events, fs_hz: float, n_samples: int) -> Float64Array:
    """Return how much of each bin around each event is recorded, shape (events, bins)."""
    knots = np.concatenate([[0], np.column_stack([bad.start, bad.stop]).ravel(), [n_samples]])
    lengths = np.diff(knots)
    lengths[1::2] = 0  # the bad stretches
    edges = (events.time_s[:, None] + edges_s()) * fs_hz
    before = np.interp(edges, knots, np.append(0, np.cumsum(lengths)))  # recorded samples before each edge
    return np.asarray((np.diff(before, axis=1) / fs_hz).round(9), np.float64)


def _around(
    train_s: Float64Array, events: Events, recorded_s: Float64Array, unit: int, condition: str
) -> PeriEvent:
    chosen = np.array([one == condition for one in events.condition])
    own, seconds = events.time_s[chosen], recorded_s[chosen]
    lags = [_near(train_s, time) - time for time in own.tolist()]
    edges = edges_s()
    counts = np.array([np.histogram(one, edges)[0] for one in lags])
    hidden = seconds <= BIN_S / 2
    rates = np.ma.masked_array(counts / np.where(hidden, 1.0, seconds), hidden)
    rate = _filled(rates.mean(axis=0))
    error = NORMAL * _filled(rates.std(axis=0, ddof=1)) / np.sqrt(np.maximum(rates.count(axis=0), 1))
    event = np.repeat(np.arange(len(own)), [len(one) for one in lags])
    low, high = np.maximum(rate - error, 0), rate + error
    return PeriEvent(unit, condition, np.concatenate(lags), event, rate, low, high, len(own))


def _filled(values: np.ma.MaskedArray[Any, np.dtype[np.float64]]) -> Float64Array:
    return np.asarray(values.filled(np.nan), np.float64)


def _near(train_s: Float64Array, time: float) -> Float64Array:
    first, last = np.searchsorted(train_s, [time - BEFORE_S, time + AFTER_S])
    return train_s[first:last]


def write_peri_events(path: Path, spikes: Spikes, events: Events, *, fs_hz: float) -> None:
    """Write a table with a row for each spike around each event.

    Raises
    ------
    InputError
        If it cannot be written.
    """
    with atomic_file(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(COLUMNS)
        rows.writerows(_rows(spikes, events, fs_hz))


def is_peri_event_table(path: Path) -> bool:
    """Return whether a file is a table that `write_peri_events` wrote."""
    if path.suffix.lower() != ".csv" or not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(HEADER)) == HEADER


def _rows(spikes: Spikes, events: Events, fs_hz: float) -> Iterator[list[object]]:
    seconds = spikes.sample / fs_hz
    for k, (time, condition) in enumerate(
        zip(events.time_s.tolist(), events.condition, strict=True), start=1
    ):
        first, last = np.searchsorted(seconds, [time - BEFORE_S, time + AFTER_S])
        for i in range(int(first), int(last)):
            unit = table_text(spikes.name_of(int(spikes.unit[i])))
            lag, joint = f"{seconds[i] - time:.6f}", f"{float(spikes.joint[i]):.4f}"
            yield [k, f"{time:.6f}", table_text(condition), unit, int(spikes.sample[i]), lag, joint]
