"""Whitened matched filters of all templates, and how templates overlap.

Consider a trace with Gaussian noise of covariance C and spikes with templates s. Its correlations with C^-1 s
contain all the information about the spikes. Comparing two explanations also needs the overlaps s^T C^-1 s'
of templates at each lag. Both are computed with one short whitening filter, applied to trace and templates,
so that they are exactly consistent.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import fft

from spikesorter.signal.correlate import correlate
from spikesorter.signal.hermitian import minimum_phase_factor
from spikesorter.signal.noise import NoiseSpectrum
from spikesorter.signal.spans import Margin
from spikesorter.signal.templates import Templates
from spikesorter.signal.whitening import (
    LEAST_RESPONSE,
    N_FFT,
    POWER_FLOOR,
    response_of,
    scaled_whitener,
    whitening_filters,
    without_offset,
)

__all__ = ["Bank", "CausalBank", "make_bank", "make_causal_bank"]

Trace = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Bank:
    """Whitened matched filters, applied in two steps, and their overlaps.

    Unlike those of `MatchedFilters`, outputs are not scaled to noise of variance 1.

    Parameters
    ----------
    filters : ndarray of float32, shape (taps, channels, channels)
        Whitening, twice: ``filters[:, a, b]`` is correlated with channel b and added to filtered channel a.
    filters_before : int
        Taps of a filter before the sample itself.
    shapes : ndarray of float32, shape (units, samples, channels)
        Templates, with which the filtered trace is then correlated.
    shapes_before : int
        Samples of a template before the spike's start.
    overlaps : ndarray of float32, shape (units, lags, units)
        ``overlaps[k, reach + lag, j]`` is what a spike of unit k adds to the output of unit j `lag` samples
        later; lags from -reach to reach.
    whitener : ndarray of float64, shape (taps, channels, channels)
        Filters from each channel (last axis) to each whitened channel. In the whitened channels the noise is
        white and independent between channels.
    """

    filters: Trace
    filters_before: int
    shapes: Trace
    shapes_before: int
    overlaps: Trace
    whitener: Float64Array

    @property
    def margin(self) -> Margin:
        """Margin of `apply`."""
        before = self.filters_before + self.shapes_before
        return Margin(before, len(self.filters) + self.shapes.shape[1] - before - 2)

    @property
    def energies(self) -> Float64Array:
        """Squared d' of each unit: the output of its own filter at a spike's start, shape (units,)."""
        own = np.arange(len(self.overlaps))
        return np.asarray(self.overlaps[own, self.overlaps.shape[1] // 2, own], np.float64)

    def apply(self, trace: Trace) -> Trace:
        """Correlate the whitened trace with every template, wherever the whole template fits.

        The output at a sample is the same, to the last bit, for any part of a recording.

        Parameters
        ----------
        trace : ndarray of float32, shape (margin.before + samples + margin.after, channels)

        Returns
        -------
        ndarray of float32, shape (samples, units)

        Examples
        --------
        >>> templates = Templates((1,), np.float32([[[3], [4]]]), before=0)
        >>> noise = NoiseSpectrum.independent(np.full((65, 1), 4.0))
        >>> bank = make_bank(templates, noise, kernel=np.ones(1), reach=8)
        >>> trace = np.zeros((100, 1), np.float32)
        >>> trace[50:52] = templates.waveforms[0]
        >>> int(bank.apply(trace).argmax()) + bank.margin.before
        50
        """
        units, samples, _ = self.shapes.shape
        filtered = len(trace) - len(self.filters) + 1
        white = _correlated_across(trace, self.filters)
        outputs = np.empty((filtered - samples + 1, units), np.float32)
        for k in range(units):
            output = np.zeros(len(outputs), np.float32)
            for c, channel in enumerate(white):
                correlate(channel, np.ascontiguousarray(self.shapes[k, :, c]), output)
            outputs[:, k] = output
        return outputs


def make_bank(templates: Templates, noise: NoiseSpectrum, *, kernel: Float64Array, reach: int) -> Bank:
    """Make the bank for a trace's noise.

    Parameters
    ----------
    templates : Templates
        As they are in the unfiltered trace.
    noise : NoiseSpectrum
        Of the trace after the filter `kernel`.
    kernel : ndarray, shape (taps,)
        Symmetric. The bank removes what this filter removes, such as drift.
    reach : int
        Half the length of the whitening filter, in samples.

    Returns
    -------
    Bank

    Examples
    --------
    The energy of a template is its squared d', here (3² + 4²) / 2²:

    >>> templates = Templates((1,), np.float32([[[3], [4]]]), before=0)
    >>> noise = NoiseSpectrum.independent(np.full((65, 1), 4.0))
    >>> bank = make_bank(templates, noise, kernel=np.ones(1), reach=8)
    >>> bank.energies.round(2), bank.margin
    (array([6.25]), Margin(before=16, after=17))
    """
    whitener = whitening_filters(templates, noise, kernel=kernel, reach=reach)
    white = _whitened(templates, whitener)
    return Bank(
        filters=_squared(whitener).astype(np.float32),
        filters_before=2 * reach,
        shapes=templates.waveforms,
        shapes_before=templates.before,
        overlaps=np.stack([[_correlation(s, k) for k in white] for s in white]).transpose(0, 2, 1)
        .astype(np.float32, order="C"),
        whitener=whitener,
    )  # fmt: skip


@dataclass(frozen=True, eq=False)
class CausalBank:
    """Whitened templates for decisions before the whole spike is recorded.

    Parameters
    ----------
    filters : ndarray of float32, shape (taps, channels, channels)
        ``filters[:, a, b]`` is correlated with channel b and added to whitened channel a. Together the
        filters are causal and of minimum phase, so their delay is the least possible.
    shapes : ndarray of float32, shape (units, channels, samples)
        The spikes, whitened.
    lead : int
        Samples of a template before the spike's start.
    overlaps : ndarray of float32, shape (known, units, lags, units)
        ``overlaps[known, k, reach + lag, j]`` is what a spike of unit k adds to the output of unit j `lag`
        samples later, if the trace is known up to `known` samples after the spike's start. The last row is
        for the whole spike.
    """

    filters: Trace
    shapes: Trace
    lead: int
    overlaps: Trace

    @property
    def margin(self) -> Margin:
        """Samples that an output depends on, apart from those known of the spike."""
        return Margin(self.lead + len(self.filters) - 1, 0)

    @property
    def energies(self) -> Float64Array:
        """Squared d' of each unit, by the number of samples known of a spike, shape (known, units)."""
        own = np.arange(self.overlaps.shape[1])
        return np.asarray(self.overlaps[:, own, self.overlaps.shape[2] // 2, own], np.float64)

    @property
    def whitener(self) -> Float64Array:
        """The filters that make the noise white, shape (taps, channels, channels)."""
        return self.filters[::-1].astype(np.float64)

    def whiten(self, trace: Trace) -> Trace:
        """Return a trace whitened, shape (channels, samples - taps + 1).

        Examples
        --------
        White noise is only scaled, to SD 1:

        >>> templates = Templates((1,), np.float32([[[3], [4]]]), before=0)
        >>> noise = NoiseSpectrum.independent(np.full((65, 1), 4.0))
        >>> bank = make_causal_bank(templates, noise, kernel=np.ones(1), past=8, length=2)
        >>> bank.whiten(np.full((9, 1), 2.0, np.float32)).round(3)
        array([[1., 1.]], dtype=float32)
        """
        return _correlated_across(trace, self.filters)


def make_causal_bank(
    templates: Templates, noise: NoiseSpectrum, *, kernel: Float64Array, past: int, length: int
) -> CausalBank:
    """Make a bank for decisions soon after a spike's start, before the whole spike is known.

    Parameters
    ----------
    templates, noise, kernel
        As for `make_bank`.
    past : int
        Length of the whitening filter, in samples.
    length : int
        Largest number of samples used after a spike's start.

    Returns
    -------
    CausalBank

    Examples
    --------
    The more is known of a spike, the higher its squared d':

    >>> templates = Templates((1,), np.float32([[[3], [4]]]), before=0)
    >>> noise = NoiseSpectrum.independent(np.full((65, 1), 4.0))
    >>> make_causal_bank(templates, noise, kernel=np.ones(1), past=8, length=2).energies.round(2)
    array([[2.25],
           [6.25]])
    """
    response = response_of(kernel)
    fading = np.r_[np.ones(past - past // 2), 0.5 + 0.5 * np.cos(np.pi * np.arange(past // 2) / (past // 2))]
    short = _minimum_phase(response, noise)[:past] * fading[:, None, None]
    whitener = scaled_whitener(without_offset(short, fading, response), templates, noise, response)
    white = _whitened(templates, whitener)[:, :, : templates.before + length]
    return CausalBank(
        filters=np.ascontiguousarray(whitener[::-1], np.float32),
        shapes=np.ascontiguousarray(white, np.float32),
        lead=templates.before,
        overlaps=np.stack(
            [_overlaps_known(white, templates.before + known + 1) for known in range(length)]
        ).astype(np.float32, order="C"),
    )


def _overlaps_known(white: Float64Array, known: int) -> Float64Array:
    """Return the overlaps of whitened templates, with only `known` samples of the first of each pair."""
    first = white.copy()
    first[:, :, known:] = 0
    return np.stack([[_correlation(s, k) for k in white] for s in first]).transpose(0, 2, 1)


def _minimum_phase(response: Float64Array, noise: NoiseSpectrum) -> Float64Array:
    """Return the causal whitening filters of least delay, shape (N_FFT, channels, channels).

    Each channel is first whitened by itself, with its folded cepstrum. A factor of the channels' coherence
    then removes the noise that they share.
    """
    density = noise.floored(POWER_FLOOR).at(N_FFT)
    power = np.einsum("fcc->fc", density).real
    amplitude = response[:, None] / np.sqrt(power)
    log = np.log(np.maximum(amplitude, LEAST_RESPONSE * amplitude.max(axis=0)))
    cepstrum = fft.irfft(log, N_FFT, axis=0)
    cepstrum[1 : N_FFT // 2] *= 2
    cepstrum[N_FFT // 2 + 1 :] = 0
    alone = np.exp(fft.rfft(cepstrum, axis=0))
    turned = alone / np.abs(alone) / np.sqrt(power)
    shared = minimum_phase_factor(turned[:, :, None] * density * turned[:, None, :].conj())
    return np.asarray(fft.irfft(np.linalg.inv(shared) * alone[:, None, :], N_FFT, axis=0))


def _whitened(templates: Templates, whitener: Float64Array) -> Float64Array:
    """Return the templates after whitening, shape (units, channels, samples)."""
    shapes, channels = templates.waveforms.astype(np.float64), range(whitener.shape[1])
    return np.array(
        [
            [sum(np.convolve(shape[:, b], whitener[:, a, b]) for b in channels) for a in channels]
            for shape in shapes
        ]
    )


def _squared(whitener: Float64Array) -> Float64Array:
    """Return the whitening filters convolved with their time reverse, as matched filters need."""
    channels = range(whitener.shape[1])
    pairs = [
        [sum(np.convolve(whitener[:, m, a], whitener[::-1, m, b]) for m in channels) for b in channels]
        for a in channels
    ]
    return np.array(pairs).transpose(2, 0, 1)


def _correlated_across(trace: Trace, filters: Trace) -> Trace:
    """Correlate channels with filters and add, shape (channels, samples - taps + 1)."""
    outputs = np.zeros((filters.shape[1], len(trace) - len(filters) + 1), np.float32)
    for b in range(filters.shape[2]):
        channel = np.ascontiguousarray(trace[:, b])
        for a, output in enumerate(outputs):
            correlate(channel, np.ascontiguousarray(filters[:, a, b]), output)
    return outputs


def _correlation(spike: Float64Array, other: Float64Array) -> Float64Array:
    """Return what one whitened spike adds to another's output at each lag, both (channels, samples)."""
    pairs = zip(spike, other, strict=True)
    return np.asarray(sum(np.correlate(a, b, "full") for a, b in pairs))
