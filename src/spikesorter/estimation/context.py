"""`Context`: settings, sampling rate, units and conditioning filter, shared by all later steps."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from spikesorter.core.settings import Settings
from spikesorter.estimation.profile import Profile, conditioning_kernel
from spikesorter.estimation.units import Units
from spikesorter.signal.bank import Bank, make_bank
from spikesorter.signal.filters import fir_filter
from spikesorter.signal.shifts import needed_shifts, shifted, slopes
from spikesorter.signal.spans import to_samples
from spikesorter.signal.templates import Templates

__all__ = ["FORECAST", "GAIN", "PROFILE", "REFINE", "THIN", "TRAIN", "TRAIN_BASE", "TUNE", "WATCH", "Context"]

# Streams of random numbers, independent of each other.
TRAIN_BASE = (0,)
TRAIN, TUNE, FORECAST = (1, 0), (1, 1), (1, 2)
PROFILE = (2,)
REFINE = (3,)
GAIN = (4,)
THIN = (5,)
WATCH = (6,)

LEAST_RATE = 0.02  # relative to the labelled recording; a unit that appears silent may still fire


@dataclass(frozen=True, eq=False)
class Context:
    """Settings and learnt units, the same for every recording of a sorter.

    A recording itself is described by its `Profile`.

    Parameters
    ----------
    settings : Settings
    fs_hz : float
        Sampling rate.
    units : Units
        Learnt from the labelled recording.
    kernel : ndarray of float64, shape (taps,)
        Conditioning filter: drift removal and band-pass.

    Examples
    --------
    >>> units = Units(
    ...     templates=Templates((1,), np.ones((1, 2, 1), np.float32), before=0),
    ...     amplitudes=(np.ones(50, np.float32),),
    ...     intervals=(np.full(50, 500.0, np.float32),),
    ...     rates=np.array([1 / 500]),
    ...     names=("1",),
    ... )
    >>> context = Context.of(units, Settings(), fs_hz=25_000)
    >>> context.samples(2.4), len(context.kernel), context.whitening_reach
    (60, 1101, 150)
    """

    settings: Settings
    fs_hz: float
    units: Units
    kernel: npt.NDArray[np.float64]

    @classmethod
    def of(cls, units: Units, settings: Settings, *, fs_hz: float) -> Context:
        """Return the context for some units, with the conditioning filter of the settings."""
        return cls(settings, fs_hz, units, conditioning_kernel(settings.conditioning, fs_hz))

    @cached_property
    def templates(self) -> Templates:
        """The units' templates, conditioned."""
        return self.units.templates.filtered(self.kernel)

    @property
    def whitening_reach(self) -> int:
        """Samples by which whitening filters extend beyond a template on either side."""
        return self.samples(self.settings.matched_filter.whitening_reach_ms)

    def samples(self, milliseconds: float) -> int:
        """Return a length of time as a whole number of samples."""
        return to_samples(milliseconds, self.fs_hz)

    def conditioned(self, trace: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return a trace of shape (samples, channels), conditioned."""
        return fir_filter(trace, self.kernel)

    def bank(self, profile: Profile, *, shifts: int = 1) -> Bank:
        """Return the units' whitened matched filters for a recording's profile, at shifts within a sample."""
        templates = shifted(self.units.templates.scaled(profile.factors), shifts)
        return make_bank(templates, profile.noise, kernel=self.kernel, reach=self.whitening_reach)

    def shifts(self, profile: Profile) -> int:
        """Return at how many shifts within a sample templates are needed in a profile's noise.

        One, if labelled spikes start at whole samples, or if noise hides where they start.
        """
        templates = slopes(self.units.templates.scaled(profile.factors))
        bank = make_bank(templates, profile.noise, kernel=self.kernel, reach=self.whitening_reach)
        step = float(np.median(np.sqrt(bank.energies)))
        return needed_shifts(step, start_variance=self.units.start_variance)

    def log_odds(self, profile: Profile) -> npt.NDArray[np.float64]:
        """Return the log odds that a spike of each unit starts at a sample, from the firing rates."""
        return np.asarray(np.log(np.maximum(profile.activity.rates, LEAST_RATE * self.units.rates)))

    def rng(self, *stream: int) -> np.random.Generator:
        """Return a generator at the beginning of one of the streams above."""
        return np.random.default_rng([self.settings.seed, *stream])
