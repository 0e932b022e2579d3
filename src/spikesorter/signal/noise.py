"""Estimate the noise spectrum of a recording that contains spikes, and synthesise noise.

Neighbouring channels share much of their noise, more at some frequencies than at others. The spectrum is
therefore a matrix at each frequency, with a row and a column for each channel.

Spectral noise matching adds noise to the labelled recording until it is as noisy as the target
(`estimation.rehearsal`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import fft

from spikesorter.core.errors import InputError
from spikesorter.signal.filters import response_at
from spikesorter.signal.hermitian import clipped, factor, inverse_root

__all__ = ["NoiseSpectrum", "estimate_noise_spectrum", "quiet_samples", "synthesise_noise"]

Trace = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]
LEAST_RESPONSE = 0.05
LEAST_POWER = 1e-6  # of the mean, as there is some noise at every frequency
LEAST_OWN = 1e-6  # of the noisiest mixture of channels; the difference of two equal channels has no noise
DISTANCE_FLOOR = 1e-4
BLOCK_FREQUENCIES = 1 << 16
BLOCK_SAMPLES = 1 << 18


@dataclass(frozen=True, eq=False)
class NoiseSpectrum:
    """Power of a recording's noise at each frequency, and its correlation between channels.

    Parameters
    ----------
    density : ndarray of complex128, shape (frequencies, channels, channels)
        Hermitian, at the frequencies of `numpy.fft.rfftfreq(n_fft)`: the mean of ``x * y.conj()`` for the
        transforms x, y of two channels. White noise of variance v has v on the diagonal at all frequencies.

    Examples
    --------
    >>> quiet = NoiseSpectrum.independent(np.full((129, 2), 4.0))
    >>> quiet.n_fft, quiet.variance
    (256, array([4., 4.]))
    >>> round(quiet.distance(quiet.scaled(np.e**2)), 6)  # e times as loud
    1.0
    """

    density: npt.NDArray[np.complex128]

    @classmethod
    def independent(cls, power: npt.ArrayLike) -> NoiseSpectrum:
        """Make the spectrum of channels that share no noise.

        Parameters
        ----------
        power : array_like of float, shape (frequencies, channels)

        Returns
        -------
        NoiseSpectrum
        """
        columns = np.asarray(power, np.float64)
        return cls(np.asarray(columns[:, :, None] * np.eye(columns.shape[1]), np.complex128))

    @property
    def power(self) -> Float64Array:
        """Power of each channel, shape (frequencies, channels)."""
        return np.asarray(np.einsum("fcc->fc", self.density).real)

    @property
    def n_fft(self) -> int:
        """Length of the Fourier transform at whose frequencies the spectrum is given."""
        return 2 * (len(self.density) - 1)

    @property
    def covariance(self) -> Float64Array:
        """The channels' covariance, shape (channels, channels)."""
        both_sides = np.concatenate([self.density, self.density[-2:0:-1]])
        return np.asarray(both_sides.mean(axis=0).real)

    @property
    def variance(self) -> Float64Array:
        """The noise's variance, shape (channels,)."""
        return np.diagonal(self.covariance)

    def of_channels(self, columns: tuple[int, ...]) -> NoiseSpectrum:
        """Return the spectrum of some channels.

        Examples
        --------
        >>> NoiseSpectrum.independent(np.arange(9.0).reshape(3, 3)).of_channels((0, 2)).power[0]
        array([0., 2.])
        """
        kept = list(columns)
        return NoiseSpectrum(np.ascontiguousarray(self.density[:, kept][:, :, kept]))

    def floored(self, fraction: float | Float64Array) -> NoiseSpectrum:
        """Return the spectrum, raised to at least `fraction` of its mean over the frequencies.

        The fraction may differ from frequency to frequency.
        It is then safe to divide by it, even where there is hardly any noise, as outside a pass band.
        """
        values, vectors = np.linalg.eigh(self.covariance)
        root = np.sqrt(np.maximum(values, max(LEAST_OWN * values[-1], 1e-30)))
        whiten, colour = vectors / root, vectors * root
        lifted = clipped(whiten.T @ self.density @ whiten, fraction)
        return NoiseSpectrum(colour @ lifted @ colour.T)

    def at(self, n_fft: int) -> npt.NDArray[np.complex128]:
        """Return the density at the frequencies of another transform length."""
        return self._at(np.fft.rfftfreq(n_fft))

    def scaled(self, factor: float) -> NoiseSpectrum:
        """Return the spectrum with its power multiplied by a factor."""
        return NoiseSpectrum(self.density * factor)

    def minus(self, other: NoiseSpectrum) -> NoiseSpectrum:
        """Return this spectrum minus another; never negative."""
        return NoiseSpectrum(clipped(self.density - other.density, 0.0))

    def plus(self, other: NoiseSpectrum) -> NoiseSpectrum:
        """Return the spectrum of the sum of this noise and another, independent one."""
        return NoiseSpectrum(self.density + other.density)

    def unfiltered(self, kernel: Float64Array) -> NoiseSpectrum:
        """Return the spectrum before a symmetric filter; 0 where the filter passes little."""
        gain = response_at(kernel, self.n_fft)[:, None, None]
        passed = gain > LEAST_RESPONSE
        return NoiseSpectrum(np.where(passed, self.density / np.where(passed, gain, 1.0) ** 2, 0.0))

    def distance(self, other: NoiseSpectrum) -> float:
        """Return the mean absolute difference of the two spectra in nepers of amplitude; 0 for the same."""
        unlike = inverse_root(other.floored(DISTANCE_FLOOR).density)
        ratios = np.linalg.eigvalsh(unlike @ self.floored(DISTANCE_FLOOR).density @ unlike)
        return float(0.5 * np.mean(np.abs(np.log(ratios))))

    def _at(self, frequencies: npt.NDArray[Any]) -> npt.NDArray[np.complex128]:
        known, entries = np.fft.rfftfreq(self.n_fft), self.density.reshape(len(self.density), -1)
        wanted = np.stack([np.interp(frequencies, known, column) for column in entries.T], axis=1)
        return wanted.reshape(-1, *self.density.shape[1:])


