"""The values of MATLAB variables: checked, and made a trace, a sampling rate and spikes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from spikesorter.core.bad_stretches import KINDS, BadStretches
from spikesorter.core.errors import InputError, naming
from spikesorter.core.spikes import UNKNOWN, Spikes
from spikesorter.io.bounds import MOST_CHANNELS, NUMERIC_KINDS, check_rate
from spikesorter.io.label_checks import RateNeededError, check_whole, to_samples
from spikesorter.io.mat_variables import (
    BAD,
    BAD_KIND,
    DOUBTS,
    PROBABILITIES,
    listed_variables,
    proposed_options,
)
from spikesorter.io.samples import constant_channels, missing_channels

__all__ = ["sampling_rate_of", "spikes_of", "trace_of", "wave_clus_columns"]


def trace_of(path: Path, variables: dict[str, npt.NDArray[Any]]) -> npt.NDArray[Any]:
    """Check `d` and return it with shape (samples, channels); its longer side is time.

    Raises
    ------
    InputError
        If there is no `d`, or it is no trace.

    Examples
    --------
    >>> trace_of(Path("D1.mat"), {"d": np.array([[0.1, 4.0, 0.2]])}).shape
    (3, 1)
    """
    if "d" not in variables:
        raise InputError(
            f"{path}: has no variable d (the trace); {listed_variables(path)}with {proposed_options(path)}"
        )
    d = variables["d"]
    if d.dtype.kind not in NUMERIC_KINDS:
        raise InputError(f"{path}: d must hold real numbers, not {d.dtype}")
    if d.ndim > 2:
        raise InputError(f"{path}: d must be a row, a column or a table of channels, but has shape {d.shape}")
    trace = np.atleast_2d(d)
    trace = trace.T if trace.shape[0] < trace.shape[1] else trace
    if trace.size == 0:
        raise InputError(f"{path}: d is empty")
    if trace.shape[1] > MOST_CHANNELS:
        raise InputError(f"{path}: d has shape {d.shape}: at most {MOST_CHANNELS} channels are supported")
    silent, missing = constant_channels(trace), missing_channels(trace)
    if len(silent) + len(missing) == trace.shape[1]:
        what = "constant" if silent else "NaN or infinite throughout"
        raise InputError(f"{path}: d is {what}: nothing was recorded")
    return np.ascontiguousarray(trace)


def sampling_rate_of(path: Path, stored: npt.NDArray[Any] | None, fs_hz: float | None) -> float:
    """Return the sampling rate (Hz): the stored one, else the given one, else 25,000.

    Raises
    ------
    InputError
        If it is not one number, or out of range.

    Examples
    --------
    >>> sampling_rate_of(Path("D1.mat"), np.array([[12_500]]), 30_000.0)
    12500.0
    """
    value = 25_000.0 if fs_hz is None else fs_hz
    if stored is not None:
        if stored.size != 1 or stored.dtype.kind not in NUMERIC_KINDS:
            raise InputError(
                f"{path}: fs must be one real number (Hz), not {stored.dtype} of shape {stored.shape}"
            )
        value = float(stored.ravel()[0])
    return check_rate(path, value)


def spikes_of(path: Path, variables: dict[str, npt.NDArray[Any]], *, n_samples: int | None) -> Spikes | None:
    """Return the spikes in `Index` and `Class` and the bad stretches in `Bad`.

    None if the file has neither `Index` nor `Class`.

    Parameters
    ----------
    path : Path
    variables : dict of str to ndarray
        From `read_variables`.
    n_samples : int or None
        Length of the recording, if it is known.

    Raises
    ------
    InputError
        If a variable is missing, or its values are invalid.
    """
    if "Index" not in variables and "Class" not in variables:
        return None
    for name in ("Index", "Class"):
        if name not in variables:
            raise InputError(f"{path}: has {'Class' if name == 'Index' else 'Index'} but no {name}")
    check_whole(path, "Index", np.ravel(variables["Index"]))
    index = _whole_numbers(path, "Index", variables["Index"])
    unit = _whole_numbers(path, "Class", variables["Class"])
    if len(index) != len(unit):
        raise InputError(f"{path}: Index has {len(index)} entries, but Class has {len(unit)}")
    if len(index) and index.min() < 0:
        raise InputError(f"{path}: Index must be 0 or more, found {index.min()}")
    if n_samples is not None and len(index) and index.max() >= n_samples:
        raise InputError(f"{path}: Index goes up to {index.max()}, but d has only {n_samples} samples")
    if len(unit) and unit.min() < UNKNOWN:
        raise InputError(f"{path}: Class must be {UNKNOWN} or more, found {unit.min()}")
    probability, unit_probability = (
        _probabilities(path, name, variables[name], len(index)) if name in variables else None
        for name in PROBABILITIES
    )
    rate = variables.get("fs")
    fs_hz = None if rate is None else sampling_rate_of(path, rate, None)
    return Spikes.from_arrays(
        index,
        unit,
        probability,
        unit_probability,
        fs_hz=fs_hz,
        names=_names(variables.get("Names")),
        bad=_bad(path, variables),
        doubts=tuple(filter(None, _texts(variables.get(DOUBTS)))),
    )


def _bad(path: Path, variables: dict[str, npt.NDArray[Any]]) -> BadStretches:
    """Return the stretches in `Bad`, of the kinds in `BadKind`; they may overlap and be in any order."""
    stretches = variables.get(BAD, np.zeros((0, 2)))
    if stretches.size == 0:
        return BadStretches()
    if stretches.ndim != 2 or stretches.shape[1] != 2:
        raise InputError(
            f"{path}: {BAD} must have two columns, the first sample of each bad stretch and the sample after "
            f"its last one, but has shape {stretches.shape}"
        )
    start, stop = (_whole_numbers(path, BAD, column).tolist() for column in stretches.T)
    codes = _whole_numbers(path, BAD_KIND, variables.get(BAD_KIND, np.zeros(len(start)))).tolist()
    if len(codes) != len(start) or not {*codes} <= {*range(len(KINDS))}:
        known = ", ".join(f"{code} {kind}" for code, kind in enumerate(KINDS))
        raise InputError(f"{path}: {BAD_KIND} must hold a number for each row of {BAD}: {known}")
    with naming(path):
        return BadStretches.of([(a, b, KINDS[k]) for a, b, k in zip(start, stop, codes, strict=True)])


def _names(cells: npt.NDArray[Any] | None) -> dict[int, str]:
    return {unit: name for unit, name in enumerate(_texts(cells), start=1) if name}


def _texts(cells: npt.NDArray[Any] | None) -> list[str]:
    """Return the texts in a cell array; none if it is not one."""
    if cells is None or cells.dtype != object:
        return []
    return ["".join(np.asarray(cell).ravel().astype(str).tolist()) for cell in cells.ravel()]


def _probabilities(path: Path, name: str, values: npt.NDArray[Any], n: int) -> npt.NDArray[Any]:
    numbers = values.size == n and values.dtype.kind in NUMERIC_KINDS
    if not numbers or not np.all((values >= 0) & (values <= 1)):
        raise InputError(f"{path}: {name} must hold {n} numbers from 0 to 1")
    return values.ravel()


def _whole_numbers(path: Path, name: str, values: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    if values.dtype.kind not in NUMERIC_KINDS:
        raise InputError(f"{path}: {name} must hold whole numbers, not {values.dtype}")
    if values.ndim > 2 or (values.ndim == 2 and values.size and min(values.shape) != 1):
        raise InputError(f"{path}: {name} must be a row or a column, but has shape {values.shape}")
    flat = values.ravel()
    if flat.dtype.kind == "f" and not (np.isfinite(flat).all() and np.all(flat == np.round(flat))):
        raise InputError(f"{path}: {name} must hold whole numbers; some are fractional, NaN or infinite")
    if len(flat) and np.abs(flat.astype(float)).max() >= 2.0**53:
        raise InputError(f"{path}: {name} holds numbers beyond any recording's length")
    return flat.astype(np.int64)


def wave_clus_columns(
    path: Path, values: npt.NDArray[Any], fs_hz: float | None
) -> dict[str, npt.NDArray[Any]]:
    """Return `Index` and `Class` for a table of units and milliseconds, as wave_clus writes it.

    Raises
    ------
    InputError
        If it has no two columns of numbers, or the sampling rate is not known (`RateNeededError`).
    """
    if values.dtype.kind not in NUMERIC_KINDS or values.ndim != 2 or values.shape[1] < 2:
        raise InputError(
            f"{path}: cluster_class must hold two columns, unit and milliseconds, but has shape "
            f"{values.shape}"
        )
    if fs_hz is None:
        raise RateNeededError(
            f"{path}: holds times in milliseconds; give the recording's sampling rate: fs_hz (--fs)"
        )
    return {"Index": to_samples(values[:, 1] / 1000, "seconds", fs_hz, 0.0), "Class": values[:, 0]}
