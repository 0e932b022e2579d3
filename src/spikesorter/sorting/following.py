"""Follow the changes of the recording that a sorter was adapted to, with a decoder for each part of it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from spikesorter.core.bad_stretches import BadStretches
from spikesorter.decoding.base import Decoder
from spikesorter.decoding.in_parts import InParts
from spikesorter.decoding.tuning import TunedDecoder
from spikesorter.io.samples import read_signature

if TYPE_CHECKING:
    from spikeinterface import BaseRecording

__all__ = ["Following", "digest_of", "following_of", "part_stops"]


@dataclass(frozen=True, eq=False)
class Following:
    """Decoders for the parts of one recording.

    For another recording the parts mean nothing; it is sorted by the decoder for the whole.

    Parameters
    ----------
    parts : tuple of TunedDecoder
        One for each part, tuned together.
    stops : tuple of int
        Sample after the last one of each part.
    recording : str
        Digest of the recording.
    """

    parts: tuple[TunedDecoder, ...]
    stops: tuple[int, ...] = ()
    recording: str = ""

    def decoder(self, whole: Decoder) -> InParts:
        """Return the decoder for the recording, given the one for recordings like the whole of it."""
        return InParts(whole, tuple(part.decoder for part in self.parts), self.stops)


def following_of(tuned: TunedDecoder) -> tuple[TunedDecoder, Following | None]:
    """Return the tuned decoder for the whole, and those for the parts if it has parts."""
    if not isinstance(tuned.decoder, InParts):
        return tuned, None
    parts = tuple(replace(tuned, decoder=one) for one in tuned.decoder.decoders)
    return replace(tuned, decoder=tuned.decoder.whole), Following(parts)


def part_stops(parts: int, n_samples: int, bad: BadStretches) -> tuple[int, ...]:
    """Return where parts end that hold equal numbers of good samples.

    Examples
    --------
    >>> part_stops(2, 100, BadStretches()), part_stops(2, 100, BadStretches.of([(0, 40, "dead")]))
    ((50, 100), (70, 100))
    """
    good = np.linspace(0, n_samples - bad.samples, parts + 1)[1:].astype(int)
    before = bad.start - np.r_[0, np.cumsum(bad.stop - bad.start)[:-1]] if len(bad) else bad.start
    gone = np.r_[0, np.cumsum(bad.stop - bad.start)]
    return tuple((good + gone[np.searchsorted(before, good, "left")]).tolist())


def digest_of(recording: BaseRecording) -> str:
    """Return what a recording is recognised by: a digest of its length and of parts of it."""
    total = hashlib.sha256(str(recording.get_num_frames()).encode())
    total.update(read_signature(recording).tobytes())
    return total.hexdigest()
