"""What a labelled recording teaches about its neurons: shapes, sizes and firing habits."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from spikesorter.core.errors import InputError
from spikesorter.core.sections import TemplateSettings
from spikesorter.core.spikes import Spikes
from spikesorter.signal.filters import fir_filter, noise_scale
from spikesorter.signal.spans import to_samples
from spikesorter.signal.templates import Templates, estimate_templates, plant, spike_amplitudes

__all__ = ["FEW_SPIKES", "Units", "draw_spikes", "learn_units", "warn_of_labels"]

logger = logging.getLogger(__name__)
FEW_SPIKES = 20
"""A class with fewer labelled spikes than this is learnt badly: worth a warning."""

END_MS, MUCH_LEFT = 0.4, 0.1  # of a window, and of a peak: a shape that has not died away by then
LEAST_EXCESS = 0.05
SHRINKING_MS = 0.4
FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Units:
    """What is known of each neuron.

    Parameters
    ----------
    templates : Templates
        Shape of each class, in the labelled recording's unit, unfiltered.
    amplitudes : tuple of ndarray of float32, one a class
        Relative size of each labelled spike.
    intervals : tuple of ndarray of float32, one a class
        Samples from the spike before to each labelled spike; same lengths as `amplitudes`.
    rates : ndarray of float64, shape (classes,)
        Spikes per sample in the labelled recording.
    names : tuple of str
        What the classes are called in the labels.
    unlabelled_ids : tuple of int
        Those of the classes that nobody labelled: they explain spikes, and are left out of results.
    """

    templates: Templates
    amplitudes: tuple[FloatArray, ...]
    intervals: tuple[FloatArray, ...]
    rates: npt.NDArray[np.float64]
    names: tuple[str, ...]
    unlabelled_ids: tuple[int, ...] = ()

    @property
    def unit_ids(self) -> tuple[int, ...]:
        """The classes, in order; strangers come last."""
        return self.templates.unit_ids

    @property
    def known(self) -> tuple[int, ...]:
        """The classes that were labelled."""
        return tuple(unit for unit in self.unit_ids if unit not in self.unlabelled_ids)


def learn_units(
    trace: FloatArray,
    spikes: Spikes,
    settings: TemplateSettings,
    *,
    kernel: npt.NDArray[np.float64],
    fs_hz: float,
    unlabelled_ids: tuple[int, ...] = (),
) -> Units:
    """Learn shapes, sizes and intervals from a labelled recording.

    Parameters
    ----------
    trace : ndarray of float32, shape (samples, channels)
        Raw, less its median.
    spikes : Spikes
        Its labels.
    settings : TemplateSettings
    kernel : ndarray, shape (taps,)
        Filter under which errors are measured: removes drift.
    fs_hz : float
    unlabelled_ids : tuple of int
        Labels that nobody gave.

    Returns
    -------
    Units

    Raises
    ------
    InputError
        If no labelled spike lies wholly inside the recording.
    """
    before, after = to_samples(settings.before_ms, fs_hz), to_samples(settings.after_ms, fs_hz)
    inside = spikes.within(before, len(trace) - after + 1)
    if len(inside) == 0:
        raise InputError("labels: no spike lies wholly inside the recording")
    templates = estimate_templates(trace, inside, before=before, after=after, kernel=kernel)
    templates = _without_noise(templates, trace, inside, kernel=kernel, fs_hz=fs_hz)
    amplitudes = spike_amplitudes(trace, inside, templates, kernel=kernel)
    of_unit = [inside.unit == unit for unit in templates.unit_ids]
    return Units(
        templates=templates,
        amplitudes=tuple(amplitudes[mask] for mask in of_unit),
        intervals=tuple(_intervals(inside.sample[mask], len(trace)) for mask in of_unit),
        rates=np.array([mask.sum() / len(trace) for mask in of_unit]),
        names=tuple(spikes.name_of(unit) for unit in templates.unit_ids),
        unlabelled_ids=unlabelled_ids,
    )


def warn_of_labels(units: Units, settings: TemplateSettings, *, fs_hz: float) -> None:
    """Warn of neurons that are learnt badly: from few spikes, or with shapes that their window cuts off.

    What is cut off is taken for noise, or for spikes.

    Parameters
    ----------
    units : Units
    settings : TemplateSettings
    fs_hz : float
    """
    for name, amplitudes in zip(units.names, units.amplitudes, strict=True):
        if len(amplitudes) < FEW_SPIKES:
            logger.warning(
                "class %s has only %d labelled spikes (%d or more are wanted): it will be learnt badly",
                name, len(amplitudes), FEW_SPIKES,
            )  # fmt: skip
    end = max(to_samples(END_MS, fs_hz), 1)
    for name, waveform in zip(units.names, units.templates.waveforms, strict=True):
        left = np.abs(waveform[-end:].mean(axis=0)).max() / np.abs(waveform).max()
        if left > MUCH_LEFT:
            logger.warning(
                "class %s still has %.0f %% of its peak at the end of its window of %g ms; longer shapes "
                "(templates.after_ms) would find its spikes better",
                name, 100 * left, settings.after_ms,
            )  # fmt: skip


def draw_spikes(
    units: Units, rates: tuple[float, ...], n_samples: int, rng: np.random.Generator
) -> tuple[Spikes, FloatArray]:
    """Draw spikes that fire as the labelled ones do, at other rates.

    Each class's intervals are drawn from its labelled ones, stretched above the shortest of them so as to
    give the rate wanted; each interval brings the size of the spike that followed it, so that spikes that
    shrink in bursts do so here.

    Parameters
    ----------
    units : Units
    rates : tuple of float
        Spikes per sample of each class.
    n_samples : int
    rng : numpy.random.Generator

    Returns
    -------
    spikes : Spikes
    amplitudes : ndarray of float32, shape (spikes,)
    """
    samples, unit_ids, amplitudes = [], [], []
    for k, unit in enumerate(units.unit_ids):
        intervals = _stretched(units.intervals[k].astype(float), rates[k], n_samples)
        wanted = int(1.2 * n_samples * rates[k] + 50)
        chosen = rng.integers(0, len(intervals), wanted)
        times = (np.cumsum(intervals[chosen]) - rng.uniform(0, intervals.max())).astype(np.int64)
        inside = (times >= 0) & (times < n_samples)
        samples.append(times[inside])
        unit_ids.append(np.full(inside.sum(), unit))
        amplitudes.append(units.amplitudes[k][chosen][inside])
    sample, label_of, amplitude = (
        np.concatenate(samples),
        np.concatenate(unit_ids),
        np.concatenate(amplitudes),
    )
    order = np.lexsort((label_of, sample))
    return Spikes.from_arrays(sample[order], label_of[order]), amplitude[order].astype(np.float32)


def _without_noise(
    templates: Templates,
    trace: FloatArray,
    spikes: Spikes,
    *,
    kernel: npt.NDArray[np.float64],
    fs_hz: float,
) -> Templates:
    """Shrink away what the noise of the labelled recording adds to the shapes."""
    left = trace - plant(len(trace), spikes, np.ones(len(spikes), np.float32), templates)
    variance = noise_scale(fir_filter(left, kernel)).astype(np.float64) ** 2
    counts = np.array(list(spikes.counts().values()))
    return templates.shrunk(
        variance / counts[:, None], window_samples=max(to_samples(SHRINKING_MS, fs_hz), 1)
    )


def _intervals(samples: npt.NDArray[np.int64], n_samples: int) -> FloatArray:
    """Intervals before each spike; the first one's is taken to be the mean."""
    mean = n_samples / len(samples)
    return np.concatenate([[mean], np.diff(samples)]).astype(np.float32)


def _stretched(intervals: npt.NDArray[np.float64], rate: float, n_samples: int) -> npt.NDArray[np.float64]:
    wanted = 1 / rate if rate > 0 else 10.0 * n_samples
    if len(intervals) < FEW_SPIKES:  # too few to say more than a rate
        quantiles = (np.arange(len(intervals)) + 0.5) / len(intervals)
        return np.asarray(-wanted * np.log1p(-quantiles))
    shortest = min(float(intervals.min()), 0.5 * wanted)
    excess = np.maximum(intervals - shortest, 0)
    if excess.mean() < LEAST_EXCESS * (wanted - shortest):  # as regular as a clock: slow the clock
        return np.asarray(intervals * wanted / intervals.mean())
    return np.asarray(shortest + excess * (wanted - shortest) / excess.mean())
