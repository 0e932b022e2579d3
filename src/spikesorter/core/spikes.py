"""The one value for spikes: truth, detections and results alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from spikesorter.core.errors import InputError

if TYPE_CHECKING:
    from spikeinterface import BaseSorting
    from spikeinterface.core import NumpySorting

__all__ = [
    "HIGHEST_HZ",
    "LOWEST_HZ",
    "PROBABILITIES",
    "UNKNOWN",
    "Spikes",
    "check_rate",
    "check_spikes",
    "numbered_alike",
    "pairs_within",
]

Int64Array = npt.NDArray[np.int64]
Float32Array = npt.NDArray[np.float32]
FIELDS = {"sample": np.int64, "unit": np.int64, "probability": np.float32, "unit_probability": np.float32}

PROBABILITIES = ("probability", "unit_probability")

UNKNOWN = 0
"""Label of a spike that fits no known neuron."""

LOWEST_HZ, HIGHEST_HZ = 100.0, 1e7
MOST_SAMPLES = 1 << 53


@dataclass(frozen=True, eq=False)
class Spikes:
    """Spikes of one recording, in order of time.

    Parameters
    ----------
    sample : ndarray of int64, shape (spikes,)
        The sample at which each spike *starts* (0-based), in non-decreasing order. A spike's start is
        where its waveform leaves the baseline, some 5 to 15 samples before its peak at 25 kHz; it is what
        the labels of the labelled recording mark.
    unit : ndarray of int64, shape (spikes,)
        The neuron (class) of each spike, 1 or larger; 0 for a spike that fits no known neuron.
    probability : ndarray of float32, shape (spikes,)
        How sure the sorter is that a spike is there, whatever its class, 0 to 1. Ones for truth.
    unit_probability : ndarray of float32, shape (spikes,)
        How sure the sorter is of the class, given that a spike is there, 0 to 1. Ones for truth.
    fs_hz : float, optional
        Sampling rate, where it is known: other tools count in seconds.
    names : mapping of int to str, optional
        What neurons are called elsewhere; a neuron without a name is called by its label. May name neurons
        of which there is no spike. Rate and names are ignored when spikes are compared.

    Raises
    ------
    InputError
        If the arrays differ in length, are not one-dimensional, are out of order or out of range, or two
        neurons have one name.

    See Also
    --------
    Spikes.from_arrays : sorts and converts what it is given.

    Examples
    --------
    >>> spikes = Spikes.from_arrays([300, 120], [2, 1])
    >>> spikes.sample
    array([120, 300])
    >>> len(spikes), spikes.unit_ids
    (2, (1, 2))
    """

    sample: Int64Array
    unit: Int64Array
    probability: Float32Array
    unit_probability: Float32Array
    fs_hz: float | None = field(default=None, kw_only=True)
    names: Mapping[int, str] = field(default_factory=dict, kw_only=True)

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", dict(sorted(self.names.items())))
        if len(set(self.names.values())) < len(self.names):
            raise InputError(f"spikes: two neurons have one name: {', '.join(self.names.values())}")
        for name, dtype in FIELDS.items():
            check = _probabilities if name in PROBABILITIES else _whole_numbers
            values = np.array(check(name, getattr(self, name)), dtype=dtype)
            if values.ndim != 1:
                raise InputError(f"spikes: {name} must have one dimension, not {values.ndim}")
            values.flags.writeable = False
            object.__setattr__(self, name, values)
        lengths = [len(getattr(self, name)) for name in FIELDS]
        if len(set(lengths)) != 1:
            raise InputError(
                "spikes: sample, unit, probability and unit_probability must have one length, "
                "not {}, {}, {} and {}".format(*lengths)
            )
        if len(self.sample) == 0:
            return
        if np.any(np.diff(self.sample) < 0):
            raise InputError("spikes: samples must be in order; Spikes.from_arrays sorts them")
        if self.sample[0] < 0:
            raise InputError(f"spikes: samples must be 0 or more, found {self.sample[0]}")
        if self.unit.min() < UNKNOWN:
            raise InputError(f"spikes: labels must be 0 or more, found {self.unit.min()}")

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
    ) -> Spikes:
        """Make spikes from arrays in any order; equal samples are put in order of label.

        Parameters
        ----------
        sample, unit : array_like of whole numbers, shape (spikes,)
            See `Spikes`.
        probability, unit_probability : array_like of float, shape (spikes,), optional
            Ones if not given.
        fs_hz, names : optional
            See `Spikes`.

        Returns
        -------
        Spikes
        """
        samples, unit_ids = _whole_numbers("sample", sample), _whole_numbers("unit", unit)
        there, named = (
            np.ones(samples.shape, np.float32) if values is None else _probabilities(name, values)
            for name, values in zip(PROBABILITIES, (probability, unit_probability), strict=True)
        )
        if len({samples.shape, unit_ids.shape, there.shape, named.shape}) > 1 or samples.ndim != 1:
            return cls(samples, unit_ids, there, named)  # says what is wrong
        order = np.lexsort((unit_ids, samples))
        return cls(
            samples[order], unit_ids[order], there[order], named[order], fs_hz=fs_hz, names=names or {}
        )

    @classmethod
    def empty(cls) -> Spikes:
        """No spikes: a result like any other."""
        return cls.from_arrays([], [])

    @classmethod
    def concatenate(cls, parts: list[Spikes]) -> Spikes:
        """Join spikes of several spans of one recording into one value."""
        if not parts:
            return cls.empty()
        fields = (np.concatenate([getattr(part, name) for part in parts]) for name in FIELDS)
        return cls.from_arrays(*fields, fs_hz=parts[0].fs_hz, names=parts[0].names)

    @classmethod
    def from_spikeinterface(cls, sorting: BaseSorting) -> Spikes:
        """Take over a sorting of any tool.

        Parameters
        ----------
        sorting : spikeinterface.BaseSorting
            One segment.

        Returns
        -------
        Spikes
            Units keep their numbers if all of these are whole and larger than 0; otherwise they are numbered
            from 1, in order, and keep their ids as names.

        Raises
        ------
        InputError
            If it is no sorting, or has several segments.

        Examples
        --------
        >>> from spikeinterface.core import NumpySorting
        >>> sorting = NumpySorting.from_unit_dict([{"b": np.array([7, 30]), "a": np.array([9])}], 25_000.0)
        >>> Spikes.from_spikeinterface(sorting).names
        {1: 'b', 2: 'a'}
        """
        if not hasattr(sorting, "to_spike_vector"):
            raise InputError(f"expected a SpikeInterface sorting, not a {type(sorting).__name__}")
        if sorting.get_num_segments() != 1:
            raise InputError(f"has {sorting.get_num_segments()} segments; select one with select_segments")
        names = [str(unit) for unit in sorting.unit_ids]
        numbered = all(name.isdecimal() and int(name) > UNKNOWN for name in names)
        unit_ids = np.array([int(name) for name in names] if numbered else range(1, len(names) + 1), np.int64)
        spikes = sorting.to_spike_vector()
        return cls.from_arrays(
            spikes["sample_index"],
            unit_ids[spikes["unit_index"]],
            fs_hz=float(sorting.get_sampling_frequency()),
            names=dict(zip(unit_ids.tolist(), names, strict=True)),
        )

    def to_spikeinterface(self, fs_hz: float | None = None) -> NumpySorting:
        """Hand over to SpikeInterface, and so to all that it knows.

        Parameters
        ----------
        fs_hz : float, optional
            Sampling rate, where `fs_hz` does not say it.

        Returns
        -------
        spikeinterface.core.NumpySorting
            One unit for each neuron, also for one without spikes, with the properties `probability` and
            `unit_probability` (of each of its spikes: float32 arrays), and `mean_probability`. Spikes of no
            known neuron are left out. Unit ids are names, or labels where there are no names.

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
        from spikeinterface.core import NumpySorting

        rate = fs_hz or self.fs_hz
        if rate is None:
            raise InputError("spikes: their sampling rate is not known; give fs_hz")
        known = self.select(self.unit != UNKNOWN)
        unit_ids = sorted({*known.unit_ids, *(unit for unit in self.names if unit != UNKNOWN)})
        trains = [known.of(unit) for unit in unit_ids]
        ids: list[Any] = [self.name_of(unit) for unit in unit_ids] if self.named_otherwise else unit_ids
        units = dict(zip(ids, (train.sample for train in trains), strict=True))
        sorting = NumpySorting.from_unit_dict([units], rate)
        for name in PROBABILITIES:
            each = np.empty(len(trains), object)
            each[:] = [getattr(train, name) for train in trains]
            sorting.set_property(name, each)
        means = [float(train.joint.mean(dtype=np.float64)) if len(train) else np.nan for train in trains]
        sorting.set_property("mean_probability", np.array(means, np.float64))
        return sorting

    def described(self, *, fs_hz: float, names: Mapping[int, str]) -> Spikes:
        """Return the same spikes with their sampling rate and their neurons' names."""
        return replace(self, fs_hz=fs_hz, names=names)

    def name_of(self, unit: int) -> str:
        """Return what a neuron is called: its label, if it has no name."""
        return self.names.get(unit, str(unit))

    @property
    def named_otherwise(self) -> bool:
        """Whether any neuron is called by another name than its label."""
        return any(name != str(unit) for unit, name in self.names.items())

    @property
    def joint(self) -> Float32Array:
        """Probability that a spike is there and is of its class."""
        return self.probability * self.unit_probability

    @cached_property
    def unit_ids(self) -> tuple[int, ...]:
        """The classes that occur, in order."""
        return tuple(np.unique(self.unit).tolist())

    def select(self, mask: npt.NDArray[np.bool_]) -> Spikes:
        """Return the spikes for which `mask` (bool, shape (spikes,)) is true."""
        return replace(self, **{name: getattr(self, name)[mask] for name in FIELDS})

    def of(self, unit: int) -> Spikes:
        """Return the spikes of one class."""
        return self.select(self.unit == unit)

    def within(self, start: int, stop: int) -> Spikes:
        """Return the spikes that start in samples `start` to `stop` (not included)."""
        return self.select((self.sample >= start) & (self.sample < stop))

    def shifted(self, samples: int) -> Spikes:
        """Return the spikes moved by a number of samples."""
        return replace(self, sample=self.sample + samples)

    def counts(self) -> dict[int, int]:
        """Return the number of spikes of each class that occurs."""
        unit_ids, counts = np.unique(self.unit, return_counts=True)
        return {int(k): int(n) for k, n in zip(unit_ids, counts, strict=True)}

    def __len__(self) -> int:
        return len(self.sample)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Spikes):
            return NotImplemented
        return all(np.array_equal(getattr(self, name), getattr(other, name)) for name in FIELDS)

    def __repr__(self) -> str:
        counts = ", ".join(f"{k}: {n}" for k, n in self.counts().items())
        return f"Spikes({len(self)} spikes; {{{counts}}})"


