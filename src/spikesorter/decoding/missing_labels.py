"""Estimate how many spikes the labels lack, and do not count as false what is found of them.

The clearest spikes are found whatever the noise. If some of those in the labelled recording have no label,
the labeller left them out; and then as large a share of the others, too.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from spikesorter.core.spikes import Spikes
from spikesorter.decoding.calibration import judge_events
from spikesorter.decoding.candidates import Candidates

__all__ = ["MOST_BELIEVED", "missing_share", "without_missing"]

CLEAREST = 0.2  # share of the labelled spikes that count as clear
STANDARD_ERRORS = 3.0  # by which the share has to differ from 0
MOST_BELIEVED = 0.1
"""Largest share that is taken for missing labels; beyond it, another neuron may look like a labelled one."""
LIKELY = 0.5  # probability from which on a spike without a label may be one of the missing


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
    there, right = judge_events(found.sample, found.unit, labels, fs_hz=fs_hz)
    if not right.any():
        return 0.0
    clear = found.joint >= np.quantile(found.joint[right], 1 - CLEAREST)
    share, count = float(np.mean(~there[clear])), int(clear.sum())
    error = float(np.sqrt(share * (1 - share) / count))
    return share if share > STANDARD_ERRORS * error else 0.0


def without_missing(found: Candidates, labels: Spikes, share: float, *, fs_hz: float) -> Candidates:
    """Return the candidates without those that are probably spikes whose label is missing.

    They are neither right nor wrong. Of each unit the most probable ones without a label are left out, as
    many as labels should be missing of spikes that are found.

    Parameters
    ----------
    found : Candidates
    labels : Spikes
    share : float
        From `missing_share`.
    fs_hz : float

    Returns
    -------
    Candidates

    Examples
    --------
    >>> found = Candidates.from_arrays([100, 300, 500, 700], [1] * 4, [0.9, 0.8, 0.9, 0.6], [1.0] * 4)
    >>> without_missing(found, Spikes.from_arrays([100, 300], [1, 1]), 1 / 3, fs_hz=25_000).sample
    array([100, 300, 700])
    """
    if share == 0:
        return found
    there, right = judge_events(found.sample, found.unit, labels, fs_hz=fs_hz)
    likely = found.joint >= LIKELY
    kept = np.ones(len(found), bool)
    for unit in labels.unit_ids:
        own = likely & (found.unit == unit)
        lacking = round(int((own & right).sum()) * share / (1 - share))
        kept[_most_probable(found, own & ~there, lacking)] = False
    return found.select(kept)


def _most_probable(found: Candidates, among: npt.NDArray[np.bool_], count: int) -> npt.NDArray[np.int64]:
    """Return the places of the most probable candidates among some; of equal ones the earliest."""
    places = np.flatnonzero(among)
    return np.asarray(places[np.argsort(-found.joint[places], kind="stable")[:count]], np.int64)
