"""What notebooks show of a value: a table and a small picture, as HTML that needs nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np
import numpy.typing as npt

__all__ = ["COLOURS", "heat_map", "lines", "page", "raster", "table"]

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#b8a500")
"""Told apart by the colour-blind too (after M. Okabe and K. Ito), on white and on black."""

WIDTH, HEIGHT = 420, 120
ROW_HEIGHT, CELL = 12, 26
LABEL_WIDTH = 60
MOST_MARKS = 400  # in a row; more cannot be told apart
MOST_POINTS = 200

FloatArray = npt.NDArray[np.floating]


def page(title: str, *parts: str) -> str:
    """Return a title and parts below each other.

    Parameters
    ----------
    title : str
        Plain text.
    *parts : str
        HTML from the other functions here.

    Returns
    -------
    str
    """
    return f"<div><p><b>{escape(title)}</b></p>{''.join(parts)}</div>"


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return a table; cells are plain text.

    Examples
    --------
    >>> table(["unit"], [["<a>"]])
    '<table><thead><tr><th>unit</th></tr></thead><tbody><tr><td>&lt;a&gt;</td></tr></tbody></table>'
    """
    heads = "".join(f"<th>{escape(name)}</th>" for name in head)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows
    )
    return f"<table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>"


def lines(curves: FloatArray, names: Sequence[str]) -> str:
    """Draw curves over each other, each in its own colour.

    Parameters
    ----------
    curves : ndarray, shape (curves, samples)
    names : sequence of str
        Shown when pointed at.

    Returns
    -------
    str
    """
    samples = curves.shape[1]
    step = max(samples // MOST_POINTS, 1)
    top, bottom = max(float(curves.max(initial=0.0)), 0.0), min(float(curves.min(initial=0.0)), 0.0)
    x = np.arange(0, samples, step) * (WIDTH / max(samples - 1, 1))
    y = (top - curves[:, ::step]) * (HEIGHT / max(top - bottom, 1e-12))
    drawn = []
    for k, (name, heights) in enumerate(zip(names, y, strict=True)):
        points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, heights, strict=True))
        drawn.append(
            f'<polyline points="{points}" fill="none" stroke="{colour(k)}" stroke-width="1.5">'
            f"<title>{escape(name)}</title></polyline>"
        )
    return _picture(WIDTH, HEIGHT, "mean waveforms", drawn)


def raster(trains: Sequence[FloatArray], names: Sequence[str]) -> str:
    """Draw a row of marks for each train of times, the whole of it in one width.

    Parameters
    ----------
    trains : sequence of ndarray
        Times from 0 to 1.
    names : sequence of str

    Returns
    -------
    str
    """
    drawn = []
    for k, (name, times) in enumerate(zip(names, trains, strict=True)):
        step = max(len(times) // MOST_MARKS, 1)
        top = k * ROW_HEIGHT
        marks = "".join(f"M{LABEL_WIDTH + t * WIDTH:.1f} {top + 2}v{ROW_HEIGHT - 4}" for t in times[::step])
        drawn.append(_text(0, top + ROW_HEIGHT - 3, name) + f'<path d="{marks}" stroke="{colour(k)}"/>')
    return _picture(LABEL_WIDTH + WIDTH, max(len(trains), 1) * ROW_HEIGHT, "spikes over time", drawn)


def heat_map(counts: npt.NDArray[np.integer], rows: Sequence[str], columns: Sequence[str]) -> str:
    """Draw a table of counts, darker for a larger share of its row.

    Parameters
    ----------
    counts : ndarray of int, shape (rows, columns)
    rows, columns : sequence of str

    Returns
    -------
    str
    """
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    drawn = [
        _text(LABEL_WIDTH + (j + 0.5) * CELL, 12, name, anchor="middle") for j, name in enumerate(columns)
    ]
    for i, name in enumerate(rows):
        top = 18 + i * CELL
        drawn.append(_text(0, top + 0.65 * CELL, name))
        for j in range(len(columns)):
            left = LABEL_WIDTH + j * CELL
            drawn.append(
                f'<rect x="{left}" y="{top}" width="{CELL - 1}" height="{CELL - 1}" fill="{COLOURS[0]}" '
                f'fill-opacity="{shares[i, j]:.2f}" stroke="currentColor" stroke-opacity="0.2">'
                f"<title>{escape(name)}, found as {escape(columns[j])}: {counts[i, j]}</title></rect>"
            )
    size = LABEL_WIDTH + (len(columns) + 1) * CELL, 18 + len(rows) * CELL
    return _picture(*size, "true neurons (rows) and what was found (columns)", drawn)


def colour(k: int) -> str:
    """Return the colour of the k-th neuron."""
    return COLOURS[k % len(COLOURS)]


def _text(x: float, y: float, words: str, *, anchor: str = "start") -> str:
    style = f'font-size="10" fill="currentColor" text-anchor="{anchor}"'
    return f'<text x="{x:.0f}" y="{y:.0f}" {style}>{escape(words)}</text>'


def _picture(width: int, height: int, what: str, drawn: list[str]) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" role="img" aria-label="{escape(what)}">{"".join(drawn)}</svg>'
    )
