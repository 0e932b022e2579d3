"""Collect the contents of report and viewer as plain values for JSON."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np

from spikesorter.core.bad_stretches import BadStretches
from spikesorter.core.spikes import Spikes
from spikesorter.core.versions import __version__
from spikesorter.io.events import Events
from spikesorter.report.cards import strip, strip_noise, unit_cards
from spikesorter.report.corrections import doubtful
from spikesorter.report.metrics import measure_shapes, read_conditioned
from spikesorter.report.packing import CODES, pack, pack_spikes
from spikesorter.report.panels import missing_panels, panel_frames, panels
from spikesorter.report.results import Result
from spikesorter.report.tables import about, facts, shown_units, summary_table, unit_name, unit_table
from spikesorter.report.unit_metrics import metric_contents
from spikesorter.report.verdict import bad_words, measured_score, overall_verdict, verdict_of

__all__ = [
    "DETAILED",
    "figure_contents",
    "noise_contents",
    "recording_contents",
    "report_contents",
    "span_contents",
    "thumbnail_contents",
    "viewer_contents",
]

Contents = dict[str, Any]
NO_EVENTS: Mapping[str, Events] = {}

DETAILED = 12
"""Number of recordings that a report shows in full; others are in its table only."""

EMBEDDED_SAMPLES = 2_000_000  # of all channels and recordings together, about 3 MB in the page
MOST_SPIKES = 200_000  # of one recording
PAGE_SECONDS = 0.25
DOUBTFUL = 60
METRIC_SPIKES = 2_000  # of a report's recording, whose waveforms are read for its metrics
WINDOW_S = 0.003  # on either side of a doubtful spike in its thumbnail, as in trace.js
NOTE = (
    "The other {} recordings have higher expected scores and are in the table only. `spikesorter view` shows "
    "all of them."
)


def report_contents(
    title: str,
    results: Sequence[Result],
    *,
    overall: float | None = None,
    seconds: Mapping[str, float] | None = None,
    hand_in: str = "",
    events: Mapping[str, Events] = NO_EVENTS,
) -> Contents:
    """Return the contents of a report.

    Parameters
    ----------
    title : str
    results : sequence of Result
        If there are more than twelve, the twelve with the lowest expected scores are shown in full.
    overall : float, optional
        A study's score.
    seconds : mapping of str to float, optional
        Duration of each step.
    hand_in : str, optional
        What to hand in, in a sentence.
    events : mapping of str to Events, optional
        Events of recordings, by name.

    Returns
    -------
    dict
    """
    order = sorted(range(len(results)), key=lambda k: results[k].sorter.forecast.score)
    detailed = sorted(order[:DETAILED])
    scores = [measured_score(result) for result in results]
    budget = EMBEDDED_SAMPLES // max(len(detailed), 1)
    rest = len(results) - len(detailed)
    return _page(
        "report",
        title,
        summary=summary_table(results, scores, detailed),
        recordings=[
            recording_contents(results[k], budget_samples=budget, events=_events_of(results[k], events))
            for k in detailed
        ],
        overall=overall_verdict(results, scores, overall),
        hand_in=hand_in,
        note=NOTE.format(rest) if rest else "",
        about=about([result.sorter.settings for result in results], seconds or {}),
    )  # fmt: skip


def viewer_contents(
    title: str, results: Sequence[Result], *, events: Mapping[str, Events] = NO_EVENTS
) -> Contents:
    """Return the contents of the viewer that are embedded in its page.

    The page fetches traces span by span (`span_contents`), and figures when they are scrolled into view
    (`figure_contents`).

    Parameters
    ----------
    title : str
    results : sequence of Result
    events : mapping of str to Events, optional
        Events of recordings, by name.

    Returns
    -------
    dict
    """
    scores = [measured_score(result) for result in results]
    return _page(
        "viewer",
        title,
        summary=summary_table(results, scores, list(range(len(results)))),
        recordings=[
            recording_contents(result, budget_samples=None, events=_events_of(result, events))
            for result in results
        ],
        overall=overall_verdict(results, scores, None),
        about=about([result.sorter.settings for result in results], {}),
    )


def recording_contents(
    result: Result, *, budget_samples: int | None, events: Events | None = None
) -> Contents:
    """Return the contents for one recording.

    Parameters
    ----------
    result : Result
    budget_samples : int, optional
        Samples of its trace to embed, all channels together. If None, no trace, spikes and figures are
        embedded, as the viewer fetches them.
    events : Events, optional
        Events of the recording.

    Returns
    -------
    dict
    """
    sorter, recording, spikes = result.sorter, result.recording, result.spikes
    n_samples, whole_score = result.n_samples, measured_score(result)
    shapes = measure_shapes(sorter, recording, spikes) if budget_samples is not None else []
    first_doubtful = doubtful(spikes)[:DOUBTFUL].tolist()
    pages, whole = _pages(result, first_doubtful, budget_samples)
    embedded = budget_samples is not None
    inside = spikes if len(spikes) <= MOST_SPIKES else _within(spikes, pages)
    true = result.truth
    if true is not None and len(true) > MOST_SPIKES:
        true = _within(true, pages)
    return {
        "name": result.name,
        "fs_hz": sorter.fs_hz,
        "n_samples": n_samples,
        "verdict": verdict_of(result, whole_score),
        "bad_words": bad_words(result),
        "strip": strip(result, with_noise=budget_samples is not None),
        "cards": unit_cards(result, whole_score, shapes),
        "facts": facts(result),
        "units": [{"unit": unit, "name": unit_name(result, unit)} for unit in shown_units(result)],
        "unit_table": unit_table(result, whole_score),
        "metrics": metric_contents(result, most=METRIC_SPIKES, shapes=shapes) if embedded else None,
        "channels": [str(channel) for channel in sorter.state.fitting(recording).get_channel_ids()],
        "curves": _curves(result),
        "pages": pages,
        "whole": whole,
        "found": pack_spikes(inside) if embedded else None,
        "truth": pack_spikes(true) if embedded and true is not None else None,
        "doubtful": [
            [int(spikes.sample[k]), int(spikes.unit[k]), round(float(spikes.joint[k]), 3)]
            for k in first_doubtful
        ],
        "bad": _listed_bad(result.spikes.bad, _runs(pages)) if embedded else [],
        "embedded": _embedded(result, pages) if embedded else None,
        "figures": list(panels(result, whole_score, shapes, events=events))
        if embedded
        else panel_frames(sorter, with_events=events is not None),
        "missing": missing_panels(sorter),
    }


def span_contents(result: Result, start: int, stop: int) -> Contents:
    """Return a span of a recording: conditioned trace, evidence, found and true spikes, bad stretches.

    Parameters
    ----------
    result : Result
    start, stop : int
        Inside the recording.

    Returns
    -------
    dict
    """
    found, true, bad = result.spikes.within(start, stop), result.truth, result.spikes.bad
    return {
        "start": start,
        "stop": stop,
        "trace": pack(read_conditioned(result.sorter, result.recording, start, stop, bad=bad), "f4"),
        "evidence": pack(result.sorter.evidence(result.recording, start=start, stop=stop, bad=bad), "f4"),
        "bad": _listed_bad(bad, [(start, stop)]),
        "found": pack_spikes(found),
        "truth": pack_spikes(true.within(start, stop)) if true is not None else None,
    }


def thumbnail_contents(result: Result) -> list[Contents]:
    """Return the trace around each of a recording's doubtful spikes, for the viewer.

    Parameters
    ----------
    result : Result

    Returns
    -------
    list of dict
        `start` and `trace` of each, in the order of the recording's `doubtful`.
    """
    half, recording = round(WINDOW_S * result.sorter.fs_hz), result.recording
    around = []
    for sample in result.spikes.sample[doubtful(result.spikes)[:DOUBTFUL]].tolist():
        start, stop = max(sample - half, 0), min(sample + half, result.n_samples)
        trace = read_conditioned(result.sorter, recording, start, stop, bad=result.spikes.bad)
        around.append({"start": start, "trace": pack(trace, "f4")})
    return around


def noise_contents(result: Result) -> Contents:
    """Return the noise from beginning to end, as the last row of a recording's strip, for the viewer."""
    return strip_noise(result, len(shown_units(result)))


