"""Notice raw files that are read with the wrong type or layout, by what their samples look like."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["doubts_of_raw", "warn_of_raw"]

logger = logging.getLogger(__name__)

LOOKED_AT = 1 << 20  # bytes, from the middle of the file
LEAST = 1000  # samples, below which nothing is concluded
UNLIKELY = 0.01  # share of values that no recording has
SPREAD = 16.0
"""Powers of two between the 1st and the 99th percentile of a recording's values; noise has about 8."""
PLAUSIBLE = (2.0**-40, 2.0**40)
STEADY = 0.05
"""Greatest change of a step between samples, as a share of the step, in a column of times."""


def warn_of_raw(path: Path, dtype: npt.DTypeLike, channels: int) -> None:
    """Log what makes it doubtful that a raw file has this type and layout.

    Parameters
    ----------
    path : Path
    dtype : dtype
    channels : int
    """
    size, step = path.stat().st_size, np.dtype(dtype).itemsize * channels
    start = max((size - LOOKED_AT) // 2 // step * step, 0)
    with path.open("rb") as file:
        file.seek(start)
        stored = file.read(LOOKED_AT // step * step or step)
    for doubt in doubts_of_raw(stored, np.dtype(dtype), channels):
        logger.warning("%s: %s", path, doubt)


def doubts_of_raw(stored: bytes, dtype: np.dtype, channels: int) -> list[str]:
    """Return in words what makes it doubtful that bytes of a raw file have a type and layout.

    Parameters
    ----------
    stored : bytes
        Whole samples from the file.
    dtype : dtype
    channels : int

    Returns
    -------
    list of str

    Examples
    --------
    >>> trace = np.random.default_rng(0).normal(0, 50, 4000).astype(np.int16)
    >>> doubts_of_raw(trace.tobytes(), np.dtype("int16"), 1)
    []
    >>> doubts_of_raw(trace.tobytes(), np.dtype("float32"), 1)
    ['as float32, many values are NaN or absurd; as int16 they look like a recording (--dtype int16)']
    """
    with np.errstate(all="ignore"):
        values = np.frombuffer(stored, dtype)
        if len(values) < LEAST:
            return []
        doubts = _doubts_of_type(stored, values)
        return doubts or _doubts_of_layout(values.reshape(-1, channels))


def _doubts_of_type(stored: bytes, values: npt.NDArray[np.generic]) -> list[str]:
    name = values.dtype.name
    if values.dtype.kind == "f":
        values = values[~_is_missing(values)]
        stored = values.tobytes()
        if len(values) < LEAST:
            return []
        if _share_absurd(values) > UNLIKELY and (kind := _integer_like(stored)):
            return [
                f"as {name}, many values are NaN or absurd; as {kind} they look like a recording (--dtype "
                f"{kind})"
            ]
        swapped = values.byteswap()
        if _share_absurd(values) > UNLIKELY and _is_recording(swapped):
            return [
                f"as {name}, many values are NaN or absurd; with the other order of bytes they look like a "
                f"recording (--dtype '{_swapped(values.dtype)}')"
            ]
        return []
    for kind in ("float32", "float64"):
        other = np.frombuffer(stored[: len(stored) // 8 * 8], kind)
        if len(other) >= LEAST and _is_recording(other):
            return [f"as {name}, it looks like {kind} (--dtype {kind})"]
    swapped = values.byteswap()
    if values.dtype.itemsize > 1 and _roughness(swapped) < _roughness(values) / 4:
        return [
            f"as {name}, it looks like noise over the whole range; with the other order of bytes it looks "
            f"like a recording (--dtype '{_swapped(values.dtype)}')"
        ]
    return []


def _doubts_of_layout(trace: npt.NDArray[np.generic]) -> list[str]:
    steps = np.diff(trace.astype(np.float64), axis=0)
    mean = steps.mean(axis=0)
    steady = (mean > 0) & (np.abs(steps - mean).max(axis=0) <= STEADY * np.abs(mean) + 1e-12)
    return [
        f"channel {channel} (from 0) rises steadily, like a column of times; leave it out with --channel"
        for channel in np.flatnonzero(steady)
    ]


def _is_missing(values: npt.NDArray[np.generic]) -> npt.NDArray[np.bool_]:
    """Return which values are the NaN, or infinity, that programs write; whole numbers read as NaN differ."""
    bits = values.view(f"u{values.dtype.itemsize}")
    written = np.array([np.nan, -np.nan, np.inf, -np.inf], values.dtype).view(bits.dtype)
    return np.isin(bits, written)


def _share_absurd(values: npt.NDArray[np.generic]) -> float:
    size = np.abs(values.astype(np.float64))
    nonzero = size[size != 0]
    within = (nonzero >= PLAUSIBLE[0]) & (nonzero <= PLAUSIBLE[1])  # False for NaN
    return float(1 - within.mean()) if len(nonzero) else 0.0


def _is_recording(values: npt.NDArray[np.generic]) -> bool:
    """Return whether floating-point values are plausible and within a few powers of two."""
    if _share_absurd(values) > 0:
        return False
    size = np.abs(values.astype(np.float64))
    nonzero = size[size > 0]
    if len(nonzero) < LEAST:
        return False
    low, high = np.percentile(np.log2(nonzero), [1, 99])
    return bool(high - low < SPREAD)


def _integer_like(stored: bytes) -> str | None:
    """Return the type of whole numbers as which bytes are smooth enough for a recording."""
    whole = stored[: len(stored) // 4 * 4]
    return next((kind for kind in ("int16", "int32") if _roughness(np.frombuffer(whole, kind)) < 0.1), None)


def _roughness(values: npt.NDArray[Any]) -> float:
    """Return the standard deviation as a share of the type's range; random bits have 0.29."""
    info = np.iinfo(values.dtype)
    return float(values.astype(np.float64).std() / (float(info.max) - float(info.min)))


def _swapped(dtype: np.dtype) -> str:
    return dtype.newbyteorder("S").str
