"""The figures of one recording's result, each with what one sees in it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from spikesorter.core.score import Score
from spikesorter.core.spikes import UNKNOWN, Spikes
from spikesorter.report import plot
from spikesorter.report.metrics import Shape, measure_shapes
from spikesorter.report.results import Result

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

__all__ = ["panel_frames", "panels"]


@dataclass(frozen=True, eq=False)
class _Subject:
    """A result, and what several figures want of it."""

    result: Result
    measured: Score | None

    @cached_property
    def shapes(self) -> list[Shape]:
        return measure_shapes(self.result.sorter, self.result.recording, self.result.spikes)

    @cached_property
    def found(self) -> Spikes:
        sorter, spikes = self.result.sorter, self.result.spikes
        named = spikes.select(spikes.unit != UNKNOWN)
        return named.described(fs_hz=sorter.fs_hz, names=sorter.names)


@dataclass(frozen=True)
class _Panel:
    name: str
    title: str
    caption: str
    draw: Callable[[_Subject], Figure]


def panels(result: Result, measured: Score | None) -> Iterator[dict[str, Any]]:
    """Draw all figures of a recording, one after the other.

    Parameters
    ----------
    result : Result
    measured : Score, optional
        Against the truth, where it is known; what was rehearsed is drawn otherwise.

    Yields
    ------
    dict
        Its `id`, `title`, `caption`, and `figure` as Plotly's JSON.
    """
    subject = _Subject(result, measured)
    for panel, frame in zip(PANELS, panel_frames(), strict=True):
        drawn = json.loads(panel.draw(subject).to_json())
        drawn["layout"].pop("template", None)
        yield frame | {"figure": drawn}


def panel_frames() -> list[dict[str, Any]]:
    """Return what `panels` does with nothing drawn yet: `figure` is None."""
    return [{"id": one.name, "title": one.title, "caption": one.caption, "figure": None} for one in PANELS]


def _waveforms(subject: _Subject) -> Figure:
    result = subject.result
    return plot.waveforms(result.recording, result.spikes, result.sorter, shapes=subject.shapes)


def _amplitudes(subject: _Subject) -> Figure:
    result = subject.result
    return plot.amplitudes(result.recording, result.spikes, result.sorter, shapes=subject.shapes)


def _confusion(subject: _Subject) -> Figure:
    sorter = subject.result.sorter
    return plot.confusion(subject.measured or sorter.diagnostics, dict(sorter.names))


def _precision_recall(subject: _Subject) -> Figure:
    result = subject.result
    return plot.precision_recall(result.sorter.diagnostics, found=subject.found, truth=result.truth)


def _reliability(subject: _Subject) -> Figure:
    result = subject.result
    return plot.reliability(result.sorter.diagnostics, found=subject.found, truth=result.truth)


PANELS = (
    _Panel(
        "waveforms",
        "Mean waveforms",
        "What was found here (line, with its standard deviation) beside the labelled recording's shape at "
        "this recording's gain (dashed), both after drift removal and band-pass. Overlapping spikes widen "
        "the spread; of faint neurons only the larger spikes are found.",
        _waveforms,
    ),
    _Panel(
        "amplitudes",
        "Amplitude over time",
        "Size of single spikes relative to the labelled shape at this gain. A trend is drift; points far off "
        "are mostly overlaps.",
        _amplitudes,
    ),
    _Panel(
        "intervals",
        "Inter-spike intervals",
        "Time between successive spikes of one neuron.",
        lambda subject: plot.intervals(subject.found),
    ),
    _Panel(
        "correlograms",
        "Cross-correlograms",
        "When the neuron of the column fires around each spike of the neuron of the row (ms); on the "
        "diagonal, around its own other spikes. A narrow peak or gap between two neurons hints at spikes "
        "given the wrong name.",
        lambda subject: plot.correlograms(subject.found),
    ),
    _Panel(
        "confusion",
        "Confusion matrix",
        "Which neurons were taken for which: rows true, columns found, spikes paired within 2 ms; against "
        "the truth, where it is known, otherwise on the rehearsal.",
        _confusion,
    ),
    _Panel(
        "precision-recall",
        "Precision against recall",
        "As the threshold moves, each spike of its class within 0.4 ms. What is measured ends where the "
        "thresholds stand: less probable spikes were not reported.",
        _precision_recall,
    ),
    _Panel(
        "reliability",
        "Calibration",
        "Of the spikes said to be so probable, the share that is right. On the dashed line probabilities "
        "mean what they say.",
        _reliability,
    ),
    _Panel(
        "noise",
        "Noise spectrum",
        "Of the labelled recording, of this one, and of the rehearsal that was made to be like this one: the "
        "last two should agree.",
        lambda subject: plot.noise(subject.result.sorter),
    ),
)
