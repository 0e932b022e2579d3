"""Colours and symbols of units, the same in reports, notebooks and figures."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["COLOURS", "GREY", "SYMBOLS", "Symbol", "colour", "symbol"]

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#b8a500")
"""Colours that colour-blind people can distinguish, on white and on black (after M. Okabe and K. Ito)."""

GREY = "#808080"
"""Colour of anything that belongs to no unit."""


class Symbol(NamedTuple):
    """A symbol under the names of each drawing library.

    Parameters
    ----------
    plotly, matplotlib : str
        Names of the marker.
    text : str
        The character.

    Examples
    --------
    >>> SYMBOLS[1]
    Symbol(plotly='square', matplotlib='s', text='■')
    """

    plotly: str
    matplotlib: str
    text: str


SYMBOLS = (
    Symbol("triangle-down", "v", "▼"),
    Symbol("square", "s", "■"),
    Symbol("circle", "o", "●"),
    Symbol("diamond", "D", "◆"),
    Symbol("triangle-up", "^", "▲"),
    Symbol("cross", "P", "✚"),
    Symbol("x", "X", "✖"),
    Symbol("star", "*", "★"),
    Symbol("hexagon", "H", "⬢"),
)
"""One symbol for each unit, so that units do not differ by colour alone."""


def colour(k: int) -> str:
    """Return the colour of the k-th unit, counted from 0.

    Examples
    --------
    >>> colour(0), colour(7)
    ('#0072b2', '#0072b2')
    """
    return COLOURS[k % len(COLOURS)]


def symbol(k: int) -> Symbol:
    """Return the symbol of the k-th unit, counted from 0.

    Examples
    --------
    >>> symbol(2).text
    '●'
    """
    return SYMBOLS[k % len(SYMBOLS)]
