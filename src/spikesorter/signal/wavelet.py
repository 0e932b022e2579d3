"""Denoise by the stationary wavelet transform (SWT), which is shift-invariant and thus a local operator."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.stats import median_abs_deviation

from spikesorter.signal.spans import Margin

__all__ = ["denoise", "denoise_margin", "level_noise"]

Trace = npt.NDArray[np.float32]


def denoise_margin(*, wavelet: str, level: int) -> Margin:
    """Return the margin of `denoise`: analysis and synthesis filters, dilated twofold at each level.

    Examples
    --------
    >>> denoise_margin(wavelet="sym4", level=4)
    Margin(before=105, after=105)
    """
    import pywt  # here, as few recordings are denoised

    reach = (pywt.Wavelet(wavelet).dec_len - 1) * (2**level - 1)
    return Margin(reach, reach)


def level_noise(trace: Trace, *, wavelet: str, level: int) -> Trace:
    """Estimate the noise SD at each detail level from the median absolute deviation.

    Parameters
    ----------
    trace : ndarray of float32, shape (samples, channels)
        The whole recording, or a representative part.
    wavelet : str
        A PyWavelets name, `sym4` or `db4` in the published pipeline.
    level : int
        Number of levels.

    Returns
    -------
    ndarray of float32, shape (level, channels)
        Coarsest level first. The transform is scaled so that the variances of the levels add up to the
        trace's.

    Examples
    --------
    >>> noise = np.random.default_rng(0).normal(scale=2.0, size=(50_000, 1)).astype(np.float32)
    >>> level_noise(noise, wavelet="sym4", level=2)[:, 0].round(1)
    array([1. , 1.4], dtype=float32)
    """
    _, *details = _transform(trace, wavelet, level)
    return np.stack([median_abs_deviation(d, axis=0, scale="normal") for d in details]).astype(np.float32)


def denoise(trace: Trace, *, noise_sd: Trace, strength: float, wavelet: str) -> Trace:
    """Shrink the detail coefficients by a soft threshold; the approximation is kept.

    The threshold of a level is `strength` times its noise SD times sqrt(2 ln(1000)): `strength` 1 is the
    universal threshold of Donoho and Johnstone (1994) for a thousand samples. The number is fixed so that the
    result at a sample does not depend on the recording's length.

    Parameters
    ----------
    trace : ndarray of float32, shape (samples, channels)
    noise_sd : ndarray of float32, shape (level, channels)
        From `level_noise`, coarsest first.
    strength : float
        0 returns the trace as it is.
    wavelet : str
        The wavelet that `noise_sd` was estimated with.

    Returns
    -------
    ndarray of float32, shape (samples, channels)

    Examples
    --------
    >>> noise = np.random.default_rng(0).standard_normal((2048, 1)).astype(np.float32)
    >>> sd = level_noise(noise, wavelet="sym4", level=4)
    >>> bool(denoise(noise, noise_sd=sd, strength=1.0, wavelet="sym4").std() < 0.5 * noise.std())
    True
    """
    if strength == 0:
        return trace
    import pywt

    approximation, *details = _transform(trace, wavelet, len(noise_sd))
    thresholds = strength * np.sqrt(2 * np.log(1000)) * noise_sd
    shrunk = [np.sign(d) * np.maximum(np.abs(d) - t, 0) for d, t in zip(details, thresholds, strict=True)]
    return np.asarray(
        pywt.iswt([approximation, *shrunk], wavelet, norm=True, axis=0)[: len(trace)], np.float32
    )


def _transform(trace: Trace, wavelet: str, level: int) -> list[Trace]:
    """Return the SWT of a trace, coarsest level first; zero-padded so that its ends do not interact."""
    import pywt

    block = 2**level
    reach = denoise_margin(wavelet=wavelet, level=level).after
    padding = reach + (-(len(trace) + reach)) % block
    padded = np.pad(trace, ((0, padding), (0, 0)))
    return list(pywt.swt(padded, wavelet, level=level, trim_approx=True, norm=True, axis=0))
