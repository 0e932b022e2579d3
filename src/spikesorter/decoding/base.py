"""Protocol of decoders: from a trace to evidence, and from evidence to candidates."""

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
"""Candidates below this probability are dropped immediately."""


class Decoder(Protocol):
    """A decoder for recordings of one profile; frozen.

    Evidence is computed in blocks on a fixed grid. A block is always computed from the same samples, so spans
    of any length and order, and streams, give the same bytes.
    """

    @property
    def unit_ids(self) -> tuple[int, ...]:
        """Units that the decoder finds, in order."""
        ...

    @property
    def grid_samples(self) -> int:
        """Length of a block; blocks begin at its multiples."""
        ...

    @property
    def margin(self) -> Margin:
        """Samples around a block that its evidence depends on."""
        ...

    @property
    def overlap_samples(self) -> int:
        """Samples by which the evidence of neighbouring blocks overlaps and is added."""
        ...

    @property
    def pick_reach(self) -> int:
        """Samples on either side of a candidate on whose evidence it depends."""
        ...

    def evidence(self, trace: Trace) -> Trace:
        """Return the evidence of whole blocks.

        Parameters
        ----------
        trace : ndarray of float32, shape (margin.before + blocks * grid_samples + margin.after, channels)
            Without its offset, otherwise unfiltered.

        Returns
        -------
        ndarray of float32, shape (overlap_samples + blocks * grid_samples + overlap_samples, columns)
        """
        ...

    def curves(self, evidence: Trace) -> Trace:
        """Return the evidence as curves for display, which peak where spikes start."""
        ...

    def pick(self, evidence: Trace) -> Candidates:
        """Return the candidates: samples at which spikes may start.

        Parameters
        ----------
        evidence : ndarray of float32, shape (pick_reach + samples + pick_reach, columns)
            Zero beyond the recording's ends.

        Returns
        -------
        Candidates
            Within the `samples` in the middle, counted from the first of these.
        """
        ...

    def variants(self) -> Sequence[Self]:
        """Return variants of this decoder that pick from the same evidence in different ways."""
        ...
