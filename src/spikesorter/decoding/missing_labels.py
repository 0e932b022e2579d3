"""Estimate how many spikes the labels lack, and do not count as false what is found of them.

The clearest spikes are found whatever the noise. If some of those in the labelled recording have no label,
the labeller left them out; and then as large a share of the others, too.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from spikesorter.core.spikes import Spikes
from spikesorter.decoding.calibration import judge_events
from spikesorter.decoding.candidates import Candidates

__all__ = [
    "CLEAREST",
    "MOST_BELIEVED",
    "MOST_IF_ALIKE",
    "least_of_clearest",
    "look_alike",
    "missing_share",
    "without_missing",
]

CLEAREST = 0.2
"""Share of the labelled spikes that count as clear."""
STANDARD_ERRORS = 2.5  # by which the share has to differ from 0
MOST_BELIEVED = 0.1
"""Largest share that is taken for missing labels however the spikes look; more may be another neuron's."""
MOST_IF_ALIKE = 0.6
"""Largest share that is taken for missing labels if spikes with and without a label look alike."""
LOOK_ALIKE = 0.6  # largest area under the curve (.5 by chance) of telling them apart
FEWEST = 20  # clear spikes of a unit with a label, and without one, that are compared
COMPONENTS = 12  # of their waveforms
PARTS = 5  # each told apart by what was learnt from the others


def missing_share(found: Candidates, labels: Spikes, *, fs_hz: float) -> float:
    """Return the share of the spikes that have no label; 0 if it may be chance.

    Parameters
    ----------
    found : Candidates
        Of labelled units, in the labelled recording; without those that the labels do not decide.
    labels : Spikes
    fs_hz : float

    Returns
    -------
    float

    Examples
    --------
    Of 1000 clear spikes every tenth has no label:

    >>> samples = np.arange(1000) * 500
    >>> found = Candidates.from_arrays(samples, np.ones(1000), np.ones(1000), np.ones(1000))
    >>> labels = Spikes.from_arrays(samples, np.ones(1000)).select(np.arange(1000) % 10 > 0)
    >>> round(missing_share(found, labels, fs_hz=25_000), 3)
    0.1
    """
    there, _ = judge_events(found.sample, found.unit, labels, fs_hz=fs_hz)
    clear = found.joint >= least_of_clearest(found, labels, fs_hz=fs_hz)
    if not clear.any():
        return 0.0
    share, count = float(np.mean(~there[clear])), int(clear.sum())
    error = float(np.sqrt(share * (1 - share) / count))
    return share if share > STANDARD_ERRORS * error else 0.0


def look_alike(
    trace: npt.NDArray[np.float32], found: Candidates, labels: Spikes, *, window: int, fs_hz: float
) -> bool:
    """Return whether the clear spikes with a label and those without one cannot be told apart.

    A linear discriminant of their waveforms is learnt for each unit. Spikes of another neuron, which the
    labeller left out rightly, differ from those of the unit that they were taken for.

    Parameters
    ----------
    trace : ndarray of float32, shape (samples, channels)
        Labelled recording, conditioned.
    found : Candidates
        As for `missing_share`.
    labels : Spikes
    window : int
        Samples of a waveform, from a spike's start.
    fs_hz : float

    Returns
    -------
    bool
        False if there are too few to tell.
    """
    there, right = judge_events(found.sample, found.unit, labels, fs_hz=fs_hz)
    inside = found.sample + window <= len(trace)
    clear = inside & (found.joint >= least_of_clearest(found, labels, fs_hz=fs_hz)) & (right | ~there)
    areas, counts = [], []
    for unit in labels.unit_ids:
        own = clear & (found.unit == unit)
        fewer = min(int((own & there).sum()), int((own & ~there).sum()))
        if fewer >= FEWEST:
            around = found.sample[own, None] + np.arange(window)
            areas.append(_told_apart(trace[around].reshape(int(own.sum()), -1), there[own]))
            counts.append(int((own & ~there).sum()))
    return bool(areas) and float(np.average(areas, weights=counts)) <= LOOK_ALIKE


