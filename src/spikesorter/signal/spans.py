"""Margins of local operators, and running them span by span with the same result as at once.

A local operator's output at a sample depends only on the input from `before` samples before it to
`after` samples after it. Beyond the ends of a recording the input counts as zero.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["Margin", "iterate_spans", "map_spans", "read_span"]

Trace = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Margin:
    """How many samples before and after a sample an operator's output there depends on.

    Operators run one after the other add their margins.

    Examples
    --------
    >>> Margin(3, 4) + Margin(10, 0)
    Margin(before=13, after=4)
    """

    before: int = 0
    after: int = 0

    def __add__(self, other: Margin) -> Margin:
        return Margin(self.before + other.before, self.after + other.after)


def iterate_spans(n_samples: int, span_samples: int) -> Iterator[tuple[int, int]]:
    """Yield (start, stop) of the spans of `span_samples` that cover `n_samples`, on a fixed grid."""
    for start in range(0, n_samples, span_samples):
        yield start, min(start + span_samples, n_samples)


def read_span(trace: npt.NDArray[np.generic], start: int, stop: int) -> Trace:
    """Return samples `start` to `stop` of a trace as float32, zero where they lie beyond its ends.

    Parameters
    ----------
    trace : ndarray, shape (samples, channels)
    start, stop : int
        May be negative or beyond the end.

    Returns
    -------
    ndarray of float32, shape (stop - start, channels)
    """
    inside = trace[max(start, 0) : max(min(stop, len(trace)), 0)].astype(np.float32)
    missing = (max(-start, 0), max(stop - max(len(trace), start), 0))
    return np.pad(inside, (missing, (0, 0))) if any(missing) else inside


def map_spans(
    function: Callable[[Trace], Trace], trace: Trace, *, margin: Margin, span_samples: int
) -> Trace:
    """Run a local operator over a trace span by span.

    Parameters
    ----------
    function : callable
        Takes a trace of shape (samples, channels) and returns one of the same number of samples.
    trace : ndarray, shape (samples, channels)
    margin : Margin
        The operator's margin.
    span_samples : int
        Length of a span without its margins.

    Returns
    -------
    ndarray, shape (samples, channels of the output)

    Examples
    --------
    >>> trace = np.arange(6, dtype=np.float32)[:, None]
    >>> previous = lambda x: np.concatenate([np.zeros((1, 1), np.float32), x[:-1]])
    >>> map_spans(previous, trace, margin=Margin(before=1), span_samples=2)[:, 0]
    array([0., 0., 1., 2., 3., 4.], dtype=float32)
    """
    outputs = []
    for start, stop in iterate_spans(len(trace), span_samples):
        output = function(read_span(trace, start - margin.before, stop + margin.after))
        outputs.append(output[margin.before : margin.before + stop - start])
    return np.concatenate(outputs)
