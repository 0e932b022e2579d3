"""Make rehearsals of one profile for training, tuning and forecasting, by the settings."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from spikesorter.estimation.context import FORECAST, TUNE, Context
from spikesorter.estimation.labelled import Labelled, dead_time
from spikesorter.estimation.profile import Profile
from spikesorter.estimation.rehearsal import Rehearsal, graft_rehearsal, plant_rehearsal, with_more_spikes
from spikesorter.io.samples import shortest_samples
from spikesorter.signal.gain import SILENT
from spikesorter.signal.noise import estimate_noise_spectrum

__all__ = ["Rehearser"]

SECONDS_OF_EACH_GAIN = 1.0


@dataclass(frozen=True, eq=False)
class Rehearser:
    """Maker of rehearsals of one profile.

    Parameters
    ----------
    context : Context
    profile : Profile
        Of the recording to be rehearsed.
    labelled : Labelled or None
        The labelled recording, if rehearsals are made from it.
    """

    context: Context
    profile: Profile
    labelled: Labelled | None

    @property
    def grafts(self) -> bool:
        """Whether rehearsals are made from the labelled trace (grafted)."""
        return self.context.settings.rehearsal.method == "graft" and self.labelled is not None

    @property
    def published(self) -> bool:
        """Whether decoders are tuned on the labelled trace itself, as published."""
        return self.context.settings.tuning.on == "labelled"

    @property
    def cross_fits(self) -> bool:
        """Whether each part of a rehearsal is decoded by what was learnt from the other parts."""
        return self.grafts and not self.published

    @property
    def units_vary(self) -> bool:
        """Whether waveforms vary too much, relative to this noise, for fixed templates."""
        return self.cross_fits and self.labelled is not None and self.labelled.units_vary(self.profile)

    @property
    def labelled_units_vary(self) -> bool:
        """Whether they vary too much relative to the labelled recording's own noise."""
        return (
            self.cross_fits and self.labelled is not None and self.labelled.units_vary(self.labelled.profile)
        )

    def rehearse(self, seconds: float, rng: np.random.Generator) -> Rehearsal:
        """Make a rehearsal, planted or grafted by the settings."""
        if not self.grafts or self.labelled is None:
            return self.plant(seconds, rng)
        lengths, fs_hz = self.context.settings.rehearsal, self.context.fs_hz
        most = int((lengths.tuning_seconds + lengths.forecast_seconds) * fs_hz)
        part = self.labelled if self.published else self.labelled.excerpt(most)
        n_samples = len(part.trace) if self.published else int(seconds * fs_hz)
        grafted = graft_rehearsal(part, self.context, self.profile, n_samples=n_samples, rng=rng)
        return with_more_spikes(grafted, self.context, self.profile, rng) if self._may_add(part) else grafted

    def _may_add(self, part: Labelled) -> bool:
        """Return whether spikes may be planted beside labelled ones.

        Mean waveforms are too easy to find where waveforms vary, the rates of units are not known well beside
        background spikes, and in a dead time spikes have no labels.
        """
        known = not self.units_vary and self.profile.background == SILENT
        dead_samples = dead_time(part.spikes, len(part.trace), fs_hz=self.context.fs_hz)
        return known and not self.published and dead_samples == 0

    def plant(self, seconds: float, rng: np.random.Generator) -> Rehearsal:
        """Make a planted rehearsal that is long enough for a training window."""
        fs_hz, settings = self.context.fs_hz, self.context.settings
        return plant_rehearsal(
            self.context,
            self.profile,
            n_samples=max(int(seconds * fs_hz), shortest_samples(settings)),
            gain_jitter=settings.rehearsal.gain_jitter,
            jitter_samples=int(SECONDS_OF_EACH_GAIN * fs_hz),
            rng=rng,
        )

    def for_tuning(self) -> Rehearsal:
        """Make the rehearsal to tune decoders on (published: the labelled recording itself)."""
        if self.published and self.labelled is not None:
            trace = self.labelled.trace
            return Rehearsal(trace, trace, self.labelled.spikes, len(trace))
        return self.rehearse(self.context.settings.rehearsal.tuning_seconds, self.context.rng(*TUNE))

    def for_forecast(self) -> Rehearsal:
        """Make a planted rehearsal that is not used in training or tuning."""
        return self.plant(self.context.settings.rehearsal.forecast_seconds, self.context.rng(*FORECAST))

    def noise_power(self, rehearsal: Rehearsal) -> npt.NDArray[np.float64]:
        """Return the power of a rehearsal's noise, both added and of the labelled trace.

        Parameters
        ----------
        rehearsal : Rehearsal
            Made by this rehearser.

        Returns
        -------
        ndarray of float64, shape (frequencies, channels)
            See `NoiseSpectrum.power`.
        """
        noise = self.context.conditioned(rehearsal.trace - rehearsal.clean)
        everywhere = np.ones(len(noise), bool)
        n_fft = self.context.settings.noise.n_fft
        added = estimate_noise_spectrum(noise, everywhere, n_fft=n_fft).power
        if not self.grafts or self.labelled is None:
            return added
        return added + self.labelled.profile.noise.scaled(self.profile.activity.gain**2).power
