"""Gain and firing rates of an unlabelled recording, from the cumulants of its matched-filter outputs.

Spikes at random times are shot noise: by Campbell's theorem, the n-th cumulant of a filter's output is the
sum over the classes of rate * (gain * size)^n * (sum of the filter's n-th power response to the shape),
however much the spikes overlap; Gaussian noise adds nothing from the third cumulant on. So rates and
gain follow without detecting a single spike, also where most spikes drown in the noise.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import nnls
from scipy.signal import find_peaks

from spikesorter.signal.matched import MatchedFilters
from spikesorter.signal.templates import Templates

__all__ = ["Activity", "estimate_activity"]

Trace = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]
ORDERS = (3, 4)
BLOCKS = 24
LOG_GAIN_SD = 0.35  # prior: most targets have a gain within a factor of 1.4
GAINS = np.exp(np.linspace(np.log(0.4), np.log(2.5), 93))
RATE_SPREAD = 0.5  # relative, of a class about the recording's overall activity
ACTIVITY_SPREAD = 1.0  # relative
CLEAR_DETECTABILITY = 5.0  # a spike of this d' is found nearly always, so that its size is not biased
CLEAR_DISTANCE_SAMPLES = 20
CLEAR_SPIKES = 50
MODEL_ERROR = 0.03  # relative: shapes, independence of spikes


@dataclass(frozen=True)
class Activity:
    """How large and how many a recording's spikes are, compared with the labelled recording.

    Parameters
    ----------
    gain : float
        Factor on all shapes; negative where the polarity is turned.
    rates : tuple of float
        Spikes per sample of each class.
    """

    gain: float
    rates: tuple[float, ...]


def estimate_activity(
    evidence: Trace,
    filters: MatchedFilters,
    templates: Templates,
    sizes: list[npt.NDArray[np.float32]],
    *,
    prior_rates: npt.NDArray[np.float64],
) -> Activity:
    """Estimate gain and firing rates.

    Parameters
    ----------
    evidence : ndarray of float32, shape (samples, classes)
        Output of `filters` on the recording.
    filters : MatchedFilters
    templates : Templates
        The shapes that the filters were made from.
    sizes : list of ndarray of float32
        Relative sizes of each class's spikes in the labelled recording.
    prior_rates : ndarray, shape (classes,)
        Spikes per sample expected without further knowledge; what the recording does not say is filled
        in from here.

    Returns
    -------
    Activity
    """
    mean, error = _cumulants(evidence)
    response = _responses(filters, templates, sizes)
    error = np.sqrt(error**2 + (MODEL_ERROR * mean) ** 2)
    candidates = [
        _fit_rates(polarity * gain, mean, error, response, prior_rates)
        for polarity in (1, -1)
        for gain in GAINS
    ]
    _, gain, rates = min(candidates)
    gain = _gain_of_clear_spikes(evidence, filters, gain, rates)
    _, gain, rates = _fit_rates(gain, mean, error, response, prior_rates)
    return Activity(gain, rates)


def _fit_rates(
    gain: float,
    mean: Float64Array,
    error: Float64Array,
    response: Float64Array,
    prior_rates: npt.NDArray[np.float64],
) -> tuple[float, float, tuple[float, ...]]:
    """Misfit, gain and the rates that explain the cumulants best if that is the gain.

    The last unknown is the recording's overall activity: rates are drawn to it times the prior's.
    """
    n_classes = len(prior_rates)
    powers = np.repeat([gain**n for n in ORDERS], n_classes)
    fit = np.column_stack([response * powers[:, None] / error[:, None], np.zeros(len(mean))])
    tied = np.column_stack([np.diag(1 / prior_rates), -np.ones(n_classes)]) / RATE_SPREAD
    usual = np.eye(n_classes + 1)[-1] / ACTIVITY_SPREAD
    right = np.concatenate([mean / error, np.zeros(n_classes), [1 / ACTIVITY_SPREAD]])
    solution, misfit = nnls(np.vstack([fit, tied, usual]), right)
    return misfit**2 + (np.log(abs(gain)) / LOG_GAIN_SD) ** 2, gain, tuple(solution[:-1].tolist())


def _gain_of_clear_spikes(
    evidence: Trace, filters: MatchedFilters, gain: float, rates: tuple[float, ...]
) -> float:
    """Sharpen a gain by the sizes of the spikes that nothing can hide, where there are enough of them.

    Spikes are found and named by the linear discriminants of Franke et al. (2015), doi
    10.1007/s10827-015-0547-7; the median of their sizes is robust against the overlapping ones.
    """
    for _ in range(2):
        expected = gain * filters.detectability
        log_rates = np.log(np.maximum(rates, 1e-9))
        discriminant = (evidence * expected - 0.5 * expected**2 + log_rates).astype(np.float32)
        best = discriminant.max(axis=1)
        peaks, _ = find_peaks(best, height=0.0, distance=CLEAR_DISTANCE_SAMPLES)
        winner = discriminant[peaks].argmax(axis=1)
        clear = np.abs(expected[winner]) > CLEAR_DETECTABILITY
        if clear.sum() < CLEAR_SPIKES:
            return gain
        sizes = evidence[peaks, winner][clear] / filters.detectability[winner[clear]]
        gain = float(np.median(sizes))
    return gain


def _cumulants(evidence: Trace) -> tuple[Float64Array, Float64Array]:
    """Mean and standard error of the third and fourth cumulants of each column, from blocks."""
    blocks = np.array_split(evidence.astype(np.float64), BLOCKS)
    values = []
    for block in blocks:
        centred = block - evidence.mean(axis=0)
        m2, m3, m4 = ((centred**n).mean(axis=0) for n in (2, 3, 4))
        values.append(np.concatenate([m3, m4 - 3 * m2**2]))
    return np.mean(values, axis=0), np.std(values, axis=0, ddof=1) / np.sqrt(BLOCKS)


def _responses(
    filters: MatchedFilters, templates: Templates, sizes: list[npt.NDArray[np.float32]]
) -> Float64Array:
    """Cumulants per unit rate at gain 1, shape (orders * filters, classes)."""
    columns = []
    for waveform, size in zip(templates.waveforms, sizes, strict=True):
        padding = filters.kernels.shape[1]
        response = filters.apply(np.pad(waveform, ((padding, padding), (0, 0)))).astype(np.float64)
        columns.append(
            np.concatenate([(response**n).sum(axis=0) * np.mean(size.astype(float) ** n) for n in ORDERS])
        )
    return np.stack(columns, axis=1)
