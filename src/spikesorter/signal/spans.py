"""Margins of local operators, and the spans that they are applied to.

A local operator's output at a sample depends only on the input from `before` samples before it to
`after` samples after it. Beyond its ends a recording is padded with its first or last value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Margin", "iterate_spans", "read_span", "to_samples"]

Trace = npt.NDArray[Any]


@dataclass(frozen=True)
class Margin:
    """Number of samples before and after a sample that an operator's output there depends on.

    The margins of operators that are applied one after the other add up.

    Examples
    --------
    >>> Margin(3, 4) + Margin(10, 0)
    Margin(before=13, after=4)
    """

    before: int = 0
    after: int = 0

    def __add__(self, other: Margin) -> Margin:
        return Margin(self.before + other.before, self.after + other.after)


def to_samples(milliseconds: float, fs_hz: float) -> int:
    """Return a length of time as a whole number of samples.

    Examples
    --------
    >>> to_samples(0.8, 25_000)
    20
    """
    return round(milliseconds * fs_hz / 1000)


def iterate_spans(n_samples: int, span_samples: int) -> Iterator[tuple[int, int]]:
    """Yield (start, stop) of the spans of `span_samples` that cover `n_samples`, on a fixed grid.

    Examples
    --------
    >>> list(iterate_spans(10, 4))
    [(0, 4), (4, 8), (8, 10)]
    """
    for start in range(0, n_samples, span_samples):
        yield start, min(start + span_samples, n_samples)


def read_span(read: Callable[[int, int], Trace], n_samples: int, start: int, stop: int) -> Trace:
    """Return samples `start` to `stop` of a recording, padded with its first or last value.

    Parameters
    ----------
    read : callable
        Returns the samples from `start` to `stop`, inside the recording, shape (samples, channels).
    n_samples : int
        Length of the recording.
    start, stop : int
        May be negative or beyond the end.

    Returns
    -------
    ndarray, shape (stop - start, channels)
        Zeros if the span lies wholly outside.

    Examples
    --------
    >>> trace = np.arange(5, 15)[:, None]
    >>> read_span(lambda a, b: trace[a:b], 10, -2, 3)[:, 0]
    array([5, 5, 5, 6, 7])
    """
    first, last = (min(max(edge, 0), n_samples) for edge in (start, stop))
    before = min(max(-start, 0), stop - start)
    after = stop - start - before - (last - first)
    inside = read(first, last)
    if before == after == 0:
        return inside
    return np.pad(inside, ((before, after), (0, 0)), mode="edge" if len(inside) else "constant")