def quiet_samples(
    evidence: Trace, *, threshold: float, before: int, after: int, least_fraction: float = 0.1
) -> npt.NDArray[np.bool_]:
    """Find the samples that are away from anything like a spike.

    Parameters
    ----------
    evidence : ndarray, shape (samples, columns)
        Curves that rise or fall at spikes, such as matched filters' outputs. Each is measured relative to its
        own median absolute deviation.
    threshold : float
        Samples above it belong to spikes. It is raised until at least `least_fraction` of the recording is
        quiet.
    before, after : int
        Samples before and after such a sample that are not quiet either.

    Returns
    -------
    ndarray of bool, shape (samples,)

    Examples
    --------
    >>> evidence = np.tile(np.float32([1, -1, 0, 2]), 25)[:, None]
    >>> evidence[50] = 60  # a spike
    >>> np.flatnonzero(~quiet_samples(evidence, threshold=4.5, before=2, after=5))
    array([48, 49, 50, 51, 52, 53, 54, 55])
    """
    loudness = reduce(np.maximum, (_loudness(evidence[:, [k]]) for k in range(evidence.shape[1])))
    while True:
        quiet = ~_widened(loudness > threshold, before, after)
        if quiet.mean() >= least_fraction or threshold > loudness.max():
            return quiet
        threshold *= 1.25


def _loudness(column: Trace) -> Trace:
    """Return how far one column, shape (samples, 1), is from its median, in robust SD."""
    deviation = np.abs(column - np.median(column, axis=0))
    loudness = deviation / np.maximum(1.4826 * np.median(deviation, axis=0), 1e-12)
    return np.asarray(loudness[:, 0], np.float32)


