"""Compare each second of a stream with the noise that its sorter knows."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from spikesorter.signal.screen import OFF, Screen
from spikesorter.sorting.doubts import level_doubt
from spikesorter.sorting.screens import measure_quiet

__all__ = ["LiveLevel"]

logger = logging.getLogger(__name__)
CALM_SECONDS = 10  # without a doubt, after which another is told again
REMEDY = (
    "If its type and unit are right (listen --dtype, --scale), calibrate on it (listen --calibrate, "
    "calibration_seconds of Sorter.stream), or do not trust the result"
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
    names : sequence of str
        Of the channels.

    Examples
    --------
    >>> level = LiveLevel(Screen(12, np.array([9.0]), np.array([1.5]), np.zeros(1)), 25_000.0, ["0"])
    >>> level.push(np.random.default_rng(0).normal(0, 30, (25_000, 1)))
    >>> level.doubt.partition(" times")[0]
    'its noise is 91.8'
    """

    def __init__(self, screen: Screen, fs_hz: float, names: Sequence[str]) -> None:
        self.doubt = ""
        self._names = names
        self._screen = screen
        self._knows = bool((np.isfinite(screen.quiet) & (screen.quiet > 0)).any())
        self._fits_from = None if self._knows else 0
        self._renewed_at = 0
        self._length = round(fs_hz)
        self._packets: list[npt.NDArray[Any]] = []
        self._waiting = self._second = 0
        self._calm = CALM_SECONDS

    @property
    def fits_from(self) -> int | None:
        """First sample of the first second whose noise is as expected, since the beginning or `renew`.

        None before there is one; 0 for a model of an older version, which does not know its noise.
        """
        return self._fits_from

    @property
    def compared_samples(self) -> int:
        """Number of samples, from the first, whose noise has been compared."""
        return self._second * self._length

    def renew(self) -> None:
        """Wait for another second that fits, as what comes now may be something else."""
        self._renewed_at = self.compared_samples + self._waiting
        self._fits_from = None if self._knows else self._fits_from

    def flush(self) -> None:
        """Compare what is left of the last second, which is shorter than the others."""
        if self._packets:
            self._look(np.concatenate(self._packets))
            self._packets, self._waiting = [], 0

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
        start = self.compared_samples
        self._second += 1
        quiet = measure_quiet(second, self._screen)
        self.doubt = self._doubt_of_off(second, quiet) or level_doubt(
            quiet, self._screen, self._names, remedy=REMEDY
        )
        measured = bool((np.isfinite(quiet) & (quiet > 0)).any())  # not where all is missing or dead
        if self._fits_from is None and measured and not self.doubt and start >= self._renewed_at:
            self._fits_from = start
        if not self.doubt:
            self._calm += 1
            return
        if self._calm >= CALM_SECONDS:
            logger.warning("second %d of the stream: %s", self._second, self.doubt)
        self._calm = 0

    def _doubt_of_off(self, second: npt.NDArray[Any], quiet: npt.NDArray[np.float64]) -> str:
        """Return in words that some channels, but not all, were off for the whole second; or ""."""
        usual = np.where(np.isfinite(self._screen.quiet), self._screen.quiet, 0.0)
        moves = np.ptp(np.nan_to_num(second), axis=0) > 0
        off = ~moves | ((quiet > 0) & (quiet < OFF * usual))
        if off.all() or not off.any():
            return ""
        names = ", ".join(name for name, gone in zip(self._names, off.tolist(), strict=True) if gone)
        return (
            f"channel {names} is dead or missing, and nothing is sorted while it is; if it stays so, go by "
            f"the others: listen --without {names.replace(', ', ' --without ')}, Sorter.without_channels"
        )
