"""Estimate templates and amplitudes of labelled spikes jointly, by least squares.

Averages of windows around spikes are distorted by overlapping spikes. Here all templates are the
least-squares solution of one linear model: trace = sum over spikes of their unit's template + noise.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view
from scipy import sparse
from scipy.linalg import solve
from scipy.ndimage import uniform_filter1d
from scipy.sparse.linalg import spsolve

from spikesorter.core.pairs import pairs_within
from spikesorter.core.spikes import Spikes
from spikesorter.signal.filters import fir_filter

__all__ = [
    "Templates",
    "add_copies",
    "average_waveform",
    "estimate_templates",
    "plant",
    "spike_amplitudes",
]

Trace = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]
RIDGE = 1e-2  # of a unit's spike count; for what the filtered trace leaves open, such as an offset
SHRINKAGE = 3.0  # the mean square of a short piece of noise is often two or three times its variance
SPIKES_AT_ONCE = 4096
NOISE_SAMPLES = 1 << 17  # of the residual that tell its variance
MAX_AMPLITUDE_SPREAD = 0.5  # prior SD of a spike's relative amplitude


@dataclass(frozen=True, eq=False)
class Templates:
    """Template of each unit: the mean waveform of its spikes.

    Parameters
    ----------
    unit_ids : tuple of int
        In order.
    waveforms : ndarray of float32, shape (units, samples, channels)
        In the labelled recording's unit of voltage, before any filter.
    before : int
        Samples of a waveform that lie before the spike's start.

    Examples
    --------
    >>> templates = Templates((1, 4), np.float32([[[1], [2]], [[3], [4]]]), before=0)
    >>> templates.of((4,)).scaled(0.5).waveforms[:, :, 0]
    array([[1.5, 2. ]], dtype=float32)
    """

    unit_ids: tuple[int, ...]
    waveforms: Trace
    before: int

    def of(self, unit_ids: tuple[int, ...]) -> Templates:
        """Return the templates of some units."""
        kept = [k for k, unit in enumerate(self.unit_ids) if unit in unit_ids]
        return Templates(tuple(self.unit_ids[k] for k in kept), self.waveforms[kept], self.before)

    def of_channels(self, columns: tuple[int, ...]) -> Templates:
        """Return the templates on some channels.

        Examples
        --------
        >>> Templates((1,), np.float32([[[1, 2, 3]]]), before=0).of_channels((0, 2)).waveforms.tolist()
        [[[1.0, 3.0]]]
        """
        return Templates(self.unit_ids, self.waveforms[:, :, list(columns)], self.before)

    def seen_after(self, share: float) -> int:
        """Return after how many samples from a spike's start each unit has shown a share of its energy.

        Examples
        --------
        >>> waveforms = np.float32([[[0], [4], [3], [0]], [[1], [1], [1], [1]]])
        >>> Templates((1, 2), waveforms, before=1).seen_after(0.75)
        2
        """
        energy = np.cumsum((self.waveforms.astype(np.float64) ** 2).sum(axis=2), axis=1)
        reached = (energy < share * energy[:, -1:]).sum(axis=1) + 1  # samples
        return max(int(reached.max(initial=0)) - self.before, 0)

    def scaled(self, factors: npt.ArrayLike) -> Templates:
        """Return the templates multiplied by a factor, or each by its own.

        Examples
        --------
        >>> templates = Templates((1, 2), np.ones((2, 3, 1), np.float32), before=0)
        >>> templates.scaled([1, 0.5]).waveforms[:, 0, 0]
        array([1. , 0.5], dtype=float32)
        """
        each = np.atleast_1d(np.asarray(factors, np.float32))[:, None, None]
        return Templates(self.unit_ids, self.waveforms * each, self.before)

    def shrunk(self, variance: Float64Array, *, window_samples: int) -> Templates:
        """Shrink the parts of templates that may be estimation noise.

        A sample with local mean square p and error variance v is scaled by 1 - 3 v / p, or set to 0 if that
        is negative (after W. James and C. Stein). Parts well above the noise hardly change. Tails that the
        spikes do not determine vanish.

        Parameters
        ----------
        variance : ndarray, shape (units, channels)
            Of the error of one sample of a template.
        window_samples : int
            Window in which p is measured.

        Returns
        -------
        Templates
        """
        power = uniform_filter1d(self.waveforms.astype(np.float64) ** 2, window_samples, axis=1)
        kept = np.maximum(1 - SHRINKAGE * variance[:, None] / np.maximum(power, 1e-300), 0)
        return Templates(self.unit_ids, (self.waveforms * kept).astype(np.float32), self.before)

    def filtered(self, kernel: Float64Array) -> Templates:
        """Return the templates after `fir_filter`, longer by the kernel's reach on either side."""
        half = len(kernel) // 2
        padded = np.pad(self.waveforms, ((0, 0), (half, half), (0, 0)))
        waveforms = np.stack([fir_filter(waveform, kernel) for waveform in padded])
        return Templates(self.unit_ids, waveforms, self.before + half)


