"""Where decoders are made for one profile, and first tried on a rehearsal."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from spikesorter.core.progress import Progress
from spikesorter.core.settings import Settings
from spikesorter.decoding.base import Decoder
from spikesorter.decoding.networks import Networks
from spikesorter.decoding.run import find_evidence
from spikesorter.estimation.context import Context
from spikesorter.estimation.profile import Profile
from spikesorter.estimation.rehearsal import Rehearsal
from spikesorter.estimation.rehearser import Rehearser

__all__ = ["Bench", "DecoderKind", "Maker", "Trial", "untrained"]

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Trial:
    """A decoder, and its evidence on the bench's rehearsal.

    Parameters
    ----------
    decoder : Decoder
    evidence : ndarray of float32, shape (samples, columns)
    """

    decoder: Decoder
    evidence: FloatArray


@dataclass(frozen=True, eq=False)
class Bench:
    """What decoders are made from, and what they are tried on.

    Parameters
    ----------
    rehearser : Rehearser
        Makes rehearsals of the profile to decode.
    rehearsal : Rehearsal
        To calibrate and tune on.
    average : ndarray of float32, shape (window, channels)
        Average labelled waveform, conditioned.
    base : Networks or None
        Trained on the labelled recording; None if no decoder in question uses networks.
    train : bool
        Whether networks are trained further for the profile, or taken as they are.
    n_jobs : int
        Threads; they change no result.
    progress : callable
    """

    rehearser: Rehearser
    rehearsal: Rehearsal
    average: FloatArray
    base: Networks | None
    train: bool
    n_jobs: int
    progress: Progress

    @property
    def context(self) -> Context:
        """Settings, sampling rate, units and conditioning filter."""
        return self.rehearser.context

    def see(self, decoder: Decoder) -> FloatArray:
        """Return a decoder's evidence on the rehearsal, shape (samples, columns)."""
        return find_evidence(decoder, self.rehearsal.trace, n_jobs=self.n_jobs)

    def trial(self, decoder: Decoder) -> Trial:
        """Return a decoder with its evidence on the rehearsal."""
        return Trial(decoder, self.see(decoder))


Maker = Callable[[Bench, Mapping[str, Trial]], Trial]
"""Makes a decoder; is given those that were made and tuned before it, by name."""


def _always(settings: Settings) -> bool:
    del settings
    return True


@dataclass(frozen=True)
class DecoderKind:
    """A kind of decoder.

    Parameters
    ----------
    name : str
        As in `settings.decoder`.
    decoder : type
        Its class, for model files.
    make : callable
        Makes one on a `Bench`, given the trials of those made before.
    rank : int
        Decoders are made in this order; of equally good ones, the first is chosen.
    in_auto : bool
        Whether `auto` tries it.
    uses_networks : bool
        Whether it needs networks; `auto` tries it only if those without are not good enough.
    tunes_refractory : bool
        Whether a refractory period is tuned for it. Others explain overlapping spikes, so they need none.
    preferred : bool
        Whether it is chosen where another one is hardly better.
    needs : tuple of str
        Decoders that have to be made before it.
    fits : callable
        Says whether it can be made with some settings.
    """

    name: str
    decoder: type[Any]
    make: Maker
    rank: int
    in_auto: bool = False
    uses_networks: bool = False
    tunes_refractory: bool = False
    preferred: bool = False
    needs: tuple[str, ...] = ()
    fits: Callable[[Settings], bool] = _always


def untrained(make: Callable[[Context, Profile], Decoder]) -> Maker:
    """Return the maker of a decoder that needs no training: context and profile say all of it."""

    def on_bench(bench: Bench, tried: Mapping[str, Trial]) -> Trial:
        del tried
        return bench.trial(make(bench.context, bench.rehearser.profile))

    return on_bench
