"""Apply a user's corrections to found spikes, and write the outcome as labels for the next fit."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from spikesorter.core.spikes import Spikes
from spikesorter.io.export import write_spikes
from spikesorter.report.corrections import Change, Correction, Edit

__all__ = ["DECISIONS", "Corrected", "correct", "corrected", "has_spike", "in_force", "write_labels"]

Int64Array = npt.NDArray[np.int64]

DECISIONS = ("", "accepted", "rejected", "renamed", "moved", "added")
"""What was decided of a spike, by its code in `Corrected.decision`."""

CODE = {"accept": 1, "reject": 2, "rename": 3, "move": 4, "add": 5, "undo": 0}


@dataclass(frozen=True, eq=False)
class Corrected:
    """Spikes as found, and as they are after corrections.

    Parameters
    ----------
    found_sample, found_unit : ndarray of int64, shape (spikes,)
        Spikes as found, followed by those that were added.
    sample, unit : ndarray of int64, shape (spikes,)
        As they are now.
    probability, unit_probability : ndarray of float32, shape (spikes,)
        As for `Spikes`.
    decision : ndarray of int64, shape (spikes,)
        The last decision on each, as an index of `DECISIONS`.
    there : ndarray of bool, shape (spikes,)
        False for rejected spikes, and for those whose addition was undone.
    home : ndarray of int64, shape (spikes,)
        The units that spikes would be of if nothing had been decided of single ones: as found, or merged.
    alone : ndarray of bool, shape (spikes,)
        Whether the last decision on a spike was on this one alone.
    names : dict of int to str
        Names of units, new ones included.
    like : Spikes
        The spikes that were found.
    """

    found_sample: Int64Array
    found_unit: Int64Array
    sample: Int64Array
    unit: Int64Array
    probability: npt.NDArray[np.float32]
    unit_probability: npt.NDArray[np.float32]
    decision: Int64Array
    there: npt.NDArray[np.bool_]
    home: Int64Array
    alone: npt.NDArray[np.bool_]
    names: Mapping[int, str]
    like: Spikes

    @cached_property
    def spikes(self) -> Spikes:
        """The spikes that are left, each once: the more probable of two of one unit at one sample."""
        kept = self.there
        spikes = Spikes.from_arrays(
            self.sample[kept],
            self.unit[kept],
            self.probability[kept],
            self.unit_probability[kept],
            fs_hz=self.like.fs_hz,
            names=self.names,
            bad=self.like.bad,
            doubts=self.like.doubts,
        )
        return _each_once(spikes)

    def places(self, spikes: Sequence[tuple[int, int]]) -> Int64Array:
        """Return the positions of spikes named as found, (sample, unit), without those that are missing."""
        if not spikes or not len(self.found_sample):
            return np.empty(0, np.int64)
        order, keys, units, last = self._index
        sample, unit = np.array(spikes, np.int64).T
        possible = (unit < units) & (sample <= last)
        wanted = sample[possible] * units + unit[possible]
        at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        return np.asarray(order[at][keys[at] == wanted], np.int64)

    @cached_property
    def _index(self) -> tuple[Int64Array, Int64Array, int, int]:
        """Order of the spikes as found, their keys in it, the factor of samples in a key, the last sample."""
        units = int(self.found_unit.max()) + 1
        keys = self.found_sample * units + self.found_unit
        order = np.argsort(keys, kind="stable")
        return order, keys[order], units, int(self.found_sample.max())


def in_force(changes: Iterable[Change]) -> tuple[list[Change], list[Change]]:
    """Return the changes that hold, and those that were undone and can be made again, the next one last.

    Examples
    --------
    >>> made = [Correction(9, 1, "reject"), Edit("merge", unit=3, to=2), Edit("undo")]
    >>> [change.action for change in in_force(made)[0]], [change.action for change in in_force(made)[1]]
    (['reject'], ['merge'])
    """
    made: list[Change] = []
    undone: list[Change] = []
    for change in changes:
        step = change.action if isinstance(change, Edit) else ""
        source, target = (made, undone) if step == "undo" else (undone, made)
        if step not in ("undo", "redo"):
            made.append(change)
            undone.clear()
        elif source:
            target.append(source.pop())
    return made, undone


def correct(spikes: Spikes, changes: Iterable[Change], *, known: Collection[int] | None = None) -> Corrected:
    """Apply corrections to spikes.

    Parameters
    ----------
    spikes : Spikes
        Spikes as found.
    changes : iterable of Correction or Edit
        In the order in which they were made. Those of missing spikes are ignored, as the recording may have
        been sorted again.
    known : collection of int, optional
        Units to which spikes may have been added; all if not given. For one of several groups of channels.

    Returns
    -------
    Corrected

    Examples
    --------
    >>> found = Spikes.from_arrays([100, 200, 300], [1, 1, 3], [0.5, 0.6, 0.7])
    >>> made = [Correction(200, 1, "move", to=203), Edit("merge", unit=3, to=1)]
    >>> correct(found, made).spikes.sample, correct(found, made).spikes.unit
    (array([100, 203, 300]), array([1, 1, 1]))
    """
    made, _ = in_force(changes)
    work = _started(spikes, made, known)
    for change in made:
        if isinstance(change, Edit) and change.action == "merge":
            assert change.to is not None
            for unit in (work.unit, work.home):
                unit[unit == change.unit] = change.to
        elif isinstance(change, Correction):
            places = work.places([change.spike])
            _decide(work, places, change.action, change.to)
            work.alone[places] = change.action != "undo"
            if change.action == "undo":
                work.unit[places] = work.home[places]
        else:
            _decide_many(work, work.places(change.spikes), change)
    _name_new_units(work)
    return work


def has_spike(spikes: Spikes, spike: tuple[int, int]) -> bool:
    """Return whether there is a spike at a sample of a unit.

    Examples
    --------
    >>> has_spike(Spikes.from_arrays([100, 100], [1, 2]), (100, 2))
    True
    """
    first, last = np.searchsorted(spikes.sample, [spike[0], spike[0] + 1])
    return spike[1] in spikes.unit[first:last].tolist()


def corrected(spikes: Spikes, changes: Iterable[Change]) -> Spikes:
    """Apply corrections to spikes, and return those that are left.

    Parameters
    ----------
    spikes : Spikes
        Spikes as found.
    changes : iterable of Correction or Edit
        As for `correct`.

    Returns
    -------
    Spikes
        Without rejected spikes, with the new units and places of others, and with those added. Spikes that
        were judged one by one have probability 1; others keep theirs. A spike that comes to be of the unit
        of another spike at the same sample is merged with it.

    Examples
    --------
    >>> spikes = Spikes.from_arrays([100, 200, 300], [1, 1, 2], [0.5, 0.6, 0.7])
    >>> decided = [Correction(100, 1, "reject"), Correction(200, 1, "rename", to=2)]
    >>> corrected(spikes, decided).unit
    array([2, 2])
    """
    return correct(spikes, changes).spikes


def write_labels(
    path: str | Path, spikes: Spikes, changes: Iterable[Change], *, fs_hz: float | None = None
) -> Spikes:
    """Write corrected spikes as labels for the next fit (`spikesorter train RECORDING --labels PATH`).

    Parameters
    ----------
    path : str or Path
        `.csv`, `.mat`, or another format of `write_spikes`. Written atomically.
    spikes : Spikes
        Spikes as found.
    changes : iterable of Correction or Edit
    fs_hz : float, optional
        Sampling rate, if the spikes do not state it.

    Returns
    -------
    Spikes
        The labels written.

    Raises
    ------
    InputError
        If the path is anything but earlier labels, or cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> spikes = Spikes.from_arrays([100, 200], [1, 1], fs_hz=25_000.0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     written = write_labels(Path(folder) / "D5.csv", spikes, [Correction(100, 1, "reject")])
    >>> written.sample
    array([200])
    """
    labels = corrected(spikes, changes)
    write_spikes(path, labels, fs_hz=fs_hz)
    return labels


def _started(spikes: Spikes, made: Sequence[Change], known: Collection[int] | None) -> Corrected:
    """Return spikes as found, with room for those that are added, which are not yet there."""
    allowed = None if known is None else {*known, *spikes.unit_ids}
    added = dict.fromkeys(
        change.spike
        for change in made
        if change.action == "add"
        and isinstance(change, Correction)
        and (allowed is None or change.unit in allowed)
    )
    more = np.array([spike for spike in added if not has_spike(spikes, spike)], np.int64).reshape(-1, 2)
    sample, unit = np.append(spikes.sample, more[:, 0]), np.append(spikes.unit, more[:, 1])
    ones = np.ones(len(more), np.float32)
    return Corrected(
        sample,
        unit,
        sample.copy(),
        unit.copy(),
        np.append(spikes.probability, ones),
        np.append(spikes.unit_probability, ones),
        np.zeros(len(sample), np.int64),
        np.arange(len(sample)) < len(spikes),
        unit.copy(),
        np.zeros(len(sample), np.bool_),
        dict(spikes.names),
        spikes,
    )


def _decide(work: Corrected, places: Int64Array, action: str, to: int | None) -> None:
    """Carry out one decision in place."""
    if action == "undo":
        n = len(work.like)
        old = places[places < n]
        work.sample[places] = work.found_sample[places]
        work.probability[old] = work.like.probability[old]
        work.unit_probability[old] = work.like.unit_probability[old]
        work.there[places] = places < n
    else:
        gone = places[~work.there[places]]
        work.there[places] = action != "reject"
        work.probability[places] = work.unit_probability[places] = 1.0
        if action == "add":  # where and of what it is said to be, whatever was done before with its unit
            work.sample[gone], work.unit[gone] = work.found_sample[gone], work.found_unit[gone]
        elif action == "move" and to is not None:
            work.sample[places] = to
        elif to is not None:
            work.unit[places] = to
    work.decision[places] = CODE[action]


def _decide_many(work: Corrected, places: Int64Array, edit: Edit) -> None:
    """Carry out one decision on many spikes in place.

    That they are of a unit does not say that they are there: none is brought back, or becomes more probable.
    """
    if edit.action == "rename":
        places = places[work.there[places]]
    before = work.probability[places]
    _decide(work, places, edit.action, edit.to)
    work.alone[places] = False
    if edit.action == "rename":
        work.probability[places] = before


def _name_new_units(work: Corrected) -> None:
    """Name units without a name by their number, or by more if another unit is called that."""
    names: dict[int, str] = work.names  # type: ignore[assignment]
    for unit in np.unique(work.unit[work.there]).tolist():
        if unit not in names and str(unit) in names.values():
            names[unit] = f"{unit} (new)"


def _each_once(spikes: Spikes) -> Spikes:
    """Keep only the most probable of several spikes of one unit at one sample."""
    order = np.lexsort((-spikes.joint, spikes.unit, spikes.sample))
    sample, unit = spikes.sample[order], spikes.unit[order]
    again = np.zeros(len(spikes), np.bool_)
    again[order[1:]] = (np.diff(sample) == 0) & (np.diff(unit) == 0)
    return spikes.select(~again)
