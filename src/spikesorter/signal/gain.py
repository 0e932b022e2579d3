"""Estimate gain and firing rates of an unlabelled recording from cumulants of matched filter outputs.

Spikes at random times are shot noise. By Campbell's theorem, the n-th cumulant of a filter's output is the
sum over the units of rate * (gain * amplitude)^n * (sum of the n-th power of the filter's response to the
template), however much the spikes overlap. Cumulants of Gaussian noise are 0 from the third on. Rates and
gain can therefore be estimated without detecting spikes, even if most spikes are hidden in noise.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial, reduce

import numpy as np
import numpy.typing as npt
from scipy.optimize import nnls
from scipy.signal import find_peaks

from spikesorter.signal.matched import MatchedFilters
from spikesorter.signal.templates import Templates

__all__ = [
    "BACKGROUND_AMPLITUDES",
    "SILENT",
    "Activity",
    "Background",
    "Cumulants",
    "estimate_activity",
    "estimate_rates",
    "is_skewed",
    "measure_cumulants",
]

Trace = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]
ORDERS = (3, 4)
BLOCKS = 24
CHUNK = 1 << 16  # samples
LOG_GAIN_SD, MOST_SURPRISE = 0.35, 9.0  # prior: most gains are within a factor of 1.4, but any is possible
GAINS = np.exp(np.linspace(np.log(0.05), np.log(20), 121))
RATE_SPREAD = 0.5  # relative SD of a unit's rate about the recording's overall activity
ACTIVITY_SPREAD = 1.0  # relative SD of the overall activity
BACKGROUND_AMPLITUDES = np.linspace(0.2, 1.0, 81)
LEAST_BACKGROUND_AMPLITUDE, MOST_BACKGROUND_AMPLITUDE = 0.05, 0.6  # relative to the sorted units
MOST_BACKGROUND_RATE = 0.5  # spikes per sample; bounds time and memory for any recording
LEAST_SKEW = (
    0.05  # of the noise; smaller values may come from small errors of the templates, and are harmless
)
LEAST_SIGNIFICANCE = 4.0
CLEAR_DETECTABILITY = 5.0  # nearly all spikes of this d' are found, so their amplitudes are unbiased
CLEAR_DISTANCE_SAMPLES = 20
CLEAR_SPIKES = 50
GAIN_ROUNDS, GAIN_TOLERANCE = 20, 0.003
MODEL_ERROR = 0.03  # relative: templates, independence of spikes


@dataclass(frozen=True)
class Activity:
    """Gain and firing rates of a recording, compared with the labelled recording.

    Parameters
    ----------
    gain : float
        Factor on all templates; negative if the polarity is inverted.
    rates : tuple of float
        Spikes per sample of each unit.
    wander : float
        Relative SD of the gain over time, beyond the spread of amplitudes in the labelled recording.

    Examples
    --------
    >>> activity = Activity(gain=0.8, rates=(0.001, 0.0004))
    >>> [round(rate * 25_000) for rate in activity.rates]  # spikes per second, at 25 kHz
    [25, 10]
    """

    gain: float
    rates: tuple[float, ...]
    wander: float = 0.0


@dataclass(frozen=True)
class Background:
    """Spikes of distant units, too small and too many to be sorted, but not Gaussian noise.

    They are assumed to have the templates of the labelled units, each equally often.

    Parameters
    ----------
    rate : float
        Spikes per sample, of all together.
    amplitude : float
        Largest relative amplitude. Amplitudes are uniform from `BACKGROUND_AMPLITUDES[0]` times this value up
        to this value. Negative if the polarity is inverted.

    Examples
    --------
    >>> Background(rate=0.02, amplitude=0.3).rate * 25_000  # spikes per second, at 25 kHz
    500.0
    """

    rate: float
    amplitude: float


SILENT = Background(0.0, 0.0)
"""No background spikes."""


@dataclass(frozen=True, eq=False)
class Cumulants:
    """Third cumulants of all filters' outputs, then the fourth, with their standard errors."""

    value: Float64Array
    error: Float64Array


