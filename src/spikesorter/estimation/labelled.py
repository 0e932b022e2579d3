"""The labelled recording: its trace, its labels and their habits, and the sizes of its spikes."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
from scipy.ndimage import median_filter, uniform_filter1d

from spikesorter.core.spikes import Spikes
from spikesorter.estimation.context import Context
from spikesorter.estimation.profile import Profile
from spikesorter.signal.filters import fir_filter
from spikesorter.signal.noise import NoiseSpectrum
from spikesorter.signal.templates import Templates, plant, spike_amplitudes

__all__ = ["Labelled", "dead_time", "labelled_amplitudes", "measure_variance_left", "no_events", "own_sizes"]

FloatArray = npt.NDArray[np.float32]
EXCERPTS = 33  # places tried for an excerpt
MIDDLE_SHARE = 0.8  # labels in the middle relative to the best place
MUCH_VARIED = 0.2  # variance that fixed templates leave near spikes, relative to the target's noise
NEIGHBOURS = 31  # spikes of a unit, for its size at some time
OWN_SIZES = (0.3, 3.0)  # beyond these, labels are wrong rather than a unit that small or large
LONGEST_DEAD_MS = 3.0
LEAST_EXPECTED = 10.0  # pairs of labels that chance would have put into a dead time


def no_events() -> npt.NDArray[np.int64]:
    """Return an empty array of samples."""
    return np.zeros(0, np.int64)


@dataclass(frozen=True, eq=False)
class Labelled:
    """The labelled recording.

    Parameters
    ----------
    trace : ndarray of float32, shape (samples, channels)
        Without its offset.
    spikes : Spikes
        Its labels.
    profile : Profile
        Its own.
    variance_left : float
        Variance of a conditioned sample that templates leave near spikes, minus that elsewhere; mean over the
        channels. 0 if waveforms do not vary.
    missing_share : float
        Share of the spikes that seem to have no label, beside those in a dead time after others.
    hiding : ndarray of int64, shape (events,)
        Samples, in order, of events without a label that hid spikes from the labeller, by its dead time.
    noise_left : NoiseSpectrum or None
        What an explanation by templates leaves of the recording, if that is much more than the noise between
        spikes; see `between_spikes`.
    """

    trace: FloatArray
    spikes: Spikes
    profile: Profile
    variance_left: float = 0.0
    missing_share: float = 0.0
    hiding: npt.NDArray[np.int64] = field(default_factory=no_events)
    noise_left: NoiseSpectrum | None = None

    def between_spikes(self, left: NoiseSpectrum, gain: float) -> NoiseSpectrum:
        """Return a target's noise between spikes, given what an explanation by templates leaves of it.

        The noise of the labelled recording is measured between its spikes. Where spikes differ from their
        templates and hardly any part is free of them, an explanation leaves more. Taken for noise, that would
        make a target seem noisier than the labelled recording. So only what is left of the target beyond what
        is left of the labelled recording is noise that is added to the latter's. A quieter target is taken to
        be as noisy.

        Parameters
        ----------
        left : NoiseSpectrum
            Of the target.
        gain : float
            Of the target.

        Returns
        -------
        NoiseSpectrum
        """
        if self.noise_left is None:
            return left
        added = left.minus(self.noise_left.scaled(gain**2))
        return self.profile.noise.scaled(gain**2).plus(added)

    def varies_beyond(self, profile: Profile) -> float:
        """Return the variance left near spikes at a target's gain, relative to the target's noise."""
        left = self.variance_left * profile.activity.gain**2
        return left / max(float(profile.noise.variance.mean()), 1e-30)

    def units_vary(self, profile: Profile) -> bool:
        """Return whether waveforms vary too much, relative to a target's noise, for fixed templates."""
        return self.varies_beyond(profile) > MUCH_VARIED

    def narrowed(
        self, columns: tuple[int, ...], units: tuple[int, ...], kept: npt.NDArray[np.bool_]
    ) -> Labelled:
        """Return the labelled recording's channels at some positions, with the labels of some units.

        Parameters
        ----------
        columns : tuple of int
            Positions of the channels.
        units : tuple of int
            All units, of which the profile has the rates.
        kept : ndarray of bool, shape (units,)
            Units that are left.
        """
        gone = [unit for unit, stays in zip(units, kept.tolist(), strict=True) if not stays]
        return replace(
            self,
            trace=np.ascontiguousarray(self.trace[:, list(columns)]),
            spikes=self.spikes.select(~np.isin(self.spikes.unit, gone)),
            profile=self.profile.narrowed(columns, kept),
            noise_left=self.noise_left.of_channels(columns) if self.noise_left else None,
        )

    def excerpt(self, samples: int) -> Labelled:
        """Return at most this many samples: the middle or, if that has far fewer labels, where most are."""
        if len(self.trace) <= samples:
            return self
        starts = np.linspace(0, len(self.trace) - samples, EXCERPTS).astype(np.int64)
        counts = np.searchsorted(self.spikes.sample, starts + samples) - np.searchsorted(
            self.spikes.sample, starts
        )
        middle = (len(self.trace) - samples) // 2
        enough = len(self.spikes.within(middle, middle + samples)) >= MIDDLE_SHARE * counts.max()
        start = middle if enough else int(starts[counts.argmax()])
        return self._part(start, start + samples)

    def _part(self, start: int, stop: int) -> Labelled:
        spikes = self.spikes.within(start, stop).shifted(-start)
        hiding = self.hiding[(self.hiding >= start) & (self.hiding < stop)] - start
        return replace(self, trace=self.trace[start:stop], spikes=spikes, hiding=hiding)


