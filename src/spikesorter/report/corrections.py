"""What a user decides of spikes and units: one value for each decision, as the log keeps it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from spikesorter.core.errors import InputError
from spikesorter.core.spikes import Spikes

__all__ = ["SURE", "Action", "Change", "Correction", "Edit", "EditAction", "changed_spikes", "doubtful"]

Action = Literal["accept", "reject", "rename", "move", "add", "undo"]
"""Of one spike. `undo` cancels all corrections of the spike, but no merge of its unit."""

EditAction = Literal["accept", "reject", "rename", "merge", "undo", "redo"]
"""`undo` and `redo` step back and forth through all corrections and edits."""

SURE = 0.95
"""A spike with at least this probability is not doubtful."""

MOST = 2**62


@dataclass(frozen=True)
class Correction:
    """A user's decision on one spike.

    Parameters
    ----------
    sample, unit : int
        The spike as found; for `add`, where it is.
    action : {"accept", "reject", "rename", "move", "add", "undo"}
    to : int, optional
        For `rename`: the new unit of the spike; for `move`: its new sample. For `accept`: the unit that it is
        accepted as, if that is not the one that it has after earlier corrections.
    at : str
        When it was made, as the log states it; ignored when corrections are compared.

    Raises
    ------
    InputError
        If a value is not allowed.

    Examples
    --------
    >>> Correction(1200, 1, "rename", to=2).spike
    (1200, 1)
    """

    sample: int
    unit: int
    action: Action
    to: int | None = None
    at: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        for name in ("sample", "unit"):
            _check_count(name, getattr(self, name))
        _check_action(self.action, get_args(Action))
        _check_time(self.at)
        if self.action in ("rename", "move"):
            what = "unit" if self.action == "rename" else "sample"
            _check_count(f"to, the new {what},", self.to)
        elif self.to is not None:
            if self.action != "accept":
                raise InputError(f"`to` is for rename and move only, not for {self.action}")
            _check_count("to, the unit,", self.to)

    @property
    def spike(self) -> tuple[int, int]:
        """Sample and unit of the spike as found."""
        return self.sample, self.unit


@dataclass(frozen=True)
class Edit:
    """A user's decision on many spikes, on a whole unit, or on earlier decisions.

    Parameters
    ----------
    action : {"accept", "reject", "rename", "merge", "undo", "redo"}
        `merge`: give all spikes that now are of `unit` to the unit `to`. To split a unit is to rename some of
        its spikes to a new unit; rejected ones stay rejected.
    spikes : tuple of (int, int)
        For accept, reject and rename: sample and unit of each spike as found.
    unit : int, optional
        For merge.
    to : int, optional
        For rename and merge: the unit.
    at : str
        As for `Correction`.

    Raises
    ------
    InputError
        If a value is not allowed.

    Examples
    --------
    >>> Edit("rename", ((1200, 1), (5200, 1)), to=4).to
    4
    >>> Edit("merge", unit=3, to=2).unit
    3
    """

    action: EditAction
    spikes: tuple[tuple[int, int], ...] = ()
    unit: int | None = None
    to: int | None = None
    at: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        _check_action(self.action, get_args(EditAction))
        _check_time(self.at)
        many = self.action in ("accept", "reject", "rename")
        if many != bool(self.spikes):
            raise InputError(f"{self.action}: expected {'some' if many else 'no'} spikes")
        _check_spikes(self.spikes)
        for name, wanted in (("unit", self.action == "merge"), ("to", self.action in ("merge", "rename"))):
            value = getattr(self, name)
            if wanted:
                _check_count(name, value)
            elif value is not None:
                raise InputError(f"`{name}` is not for {self.action}")
        if self.action == "merge" and self.unit == self.to:
            raise InputError("a unit cannot be merged with itself")


Change = Correction | Edit
"""One line of the log."""


def changed_spikes(change: Change) -> tuple[tuple[int, int], ...]:
    """Return the spikes that a change names, as (sample, unit) as found.

    Examples
    --------
    >>> changed_spikes(Correction(1200, 1, "reject"))
    ((1200, 1),)
    """
    return (change.spike,) if isinstance(change, Correction) else change.spikes


def doubtful(spikes: Spikes) -> npt.NDArray[np.int64]:
    """Return the indices of doubtful spikes, in order of the distance of their probability from one half.

    Examples
    --------
    >>> doubtful(Spikes.from_arrays([100, 200, 300], [1, 1, 2], [0.8, 1.0, 0.5]))
    array([2, 0])
    """
    joint = spikes.joint.astype(np.float64)
    order = np.argsort(np.abs(joint - 0.5), kind="stable")
    return order[joint[order] < SURE]


def _check_action(action: Any, allowed: tuple[str, ...]) -> None:
    if action not in allowed:
        raise InputError(f"action must be one of {', '.join(allowed)}, not {action!r:.40}")


def _check_time(at: Any) -> None:
    if not isinstance(at, str):
        raise InputError(f"at must be a time in text, not {at!r:.40}")


def _check_count(name: str, value: Any) -> None:
    if type(value) is not int or not 0 <= value < MOST:
        raise InputError(f"{name} must be a whole number, 0 or more, not {value!r:.40}")


def _check_spikes(spikes: tuple[tuple[int, int], ...]) -> None:
    for spike in spikes:
        if not isinstance(spike, tuple) or len(spike) != 2:
            raise InputError(f"spikes must be pairs of sample and unit, not {spike!r:.40}")
        for value in spike:
            _check_count("sample and unit of a spike", value)
