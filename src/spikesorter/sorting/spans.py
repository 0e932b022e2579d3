"""Sorting a recording span by span, in threads, going on where an interrupted run stopped."""

from __future__ import annotations

from spikesorter.core.progress import Progress
from spikesorter.core.spikes import Spikes
from spikesorter.decoding.run import TraceReader, find_candidates, in_threads
from spikesorter.sorting.adaptation import TunedDecoder
from spikesorter.sorting.resume import FinishedSpans

__all__ = ["sort_spans"]


def sort_spans(
    tuned: TunedDecoder,
    read_trace: TraceReader,
    spans: list[tuple[int, int]],
    *,
    n_jobs: int,
    finished: FinishedSpans | None,
    progress: Progress,
) -> Spikes:
    """Find the spikes above their thresholds, whatever their distance from each other.

    Parameters
    ----------
    tuned : TunedDecoder
    read_trace : Stretch
    spans : list of (int, int)
        The whole recording, in order; each is sorted by one thread.
    n_jobs : int
        Threads; they change no result.
    finished : FinishedSpans, optional
        Spans that are known already; those that are found are added.
    progress : callable

    Returns
    -------
    Spikes
    """
    n_samples = spans[-1][1]

    def held(span: tuple[int, int]) -> Spikes:
        known = finished.read(*span) if finished else None
        if known is not None:
            return known
        spikes = tuned.above_threshold(find_candidates(tuned.decoder, read_trace, n_samples, *span))
        if finished:
            finished.write(*span, spikes)
        return spikes

    parts = []
    progress("sorting", 0.0)
    for (_, stop), part in zip(spans, in_threads(held, spans, n_jobs=n_jobs), strict=True):
        parts.append(part)
        progress("sorting", stop / n_samples)
    return Spikes.concatenate(parts)
