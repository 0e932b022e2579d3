"""Draw waveforms, amplitudes, intervals and correlograms of units."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from spikesorter.core.spikes import UNKNOWN, Spikes
from spikesorter.report.metrics import Shape, measure_correlograms, measure_intervals, measure_shapes
from spikesorter.report.palette import GREY, colour, symbol
from spikesorter.report.plots.style import (
    arrange,
    finish,
    grid,
    name_of,
    rate_of,
    shade,
    title_columns,
    write_across,
)
from spikesorter.sorting.sorter import Sorter

if TYPE_CHECKING:
    from plotly.graph_objects import Figure
    from spikeinterface import BaseRecording

__all__ = ["amplitudes", "correlograms", "intervals", "waveforms"]

MOST_CORRELATED = 8  # units; more than 8 by 8 correlograms cannot be read
NOTHING = "no spikes"


def waveforms(
    recording: BaseRecording, spikes: Spikes, sorter: Sorter, *, shapes: Sequence[Shape] | None = None
) -> Figure:
    """Draw each unit's mean waveform and its spread (SD) with the template from the labelled recording.

    Parameters
    ----------
    recording : spikeinterface.BaseRecording
    spikes : Spikes
        Spikes found in it.
    sorter : Sorter
        Adapted to it.
    shapes : sequence of Shape, optional
        From `measure_shapes`, if already measured.

    Returns
    -------
    plotly.graph_objects.Figure
        A panel for each unit, all on one scale, for the channel on which the template is largest.
    """
    from plotly.subplots import make_subplots

    shown = measure_shapes(sorter, recording, spikes) if shapes is None else shapes
    columns, rows = grid(len(shown))
    figure = make_subplots(
        rows=rows, cols=columns, subplot_titles=[name_of(sorter.names, shape.unit) for shape in shown],
        shared_yaxes="all", shared_xaxes="all", horizontal_spacing=0.03,
    )  # fmt: skip
    for k, shape in enumerate(shown):
        _add_waveform(figure, shape, sorter, showlegend=k == 0, row=k // columns + 1, col=k % columns + 1)
    if not shown:
        write_across(figure, NOTHING)
    title_columns(figure, "time (ms)", columns, rows)
    return finish(figure, height=160 + 150 * rows, top=40)


def _add_waveform(figure: Any, shape: Shape, sorter: Sorter, **panel: Any) -> None:
    channel = int(np.abs(shape.expected).max(axis=0).argmax())
    mean, spread = shape.mean[:, channel], shape.spread[:, channel]
    times_ms = ((np.arange(len(mean)) - shape.before) * 1000 / sorter.fs_hz).astype(np.float32)
    hue = colour(sorter.units.known.index(shape.unit))
    figure.add_scatter(
        x=np.concatenate([times_ms, times_ms[::-1]]),
        y=np.concatenate([mean + spread, (mean - spread)[::-1]]),
        fill="toself", fillcolor=hue, opacity=0.25, line={"width": 0}, mode="lines", name="spread (SD)",
        legendgroup="spread", hoverinfo="skip", **panel,
    )  # fmt: skip
    figure.add_scatter(
        x=times_ms, y=mean, mode="lines", line={"color": hue, "width": 2}, name="mean found here",
        legendgroup="mean", **panel,
    )  # fmt: skip
    figure.add_scatter(
        x=times_ms, y=shape.expected[:, channel], mode="lines", name="labelled recording, at this gain",
        line={"color": GREY, "width": 1.5, "dash": "dash"}, legendgroup="labelled", **panel,
    )  # fmt: skip


def amplitudes(
    recording: BaseRecording, spikes: Spikes, sorter: Sorter, *, shapes: Sequence[Shape] | None = None
) -> Figure:
    """Draw the amplitude of spikes over time, relative to the unit's template at this recording's gain.

    Parameters
    ----------
    recording, spikes, sorter, shapes
        As for `waveforms`.

    Returns
    -------
    plotly.graph_objects.Figure
        If there are many spikes, some spread over the recording are drawn. Bad stretches are shaded.
    """
    from plotly.graph_objects import Figure

    figure = Figure()
    for shape in measure_shapes(sorter, recording, spikes) if shapes is None else shapes:
        k = sorter.units.known.index(shape.unit)
        figure.add_scatter(
            x=(shape.sample / sorter.fs_hz).astype(np.float32),
            y=shape.amplitude,
            mode="markers",
            marker={"color": colour(k), "symbol": symbol(k).plotly, "size": 4, "opacity": 0.6},
            name=name_of(sorter.names, shape.unit),
        )
    if not figure.data:
        write_across(figure, NOTHING)
    shade(figure, spikes.bad, fs_hz=sorter.fs_hz, span=(0, recording.get_num_frames()))
    figure.add_hline(y=1, line={"color": GREY, "dash": "dash", "width": 1})
    return finish(figure, x="time (s)", y="relative amplitude")


def intervals(spikes: Spikes, *, fs_hz: float | None = None) -> Figure:
    """Draw a histogram of the intervals between successive spikes of each unit.

    Parameters
    ----------
    spikes : Spikes
    fs_hz : float, optional
        Sampling rate, if the spikes have none.

    Returns
    -------
    plotly.graph_objects.Figure

    Examples
    --------
    >>> spikes = Spikes.from_arrays([0, 250, 500, 900], [1, 1, 1, 2], fs_hz=25_000.0)
    >>> [(one.name, int(one.y.sum())) for one in intervals(spikes).data]
    [('1', 2), ('2', 0)]
    """
    from plotly.subplots import make_subplots

    order, histograms = arrange(spikes), measure_intervals(spikes, fs_hz=rate_of(spikes, fs_hz))
    names = [name_of(spikes.names, unit) for unit in histograms.unit_ids]
    columns, rows = grid(len(names))
    figure = make_subplots(
        rows=rows, cols=columns, subplot_titles=names, shared_xaxes="all", horizontal_spacing=0.05
    )
    for k, (unit, name, counts) in enumerate(zip(histograms.unit_ids, names, histograms.counts, strict=True)):
        figure.add_bar(
            x=histograms.middles_ms, y=counts, marker={"color": colour(order.index(unit))}, name=name,
            showlegend=False, row=k // columns + 1, col=k % columns + 1,
        )  # fmt: skip
    if not names:
        write_across(figure, NOTHING)
    figure.update_yaxes(rangemode="nonnegative")  # a unit of few spikes has no intervals
    title_columns(figure, "interval (ms)", columns, rows)
    return finish(figure, height=140 + 130 * rows, top=40, bargap=0)


def correlograms(spikes: Spikes, *, fs_hz: float | None = None) -> Figure:
    """Draw auto- and cross-correlograms: spikes of the column's unit relative to those of the row's unit.

    Parameters
    ----------
    spikes : Spikes
    fs_hz : float, optional
        Sampling rate, if the spikes have none.

    Returns
    -------
    plotly.graph_objects.Figure
        Of the eight units with most spikes, if there are more.

    Examples
    --------
    >>> spikes = Spikes.from_arrays([0, 50, 900], [1, 2, 1], fs_hz=25_000.0)
    >>> [(one.name, int(one.y.sum())) for one in correlograms(spikes).data]
    [('1 to 1', 2), ('1 to 2', 2), ('2 to 1', 2), ('2 to 2', 0)]
    """
    from plotly.subplots import make_subplots

    order, counts = arrange(spikes), spikes.counts()
    known = sorted(counts.keys() - {UNKNOWN}, key=lambda unit: (-counts[unit], unit))
    shown = spikes.select(np.isin(spikes.unit, known[:MOST_CORRELATED]))
    found = measure_correlograms(shown, fs_hz=rate_of(spikes, fs_hz))
    names = [name_of(spikes.names, unit) for unit in found.unit_ids]
    n = max(len(names), 1)
    figure = make_subplots(
        rows=n, cols=n, shared_xaxes="all", column_titles=names, row_titles=names,
        horizontal_spacing=0.12 / n, vertical_spacing=0.12 / n,
    )  # fmt: skip
    for i, j in np.ndindex(found.counts.shape[:2]):
        hue = colour(order.index(found.unit_ids[i])) if i == j else GREY
        figure.add_bar(
            x=found.middles_ms, y=found.counts[i, j], marker={"color": hue}, name=f"{names[i]} to {names[j]}",
            showlegend=False, row=i + 1, col=j + 1,
        )  # fmt: skip
    if not names:
        write_across(figure, NOTHING)
    figure.update_yaxes(showticklabels=False)
    figure.update_xaxes(tickvals=[-40, 0, 40])
    return finish(figure, height=160 + 80 * n, top=40, bargap=0)
