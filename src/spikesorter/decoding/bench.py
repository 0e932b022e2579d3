"""Make decoders for one profile and try them on a rehearsal."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from spikesorter.core.progress import Progress
from spikesorter.core.settings import Settings
from spikesorter.decoding.base import Decoder
from spikesorter.decoding.in_parts import in_parts
from spikesorter.decoding.networks import Networks
from spikesorter.decoding.run import find_evidence
from spikesorter.decoding.training_record import TrainingRecord
from spikesorter.estimation.context import Context
from spikesorter.estimation.profile import Profile
from spikesorter.estimation.rehearsal import Rehearsal
from spikesorter.estimation.rehearser import Rehearser

__all__ = ["Bench", "DecoderKind", "Maker", "Trial", "untrained"]

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Trial:
    """A decoder and its evidence on the bench's rehearsal.

    Parameters
    ----------
    decoder : Decoder
    evidence : ndarray of float32, shape (samples, columns)
    record : TrainingRecord or None
        Of its networks, if it has any and they were trained for the bench's profile.
    """

    decoder: Decoder
    evidence: FloatArray
    record: TrainingRecord | None = None


@dataclass(frozen=True, eq=False)
class Bench:
    """Inputs for making decoders, and the rehearsal to try them on.

    Parameters
    ----------
    rehearser : Rehearser
        Maker of rehearsals of the profile to decode.
    rehearsal : Rehearsal
        Rehearsal to calibrate and tune on.
    average : ndarray of float32, shape (window, channels)
        Average labelled waveform, conditioned.
    base : Networks or None
        Trained for the labelled recording; None if that is done when a decoder needs them.
    train : bool
        Whether networks are trained further for the profile.
    n_jobs : int
        Number of threads; it does not affect the result.
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

    def evidence_of(self, decoder: Decoder) -> FloatArray:
        """Return a decoder's evidence on the rehearsal, shape (samples, columns)."""
        return find_evidence(decoder, self.rehearsal.trace, n_jobs=self.n_jobs)

    def trial(self, decoder: Decoder) -> Trial:
        """Return a decoder with its evidence on the rehearsal."""
        return Trial(decoder, self.evidence_of(decoder))


Maker = Callable[[Bench, Mapping[str, Trial]], Trial]
"""Makes a decoder, given the decoders made and tuned before it, by name."""


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
        Class of the decoder, for model files.
    make : callable
        Makes the decoder on a `Bench`, given the trials of decoders made before.
    rank : int
        Order in which decoders are made; the first of equally good ones is chosen.
    in_auto : bool
        Whether `auto` tries it.
    uses_networks : bool
        Whether it needs networks; `auto` then tries it only if neither waveforms nor the target vary, there
        are background spikes, and decoders without networks are not good enough.
    tunes_refractory : bool
        Whether a refractory period is tuned for it. Decoders that resolve overlapping spikes need none.
    if_units_vary : bool
        Whether `auto` tries it only where waveforms vary.
    quickly_judged : bool
        Whether it needs no training, so that `auto` tries it on a part of the rehearsal first.
    preferred : bool
        Whether it is chosen if another decoder is hardly better.
    needs : tuple of str
        Decoders that have to be made before it.
    fits : callable
        Returns whether it can be made with some settings.
    """

    name: str
    decoder: type[Any]
    make: Maker
    rank: int
    in_auto: bool = False
    uses_networks: bool = False
    tunes_refractory: bool = False
    if_units_vary: bool = False
    quickly_judged: bool = False
    preferred: bool = False
    needs: tuple[str, ...] = ()
    fits: Callable[[Settings], bool] = _always


def untrained(make: Callable[[Context, Profile], Decoder], *, follows: bool = True) -> Maker:
    """Return the maker of a decoder that needs no training, only context and profile.

    Parameters
    ----------
    make : callable
    follows : bool
        Whether it follows the changes of the profile over the recording, with a decoder for each part.
    """

    def on_bench(bench: Bench, tried: Mapping[str, Trial]) -> Trial:
        del tried
        context, profile = bench.context, bench.rehearser.profile
        return bench.trial(in_parts(make, context, profile) if follows else make(context, profile))

    return on_bench
