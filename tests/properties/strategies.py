"""What the properties are tried on."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from spikesorter.core.spikes import Spikes

FS_HZ = 25_000.0
LETTERS = st.characters(codec="utf-8", exclude_categories=("Cc", "Cs"))
NAMES = st.text(LETTERS, min_size=1, max_size=12).filter(
    lambda name: name.strip() == name and name != "unknown" and not name.isdecimal()
)
PROBABILITY = st.floats(0, 1, width=32)
RATES = st.sampled_from([8000.0, 25_000.0, 30_000.0, 24_414.0625])


@st.composite
def spikes_values(
    draw: st.DrawFn,
    *,
    most: int = 20,
    last: int = 10_000,
    least_unit: int = 1,
    named: bool = True,
    distinct: bool = False,
    fs_hz: float | None = None,
) -> Spikes:
    """Draw spikes of up to four units, with probabilities, of any rate, and perhaps with names."""
    samples = draw(st.lists(st.integers(0, last), max_size=most, unique=distinct))
    unit_ids = draw(st.lists(st.integers(least_unit, 4), min_size=len(samples), max_size=len(samples)))
    there, sure = (
        draw(st.lists(PROBABILITY, min_size=len(samples), max_size=len(samples))) for _ in range(2)
    )
    names = {}
    if named and draw(st.booleans()):
        words = draw(st.lists(NAMES, min_size=4, max_size=4, unique=True))
        names = dict(zip(range(1, 5), words, strict=True))
    rate = draw(RATES) if fs_hz is None else fs_hz
    return Spikes.from_arrays(samples, unit_ids, there, sure, fs_hz=rate, names=names)


@st.composite
def traces(draw: st.DrawFn) -> np.ndarray:
    """Draw samples of several channels, of any type that acquisition systems write; none is constant."""
    dtype = draw(st.sampled_from(["int16", "int32", "uint16", "uint8", "float32", "float64"]))
    channels = draw(st.integers(1, 4))
    samples = draw(st.integers(channels + 2, 40))
    whole = hnp.from_dtype(np.dtype(dtype), allow_nan=False, allow_infinity=False, min_value=0, max_value=200)
    trace = draw(hnp.arrays(dtype, (samples, channels), elements=whole))
    trace[0], trace[1] = 1, 2
    return trace
