"""Learn units from a labelled recording: templates, amplitudes and interval distributions."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

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
"""A unit with fewer labelled spikes gives a warning, as it is learnt badly."""

END_MS, MUCH_LEFT = 0.4, 0.1  # end of a template's window, and share of its peak that should not remain there
LEAST_EXCESS = 0.05
SHRINKING_MS = 0.4
FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Units:
    """Templates, amplitudes, intervals and rates of units.

    Parameters
    ----------
    templates : Templates
        Unfiltered, in the labelled recording's unit of voltage.
    amplitudes : tuple of ndarray of float32, one for each unit
        Relative amplitude of each labelled spike.
    intervals : tuple of ndarray of float32, one for each unit
        Samples from the previous spike to each labelled spike, in the order of `amplitudes`.
    rates : ndarray of float64, shape (units,)
        Spikes per sample in the labelled recording.
    names : tuple of str
        Names in the labels.
    unlabelled_ids : tuple of int
        Units without labels. Decoders use them, and results leave them out.
    start_variance : float
        Variance of the spikes' starts about their labels, in samples squared; see `measure_start_variance`.
    """

    templates: Templates
    amplitudes: tuple[FloatArray, ...]
    intervals: tuple[FloatArray, ...]
    rates: npt.NDArray[np.float64]
    names: tuple[str, ...]
    unlabelled_ids: tuple[int, ...] = ()
    start_variance: float = 0.0

    @property
    def unit_ids(self) -> tuple[int, ...]:
        """All units, in order; unlabelled units come last."""
        return self.templates.unit_ids

    @property
    def known(self) -> tuple[int, ...]:
        """Labelled units."""
        return tuple(unit for unit in self.unit_ids if unit not in self.unlabelled_ids)

    def of(self, kept: npt.NDArray[np.bool_]) -> Units:
        """Return some of the units.

        Parameters
        ----------
        kept : ndarray of bool, shape (units,)
        """
        ids = tuple(unit for unit, stays in zip(self.unit_ids, kept.tolist(), strict=True) if stays)
        places = np.flatnonzero(kept).tolist()
        return replace(
            self,
            templates=self.templates.of(ids),
            amplitudes=tuple(self.amplitudes[k] for k in places),
            intervals=tuple(self.intervals[k] for k in places),
            rates=self.rates[kept],
            names=tuple(self.names[k] for k in places),
            unlabelled_ids=tuple(unit for unit in self.unlabelled_ids if unit in ids),
        )


def learn_units(
    trace: FloatArray,
    spikes: Spikes,
    settings: TemplateSettings,
    *,
    kernel: npt.NDArray[np.float64],
    fs_hz: float,
    unlabelled_ids: tuple[int, ...] = (),
) -> Units:
    """Learn templates, amplitudes and intervals from a labelled recording.

    Parameters
    ----------
    trace : ndarray of float32, shape (samples, channels)
        Raw, without its median.
    spikes : Spikes
        Its labels.
    settings : TemplateSettings
    kernel : ndarray, shape (taps,)
        Conditioning filter; errors are measured after it.
    fs_hz : float
    unlabelled_ids : tuple of int
        Units of `spikes` that have no labels.

    Returns
    -------
    Units

    Raises
    ------
    InputError
        If no labelled spike lies wholly inside the recording.

    Examples
    --------
    The simulated units have peaks of 8 and 2.5:

    >>> from spikesorter.signal.filters import drift_kernel
    >>> from spikesorter.simulate import simulate_study
    >>> (labelled,) = simulate_study(units=2, seconds=4, noise_levels=())
    >>> kernel = drift_kernel(window_ms=20, fs_hz=25_000)
    >>> units = learn_units(labelled.trace, labelled.spikes, TemplateSettings(), kernel=kernel, fs_hz=25_000)
    >>> units.unit_ids, units.templates.waveforms.max(axis=(1, 2)).round(1)
    ((1, 2), array([7.9, 2.5], dtype=float32))
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
    """Warn of units that are learnt badly: from few spikes, or with a template that is cut off.

    The part beyond the template's window is taken for noise or for other spikes.

    Parameters
    ----------
    units : Units
    settings : TemplateSettings
    fs_hz : float
    """
    for name, amplitudes in zip(units.names, units.amplitudes, strict=True):
        if len(amplitudes) < FEW_SPIKES:
            logger.warning(
                "unit %s has only %d labelled spikes and will be learnt badly; at least %d are needed. If it "
                "is no unit, leave it out: --leave-out %s",
                name, len(amplitudes), FEW_SPIKES, name,
            )  # fmt: skip
    shares = share_left(units.templates.waveforms, fs_hz)
    for name, left in zip(units.names, shares, strict=True):
        if left > MUCH_LEFT:
            logger.warning(
                "the template of unit %s still has %.0f %% of its peak at its end, %g ms after the spike's "
                "start; set a longer templates.after_ms to find its spikes better",
                name, 100 * left, settings.after_ms,
            )  # fmt: skip


