"""Matched filters: correlate a recording with templates, whitened by the recording's noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import fft

from spikesorter.signal.noise import NoiseSpectrum
from spikesorter.signal.spans import Margin
from spikesorter.signal.templates import Templates

__all__ = ["MatchedFilters", "make_matched_filters"]

Trace = npt.NDArray[np.float32]
POWER_FLOOR = 0.02  # of the noise's mean power, so that frequencies removed by a filter are not amplified
BLOCK_SAMPLES = 1 << 14  # of one Fourier transform
TAPER = 0.2  # share of the whitening reach over which a kernel fades out


@dataclass(frozen=True, eq=False)
class MatchedFilters:
    """A bank of matched filters, one for each unit.

    Parameters
    ----------
    kernels : ndarray of float32, shape (units, taps, channels)
        Correlated with the trace. Scaled so that the noise of outputs has variance 1.
    before : int
        Taps before the spike's start, so that the output peaks at the start.
    detectability : ndarray of float64, shape (units,)
        d' of each unit, the output at a spike's start in SD of the noise: sqrt(s^T C^-1 s), less the loss by
        truncation.
    """

    kernels: Trace
    before: int
    detectability: npt.NDArray[np.float64]

    @property
    def margin(self) -> Margin:
        """Margin of `apply`."""
        return Margin(self.before, self.kernels.shape[1] - self.before - 1)

    def apply(self, trace: Trace) -> Trace:
        """Correlate a trace with every filter.

        Parameters
        ----------
        trace : ndarray of float32, shape (samples, channels)

        Returns
        -------
        ndarray of float32, shape (samples, units)

        Examples
        --------
        >>> filters = MatchedFilters(np.float32([[[1], [2]]]), before=0, detectability=np.array([5**0.5]))
        >>> filters.apply(np.float32([0, 0, 1, 2, 0])[:, None])[:, 0].round(3)
        array([0., 2., 5., 2., 0.], dtype=float32)
        """
        taps, units = self.kernels.shape[1], len(self.kernels)
        length = fft.next_fast_len(max(BLOCK_SAMPLES, 4 * taps), real=True)
        step = length - taps + 1
        spectra = fft.rfft(self.kernels, length, axis=1).conj().astype(np.complex64)
        blocks = max(-(-len(trace) // step), 1)
        padded = np.zeros((self.before + blocks * step + taps - 1, trace.shape[1]), np.float32)
        padded[self.before : self.before + len(trace)] = trace
        output = np.empty((blocks * step, units), np.float32)
        for block in range(blocks):  # overlap-save: the transform of a block serves all filters
            start = block * step
            transform = fft.rfft(padded[start : start + length], axis=0)
            mixed = np.einsum("fc,kfc->kf", transform, spectra)
            output[start : start + step] = fft.irfft(mixed, length, axis=1)[:, :step].T
        return output[: len(trace)]


def make_matched_filters(
    templates: Templates, noise: NoiseSpectrum, *, reach: int, whiten: bool = True
) -> MatchedFilters:
    """Make the filters that detect each template best in noise of a given spectrum: C^-1 s.

    Parameters
    ----------
    templates : Templates
        As they are in the trace that the filters will be applied to.
    noise : NoiseSpectrum
        Of that trace.
    reach : int
        Samples by which a whitening filter may extend beyond its template on either side.
    whiten : bool
        If false, filters are the templates themselves, which is optimal in white noise only (published).

    Returns
    -------
    MatchedFilters

    Examples
    --------
    A template of energy 3² + 4² in white noise of SD 2 has a d' of 5 / 2:

    >>> templates = Templates((1,), np.float32([[[3], [4]]]), before=0)
    >>> noise = NoiseSpectrum.independent(np.full((65, 1), 4.0))
    >>> make_matched_filters(templates, noise, reach=8).detectability.round(3)
    array([2.5])
    """
    n_units, length, channels = templates.waveforms.shape
    taps = length + 2 * reach
    n_fft = 2 * fft.next_fast_len(taps, real=True)
    shapes = np.zeros((n_units, taps, channels))
    shapes[:, reach : reach + length] = templates.waveforms

    kernels = shapes
    if whiten:
        inverse = np.linalg.inv(noise.floored(POWER_FLOOR).at(n_fft))
        whitened = np.einsum("fab,kfb->kfa", inverse, fft.rfft(shapes, n_fft, axis=1))
        kernels = fft.irfft(whitened, n_fft, axis=1)[:, :taps] * _taper(taps, reach)
    spectra = fft.rfft(kernels, n_fft, axis=1)
    weights = np.full(n_fft // 2 + 1, 2.0)
    weights[0] = weights[-1] = 1.0
    passed = np.einsum("fab,kfb->kfa", noise.at(n_fft), spectra)
    variance = np.einsum("kfa,kfa,f->k", spectra.conj(), passed, weights).real / n_fft
    sd = np.sqrt(np.maximum(variance, 1e-30))
    return MatchedFilters(
        kernels=(kernels / sd[:, None, None]).astype(np.float32),
        before=templates.before + reach,
        detectability=np.einsum("ktc,ktc->k", kernels, shapes) / sd,
    )


def _taper(taps: int, reach: int) -> npt.NDArray[np.float64]:
    ramp = int(TAPER * reach)
    taper = np.ones((taps, 1))
    if ramp:
        rise = 0.5 - 0.5 * np.cos(np.pi * (np.arange(ramp) + 0.5) / ramp)
        taper[:ramp, 0], taper[-ramp:, 0] = rise, rise[::-1]
    return taper
