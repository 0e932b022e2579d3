"""Draw tables and small figures for notebooks, as self-contained HTML."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from spikesorter.report.html import call_macro

__all__ = ["heat_map", "lines", "page", "raster", "table"]

WIDTH, HEIGHT = 420, 120
ROW_HEIGHT, CELL = 12, 26
NAME_WIDTH, HEAD_HEIGHT = 60, 18
MOST_MARKS = 400  # in a row; more cannot be distinguished
MOST_POINTS = 200

LEAST_WIDTH = 0.5  # of a shaded stretch
FloatArray = npt.NDArray[np.floating]
NONE: FloatArray = np.zeros((0, 2))


def page(title: str, *parts: str) -> str:
    """Return HTML with a title and parts below each other.

    Parameters
    ----------
    title : str
        Plain text.
    *parts : str
        HTML from the other functions here; any other text is escaped.

    Returns
    -------
    str

    Examples
    --------
    >>> str(page("2 & 3", "<i>"))
    '<div><p><b>2 &amp; 3</b></p>&lt;i&gt;</div>'
    """
    return _draw("page", title, parts)


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return a table; cells are plain text.

    Examples
    --------
    >>> str(table(["unit"], [["<a>"]]))
    '<table><thead><tr><th>unit</th></tr></thead><tbody><tr><td>&lt;a&gt;</td></tr></tbody></table>'
    """
    return _draw("table", head, rows)


def lines(curves: FloatArray, names: Sequence[str]) -> str:
    """Draw curves over each other, each in its own colour.

    Parameters
    ----------
    curves : ndarray, shape (curves, samples)
    names : sequence of str
        Names of the curves, shown on hover.

    Returns
    -------
    str

    Examples
    --------
    >>> lines(np.array([[0.0, 1.0, -1.0]]), ["a"]).count("<polyline")
    1
    """
    samples = curves.shape[1]
    step = max(samples // MOST_POINTS, 1)
    top, bottom = max(float(curves.max(initial=0.0)), 0.0), min(float(curves.min(initial=0.0)), 0.0)
    x = np.arange(0, samples, step) * (WIDTH / max(samples - 1, 1))
    y = (top - curves[:, ::step]) * (HEIGHT / max(top - bottom, 1e-12))
    points = [" ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, heights, strict=True)) for heights in y]
    return _draw("lines", WIDTH, HEIGHT, list(zip(names, points, strict=True)))


def raster(trains: Sequence[FloatArray], names: Sequence[str], *, bad: FloatArray = NONE) -> str:
    """Draw a row of marks for each spike train.

    Parameters
    ----------
    trains : sequence of ndarray
        Times from 0 to 1.
    names : sequence of str
    bad : ndarray, shape (stretches, 2)
        Start and stop of bad stretches, from 0 to 1, which are shaded.

    Returns
    -------
    str

    Examples
    --------
    >>> raster([np.array([0.1, 0.9]), np.array([0.5])], ["a", "b"]).count("<path")
    2
    """
    rows = []
    for k, (name, times) in enumerate(zip(names, trains, strict=True)):
        thinned = times[:: max(len(times) // MOST_MARKS, 1)]
        mark = f"{k * ROW_HEIGHT + 2}v{ROW_HEIGHT - 4}"
        rows.append((name, "".join(f"M{NAME_WIDTH + time * WIDTH:.1f} {mark}" for time in thinned)))
    shaded = [
        (f"{NAME_WIDTH + start * WIDTH:.1f}", f"{max((stop - start) * WIDTH, LEAST_WIDTH):.1f}")
        for start, stop in bad[:: len(bad) // MOST_MARKS + 1]
    ]
    return _draw("raster", NAME_WIDTH + WIDTH, ROW_HEIGHT, rows, shaded)


def heat_map(counts: npt.NDArray[np.integer], rows: Sequence[str], columns: Sequence[str]) -> str:
    """Draw a table of counts; darker cells are a larger share of their row.

    Parameters
    ----------
    counts : ndarray of int, shape (rows, columns)
    rows, columns : sequence of str

    Returns
    -------
    str

    Examples
    --------
    >>> "a, found as b: 3" in heat_map(np.array([[5, 3]]), ["a"], ["a", "b"])
    True
    """
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    cells = [
        [(column, int(count), f"{share:.2f}") for column, count, share in zip(columns, *row, strict=True)]
        for row in zip(counts, shares, strict=True)
    ]
    return _draw("heat_map", NAME_WIDTH, HEAD_HEIGHT, CELL, columns, list(zip(rows, cells, strict=True)))


def _draw(macro: str, *arguments: object) -> str:
    return call_macro("notebook.html", macro, *arguments)
