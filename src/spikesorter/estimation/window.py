"""Find when waveforms begin and end, relative to a spike's start.

A band-pass filter that was applied forwards and backwards, as to many recordings, smears a spike into the
time before it; one that was applied forwards alone lets it ring. If templates begin too late or end too
early, least squares put what lies beyond into their first or last samples.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from spikesorter.core.spikes import Spikes
from spikesorter.estimation.context import Context
from spikesorter.estimation.profile import Profile
from spikesorter.estimation.units import MUCH_LEFT, share_left
from spikesorter.signal.templates import plant

__all__ = ["window_of_waveforms_ms"]

FloatArray = npt.NDArray[np.float32]
Int64Array = npt.NDArray[np.int64]
SEARCHED_MS = 6.0  # beyond the templates
MOST_LEFT = 1.0  # energy beyond a template, in variances of the noise: a d' of 1 in white noise
FEW_SPIKES = 10


def window_of_waveforms_ms(
    trace: FloatArray, spikes: Spikes, context: Context, profile: Profile
) -> tuple[float, float]:
    """Return how long before a spike's start templates should begin, and how long after it they should end.

    Parameters
    ----------
    trace : ndarray of float32, shape (samples, channels)
        Labelled recording, without its offset.
    spikes : Spikes
        Its labels.
    context : Context
        With the units, learnt from them.
    profile : Profile
        Of the recording.

    Returns
    -------
    before_ms, after_ms : float
        The settings `templates.before_ms` and `templates.after_ms`; more where waveforms begin before, or
        have not faded at the end.
    """
    templates, settings = context.units.templates, context.settings.templates
    own = spikes.select(np.isin(spikes.unit, templates.unit_ids))
    left = context.conditioned(trace - plant(len(trace), own, np.ones(len(own), np.float32), templates))
    variance = float(profile.noise.variance.mean())
    searched = np.arange(1, context.samples(SEARCHED_MS) + 1)
    after = templates.waveforms.shape[1] - templates.before
    begin, end = -templates.before, after
    for unit, share in zip(templates.unit_ids, share_left(templates.waveforms, context.fs_hz), strict=True):
        at = own.of(unit).sample
        at = at[(at > templates.before + len(searched)) & (at < len(trace) - after - len(searched))]
        if len(at) < FEW_SPIKES:
            continue
        begin = min(begin, -templates.before - _reach(left, at, -templates.before - searched, variance))
        if share > MUCH_LEFT:
            end = max(end, after + _reach(left, at, after - 1 + searched, variance))
    if end > after:  # what is left of the ends of spikes lies before others, so their start is judged later
        return settings.before_ms, _rounded_ms(end, context.fs_hz)
    if begin < -templates.before:
        return _rounded_ms(-begin, context.fs_hz), settings.after_ms
    return settings.before_ms, settings.after_ms


def _reach(left: FloatArray, at: Int64Array, offsets: Int64Array, variance: float) -> int:
    """Return at how many of the offsets from some spikes, nearest first, their median residual is not noise.

    0 unless that begins beside the template. The median does not see spikes without a label, as they lie at
    some offset of a few. What chance gives to it is taken off, and what is as large far away.
    """
    around = left[at[:, None] + offsets].astype(np.float64)
    middle = np.median(around, axis=0)
    spread = 1.4826 * np.median(np.abs(around - middle), axis=0)
    energy = (middle**2 - np.pi / 2 * spread**2 / len(at)).sum(axis=1) / variance
    third = len(energy) // 3
    energy -= max(float(energy[-third:].mean()), 0.0)
    if energy[:third].sum() <= MOST_LEFT:
        return 0
    beyond = np.cumsum(energy[::-1])[::-1]  # of all that lies at some offset or farther away
    return int(np.flatnonzero(beyond > MOST_LEFT)[-1]) + 1 if beyond.max() > MOST_LEFT else 0


def _rounded_ms(samples: int, fs_hz: float) -> float:
    return float(np.ceil(10 * 1000 * samples / fs_hz) / 10)
