"""Shared by all figures: names as plain text, order of units, grids of panels, layout."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from spikesorter.core.bad_stretches import BadStretches
from spikesorter.core.errors import InputError
from spikesorter.core.spikes import UNKNOWN, Spikes
from spikesorter.report.palette import GREY

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

__all__ = [
    "arrange",
    "finish",
    "grid",
    "name_of",
    "plain",
    "rate_of",
    "shade",
    "title_columns",
    "with_opacity",
    "write_across",
]

COLUMNS = 6  # of panels, at most
MOST_SHADED = 1000  # stretches; more would be closer than points of a screen
SHADE = 0.3


def plain(text: str) -> str:
    """Escape text for Plotly, which reads HTML, TeX between dollars, and values in %{}.

    Examples
    --------
    >>> plain("<b> $x$")
    '&lt;b&gt; &#36;x&#36;'
    """
    return escape(text, quote=False).replace("$", "&#36;").replace("%", "&#37;")


def name_of(names: Mapping[int, str], unit: int) -> str:
    """Return the name of a unit in a figure.

    Examples
    --------
    >>> name_of({1: "<a>"}, 1), name_of({}, 2), name_of({}, UNKNOWN)
    ('&lt;a&gt;', '2', 'unknown')
    """
    return "unknown" if unit == UNKNOWN else plain(names.get(unit, str(unit)))


def arrange(*trains: Spikes, first: Iterable[int] = ()) -> list[int]:
    """Return units in the order of their colours and symbols, outlier spikes last.

    Parameters
    ----------
    *trains : Spikes
        Spikes whose units are included, with or without spikes.
    first : iterable of int
        Units that come first, such as those of a sorter.

    Examples
    --------
    >>> arrange(Spikes.from_arrays([100, 200], [0, 3], names={1: "silent"}))
    [1, 3, 0]
    """
    others = {unit for spikes in trains for unit in (*spikes.unit_ids, *spikes.names)}
    return [*dict.fromkeys([*first, *sorted(others - {UNKNOWN}), *(others & {UNKNOWN})])]


def rate_of(spikes: Spikes, fs_hz: float | None) -> float:
    """Return the given sampling rate or, if None, that of the spikes.

    Raises
    ------
    InputError
        If neither is known.

    Examples
    --------
    >>> rate_of(Spikes.from_arrays([100], [1], fs_hz=25_000.0), None)
    25000.0
    """
    rate = fs_hz or spikes.fs_hz
    if not rate:
        raise InputError("spikes: the sampling rate is not known; give fs_hz")
    return rate


def grid(panels: int) -> tuple[int, int]:
    """Return the numbers of columns and rows of a grid of panels.

    Examples
    --------
    >>> grid(8)
    (4, 2)
    """
    rows = max(-(-panels // COLUMNS), 1)
    return max(-(-panels // rows), 1), rows


def finish(
    figure: Figure, *, x: str = "", y: str = "", height: int = 320, top: int = 15, **more: Any
) -> Figure:
    """Set a figure's size, legend and axis titles."""
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


def title_columns(figure: Any, title: str, columns: int, rows: int) -> None:
    """Title the x axes of the lowest row of panels."""
    for column in range(1, columns + 1):
        figure.update_xaxes(title_text=title, row=rows, col=column)


def shade(figure: Any, bad: BadStretches, *, fs_hz: float, span: tuple[int, int]) -> None:
    """Shade the bad stretches of a span of samples over the whole height of a figure of seconds.

    Stretches that cannot be told apart in a figure are shaded as one.
    """
    shown = bad.within(*span)
    if not len(shown):
        return
    apart = shown.start[1:] - shown.stop[:-1] > (span[1] - span[0]) / MOST_SHADED
    starts, stops = shown.start[np.r_[True, apart]] / fs_hz, shown.stop[np.r_[apart, True]] / fs_hz
    spans = zip(starts.tolist(), stops.tolist(), strict=True)
    figure.add_shape(
        type="path",
        path="".join(
            f"M{start!r},0V1H{stop!r}V0Z" for start, stop in spans
        ),  # Plotly is slow with many shapes
        xref="x",
        yref="paper",
        layer="below",
        fillcolor=GREY,
        opacity=SHADE,
        line={"color": GREY, "width": 1},
    )


def write_across(figure: Any, text: str) -> None:
    """Write text in the middle of an empty figure."""
    figure.add_annotation(text=text, x=0.5, y=0.5, xref="paper", yref="paper", showarrow=False)


def with_opacity(hue: str, share: float) -> str:
    """Return a colour with an opacity.

    Examples
    --------
    >>> with_opacity("#0072b2", 0)
    'rgba(0,114,178,0)'
    """
    red, green, blue = (int(hue[k : k + 2], 16) for k in (1, 3, 5))
    return f"rgba({red},{green},{blue},{share:g})"
