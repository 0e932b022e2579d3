"""Spikes in other forms: sortings of SpikeInterface, tables of pandas, a line of text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from spikesorter.core.bad_stretches import BadStretches
from spikesorter.core.errors import InputError
from spikesorter.core.spike_arrays import PROBABILITIES, UNKNOWN, Int64Array

if TYPE_CHECKING:
    from pandas import DataFrame
    from pynapple import TsGroup
    from spikeinterface import BaseSorting
    from spikeinterface.core import NumpySorting

    from spikesorter.core.spikes import Spikes

__all__ = [
    "bad_in_sorting",
    "dataframe_of",
    "good_stretches_s",
    "number_of",
    "sorting_of",
    "text_of",
    "ts_group_of",
    "units_in_sorting",
]

BAD = "bad_stretches"
"""Annotation of sortings that lists the bad stretches."""
MOST_SHOWN = 6  # units, in a line of text


def units_in_sorting(sorting: BaseSorting) -> tuple[Int64Array, dict[int, str]]:
    """Return the number of each unit of a sorting, in its order, and their names.

    Raises
    ------
    InputError
        If it is not a sorting, or has several segments.

    Examples
    --------
    >>> from spikeinterface.core import NumpySorting
    >>> units_in_sorting(NumpySorting.from_unit_dict([{"b": np.array([7]), "a": np.array([9])}], 25_000.0))
    (array([1, 2]), {1: 'b', 2: 'a'})
    """
    if not hasattr(sorting, "to_spike_vector"):
        raise InputError(f"expected a SpikeInterface sorting, not a {type(sorting).__name__}")
    if sorting.get_num_segments() != 1:
        raise InputError(f"has {sorting.get_num_segments()} segments; select one with select_segments")
    names = [str(unit) for unit in sorting.unit_ids]
    numbered = all(name.isdecimal() and int(name) > UNKNOWN for name in names)
    unit_ids = np.array([int(name) for name in names] if numbered else range(1, len(names) + 1), np.int64)
    return unit_ids, dict(zip(unit_ids.tolist(), names, strict=True))


def bad_in_sorting(sorting: BaseSorting) -> BadStretches:
    """Return the bad stretches that a sorting is annotated with; none if it is not.

    Raises
    ------
    InputError
        If the annotation has another form.

    Examples
    --------
    >>> from spikeinterface.core import NumpySorting
    >>> sorting = NumpySorting.from_unit_dict([{"a": np.array([9])}], 25_000.0)
    >>> sorting.annotate(bad_stretches=[[100, 200, "dead"]])
    >>> list(bad_in_sorting(sorting))
    [BadStretch(start=100, stop=200, kind='dead')]
    """
    listed = sorting.get_annotation(BAD) or []
    try:
        return BadStretches.of([(int(start), int(stop), str(kind)) for start, stop, kind in listed])
    except (TypeError, ValueError):
        raise InputError(f"annotation {BAD}: expected a list of (start, stop, kind)") from None


def sorting_of(spikes: Spikes, fs_hz: float | None) -> NumpySorting:
    """Return spikes as a SpikeInterface sorting; see `Spikes.to_spikeinterface`.

    Raises
    ------
    InputError
        If the sampling rate is not known.
    """
    from spikeinterface.core import NumpySorting

    rate = _rate_of(spikes, fs_hz)
    unit_ids, trains = _trains_of(spikes)
    ids: list[Any] = [spikes.name_of(unit) for unit in unit_ids] if spikes.named_otherwise else unit_ids
    units = dict(zip(ids, (train.sample for train in trains), strict=True))
    sorting = NumpySorting.from_unit_dict([units], rate)
    for name in PROBABILITIES:
        each = np.empty(len(trains), object)
        each[:] = [getattr(train, name) for train in trains]
        sorting.set_property(name, each)
    sorting.set_property("mean_probability", _means_of(trains))
    if len(spikes.bad):
        sorting.annotate(**{BAD: [list(stretch) for stretch in spikes.bad]})
    return sorting


def ts_group_of(spikes: Spikes, fs_hz: float | None, n_samples: int | None) -> TsGroup:
    """Return spikes as a group of pynapple; see `Spikes.to_pynapple`.

    Raises
    ------
    InputError
        If pynapple is not installed, or the sampling rate is not known.
    """
    try:
        import pynapple
    except ImportError:
        raise InputError('to_pynapple needs pynapple: pip install "neural-spike-sorter[pynapple]"') from None
    rate = _rate_of(spikes, fs_hz)
    unit_ids, trains = _trains_of(spikes)
    looked_at = pynapple.IntervalSet(*good_stretches_s(spikes, rate, n_samples))
    return pynapple.TsGroup(
        {
            unit: pynapple.Ts(train.sample / rate, time_support=looked_at)
            for unit, train in zip(unit_ids, trains, strict=True)
        },
        time_support=looked_at,
        metadata={
            "unit_name": [spikes.name_of(unit) for unit in unit_ids],
            "mean_probability": _means_of(trains),
        },
    )


def good_stretches_s(
    spikes: Spikes, rate: float, n_samples: int | None
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return start and end (s) of the parts of the recording that are in no bad stretch.

    Parameters
    ----------
    spikes : Spikes
    rate : float
        Sampling rate (Hz).
    n_samples : int, optional
        Length of the recording; if it is not known, it ends with the last spike or bad stretch.

    Returns
    -------
    start_s, end_s : ndarray of float64, shape (parts,)

    Raises
    ------
    InputError
        If the spikes are not of a recording of this length.

    Examples
    --------
    >>> from spikesorter.core.spikes import Spikes
    >>> spikes = Spikes([5, 30], [1, 1], bad=BadStretches.of([(10, 20, "dead")]))
    >>> good_stretches_s(spikes, 10.0, 40)
    (array([0., 2.]), array([1., 4.]))
    """
    bad = spikes.bad
    last = max([0, *spikes.sample[-1:].tolist()])
    if n_samples is not None and last >= n_samples:
        raise InputError(f"n_samples: must be more than {last}, where the last spike is, but is {n_samples}")
    stop = max([last + 1, *bad.stop[-1:].tolist()]) if n_samples is None else n_samples
    start, end = np.concatenate([[0], bad.stop]), np.concatenate([bad.start, [stop]]).clip(max=stop)
    inside = end > start
    return start[inside] / rate, end[inside] / rate


