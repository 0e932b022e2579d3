"""How late spikes of a live recording are reported, and how far sorting is behind."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from spikesorter.core.text import count_of

__all__ = ["Latency"]

SHORTEST_S, STEP = 1e-5, 0.01  # of the bins of a histogram, whose widths grow with them
BINS = 2000
WAITED_S = 0.0005  # for a packet: all that had arrived was sorted before


class Latency:
    """Ages of spikes when they are reported, from the sample at which they start.

    The age of a sample is counted from the moment at which it can have been taken at the latest: a packet for
    which the sorter had to wait was not kept waiting, so its last sample is new.

    Parameters
    ----------
    fs_hz : float
    now : callable
        Returns the time in seconds.

    Examples
    --------
    >>> times = iter([5.0, 5.004])
    >>> latency = Latency(1000.0, now=lambda: next(times))
    >>> latency.arrived(100, waited_s=0.1)
    >>> latency.reported(98)
    >>> latency.line()
    'latency of 1 spike: median 6 ms, 99 % 6 ms, longest 6 ms; behind by 0 ms, at most 0 ms'
    """

    def __init__(self, fs_hz: float, now: Callable[[], float] = time.monotonic) -> None:
        self.fs_hz, self._now = fs_hz, now
        self._start = np.inf  # time at which the sample 0 was taken
        self._counts = np.zeros(BINS, np.int64)
        self._longest = self._behind = self._most_behind = 0.0

    def arrived(self, received_samples: int, *, waited_s: float) -> None:
        """Note that a packet was received, after which there are so many samples, and how long it took."""
        start = self._now() - received_samples / self.fs_hz
        if waited_s > WAITED_S or start < self._start:
            self._start = start
        self._behind = start - self._start
        self._most_behind = max(self._most_behind, self._behind)

    @property
    def behind_s(self) -> float:
        """How long ago the newest sample was taken when it was received."""
        return self._behind

    def reported(self, sample: int) -> None:
        """Note that a spike that starts at a sample was reported."""
        age = max(self._now() - self._start - sample / self.fs_hz, SHORTEST_S)
        place = int(np.log(age / SHORTEST_S) / STEP)
        self._counts[min(place, BINS - 1)] += 1
        self._longest = max(self._longest, age)

    @property
    def spikes(self) -> int:
        """Number of spikes that were reported."""
        return int(self._counts.sum())

    def quantile_s(self, share: float) -> float:
        """Return the age that a share of the spikes did not exceed, to 1 %; 0 if there are none."""
        if not self.spikes:
            return 0.0
        place = int(np.searchsorted(np.cumsum(self._counts), share * self.spikes))
        return float(min(SHORTEST_S * np.exp((place + 0.5) * STEP), self._longest))

    def line(self) -> str:
        """Return it all as a line of text."""
        ages = (self.quantile_s(0.5), self.quantile_s(0.99), self._longest)
        median, most, longest = (_ms(age) for age in ages)
        spikes = count_of(self.spikes, "spike")
        return (
            f"latency of {spikes}: median {median}, 99 % {most}, longest {longest}; behind by "
            f"{_ms(self._behind)}, at most {_ms(self._most_behind)}"
        )


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:.2g} ms" if seconds < 0.0995 else f"{1000 * seconds:.0f} ms"