def estimate_activity(
    evidence: Trace,
    filters: MatchedFilters,
    templates: Templates,
    amplitudes: list[npt.NDArray[np.float32]],
    *,
    prior_rates: npt.NDArray[np.float64],
) -> Activity:
    """Estimate gain and firing rates.

    Parameters
    ----------
    evidence : ndarray of float32, shape (samples, units)
        Output of `filters` on the recording.
    filters : MatchedFilters
    templates : Templates
        The templates that the filters were made from.
    amplitudes : list of ndarray of float32
        Relative amplitudes of each unit's spikes in the labelled recording.
    prior_rates : ndarray, shape (units,)
        Expected spikes per sample. They prevail where the recording is uninformative.

    Returns
    -------
    Activity

    Examples
    --------
    A recording at half the gain, with 100 spikes per second of one unit:

    >>> from spikesorter.core.spikes import Spikes
    >>> from spikesorter.signal.matched import make_matched_filters
    >>> from spikesorter.signal.noise import NoiseSpectrum, synthesise_noise
    >>> from spikesorter.signal.templates import plant
    >>> templates = Templates((1,), np.float32([[[20], [10], [-5]]]), before=0)
    >>> noise = NoiseSpectrum.independent(np.ones((65, 1)))
    >>> rng = np.random.default_rng(0)
    >>> spikes = Spikes.from_arrays(rng.integers(0, 100_000, 400), np.ones(400))
    >>> trace = plant(100_000, spikes, np.full(400, 0.5, np.float32), templates)
    >>> trace += synthesise_noise(noise, 100_000, rng)
    >>> filters = make_matched_filters(templates, noise, reach=8)
    >>> activity = estimate_activity(
    ...     filters.apply(trace), filters, templates, [np.ones(1, np.float32)], prior_rates=np.array([0.002])
    ... )
    >>> round(activity.gain, 1), round(activity.rates[0] * 25_000)
    (0.5, 97)
    """
    measured = measure_cumulants(evidence)
    error = np.sqrt(measured.error**2 + (MODEL_ERROR * measured.value) ** 2)
    response = _responses(filters, templates, amplitudes)
    candidates = [
        _fit_rates(polarity * float(gain), measured.value, error, response, prior_rates)
        for polarity in (1, -1)
        for gain in GAINS
    ]
    _, gain, rates = min(candidates)
    gain = _gain_of_clear_spikes(evidence, filters, gain, rates)
    _, gain, rates = _fit_rates(gain, measured.value, error, response, prior_rates)
    return Activity(gain, rates)


def estimate_rates(
    measured: Cumulants,
    filters: MatchedFilters,
    templates: Templates,
    amplitudes: list[npt.NDArray[np.float32]],
    *,
    gain: float,
    prior_rates: npt.NDArray[np.float64],
) -> Activity:
    """Estimate firing rates for a known gain; parameters as for `estimate_activity`.

    `measured` are the cumulants of the filters' outputs on the whole recording.
    """
    error = np.sqrt(measured.error**2 + (MODEL_ERROR * measured.value) ** 2)
    response = _responses(filters, templates, amplitudes)
    return Activity(gain, _fit_rates(gain, measured.value, error, response, prior_rates)[2])


