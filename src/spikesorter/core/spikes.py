"""`Spikes`: one value for true spikes, detected spikes and results."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property, reduce
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import numpy.typing as npt

from spikesorter.core.bad_stretches import BadStretches
from spikesorter.core.errors import InputError
from spikesorter.core.spike import Spike, check_rate
from spikesorter.core.spike_arrays import (
    FIELDS,
    PROBABILITIES,
    UNKNOWN,
    Float32Array,
    Int64Array,
    checked_fields,
    checked_names,
    in_order,
    mask_or_positions,
)
from spikesorter.core.spike_conversions import (
    bad_in_sorting,
    dataframe_of,
    number_of,
    sorting_of,
    text_of,
    ts_group_of,
    units_in_sorting,
)

if TYPE_CHECKING:
    from pandas import DataFrame
    from pynapple import TsGroup
    from spikeinterface import BaseSorting
    from spikeinterface.core import NumpySorting

__all__ = ["PROBABILITIES", "UNKNOWN", "Spikes", "check_spikes"]


def _sure() -> Float32Array:
    return np.ones((), np.float32)


@dataclass(frozen=True, eq=False)
class Spikes:
    """Spikes of one recording, in order of time.

    A slice or a mask selects spikes, a position gives one `Spike`, and iteration goes through them all.

    Parameters
    ----------
    sample : ndarray of int64, shape (spikes,)
        The sample at which each spike *starts* (0-based), in non-decreasing order. A spike starts where its
        waveform leaves the baseline, some 5 to 15 samples before its peak at 25 kHz; this is what the labels
        of the labelled recording mark.
    unit : ndarray of int64, shape (spikes,)
        The unit of each spike, 1 or larger; 0 for an outlier spike, which fits no known unit.
    probability : ndarray of float32, shape (spikes,)
        Probability that a spike of any unit is there, 0 to 1. Ones if not given; one number applies to
        all spikes.
    unit_probability : ndarray of float32, shape (spikes,)
        Probability of the unit, given that a spike is there, 0 to 1. Ones if not given.
    fs_hz : float, optional
        Sampling rate, if it is known.
    names : mapping of int to str, optional
        Names of units; a unit without a name is called by its number. Units without spikes may have names.
    bad : BadStretches, optional
        Parts of the recording in which no spikes were looked for.
    doubts : tuple of str
        In words, why the spikes may be wrong, so that the sorter's forecast does not hold for them. Rate,
        names, bad stretches and doubts are ignored when spikes are compared.

    Raises
    ------
    InputError
        If the arrays differ in length, are not one-dimensional, are out of order or out of range, have
        masked values, two units have one name, or the sampling rate is out of range.

    See Also
    --------
    Spikes.from_arrays : takes arrays in any order.

    Examples
    --------
    >>> spikes = Spikes([120, 300, 450], [1, 2, 1], fs_hz=25_000.0, names={1: "basket"})
    >>> spikes
    Spikes(3 spikes of 2 units; basket: 2, 2: 1; 25000 Hz)
    >>> spikes[1:].sample, spikes[spikes.unit == 1].sample
    (array([300, 450]), array([120, 450]))
    >>> [spike.unit for spike in spikes]
    [1, 2, 1]
    """

    sample: Int64Array
    unit: Int64Array
    probability: Float32Array = field(default_factory=_sure)
    unit_probability: Float32Array = field(default_factory=_sure)
    fs_hz: float | None = field(default=None, kw_only=True)
    names: Mapping[int, str] = field(default_factory=dict, kw_only=True)
    bad: BadStretches = field(default_factory=BadStretches, kw_only=True)
    doubts: tuple[str, ...] = field(default=(), kw_only=True)

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", checked_names(self.names))
        if self.fs_hz is not None:
            object.__setattr__(self, "fs_hz", check_rate(self.fs_hz))
        for name, values in checked_fields({name: getattr(self, name) for name in FIELDS}).items():
            object.__setattr__(self, name, values)

    @classmethod
    def from_arrays(
        cls,
        sample: npt.ArrayLike,
        unit: npt.ArrayLike,
        probability: npt.ArrayLike | None = None,
        unit_probability: npt.ArrayLike | None = None,
        *,
        fs_hz: float | None = None,
        names: Mapping[int, str] | None = None,
        bad: BadStretches | None = None,
        doubts: tuple[str, ...] = (),
    ) -> Spikes:
        """Make spikes from arrays in any order; spikes of one sample are put in order of their units.

        Parameters
        ----------
        sample, unit : array_like of whole numbers, shape (spikes,)
            See `Spikes`.
        probability, unit_probability : float or array_like of float, shape (spikes,), optional
            See `Spikes`.
        fs_hz, names, bad, doubts : optional
            See `Spikes`.

        Returns
        -------
        Spikes

        Examples
        --------
        >>> Spikes.from_arrays([300, 120], [2, 1], [0.5, 1.0]).probability
        array([1. , 0.5], dtype=float32)
        """
        arrays = in_order(sample, unit, probability, unit_probability)
        return cls(*arrays, fs_hz=fs_hz, names=names or {}, bad=bad or BadStretches(), doubts=doubts)

    @classmethod
    def empty(cls) -> Spikes:
        """Return an empty set of spikes, which is a valid result.

        Examples
        --------
        >>> len(Spikes.empty())
        0
        """
        return cls.from_arrays([], [])

    @classmethod
    def concatenate(cls, parts: list[Spikes]) -> Spikes:
        """Join spikes of several spans or groups of one recording, their bad stretches and doubts.

        Rate and names are those of the first part.

        Examples
        --------
        >>> Spikes.concatenate([Spikes([300], [2]), Spikes([120], [1])]).sample
        array([120, 300])
        """
        if not parts:
            return cls.empty()
        arrays = (np.concatenate([getattr(part, name) for part in parts]) for name in FIELDS)
        bad = reduce(BadStretches.joined, (part.bad for part in parts))
        doubts = tuple(dict.fromkeys(doubt for part in parts for doubt in part.doubts))
        return cls.from_arrays(*arrays, fs_hz=parts[0].fs_hz, names=parts[0].names, bad=bad, doubts=doubts)

    @classmethod
    def from_spikeinterface(cls, sorting: BaseSorting) -> Spikes:
        """Make spikes from a SpikeInterface sorting.

        Parameters
        ----------
        sorting : spikeinterface.BaseSorting
            One segment.

        Returns
        -------
        Spikes
            Ids that are all whole numbers above 0 are kept as they are. Otherwise units are numbered from 1,
            in order, and keep their ids as names. The annotation `bad_stretches`, if there is one, gives the
            bad stretches.

        Raises
        ------
        InputError
            If it is not a sorting, or has several segments.

        Examples
        --------
        >>> from spikeinterface.core import NumpySorting
        >>> sorting = NumpySorting.from_unit_dict([{"b": np.array([7, 30]), "a": np.array([9])}], 25_000.0)
        >>> Spikes.from_spikeinterface(sorting).names
        {1: 'b', 2: 'a'}
        """
        unit_ids, names = units_in_sorting(sorting)
        spikes = sorting.to_spike_vector()
        return cls.from_arrays(
            spikes["sample_index"],
            unit_ids[spikes["unit_index"]],
            fs_hz=float(sorting.get_sampling_frequency()),
            names=names,
            bad=bad_in_sorting(sorting),
        )

    def to_spikeinterface(self, fs_hz: float | None = None) -> NumpySorting:
        """Return the spikes as a SpikeInterface sorting.

        Parameters
        ----------
        fs_hz : float, optional
            Sampling rate, if the spikes have none.

        Returns
        -------
        spikeinterface.core.NumpySorting
            Named units without spikes are included; outlier spikes are not. Unit ids are names, or numbers if
            there are no names. Units have the properties `probability` and `unit_probability` (float32
            arrays, one value for each spike) and `mean_probability`. The annotation `bad_stretches` lists the
            bad stretches, if there are any: first sample, the sample after the last one, and kind.

        Raises
        ------
        InputError
            If the sampling rate is not known.

        Examples
        --------
        >>> sorting = Spikes.from_arrays([120, 300], [2, 1], [0.9, 1.0], fs_hz=25_000.0).to_spikeinterface()
        >>> sorting.get_unit_spike_train(2).tolist(), sorting.get_property("mean_probability").round(2)
        ([120], array([1. , 0.9]))
        """
        return sorting_of(self, fs_hz)

    def to_pynapple(self, fs_hz: float | None = None, *, n_samples: int | None = None) -> TsGroup:
        """Return the spikes as a group of time series of pynapple, in seconds from the first sample.

        Parameters
        ----------
        fs_hz : float, optional
            Sampling rate, if the spikes have none.
        n_samples : int, optional
            Length of the recording; by default it ends with the last spike or bad stretch.

        Returns
        -------
        pynapple.TsGroup
            A `Ts` for each unit, by its number, units as in `to_spikeinterface`; its time support is the
            recording without bad stretches. Metadata: `unit_name` and `mean_probability`.

        Examples
        --------
        >>> spikes = Spikes([120, 300, 450], [1, 2, 1], fs_hz=1000.0, names={1: "basket"})
        >>> spikes.to_pynapple(n_samples=1000)[1].t  # doctest: +SKIP
        array([0.12, 0.45])
        """
        return ts_group_of(self, fs_hz, n_samples)

    def to_dataframe(self) -> DataFrame:
        """Return the spikes as a table.

        Returns
        -------
        pandas.DataFrame
            Columns `sample`, `time_s` (if `fs_hz` is known), `unit`, `name`, `probability` and
            `unit_probability`; one row for each spike.

        Examples
        --------
        >>> Spikes([120, 300], [2, 1], fs_hz=25_000.0, names={1: "basket"}).to_dataframe()
           sample  time_s  unit    name  probability  unit_probability
        0     120  0.0048     2       2          1.0               1.0
        1     300  0.0120     1  basket          1.0               1.0
        """
        return dataframe_of(self)

    def outside(self, bad: BadStretches, *, seen_samples: int = 0) -> Spikes:
        """Return the spikes that are not in bad stretches.

        Parameters
        ----------
        bad : BadStretches
        seen_samples : int
            Spikes that start less than this before a stretch are left out too.

        Examples
        --------
        >>> bad = BadStretches.of([(100, 200, "dead")])
        >>> Spikes([120, 300], [1, 2]).outside(bad).sample
        array([300])
        """
        if not len(bad):
            return self
        return self.select(~bad.contain(self.sample) & ~bad.follow(self.sample, seen_samples))

    def described(self, *, fs_hz: float, names: Mapping[int, str]) -> Spikes:
        """Return the same spikes with a sampling rate and names of units.

        Examples
        --------
        >>> Spikes([120], [1]).described(fs_hz=25_000.0, names={1: "basket"})
        Spikes(1 spike of 1 unit; basket: 1; 25000 Hz)
        """
        return replace(self, fs_hz=fs_hz, names=names)

    def name_of(self, unit: int) -> str:
        """Return a unit's name: its number, if it has none.

        Examples
        --------
        >>> Spikes([120, 300], [1, 2], names={1: "basket"}).name_of(2)
        '2'
        """
        return self.names.get(unit, str(unit))

    @property
    def named_otherwise(self) -> bool:
        """Whether any unit has a name other than its number."""
        return any(name != str(unit) for unit, name in self.names.items())

    @property
    def joint(self) -> Float32Array:
        """Probability that a spike is there and is of its unit.

        Examples
        --------
        >>> Spikes([120], [1], 0.5, 0.5).joint
        array([0.25], dtype=float32)
        """
        return self.probability * self.unit_probability

    @cached_property
    def unit_ids(self) -> tuple[int, ...]:
        """Units that have spikes, in order.

        Examples
        --------
        >>> Spikes([120, 300, 450], [7, 2, 7]).unit_ids
        (2, 7)
        """
        return tuple(np.unique(self.unit).tolist())

    def select(self, mask: npt.NDArray[np.bool_]) -> Spikes:
        """Return the spikes for which `mask` (bool, shape (spikes,)) is true, as `spikes[mask]` does."""
        chosen = {name: getattr(self, name)[mask] for name in FIELDS}
        is_mask = isinstance(mask, np.ndarray) and mask.dtype == np.bool_
        return self._holding(chosen) if is_mask else replace(self, **chosen)

    def _holding(self, chosen: Mapping[str, npt.NDArray[Any]]) -> Spikes:
        """Return spikes with arrays that are known to be in order: to check them again is slow."""
        for values in chosen.values():
            values.flags.writeable = False
        new = object.__new__(type(self))
        vars(new).update({one.name: getattr(self, one.name) for one in fields(self)} | dict(chosen))
        return new

    def of(self, unit: int | str) -> Spikes:
        """Return the spikes of one unit, by its number or its name, which must be known.

        Examples
        --------
        >>> spikes = Spikes([120, 300, 450], [1, 2, 1], names={2: "basket"})
        >>> spikes.of(1).sample, spikes.of("basket").sample
        (array([120, 450]), array([300]))
        """
        return self.select(self.unit == (number_of(self, unit) if isinstance(unit, str) else unit))

    def within(self, start: int, stop: int) -> Spikes:
        """Return the spikes that start at sample `start` or later, and before `stop`.

        Examples
        --------
        >>> Spikes([120, 300, 450], [1, 2, 1]).within(120, 450).sample
        array([120, 300])
        """
        return self.select((self.sample >= start) & (self.sample < stop))

    def shifted(self, samples: int) -> Spikes:
        """Return the spikes moved by a number of samples.

        Examples
        --------
        >>> Spikes([120, 300], [1, 2]).shifted(-20).sample
        array([100, 280])
        """
        return replace(self, sample=self.sample + samples)

    def counts(self) -> dict[int, int]:
        """Return the number of spikes of each unit that has spikes.

        Examples
        --------
        >>> Spikes([120, 300, 450], [1, 2, 1]).counts()
        {1: 2, 2: 1}
        """
        unit_ids, counts = np.unique(self.unit, return_counts=True)
        return {int(k): int(n) for k, n in zip(unit_ids, counts, strict=True)}

    def __len__(self) -> int:
        return len(self.sample)

    def __iter__(self) -> Iterator[Spike]:
        return map(Spike._make, zip(*(getattr(self, name).tolist() for name in FIELDS), strict=True))

    @overload
    def __getitem__(self, place: int | np.integer[Any]) -> Spike: ...

    @overload
    def __getitem__(self, place: slice | Sequence[int] | Int64Array | npt.NDArray[np.bool_]) -> Spikes: ...

    def __getitem__(self, place: Any) -> Spike | Spikes:
        if isinstance(place, int | np.integer) and not isinstance(place, bool):
            return Spike._make(getattr(self, name)[place].item() for name in FIELDS)
        chosen = place if isinstance(place, slice) else mask_or_positions(place)
        return replace(self, **{name: getattr(self, name)[chosen] for name in FIELDS})

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Spikes):
            return NotImplemented
        return all(np.array_equal(getattr(self, name), getattr(other, name)) for name in FIELDS)

    def __repr__(self) -> str:
        return text_of(self)


def check_spikes(spikes: object, what: str) -> None:
    """Refuse what is not `Spikes`.

    Raises
    ------
    InputError
    """
    if not isinstance(spikes, Spikes):
        raise InputError(
            f"{what}: expected Spikes, not a {type(spikes).__name__}; spikesorter.read_labels opens files, "
            "Spikes.from_spikeinterface takes sortings, Spikes.from_arrays arrays"
        )
