"""What is kept of a network's training, to look at later: curves, confusions and part of the recording."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from spikesorter.core.spikes import Spikes
from spikesorter.decoding.nets.learning import LearningCurve, joined_curves
from spikesorter.estimation.rehearsal import Rehearsal
from spikesorter.signal.spans import Margin

__all__ = ["Excerpt", "Trained", "TrainingRecord", "cut_excerpt", "record_of"]

FloatArray = npt.NDArray[np.float32]
EXCERPT_MS = 40.0  # in a longer one, labels of three samples could not be seen
PLACES = 200  # tried for the excerpt


@dataclass(frozen=True, eq=False)
class Trained:
    """What watching the training of a detector and a classifier gave.

    Parameters
    ----------
    curves : tuple of LearningCurve
        Of the detector and, if there is one, of the classifier; none if training was not watched.
    confusion : ndarray of int64, shape (units, units)
        Held-out spikes of each unit (rows) by the unit that the trained classifier names; empty without it.
    """

    curves: tuple[LearningCurve, ...]
    confusion: npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Excerpt:
    """Part of the recording that networks were trained on.

    Parameters
    ----------
    trace : ndarray of float32, shape (margin.before + samples + margin.after, channels)
        Without its offset, otherwise unfiltered, with the decoder's margin.
    spikes : Spikes
        Its spikes, counted from the first sample behind the margin.
    """

    trace: FloatArray
    spikes: Spikes


@dataclass(frozen=True, eq=False)
class TrainingRecord:
    """What is kept of the training of a decoder's networks.

    Parameters
    ----------
    curves : tuple of LearningCurve
        If rehearsals are cross-fitted, the means over networks that were each trained without one part and
        tested on it.
    confusion : ndarray of int64, shape (units, units)
        As for `Trained`; added up over the parts.
    parts : int
        Number of networks that the curves are the mean of; 1 if the decoder's own were tested on another
        rehearsal.
    excerpt : Excerpt
        Of the rehearsal that the decoder's own networks were trained on.
    """

    curves: tuple[LearningCurve, ...]
    confusion: npt.NDArray[np.int64]
    parts: int
    excerpt: Excerpt


def record_of(trained: list[Trained], excerpt: Excerpt) -> TrainingRecord:
    """Return the record of networks that were trained in the same way on different parts.

    Parameters
    ----------
    trained : list of Trained
        At least one.
    excerpt : Excerpt
    """
    confusion = trained[0].confusion
    for one in trained[1:]:
        confusion = confusion + one.confusion if confusion.shape == one.confusion.shape else confusion
    curves = joined_curves([curve for one in trained for curve in one.curves])
    return TrainingRecord(curves, confusion, len(trained), excerpt)


def cut_excerpt(rehearsal: Rehearsal, margin: Margin, *, fs_hz: float) -> Excerpt:
    """Cut out the place of a rehearsal with spikes of most units and, among such places, with most spikes.

    Parameters
    ----------
    rehearsal : Rehearsal
    margin : Margin
        Of the decoder; the rehearsal's first or last sample is repeated beyond its ends.
    fs_hz : float
    """
    samples = min(max(int(EXCERPT_MS * fs_hz / 1000), 1), len(rehearsal.trace))
    starts = np.unique(np.linspace(0, len(rehearsal.trace) - samples, PLACES).astype(np.int64))
    inside = [rehearsal.spikes.within(start, start + samples) for start in starts.tolist()]
    best = max(range(len(starts)), key=lambda k: (len(inside[k].unit_ids), len(inside[k]), -k))
    start = int(starts[best])
    rows = np.arange(start - margin.before, start + samples + margin.after)
    trace = rehearsal.trace[np.clip(rows, 0, len(rehearsal.trace) - 1)]
    return Excerpt(np.ascontiguousarray(trace), inside[best].shifted(-start))
