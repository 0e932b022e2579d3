"""What every decoder can do: a stretch of trace in, candidates out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, Self

import numpy as np
import numpy.typing as npt

from spikesorter.events import Candidates
from spikesorter.signal.spans import Margin

__all__ = ["LEAST_PROBABILITY", "Decoder"]

LEAST_PROBABILITY = 0.01
"""Candidates below this are not worth carrying on."""


class Decoder(Protocol):
    """A decoder made for one noise, gain and activity; frozen.

    Traces are less their offset, otherwise unfiltered, float32 of shape (margin.before + samples +
    margin.after, channels). What is returned concerns the `samples` in the middle and counts from the first
    of them.
    """

    @property
    def labels(self) -> tuple[int, ...]:
        """The classes, in order."""
        ...

    @property
    def margin(self) -> Margin:
        """How far from a sample the trace decides about it."""
        ...

    @property
    def grid_samples(self) -> int:
        """Where spans that give the same result begin: at multiples of this."""
        ...

    def evidence(self, trace: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return a curve for each class, shape (samples, classes)."""
        ...

    def candidates(self, trace: npt.NDArray[np.float32]) -> Candidates:
        """Return the places where spikes may be."""
        ...

    def readings(self, trace: npt.NDArray[np.float32]) -> Sequence[tuple[Self, Candidates]]:
        """Return variants of this decoder that read the same evidence differently, with their candidates."""
        ...
