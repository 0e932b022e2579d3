"""Tell whether a target was filtered where the labelled recording was not."""

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
LACKING = 0.01  # ratio to the labelled noise, relative to the usual one, of what a filter has removed
FAINT = 0.5  # of the usual power of the noise itself, which is less where a filter has removed it


def octaves_lacking(noise: Float64Array, labelled: Float64Array, kernel: Float64Array) -> float:
    """Return in how many octaves a target has hardly any noise, compared with the labelled recording.

    More or less noise at all frequencies makes no difference, nor does noise of the labelled recording alone,
    as hum of a changing frequency: the target's own noise there is as strong as at others.

    Parameters
    ----------
    noise, labelled : ndarray, shape (frequencies, channels)
        Power of the noise, from 0 to half the sampling rate.
    kernel : ndarray, shape (taps,)
        The conditioning filter. What it removes does not count.

    Returns
    -------
    float

    Examples
    --------
    >>> labelled = np.ones((1025, 1))
    >>> filtered = np.where(np.arange(1025) < 20, 1e-4, 3.0)[:, None]
    >>> round(octaves_lacking(filtered, labelled, np.ones(1)), 1)  # from the first frequency to the twentieth
    4.3
    >>> octaves_lacking(9 * labelled, labelled, np.ones(1))
    0.0
    """
    passed = np.flatnonzero(response_at(kernel, 2 * (len(noise) - 1)) ** 2 >= PASSED)
    passed = passed[passed > 0]
    if len(passed) == 0:
        return 0.0
    own = noise[passed].sum(axis=1)
    ratio = own / np.maximum(labelled[passed].sum(axis=1), 1e-300)
    lacking = (ratio < LACKING * np.median(ratio)) & (own < FAINT * np.median(own))
    return float(np.log2((passed + 1) / passed)[lacking].sum())


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
