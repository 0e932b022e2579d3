"""Sort a recording span by span, in threads, resuming where an interrupted run stopped."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from spikesorter.core.bad_stretches import BadStretches
from spikesorter.core.cores import in_threads
from spikesorter.core.errors import SettingsError
from spikesorter.core.progress import Progress
from spikesorter.core.spikes import Spikes
from spikesorter.core.versions import __version__
from spikesorter.decoding.base import Decoder
from spikesorter.decoding.run import TraceReader, find_candidates
from spikesorter.decoding.tuning import TunedDecoder
from spikesorter.io.model_files import model_digest
from spikesorter.signal.spans import iterate_spans
from spikesorter.sorting.doubts import crowd_doubt, silence_doubt
from spikesorter.sorting.fading import SHORTEST_SECONDS, Quarters, fading_doubt, measure_quarters
from spikesorter.sorting.finished_spans import FinishedSpans, open_spans
from spikesorter.sorting.following import digest_of
from spikesorter.sorting.outlier_spikes import find_outliers
from spikesorter.sorting.screening import (
    Screened,
    channels_off,
    check_good,
    described_source,
    screened,
    without_known,
)
from spikesorter.sorting.state import SorterState

if TYPE_CHECKING:
    from spikeinterface import BaseRecording

__all__ = ["measured_quarters", "screened_target", "sort_recording", "span_samples"]

FINDABLE = 0.5  # strict F1 that is forecast for a unit whose spikes must be there
logger = logging.getLogger(__name__)


def sort_recording(
    state: SorterState,
    target: BaseRecording,
    *,
    n_jobs: int,
    span_seconds: float,
    exclude: BadStretches | None,
    resume: Path | None,
    progress: Progress,
) -> Spikes:
    """Find the spikes of a recording; see `Sorter.sort`."""
    target = state.fitting(target)
    n_samples, tuned = target.get_num_frames(), state.tuned
    source = screened_target(state, target, exclude, n_jobs=n_jobs)
    doubt = state.doubt(target)
    check_good(source, fs_hz=state.fs_hz, doubt=doubt)
    _warn(doubt, source, fs_hz=state.fs_hz)
    read_trace = source.without_hum(state.hum_filter)
    length = span_samples(span_seconds, tuned.decoder, fs_hz=state.fs_hz)
    found = _sort_spans(
        replace(tuned, decoder=state.decoder_for(target)),
        read_trace,
        list(iterate_spans(n_samples, length)),
        bad=source.bad,
        seen_samples=state.seen_samples,
        n_jobs=n_jobs,
        finished=open_spans(resume, _facts(state, target, exclude)) if resume else None,
        progress=progress,
    )
    spikes = tuned.point.drop_refractory(found)
    if state.unknown is not None:
        outliers = find_outliers(state.unknown, read_trace, n_samples, spikes, n_jobs=n_jobs)
        spikes = state.unknown.mark(spikes, outliers).outside(source.bad, seen_samples=state.seen_samples)
    seen = [
        crowd_doubt(len(spikes), sum(state.expected_spikes(source.good_samples).values())),
        "" if doubt else _doubt_of_silence(state, target, spikes, source.good_samples),
        _doubt_of_sizes(state, target, read_trace, spikes, bad=source.bad),
    ]
    for words in filter(None, seen):
        logger.warning("%s", words)
    named = spikes.described(fs_hz=float(target.get_sampling_frequency()), names=state.names)
    return replace(named, bad=source.bad, doubts=tuple(filter(None, [doubt, *seen])))


def _warn(doubt: str, source: Screened, *, fs_hz: float) -> None:
    if doubt:
        logger.warning("%s", doubt)
    if source.bad.samples > source.recording.get_num_frames() / 2 or channels_off(source, fs_hz=fs_hz):
        logger.warning("%s", described_source(source, fs_hz=fs_hz))


def _doubt_of_silence(state: SorterState, target: BaseRecording, spikes: Spikes, n_good: int) -> str:
    """Return in words that units have hardly any spikes, which were expected to be found, or ""."""
    if digest_of(target) == state.recording:
        return ""  # adapting has told their rates
    f1 = dict(zip(state.forecast.unit_ids, state.forecast.f1, strict=True))
    expected, counts = state.expected_spikes(n_good), spikes.counts()
    findable = [unit for unit in expected if f1.get(unit, 0.0) >= FINDABLE]
    names = {unit: state.names.get(unit, str(unit)) for unit in findable}
    return silence_doubt(
        {name: counts.get(unit, 0) for unit, name in names.items()},
        {name: expected[unit] for unit, name in names.items()},
    )


def _doubt_of_sizes(
    state: SorterState,
    target: BaseRecording,
    read_trace: TraceReader,
    spikes: Spikes,
    *,
    bad: BadStretches,
) -> str:
    """Return in words that units change over a recording, unless it is the one adapted to, or ""."""
    if digest_of(target) == state.recording:
        return ""  # adapting has followed its changes
    quarters = _quarters(state, read_trace, target.get_num_frames(), spikes, bad=bad)
    return "" if quarters is None else fading_doubt(quarters, state.names)


def measured_quarters(
    state: SorterState, target: BaseRecording, spikes: Spikes, *, n_jobs: int
) -> Quarters | None:
    """Measure the spikes of each unit in the quarters of a recording that was sorted.

    Parameters
    ----------
    state : SorterState
    target : spikeinterface.BaseRecording
    spikes : Spikes
        What `sort_recording` found in it.
    n_jobs : int
        Number of threads; it does not affect the result.

    Returns
    -------
    Quarters or None
        None if the recording is too short for a unit to be expected to change.
    """
    target = state.fitting(target)
    source = screened_target(state, target, None, known=spikes.bad, n_jobs=n_jobs)
    read_trace = source.without_hum(state.hum_filter)
    return _quarters(state, read_trace, target.get_num_frames(), spikes, bad=spikes.bad)


def _quarters(
    state: SorterState, read_trace: TraceReader, n_samples: int, spikes: Spikes, *, bad: BadStretches
) -> Quarters | None:
    if n_samples - bad.samples < SHORTEST_SECONDS * state.fs_hz:
        return None
    bank, units = state.lessons.context.bank(state.profile), state.units.unit_ids
    return measure_quarters(spikes, bank, units, read_trace, n_samples, bad=bad, fs_hz=state.fs_hz)


def screened_target(
    state: SorterState,
    target: BaseRecording,
    exclude: BadStretches | None,
    *,
    known: BadStretches | None = None,
    n_jobs: int,
) -> Screened:
    """Find a target's bad stretches, and return the target without its offset and without them.

    Parameters
    ----------
    state : SorterState
    target : spikeinterface.BaseRecording
    exclude : BadStretches or None
        Further bad stretches.
    known : BadStretches, optional
        All bad stretches, if they have been found before.
    n_jobs : int
        Number of threads; it does not affect the result.

    Returns
    -------
    Screened
    """
    screen, offset, fs_hz = state.own_screen, state.profile.offset, state.fs_hz
    if known is not None:
        return without_known(target, screen, offset, known, fs_hz=fs_hz)
    return screened(target, screen, offset, exclude=exclude, fs_hz=fs_hz, n_jobs=n_jobs)


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
    bad: BadStretches,
    seen_samples: int,
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
        candidates = find_candidates(tuned.decoder, read_trace, n_samples, *span)
        spikes = tuned.above_threshold(candidates).outside(bad, seen_samples=seen_samples)
        if finished:
            finished.write(*span, spikes)
        return spikes

    parts = []
    progress("sorting", 0.0)
    for (_, stop), part in zip(spans, in_threads(sort_span, spans, n_jobs=n_jobs), strict=True):
        parts.append(part)
        progress("sorting", stop / n_samples)
    return Spikes.concatenate(parts)


def _facts(state: SorterState, target: BaseRecording, exclude: BadStretches | None) -> dict[str, str]:
    """Return what the result depends on; a long recording is identified by its length and parts of it."""
    return {
        "version": __version__,
        "sorter": model_digest((state.decides, exclude)),
        "recording": digest_of(target),
    }
