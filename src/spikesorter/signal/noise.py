"""The spectrum of a recording's noise, robust against its spikes, and noise of a given spectrum.

Spectral noise matching: the noise of a target, laid on the labelled recording, gives a labelled
recording that is as noisy as the target (`rehearsal`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import fft

from spikesorter.errors import InputError

__all__ = ["NoiseSpectrum", "estimate_noise_spectrum", "quiet_samples", "synthesise_noise"]

Trace = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]
LEAST_RESPONSE = 0.05


@dataclass(frozen=True, eq=False)
class NoiseSpectrum:
    """Power of a recording's noise at each frequency.

    Parameters
    ----------
    power : ndarray of float64, shape (frequencies, channels)
        At the frequencies of `numpy.fft.rfftfreq(n_fft)`, positive; white noise of variance v has v
        everywhere.
    """

    power: Float64Array

    @property
    def n_fft(self) -> int:
        """Length of the Fourier transform whose frequencies the spectrum has."""
        return 2 * (len(self.power) - 1)

    @property
    def variance(self) -> Float64Array:
        """The noise's variance, shape (channels,)."""
        both_sides = np.concatenate([self.power, self.power[-2:0:-1]])
        return np.asarray(both_sides.mean(axis=0))

    def floored(self, fraction: float) -> NoiseSpectrum:
        """Return the spectrum, lifted to at least `fraction` of its mean power (white noise added where
        there is next to none, as outside a band-pass), so that dividing by it is safe.
        """
        return NoiseSpectrum(np.maximum(self.power, fraction * self.variance))

    def at(self, n_fft: int) -> Float64Array:
        """Return the power at the frequencies of another transform length, shape (n_fft//2+1, channels)."""
        wanted, known = np.fft.rfftfreq(n_fft), np.fft.rfftfreq(self.n_fft)
        return np.stack([np.interp(wanted, known, column) for column in self.power.T], axis=1)

    def scaled(self, factor: float) -> NoiseSpectrum:
        """Return the spectrum with its power multiplied by a factor."""
        return NoiseSpectrum(self.power * factor)

    def minus(self, other: NoiseSpectrum) -> NoiseSpectrum:
        """Return what is missing from `other` to have this power: never negative."""
        return NoiseSpectrum(np.maximum(self.power - other.power, 0))

    def unfiltered(self, kernel: Float64Array) -> NoiseSpectrum:
        """Return the spectrum that gives this one after a symmetric filter; none where little passes it."""
        response = np.abs(np.fft.rfft(kernel, max(self.n_fft, len(kernel))))
        known = np.fft.rfftfreq(max(self.n_fft, len(kernel)))
        gain = np.interp(np.fft.rfftfreq(self.n_fft), known, response)[:, None]
        passed = gain > LEAST_RESPONSE
        return NoiseSpectrum(np.where(passed, self.power / np.where(passed, gain, 1.0) ** 2, 0.0))

    def distance(self, other: NoiseSpectrum) -> float:
        """Return the mean absolute difference of the two spectra in nepers of amplitude; 0 for the same."""
        return float(0.5 * np.mean(np.abs(np.log(self.floored(1e-4).power / other.floored(1e-4).power))))


def quiet_samples(
    evidence: Trace, *, threshold: float, before: int, after: int, least_fraction: float = 0.1
) -> npt.NDArray[np.bool_]:
    """Say which samples lie away from anything that looks like a spike.

    Parameters
    ----------
    evidence : ndarray, shape (samples, columns)
        Curves that rise (or fall) at spikes, such as matched-filter outputs; each is measured in units
        of its own median absolute deviation.
    threshold : float
        A sample whose evidence exceeds this is a spike's. Raised until at least `least_fraction` of the
        recording is quiet.
    before, after : int
        How many samples around such a sample are not quiet either.

    Returns
    -------
    ndarray of bool, shape (samples,)
    """
    deviation = np.abs(evidence - np.median(evidence, axis=0))
    loudness = np.max(deviation / np.maximum(1.4826 * np.median(deviation, axis=0), 1e-12), axis=1)
    while True:
        quiet = ~_widened(loudness > threshold, before, after)
        if quiet.mean() >= least_fraction or threshold > loudness.max():
            return quiet
        threshold *= 1.25


