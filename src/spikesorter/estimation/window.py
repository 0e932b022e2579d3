"""Find how long before a spike's start its waveform begins.

A band-pass filter that was applied forwards and backwards, as to many recordings, smears a spike into the
time before it. If templates begin too late, least squares put what lies before them into their first samples.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from spikesorter.core.spikes import Spikes
from spikesorter.estimation.context import Context
from spikesorter.estimation.profile import Profile
from spikesorter.signal.templates import plant

__all__ = ["start_of_waveforms_ms"]

FloatArray = npt.NDArray[np.float32]
SEARCHED_MS = 6.0  # before the templates
MOST_LEFT = 1.0  # energy before a template, in variances of the noise: a d' of 1 in white noise
FEW_SPIKES = 10


def start_of_waveforms_ms(trace: FloatArray, spikes: Spikes, context: Context, profile: Profile) -> float:
    """Return how long before a spike's start templates should begin.

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
    float
        In milliseconds. The setting `templates.before_ms`, if waveforms do not begin before it.
    """
    templates, fs_hz = context.units.templates, context.fs_hz
    own = spikes.select(np.isin(spikes.unit, templates.unit_ids))
    left = context.conditioned(trace - plant(len(trace), own, np.ones(len(own), np.float32), templates))
    offsets = np.arange(-templates.before - context.samples(SEARCHED_MS), -templates.before)
    variance = float(profile.noise.variance.mean())
    earliest = templates.before
    for unit in templates.unit_ids:
        at = own.of(unit).sample
        at = at[(at + offsets[0] >= 0) & (at < len(trace))]
        if len(at) < FEW_SPIKES:
            continue
        before = np.cumsum(_energy(left, at, offsets)) / variance  # of all that lies before some offset
        much = np.flatnonzero(before > MOST_LEFT)
        if len(much) and before[-1] > MOST_LEFT:
            earliest = max(earliest, -int(offsets[much[0]]))
    if earliest == templates.before:
        return context.settings.templates.before_ms
    return float(np.ceil(10 * 1000 * earliest / fs_hz) / 10)


def _energy(left: FloatArray, at: npt.NDArray[np.int64], offsets: npt.NDArray[np.int64]) -> FloatArray:
    """Return the energy of the mean residual at each offset from some spikes, less what chance gives it."""
    around = left[at[:, None] + offsets].astype(np.float64)
    chance = around.var(axis=0) / len(at)
    return np.asarray((around.mean(axis=0) ** 2 - chance).sum(axis=1), np.float32)