def estimate_noise_spectrum(
    trace: Trace, quiet: npt.NDArray[np.bool_], *, n_fft: int, block_samples: int = BLOCK_SAMPLES
) -> NoiseSpectrum:
    """Estimate the noise's spectrum from quiet samples only (Blackman and Tukey, with gaps).

    The autocovariance at each lag is the mean over all pairs of quiet samples at that lag, so gaps do not
    bias it. A Hann window over the lags smooths the spectrum.

    Parameters
    ----------
    trace : ndarray of float32, shape (samples, channels)
        Without drift or offset.
    quiet : ndarray of bool, shape (samples,)
        From `quiet_samples`.
    n_fft : int
        Even; half of it is the longest lag.
    block_samples : int
        Computed at once. A short trace takes less time with shorter blocks; they change the last digits.

    Returns
    -------
    NoiseSpectrum
        With n_fft // 2 + 1 frequencies.

    Raises
    ------
    InputError
        If fewer than `n_fft` samples are quiet.

    Examples
    --------
    >>> trace = np.random.default_rng(0).normal(scale=2.0, size=(50_000, 1)).astype(np.float32)
    >>> quiet = np.arange(50_000) % 1000 > 100  # 10 % are left out
    >>> estimate_noise_spectrum(trace, quiet, n_fft=256).variance.round(1)
    array([4.])
    """
    if quiet.sum() < n_fft:
        raise InputError(
            f"noise: only {int(quiet.sum())} samples are away from spikes, but {n_fft} are needed to "
            "estimate the noise; is the recording too short?"
        )
    lags = n_fft // 2 + 1
    mask = quiet.astype(np.float32)
    masked = trace * mask[:, None]
    if quiet.all():  # then there are as many pairs as fit in
        pairs = np.maximum(len(trace) - np.arange(lags, dtype=np.float64), 1.0)[:, None, None]
    else:
        pairs = np.maximum(_correlations(mask[:, None], lags, block_samples), 1.0)
    window = 0.5 + 0.5 * np.cos(np.pi * np.arange(lags) / (lags - 1))
    smooth = _correlations(masked, lags, block_samples) / pairs * window[:, None, None]
    circular = np.concatenate([smooth, smooth[-2:0:-1].transpose(0, 2, 1)])
    density = fft.rfft(circular, axis=0)
    return NoiseSpectrum((density + density.conj().transpose(0, 2, 1)) / 2).floored(LEAST_POWER)


def synthesise_noise(spectrum: NoiseSpectrum, n_samples: int, rng: np.random.Generator) -> Trace:
    """Synthesise Gaussian noise of a given spectrum.

    Parameters
    ----------
    spectrum : NoiseSpectrum
    n_samples : int
    rng : numpy.random.Generator

    Returns
    -------
    ndarray of float32, shape (n_samples, channels)

    Examples
    --------
    >>> white = NoiseSpectrum.independent(np.full((129, 1), 4.0))
    >>> synthesise_noise(white, 100_000, np.random.default_rng(0)).std().round(1)
    np.float32(2.0)
    """
    length = fft.next_fast_len(
        n_samples + spectrum.n_fft, real=True
    )  # the end, which wraps around, is cut off
    white = rng.standard_normal((spectrum.density.shape[1], length), dtype=np.float32)
    transform, frequencies = fft.rfft(white, axis=1), np.fft.rfftfreq(length)
    for first in range(0, len(frequencies), BLOCK_FREQUENCIES):
        block = slice(first, first + BLOCK_FREQUENCIES)
        mixed = factor(spectrum._at(frequencies[block])).astype(np.complex64)
        transform[:, block] = np.einsum("fab,bf->af", mixed, transform[:, block])
    coloured = fft.irfft(transform, n=length, axis=1)
    return np.ascontiguousarray(coloured[:, :n_samples].T, np.float32)


def _widened(mask: npt.NDArray[np.bool_], before: int, after: int) -> npt.NDArray[np.bool_]:
    """Mark `before` samples before and `after` samples after each marked one as well."""
    n_samples, marked = len(mask), np.flatnonzero(mask)
    changes = np.bincount(np.maximum(marked - before, 0), minlength=n_samples + 1)
    changes -= np.bincount(np.minimum(marked + after + 1, n_samples), minlength=n_samples + 1)
    return np.cumsum(changes, out=changes)[:n_samples] > 0


def _correlations(trace: Trace, lags: int, block: int) -> Float64Array:
    """Return the sums over time of ``x(t + lag) * y(t)``, shape (lags, channels of x, channels of y).

    They are computed in blocks to save memory.
    """
    total = np.zeros((lags, trace.shape[1], trace.shape[1]))
    length = fft.next_fast_len(block + lags, real=True)
    for start in range(0, len(trace), block):
        head = fft.rfft(trace[start : start + block].astype(np.float64), n=length, axis=0)
        both = fft.rfft(trace[start : start + block + lags].astype(np.float64), n=length, axis=0)
        products = both[:, :, None] * head[:, None, :].conj()
        total += fft.irfft(products, n=length, axis=0)[:lags]
    return total
