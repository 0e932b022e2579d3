"""Find the parts of a labelled recording that nobody labelled, though there are spikes in them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from spikesorter.core.bad_stretches import BadStretches
from spikesorter.core.spikes import Spikes
from spikesorter.decoding.calibration import judge_events
from spikesorter.decoding.missing_labels import least_of_clearest
from spikesorter.decoding.pursuit import PursuitDecoder, make_pursuit
from spikesorter.decoding.run import find_evidence
from spikesorter.decoding.tuning import pick_all
from spikesorter.estimation.context import Context
from spikesorter.estimation.labelled import Labelled
from spikesorter.estimation.profile import Profile

__all__ = ["find_holes", "long_gaps"]

Int64Array = npt.NDArray[np.int64]
LONG_GAP = 50.0  # mean intervals between labels
AS_MANY = 0.5  # clear spikes in a gap, relative to the number among labels; with fewer, units may be silent
STANDARD_ERRORS = 2.0  # by which they have to be more than without the labelled units
SEEN_SECONDS = 20.0  # of a gap
SEEN_ALTOGETHER_SECONDS = 120.0
AROUND_MS = 10.0  # kept beside the labels at either end of a hole
ROUNDS = 20  # in which the mean interval is found; far more than it takes


def find_holes(
    trace: npt.NDArray[np.float32], labels: Spikes, context: Context, profile: Profile, *, n_jobs: int
) -> BadStretches:
    """Return the stretches without a label in which clear spikes are about as frequent as elsewhere.

    Taken for a part without spikes, such a stretch would teach that spikes are noise, and every spike that is
    found there would count as false. A stretch in which no clear spikes are found, or only as many as are
    found without a label elsewhere, is none: there, the labelled units are silent.

    Parameters
    ----------
    trace : ndarray of float32, shape (samples, channels)
        Labelled recording without its offset.
    labels : Spikes
    context : Context
    profile : Profile
        Of the labelled recording.
    n_jobs : int

    Returns
    -------
    BadStretches
        Of kind "given".
    """
    gaps = _between_labels(labels, len(trace), context.samples(AROUND_MS))
    if not len(gaps):
        return gaps
    pursuit, most = make_pursuit(context, profile), context.samples(1000 * SEEN_ALTOGETHER_SECONDS)
    moved = replace(labels, sample=gaps.moved(labels.sample))
    part = Labelled(np.asarray(gaps.without(trace), np.float32), moved, profile).excerpt(most)
    found = pick_all(pursuit, find_evidence(pursuit, part.trace, n_jobs=n_jobs))
    clear = least_of_clearest(found, part.spikes, fs_hz=context.fs_hz)
    found = found.select(found.joint >= clear)
    there, _ = judge_events(found.sample, found.unit, part.spikes, fs_hz=context.fs_hz)
    seen = min(context.samples(1000 * SEEN_SECONDS), most // len(gaps))
    seen = max(seen, round(LONG_GAP * len(part.trace) / len(part.spikes)))
    holes = []
    for start, stop, kind in gaps:
        first = max((start + stop - seen) // 2, start)
        piece = trace[first : min(first + seen, stop)]
        count = _count(pursuit, piece, clear, n_jobs=n_jobs)
        longer = len(piece) / len(part.trace)
        if _as_among_labels(count, longer, int(there.sum()), int((~there).sum())):
            holes.append((start, stop, kind))
    return BadStretches.of(holes)


def long_gaps(samples: Int64Array, n_samples: int) -> Int64Array:
    """Return the improbably long stretches without a label: first sample, and the sample after the last.

    Parameters
    ----------
    samples : ndarray of int64, shape (labels,)
    n_samples : int
        Length of the recording.

    Returns
    -------
    ndarray of int64, shape (gaps, 2)

    Examples
    --------
    >>> long_gaps(np.r_[np.arange(0, 1000, 10), np.arange(3000, 4000, 10)], 4000)
    array([[ 990, 3000]])
    """
    edges = np.r_[0, samples, n_samples]
    intervals = np.diff(edges)
    usual = float(np.median(intervals))
    for _ in range(ROUNDS):  # grows until it is the mean of all that are not far longer than it
        usual = float(intervals[intervals <= LONG_GAP * max(usual, 1.0)].mean())
    long = np.flatnonzero(intervals > LONG_GAP * max(usual, 1.0))
    return np.stack([edges[long], edges[long + 1]], axis=1)


def _count(pursuit: PursuitDecoder, piece: npt.NDArray[np.float32], clear: float, *, n_jobs: int) -> int:
    """Return the number of clear spikes that are found in a piece of the trace."""
    found = pick_all(pursuit, find_evidence(pursuit, piece, n_jobs=n_jobs))
    return int((found.joint >= clear).sum())


def _between_labels(labels: Spikes, n_samples: int, around: int) -> BadStretches:
    """Return the long gaps without what is kept beside labels."""
    first, last = labels.sample[[0, -1]]
    inside = [
        (start + around if start >= first else 0, stop - around if stop <= last else n_samples, "given")
        for start, stop in long_gaps(labels.sample, n_samples).tolist()
    ]
    return BadStretches.of([gap for gap in inside if gap[0] < gap[1]])


def _as_among_labels(count: int, longer: float, labelled: int, others: int) -> bool:
    """Return whether the labelled units seem to fire in a gap, too.

    Clear spikes without a label are subtracted as often as they are found among labels: another neuron, which
    the labeller left out rightly, may fire on where the labelled ones are silent.

    Parameters
    ----------
    count : int
        Clear spikes in the gap.
    longer : float
        Length of the gap relative to that of the labelled part.
    labelled, others : int
        Clear spikes in the labelled part with a label, and without one.
    """
    more = count - others * longer
    error = np.sqrt(count + others * longer**2)
    return bool(more >= AS_MANY * labelled * longer and more > STANDARD_ERRORS * error)