def average_waveform(trace: Trace, spikes: Spikes, *, before: int, after: int) -> Trace:
    """Average the windows around all spikes, as the published pipeline's only template.

    Parameters
    ----------
    trace : ndarray of float32, shape (samples, channels)
    spikes : Spikes
    before, after : int
        Samples of the window before and after a spike's start.

    Returns
    -------
    ndarray of float32, shape (before + after, channels)

    Examples
    --------
    >>> trace = np.float32([0, 1, 2, 0, 3, 4])[:, None]
    >>> average_waveform(trace, Spikes.from_arrays([1, 4], [1, 2]), before=1, after=2)[:, 0]
    array([0., 2., 3.], dtype=float32)
    """
    starts = _inside(spikes, len(trace), before, after).sample
    windows = trace[starts[:, None] + np.arange(-before, after)]
    return np.asarray(windows.mean(axis=0), np.float32)


def estimate_templates(
    trace: Trace, spikes: Spikes, *, before: int, after: int, kernel: Float64Array
) -> Templates:
    """Estimate the templates of all units jointly, by least squares.

    The error is measured after a symmetric filter, so that drift does not matter. The templates themselves
    are unfiltered.

    Parameters
    ----------
    trace : ndarray of float32, shape (samples, channels)
        Unfiltered labelled recording.
    spikes : Spikes
        Its spikes.
    before, after : int
        Samples of a template before and after a spike's start.
    kernel : ndarray, shape (taps,)
        Symmetric filter, such as `drift_kernel`.

    Returns
    -------
    Templates
        Of shape (units, before + after, channels).

    Examples
    --------
    Spikes that overlap do not smear the templates:

    >>> true = Templates((1, 2), np.float32([[[8], [4], [-2]], [[-3], [6], [1]]]), before=0)
    >>> spikes = Spikes.from_arrays([20, 21, 40, 60, 80, 82], [1, 2, 1, 2, 1, 2])
    >>> trace = plant(100, spikes, np.ones(6, np.float32), true)
    >>> found = estimate_templates(trace, spikes, before=0, after=3, kernel=np.ones(1))
    >>> bool(np.allclose(found.waveforms, true.waveforms, rtol=0.02))
    True
    """
    unit_ids = spikes.unit_ids
    inside = _inside(spikes, len(trace), before, after)
    trains = [inside.of(unit).sample for unit in unit_ids]
    squared_kernel = np.convolve(kernel, kernel)  # symmetric, so this is its autocorrelation
    length, offsets = before + after, np.arange(-before, after)

    filtered = fir_filter(trace, squared_kernel)
    right = np.concatenate([filtered[train[:, None] + offsets].sum(axis=0) for train in trains]).astype(float)
    lag = np.arange(length)[:, None] - np.arange(length) + length - 1
    left = np.block([[_lag_sums(a, b, squared_kernel, length)[lag] for b in trains] for a in trains])
    counts = np.repeat([max(len(train), 1) for train in trains], length)
    left[np.diag_indices_from(left)] += RIDGE * counts * squared_kernel.max()

    waveforms = solve(left, right, assume_a="pos").reshape(len(unit_ids), length, trace.shape[1])
    return Templates(unit_ids, waveforms.astype(np.float32), before)


