"""Tell whether a target was filtered where the labelled recording was not."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from spikesorter.signal.filters import response_at

__all__ = ["octaves_lacking"]

Float64Array = npt.NDArray[np.float64]
PASSED = 0.5  # share of the power from which on the conditioning filter passes a frequency
LACKING = 0.01  # ratio to the labelled noise, relative to the usual one, of what a filter has removed


def octaves_lacking(noise: Float64Array, labelled: Float64Array, kernel: Float64Array) -> float:
    """Return in how many octaves a target has hardly any noise, compared with the labelled recording.

    More or less noise at all frequencies makes no difference.

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
    ratio = noise[passed].sum(axis=1) / np.maximum(labelled[passed].sum(axis=1), 1e-300)
    octaves = np.log2((passed + 1) / passed)
    return float(octaves[ratio < LACKING * np.median(ratio)].sum())
