"""Figures of recordings, spikes and sorters, for notebooks and for the report; drawn with Plotly.

Each function returns a `plotly.graph_objects.Figure`: show it, change it, save it as you are used to.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from spikesorter.core.errors import InputError
from spikesorter.core.score import Score
from spikesorter.core.spikes import UNKNOWN, Spikes
from spikesorter.io.samples import read_samples
from spikesorter.report.drawing import colour
from spikesorter.report.metrics import (
    Shape,
    measure_correlogram,
    measure_intervals,
    measure_shapes,
    read_conditioned,
)
from spikesorter.sorting.diagnostics import Diagnostics, measure_reliability, measure_trade_off
from spikesorter.sorting.sorter import Sorter

if TYPE_CHECKING:
    from plotly.graph_objects import Figure
    from spikeinterface import BaseRecording

__all__ = [
    "amplitudes",
    "confusion",
    "correlograms",
    "intervals",
    "noise",
    "precision_recall",
    "reliability",
    "trace",
    "waveforms",
]

SYMBOLS = ("triangle-down", "square", "circle", "diamond", "triangle-up", "cross", "x", "star", "hexagon")
"""One a neuron, so that colour is never alone."""

GREY = "#808080"
COLUMNS = 6  # of panels, at most
MOST_CORRELATED = 8  # neurons: more correlograms than 8 by 8 cannot be read
DECADES = 2.5  # of noise that are drawn
FEWEST_EVENTS = 5  # of a tenth: fewer say nothing about its probability


def trace(
    recording: BaseRecording,
    *,
    found: Spikes | None = None,
    truth: Spikes | None = None,
    sorter: Sorter | None = None,
    start_s: float = 0.0,
    seconds: float = 0.2,
) -> Figure:
    """Draw a stretch of a recording with found and true spikes, and the evidence below.

    Parameters
    ----------
    recording : spikeinterface.BaseRecording
    found, truth : Spikes, optional
    sorter : Sorter, optional
        Adapted to the recording: draws the conditioned trace rather than the raw one, and evidence.
    start_s, seconds : float
        The stretch.

    Returns
    -------
    plotly.graph_objects.Figure

    Raises
    ------
    InputError
        If the stretch lies beyond the recording's end.
    """
    from plotly.subplots import make_subplots

    fs_hz, n_samples = float(recording.get_sampling_frequency()), recording.get_num_frames()
    first, last = max(int(start_s * fs_hz), 0), min(int((start_s + seconds) * fs_hz), n_samples)
    if first >= last:
        raise InputError(f"nothing to draw from second {start_s:g} on; it lasts {n_samples / fs_hz:g} s")
    if sorter is None:
        values = read_samples(recording, first, last).astype(np.float32)
    else:
        values = read_conditioned(sorter, recording, first, last)
    times = np.arange(first, last) / fs_hz
    rows = 1 if sorter is None else 2
    figure = make_subplots(
        rows=rows, cols=1, shared_xaxes=True, row_heights=[0.7, 0.3][:rows], vertical_spacing=0.04
    )
    height = float(np.ptp(values)) or 1.0
    for k, channel in enumerate(recording.get_channel_ids()):
        line = {"color": GREY, "width": 1}
        name = plain(f"channel {channel}")
        figure.add_scatter(
            x=times, y=values[:, k] - k * height, mode="lines", line=line, name=name, showlegend=False
        )
    unit_ids = sorted({unit for spikes in (found, truth) if spikes is not None for unit in spikes.unit_ids})
    for place, (row, spikes) in enumerate((("found", found), ("true", truth))):
        if spikes is not None:
            top = float(values[:, 0].max()) + (0.08 + 0.08 * place) * height
            _add_marks(figure, spikes.within(first, last), unit_ids, top, fs_hz, row)
    if sorter is not None:
        for k, (unit, curve) in enumerate(
            zip(sorter.units.known, sorter.evidence(recording, start=first, stop=last).T, strict=False)
        ):
            line = {"color": colour(k), "width": 1}
            figure.add_scatter(
                x=times, y=curve, mode="lines", line=line, name=_name(sorter.names, unit), row=2, col=1,
                showlegend=False,
            )  # fmt: skip
        figure.update_yaxes(title_text="evidence", row=2, col=1)
    figure.update_xaxes(title_text="time (s)", row=rows, col=1)
    return _plain_layout(figure)


def waveforms(
    recording: BaseRecording, spikes: Spikes, sorter: Sorter, *, shapes: Sequence[Shape] | None = None
) -> Figure:
    """Draw each neuron's mean waveform with its spread (SD) beside the labelled recording's shape.

    Parameters
    ----------
    recording : spikeinterface.BaseRecording
    spikes : Spikes
        Found in it.
    sorter : Sorter
        Adapted to it.
    shapes : sequence of Shape, optional
        From `measures.measure_shapes`, if that is done already.

    Returns
    -------
    plotly.graph_objects.Figure
        A panel for each neuron, all on one scale; of several channels the one where it is largest.
    """
    from plotly.subplots import make_subplots

    seen = measure_shapes(sorter, recording, spikes) if shapes is None else shapes
    columns, rows = _grid(len(seen))
    titles = [_name(sorter.names, shape.unit) for shape in seen]
    figure = make_subplots(
        rows=rows,
        cols=columns,
        subplot_titles=titles,
        shared_yaxes="all",
        shared_xaxes="all",
        horizontal_spacing=0.03,
    )
    for k, shape in enumerate(seen):
        place = {"row": k // columns + 1, "col": k % columns + 1}
        channel = int(np.abs(shape.expected).max(axis=0).argmax())
        mean, spread = shape.mean[:, channel], shape.spread[:, channel]
        times = ((np.arange(len(mean)) - shape.before) * 1000 / sorter.fs_hz).astype(np.float32)
        hue = colour(_place(sorter, shape.unit))
        around = np.concatenate([times, times[::-1]])
        band = np.concatenate([mean + spread, (mean - spread)[::-1]])
        first = k == 0
        figure.add_scatter(
            x=around, y=band, fill="toself", fillcolor=hue, opacity=0.25, line={"width": 0}, mode="lines",
            name="spread (SD)", legendgroup="spread", showlegend=first, hoverinfo="skip", **place,
        )  # fmt: skip
        figure.add_scatter(
            x=times, y=mean, mode="lines", line={"color": hue, "width": 2}, name="mean found here",
            legendgroup="mean", showlegend=first, **place,
        )  # fmt: skip
        figure.add_scatter(
            x=times, y=shape.expected[:, channel], mode="lines", name="labelled recording, at this gain",
            line={"color": GREY, "width": 1.5, "dash": "dash"}, legendgroup="labelled", showlegend=first,
            **place,
        )  # fmt: skip
    if not seen:
        _say(figure, "no spikes")
    _label_below(figure, "ms from the start", columns, rows)
    return _plain_layout(figure, height=160 + 150 * rows, top=40)


def amplitudes(
    recording: BaseRecording, spikes: Spikes, sorter: Sorter, *, shapes: Sequence[Shape] | None = None
) -> Figure:
    """Draw the size of spikes, relative to the labelled shape at this gain, over the recording.

    Parameters as for `waveforms`; of many spikes, some from all over the recording are drawn.

    Returns
    -------
    plotly.graph_objects.Figure
    """
    from plotly.graph_objects import Figure

    figure = Figure()
    for shape in measure_shapes(sorter, recording, spikes) if shapes is None else shapes:
        place = _place(sorter, shape.unit)
        marker = {"color": colour(place), "symbol": SYMBOLS[place % len(SYMBOLS)], "size": 4, "opacity": 0.6}
        name = _name(sorter.names, shape.unit)
        figure.add_scatter(
            x=(shape.sample / sorter.fs_hz).astype(np.float32),
            y=shape.amplitude,
            mode="markers",
            marker=marker,
            name=name,
        )
    if not figure.data:
        _say(figure, "no spikes")
    figure.add_hline(y=1, line={"color": GREY, "dash": "dash", "width": 1})
    return _plain_layout(figure, x="time (s)", y="relative size")


def intervals(spikes: Spikes, *, fs_hz: float | None = None) -> Figure:
    """Draw the intervals between successive spikes of each neuron.

    Parameters
    ----------
    spikes : Spikes
    fs_hz : float, optional
        Where the spikes do not state it.

    Returns
    -------
    plotly.graph_objects.Figure
    """
    from plotly.subplots import make_subplots

    rate, unit_ids = _rate(spikes, fs_hz), _labels(spikes)
    columns, rows = _grid(len(unit_ids))
    figure = make_subplots(
        rows=rows,
        cols=columns,
        subplot_titles=[_name(spikes.names, unit) for unit in unit_ids],
        shared_xaxes="all",
        horizontal_spacing=0.05,
    )
    for k, unit in enumerate(unit_ids):
        histogram = measure_intervals(spikes.of(unit), fs_hz=rate)
        middles = (histogram.edges_ms[1:] + histogram.edges_ms[:-1]) / 2
        figure.add_bar(
            x=middles, y=histogram.counts, marker={"color": colour(k)}, showlegend=False,
            name=_name(spikes.names, unit), row=k // columns + 1, col=k % columns + 1,
        )  # fmt: skip
    if not unit_ids:
        _say(figure, "no spikes")
    _label_below(figure, "interval (ms)", columns, rows)
    return _plain_layout(figure, height=140 + 130 * rows, top=40, bargap=0)


def correlograms(spikes: Spikes, *, fs_hz: float | None = None) -> Figure:
    """Draw auto- and cross-correlograms of the neurons: when others fire, around each spike of one.

    Parameters
    ----------
    spikes : Spikes
    fs_hz : float, optional
        Where the spikes do not state it.

    Returns
    -------
    plotly.graph_objects.Figure
        Of the eight busiest neurons, if there are more.
    """
    from plotly.subplots import make_subplots

    rate, counts = _rate(spikes, fs_hz), spikes.counts()
    every = _labels(spikes)
    unit_ids = sorted(sorted(every, key=lambda unit: -counts[unit])[:MOST_CORRELATED])
    names = [_name(spikes.names, unit) for unit in unit_ids]
    n = max(len(unit_ids), 1)
    figure = make_subplots(
        rows=n, cols=n, shared_xaxes="all", column_titles=names, row_titles=names,
        horizontal_spacing=0.12 / n, vertical_spacing=0.12 / n,
    )  # fmt: skip
    for i, one in enumerate(unit_ids):
        for j, other in enumerate(unit_ids):
            histogram = measure_correlogram(spikes.of(one), spikes.of(other), fs_hz=rate)
            middles = (histogram.edges_ms[1:] + histogram.edges_ms[:-1]) / 2
            figure.add_bar(
                x=middles, y=histogram.counts, marker={"color": colour(every.index(one)) if i == j else GREY},
                name=f"{names[i]} to {names[j]}", showlegend=False, row=i + 1, col=j + 1,
            )  # fmt: skip
    if not unit_ids:
        _say(figure, "no spikes")
    figure.update_yaxes(showticklabels=False)
    figure.update_xaxes(tickvals=[-40, 0, 40])
    return _plain_layout(figure, height=160 + 80 * n, top=40, bargap=0)


def confusion(of: Score | Diagnostics, names: dict[int, str] | None = None) -> Figure:
    """Draw which neurons were taken for which.

    Parameters
    ----------
    of : Score or Diagnostics
        Against the truth, or as rehearsed.
    names : dict of int to str, optional

    Returns
    -------
    plotly.graph_objects.Figure
        Rows true, columns found; darker for a larger share of its row.
    """
    from plotly.graph_objects import Figure, Heatmap

    called = [_name(names or {}, unit) for unit in of.unit_ids]
    shares = of.confusion / np.maximum(of.confusion.sum(axis=1, keepdims=True), 1)
    scale = [[0, "rgba(0,114,178,0)"], [1, "rgba(0,114,178,1)"]]
    heat = Heatmap(
        z=shares, x=[*called, "missed"], y=[*called, "false"], text=of.confusion, texttemplate="%{text}",
        colorscale=scale, showscale=False, zmin=0, zmax=1, xgap=1, ygap=1,
        hovertemplate="%{y} found as %{x}: %{text}<extra></extra>",
    )  # fmt: skip
    figure = Figure(heat)
    figure.update_yaxes(autorange="reversed", type="category", showgrid=False)
    figure.update_xaxes(type="category", side="top", showgrid=False)
    return _plain_layout(figure, x="found as", y="true neuron", height=130 + 40 * (len(called) + 1), top=60)


def precision_recall(
    diagnostics: Diagnostics,
    *,
    found: Spikes | None = None,
    truth: Spikes | None = None,
    fs_hz: float | None = None,
) -> Figure:
    """Draw precision against recall as the threshold moves, and where the sorter works.

    Parameters
    ----------
    diagnostics : Diagnostics
        A sorter's: on its rehearsal.
    found, truth : Spikes, optional
        Adds what was measured: above the sorter's thresholds.
    fs_hz : float, optional
        Where the spikes do not state it.

    Returns
    -------
    plotly.graph_objects.Figure
    """
    from plotly.graph_objects import Figure

    figure, curve = Figure(), diagnostics.trade_off
    hover = "threshold %{text:.2f}<br>recall %{x:.3f}, precision %{y:.3f}"
    figure.add_scatter(
        x=curve.recall, y=curve.precision, text=curve.threshold, hovertemplate=hover, mode="lines",
        line={"color": colour(0), "width": 2}, name="rehearsed",
    )  # fmt: skip
    figure.add_scatter(
        x=[diagnostics.recall], y=[diagnostics.precision], mode="markers", name="working point, rehearsed",
        marker={"color": colour(0), "symbol": "circle", "size": 10},
    )  # fmt: skip
    if found is not None and truth is not None:
        measured = measure_trade_off(found, truth, fs_hz=_rate(found, fs_hz))
        line = {"color": colour(1), "width": 2, "dash": "dash"}
        figure.add_scatter(
            x=measured.recall, y=measured.precision, text=measured.threshold, hovertemplate=hover,
            mode="lines", line=line, name="measured",
        )  # fmt: skip
        marker = {"color": colour(1), "symbol": "square", "size": 10}
        figure.add_scatter(
            x=measured.recall[:1], y=measured.precision[:1], mode="markers", marker=marker,
            name="working point, measured",
        )  # fmt: skip
    figure.update_xaxes(range=[0, 1.02])
    figure.update_yaxes(range=[0, 1.02])
    return _plain_layout(figure, x="recall", y="precision")


def reliability(
    diagnostics: Diagnostics,
    *,
    found: Spikes | None = None,
    truth: Spikes | None = None,
    fs_hz: float | None = None,
) -> Figure:
    """Draw how many of the spikes of like probability are right: the calibration curve.

    Parameters as for `precision_recall`.

    Returns
    -------
    plotly.graph_objects.Figure
    """
    from plotly.graph_objects import Figure

    figure = Figure()
    line = {"color": GREY, "dash": "dash", "width": 1}
    figure.add_scatter(x=[0, 1], y=[0, 1], mode="lines", line=line, name="as stated", hoverinfo="skip")
    curves = [("rehearsed", diagnostics.reliability)]
    if found is not None and truth is not None:
        curves.append(("measured", measure_reliability(found, truth, fs_hz=_rate(found, fs_hz))))
    for k, (name, curve) in enumerate(curves):
        enough = curve.events >= FEWEST_EVENTS
        figure.add_scatter(
            x=curve.stated[enough], y=curve.right[enough], text=curve.events[enough], mode="lines+markers",
            line={"color": colour(k)}, marker={"symbol": ("circle", "square")[k], "size": 7}, name=name,
            hovertemplate="stated %{x:.2f}, right %{y:.2f} (%{text} spikes)",
        )  # fmt: skip
    figure.update_xaxes(range=[0, 1.02])
    figure.update_yaxes(range=[0, 1.02])
    return _plain_layout(figure, x="stated probability", y="share that is right")


def noise(sorter: Sorter) -> Figure:
    """Draw the noise of the labelled recording, of the target, and of the rehearsal made like it.

    Parameters
    ----------
    sorter : Sorter
        Adapted to the target.

    Returns
    -------
    plotly.graph_objects.Figure
        Mean over the channels of the conditioned traces' amplitude density.
    """
    from plotly.graph_objects import Figure

    figure = Figure()
    curves = (
        ("labelled recording", sorter.state.labelled_noise),
        ("this recording", sorter.profile.noise.power),
        ("its rehearsal", sorter.diagnostics.noise),
    )
    for k, (name, power) in enumerate(curves):
        density = np.sqrt(np.maximum(power.mean(axis=1), 0) * 2 / sorter.fs_hz).astype(np.float32)
        hertz = np.fft.rfftfreq(2 * (len(density) - 1), 1 / sorter.fs_hz).astype(np.float32)
        line = {"color": (GREY, colour(0), colour(1))[k], "dash": ("dash", "solid", "dot")[k], "width": 1.5}
        figure.add_scatter(x=hertz[1:], y=density[1:], mode="lines", line=line, name=name)
    figure.update_xaxes(type="log")
    loudest = np.log10(max(float(np.sqrt(power.max() * 2 / sorter.fs_hz)) for _, power in curves) or 1.0)
    figure.update_yaxes(type="log", exponentformat="power", range=[loudest - DECADES, loudest + 0.2])
    return _plain_layout(figure, x="frequency (Hz)", y="noise (unit / √Hz)")


def plain(text: str) -> str:
    """Return text that Plotly, which reads HTML, TeX in dollars and values in %{}, shows as it is."""
    return escape(text, quote=False).replace("$", "&#36;").replace("%", "&#37;")


def _add_marks(
    figure: Any, spikes: Spikes, unit_ids: Sequence[int], height: float, fs_hz: float, row: str
) -> None:
    for unit in spikes.unit_ids:
        place = unit_ids.index(unit)
        train = spikes.of(unit)
        figure.add_scatter(
            x=train.sample / fs_hz,
            y=np.full(len(train), height),
            mode="markers",
            marker={"color": colour(place), "symbol": SYMBOLS[place % len(SYMBOLS)], "size": 8},
            name=f"{row} {_name(spikes.names, unit)}",
            text=[f"{value:.2f}" for value in train.joint],
            hovertemplate="%{x:.4f} s, probability %{text}",
        )


def _grid(panels: int) -> tuple[int, int]:
    """Return columns and rows of a grid of panels."""
    rows = max(-(-panels // COLUMNS), 1)
    return max(-(-panels // rows), 1), rows


def _label_below(figure: Any, words: str, columns: int, rows: int) -> None:
    for column in range(1, columns + 1):
        figure.update_xaxes(title_text=words, row=rows, col=column)


def _plain_layout(
    figure: Figure, *, x: str = "", y: str = "", height: int = 320, top: int = 15, **more: Any
) -> Figure:
    figure.update_layout(
        template="none",
        height=height,
        margin={"l": 60, "r": 20, "t": top, "b": 75},
        legend={"orientation": "h", "yref": "container", "y": 0, "yanchor": "bottom"},
        **more,
    )
    if x:
        figure.update_xaxes(title_text=x)
    if y:
        figure.update_yaxes(title_text=y)
    return figure


def _say(figure: Any, words: str) -> None:
    figure.add_annotation(text=words, x=0.5, y=0.5, xref="paper", yref="paper", showarrow=False)


def _labels(spikes: Spikes) -> list[int]:
    return [unit for unit in spikes.unit_ids if unit != UNKNOWN]


def _name(names: Any, unit: int) -> str:
    return "unknown" if unit == UNKNOWN else plain(names.get(unit, str(unit)))


def _place(sorter: Sorter, unit: int) -> int:
    return sorter.units.known.index(unit)


def _rate(spikes: Spikes, fs_hz: float | None) -> float:
    rate = fs_hz or spikes.fs_hz
    if not rate:
        raise InputError("spikes: their sampling rate is not known; give fs_hz")
    return rate
