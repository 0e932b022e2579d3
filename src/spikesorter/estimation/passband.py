"""Tell whether one of two recordings was filtered where the other one was not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from spikesorter.io.samples import centred
from spikesorter.signal.filters import fir_filter, response_at
from spikesorter.signal.noise import estimate_noise_spectrum, quiet_samples

__all__ = ["noise_of_parts", "octaves_lacking"]

Float64Array = npt.NDArray[np.float64]
SPIKE = 4.5  # robust SD
BLOCK_SAMPLES = 1 << 14
PASSED = 0.5  # share of the power from which on the conditioning filter passes a frequency
BANDS_PER_OCTAVE = 6
LOUD_PERCENTILE = 80  # of the bands: noise of these is what others are compared with, not hum or slow waves
PRESENT = 0.1  # of the noise of loud bands: less may be what the windows of the estimate leak
KEPT = 0.5  # of the usual ratio to the other recording: a band that has it was not filtered
LACKING, LEAST = 0.1, 1e-3  # of that ratio: a band with less is lacking, however far from one that was kept
PER_OCTAVE = 0.1  # at a distance of an octave: noise of another colour falls less steeply than a filter
FAINT = 0.25  # of the usual power of the noise itself


def octaves_lacking(noise: Float64Array, other: Float64Array, kernel: Float64Array) -> float:
    """Return in how many octaves a recording has hardly any noise where another one has, as after a filter.

    The noise of a filtered recording falls steeply at the edge of what the filter passes: by 12 or 18 dB an
    octave with the filters in use, where noise of another colour (white against 1/f, for instance) falls by
    6 dB at most. Frequencies that both recordings lack do not count, for their noise is what the estimate
    leaks; nor does the level, nor hum of one of them.

    Parameters
    ----------
    noise, other : ndarray, shape (frequencies, channels)
        Power of the noise of the two recordings, from 0 to half the sampling rate.
    kernel : ndarray, shape (taps,)
        The conditioning filter. What it removes does not count.

    Returns
    -------
    float

    Examples
    --------
    >>> other = np.ones((1025, 1))
    >>> filtered = np.where(np.arange(1025) < 64, 1e-4, 3.0)[:, None]
    >>> octaves_lacking(filtered, other, np.ones(1))  # from the first frequency to the 64th
    6.0
    >>> octaves_lacking(other, filtered, np.ones(1)), octaves_lacking(filtered, 9 * filtered, np.ones(1))
    (0.0, 0.0)
    """
    octaves, own, others = _band_powers(noise, other, kernel)
    if len(octaves) == 0 or own.max() <= 0 or others.max() <= 0:
        return 0.0
    present, expected = (power >= PRESENT * np.percentile(power, LOUD_PERCENTILE) for power in (own, others))
    if not (present & expected).any():
        return 0.0
    ratio = own / np.maximum(others, np.finfo(np.float64).tiny)
    ratio = ratio / np.median(ratio[present & expected])
    distance = np.abs(octaves[:, None] - octaves[ratio >= KEPT]).min(axis=1)
    most = np.minimum(LACKING, np.maximum(PER_OCTAVE**distance, LEAST))
    lacking = expected & (ratio < most) & (own < FAINT * np.median(own[present]))
    width = np.diff(octaves, append=octaves[-1] + 1 / BANDS_PER_OCTAVE)
    return float(width[lacking].sum())


def _band_powers(
    noise: Float64Array, other: Float64Array, kernel: Float64Array
) -> tuple[Float64Array, Float64Array, Float64Array]:
    """Return bands of a sixth of an octave (log2 of their lowest frequency) and both powers in them."""
    passed = np.flatnonzero(response_at(kernel, 2 * (len(noise) - 1)) ** 2 >= PASSED)
    passed = passed[passed > 0]
    bands, of = np.unique(np.floor(BANDS_PER_OCTAVE * np.log2(passed)), return_inverse=True)
    own, others = (
        np.array([np.median(power[passed[of == band]].sum(axis=1)) for band in range(len(bands))])
        for power in (noise, other)
    )
    return bands / BANDS_PER_OCTAVE, own, others


def noise_of_parts(
    parts: Sequence[npt.NDArray[Any]], kernel: Float64Array, *, n_fft: int
) -> Float64Array | None:
    """Estimate the power of a recording's noise from short parts of it, away from what may be spikes.

    Parameters
    ----------
    parts : sequence of ndarray, shape (samples, channels)
        As recorded; they may hold NaN.
    kernel : ndarray, shape (taps,)
        The conditioning filter, after which the noise is estimated.
    n_fft : int
        Even.

    Returns
    -------
    ndarray of float64, shape (n_fft // 2 + 1, channels), or None
        None if the parts are too short, or hold no noise.

    Examples
    --------
    >>> noise = np.random.default_rng(0).normal(0, 2, (4, 5000, 1))
    >>> power = noise_of_parts(list(noise), np.ones(1), n_fft=64)
    >>> power.shape, power.mean().round(1)
    ((33, 1), np.float64(4.0))
    >>> noise_of_parts([np.zeros((5000, 1))], np.ones(1), n_fft=64) is None
    True
    """
    reach, gap = len(kernel) // 2, np.zeros((n_fft // 2, parts[0].shape[1]), np.float32)
    pieces: list[npt.NDArray[np.float32]] = []
    for part in parts:
        finite = np.isfinite(part).all(axis=1)
        if len(part) > 2 * reach and finite.any():
            known = np.where(finite[:, None], centred(part, np.median(part[finite], axis=0)), np.float32(0))
            pieces += [fir_filter(known, kernel)[reach : len(part) - reach], gap]
    if not pieces or not (trace := np.concatenate(pieces)).any():
        return None
    quiet = quiet_samples(trace, threshold=SPIKE, before=n_fft // 16, after=n_fft // 16)
    quiet &= trace.any(axis=1)  # neither the gaps nor what is missing
    if quiet.sum() < 2 * n_fft:
        return None
    return estimate_noise_spectrum(trace, quiet, n_fft=n_fft, block_samples=BLOCK_SAMPLES).power
