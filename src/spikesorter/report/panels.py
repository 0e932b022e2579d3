"""Draw the figures of a recording's result, each with a title and a caption."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from spikesorter.core.score import Score
from spikesorter.core.spikes import UNKNOWN, Spikes
from spikesorter.decoding.registry import decoder_kinds
from spikesorter.io.events import Events
from spikesorter.report.metrics import Shape
from spikesorter.report.plots import networks, quality, stages, units
from spikesorter.report.plots.events import peri_events
from spikesorter.report.results import Result
from spikesorter.sorting.sorter import Sorter

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

__all__ = ["missing_panels", "panel_frames", "panels"]


@dataclass(frozen=True, eq=False)
class _Subject:
    """A result with data that several figures need."""

    result: Result
    measured: Score | None
    shapes: list[Shape]
    events: Events | None

    @cached_property
    def found(self) -> Spikes:
        sorter, spikes = self.result.sorter, self.result.spikes
        known = spikes.select(spikes.unit != UNKNOWN)
        return known.described(fs_hz=sorter.fs_hz, names=sorter.names)


@dataclass(frozen=True)
class _Panel:
    name: str
    title: str
    caption: str
    draw: Callable[[_Subject], Figure]
    shape: str = ""
    shown: Callable[[Sorter], bool] = lambda sorter: True
    reason: Callable[[Sorter], str] = lambda sorter: ""  # why it is not shown


def panels(
    result: Result, measured: Score | None, shapes: list[Shape], *, events: Events | None = None
) -> Iterator[dict[str, Any]]:
    """Draw all figures of a recording, one after the other.

    Parameters
    ----------
    result : Result
    measured : Score, optional
        Score against the true spikes, if they are known. Otherwise the rehearsal's confusion matrix is drawn.
    shapes : list of Shape
        From `measure_shapes`.
    events : Events, optional
        Events of the recording, if there are any.

    Yields
    ------
    dict
        Its `id`, `title`, `caption`, `shape` (classes of page.css), and `figure` as Plotly's JSON.
    """
    subject = _Subject(result, measured, shapes, events)
    shown = _panels(result.sorter, with_events=events is not None)
    for panel, frame in zip(shown, _frames(shown), strict=True):
        drawn = json.loads(panel.draw(subject).to_json())
        drawn["layout"].pop("template", None)
        yield frame | {"figure": drawn}


def panel_frames(sorter: Sorter, *, with_events: bool = False) -> list[dict[str, Any]]:
    """Return the values that `panels` yields, but with `figure` None.

    Parameters
    ----------
    sorter : Sorter
        Of the recording.
    with_events : bool
        Whether the recording has events.
    """
    return _frames(_panels(sorter, with_events=with_events))


def missing_panels(sorter: Sorter) -> list[str]:
    """Return which figures of networks cannot be drawn, and why; none if it has no networks.

    Parameters
    ----------
    sorter : Sorter
        Of the recording.

    Returns
    -------
    list of str
        A sentence for each.
    """
    if not stages.has_networks(sorter):
        return []
    missing = [panel for panel in OF_NETWORKS if not panel.shown(sorter)]
    return [f"{panel.title}: {panel.reason(sorter)}." for panel in missing]


def _frames(shown: tuple[_Panel, ...]) -> list[dict[str, Any]]:
    return [
        {"id": one.name, "title": one.title, "caption": one.caption, "shape": one.shape, "figure": None}
        for one in shown
    ]


def _panels(sorter: Sorter, *, with_events: bool) -> tuple[_Panel, ...]:
    own = tuple(panel for panel in OF_NETWORKS if panel.shown(sorter))
    return (*PANELS, *own, *((EVENTS,) if with_events else ()))


def _waveforms(subject: _Subject) -> Figure:
    result = subject.result
    return units.waveforms(result.recording, result.spikes, result.sorter, shapes=subject.shapes)


def _amplitudes(subject: _Subject) -> Figure:
    result = subject.result
    return units.amplitudes(result.recording, result.spikes, result.sorter, shapes=subject.shapes)


def _confusion(subject: _Subject) -> Figure:
    sorter = subject.result.sorter
    return quality.confusion(subject.measured or sorter.diagnostics, dict(sorter.names))


def _precision_recall(subject: _Subject) -> Figure:
    result = subject.result
    return quality.precision_recall(result.sorter.diagnostics, found=subject.found, truth=result.truth)


def _reliability(subject: _Subject) -> Figure:
    result = subject.result
    return quality.reliability(result.sorter.diagnostics, found=subject.found, truth=result.truth)


def _events(subject: _Subject) -> Figure:
    assert subject.events is not None
    result = subject.result
    return peri_events(subject.found, subject.events, fs_hz=result.sorter.fs_hz, n_samples=result.n_samples)


def _denoising(subject: _Subject) -> Figure:
    result, found = subject.result, subject.found
    start_s = stages.busiest_s(found, fs_hz=result.sorter.fs_hz)
    return stages.denoising(result.recording, result.sorter, found=found, start_s=start_s)


def _matched_filter(subject: _Subject) -> Figure:
    result, found = subject.result, subject.found
    start_s = stages.busiest_s(found, fs_hz=result.sorter.fs_hz)
    return stages.matched_filter(result.recording, result.sorter, found=found, start_s=start_s)


def _trained(sorter: Sorter) -> bool:
    return stages.has_networks(sorter) and sorter.state.training is not None


def _classifies(sorter: Sorter) -> bool:
    training = sorter.state.training
    return stages.has_networks(sorter) and training is not None and training.confusion.size > 0


def _why_untrained(sorter: Sorter) -> str:
    if sorter.state.training is None:
        return (
            "nothing was kept of a training for this recording: it was sorted by networks trained on the "
            "labelled recording alone, or the model is of an older version"
        )
    return "the detector names the units itself (detector.curves)"


def _why_no_grid(sorter: Sorter) -> str:
    if not any(kind.tunes_refractory for kind in decoder_kinds() if kind.name == sorter.decoder):
        return (
            f"for the decoder {sorter.decoder} only thresholds are tuned and no refractory period, so that "
            "there are no pairs of the two"
        )
    return "none was kept in the model, which is of an older version"


def _denoises(sorter: Sorter) -> bool:
    return stages.has_networks(sorter) and stages.networks_of(sorter).front_end.strength > 0


def _filters(sorter: Sorter) -> bool:
    return stages.has_networks(sorter) and stages.networks_of(sorter).front_end.filters is not None


WIDE, MANY = "wide", "wide panels"  # full width; full width, and scrolled sideways on narrow screens
PANELS = (
    _Panel(
        "waveforms",
        "Mean waveforms",
        "Line: mean of the spikes found here, with its standard deviation. Dashed: the unit's template from "
        "the labelled recording, at this recording's gain. Both are shown after removal of hum and drift. "
        "Overlapping spikes widen the spread. The mean of a unit near the noise is too large, because only "
        "its larger spikes are found. Time is from the spike's start.",
        _waveforms,
        MANY,
    ),
    _Panel(
        "amplitudes",
        "Amplitude over time",
        "Amplitude of single spikes; 1 is the unit's template at this recording's gain. A trend is drift. "
        "Most points far from 1 are overlapping spikes. Bad stretches are shaded.",
        _amplitudes,
        WIDE,
    ),
    _Panel(
        "intervals",
        "Inter-spike intervals",
        "Time between successive spikes of one unit, in bins of 2 ms. Intervals shorter than the unit's "
        "refractory period show that some of its spikes are false or belong to another unit.",
        lambda subject: units.intervals(subject.found),
        MANY,
    ),
    _Panel(
        "correlograms",
        "Cross-correlograms",
        "Spikes of the column's unit relative to spikes of the row's unit, in bins of 1 ms. The diagonal has "
        "the auto-correlograms. A narrow peak or gap between two units suggests that spikes of one were "
        "assigned to the other.",
        lambda subject: units.correlograms(subject.found),
        MANY,
    ),
    _Panel(
        "confusion",
        "Confusion matrix",
        "Rows are true units, columns found units; spikes are paired within 2 ms. "
        "Measured if the true spikes are known, otherwise on the rehearsal.",
        _confusion,
    ),
    _Panel(
        "precision-recall",
        "Precision against recall",
        "For all thresholds. A spike is correct if a true spike of its unit starts within 0.4 ms. The "
        "measured curve ends at the thresholds used, because less probable spikes were not reported.",
        _precision_recall,
    ),
    _Panel(
        "reliability",
        "Calibration",
        "Share of correct spikes among those with a stated probability. On the dashed line, the two are "
        "equal.",
        _reliability,
    ),
    _Panel(
        "noise",
        "Noise spectrum",
        "Noise of the labelled recording, of this recording, and of its rehearsal. If the last two do not "
        "agree, the forecast cannot be trusted.",
        lambda subject: quality.noise(subject.result.sorter),
    ),
)
OF_NETWORKS = (
    _Panel(
        "denoising",
        "Wavelet denoising",
        "Where spikes of most units were found here: the conditioned trace, and what the networks receive.",
        _denoising,
        WIDE,
        _denoises,
        lambda sorter: "denoising is off (denoise.strength)",
    ),
    _Panel(
        "matched-filter",
        "Matched filter",
        "The same part, and its correlation with the average template, or with each unit's whitened one.",
        _matched_filter,
        WIDE,
        _filters,
        lambda sorter: "it is off (matched_filter.kind)",
    ),
    _Panel(
        "learning-curves",
        "Learning curves",
        "Training for this recording, after that on the labelled one. Held out: if each part of the "
        "rehearsal is sorted by networks trained on the others, their mean; otherwise a simulated recording "
        "with spikes at new times. Where only the dashed curve improves, the networks learn by heart.",
        lambda subject: networks.learning_curves(subject.result.sorter),
        WIDE,
        _trained,
        _why_untrained,
    ),
    _Panel(
        "detector",
        "Detector",
        "Part of the rehearsal that the networks were trained on. Shaded: the labels, 1 on a few samples of "
        "each spike. Line: the network's output. Points: candidates at their calibrated probabilities; "
        "those above the threshold become spikes.",
        lambda subject: networks.detector(subject.result.sorter),
        WIDE,
        _trained,
        _why_untrained,
    ),
    _Panel(
        "classifier",
        "Classifier",
        "Rows are true units, columns the units that the classifier names, for held-out spikes whose place "
        "it is told.",
        lambda subject: networks.classifier(subject.result.sorter),
        "",
        _classifies,
        _why_untrained,
    ),
    _Panel(
        "grid-search",
        "Grid search",
        "The objective for each pair of threshold and refractory period, one threshold for all units. The "
        "frame marks the pair that is kept, from which thresholds for single units are searched.",
        lambda subject: networks.grid_search(subject.result.sorter),
        "",
        lambda sorter: sorter.state.grid is not None,
        _why_no_grid,
    ),
)
EVENTS = _Panel(
    "events",
    "Spikes around events",
    "Left: a mark for each spike, a line for each event. Right: mean firing rate over events in bins of 25 "
    "ms, with its 95 % interval from the spread between events. Where more than half of a bin is in a bad "
    "stretch or outside the recording, the event does not count. Colours are conditions.",
    _events,
    MANY,
)