def dead_time(labels: Spikes, n_samples: int, *, fs_hz: float) -> int:
    """Return the dead time after labelled spikes, in samples; 0 if they show none.

    It is the least interval between labelled spikes of different units, if far more than none of them would
    be shorter by chance. Within a unit, a refractory period does the same.

    Parameters
    ----------
    labels : Spikes
    n_samples : int
        Length of the labelled recording.
    fs_hz : float

    Returns
    -------
    int

    Examples
    --------
    >>> samples = np.sort(np.random.default_rng(0).integers(0, 1_500_000, 3000))
    >>> labels = Spikes.from_arrays(samples, np.arange(3000) % 3)
    >>> dead_time(labels, 1_500_000, fs_hz=25_000)
    0
    >>> apart = labels.select(np.diff(samples, prepend=-100) > 30)
    >>> dead_time(apart, 1_500_000, fs_hz=25_000)
    31
    """
    intervals, other = np.diff(labels.sample), np.diff(labels.unit) != 0
    if not other.any():
        return 0
    shortest = int(min(intervals[other].min(), LONGEST_DEAD_MS * fs_hz / 1000))
    rates = np.array(list(labels.counts().values())) / n_samples
    expected = shortest * n_samples * float(rates.sum() ** 2 - (rates**2).sum())
    return shortest if expected > LEAST_EXPECTED else 0


def measure_variance_left(
    trace: FloatArray,
    spikes: Spikes,
    templates: Templates,
    *,
    kernel: npt.NDArray[np.float64],
    window: tuple[int, int],
) -> float:
    """Measure how much waveforms vary: the variance near spikes that best-fitting templates leave.

    Parameters
    ----------
    trace : ndarray of float32, shape (samples, channels)
        Labelled recording, without its median.
    spikes : Spikes
        All known spikes.
    templates : Templates
        Of their units.
    kernel : ndarray, shape (taps,)
        The conditioning filter.
    window : tuple of int
        Samples before and after a spike's start in which the residual is measured.

    Returns
    -------
    float
        Variance of a sample of the residual, minus that elsewhere, mean over the channels. The median over
        spikes is robust against overlaps.
    """
    amplitudes = spike_amplitudes(trace, spikes, templates, kernel=kernel)
    left = fir_filter(trace - plant(len(trace), spikes, amplitudes, templates), kernel)
    before, after = window
    energy = uniform_filter1d((left.astype(np.float64) ** 2).mean(axis=1), before + after)
    at = np.clip(spikes.sample + (after - before) // 2, 0, len(trace) - 1)
    away = np.ones(len(trace), bool)
    for shift in range(-before - after, before + after + 1, max((before + after) // 2, 1)):
        away[np.clip(at + shift, 0, len(trace) - 1)] = False
    elsewhere = energy[:: before + after][away[:: before + after]]
    if len(elsewhere) == 0 or len(at) == 0:
        return 0.0
    return max(float(np.median(energy[at]) - np.median(elsewhere)), 0.0)


def own_sizes(spikes: Spikes, amplitudes: FloatArray) -> npt.NDArray[np.float64]:
    """Return the relative size that the unit of each labelled spike had at that time.

    It is the median of the unit's neighbouring spikes, relative to that of all its spikes. Units of the
    labelled recording change too, which must not be taken for a change of the target.

    Parameters
    ----------
    spikes : Spikes
    amplitudes : ndarray of float32, shape (spikes,)

    Returns
    -------
    ndarray of float64, shape (spikes,)

    Examples
    --------
    >>> spikes = Spikes.from_arrays(np.arange(400), np.ones(400))
    >>> own_sizes(spikes, np.linspace(1.2, 0.8, 400, dtype=np.float32))[[50, 200, 350]].round(2)
    array([1.15, 1.  , 0.85])
    """
    sizes = np.ones(len(spikes))
    for unit in spikes.unit_ids:
        own = spikes.unit == unit
        usual = float(np.median(amplitudes[own]))
        if usual > 0:
            around = median_filter(amplitudes[own].astype(np.float64), NEIGHBOURS, mode="nearest")
            sizes[own] = np.clip(around / usual, *OWN_SIZES)
    return sizes


def labelled_amplitudes(labelled: Labelled, context: Context) -> tuple[Spikes, FloatArray]:
    """Return the labelled spikes wholly inside the labelled trace, and their relative amplitudes."""
    templates = context.units.templates
    after = templates.waveforms.shape[1] - templates.before
    inside = labelled.spikes.within(templates.before, len(labelled.trace) - after + 1)
    own = templates.of(inside.unit_ids)
    return inside, spike_amplitudes(labelled.trace, inside, own, kernel=context.kernel)
