"""What a sorter holds: what its labelled recording taught, and a decoder tuned for one kind of recording."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from spikesorter.core.errors import InputError
from spikesorter.core.settings import Settings
from spikesorter.decoding.networks import Networks
from spikesorter.decoding.tuning import TunedDecoder
from spikesorter.estimation.context import Context
from spikesorter.estimation.profile import Profile
from spikesorter.estimation.rehearsal import Labelled
from spikesorter.estimation.units import Units
from spikesorter.io.recording import check_recording
from spikesorter.signal.filters import fir_margin
from spikesorter.signal.hum import hum_kernel
from spikesorter.signal.spans import Margin, to_samples
from spikesorter.sorting.diagnostics import Diagnostics
from spikesorter.sorting.forecast import Forecast
from spikesorter.sorting.look_back import Reckoning
from spikesorter.sorting.outlier_spikes import OutlierRule

if TYPE_CHECKING:
    from spikeinterface import BaseRecording

__all__ = ["Lessons", "SorterState"]

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Lessons:
    """What a labelled recording taught; the same for all targets.

    Parameters
    ----------
    context : Context
    average : ndarray of float32, shape (window, channels)
        Average labelled waveform, conditioned.
    labelled : Labelled or None
        The labelled recording itself, if the settings work on it.
    base : Networks or None
        Base networks, if the settings may need any.
    labelled_noise : ndarray of float64, shape (frequencies, channels)
        Power of the labelled recording's noise.
    """

    context: Context
    average: FloatArray
    labelled: Labelled | None
    base: Networks | None
    labelled_noise: npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class SorterState:
    """All that a sorter knows: what model files hold, under these names.

    Parameters
    ----------
    settings : Settings
    fs_hz : float
    channels : int
    units : Units
    average : ndarray of float32, shape (window, channels)
        As in `Lessons`, like `labelled`, `base` and `labelled_noise`.
    labelled : Labelled or None
    base : Networks or None
    measured : Profile
        Initial estimate of the recording adapted to: other recordings are compared with it.
    profile : Profile
        Refined estimate of the same recording.
    tuned : TunedDecoder
    forecast : Forecast
    diagnostics : Diagnostics
    labelled_noise : ndarray of float64, shape (frequencies, channels)
    unknown : OutlierRule or None
        Which spikes belong to no unit, if such are to be marked.
    rehearsed : Reckoning or None
        What the probabilities of a rehearsal say, to compare a sorted target with.
    """

    settings: Settings
    fs_hz: float
    channels: int
    units: Units
    average: FloatArray
    labelled: Labelled | None
    base: Networks | None
    measured: Profile
    profile: Profile
    tuned: TunedDecoder
    forecast: Forecast
    diagnostics: Diagnostics
    labelled_noise: npt.NDArray[np.float64]
    unknown: OutlierRule | None
    rehearsed: Reckoning | None = None

    @cached_property
    def lessons(self) -> Lessons:
        """What the labelled recording taught."""
        context = Context.of(self.units, self.settings, fs_hz=self.fs_hz)
        return Lessons(context, self.average, self.labelled, self.base, self.labelled_noise)

    @property
    def names(self) -> dict[int, str]:
        """What the labels called each labelled unit."""
        names = zip(self.units.unit_ids, self.units.names, strict=True)
        return {unit: name for unit, name in names if unit in self.units.known}

    @property
    def margin(self) -> Margin:
        """How far from a spike the samples lie that decide about it, at most."""
        decoder = self.tuned.decoder
        block = decoder.grid_samples - 1 + decoder.overlap_samples
        reach = self.tuned.point.refractory_samples + decoder.pick_reach + block
        hum = fir_margin(hum_kernel(self.profile.hum_hz, fs_hz=self.fs_hz))
        return decoder.margin + Margin(reach, reach) + hum

    def with_working_point(self, *, threshold: float | None, refractory_ms: float | None) -> SorterState:
        """Return the state with another threshold or refractory period, where one is given."""
        point = self.tuned.point
        if threshold is not None:
            point = replace(point, thresholds=(threshold,) * len(point.unit_ids))
        if refractory_ms is not None:
            point = replace(point, refractory_samples=to_samples(refractory_ms, self.fs_hz))
        return replace(self, tuned=replace(self.tuned, point=point))

    def check_fits(self, target: BaseRecording) -> None:
        """Refuse a recording of another sampling rate or number of channels.

        Raises
        ------
        InputError
        """
        check_recording(target)
        self.check_rate(float(target.get_sampling_frequency()))
        channels = target.get_num_channels()
        if channels != self.channels:
            raise InputError(f"has {channels} channels, but the sorter was fitted to {self.channels}")

    def check_rate(self, fs_hz: float) -> None:
        """Refuse another sampling rate.

        Raises
        ------
        InputError
        """
        if abs(fs_hz - self.fs_hz) > 1e-6 * self.fs_hz:
            raise InputError(
                f"sampled at {fs_hz:g} Hz, but the sorter was fitted at {self.fs_hz:g} Hz; resample it first"
            )
