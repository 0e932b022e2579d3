"""The arrays that spikes are made of: their names and types, their checks, and their order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from spikesorter.core.errors import InputError

__all__ = [
    "FIELDS",
    "PROBABILITIES",
    "UNKNOWN",
    "Float32Array",
    "Int64Array",
    "checked_fields",
    "checked_names",
    "in_order",
    "mask_or_positions",
    "probabilities",
    "whole_numbers",
]

Int64Array = npt.NDArray[np.int64]
Float32Array = npt.NDArray[np.float32]

FIELDS = {"sample": np.int64, "unit": np.int64, "probability": np.float32, "unit_probability": np.float32}
PROBABILITIES = ("probability", "unit_probability")
UNKNOWN = 0
"""Unit of outlier spikes: spikes that fit no known unit."""
MOST_SAMPLES = 1 << 53


def checked_fields(values: Mapping[str, Any]) -> dict[str, npt.NDArray[Any]]:
    """Return the fields of `Spikes` as new arrays that cannot be changed; refuse what makes no spikes.

    Parameters
    ----------
    values : mapping of str to array_like
        For each of `FIELDS`; one probability applies to all spikes.

    Raises
    ------
    InputError
        If the arrays differ in length, are not one-dimensional, are out of order or out of range.

    Examples
    --------
    >>> values = {"sample": [120, 300], "unit": [1, 2], "probability": 0.5, "unit_probability": [1, 1]}
    >>> checked_fields(values)["probability"]
    array([0.5, 0.5], dtype=float32)
    """
    fields: dict[str, npt.NDArray[Any]] = {}
    for name, dtype in FIELDS.items():
        check = probabilities if name in PROBABILITIES else whole_numbers
        array = np.array(check(name, values[name]), dtype=dtype)
        if array.ndim == 0 and name in PROBABILITIES:
            array = np.full(len(fields["sample"]), array)
        if array.ndim != 1:
            raise InputError(f"spikes: {name} must have one dimension, not {array.ndim}")
        array.flags.writeable = False
        fields[name] = array
    lengths = [len(array) for array in fields.values()]
    if len(set(lengths)) != 1:
        raise InputError(
            "spikes: sample, unit, probability and unit_probability must have one length, "
            "not {}, {}, {} and {}".format(*lengths)
        )
    _check_values(fields["sample"], fields["unit"])
    return fields


def checked_names(names: Mapping[int, str]) -> dict[int, str]:
    """Return the names of units in order of their numbers; refuse what names no unit, or two alike.

    Raises
    ------
    InputError

    Examples
    --------
    >>> checked_names({np.int64(2): "basket", 1: "granule"})
    {1: 'granule', 2: 'basket'}
    """
    for unit, name in names.items():
        if not isinstance(unit, int | np.integer) or isinstance(unit, bool) or unit < UNKNOWN:
            raise InputError(
                f"spikes: names: {unit!r} is no number of a unit; expected such as {{1: 'basket'}}"
            )
        if not isinstance(name, str) or not name.strip():
            raise InputError(f"spikes: names: the name of unit {unit} must be a text, not {name!r}")
    if len(set(names.values())) < len(names):
        raise InputError(f"spikes: two units have one name: {', '.join(names.values())}")
    return {int(unit): str(name) for unit, name in sorted(names.items())}


def _check_values(sample: Int64Array, unit: Int64Array) -> None:
    if len(sample) == 0:
        return
    if np.any(np.diff(sample) < 0):
        raise InputError("spikes: samples must be in order; Spikes.from_arrays sorts them")
    if sample[0] < 0:
        raise InputError(f"spikes: samples must be 0 or more, found {sample[0]}")
    if unit.min() < UNKNOWN:
        raise InputError(f"spikes: units must be 0 or more, found {unit.min()}")


def in_order(
    sample: npt.ArrayLike,
    unit: npt.ArrayLike,
    probability: npt.ArrayLike | None,
    unit_probability: npt.ArrayLike | None,
) -> tuple[Int64Array, Int64Array, Float32Array, Float32Array]:
    """Return the fields of `Spikes`, each spike at its place in the order of sample, then unit.

    Raises
    ------
    InputError
        If the values are no numbers or out of range, or the arrays differ in length.

    Examples
    --------
    >>> samples, units, *_ = in_order([300, 120], [2, 1], None, None)
    >>> samples, units
    (array([120, 300]), array([1, 2]))
    """
    samples, units = whole_numbers("sample", sample), whole_numbers("unit", unit)
    there, sure = (
        np.broadcast_to(checked, samples.shape) if checked.ndim == 0 else checked
        for name, values in zip(PROBABILITIES, (probability, unit_probability), strict=True)
        for checked in (probabilities(name, 1.0 if values is None else values),)
    )
    if len({samples.shape, units.shape, there.shape, sure.shape}) > 1 or samples.ndim != 1:
        checked_fields(dict(zip(FIELDS, (samples, units, there, sure), strict=True)))  # raises the error
    order = np.lexsort((units, samples))
    return samples[order], units[order], there[order], sure[order]


def mask_or_positions(place: object) -> npt.NDArray[Any]:
    """Return what selects spikes as an array; refuse what is neither a mask nor positions.

    Raises
    ------
    InputError

    Examples
    --------
    >>> mask_or_positions([True, False])
    array([ True, False])
    """
    array = np.asarray(place)
    if array.dtype.kind not in "iub" or array.ndim != 1:
        raise InputError(
            "spikes: a position, a slice, a mask or positions select spikes; spikes.of(unit) gives "
            "those of a unit, spikes.sample their samples"
        )
    return array


def probabilities(name: str, values: npt.ArrayLike) -> Float32Array:
    """Return values as float32; refuse values outside 0 to 1.

    Raises
    ------
    InputError

    Examples
    --------
    >>> probabilities("probability", [0, 0.25])
    array([0.  , 0.25], dtype=float32)
    """
    array = _numbers(name, values)
    if not np.all((array >= 0) & (array <= 1)):
        raise InputError(f"spikes: {name}: probabilities must lie between 0 and 1")
    return array.astype(np.float32)


def whole_numbers(name: str, values: npt.ArrayLike) -> Int64Array:
    """Return values as int64; refuse fractions and values beyond any recording's length.

    Raises
    ------
    InputError

    Examples
    --------
    >>> whole_numbers("sample", [120.0, 300.0])
    array([120, 300])
    """
    array = _numbers(name, values)
    if array.size == 0:
        return array.astype(np.int64)
    if array.dtype.kind == "f" and not np.all(np.isfinite(array) & (array == np.round(array))):
        raise InputError(f"spikes: {name} must hold whole numbers; some are fractional, NaN or infinite")
    if not -MOST_SAMPLES < array.min() <= array.max() < MOST_SAMPLES:
        raise InputError(f"spikes: {name} holds numbers beyond any recording's length")
    return array.astype(np.int64)


def _numbers(name: str, values: npt.ArrayLike) -> npt.NDArray[Any]:
    if np.ma.is_masked(values):  # asarray would take what is under the mask
        raise InputError(f"spikes: {name} has masked values; leave them out: {name}.compressed()")
    try:
        array = np.asarray(values)
    except ValueError as error:  # lists of several lengths
        raise InputError(f"spikes: {name} must hold numbers: {error}") from None
    if array.size and array.dtype.kind not in "iuf":
        raise InputError(f"spikes: {name} must hold real numbers, not {array.dtype}")
    return array
