"""Share between all figures: names as plain text, places of units, grids of panels, the layout."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from typing import TYPE_CHECKING, Any

from spikesorter.core.errors import InputError
from spikesorter.core.spikes import UNKNOWN, Spikes

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

__all__ = ["arrange", "finish", "grid", "name_of", "plain", "rate_of", "title_columns", "write_across"]

COLUMNS = 6  # of panels, at most


def plain(text: str) -> str:
    """Escape text for Plotly, which reads HTML, TeX between dollars and values in %{}.

    Examples
    --------
    >>> plain("<b> $x$")
    '&lt;b&gt; &#36;x&#36;'
    """
    return escape(text, quote=False).replace("$", "&#36;").replace("%", "&#37;")


def name_of(names: Mapping[int, str], unit: int) -> str:
    """Return what a figure calls a unit.

    Examples
    --------
    >>> name_of({1: "<a>"}, 1), name_of({}, 2), name_of({}, UNKNOWN)
    ('&lt;a&gt;', '2', 'unknown')
    """
    return "unknown" if unit == UNKNOWN else plain(names.get(unit, str(unit)))


def arrange(*trains: Spikes, first: Iterable[int] = ()) -> list[int]:
    """Return units in the order that gives each its colour and symbol, the unknown one last.

    Parameters
    ----------
    *trains : Spikes
        Units that they have spikes of or names for.
    first : iterable of int
        Units that come first, such as those that a sorter knows.

    Examples
    --------
    >>> arrange(Spikes.from_arrays([100, 200], [0, 3], names={1: "silent"}))
    [1, 3, 0]
    """
    others = {unit for spikes in trains for unit in (*spikes.unit_ids, *spikes.names)}
    return [*dict.fromkeys([*first, *sorted(others - {UNKNOWN}), *(others & {UNKNOWN})])]


def rate_of(spikes: Spikes, fs_hz: float | None) -> float:
    """Return the sampling rate that was given or, without it, that of the spikes.

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
        raise InputError("spikes: their sampling rate is not known; give fs_hz")
    return rate


def grid(panels: int) -> tuple[int, int]:
    """Return columns and rows of a grid of panels.

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
    """Give a figure its size, legend and titles of axes."""
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


def write_across(figure: Any, text: str) -> None:
    """Write text in the middle of a figure that has nothing to show."""
    figure.add_annotation(text=text, x=0.5, y=0.5, xref="paper", yref="paper", showarrow=False)