def share_left(waveforms: FloatArray, fs_hz: float) -> npt.NDArray[np.float64]:
    """Return the share of each template's peak that it still has at its end.

    Parameters
    ----------
    waveforms : ndarray of float32, shape (units, samples, channels)
    fs_hz : float

    Returns
    -------
    ndarray of float64, shape (units,)
    """
    end = max(to_samples(END_MS, fs_hz), 1)
    last = np.abs(waveforms[:, -end:].mean(axis=1)).max(axis=1)
    return np.asarray(last / np.abs(waveforms).max(axis=(1, 2)), np.float64)


def draw_spikes(
    units: Units, rates: tuple[float, ...], n_samples: int, rng: np.random.Generator
) -> tuple[Spikes, FloatArray]:
    """Draw spike trains with the units' interval distributions, at other rates.

    Intervals are drawn from the unit's labelled intervals. Their excess over the shortest is scaled to give
    the required rate. Each interval is drawn with the amplitude of the spike that ended it, so that spikes
    which shrink in bursts do so here as well.

    Parameters
    ----------
    units : Units
    rates : tuple of float
        Spikes per sample of each unit.
    n_samples : int
    rng : numpy.random.Generator

    Returns
    -------
    spikes : Spikes
    amplitudes : ndarray of float32, shape (spikes,)

    Examples
    --------
    >>> regular = Units(
    ...     templates=Templates((1,), np.ones((1, 2, 1), np.float32), before=0),
    ...     amplitudes=(np.ones(50, np.float32),),
    ...     intervals=(np.full(50, 500.0, np.float32),),
    ...     rates=np.array([1 / 500]),
    ...     names=("1",),
    ... )
    >>> spikes, _ = draw_spikes(regular, (1 / 250,), 10_000, np.random.default_rng(0))
    >>> np.unique(np.diff(spikes.sample))  # twice the rate, and still regular
    array([250])
    """
    samples, unit_ids, amplitudes = [], [], []
    for k, unit in enumerate(units.unit_ids):
        intervals = _rescaled(units.intervals[k].astype(float), rates[k], n_samples)
        wanted = int(1.2 * n_samples * rates[k] + 50)
        chosen = rng.integers(0, len(intervals), wanted)
        times = (np.cumsum(intervals[chosen]) - rng.uniform(0, intervals.max())).astype(np.int64)
        inside = (times >= 0) & (times < n_samples)
        samples.append(times[inside])
        unit_ids.append(np.full(inside.sum(), unit))
        amplitudes.append(units.amplitudes[k][chosen][inside])
    sample, unit_of, amplitude = (
        np.concatenate(samples),
        np.concatenate(unit_ids),
        np.concatenate(amplitudes),
    )
    order = np.lexsort((unit_of, sample))
    return Spikes.from_arrays(sample[order], unit_of[order]), amplitude[order].astype(np.float32)


def _without_noise(
    templates: Templates,
    trace: FloatArray,
    spikes: Spikes,
    *,
    kernel: npt.NDArray[np.float64],
    fs_hz: float,
) -> Templates:
    """Shrink parts of the templates that may be noise of the labelled recording."""
    left = trace - plant(len(trace), spikes, np.ones(len(spikes), np.float32), templates)
    variance = noise_scale(fir_filter(left, kernel)).astype(np.float64) ** 2
    counts = np.array(list(spikes.counts().values()))
    return templates.shrunk(
        variance / counts[:, None], window_samples=max(to_samples(SHRINKING_MS, fs_hz), 1)
    )


def _intervals(samples: npt.NDArray[np.int64], n_samples: int) -> FloatArray:
    """Return the interval before each spike; the first is set to the mean."""
    mean = n_samples / len(samples)
    return np.concatenate([[mean], np.diff(samples)]).astype(np.float32)


def _rescaled(intervals: npt.NDArray[np.float64], rate: float, n_samples: int) -> npt.NDArray[np.float64]:
    wanted = 1 / rate if rate > 0 else 10.0 * n_samples
    if len(intervals) < FEW_SPIKES:  # too few to estimate more than a rate
        quantiles = (np.arange(len(intervals)) + 0.5) / len(intervals)
        return np.asarray(-wanted * np.log1p(-quantiles))
    shortest = min(float(intervals.min()), 0.5 * wanted)
    excess = np.maximum(intervals - shortest, 0)
    if excess.mean() < LEAST_EXCESS * (wanted - shortest):  # very regular: scale the intervals themselves
        return np.asarray(intervals * wanted / intervals.mean())
    return np.asarray(shortest + excess * (wanted - shortest) / excess.mean())