def _numbers(name: str, values: npt.ArrayLike) -> npt.NDArray[Any]:
    try:
        array = np.asarray(values)
    except ValueError as error:  # lists of several lengths
        raise InputError(f"spikes: {name} must hold numbers: {error}") from None
    if array.size and array.dtype.kind not in "iuf":
        raise InputError(f"spikes: {name} must hold real numbers, not {array.dtype}")
    return array


def _probabilities(name: str, values: npt.ArrayLike) -> Float32Array:
    array = _numbers(name, values)
    if not np.all((array >= 0) & (array <= 1)):
        raise InputError(f"spikes: {name}: probabilities must lie between 0 and 1")
    return array.astype(np.float32)


def _whole_numbers(name: str, values: npt.ArrayLike) -> Int64Array:
    array = _numbers(name, values)
    if array.size == 0:
        return array.astype(np.int64)
    if array.dtype.kind == "f" and not np.all(np.isfinite(array) & (array == np.round(array))):
        raise InputError(f"spikes: {name} must hold whole numbers; some are fractional, NaN or infinite")
    if not -MOST_SAMPLES < array.min() <= array.max() < MOST_SAMPLES:
        raise InputError(f"spikes: {name} holds numbers beyond any recording's length")
    return array.astype(np.int64)


def check_spikes(spikes: object, what: str) -> None:
    """Refuse what are no spikes of ours.

    Raises
    ------
    InputError
    """
    if not isinstance(spikes, Spikes):
        raise InputError(
            f"{what}: expected Spikes, not a {type(spikes).__name__}; spikesorter.read_labels opens files, "
            "Spikes.from_spikeinterface takes sortings, Spikes.from_arrays arrays"
        )


