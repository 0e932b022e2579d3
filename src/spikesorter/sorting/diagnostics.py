"""Diagnostics of a sorting: precision and recall at each threshold, calibration, confusion of units.

They are measured on a rehearsal, so no labels of the target are needed. They can also be measured on a target
whose true spikes are known.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from spikesorter.core.score import match_spikes, score
from spikesorter.core.spikes import Spikes
from spikesorter.decoding.calibration import TOLERANCE_MS
from spikesorter.decoding.candidates import Candidates

__all__ = ["Diagnostics", "Reliability", "TradeOff", "diagnose", "measure_reliability", "measure_trade_off"]

POINTS = 101
BINS = 10
Float64Array = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class TradeOff:
    """Precision and recall at each threshold.

    Parameters
    ----------
    threshold, precision, recall : ndarray of float64, shape (points,)
        In order of threshold. A spike is correct if a true spike of its unit starts within 0.4 ms.
    """

    threshold: Float64Array
    precision: Float64Array
    recall: Float64Array


@dataclass(frozen=True, eq=False)
class Reliability:
    """Stated probabilities and shares of correct spikes (a reliability diagram).

    Parameters
    ----------
    stated : ndarray of float64, shape (bins,)
        Mean probability of the spikes in each tenth of the range; NaN if there are none.
    right : ndarray of float64, shape (bins,)
        Share of these spikes that are correct; NaN if there are none.
    events : ndarray of int64, shape (bins,)
    """

    stated: Float64Array
    right: Float64Array
    events: npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Diagnostics:
    """Result of sorting a rehearsal that was not used in training or tuning.

    Parameters
    ----------
    unit_ids : tuple of int
    confusion : ndarray of int64, shape (units + 1, units + 1)
        As in `Score`.
    precision, recall : float
        At the tuned thresholds. A spike is correct if a true spike of its unit starts within 0.4 ms.
    trade_off : TradeOff
        For all candidates, including those below the thresholds.
    reliability : Reliability
        Of reported spikes.
    noise : ndarray of float64, shape (frequencies, channels)
        Power of the rehearsal's noise, as in `NoiseSpectrum`.
    """

    unit_ids: tuple[int, ...]
    confusion: npt.NDArray[np.int64]
    precision: float
    recall: float
    trade_off: TradeOff
    reliability: Reliability
    noise: Float64Array


def diagnose(
    candidates: Candidates, truth: Spikes, found: Spikes, *, noise: Float64Array, fs_hz: float
) -> Diagnostics:
    """Compare the spikes found in a rehearsal with the true ones.

    Parameters
    ----------
    candidates : Candidates
        With calibrated probabilities.
    truth : Spikes
    found : Spikes
        Reported spikes.
    noise : ndarray of float64, shape (frequencies, channels)
    fs_hz : float

    Returns
    -------
    Diagnostics
    """
    every = Spikes(candidates.sample, candidates.unit, candidates.probability, candidates.unit_probability)
    whole, right = score(truth, found, fs_hz=fs_hz), _right(truth, found, fs_hz)
    return Diagnostics(
        unit_ids=whole.unit_ids,
        confusion=whole.confusion,
        precision=_share(right.sum(), len(found)),
        recall=_share(right.sum(), len(truth)),
        trade_off=measure_trade_off(truth, every, fs_hz=fs_hz),
        reliability=measure_reliability(truth, found, fs_hz=fs_hz),
        noise=noise,
    )


def measure_trade_off(truth: Spikes, found: Spikes, *, fs_hz: float) -> TradeOff:
    """Measure precision and recall at each threshold from the lowest probability found.

    Parameters
    ----------
    truth, found : Spikes
    fs_hz : float

    Returns
    -------
    TradeOff

    Examples
    --------
    >>> truth = Spikes.from_arrays([100, 300], [1, 1])
    >>> found = Spikes.from_arrays([100, 200], [1, 1], [0.9, 0.5])
    >>> curve = measure_trade_off(truth, found, fs_hz=25_000.0)
    >>> curve.precision[[0, -1]], curve.recall[[0, -1]]
    (array([0.5, 1. ]), array([0.5, 0.5]))
    """
    if len(found) == 0:
        return TradeOff(*(np.zeros(0) for _ in range(3)))
    right, probability = _right(truth, found, fs_hz), found.joint.astype(np.float64)
    order = np.argsort(-probability, kind="stable")
    hits, stated = np.cumsum(right[order]), probability[order]
    last = np.append(
        np.flatnonzero(np.diff(stated)), len(stated) - 1
    )  # spikes of equal probability are reported together
    chosen = last[np.unique(np.linspace(len(last) - 1, 0, POINTS).round().astype(int))[::-1]]
    return TradeOff(
        stated[chosen], hits[chosen] / (chosen + 1.0), hits[chosen] / np.float64(max(len(truth), 1))
    )


def measure_reliability(truth: Spikes, found: Spikes, *, fs_hz: float) -> Reliability:
    """Measure the share of correct spikes (present, and of their unit) among those of similar probability.

    Parameters
    ----------
    truth, found : Spikes
    fs_hz : float

    Returns
    -------
    Reliability

    Examples
    --------
    >>> truth = Spikes([100, 300, 500], [1, 1, 1])
    >>> found = Spikes([100, 300, 500, 700], [1, 1, 1, 1], [0.75, 0.75, 0.75, 0.75])
    >>> reliability = measure_reliability(truth, found, fs_hz=25_000.0)
    >>> reliability.stated[7], reliability.right[7], reliability.events[7]
    (np.float64(0.75), np.float64(0.75), np.int64(4))
    """
    stated, right = found.joint.astype(np.float64), _right(truth, found, fs_hz)
    bin_of = np.minimum((stated * BINS).astype(np.int64), BINS - 1)
    events = np.bincount(bin_of, minlength=BINS)
    of = np.where(events, events, np.nan)
    total, hits = (np.bincount(bin_of, weights=values, minlength=BINS) for values in (stated, right))
    return Reliability(total / of, hits / of, events.astype(np.int64))


def _right(truth: Spikes, found: Spikes, fs_hz: float) -> npt.NDArray[np.bool_]:
    """Return which spikes match a true spike of their unit; each true spike is matched once."""
    reach = np.round(TOLERANCE_MS * fs_hz / 1000, 6)
    right = np.zeros(len(found), bool)
    for unit in found.unit_ids:
        own = np.flatnonzero(found.unit == unit)
        _, j = match_spikes(truth.of(unit).sample, found.sample[own], tolerance_samples=reach)
        right[own[j]] = True
    return right


def _share(part: np.int64, whole: int) -> float:
    return float(part) / whole if whole else 0.0
