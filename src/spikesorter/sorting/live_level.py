"""Compare each second of a stream with the noise that its sorter knows."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import numpy.typing as npt

from spikesorter.signal.screen import Screen
from spikesorter.sorting.doubts import level_doubt
from spikesorter.sorting.screening import measure_quiet

__all__ = ["LiveLevel"]

logger = logging.getLogger(__name__)
CALM_SECONDS = 10  # without a doubt, after which another is told again
REMEDY = (
    "If its type and unit are right, calibrate on it (listen --calibrate, calibration_seconds of "
    "Sorter.stream), or do not trust the result"
)


class LiveLevel:
    """The level of a stream's noise, second by second.

    A doubt is logged when it arises. Seconds are counted from the stream's beginning, so that packets of any
    size give the same.

    Parameters
    ----------
    screen : Screen
        Of the recording that the sorter was adapted to.
    fs_hz : float

    Examples
    --------
    >>> level = LiveLevel(Screen(12, np.array([9.0]), np.array([1.5]), np.zeros(1)), 25_000.0)
    >>> level.push(np.random.default_rng(0).normal(0, 30, (25_000, 1)))
    >>> level.doubt.partition(" times")[0]
    'its noise is 91.8'
    """

    def __init__(self, screen: Screen, fs_hz: float) -> None:
        self.doubt = ""
        self._screen = screen
        self._length = round(fs_hz)
        self._packets: list[npt.NDArray[Any]] = []
        self._waiting = self._second = 0
        self._calm = CALM_SECONDS

    def push(self, packet: npt.NDArray[Any]) -> None:
        """Add the next samples, shape (samples, channels), as they were received."""
        while self._waiting + len(packet) >= self._length:
            missing = self._length - self._waiting
            self._look(np.concatenate([*self._packets, packet[:missing]]))
            packet, self._packets, self._waiting = packet[missing:], [], 0
        if len(packet):
            self._packets.append(packet)
            self._waiting += len(packet)

    def _look(self, second: npt.NDArray[Any]) -> None:
        self._second += 1
        self.doubt = level_doubt(measure_quiet(second, self._screen), self._screen, remedy=REMEDY)
        if not self.doubt:
            self._calm += 1
            return
        if self._calm >= CALM_SECONDS:
            logger.warning("second %d of the stream: %s", self._second, self.doubt)
        self._calm = 0