def check_rate(fs_hz: float) -> float:
    """Return a sampling rate if it makes sense.

    Raises
    ------
    InputError
    """
    if not LOWEST_HZ <= fs_hz <= HIGHEST_HZ:
        raise InputError(f"sampled at {fs_hz:g} Hz (fs_hz); expected 100 Hz to 10 MHz")
    return fs_hz


def numbered_alike(a: Spikes, b: Spikes) -> tuple[Spikes, Spikes]:
    """Number neurons by their names, where they have names: a file may lack a silent neuron.

    Examples
    --------
    >>> a = Spikes.from_arrays([100, 300], [1, 2], names={1: "basket", 2: "granule"})
    >>> b = Spikes.from_arrays([300], [1], names={1: "granule"})
    >>> [spikes.unit_ids for spikes in numbered_alike(a, b)]
    [(1, 2), (2,)]
    """
    if not (a.named_otherwise or b.named_otherwise):
        return a, b
    names = sorted({spikes.name_of(k) for spikes in (a, b) for k in spikes.unit_ids if k != UNKNOWN})
    number_of = {name: number for number, name in enumerate(names, start=1)}

    def renumbered(spikes: Spikes) -> Spikes:
        new = {k: UNKNOWN if k == UNKNOWN else number_of[spikes.name_of(k)] for k in spikes.unit_ids}
        unit_ids = [new[unit] for unit in spikes.unit.tolist()]
        return Spikes.from_arrays(
            spikes.sample,
            unit_ids,
            spikes.probability,
            spikes.unit_probability,
            fs_hz=spikes.fs_hz,
            names={number: name for name, number in number_of.items()},
        )

    return renumbered(a), renumbered(b)


def pairs_within(a: Int64Array, b: Int64Array, reach: int) -> tuple[Int64Array, Int64Array]:
    """Find all pairs of samples from two sorted arrays that are at most `reach` apart.

    Parameters
    ----------
    a, b : ndarray of int64, sorted
    reach : int

    Returns
    -------
    i, j : ndarray of int64, shape (pairs,)
        Such that ``abs(a[i] - b[j]) <= reach``; in order of i, then j.

    Examples
    --------
    >>> pairs_within(np.array([10, 50]), np.array([8, 12, 90]), 5)
    (array([0, 0]), array([0, 1]))
    """
    first, last = np.searchsorted(b, a - reach, "left"), np.searchsorted(b, a + reach, "right")
    counts = last - first
    i = np.repeat(np.arange(len(a)), counts)
    before = np.repeat(np.cumsum(counts) - counts, counts)
    return i, np.arange(len(i)) - before + np.repeat(first, counts)
