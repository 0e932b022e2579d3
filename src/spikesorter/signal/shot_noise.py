"""Distribution of matched filter outputs that spikes at random times and Gaussian noise give.

Cumulants of third and fourth order tell that small spikes are there, but not how many of which size. The
whole distribution does. By Campbell's theorem, the logarithm of its characteristic function is

    sum over the units of rate * sum over lags of (mean over amplitudes a of exp(i w a response(lag)) - 1)
    - w^2 * variance of the Gaussian noise / 2

at frequency w, however much the spikes overlap. So any rates and amplitudes can be compared with a recording
without simulating one, and the comparison has no random error but the recording's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy.optimize import least_squares, minimize_scalar

from spikesorter.signal.gain import (
    ACTIVITY_SPREAD,
    BACKGROUND_AMPLITUDES,
    LEAST_BACKGROUND_AMPLITUDE,
    MOST_BACKGROUND_AMPLITUDE,
    MOST_BACKGROUND_RATE,
    RATE_SPREAD,
    Background,
)
from spikesorter.signal.matched import MatchedFilters
from spikesorter.signal.templates import Templates

__all__ = ["BackgroundFit", "Histogram", "ShotNoise", "measure_histogram"]

Trace = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]
ComplexArray = npt.NDArray[np.complex128]
BLOCKS = 24
LARGEST, BIN = 12.0, 0.5  # SD of the noise
MODEL_ERROR = 0.02  # of the outputs in a bin: spikes are not quite independent, templates not quite right
RARE = 10.0  # outputs in a bin; fewer determine nothing
PERIOD, REACH = 128.0, 44.0  # SD; larger responses count as this large, so that two of them do not come round
NEGLIGIBLE = 1e-3  # SD
STEP = 1 / 16  # SD; responses are rounded to it, in proportion to the next two
FREQUENCIES = 2 * np.pi * np.arange(1, round(16.0 * PERIOD / (2 * np.pi))) / PERIOD
MIDDLES = np.arange(-LARGEST + BIN / 2, LARGEST, BIN)
WITHIN_BIN = 2 / PERIOD * BIN * np.sinc(FREQUENCIES * BIN / (2 * np.pi))  # a bin's share of each frequency
COSINES = WITHIN_BIN[:, None] * np.cos(np.outer(FREQUENCIES, MIDDLES))
SINES = WITHIN_BIN[:, None] * np.sin(np.outer(FREQUENCIES, MIDDLES))
LEAST_NOISE, MOST_NOISE = 0.1, 2.0  # variance; with less, higher frequencies would count
QUANTILES = 16  # of a unit's amplitudes
AMPLITUDES = np.geomspace(LEAST_BACKGROUND_AMPLITUDE, MOST_BACKGROUND_AMPLITUDE, 10)
MOST_STEPS = 30
AMPLITUDE_ERROR, GAIN_ERROR = 0.02, 0.005  # of their logarithms, when the best is found
LARGEST_GAIN_STEP = 0.25  # of the logarithm


@dataclass(frozen=True, eq=False)
class Histogram:
    """Share of each filter's outputs in bins of half an SD, with standard errors.

    Parameters
    ----------
    share, error : ndarray of float64, shape (filters, bins)
        The errors are those of the mean over blocks of the recording, as outputs near each other are alike.
    mean : ndarray of float64, shape (filters,)
        Of all outputs.
    """

    share: Float64Array
    error: Float64Array
    mean: Float64Array

    @property
    def bins(self) -> int:
        """Number of bins of one filter."""
        return int(self.share.shape[1])


@dataclass(frozen=True)
class BackgroundFit:
    """The background and the rates that explain a histogram best at some gain.

    Parameters
    ----------
    gain : float
    background : Background
    rates : tuple of float
        Spikes per sample of each unit.
    misfit : float
        Chi-squared of the histogram of one filter, and of the prior of the rates.
    """

    gain: float
    background: Background
    rates: tuple[float, ...]
    misfit: float


def measure_histogram(evidence: Trace) -> Histogram:
    """Measure the distribution of filter outputs.

    Parameters
    ----------
    evidence : ndarray of float32, shape (samples, filters)

    Returns
    -------
    Histogram

    Examples
    --------
    >>> noise = np.random.default_rng(0).standard_normal((100_000, 1)).astype(np.float32)
    >>> measure_histogram(noise).share[0, 24:27].round(2)  # 0 to 0.5, 1 and 1.5 SD
    array([0.19, 0.15, 0.09])
    """
    bins = round(2 * LARGEST / BIN)
    shares = []
    for block in np.array_split(evidence, BLOCKS):
        counts = []
        for column in block.T:  # bins of equal width: no search among the edges
            at = np.floor((column + np.float32(LARGEST)) / np.float32(BIN))
            counts.append(np.bincount(at[(at >= 0) & (at < bins)].astype(np.int64), minlength=bins))
        shares.append(np.stack(counts) / max(len(block), 1))
    share, error = np.mean(shares, axis=0), np.std(shares, axis=0, ddof=1) / np.sqrt(BLOCKS)
    count = max(len(evidence), 1)
    error = np.sqrt(error**2 + (MODEL_ERROR * share) ** 2 + (share + RARE / count) / count)
    return Histogram(share, error, evidence.mean(axis=0, dtype=np.float64))


@dataclass(frozen=True, eq=False)
class ShotNoise:
    """The spikes of units, as filters answer to them.

    Parameters
    ----------
    filters : MatchedFilters
    templates : Templates
        The templates that the filters were made from.
    amplitudes : sequence of ndarray of float32
        Relative amplitudes of each unit's spikes in the labelled recording.
    prior_rates : ndarray, shape (units,)
        Expected spikes per sample. They prevail where the recording is uninformative.
    """

    filters: MatchedFilters
    templates: Templates
    amplitudes: Sequence[npt.NDArray[np.float32]]
    prior_rates: Float64Array

    def fit_background(self, histogram: Histogram, *, gain: float) -> BackgroundFit:
        """Fit rate and amplitude of the background, and the units' rates.

        Parameters
        ----------
        histogram : Histogram
        gain : float
            Of the recording.

        Returns
        -------
        BackgroundFit
        """
        own = self._exponents_of_units(gain)
        tried = {}

        def misfit(log_amplitude: float) -> float:
            amplitude = gain * float(np.exp(log_amplitude))
            fit = tried[log_amplitude] = self._fit_rates(histogram, own, gain=gain, amplitude=amplitude)
            return fit.misfit

        logs = np.log(AMPLITUDES)
        best = int(np.argmin([misfit(log) for log in logs]))
        near = (logs[max(best - 1, 0)], logs[min(best + 1, len(logs) - 1)])
        minimize_scalar(misfit, bounds=near, method="bounded", options={"xatol": AMPLITUDE_ERROR})
        return min(tried.values(), key=lambda fit: fit.misfit)

    def fit_gain(self, histogram: Histogram, *, near: float) -> BackgroundFit:
        """Fit the gain too.

        Parameters
        ----------
        histogram : Histogram
        near : float
            A gain of the right polarity; gains up to a fourth larger or smaller are tried.

        Returns
        -------
        BackgroundFit
        """
        tried = {}

        def misfit(log_factor: float) -> float:
            fit = tried[log_factor] = self.fit_background(histogram, gain=near * float(np.exp(log_factor)))
            return fit.misfit

        bounds = (-LARGEST_GAIN_STEP, LARGEST_GAIN_STEP)
        minimize_scalar(misfit, bounds=bounds, method="bounded", options={"xatol": GAIN_ERROR})
        return min(tried.values(), key=lambda fit: fit.misfit)

    @cached_property
    def _responses(self) -> list[Float64Array]:
        """Outputs of the filters on each template, shape (lags, filters)."""
        padding = self.filters.kernels.shape[1]
        padded = [np.pad(one, ((padding, padding), (0, 0))) for one in self.templates.waveforms]
        return [self.filters.apply(one).astype(np.float64) for one in padded]

    def _exponents_of_units(self, gain: float) -> ComplexArray:
        """Return the exponents of each unit at a rate of 1, shape (units, filters, frequencies)."""
        middles = (np.arange(QUANTILES) + 0.5) / QUANTILES
        sizes = [gain * np.quantile(one.astype(np.float64), middles) for one in self.amplitudes]
        return np.stack([self._exponents(k, size) for k, size in enumerate(sizes)])

    def _exponents_of_background(self, amplitude: float) -> ComplexArray:
        """Return those of background spikes of some largest amplitude, shape (filters, frequencies)."""
        sizes = amplitude * BACKGROUND_AMPLITUDES[::5]
        units = range(len(self._responses))
        return np.asarray(np.mean([self._exponents(k, sizes) for k in units], axis=0))

    def _exponents(self, unit: int, sizes: Float64Array) -> ComplexArray:
        """Return sums over lags of the mean over sizes of exp(-i w v) - 1 + i w v, v = size * response.

        The values' histogram is transformed; a value between two points of the grid counts to both.
        """
        exponents, points = [], round(PERIOD / STEP)
        for response in self._responses[unit].T:
            there = response[np.abs(response) > NEGLIGIBLE]
            at = np.clip(np.outer(sizes, there).ravel(), -REACH, REACH) / STEP
            below = np.floor(at).astype(np.int64)
            above = at - below
            counts = np.bincount(below % points, 1 - above, points)
            counts += np.bincount((below + 1) % points, above, points)
            transform = np.fft.rfft(counts)[1 : len(FREQUENCIES) + 1]
            exponents.append((transform - len(at) + 1j * FREQUENCIES * STEP * at.sum()) / len(sizes))
        return np.stack(exponents)

    def _fit_rates(
        self, histogram: Histogram, own: ComplexArray, *, gain: float, amplitude: float
    ) -> BackgroundFit:
        """Fit all rates and the variance of the Gaussian noise, given the background's amplitude.

        All filters see the same spikes, so that together they count as one.
        """
        units, filters = len(own), len(histogram.share)
        shapes = np.concatenate([own, self._exponents_of_background(amplitude)[None]])
        power = -2 * shapes[-1, :, 0].real.mean() / FREQUENCIES[0] ** 2
        half_the_noise = min(0.5 / power, 0.5 * MOST_BACKGROUND_RATE)
        typical = np.concatenate([self.prior_rates, [half_the_noise], np.full(filters, 0.5)])
        least, most = np.zeros(len(typical)), np.full(len(typical), np.inf)
        most[units] = MOST_BACKGROUND_RATE / half_the_noise
        least[units + 1 :], most[units + 1 :] = LEAST_NOISE / 0.5, MOST_NOISE / 0.5
        weights = 1 / (histogram.error * np.sqrt(filters))
        prior = np.zeros((units + 1, len(typical)))
        prior[:units, :units] = (np.eye(units) - 1 / units) / RATE_SPREAD
        prior[units, :units] = 1 / units / ACTIVITY_SPREAD
        usual = prior @ np.ones(len(typical))

        def residuals(x: Float64Array) -> Float64Array:
            spectra = _spectra(x * typical, shapes, histogram.mean)
            return np.concatenate(
                [((_shares(spectra) - histogram.share) * weights).ravel(), prior @ x - usual]
            )

        def jacobian(x: Float64Array) -> Float64Array:
            slopes = _slopes(_spectra(x * typical, shapes, histogram.mean), shapes) * weights
            return np.vstack([slopes.reshape(len(x), -1).T * typical, prior])

        found = least_squares(
            residuals, np.ones(len(typical)), jacobian, bounds=(least, most), max_nfev=MOST_STEPS, ftol=1e-4
        )
        rates = found.x * typical
        background = Background(float(rates[units]), amplitude)
        return BackgroundFit(gain, background, tuple(rates[:units].tolist()), 2 * float(found.cost))


def _spectra(parameters: Float64Array, shapes: ComplexArray, mean: Float64Array) -> ComplexArray:
    """Return the characteristic functions (conjugated) of the filters' outputs.

    Parameters
    ----------
    parameters : ndarray, shape (sources + filters,)
        Rates of all sources, then the variance of the Gaussian noise of each filter's outputs.
    shapes : ndarray of complex128, shape (sources, filters, frequencies)
        The sources' exponents at a rate of 1.
    mean : ndarray, shape (filters,)
        Of the outputs.

    Returns
    -------
    ndarray of complex128, shape (filters, frequencies)
    """
    sources = len(shapes)
    spikes = np.tensordot(parameters[:sources], shapes, 1)
    gaussian = parameters[sources:, None] * FREQUENCIES**2 / 2
    return np.asarray(np.exp(spikes - gaussian - 1j * FREQUENCIES * mean[:, None]))


def _slopes(spectra: ComplexArray, shapes: ComplexArray) -> Float64Array:
    """Return the derivatives of the expected shares, shape (sources + filters, filters, bins)."""
    sources, filters = shapes.shape[:2]
    slopes = np.zeros((sources + filters, *spectra.shape), np.complex128)
    slopes[:sources] = shapes * spectra
    every = np.arange(filters)
    slopes[sources + every, every] = -(FREQUENCIES**2) / 2 * spectra
    return _binned(slopes)


def _shares(spectra: ComplexArray) -> Float64Array:
    """Return the share of each bin, by characteristic functions (conjugated, at frequencies above 0)."""
    return BIN / PERIOD + _binned(spectra)


def _binned(spectra: ComplexArray) -> Float64Array:
    """Return the integral of each frequency's part over each bin, summed."""
    return np.asarray(spectra.real @ COSINES - spectra.imag @ SINES)