def estimate_noise_spectrum(trace: Trace, quiet: npt.NDArray[np.bool_], *, n_fft: int) -> NoiseSpectrum:
    """Estimate the noise's spectrum from the quiet samples alone (Blackman and Tukey, with gaps).

    The autocovariance at each lag is the mean over the pairs of quiet samples at that lag, so that gaps,
    however many, do not bias it; a Hann window over the lags smooths the spectrum.

    Parameters
    ----------
    trace : ndarray of float32, shape (samples, channels)
        Without drift or offset.
    quiet : ndarray of bool, shape (samples,)
        From `quiet_samples`.
    n_fft : int
        Even; half of it is the longest lag.

    Returns
    -------
    NoiseSpectrum
        With n_fft // 2 + 1 frequencies.

    Raises
    ------
    InputError
        If fewer than `n_fft` samples are quiet.
    """
    if quiet.sum() < n_fft:
        raise InputError(
            f"noise: only {int(quiet.sum())} samples lie away from spikes, at least {n_fft} are needed to "
            "estimate the noise; is the recording too short?"
        )
    lags = n_fft // 2 + 1
    mask = quiet.astype(np.float32)
    masked = trace * mask[:, None]
    pairs = np.maximum(_autocorrelation(mask[:, None], lags), 1.0)
    covariance = _autocorrelation(masked, lags) / pairs
    window = 0.5 + 0.5 * np.cos(np.pi * np.arange(lags) / (lags - 1))
    smooth = covariance * window[:, None]
    circular = np.concatenate([smooth, smooth[-2:0:-1]])
    power = fft.rfft(circular, axis=0).real
    return NoiseSpectrum(np.maximum(power, 1e-6 * covariance[0] + 1e-30))


def synthesise_noise(spectrum: NoiseSpectrum, n_samples: int, rng: np.random.Generator) -> Trace:
    """Draw Gaussian noise with a given spectrum.

    Parameters
    ----------
    spectrum : NoiseSpectrum
    n_samples : int
    rng : numpy.random.Generator

    Returns
    -------
    ndarray of float32, shape (n_samples, channels)
    """
    length = fft.next_fast_len(n_samples + spectrum.n_fft, real=True)  # its wrapped ends are cut off
    white = rng.standard_normal((spectrum.power.shape[1], length), dtype=np.float32)
    amplitude = np.sqrt(spectrum.at(length)).T.astype(np.float32)
    coloured = fft.irfft(fft.rfft(white, axis=1) * amplitude, n=length, axis=1)
    return np.ascontiguousarray(coloured[:, :n_samples].T, np.float32)


def _widened(mask: npt.NDArray[np.bool_], before: int, after: int) -> npt.NDArray[np.bool_]:
    """Mark also `before` samples before and `after` samples after each marked one."""
    edges = np.zeros(len(mask) + 1, np.int64)
    marked = np.flatnonzero(mask)
    np.add.at(edges, np.maximum(marked - before, 0), 1)
    np.add.at(edges, np.minimum(marked + after + 1, len(mask)), -1)
    return np.cumsum(edges[:-1]) > 0


def _autocorrelation(trace: Trace, lags: int) -> Float64Array:
    """Sums of products at lags 0 to lags - 1, shape (lags, channels); in blocks, so that memory is small."""
    block = 1 << 18
    total = np.zeros((lags, trace.shape[1]))
    length = fft.next_fast_len(block + lags, real=True)
    for start in range(0, len(trace), block):
        head = fft.rfft(trace[start : start + block].astype(np.float64), n=length, axis=0)
        both = fft.rfft(trace[start : start + block + lags].astype(np.float64), n=length, axis=0)
        total += fft.irfft(both * head.conj(), n=length, axis=0)[:lags]
    return total