def is_skewed(quiet: Cumulants, expected: Cumulants, *, gain: float) -> bool:
    """Return whether quiet parts of a recording are more skewed than expected, as by background spikes.

    Parameters
    ----------
    quiet : Cumulants
        Of the filters' outputs on the quiet parts.
    expected : Cumulants
        The same of a rehearsal without background.
    gain : float
        Of the recording; its sign is the polarity.

    Returns
    -------
    bool
    """
    third = slice(0, len(quiet.value) // len(ORDERS))
    excess = (quiet.value - expected.value)[third]
    error = np.maximum(np.hypot(quiet.error, expected.error)[third], 1e-12)
    enough = np.sign(gain) * excess.mean() > LEAST_SKEW
    return bool(enough and abs((excess / error).mean()) >= LEAST_SIGNIFICANCE)


def _fit_rates(
    gain: float,
    mean: Float64Array,
    error: Float64Array,
    response: Float64Array,
    prior_rates: npt.NDArray[np.float64],
) -> tuple[float, float, tuple[float, ...]]:
    """Return misfit, gain, and the rates that explain the cumulants best at this gain.

    The last unknown is the recording's overall activity, to which the prior of each rate is proportional.
    """
    n_units = len(prior_rates)
    powers = np.repeat([gain**n for n in ORDERS], n_units)
    fit = np.column_stack([response * powers[:, None] / error[:, None], np.zeros(len(mean))])
    tied = np.column_stack([np.diag(1 / prior_rates), -np.ones(n_units)]) / RATE_SPREAD
    usual = np.eye(n_units + 1)[-1] / ACTIVITY_SPREAD
    right = np.concatenate([mean / error, np.zeros(n_units), [1 / ACTIVITY_SPREAD]])
    solution, misfit = nnls(np.vstack([fit, tied, usual]), right)
    surprise = min((np.log(abs(gain)) / LOG_GAIN_SD) ** 2, MOST_SURPRISE)
    return misfit**2 + surprise, gain, tuple(solution[:-1].tolist())


def _gain_of_clear_spikes(
    evidence: Trace, filters: MatchedFilters, gain: float, rates: tuple[float, ...]
) -> float:
    """Correct a gain by the amplitudes of clear spikes, if there are enough of them.

    Spikes are found and assigned to units by the linear discriminants of Franke et al. (2015), doi
    10.1007/s10827-015-0547-7. The median amplitude is robust against overlaps.
    """
    for _ in range(GAIN_ROUNDS):
        expected = gain * filters.detectability
        discriminants = partial(_discriminants, expected=expected, log_rates=np.log(np.maximum(rates, 1e-9)))
        best = np.empty(len(evidence), np.float32)
        for start in range(0, len(evidence), CHUNK):  # all at once, they would take 20 bytes a value
            chunk = slice(start, start + CHUNK)
            best[chunk] = reduce(np.maximum, discriminants(evidence[chunk]).T)
        peaks, _ = find_peaks(best, height=0.0, distance=CLEAR_DISTANCE_SAMPLES)
        winner = discriminants(evidence[peaks]).argmax(axis=1)
        clear = np.abs(expected[winner]) > CLEAR_DETECTABILITY
        if clear.sum() < CLEAR_SPIKES:
            return gain
        amplitudes = evidence[peaks, winner][clear] / filters.detectability[winner[clear]]
        before, gain = gain, float(np.median(amplitudes))
        if abs(gain / before - 1) < GAIN_TOLERANCE:
            break
    return gain


def _discriminants(evidence: Trace, *, expected: Float64Array, log_rates: Float64Array) -> Trace:
    return np.asarray(evidence * expected - 0.5 * expected**2 + log_rates, np.float32)


def measure_cumulants(evidence: Trace) -> Cumulants:
    """Measure the third and fourth cumulants of each column, with errors from their spread over blocks.

    Parameters
    ----------
    evidence : ndarray of float32, shape (samples, filters)

    Returns
    -------
    Cumulants
        Of shape (2 * filters,).

    Examples
    --------
    Of exponential noise of mean 1 they are 2 and 6; of Gaussian noise, 0:

    >>> noise = np.random.default_rng(0).exponential(size=(200_000, 1)).astype(np.float32)
    >>> found = measure_cumulants(noise)
    >>> np.abs(found.value - [2, 6]) < 4 * found.error
    array([ True,  True])
    """
    mean = evidence.mean(axis=0, dtype=np.float64)
    values = []
    for block in np.array_split(evidence, BLOCKS):
        centred = block - mean
        square = centred * centred
        m2, m3, m4 = (power.mean(axis=0) for power in (square, square * centred, square * square))
        values.append(np.concatenate([m3, m4 - 3 * m2**2]))
    return Cumulants(np.mean(values, axis=0), np.std(values, axis=0, ddof=1) / np.sqrt(BLOCKS))


def _responses(
    filters: MatchedFilters, templates: Templates, amplitudes: list[npt.NDArray[np.float32]]
) -> Float64Array:
    """Return the cumulants at rate 1 and gain 1, shape (orders * filters, units)."""
    return _powers(filters, templates, amplitudes, orders=ORDERS)


def _powers(
    filters: MatchedFilters,
    templates: Templates,
    amplitudes: list[npt.NDArray[np.float32]],
    *,
    orders: tuple[int, ...],
) -> Float64Array:
    """Return sums of powers of the filters' responses to each template, (orders * filters, units)."""
    columns = []
    for waveform, amplitude in zip(templates.waveforms, amplitudes, strict=True):
        padding = filters.kernels.shape[1]
        response = filters.apply(np.pad(waveform, ((padding, padding), (0, 0)))).astype(np.float64)
        columns.append(
            np.concatenate(
                [(response**n).sum(axis=0) * np.mean(amplitude.astype(float) ** n) for n in orders]
            )
        )
    return np.stack(columns, axis=1)
