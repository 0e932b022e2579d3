"""Simulate studies: units with known templates in increasing noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from spikesorter.core.progress import Progress, silent
from spikesorter.core.spikes import Spikes
from spikesorter.signal.noise import NoiseSpectrum, synthesise_noise
from spikesorter.signal.spans import to_samples
from spikesorter.signal.templates import Templates, plant

__all__ = ["SimulatedRecording", "simulate_study"]

FloatArray = npt.NDArray[np.float32]
LABELLED_NOISE = 0.3
NOISE_LEVELS = (0.5, 1.0, 2.0)
LENGTH_MS = 5.6
FADE_MS = 2.0  # end of a template, over which it fades out
EDGE_MS = 2.0  # at either end of a recording, without spikes
DRIFT_CORNER_HZ = 5.0
SHARED = 0.5  # share of the noise's power that two channels have in common
PLACES = 1  # stream of random numbers
N_FFT = 8192


@dataclass(frozen=True, eq=False)
class SimulatedRecording:
    """A simulated trace of shape (samples, channels) and its spikes.

    Examples
    --------
    >>> labelled, target = simulate_study(units=2, seconds=1, noise_levels=(1.0,), spikes_per_s=20)
    >>> target.trace.shape, target.spikes.unit_ids
    ((25000, 1), (1, 2))
    """

    trace: FloatArray
    spikes: Spikes


def simulate_study(
    *,
    units: int = 4,
    seconds: float = 30.0,
    noise_levels: tuple[float, ...] = NOISE_LEVELS,
    spikes_per_s: float = 50.0,
    fs_hz: float = 25_000.0,
    channels: int = 1,
    seed: int = 0,
    progress: Progress = silent,
) -> list[SimulatedRecording]:
    """Simulate a labelled recording and its targets: white noise, slow drift, overlapping spikes.

    Parameters
    ----------
    units : int
        Number of units. Their peaks range from 8 to 2.5, in an arbitrary unit of voltage.
    seconds : float
        Length of each recording.
    noise_levels : tuple of float
        SD of each target's white noise, in the same unit. The labelled recording has 0.3.
    spikes_per_s : float
        Rate of all units together, at Poisson times.
    fs_hz : float
    channels : int
        Number of neighbouring contacts. Each unit is largest on one of them. Channels share half of the
        noise's power.
    seed : int
    progress : callable, optional

    Returns
    -------
    list of SimulatedRecording
        The labelled recording first, then the targets.

    Examples
    --------
    >>> labelled, target = simulate_study(seconds=2, noise_levels=(1.0,))
    >>> labelled.trace.shape, labelled.spikes.unit_ids
    ((50000, 1), (1, 2, 3, 4))
    """
    rng = np.random.default_rng(seed)
    templates = _shapes(units, fs_hz, _nearness(units, channels, seed), rng)
    levels = (LABELLED_NOISE, *noise_levels)
    recordings: list[SimulatedRecording] = []
    for level in levels:
        progress("simulating", len(recordings) / len(levels))
        recordings.append(_record(templates, seconds, level, spikes_per_s, fs_hz, rng))
    progress("simulating", 1.0)
    return recordings


def _nearness(units: int, channels: int, seed: int) -> FloatArray:
    """Draw the relative amplitude of each unit on each channel, at most 1, shape (units, channels)."""
    near = np.random.default_rng([seed, PLACES]).random((units, channels), dtype=np.float32)
    return np.asarray(near / near.max(axis=1, keepdims=True), np.float32)


def _shapes(units: int, fs_hz: float, nearness: FloatArray, rng: np.random.Generator) -> Templates:
    """Draw templates: a fast rise and decay (an alpha function) minus a slower after-potential."""
    time_ms = np.arange(to_samples(LENGTH_MS, fs_hz)) * 1000 / fs_hz
    fade = 0.5 + 0.5 * np.cos(np.pi * np.clip((time_ms - LENGTH_MS) / FADE_MS + 1, 0, 1))
    waveforms = []
    for peak in np.linspace(8.0, 2.5, units):
        rise_ms = rng.uniform(0.15, 0.5)
        spike = _alpha(time_ms, rise_ms) - rng.uniform(0.0, 0.5) * _alpha(time_ms, 4 * rise_ms)
        waveforms.append(peak * fade * spike / (fade * spike).max())
    on_channels = np.array(waveforms, np.float32)[:, :, None] * nearness[:, None]
    return Templates(tuple(range(1, units + 1)), on_channels, before=0)


def _alpha(time_ms: npt.NDArray[np.float64], peak_ms: float) -> npt.NDArray[np.float64]:
    return np.asarray(time_ms / peak_ms * np.exp(1 - time_ms / peak_ms))


def _record(
    templates: Templates,
    seconds: float,
    level: float,
    spikes_per_s: float,
    fs_hz: float,
    rng: np.random.Generator,
) -> SimulatedRecording:
    n_samples, edge = int(seconds * fs_hz), to_samples(EDGE_MS, fs_hz)
    count = rng.poisson(spikes_per_s * seconds)
    drawn = rng.integers(edge, n_samples - edge, count), rng.choice(templates.unit_ids, count)
    spikes = Spikes.from_arrays(*np.unique(drawn, axis=1))  # no neuron fires twice at one sample
    frequency_hz = np.fft.rfftfreq(N_FFT, 1 / fs_hz)
    drift = 1 / (DRIFT_CORNER_HZ**2 + frequency_hz**2)
    channels = templates.waveforms.shape[2]
    shared = np.where(np.eye(channels, dtype=bool), 1.0, SHARED)
    power = level**2 * (1 + drift / drift.mean())
    noise = NoiseSpectrum((power[:, None, None] * shared).astype(np.complex128))
    clean = plant(n_samples, spikes, np.ones(len(spikes), np.float32), templates)
    return SimulatedRecording(clean + synthesise_noise(noise, n_samples, rng), spikes)
