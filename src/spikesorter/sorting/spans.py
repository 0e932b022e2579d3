"""Sort a recording span by span, in threads, resuming where an interrupted run stopped."""

from __future__ import annotations

import hashlib
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from spikesorter.core.errors import InputError, SettingsError
from spikesorter.core.progress import Progress
from spikesorter.core.spikes import Spikes
from spikesorter.core.versions import __version__
from spikesorter.decoding.base import Decoder
from spikesorter.decoding.run import TraceReader, find_candidates, in_threads
from spikesorter.decoding.tuning import TunedDecoder
from spikesorter.estimation.profile import Profile
from spikesorter.io.model_files import model_digest
from spikesorter.io.samples import centred, read_samples, read_signature
from spikesorter.signal.filters import fir_filter_on_grid
from spikesorter.signal.hum import hum_kernel
from spikesorter.signal.spans import iterate_spans, read_span
from spikesorter.sorting.finished_spans import FinishedSpans, open_spans
from spikesorter.sorting.outlier_spikes import find_outliers
from spikesorter.sorting.state import SorterState

if TYPE_CHECKING:
    from spikeinterface import BaseRecording

__all__ = ["sort_recording", "span_samples", "trace_reader"]

FloatArray = npt.NDArray[np.float32]


def sort_recording(
    state: SorterState,
    target: BaseRecording,
    *,
    n_jobs: int,
    span_seconds: float,
    resume: Path | None,
    progress: Progress,
) -> Spikes:
    """Find the spikes of a recording; see `Sorter.sort`."""
    state.check_fits(target)
    n_samples, tuned = target.get_num_frames(), state.tuned
    read_trace = trace_reader(target, state.profile, fs_hz=state.fs_hz)
    length = span_samples(span_seconds, tuned.decoder, fs_hz=state.fs_hz)
    found = _sort_spans(
        tuned,
        read_trace,
        list(iterate_spans(n_samples, length)),
        n_jobs=n_jobs,
        finished=open_spans(resume, _facts(state, target)) if resume else None,
        progress=progress,
    )
    spikes = tuned.point.drop_refractory(found)
    if state.unknown is not None:
        outliers = find_outliers(state.unknown, read_trace, n_samples, spikes, n_jobs=n_jobs)
        spikes = state.unknown.mark(spikes, outliers)
    return spikes.described(fs_hz=float(target.get_sampling_frequency()), names=state.names)


def trace_reader(target: BaseRecording, profile: Profile, *, fs_hz: float) -> TraceReader:
    """Return a function that reads a recording as input for decoders, without offset and hum.

    Parameters
    ----------
    target : spikeinterface.BaseRecording
    profile : Profile
        Profile with the offset and the hum.
    fs_hz : float

    Returns
    -------
    callable
        Returns the samples from `start` to `stop` as float32, shape (samples, channels), padded beyond the
        recording's ends with its first or last value.
    """

    def read(start: int, stop: int) -> FloatArray:
        raw = read_span(partial(read_samples, target), target.get_num_frames(), start, stop)
        if not np.isfinite(raw).all():
            raise InputError(f"samples from {max(start, 0)} to {stop} are NaN or infinite")
        return centred(raw, profile.offset)

    if not profile.hum_hz:
        return read
    return partial(fir_filter_on_grid, read, hum_kernel(profile.hum_hz, fs_hz=fs_hz))


def span_samples(seconds: float, decoder: Decoder, *, fs_hz: float) -> int:
    """Return the length of a span: the whole number of a decoder's blocks nearest to a duration.

    Raises
    ------
    SettingsError
        If the duration is not more than 0.
    """
    if not seconds > 0:
        raise SettingsError(f"span_seconds must be more than 0, not {seconds:g}")
    blocks = min(seconds * fs_hz, 1 << 40) / decoder.grid_samples
    return max(round(blocks), 1) * decoder.grid_samples


def _sort_spans(
    tuned: TunedDecoder,
    read_trace: TraceReader,
    spans: list[tuple[int, int]],
    *,
    n_jobs: int,
    finished: FinishedSpans | None,
    progress: Progress,
) -> Spikes:
    """Return the spikes above their thresholds; no refractory period is applied yet."""
    n_samples = spans[-1][1]

    def sort_span(span: tuple[int, int]) -> Spikes:
        known = finished.read(*span) if finished else None
        if known is not None:
            return known
        spikes = tuned.above_threshold(find_candidates(tuned.decoder, read_trace, n_samples, *span))
        if finished:
            finished.write(*span, spikes)
        return spikes

    parts = []
    progress("sorting", 0.0)
    for (_, stop), part in zip(spans, in_threads(sort_span, spans, n_jobs=n_jobs), strict=True):
        parts.append(part)
        progress("sorting", stop / n_samples)
    return Spikes.concatenate(parts)


def _facts(state: SorterState, target: BaseRecording) -> dict[str, str]:
    """Return what the result depends on; a long recording is identified by its length and parts of it."""
    return {
        "version": __version__,
        "sorter": model_digest((state.profile, state.tuned)),
        "recording": _digest(str(target.get_num_frames()).encode(), read_signature(target).tobytes()),
    }


def _digest(*parts: bytes) -> str:
    total = hashlib.sha256()
    for part in parts:
        total.update(len(part).to_bytes(8, "little"))
        total.update(part)
    return total.hexdigest()
