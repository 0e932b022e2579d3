"""`InParts`: decoders for consecutive parts of a recording that changes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from spikesorter.decoding.base import Decoder
from spikesorter.decoding.candidates import Candidates
from spikesorter.estimation.context import Context
from spikesorter.estimation.profile import Profile
from spikesorter.signal.spans import Margin

__all__ = ["InParts", "in_parts"]

Trace = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class InParts:
    """Decoders of one kind for consecutive parts of a recording, which differ in sizes of units and noise.

    A candidate is that of the decoder of the part in which it lies, whatever spans the recording is read in.

    Parameters
    ----------
    whole : Decoder
        For recordings like the whole, with mean sizes and noise.
    decoders : tuple of Decoder
        One for each part.
    stops : tuple of int
        Sample after the last one of each part; the last part also goes on after that.
    """

    whole: Decoder
    decoders: tuple[Decoder, ...]
    stops: tuple[int, ...]

    def over(self, n_samples: int) -> InParts:
        """Return the decoders for a rehearsal of this length, in parts of equal lengths."""
        stops = np.linspace(0, n_samples, len(self.decoders) + 1)[1:].astype(int)
        return replace(self, stops=tuple(stops.tolist()))

    def pieces(self, start: int, stop: int) -> list[tuple[Decoder, int, int]]:
        """Return the parts of a span: decoder, first sample, and sample after the last one."""
        inner = self.stops[:-1]
        edges = [start, *(edge for edge in inner if start < edge < stop), stop]
        return [
            (self.decoders[int(np.searchsorted(inner, first, "right"))], first, last)
            for first, last in pairwise(edges)
        ]

    def variants(self) -> list[InParts]:
        """Return this with each variant of its decoders."""
        variants = zip(self.whole.variants(), *(one.variants() for one in self.decoders), strict=True)
        return [replace(self, whole=whole, decoders=tuple(parts)) for whole, *parts in variants]

    def evidence(self, trace: Trace) -> Trace:
        """Return the evidence of the decoder for the whole."""
        return self.whole.evidence(trace)

    def pick(self, evidence: Trace) -> Candidates:
        """Return the candidates of the decoder for the whole."""
        return self.whole.pick(evidence)

    def curves(self, evidence: Trace) -> Trace:
        """Return the evidence as curves for display."""
        return self.whole.curves(evidence)

    @property
    def unit_ids(self) -> tuple[int, ...]:
        """Units, in order."""
        return self.whole.unit_ids

    @property
    def grid_samples(self) -> int:
        """Length of a block."""
        return self.whole.grid_samples

    @property
    def margin(self) -> Margin:
        """Samples around a block that its evidence depends on."""
        return self.whole.margin

    @property
    def overlap_samples(self) -> int:
        """Samples by which the evidence of neighbouring blocks overlaps."""
        return self.whole.overlap_samples

    @property
    def pick_reach(self) -> int:
        """Samples on either side of a candidate on whose evidence it depends."""
        return self.whole.pick_reach


def in_parts(make: Callable[[Context, Profile], Decoder], context: Context, profile: Profile) -> Decoder:
    """Return the decoder of a profile, in parts if the profile changes over the recording."""
    whole = make(context, profile)
    if profile.course.steady:
        return whole
    decoders = tuple(make(context, part) for part in profile.parts())
    return InParts(whole, decoders, tuple(range(1, len(decoders) + 1)))