def _told_apart(waveforms: npt.NDArray[np.float32], labelled: npt.NDArray[np.bool_]) -> float:
    """Return the area under the curve of telling waveforms with a label from those without one."""
    from sklearn.decomposition import PCA  # here, as few labels have holes
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import cross_val_predict
    from sklearn.pipeline import make_pipeline

    components = min(COMPONENTS, len(waveforms) // PARTS, waveforms.shape[1])
    discriminant = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto")
    learner = make_pipeline(PCA(components, svd_solver="full"), discriminant)
    scores = cross_val_predict(learner, waveforms, labelled, cv=PARTS, method="decision_function")
    return float(roc_auc_score(labelled, scores))


def least_of_clearest(found: Candidates, labels: Spikes, *, fs_hz: float) -> float:
    """Return the least probability of the clearest labelled spikes (`CLEAREST` of them) that are found.

    Infinite if none is found.

    Examples
    --------
    >>> found = Candidates.from_arrays([100, 300, 500, 700], [1] * 4, [0.9, 0.8, 0.7, 0.6], [1.0] * 4)
    >>> round(least_of_clearest(found, Spikes.from_arrays([100, 300], [1, 1]), fs_hz=25_000), 2)
    0.88
    """
    _, right = judge_events(found.sample, found.unit, labels, fs_hz=fs_hz)
    return float(np.quantile(found.joint[right], 1 - CLEAREST)) if right.any() else float("inf")


def without_missing(
    found: Candidates, labels: Spikes, missing_per_label: Mapping[int, float], *, fs_hz: float
) -> Candidates:
    """Return the candidates without those that are probably spikes whose label is missing.

    They are neither right nor wrong. A label is missing as often whatever the probability of a spike. So from
    the most probable candidate of a unit to the least, of those without a label as many are left out as
    labels should be missing of the spikes met so far, and a standard deviation more. The probability of any
    spike counts: a spike may be certain, and its unit not. As large a share of the others without a label is
    left out too, so that false spikes remain as frequent, relative to spikes, as they are.

    Parameters
    ----------
    found : Candidates
    labels : Spikes
    missing_per_label : mapping of int to float
        For each unit, how many labels are missing for each that is there.
    fs_hz : float

    Returns
    -------
    Candidates

    Examples
    --------
    Of five spikes one has no label; one of five false ones is left out too:

    >>> probability = [0.9, 0.9, 0.9, 0.9, 0.9, 0.1, 0.1, 0.1, 0.1, 0.1]
    >>> found = Candidates.from_arrays(np.arange(10) * 500, [1] * 10, probability, [1.0] * 10)
    >>> labels = Spikes.from_arrays([0, 500, 1000, 2000], [1] * 4)
    >>> without_missing(found, labels, {1: 0.25}, fs_hz=25_000).sample // 500
    array([0, 1, 2, 4, 6, 7, 8, 9])
    """
    if not any(missing_per_label.values()):
        return found
    there, _ = judge_events(found.sample, found.unit, labels, fs_hz=fs_hz)
    kept = np.ones(len(found), bool)
    for unit, missing in missing_per_label.items():
        own = np.flatnonzero(found.unit == unit)
        falling = own[np.argsort(-found.probability[own], kind="stable")]
        lacking = np.cumsum(there[falling]) * missing
        most = np.round(lacking + np.sqrt(lacking)).astype(np.int64)  # by chance, more may be met early
        unlabelled = ~there[falling]
        is_missing = _left_out(most[unlabelled])
        candidates = falling[unlabelled]
        kept[candidates[is_missing]] = False
        kept[_share_of(candidates[~is_missing], missing / (1 + missing))] = False
    return found.select(kept)


def _share_of(places: npt.NDArray[np.int64], share: float) -> npt.NDArray[np.int64]:
    """Return a share of some places, evenly spread over them."""
    count = np.floor(share * np.arange(1, len(places) + 1))
    return np.asarray(places[np.diff(count, prepend=0.0) > 0], np.int64)


def _left_out(most: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Return which candidates in a row are left out, each if fewer than `most` were before it.

    `most` never falls. The number left out up to a candidate is one more than before, or `most`.
    """
    places = np.arange(len(most))
    count = np.minimum(np.minimum.accumulate(most - places) + places, places + 1)
    return np.diff(count, prepend=0) > 0
