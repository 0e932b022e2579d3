"""Templates for spikes that start between samples, and how far labelled spikes start from their labels.

A spike starts at any moment, and its label is a whole sample. A template, the mean of a unit's spikes, is
therefore smoother than each of them, and up to half a sample off. Where noise is low, that matters more than
the noise does.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import fft

from spikesorter.core.spikes import Spikes
from spikesorter.signal.bank import Bank
from spikesorter.signal.templates import Templates

__all__ = ["measure_start_variance", "needed_shifts", "shifted", "slopes"]

Trace = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]
SHIFTS = (1, 2, 4)
MOST_OFF = 1.0  # d' by which a spike may differ from the nearest template for the moment at which it starts
LEAST_START_VARIANCE = 0.04  # samples squared; half that of spikes that start anywhere within a sample
PADDING = 32  # samples at either end of a template, so that what is shifted does not wrap around


def shifted(templates: Templates, shifts: int) -> Templates:
    """Return each template at some shifts within a sample, evenly spread about 0; their mean is the template.

    Parameters
    ----------
    templates : Templates
    shifts : int

    Returns
    -------
    Templates
        Of shape (units * shifts, before + after, channels); the shifts of a unit follow each other, the
        earliest first.

    Examples
    --------
    >>> waveform = np.exp(-0.5 * ((np.arange(60) - 30) / 4) ** 2)[None, :, None].astype(np.float32)
    >>> both = shifted(Templates((7,), waveform, before=10), 2)
    >>> both.unit_ids, bool(np.allclose(both.waveforms.mean(axis=0), waveform[0], atol=1e-6))
    ((7, 7), True)
    >>> (np.arange(60) @ both.waveforms[:, :, 0].T / both.waveforms[:, :, 0].sum(axis=1)).round(2)
    array([29.75, 30.25])
    """
    if shifts == 1:
        return templates
    padded = np.pad(templates.waveforms.astype(np.float64), ((0, 0), (PADDING, PADDING), (0, 0)))
    length = padded.shape[1]
    by = (np.arange(shifts) + 0.5) / shifts - 0.5
    factors = np.exp(-2j * np.pi * by[:, None] * fft.rfftfreq(length))
    factors /= factors.mean(axis=0).real
    transforms = fft.rfft(padded, axis=1)[:, None] * factors[None, :, :, None]
    waveforms = fft.irfft(transforms, length, axis=2)[:, :, PADDING:-PADDING]
    unit_ids = tuple(unit for unit in templates.unit_ids for _ in range(shifts))
    return Templates(
        unit_ids, waveforms.reshape(-1, *templates.waveforms.shape[1:]).astype(np.float32), templates.before
    )


def slopes(templates: Templates) -> Templates:
    """Return the change of each template for a spike that starts one sample earlier, for small shifts.

    Examples
    --------
    >>> ramp = np.pad(np.arange(5), 20).astype(np.float32)[None, :, None]
    >>> slopes(Templates((1,), ramp, before=0)).waveforms[0, 21:24, 0]
    array([1., 1., 1.], dtype=float32)
    """
    return Templates(templates.unit_ids, np.gradient(templates.waveforms, axis=1), templates.before)


def needed_shifts(step: float, *, start_variance: float) -> int:
    """Return at how many shifts within a sample templates are needed.

    Parameters
    ----------
    step : float
        d' of a shift by one sample.
    start_variance : float
        From `measure_start_variance`.

    Returns
    -------
    int
        1, 2 or 4; 1 if spikes start at whole samples, or if noise hides where they start.

    Examples
    --------
    >>> [needed_shifts(step, start_variance=1 / 12) for step in (1.5, 3.5, 12.0)]
    [1, 2, 4]
    >>> needed_shifts(12.0, start_variance=0.01)
    1
    """
    if start_variance < LEAST_START_VARIANCE:
        return 1
    return next((shifts for shifts in SHIFTS if step / (2 * shifts) <= MOST_OFF), SHIFTS[-1])


def measure_start_variance(left: Trace, spikes: Spikes, bank: Bank, unit_ids: tuple[int, ...]) -> float:
    """Measure how far labelled spikes start from their labels, beyond what noise makes of it.

    Parameters
    ----------
    left : ndarray of float32, shape (samples, channels)
        The labelled recording without its spikes, each subtracted as a template.
    spikes : Spikes
        The labelled spikes.
    bank : Bank
        Of the templates' `slopes`.
    unit_ids : tuple of int
        Of the bank.

    Returns
    -------
    float
        Variance in samples squared: 1/12 if spikes start anywhere within the labelled sample (by the median
        deviation: 1/7). The median of the units'.
    """
    margin = bank.margin
    inside = spikes.within(margin.before, len(left) - margin.after)
    outputs = bank.apply(left)[inside.sample - margin.before]
    measured = []
    for k, unit in enumerate(unit_ids):
        own = outputs[inside.unit == unit, k].astype(np.float64) / bank.energies[k]
        if len(own):
            spread = 1.4826 * float(np.median(np.abs(own - np.median(own))))
            measured.append(spread**2 - 1 / bank.energies[k])
    return max(float(np.median(measured)), 0.0) if measured else 0.0
