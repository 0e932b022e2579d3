"""A bank of spike shapes in whitened measure: how much each shape is there, and how shapes overlap.

A trace with Gaussian noise of covariance C holds spikes s at times t. All that the trace says about them are
the correlations with C^-1 s, and what tells one explanation from another besides are the overlaps
s^T C^-1 s' of the shapes at each distance. Both follow from one short whitening filter, applied to trace and
shapes alike, so that they fit each other exactly.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy import fft

from spikesorter.signal.correlate import correlate
from spikesorter.signal.noise import NoiseSpectrum
from spikesorter.signal.spans import Margin
from spikesorter.signal.templates import Templates

__all__ = ["Bank", "make_bank"]

Trace = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]
POWER_FLOOR = 0.02  # of the noise's mean power: what a filter took away is not to be amplified back
LEAST_RESPONSE = 1e-3
TAPER = 0.5  # share of the whitening reach over which its filter fades out
N_FFT = 16_384


@dataclass(frozen=True, eq=False)
class Bank:
    """Whitened matched filters that keep their scale, and their overlaps.

    Parameters
    ----------
    shapes : ndarray of float32, shape (classes, samples, channels)
        Of the spikes, unfiltered: to be correlated with the trace whitened twice.
    before : int
        Samples of a shape before the spike's start.
    overlaps : ndarray of float32, shape (classes, lags, classes)
        ``overlaps[k, reach + lag, j]`` is what a spike of class k adds to the output of class j, `lag`
        samples later; lags from -reach to reach.
    whitener : ndarray of float64, shape (taps, channels)
        The symmetric filter that makes the noise white.
    """

    shapes: Trace
    before: int
    overlaps: Trace
    whitener: Float64Array

    @property
    def margin(self) -> Margin:
        """Margin of `apply`."""
        reach = len(self.whitener) - 1  # of the whitener used twice
        return Margin(reach + self.before, reach + self.shapes.shape[1] - self.before - 1)

    @property
    def energies(self) -> Float64Array:
        """What a spike adds to its own output at its start: d' squared, shape (classes,)."""
        own = np.arange(len(self.overlaps))
        return np.asarray(self.overlaps[own, self.overlaps.shape[1] // 2, own], np.float64)

    @cached_property
    def _twice(self) -> Trace:
        """The whitener used twice, shape (channels, taps)."""
        return np.stack([np.convolve(w, w) for w in self.whitener.T]).astype(np.float32)

    def apply(self, trace: Trace) -> Trace:
        """Correlate a stretch of trace, whitened twice, with every shape, where the whole of it fits.

        The output at a sample is the same, to the last bit, in whatever stretch it lies.

        Parameters
        ----------
        trace : ndarray of float32, shape (margin.before + samples + margin.after, channels)

        Returns
        -------
        ndarray of float32, shape (samples, classes)
        """
        classes, samples, channels = self.shapes.shape
        twice = self._twice.shape[1]
        outputs = np.zeros((classes, len(trace) - twice - samples + 2), np.float32)
        for c in range(channels):
            white = np.zeros(len(trace) - twice + 1, np.float32)
            signal = np.ascontiguousarray(trace[:, c])
            correlate(signal, self._twice[c], white)
            for k in range(classes):
                correlate(white, np.ascontiguousarray(self.shapes[k, :, c]), outputs[k])
        return np.ascontiguousarray(outputs.T)


def make_bank(templates: Templates, noise: NoiseSpectrum, *, kernel: Float64Array, reach: int) -> Bank:
    """Make the bank for a trace's noise.

    Parameters
    ----------
    templates : Templates
        As they look in the unfiltered trace.
    noise : NoiseSpectrum
        Of the trace after the filter `kernel`; channels are taken to be independent.
    kernel : ndarray, shape (taps,)
        Symmetric; what it takes away, such as drift, the bank takes away too.
    reach : int
        Half the length of the whitening filter, in samples.

    Returns
    -------
    Bank
    """
    whitener = _whitener(templates, noise, kernel, reach)
    shapes = templates.waveforms.astype(np.float64)
    channels = range(shapes.shape[2])
    white = np.stack(
        [[np.convolve(shape[:, c], whitener[:, c]) for c in channels] for shape in shapes]
    )  # (classes, channels, samples)
    return Bank(
        shapes=templates.waveforms,
        before=templates.before,
        overlaps=np.stack([[_correlation(s, k) for k in white] for s in white]).transpose(0, 2, 1)
        .astype(np.float32, order="C"),
        whitener=whitener,
    )  # fmt: skip


def _whitener(templates: Templates, noise: NoiseSpectrum, kernel: Float64Array, reach: int) -> Float64Array:
    """Return a symmetric filter for each channel that makes its noise white, shape (taps, channels).

    It is scaled so that noise leaves the matched filters with the variance that their overlaps say.
    """
    response = np.abs(fft.rfft(kernel, N_FFT))[:, None]
    ideal = fft.irfft(response / np.sqrt(noise.floored(POWER_FLOOR).at(N_FFT)), N_FFT, axis=0)
    short = np.concatenate([ideal[-reach:], ideal[: reach + 1]]) * _taper(reach)[:, None]
    if response[0, 0] < LEAST_RESPONSE:  # no offset passes the kernel, so none must pass here
        short -= short.sum(axis=0) * (_taper(reach) / _taper(reach).sum())[:, None]

    power = np.abs(fft.rfft(short, N_FFT, axis=0)) ** 2
    unfiltered = noise.at(N_FFT) / np.maximum(response, LEAST_RESPONSE) ** 2
    shapes = np.abs(fft.rfft(templates.waveforms.astype(np.float64), N_FFT, axis=1)) ** 2
    inside = slice(1, None)  # at no frequency at all there is nothing to measure
    variance = np.einsum("kfc,fc->k", shapes[:, inside], (power**2 * unfiltered)[inside])
    expected = np.einsum("kfc,fc->k", shapes[:, inside], power[inside])
    return np.asarray(short / np.sqrt(np.mean(variance / expected)))


def _correlation(spike: Float64Array, other: Float64Array) -> Float64Array:
    """What a whitened spike adds to another shape's output at each lag; both of shape (channels, samples)."""
    pairs = zip(spike, other, strict=True)
    return np.asarray(sum(np.correlate(a, b, "full") for a, b in pairs))


def _taper(reach: int) -> Float64Array:
    ramp = int(TAPER * reach)
    rise = 0.5 - 0.5 * np.cos(np.pi * (np.arange(ramp) + 0.5) / max(ramp, 1))
    return np.concatenate([rise, np.ones(2 * reach + 1 - 2 * ramp), rise[::-1]])
