"""Data of a sorter: what was learnt from its labelled recording, and a tuned decoder."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from numbers import Real
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from spikesorter.core.errors import InputError, SettingsError
from spikesorter.core.sections import MOST_REFRACTORY_MS
from spikesorter.core.settings import Settings
from spikesorter.core.spike import same_rate, shown_hz
from spikesorter.decoding.base import Decoder
from spikesorter.decoding.networks import Networks
from spikesorter.decoding.thresholds import Grid
from spikesorter.decoding.training_record import TrainingRecord
from spikesorter.decoding.tuning import TunedDecoder
from spikesorter.estimation.context import Context
from spikesorter.estimation.labelled import Labelled
from spikesorter.estimation.profile import Profile
from spikesorter.estimation.units import Units
from spikesorter.io.recording import check_recording
from spikesorter.io.recording_parts import in_order, lacks_channels
from spikesorter.io.samples import shortest_samples
from spikesorter.signal.filters import fir_margin
from spikesorter.signal.hum import hum_kernel
from spikesorter.signal.screen import Screen
from spikesorter.signal.spans import Margin, to_samples
from spikesorter.sorting.diagnostics import Diagnostics
from spikesorter.sorting.doubts import doubt_of_band, doubt_of_level
from spikesorter.sorting.following import Following, digest_of
from spikesorter.sorting.forecast import Forecast
from spikesorter.sorting.look_back import Reckoning
from spikesorter.sorting.outlier_spikes import OutlierRule
from spikesorter.sorting.screens import new_screen

if TYPE_CHECKING:
    from spikeinterface import BaseRecording

__all__ = ["Lessons", "SorterState", "check_threshold"]

FloatArray = npt.NDArray[np.float32]
SEEN = 0.75  # share of the energy of each unit's waveform by which units are told apart
MOST_SEEN_MS = 2.0


@dataclass(frozen=True, eq=False)
class Lessons:
    """What was learnt from a labelled recording, the same for all targets.

    Parameters
    ----------
    context : Context
    average : ndarray of float32, shape (window, channels)
        Average labelled waveform, conditioned.
    labelled : Labelled or None
        The labelled recording, if the settings make rehearsals from it.
    base : Networks or None
        Base networks, if the settings may need them.
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
    """All data of a sorter, saved in model files under these names.

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
        Initial estimate of the recording adapted to, for comparison with other recordings.
    profile : Profile
        Refined estimate of the same recording.
    tuned : TunedDecoder
    forecast : Forecast
    diagnostics : Diagnostics
    labelled_noise : ndarray of float64, shape (frequencies, channels)
    unknown : OutlierRule or None
        Rule for outlier spikes, if they are to be marked.
    rehearsed : Reckoning or None
        Quality estimated from a rehearsal's probabilities, for comparison with a sorted target.
    screen : Screen or None
        What is an artefact; None in a model of an older version, which then finds none.
    following : Following or None
        Decoders for the parts of the recording adapted to, if it changes.
    channel_ids : tuple of str
        Of the labelled recording; none in a model of an older version.
    recording : str
        Digest of the recording that it was adapted to; "" if there is none, or in an older model.
    grid : Grid or None
        What thresholds and refractory period were tuned on, if the decoder tunes both.
    training : TrainingRecord or None
        Of the decoder's networks, if they were trained for this recording. Both are for display only.
    used : tuple of int
        Positions, among the labelled recording's channels, of those that the sorter goes by; none: all. The
        others are broken in the recording that it was adapted to; see `sorting.channels`.
    remark : str
        Why the others are left out, in words.
    asked : tuple of float or None
        Threshold and refractory period (ms) that were asked for instead of the tuned ones.
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
    screen: Screen | None = None
    following: Following | None = None
    channel_ids: tuple[str, ...] = ()
    recording: str = ""
    grid: Grid | None = None
    training: TrainingRecord | None = None
    used: tuple[int, ...] = ()
    remark: str = ""
    asked: tuple[float | None, ...] = (None, None)

    @property
    def columns(self) -> tuple[int, ...]:
        """Positions of the channels that it goes by, among those of the labelled recording."""
        return self.used or tuple(range(self.channels))

    @property
    def used_ids(self) -> tuple[str, ...]:
        """Ids, in the labelled recording, of the channels that it goes by; positions in an older model."""
        return tuple(self.channel_ids[k] if self.channel_ids else str(k) for k in self.columns)

    @property
    def left_out(self) -> tuple[str, ...]:
        """Ids of the other channels, that are broken."""
        return tuple(self.channel_ids[k] for k in range(len(self.channel_ids)) if k not in self.columns)

    @property
    def received(self) -> int:
        """Number of channels of the labelled recording, and of those to sort."""
        return len(self.channel_ids) or self.channels

    @property
    def own_screen(self) -> Screen:
        """The screen, or in a model of an older version one that finds no artefacts."""
        return self.screen or new_screen(fs_hz=self.fs_hz, channels=self.channels)

    @cached_property
    def seen_samples(self) -> int:
        """Samples from a spike's start that must be good: with fewer, one unit is taken for another."""
        seen = self.units.templates.of(self.units.known).seen_after(SEEN)
        return min(seen, to_samples(MOST_SEEN_MS, self.fs_hz))

    @property
    def hum_filter(self) -> npt.NDArray[np.float64] | None:
        """Filter that removes the recording's hum, if it has any."""
        return hum_kernel(self.profile.hum_hz, fs_hz=self.fs_hz) if self.profile.hum_hz else None

    def decoder_for(self, recording: BaseRecording) -> Decoder:
        """Return the decoder for a recording: in parts, if it is the one adapted to and it changes."""
        following, decoder = self.following, self.tuned.decoder
        if following is None or following.recording != digest_of(recording):
            return decoder
        return following.decoder(decoder)

    def expected_spikes(self, n_samples: int) -> dict[int, float]:
        """Return how many spikes of each labelled unit so many samples of the recording adapted to have."""
        rates = zip(self.units.unit_ids, self.profile.activity.rates, strict=True)
        return {unit: float(n_samples * rate) for unit, rate in rates if unit in self.units.known}

    def doubt(self, recording: BaseRecording) -> str:
        """Return in words that a recording is unlike the one adapted to, or ""."""
        n_samples, shortest = recording.get_num_frames(), shortest_samples(self.settings)
        if n_samples < shortest:
            return (
                f"only {n_samples} samples long: too short to tell whether its noise is what the sorter "
                f"expects (at least {shortest} are needed)"
            )
        if self.screen is None:
            return ""
        band = ""
        if not self.recording or self.recording != digest_of(recording):  # else adapting has told it
            band = doubt_of_band(recording, self.labelled_noise, self.lessons.context.kernel)
        return band or doubt_of_level(recording, self.screen, self.profile.course.levels)

    @cached_property
    def lessons(self) -> Lessons:
        """What was learnt from the labelled recording."""
        context = Context.of(self.units, self.settings, fs_hz=self.fs_hz)
        return Lessons(context, self.average, self.labelled, self.base, self.labelled_noise)

    @property
    def names(self) -> dict[int, str]:
        """Name of each labelled unit, by unit id."""
        names = zip(self.units.unit_ids, self.units.names, strict=True)
        return {unit: name for unit, name in names if unit in self.units.known}

    @property
    def decides(self) -> tuple[object, ...]:
        """What the result of sorting depends on, beside the recording."""
        return self.profile, self.tuned, self.following, self.screen

    @property
    def margin(self) -> Margin:
        """Greatest distance from a spike of the samples that it depends on."""
        decoder = self.tuned.decoder
        block = decoder.grid_samples - 1 + decoder.overlap_samples
        reach = self.tuned.point.refractory_samples + decoder.pick_reach + block
        hum = fir_margin(hum_kernel(self.profile.hum_hz, fs_hz=self.fs_hz))
        return decoder.margin + Margin(reach, reach) + hum

    def with_working_point(self, *, threshold: float | None, refractory_ms: float | None) -> SorterState:
        """Return the state with a new threshold or refractory period, if given; refuse impossible ones."""
        check_threshold(threshold)
        if refractory_ms is not None and not 0 <= refractory_ms <= MOST_REFRACTORY_MS:
            raise SettingsError(
                f"refractory_ms must be between 0 and {MOST_REFRACTORY_MS:g}, not {refractory_ms}"
            )
        point = self.tuned.point
        if threshold is not None:
            point = replace(point, thresholds=(threshold,) * len(point.unit_ids))
        if refractory_ms is not None:
            point = replace(point, refractory_samples=to_samples(refractory_ms, self.fs_hz))
        asked = (
            self.asked[0] if threshold is None else float(threshold),
            self.asked[1] if refractory_ms is None else float(refractory_ms),
        )
        return replace(self, tuned=replace(self.tuned, point=point), asked=asked)

    def fitting(self, target: BaseRecording) -> BaseRecording:
        """Return a recording with the channels that the sorter goes by, in the labelled one's order.

        Channels that it lacks are missing throughout. Refuse one with another sampling rate, or whose
        channels are others.

        Raises
        ------
        InputError
        """
        check_recording(target)
        self.check_rate(float(target.get_sampling_frequency()))
        ids = {*map(str, target.channel_ids)}
        if self.used and ids == {*self.used_ids}:  # it lacks the channels that are not used
            return in_order(target, self.used_ids)
        if lacks_channels([str(one) for one in target.channel_ids], self.channel_ids):
            from spikesorter.io.missing_channels import with_missing_channels  # imports SpikeInterface

            target = with_missing_channels(target, self.channel_ids)
        channels = target.get_num_channels()
        if channels != self.received:
            used = f", and goes by {', '.join(self.used_ids)}" if self.used else ""
            raise InputError(f"has {channels} channels, but the sorter was fitted to {self.received}{used}")
        ordered = in_order(target, self.channel_ids)
        if not self.used:
            return ordered
        return ordered.select_channels([ordered.channel_ids[k] for k in self.used])

    def check_rate(self, fs_hz: float) -> None:
        """Refuse another sampling rate.

        Raises
        ------
        InputError
        """
        if not same_rate(fs_hz, self.fs_hz):
            raise InputError(
                f"sampled at {shown_hz(fs_hz)}, but the sorter was fitted at {shown_hz(self.fs_hz)}; "
                "resample it with --resample, or in Python with "
                f"spikeinterface.preprocessing.resample(recording, {self.fs_hz:.10g})"
            )


def check_threshold(threshold: object) -> None:
    """Refuse a threshold that is not a probability; None means the tuned thresholds.

    Raises
    ------
    SettingsError

    Examples
    --------
    >>> check_threshold(80)
    Traceback (most recent call last):
    spikesorter.SettingsError: threshold must be between 0 and 1, not 80
    """
    if threshold is None:
        return
    if not isinstance(threshold, Real) or not 0 <= float(threshold) <= 1:
        raise SettingsError(f"threshold must be between 0 and 1, not {threshold}")