def figure_contents(result: Result, *, events: Mapping[str, Events] = NO_EVENTS) -> list[Contents]:
    """Return a recording's figures, drawn, for the viewer.

    Parameters
    ----------
    result : Result
    events : mapping of str to Events, optional
        Events of recordings, by name.

    Returns
    -------
    list of dict
    """
    shapes = measure_shapes(result.sorter, result.recording, result.spikes)
    return list(panels(result, measured_score(result), shapes, events=_events_of(result, events)))


def _events_of(result: Result, events: Mapping[str, Events]) -> Events | None:
    return events.get(result.place.stem)


def _page(
    kind: str,
    title: str,
    *,
    summary: Contents,
    recordings: list[Contents],
    about: list[Contents],
    overall: Contents,
    hand_in: str = "",
    note: str = "",
) -> Contents:
    return {
        "kind": kind,
        "title": title,
        "version": __version__,
        "made": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "overall": overall,
        "hand_in": hand_in,
        "summary": summary,
        "recordings": recordings,
        "note": note,
        "about": about,
    }


def _listed_bad(bad: BadStretches, spans: Iterable[tuple[int, int]]) -> list[list[Any]]:
    """Return start, stop and kind of the parts of bad stretches that are in the spans."""
    return [list(one) for span in spans for one in bad.within(*span)] if len(bad) else []


