"""Run a decoder over a recording; candidates do not depend on spans or number of threads."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import numpy.typing as npt

from spikesorter.core.cores import in_threads
from spikesorter.decoding.base import Decoder
from spikesorter.decoding.candidates import Candidates
from spikesorter.decoding.in_parts import InParts
from spikesorter.signal.spans import iterate_spans, read_span

__all__ = [
    "TraceReader",
    "compute_in_spans",
    "find_candidates",
    "find_evidence",
    "padded",
    "pieces_of",
    "read_evidence",
]

Trace = npt.NDArray[np.float32]
TraceReader = Callable[[int, int], Trace]
"""Returns the trace from `start` to `stop`, either of which may lie beyond the recording's ends."""

SPAN_SAMPLES = 1 << 16  # of a trace in memory, for one thread at a time


def read_evidence(decoder: Decoder, read_trace: TraceReader, n_samples: int, start: int, stop: int) -> Trace:
    """Return the evidence from sample `start` to `stop`; zero beyond the recording's ends.

    Parameters
    ----------
    decoder : Decoder
    read_trace : TraceReader
    n_samples : int
        Length of the recording.
    start, stop : int

    Returns
    -------
    ndarray of float32, shape (stop - start, columns)
    """
    pieces = pieces_of(decoder, start, stop)
    read = [_read_blocks(one, one.evidence, read_trace, n_samples, a, b) for one, a, b in pieces]
    return read[0] if len(read) == 1 else np.concatenate(read)


def find_candidates(
    decoder: Decoder, read_trace: TraceReader, n_samples: int, start: int, stop: int
) -> Candidates:
    """Return the candidates from sample `start` to `stop`; parameters as for `read_evidence`."""
    reach, found = decoder.pick_reach, []
    for one, first, last in pieces_of(decoder, start, stop):
        evidence = read_evidence(one, read_trace, n_samples, first - reach, last + reach)
        found.append(one.pick(evidence).shifted(first))
    return found[0] if len(found) == 1 else Candidates.concatenate(found)


def pieces_of(decoder: Decoder, start: int, stop: int) -> list[tuple[Decoder, int, int]]:
    """Return the decoders of the parts of a span, each with its first sample and that after its last."""
    return decoder.pieces(start, stop) if isinstance(decoder, InParts) else [(decoder, start, stop)]


def find_evidence(decoder: Decoder, trace: Trace, *, n_jobs: int) -> Trace:
    """Return the evidence of a whole trace in memory, shape (samples, columns)."""
    whole = decoder.over(len(trace)) if isinstance(decoder, InParts) else decoder
    read = partial(read_evidence, whole, padded(trace), len(trace))
    return _in_spans(read, len(trace), decoder.grid_samples, n_jobs=n_jobs)


def compute_in_spans(
    decoder: Decoder, compute: Callable[[Trace], Trace], trace: Trace, *, n_jobs: int
) -> Trace:
    """Compute a decoder's output for a whole trace in memory, span by span in threads.

    Parameters
    ----------
    decoder : Decoder
        Defines blocks and margins.
    compute : callable
        Has the arguments and result of `decoder.evidence`.
    trace : ndarray of float32, shape (samples, channels)
        Without its offset.
    n_jobs : int
        Number of threads; it does not affect the result.

    Returns
    -------
    ndarray of float32, shape (samples, columns)
    """
    read = partial(_read_blocks, decoder, compute, padded(trace), len(trace))
    return _in_spans(read, len(trace), decoder.grid_samples, n_jobs=n_jobs)


def _in_spans(read: Callable[[int, int], Trace], n_samples: int, grid_samples: int, *, n_jobs: int) -> Trace:
    length = -(-SPAN_SAMPLES // grid_samples) * grid_samples
    spans = list(iterate_spans(n_samples, length))
    return np.concatenate(list(in_threads(lambda span: read(*span), spans, n_jobs=n_jobs)))


def padded(trace: Trace) -> TraceReader:
    """Return a reader of a trace in memory, padded with its first or last value beyond its ends.

    Examples
    --------
    >>> read = padded(np.float32([[5], [6], [7]]))
    >>> read(-2, 2)[:, 0]
    array([5., 5., 5., 6.], dtype=float32)
    """
    return lambda start, stop: read_span(lambda a, b: trace[a:b], len(trace), start, stop)


def _read_blocks(
    decoder: Decoder,
    compute: Callable[[Trace], Trace],
    read_trace: TraceReader,
    n_samples: int,
    start: int,
    stop: int,
) -> Trace:
    """Compute samples `start` to `stop` from all blocks they need; zero beyond the recording's ends."""
    grid, margin, overlap = decoder.grid_samples, decoder.margin, decoder.overlap_samples
    first, last = min(max(start, 0), n_samples), min(max(stop, 0), n_samples)
    begin = (first - overlap) // grid * grid
    end = -(-(max(last, first + 1) + overlap) // grid) * grid
    rows = compute(read_trace(begin - margin.before, end + margin.after))
    inside = rows[first - begin + overlap : last - begin + overlap]
    if first == start and last == stop:
        return inside
    return np.pad(inside, ((first - start, stop - last), (0, 0)))
