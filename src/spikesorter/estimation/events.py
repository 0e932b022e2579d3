"""Events: the peaks of matched filters' outputs, by height, filter and the labelled spike nearby."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from spikesorter.core.spikes import Spikes
from spikesorter.estimation.context import Context
from spikesorter.signal.peaks import largest_of_rows, pick_peaks, smallest_of_rows

__all__ = [
    "THRESHOLD",
    "PartialOutputs",
    "bins_of",
    "counted",
    "edges_of",
    "heights",
    "located",
    "nearest_label",
]

Trace = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]
Events = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float32]]
THRESHOLD = 4.0
"""Height of an event, in SD of the noise; lower peaks are mostly noise."""
APART_MS, NEAR_MS = 0.6, 0.5
EVENTS_IN_BIN, MOST_BINS = 15, 24


@dataclass(frozen=True, eq=False)
class PartialOutputs:
    """Outputs of filters at some samples of a rehearsal; at all others, none is as high as an event.

    Parameters
    ----------
    samples : ndarray of int64, shape (some,)
        In order.
    rows : ndarray of float32, shape (some, units)
    n_samples : int
        Of the rehearsal.
    """

    samples: npt.NDArray[np.int64]
    rows: Trace
    n_samples: int

    @classmethod
    def where_events_may_be(cls, outputs: Trace, gain: float) -> PartialOutputs:
        """Return the outputs that reach the threshold, or fall to its opposite at a negative gain."""
        samples = np.flatnonzero(heights(outputs, gain) >= THRESHOLD)
        return cls(samples, np.take(outputs, samples, axis=0), len(outputs))

    def __len__(self) -> int:
        return self.n_samples


def heights(outputs: Trace, gain: float) -> npt.NDArray[np.float32]:
    """Return the largest output at each sample; at a negative gain, of the inverted outputs.

    Examples
    --------
    >>> outputs = np.float32([[1, -3], [2, 5]])
    >>> heights(outputs, 1.0), heights(outputs, -0.5)
    (array([1., 5.], dtype=float32), array([ 3., -2.], dtype=float32))
    """
    return largest_of_rows(outputs) if gain > 0 else -smallest_of_rows(outputs)


def located(outputs: Trace | PartialOutputs, context: Context, gain: float) -> Events:
    """Return the samples of events, the filter with the largest output at each, and that output."""
    if not isinstance(outputs, PartialOutputs):
        outputs = PartialOutputs.where_events_may_be(outputs, gain)
    rows = outputs.rows if gain > 0 else -outputs.rows
    curve = np.zeros(len(outputs), np.float32)
    curve[outputs.samples] = largest_of_rows(rows)
    at = pick_peaks(curve, threshold=THRESHOLD, distance_samples=max(context.samples(APART_MS), 1))
    return at, rows[np.searchsorted(outputs.samples, at)].argmax(axis=1), curve[at]


def edges_of(
    winner: npt.NDArray[np.int64], height: npt.NDArray[np.float32], filters: int
) -> list[Float64Array]:
    """Return heights that divide each filter's events in the target into bins of equal counts."""
    edges = []
    for k in range(filters):
        own = height[winner == k]
        bins = int(np.clip(len(own) // EVENTS_IN_BIN, 1, MOST_BINS))
        inner = np.quantile(own, np.linspace(0, 1, bins + 1)[1:-1]) if bins > 1 else []
        edges.append(np.concatenate([[-np.inf], inner, [np.inf]]))
    return edges


def bins_of(
    winner: npt.NDArray[np.int64], height: npt.NDArray[np.float32], edges: list[Float64Array]
) -> npt.NDArray[np.int64]:
    """Return the bin of each event, counted through all filters."""
    bin_of, first = np.zeros(len(winner), np.int64), 0
    for k, edge in enumerate(edges):
        own = winner == k
        bin_of[own] = first + np.searchsorted(edge[1:-1], height[own], "right")
        first += len(edge) - 1
    return bin_of


def counted(bin_of: npt.NDArray[np.int64], bins: int) -> Float64Array:
    """Return the number of events in each bin."""
    return np.bincount(bin_of, minlength=bins).astype(np.float64)


def nearest_label(at: npt.NDArray[np.int64], spikes: Spikes, context: Context) -> npt.NDArray[np.int64]:
    """Return the unit of the labelled spike nearest to each event; 0 if none is near."""
    if len(spikes) == 0:
        return np.zeros(len(at), np.int64)
    after = np.clip(np.searchsorted(spikes.sample, at), 0, len(spikes) - 1)
    before = np.maximum(after - 1, 0)
    nearer = np.abs(spikes.sample[before] - at) < np.abs(spikes.sample[after] - at)
    nearest = np.where(nearer, before, after)
    near = np.abs(spikes.sample[nearest] - at) <= context.samples(NEAR_MS)
    return np.where(near, spikes.unit[nearest], 0)
