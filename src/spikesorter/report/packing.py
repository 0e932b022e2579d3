"""Arrays in a page: gzipped bytes as text, which the page unpacks by itself."""

from __future__ import annotations

import base64
import gzip
from typing import Any

import numpy as np
import numpy.typing as npt

from spikesorter.core.spikes import Spikes

__all__ = ["CODES", "pack", "pack_spikes"]

CODES = 255
"""The largest code of a value in a single byte."""


def pack_spikes(spikes: Spikes) -> dict[str, Any]:
    """Pack spikes, their probabilities as single bytes."""
    return {
        "sample": pack(spikes.sample, "i4"),
        "label": pack(spikes.unit, "i4"),
        "probability": pack(np.round(spikes.joint * CODES), "u1"),
    }


def pack(values: npt.NDArray[Any], dtype: str) -> dict[str, Any]:
    """Pack an array for the page, which unpacks it by itself."""
    array = np.ascontiguousarray(values, np.dtype(dtype).newbyteorder("<"))
    packed = gzip.compress(array.tobytes(), compresslevel=6, mtime=0)
    return {"dtype": dtype, "shape": list(array.shape), "gz": base64.b64encode(packed).decode()}