def _rate_of(spikes: Spikes, fs_hz: float | None) -> float:
    rate = fs_hz or spikes.fs_hz
    if rate is None:
        raise InputError("spikes: the sampling rate is not known; give fs_hz")
    return rate


def _trains_of(spikes: Spikes) -> tuple[list[int], list[Spikes]]:
    """Return all units that have spikes or a name, but not the outlier spikes, and the spikes of each."""
    known = spikes.select(spikes.unit != UNKNOWN)
    unit_ids = sorted({*known.unit_ids, *(unit for unit in spikes.names if unit != UNKNOWN)})
    return unit_ids, [known.of(unit) for unit in unit_ids]


def _means_of(trains: list[Spikes]) -> npt.NDArray[np.float64]:
    """Return the mean probability of each unit's spikes; NaN if it has none."""
    means = [float(train.joint.mean(dtype=np.float64)) if len(train) else np.nan for train in trains]
    return np.array(means, np.float64)


def dataframe_of(spikes: Spikes) -> DataFrame:
    """Return spikes as a table; see `Spikes.to_dataframe`."""
    from pandas import DataFrame

    times = {} if spikes.fs_hz is None else {"time_s": spikes.sample / spikes.fs_hz}
    columns = {
        "sample": spikes.sample,
        **times,
        "unit": spikes.unit,
        "name": [spikes.name_of(unit) for unit in spikes.unit.tolist()],
        **{name: getattr(spikes, name) for name in PROBABILITIES},
    }
    return DataFrame(columns)


def number_of(spikes: Spikes, name: str) -> int:
    """Return the number of the unit with a name.

    Raises
    ------
    InputError
        If no unit has it.

    Examples
    --------
    >>> from spikesorter.core.spikes import Spikes
    >>> number_of(Spikes([120], [1], names={2: "basket"}), "basket")
    2
    """
    numbers = {spikes.name_of(unit): unit for unit in (*spikes.unit_ids, *spikes.names)}
    if name not in numbers:
        raise InputError(f"spikes: no unit is named {name}; there are {', '.join(numbers) or 'none'}")
    return numbers[name]


def text_of(spikes: Spikes) -> str:
    """Return the numbers of spikes and units, and those of the first units, as a line of text."""
    counts = spikes.counts()
    shown = [f"{spikes.name_of(k)}: {n}" for k, n in list(counts.items())[:MOST_SHOWN]]
    more = ["..."] if len(counts) > MOST_SHOWN else []
    rate = "" if spikes.fs_hz is None else f"; {spikes.fs_hz:g} Hz"
    parts = f"; {', '.join(shown + more)}" if shown else ""
    return f"Spikes({_counted(len(spikes), 'spike')} of {_counted(len(counts), 'unit')}{parts}{rate})"


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
