"""Notice raw files that are read with the wrong type or layout, by what their samples look like."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["doubts_of_raw", "warn_of_raw", "warn_of_times"]

logger = logging.getLogger(__name__)

LOOKED_AT = 1 << 20  # bytes, from the middle of the file
LEAST = 1000  # samples, below which nothing is concluded
UNLIKELY = 0.01  # share of values that no recording has
SPREAD = 16.0
"""Powers of two between the 1st and the 99th percentile of a recording's values; noise has about 8."""
PLAUSIBLE = (2.0**-40, 2.0**40)
STEADY = 0.05
"""Greatest change of a step between samples, as a share of the step, in a column of times."""
COMPARED = 1 << 17  # values of which distances are compared
MOST_COMPARED = 64  # values apart
FILLED = 0.1
"""Share of its range that noise takes whose order of bytes is wrong, in a type of 32 bits or more."""
BEYOND_NOISE = 9.0  # times the median size of values; 6 times the standard deviation of Gaussian noise
LEAST_IN_SPIKES, LEAST_OF_COLUMN = 100, 20  # values beyond noise, of all channels and of each that is judged
CLOSER = 0.6
"""Ratio of mean squared steps below which values are of one channel; a differentiated trace has 0.67."""


def warn_of_raw(path: Path, dtype: npt.DTypeLike, channels: int, *, planar: bool = False) -> None:
    """Log what makes it doubtful that a raw file has this type and layout.

    Parameters
    ----------
    path : Path
    dtype : dtype
    channels : int
    planar : bool
        Whether each channel is stored as a whole, one after the other.
    """
    size, step = path.stat().st_size, np.dtype(dtype).itemsize * channels
    start = max((size - LOOKED_AT) // 2 // step * step, 0)
    with path.open("rb") as file:
        file.seek(start)
        stored = file.read(LOOKED_AT // step * step or step)
    for doubt in doubts_of_raw(stored, np.dtype(dtype), channels, planar=planar):
        logger.warning("%s: %s", path, doubt)


def warn_of_times(path: Path, trace: npt.NDArray[np.generic]) -> None:
    """Log which columns of an array, shape (samples, channels), look like times.

    Parameters
    ----------
    path : Path
    trace : ndarray
    """
    middle = max(len(trace) - COMPARED, 0) // 2
    looked_at = np.asarray(trace[middle : middle + COMPARED])
    for doubt in _doubts_of_times(looked_at) if len(looked_at) >= LEAST else []:
        logger.warning("%s: %s", path, doubt)


def doubts_of_raw(stored: bytes, dtype: np.dtype, channels: int, *, planar: bool = False) -> list[str]:
    """Return in words what makes it doubtful that bytes of a raw file have a type and layout.

    Parameters
    ----------
    stored : bytes
        Whole samples from the file.
    dtype : dtype
    channels : int
    planar : bool
        Whether each channel is stored as a whole; the bytes are then those of one channel.

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
        if not doubts and not planar:
            doubts = _doubts_of_times(values.reshape(-1, channels))
        return doubts or list(filter(None, [_doubt_of_order(values, channels, planar=planar)]))


def _doubts_of_type(stored: bytes, values: npt.NDArray[np.generic]) -> list[str]:
    name = values.dtype.name
    if values.dtype.kind == "f":
        return _doubts_of_floats(values)
    for kind in ("float32", "float64"):
        other = np.frombuffer(stored[: len(stored) // 8 * 8], kind)
        if len(other) >= LEAST and _is_recording(other):
            return [f"as {name}, it looks like {kind} (--dtype {kind})"]
    rough, swapped = _roughness(values), values.byteswap()
    is_filled = values.dtype.itemsize == 2 or rough > FILLED  # 16 bits may be the upper ones of 32
    if values.dtype.itemsize > 1 and is_filled and _roughness(swapped) < rough / 4:
        return [
            f"as {name}, it looks like noise over the whole range; with the other order of bytes it looks "
            f"like a recording (--dtype '{_swapped(values.dtype)}')"
        ]
    unlike = values.dtype.str.translate({ord("i"): "u", ord("u"): "i"})
    if _roughness(values.view(unlike)) < rough / 4:
        return [
            f"as {name}, it jumps between the ends of the range; as {np.dtype(unlike).name} it looks like a "
            f"recording (--dtype {_named(np.dtype(unlike))})"
        ]
    return _doubts_of_words(values)


def _doubts_of_floats(values: npt.NDArray[Any]) -> list[str]:
    name = values.dtype.name
    values = values[~_is_missing(values)]
    if len(values) < LEAST or _share_absurd(values) <= UNLIKELY:
        return []
    if kind := _integer_like(values.tobytes()):
        return [
            f"as {name}, many values are NaN or absurd; as {kind} they look like a recording (--dtype {kind})"
        ]
    if _is_recording(values.byteswap()):
        return [
            f"as {name}, many values are NaN or absurd; with the other order of bytes they look like a "
            f"recording (--dtype '{_swapped(values.dtype)}')"
        ]
    return []


def _doubts_of_words(values: npt.NDArray[Any]) -> list[str]:
    """Return in words that numbers of 16 bits are halves of longer ones, or that longer ones are two."""
    kind, order = values.dtype.str[1:], values.dtype.str[0]
    if kind not in ("i2", "i4"):
        return []
    words = values.view(f"{order}i2")
    words = words[: len(words) // 2 * 2].reshape(-1, 2).astype(np.int64)
    low, high = words.T if order == "<" else words.T[::-1]
    is_sign = (
        bool((high == np.where(low < 0, -1, 0)).all()) and len(np.unique(high)) == 2
    )  # of one number of 32 bits
    if kind == "i2" and is_sign and low.std() > 2:
        wide = _named(np.dtype(f"{order}i4"))
        return [f"as int16, every other value is only a sign; as int32 they are whole (--dtype {wide})"]
    alike = high.std() / 4 < low.std() < min(high.std() * 4, 0.1 * (1 << 16))
    if kind == "i4" and not is_sign and alike:
        narrow = _named(np.dtype(f"{order}i2"))
        return [f"as int32, either half of a value looks like a value (--dtype {narrow})"]
    return []


def _doubts_of_times(trace: npt.NDArray[np.generic]) -> list[str]:
    with np.errstate(invalid="ignore"):  # a column with infinite values is none of times
        steps = np.diff(trace.astype(np.float64), axis=0)
        mean = steps.mean(axis=0)
        steady = (mean > 0) & (np.abs(steps - mean).max(axis=0) <= STEADY * np.abs(mean) + 1e-12)
    return [
        f"channel {channel} (from 0) rises steadily, like a column of times; leave it out with --channel"
        for channel in np.flatnonzero(steady)
    ]


def _doubt_of_order(values: npt.NDArray[Any], channels: int, *, planar: bool) -> str:
    """Return in words that values follow each other as in a file of another number of channels, or "".

    Samples of one channel change little from one to the next, or at least those within spikes, if the noise
    is white. If values some places apart are much closer to each other than those that should be neighbours,
    in whatever column, those are the neighbours.
    """
    apart = 1 if planar else channels
    values = values[: COMPARED // apart * apart].astype(np.float64)
    if len(values) < LEAST * apart or not np.isfinite(values).all():
        return ""
    every = np.arange(len(values) - MOST_COMPARED)
    best = _closest(values, apart, every) or _closest(values, apart, _in_spikes(values, every))
    if not best:
        return ""
    if best == 1:
        return (
            f"as {channels} channels in turn, neighbouring values look like samples of one channel: are the "
            "channels stored one after the other (--planar), or is there one only (--channels 1)?"
        )
    turn = "; is it not planar?" if planar else ""
    return f"values look like those of {best} channels in turn (--channels {best}){turn}"


def _closest(values: npt.NDArray[np.float64], apart: int, looked_at: npt.NDArray[np.intp]) -> int:
    """Return how far the values are apart that are clearly closer to each other than neighbours, or 0."""
    counts = np.bincount(looked_at % apart, minlength=apart)
    judged = counts >= LEAST_OF_COLUMN
    if counts.sum() < LEAST_IN_SPIKES or not judged.any():
        return 0

    def squared_steps(k: int) -> npt.NDArray[np.float64]:  # for each column in which the first value is
        steps = (values[looked_at + k] - values[looked_at]) ** 2
        sums = np.bincount(looked_at % apart, steps, minlength=apart)
        return np.asarray(sums[judged] / counts[judged], np.float64)

    own = squared_steps(apart).mean()
    found = {k: squared_steps(k).max() for k in range(1, MOST_COMPARED + 1) if k != apart}
    best = min(found, key=lambda k: found[k])
    size = ((values[looked_at] - np.median(values)) ** 2).mean()  # narrow spikes are close to nothing
    return best if found[best] < min(CLOSER * own, CLOSER * size) else 0


def _in_spikes(values: npt.NDArray[np.float64], every: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    """Return which values are far beyond the noise: within a spike neighbours are close, in any noise."""
    size = np.abs(values - np.median(values))
    return np.asarray(every[size[every] > BEYOND_NOISE * np.median(size)], np.intp)


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


def _named(dtype: np.dtype) -> str:
    """Return a type as an option names it: by its order of bytes only if that is not the machine's."""
    return dtype.name if dtype.isnative else f"'{dtype.str}'"