def _curves(result: Result) -> list[str]:
    columns = result.sorter.evidence(result.recording, start=0, stop=1, bad=result.spikes.bad).shape[1]
    known = result.sorter.units.known
    return [unit_name(result, unit) for unit in known] if columns == len(known) else ["spike"] * columns


def _pages(result: Result, doubtful: list[int], budget_samples: int | None) -> tuple[list[list[int]], bool]:
    """Choose pages to show: all, or those around doubtful spikes and some spread over the recording."""
    n_samples = result.n_samples
    length = max(round(PAGE_SECONDS * result.sorter.fs_hz), 1)
    count = -(-n_samples // length)
    most = count if budget_samples is None else max(budget_samples // (length * result.sorter.channels), 1)
    if most >= count:
        chosen = np.arange(count)
    else:
        wanted = dict.fromkeys((result.spikes.sample[doubtful] // length).tolist())
        evenly = np.linspace(0, count - 1, max(most - len(wanted), 1)).astype(int).tolist()
        chosen = np.array(sorted({*list(wanted)[: most - 1], *evenly}), int)
    pages = [[int(k) * length, min((int(k) + 1) * length, n_samples)] for k in chosen]
    return pages, len(pages) == count


def _within(spikes: Spikes, pages: list[list[int]]) -> Spikes:
    place = np.searchsorted([start for start, _ in pages], spikes.sample, "right") - 1
    stops = np.array([stop for _, stop in pages])
    return spikes.select((place >= 0) & (spikes.sample < stops[np.maximum(place, 0)]))


def _embedded(result: Result, pages: list[list[int]]) -> Contents:
    """Pack the trace and evidence of pages, each value in one byte."""
    runs, sorter, recording, bad = list(_runs(pages)), result.sorter, result.recording, result.spikes.bad
    trace = np.concatenate([read_conditioned(sorter, recording, *run, bad=bad) for run in runs])
    curves = (sorter.evidence(recording, start=a, stop=b, bad=bad) for a, b in runs)
    coded = [np.round(np.clip(curve, 0, 1) * CODES).astype("u1") for curve in curves]
    low = trace.min(axis=0)
    step = np.maximum(np.ptp(trace, axis=0) / CODES, 1e-12)
    return {
        "trace": pack(np.round((trace - low) / step), "u1"),
        "low": [float(value) for value in low],
        "step": [float(value) for value in step],
        "evidence": pack(np.concatenate(coded), "u1"),
        "evidence_step": 1 / CODES,
    }


def _runs(pages: list[list[int]]) -> Iterator[tuple[int, int]]:
    """Yield runs of consecutive pages."""
    first, last = pages[0]
    for start, stop in pages[1:]:
        if start != last:
            yield first, last
            first = start
        last = stop
    yield first, last
