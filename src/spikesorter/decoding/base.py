"""What every decoder can do: a stretch of trace in, evidence out; and from evidence, candidates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, Self

import numpy as np
import numpy.typing as npt

from spikesorter.decoding.candidates import Candidates
from spikesorter.signal.spans import Margin

__all__ = ["LEAST_PROBABILITY", "Decoder"]

Trace = npt.NDArray[np.float32]
LEAST_PROBABILITY = 0.01
"""Candidates below this are not worth carrying on."""


class Decoder(Protocol):
    """A decoder made for one noise, gain and activity; frozen.

    Evidence is computed in blocks that lie on a fixed grid, each from the same samples in whatever span it is
    asked for: so any spans, in any order, and a stream give the same bytes.
    """

    @property
    def unit_ids(self) -> tuple[int, ...]:
        """The classes, in order."""
        ...

    @property
    def grid_samples(self) -> int:
        """Length of a block; blocks begin at multiples of it."""
        ...

    @property
    def margin(self) -> Margin:
        """How far around a block the trace decides about its evidence."""
        ...

    @property
    def overlap_samples(self) -> int:
        """By how much a block's evidence may spill over its ends: what several say of a sample adds up."""
        ...

    @property
    def pick_reach(self) -> int:
        """How far from a candidate the evidence lies that decides about it."""
        ...

    def evidence(self, trace: Trace) -> Trace:
        """Return the evidence of whole blocks.

        Parameters
        ----------
        trace : ndarray of float32, shape (margin.before + blocks * grid_samples + margin.after, channels)
            Less its offset, otherwise unfiltered.

        Returns
        -------
        ndarray of float32, shape (spill_samples + blocks * grid_samples + spill_samples, columns)
        """
        ...

    def curves(self, evidence: Trace) -> Trace:
        """Return what people want to see of the evidence: curves that rise where spikes start."""
        ...

    def pick(self, evidence: Trace) -> Candidates:
        """Return the places where spikes may be.

        Parameters
        ----------
        evidence : ndarray of float32, shape (pick_reach + samples + pick_reach, columns)
            Zero beyond the recording's ends.

        Returns
        -------
        Candidates
            Counted from the first of the `samples` in the middle, and inside them.
        """
        ...

    def variants(self) -> Sequence[Self]:
        """Return variants of this decoder that read the same evidence differently."""
        ...
