"""Make of what was learnt on all channels what is known on some of them, if the others are broken.

Templates, noise and the labelled trace of some channels are parts of those of all channels, so nothing is
learnt again. Units that cannot be distinguished from noise on what is left are left out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from spikesorter.core.bad_stretches import BadStretches
from spikesorter.core.errors import InputError, NothingToSortError
from spikesorter.estimation.estimate import LEAST_DETECTABILITY
from spikesorter.estimation.profile import Profile
from spikesorter.signal.screen import Screen
from spikesorter.sorting.channels import ChannelChoice, choose_channels, select
from spikesorter.sorting.forecast import Forecast
from spikesorter.sorting.screens import screen_for
from spikesorter.sorting.state import Lessons, SorterState

if TYPE_CHECKING:
    from spikeinterface import BaseRecording

__all__ = ["Narrowed", "choose_for", "narrow"]


@dataclass(frozen=True, eq=False)
class Narrowed:
    """What a sorter knows on some of its channels.

    Parameters
    ----------
    lessons : Lessons
    columns : tuple of int
        Positions of the channels among the sorter's.
    kept : ndarray of bool, shape (units,)
        Units that can be distinguished from noise on them.
    lost : tuple of str
        Names of the labelled units that cannot.
    """

    lessons: Lessons
    columns: tuple[int, ...]
    kept: npt.NDArray[np.bool_]
    lost: tuple[str, ...]

    def profile(self, profile: Profile) -> Profile:
        """Return a profile of all the sorter's channels and units for what is left of them."""
        return profile.narrowed(self.columns, self.kept)

    def forecast(self, forecast: Forecast) -> Forecast:
        """Return a forecast for what is left, lowered by the units that are lost."""
        if not self.lost:
            return forecast
        share = len(forecast.unit_ids) / (len(forecast.unit_ids) + len(self.lost))
        lower = {
            name: share * getattr(forecast, name)
            for name in ("score", "strict", "recall", "f_cls", "low", "high")
        }
        return replace(forecast, **lower)

    @property
    def words(self) -> str:
        """Which units are lost, in words; "" if none is."""
        units = f"unit{'' if len(self.lost) == 1 else 's'} {', '.join(self.lost)}"
        return (
            f"{units} cannot be distinguished from noise on the channels that are left" if self.lost else ""
        )


def choose_for(
    state: SorterState, target: BaseRecording, *, as_it_is: bool, exclude: BadStretches | None
) -> ChannelChoice:
    """Choose among a target's channels.

    Parameters
    ----------
    state : SorterState
    target : spikeinterface.BaseRecording
        As `SorterState.fitting` returns it.
    as_it_is : bool
        Whether the target is judged by the sorter's own screen, as for sorting; otherwise by one for its
        noise, as for adapting to it.
    exclude : BadStretches or None

    Returns
    -------
    ChannelChoice
    """
    own = state.own_screen

    def screen_of(columns: tuple[int, ...]) -> Screen:
        screen = own.of_channels(columns)
        return screen if as_it_is else screen_for(select(target, columns), screen)

    return choose_channels(
        target, screen_of, usual=own.quiet, as_it_is=as_it_is, exclude=exclude, fs_hz=state.fs_hz
    )


def narrow(state: SorterState, columns: tuple[int, ...], *, why: str = "") -> Narrowed:
    """Return what a sorter knows on some of its channels.

    Parameters
    ----------
    state : SorterState
    columns : tuple of int
        Positions among the channels that it goes by.
    why : str
        Why the others are left out, in words, for the message if nothing is left.

    Returns
    -------
    Narrowed

    Raises
    ------
    NothingToSortError
        If no unit can be distinguished from noise on them.
    InputError
        If they need networks that cannot be trained.
    """
    lessons, settings = state.lessons, state.settings
    if lessons.base is not None and lessons.labelled is None:
        raise InputError(
            f"decoder {settings.decoder} needs networks for the channels that are left, and the model "
            "does not keep the labelled recording to train them: train a model on these channels (--channel)"
        )
    units, own = lessons.context.units, lessons.labelled.profile if lessons.labelled else state.profile
    there = replace(units, templates=units.templates.of_channels(columns))
    kept = np.asarray(
        there.templates.waveforms.any(axis=(1, 2)), np.bool_
    )  # templates are 0 where they are not known
    if kept.any():
        seen = replace(lessons.context, units=there.of(kept))
        energies = seen.bank(own.narrowed(columns, kept)).energies
        kept[kept] = np.sqrt(np.maximum(energies, 0)) >= LEAST_DETECTABILITY
    names = dict(zip(units.unit_ids, units.names, strict=True))
    stay = [unit for unit, one in zip(units.unit_ids, kept.tolist(), strict=True) if one]
    lost = tuple(names[unit] for unit in units.known if unit not in stay)
    if len(lost) == len(units.known):
        raise NothingToSortError(
            f"{why}{'; ' if why else ''}no unit can be distinguished from noise on the channels that are left"
        )
    places = list(columns)
    narrowed = replace(
        lessons,
        context=replace(lessons.context, units=there.of(kept)),
        average=lessons.average[:, places],
        labelled=lessons.labelled and lessons.labelled.narrowed(columns, units.unit_ids, kept),
        base=None,  # trained again when a decoder needs them
        labelled_noise=lessons.labelled_noise[:, places],
    )
    return Narrowed(narrowed, columns, kept, lost)
