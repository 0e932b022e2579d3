"""What is known of a sorter, to be read: its settings, units, decoder, forecast and channels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spikesorter.core.settings import Settings
from spikesorter.decoding.candidates import WorkingPoint
from spikesorter.estimation.profile import Profile
from spikesorter.estimation.units import Units
from spikesorter.sorting.state import SorterState

if TYPE_CHECKING:
    from spikesorter.sorting.diagnostics import Diagnostics
    from spikesorter.sorting.forecast import Forecast

__all__ = ["KnownSorter"]


class KnownSorter:
    """What is known of a `Sorter`, which is the only class of this kind."""

    __slots__ = ("_state",)
    _state: SorterState

    @property
    def settings(self) -> Settings:
        """Settings that it was fitted with."""
        return self._state.settings

    @property
    def fs_hz(self) -> float:
        """Sampling rate of the recordings that it sorts."""
        return self._state.fs_hz

    @property
    def channels(self) -> int:
        """Number of channels of the recordings that it sorts."""
        return self._state.received

    @property
    def used_channels(self) -> tuple[str, ...]:
        """Ids of the channels that it goes by: all, unless some were broken."""
        return self._state.used_ids

    @property
    def units(self) -> Units:
        """Learnt units: templates, amplitudes, intervals."""
        return self._state.units

    @property
    def names(self) -> dict[int, str]:
        """Names of the labelled units, by unit id."""
        return self._state.names

    @property
    def profile(self) -> Profile:
        """Noise, gain, firing rates and background of the recording that it was adapted to."""
        return self._state.profile

    @property
    def decoder(self) -> str:
        """Name of the decoder that was chosen."""
        return self._state.tuned.name

    @property
    def point(self) -> WorkingPoint:
        """Thresholds and refractory period: how candidates become spikes."""
        return self._state.tuned.point

    @property
    def forecast(self) -> Forecast:
        """Expected score, from a rehearsal."""
        return self._state.forecast

    @property
    def diagnostics(self) -> Diagnostics:
        """Expected precision, recall, calibration and confusion, from a rehearsal."""
        return self._state.diagnostics

    @property
    def state(self) -> SorterState:
        """All data of the sorter, for the package's own use; its fields may change between versions."""
        return self._state

    def __repr__(self) -> str:
        of = f"{len(self.units.known)} units, {self.channels} channel(s), {self.fs_hz:g} Hz"
        return f"Sorter({of}, decoder {self.decoder})"