def spike_amplitudes(
    trace: Trace, spikes: Spikes, templates: Templates, *, kernel: Float64Array
) -> npt.NDArray[np.float32]:
    """Estimate the amplitudes of all spikes relative to their unit's template, jointly.

    Amplitudes are shrunk towards 1 to remove the spread that is due to noise.

    Parameters
    ----------
    trace, spikes, kernel
        As for `estimate_templates`.
    templates : Templates
        From `estimate_templates`.

    Returns
    -------
    ndarray of float32, shape (spikes,)

    Examples
    --------
    >>> templates = Templates((1,), np.float32([[[8], [4], [-2]]]), before=0)
    >>> spikes = Spikes.from_arrays([20, 22, 60, 80], [1, 1, 1, 1])  # the first two overlap
    >>> trace = plant(100, spikes, np.float32([1.2, 0.8, 0.9, 1.1]), templates)
    >>> spike_amplitudes(trace, spikes, templates, kernel=np.ones(1)).round(3)
    array([1.2, 0.8, 0.9, 1.1], dtype=float32)
    """
    squared_kernel = np.convolve(kernel, kernel)
    unit_of = np.searchsorted(templates.unit_ids, spikes.unit)
    overlap = _template_overlaps(templates, squared_kernel)
    energy = overlap[np.arange(len(overlap)), np.arange(len(overlap)), overlap.shape[2] // 2]

    gram = _spike_gram(spikes.sample, unit_of, overlap)
    projected = _projected_at(fir_filter(trace, squared_kernel), templates, spikes.sample, unit_of)
    residual = trace - plant(len(trace), spikes, np.ones(len(spikes), np.float32), templates)
    noise = _projected_at_some(fir_filter(residual, squared_kernel), templates)
    noise_variance = (1.4826 * np.median(np.abs(noise), axis=0) / energy) ** 2

    ridge = energy[unit_of] * noise_variance[unit_of] / MAX_AMPLITUDE_SPREAD**2 + 1e-6 * energy[unit_of]
    system = gram + sparse.diags(ridge)
    amplitudes = spsolve(system.tocsc(), projected + ridge)
    return _shrink(np.asarray(amplitudes), unit_of, noise_variance)


def plant(n_samples: int, spikes: Spikes, amplitudes: npt.NDArray[np.float32], templates: Templates) -> Trace:
    """Return a noise-free trace of these spikes; overlapping spikes add up.

    Parameters
    ----------
    n_samples : int
        Length of the trace. Templates are cut off at its ends.
    spikes : Spikes
    amplitudes : ndarray of float32, shape (spikes,)
        Factor of each spike.
    templates : Templates

    Returns
    -------
    ndarray of float32, shape (n_samples, channels)

    Examples
    --------
    >>> templates = Templates((1,), np.float32([[[1], [2]]]), before=0)
    >>> plant(5, Spikes.from_arrays([0, 1], [1, 1]), np.float32([1, 10]), templates)[:, 0].round(4)
    array([ 1., 12., 20.,  0.,  0.], dtype=float32)
    """
    trace = np.zeros((n_samples + templates.waveforms.shape[1], templates.waveforms.shape[2]), np.float32)
    for k, unit in enumerate(templates.unit_ids):
        own = spikes.unit == unit
        add_copies(trace, spikes.sample[own], amplitudes[own], templates.waveforms[k])
    return trace[templates.before : templates.before + n_samples].copy()


def add_copies(
    trace: Trace, starts: npt.NDArray[np.int64], factors: npt.NDArray[np.float32], waveform: Trace
) -> None:
    """Add copies of a waveform to a trace, in place.

    Where spikes are sparse this takes a tenth of a convolution of the whole trace.

    Parameters
    ----------
    trace : ndarray of float32, shape (samples, channels), contiguous
    starts : ndarray of int64, shape (copies,)
        Where in the trace each begins; it has to end in it.
    factors : ndarray of float32, shape (copies,)
    waveform : ndarray of float32, shape (length, channels)

    Examples
    --------
    >>> trace = np.zeros((4, 1), np.float32)
    >>> add_copies(trace, np.array([0, 1]), np.float32([1, 10]), np.float32([[1], [2]]))
    >>> trace[:, 0]
    array([ 1., 12., 20.,  0.], dtype=float32)
    """
    scaled = np.empty_like(waveform)
    for start, factor in zip(starts.tolist(), factors, strict=True):
        place = trace[start : start + len(waveform)]
        place += np.multiply(waveform, factor, out=scaled)


def _inside(spikes: Spikes, n_samples: int, before: int, after: int) -> Spikes:
    return spikes.within(before, n_samples - after + 1)


def _lag_sums(
    a: npt.NDArray[np.int64], b: npt.NDArray[np.int64], squared_kernel: Float64Array, length: int
) -> Float64Array:
    """Return the sums over all pairs of squared_kernel((a + i) - (b + l)), one for each |i - l| < length."""
    half = len(squared_kernel) // 2
    reach = half + length
    i, j = pairs_within(a, b, reach)
    lags = b[j] - a[i]
    histogram = np.bincount(lags + reach, minlength=2 * reach + 1).astype(float)
    sums = np.convolve(histogram, squared_kernel)
    centre = reach + half
    return sums[centre - length + 1 : centre + length]


def _template_overlaps(templates: Templates, squared_kernel: Float64Array) -> Float64Array:
    """Return the inner products of all pairs of filtered templates at all lags, (units, units, lags)."""
    smooth = templates.filtered(squared_kernel).waveforms.astype(float)
    raw = templates.waveforms.astype(float)
    return np.array(
        [
            [sum(np.correlate(b[:, c], a[:, c], "full") for c in range(a.shape[1])) for b in smooth]
            for a in raw
        ]
    )


def _spike_gram(
    samples: npt.NDArray[np.int64], unit_of: npt.NDArray[np.intp], overlap: Float64Array
) -> sparse.coo_matrix:
    reach = overlap.shape[2] // 2
    i, j = pairs_within(samples, samples, reach)
    values = overlap[unit_of[i], unit_of[j], reach + samples[i] - samples[j]]
    return sparse.coo_matrix((values, (i, j)), shape=(len(samples), len(samples)))


def _projected_at(
    trace: Trace, templates: Templates, samples: npt.NDArray[np.int64], unit_of: npt.NDArray[np.intp]
) -> Float64Array:
    """Return the inner products of the trace with each spike's template at its start, shape (spikes,)."""
    length, found = templates.waveforms.shape[1], np.zeros(len(samples))
    padded = np.pad(trace, ((templates.before, length), (0, 0)))
    for k, waveform in enumerate(templates.waveforms):
        own = np.flatnonzero(unit_of == k)
        for first in range(0, len(own), SPIKES_AT_ONCE):
            some = own[first : first + SPIKES_AT_ONCE]
            windows = padded[samples[some][:, None] + np.arange(length)]
            found[some] = np.einsum("stc,tc->s", windows, waveform, dtype=np.float64)
    return found


def _projected_at_some(trace: Trace, templates: Templates) -> Trace:
    """Return the inner products of the trace with each template, at samples spread over it."""
    length = templates.waveforms.shape[1]
    padded = np.pad(trace, ((templates.before, length), (0, 0)))
    step = max(len(trace) // NOISE_SAMPLES, 1)
    windows = sliding_window_view(padded, length, axis=0)[: len(trace) : step]  # (samples, channels, length)
    waveforms = np.ascontiguousarray(templates.waveforms.transpose(2, 1, 0))
    projected = [np.matmul(windows[:, c], waveforms[c]) for c in range(trace.shape[1])]
    return np.asarray(sum(projected), np.float32)


def _shrink(
    amplitudes: Float64Array, unit_of: npt.NDArray[np.intp], noise_variance: Float64Array
) -> npt.NDArray[np.float32]:
    shrunk = np.ones_like(amplitudes)
    for k in np.unique(unit_of):
        of_unit = unit_of == k
        centre = np.median(amplitudes[of_unit])
        spread = (1.4826 * np.median(np.abs(amplitudes[of_unit] - centre))) ** 2
        keep = np.sqrt(max(0.0, 1 - noise_variance[k] / spread)) if spread > 0 else 0.0
        shrunk[of_unit] = 1 + keep * (amplitudes[of_unit] - 1)
    return np.clip(shrunk, 0.1, 4.0).astype(np.float32)
