"""Pack arrays for a page as gzipped bytes in base64; `assets/data.js` unpacks them."""

from __future__ import annotations

import base64
import gzip
from typing import Any

import numpy as np
import numpy.typing as npt

from spikesorter.core.spikes import Spikes

__all__ = ["CODES", "pack", "pack_spikes"]

CODES = 255
"""Largest code of a value in one byte."""


def pack_spikes(spikes: Spikes) -> dict[str, Any]:
    """Pack spikes, with each probability in one byte.

    Parameters
    ----------
    spikes : Spikes

    Returns
    -------
    dict
        `sample`, `unit` and `probability`, packed.

    Examples
    --------
    >>> pack_spikes(Spikes.from_arrays([100, 300], [1, 2]))["unit"]["shape"]
    [2]
    """
    return {
        "sample": pack(spikes.sample, "i4"),
        "unit": pack(spikes.unit, "i4"),
        "probability": pack(np.round(spikes.joint * CODES), "u1"),
    }


def pack(values: npt.NDArray[Any], dtype: str) -> dict[str, Any]:
    """Pack an array.

    Parameters
    ----------
    values : ndarray
    dtype : {"u1", "i4", "f4"}
        Type in which the values are stored.

    Returns
    -------
    dict
        `dtype`, `shape`, and the values as text in `gz`.

    Examples
    --------
    >>> pack(np.arange(6).reshape(3, 2), "u1")["shape"]
    [3, 2]
    """
    array = np.ascontiguousarray(values, np.dtype(dtype).newbyteorder("<"))
    packed = gzip.compress(array.tobytes(), compresslevel=6, mtime=0)
    return {"dtype": dtype, "shape": list(array.shape), "gz": base64.b64encode(packed).decode()}
