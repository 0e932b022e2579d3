"""Draw spikes around events: a raster and a histogram for each unit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from spikesorter.core.spikes import Spikes
from spikesorter.io.events import Events
from spikesorter.report.palette import colour
from spikesorter.report.peri_events import AFTER_S, BEFORE_S, PeriEvent, around_events, edges_s
from spikesorter.report.plots.style import finish, name_of, plain, write_across

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

__all__ = ["peri_events"]

MOST_MARKS = 20_000  # of a raster


def peri_events(spikes: Spikes, events: Events, *, fs_hz: float, n_samples: int) -> Figure:
    """Draw each unit's raster and peri-event histogram, with 95 % intervals, by condition.

    Parameters
    ----------
    spikes : Spikes
    events : Events
    fs_hz : float
    n_samples : int
        Length of the recording.

    Returns
    -------
    plotly.graph_objects.Figure
    """
    from plotly.subplots import make_subplots

    found = around_events(spikes, events, fs_hz=fs_hz, n_samples=n_samples)
    units = list(dict.fromkeys(one.unit for one in found))
    rows = max(len(units), 1)
    titles = [text for unit in units for text in (f"unit {name_of(spikes.names, unit)}", "")]
    figure = make_subplots(
        rows=rows, cols=2, subplot_titles=titles, horizontal_spacing=0.08, vertical_spacing=0.25 / rows
    )
    for row, unit in enumerate(units, start=1):
        below = 0
        for k, one in enumerate(each for each in found if each.unit == unit):
            _add(figure, one, k, below, row)
            below += one.events
        figure.update_yaxes(title_text="event", row=row, col=1, range=[-1, below])
        figure.update_yaxes(title_text="per second", row=row, col=2, rangemode="tozero")
    if not units:
        write_across(figure, "no spikes")
    figure.update_xaxes(range=[-BEFORE_S, AFTER_S])
    figure.update_xaxes(title_text="s from the event", row=rows)
    return finish(figure, height=110 + 190 * rows, top=40)


def _add(figure: Any, one: PeriEvent, k: int, below: int, row: int) -> None:
    hue, name = colour(k), plain(one.condition or "all events")
    step = max(-(-len(one.lag_s) // MOST_MARKS), 1)
    shared = {"name": name, "legendgroup": name, "row": row}
    figure.add_scatter(
        x=one.lag_s[::step].round(4), y=(below + one.event)[::step], mode="markers", showlegend=False,
        marker={"color": hue, "size": 3, "symbol": "line-ns-open"}, hoverinfo="skip", col=1, **shared,
    )  # fmt: skip
    edges = edges_s()
    middles = ((edges[1:] + edges[:-1]) / 2).round(4)
    known = np.isfinite(one.low)
    if known.any():
        x, low, high = middles[known], one.low[known], one.high[known]
        figure.add_scatter(
            x=np.concatenate([x, x[::-1]]), y=np.concatenate([high, low[::-1]]).round(3),
            fill="toself", fillcolor=hue, opacity=0.25, line={"width": 0}, mode="lines", hoverinfo="skip",
            showlegend=False, col=2, **shared,
        )  # fmt: skip
    figure.add_scatter(
        x=middles, y=one.rate.round(3), mode="lines", line={"color": hue}, showlegend=row == 1, col=2,
        hovertemplate="%{y:.1f} per second<extra></extra>", **shared,
    )  # fmt: skip
