"""Follow the sizes of units and the level of the noise in a stream, from what it has sorted so far."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from spikesorter.core.bad_stretches import BadStretches
from spikesorter.core.errors import SettingsError
from spikesorter.core.spikes import Spikes
from spikesorter.decoding.pursuit import PursuitDecoder, make_pursuit
from spikesorter.estimation.course import Course
from spikesorter.estimation.profile import Profile
from spikesorter.signal.filters import noise_scale
from spikesorter.signal.spans import Margin
from spikesorter.sorting.amplitudes import amplitudes, median_of
from spikesorter.sorting.state import SorterState

__all__ = ["PERIOD_SECONDS", "LiveFollowing"]

Trace = npt.NDArray[np.float32]
PERIOD_SECONDS = 2.5
DRIFT = 0.05  # SD of the change of a size in one period, relative
UNSURE = 0.5  # SD of a size that was not measured for long
SIZES, LEVELS = (0.2, 3.0), (0.2, 5.0)


class LiveFollowing:
    """Sizes and noise as they are now, and the decoder for them.

    After each period, each size is a mean of what it was and what the spikes of the period say, weighed by
    their variances: a Kalman filter for a random walk.

    Parameters
    ----------
    state : SorterState
        Of a sorter whose decoder is the pursuit.

    Raises
    ------
    SettingsError
        If its decoder is another one.
    """

    def __init__(self, state: SorterState) -> None:
        decoder = state.tuned.decoder
        if not isinstance(decoder, PursuitDecoder) or state.tuned.name != "pursuit":
            raise SettingsError(
                f"a stream that follows changes needs the decoder pursuit, but this sorter uses "
                f"{state.tuned.name}: train with --set decoder=pursuit, or do not follow"
            )
        self.decoder: PursuitDecoder = decoder
        blocks = round(PERIOD_SECONDS * state.fs_hz / decoder.grid_samples)
        self.period_samples = blocks * decoder.grid_samples
        self._context, self._start = state.lessons.context, state.profile
        self._usual = np.array([np.median(each) for each in self._context.units.amplitudes])
        self._sizes = np.broadcast_to(state.profile.course.mean_sizes, len(self._usual)).copy()
        self._errors = np.full(len(self._usual), DRIFT)
        self._measured = [np.empty(0)] * len(self._usual)  # sizes of spikes since a unit had enough of them
        self._level = 1.0

    def follow(self, trace: Trace, spikes: Spikes, bad: BadStretches) -> PursuitDecoder:
        """Return the decoder for the next period.

        Parameters
        ----------
        trace : ndarray of float32, shape (margin.before + samples + margin.after, channels)
            The last period, with the margin of the decoder's bank; without offset and hum.
        spikes : Spikes
            Found in it, counted from its first sample.
        bad : BadStretches
            In it, likewise.
        """
        margin = self.margin
        n_samples = len(trace) - margin.before - margin.after
        if bad.samples > n_samples / 2:
            return self.decoder
        self._measure_sizes(trace, spikes)
        self._measure_level(
            np.asarray(bad.without(trace[margin.before : margin.before + n_samples]), np.float32)
        )
        self.decoder = replace(
            make_pursuit(self._context, self.profile, shifts=self.decoder.shifts),
            smoothing_samples=self.decoder.smoothing_samples,
            one_unit=self.decoder.one_unit,
        )
        return self.decoder

    @property
    def margin(self) -> Margin:
        """Samples around a period that are needed to measure its amplitudes."""
        return self.decoder.bank.margin

    @property
    def profile(self) -> Profile:
        """Profile of the recording as it is now."""
        noise = self._start.noise.scaled(self._level**2)
        return replace(self._start, noise=noise, course=Course(self._sizes[None]))

    def _measure_sizes(self, trace: Trace, spikes: Spikes) -> None:
        known = spikes.select(np.isin(spikes.unit, self.decoder.unit_ids))
        columns = np.searchsorted(self.decoder.unit_ids, known.unit)
        bank = self._context.bank(self.profile)
        found = amplitudes(bank, trace, known.sample, columns)
        self._errors = np.minimum(np.hypot(self._errors, DRIFT), UNSURE)
        for k, usual in enumerate(self._usual.tolist()):
            here = self._sizes[k] * found[columns == k] / usual
            self._measured[k] = np.concatenate([self._measured[k], here])
            size, error = median_of(self._measured[k])
            if np.isfinite(size):
                weight = self._errors[k] ** 2 / (self._errors[k] ** 2 + error**2)
                self._sizes[k] = np.clip(self._sizes[k] + weight * (size - self._sizes[k]), *SIZES)
                self._errors[k] *= np.sqrt(1 - weight)
                self._measured[k] = np.empty(0)

    def _measure_level(self, trace: Trace) -> None:
        scale = noise_scale(self._context.conditioned(trace)).astype(np.float64)
        known = self._start.scale > 0
        if known.any() and scale[known].all():
            level = float(np.exp(np.mean(np.log(scale[known] / self._start.scale[known]))))
            self._level = float(np.clip(level, *LEVELS))
