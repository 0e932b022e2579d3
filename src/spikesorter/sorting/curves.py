"""Read a recording as a sorter's decoder takes it, and the curves that the decoder makes of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from spikesorter.core.bad_stretches import BadStretches
from spikesorter.core.errors import InputError
from spikesorter.decoding.run import TraceReader, read_evidence
from spikesorter.sorting.spans import screened_target
from spikesorter.sorting.state import SorterState

if TYPE_CHECKING:
    from spikeinterface import BaseRecording

__all__ = ["evidence_of", "trace_reader"]


def evidence_of(
    state: SorterState, target: BaseRecording, start: int, stop: int | None, *, bad: BadStretches | None
) -> npt.NDArray[np.float32]:
    """Return the decoder's curves; see `Sorter.evidence`."""
    target = state.fitting(target)
    n_samples = target.get_num_frames()
    last = n_samples if stop is None else stop
    if not 0 <= start < last <= n_samples:
        raise InputError(f"no samples from {start} to {last}: the recording has {n_samples}")
    decoder, read = state.decoder_for(target), trace_reader(state, target, bad=bad)
    curves = decoder.curves(read_evidence(decoder, read, n_samples, start, last))
    return curves[:, : len(state.units.known)]


def trace_reader(state: SorterState, target: BaseRecording, *, bad: BadStretches | None) -> TraceReader:
    """Return a function that reads a recording as input for decoders; see `Sorter.trace_reader`."""
    source = screened_target(state, state.fitting(target), None, known=bad, n_jobs=1)
    return source.without_hum(state.hum_filter)
