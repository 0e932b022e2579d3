"""Sorting a recording span by span, in threads, going on where an interrupted run stopped."""

from __future__ import annotations

from spikesorter.core.progress import Progress
from spikesorter.core.spikes import Spikes
from spikesorter.decoding.run import Stretch, find_candidates, in_threads
from spikesorter.sorting.adaptation import Prepared
from spikesorter.sorting.resume import FinishedSpans

__all__ = ["sort_spans"]


def sort_spans(
    prepared: Prepared,
    stretch: Stretch,
    spans: list[tuple[int, int]],
    *,
    jobs: int,
    finished: FinishedSpans | None,
    progress: Progress,
) -> Spikes:
    """Find the spikes above their thresholds, whatever their distance from each other.

    Parameters
    ----------
    prepared : Prepared
    stretch : Stretch
    spans : list of (int, int)
        The whole recording, in order; each is sorted by one thread.
    jobs : int
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
        spikes = prepared.hold(find_candidates(prepared.decoder, stretch, n_samples, *span))
        if finished:
            finished.write(*span, spikes)
        return spikes

    parts = []
    progress("sorting", 0.0)
    for (_, stop), part in zip(spans, in_threads(held, spans, jobs=jobs), strict=True):
        parts.append(part)
        progress("sorting", stop / n_samples)
    return Spikes.concatenate(parts)
