"""Notice true and found spikes that cannot be compared as they are: shifted times, or parts without any."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from spikesorter.core.pairs import pairs_within
from spikesorter.core.spikes import Spikes

__all__ = ["mismatches", "offset_ms"]

REACH_MS, BIN_MS, NEAR_MS = 10.0, 0.05, 0.2
LEAST_PAIRS, LEAST_SHARE = 20, 0.3  # of the spikes of the smaller set that the offset brings together
CLEARLY = 2.0  # times as many pairs as without an offset
LEAST_INTERVALS, LEAST_MORE = 20.0, 0.1  # usual intervals without spikes; share of the other's spikes there


def mismatches(truth: Spikes, found: Spikes, *, fs_hz: float) -> list[str]:
    """Return in words why a comparison may say little about the sorter.

    Parameters
    ----------
    truth, found : Spikes
    fs_hz : float
        Sampling rate of both.

    Returns
    -------
    list of str
        Empty if nothing is odd.

    Examples
    --------
    >>> truth = Spikes(range(1000, 901_000, 9000), [1] * 100)
    >>> mismatches(truth, truth, fs_hz=30_000.0)
    []
    >>> mismatches(truth, truth.shifted(60), fs_hz=30_000.0)[0].partition(":")[0]
    'found spikes are 2 ms later than true ones'
    """
    said = []
    offset = offset_ms(truth.sample, found.sample, fs_hz=fs_hz)
    if abs(offset) > NEAR_MS:
        side = "later" if offset > 0 else "earlier"
        said.append(
            f"found spikes are {abs(offset):.2g} ms {side} than true ones: do both mark the same point of a "
            "spike? They are paired within 2 ms, strictly within 0.4 ms"
        )
    for a, b, names in ((truth, found, ("true", "found")), (found, truth, ("found", "true"))):
        said += _beyond(a.sample / fs_hz, b.sample / fs_hz, *names)
    return said


def offset_ms(truth: npt.NDArray[np.int64], found: npt.NDArray[np.int64], *, fs_hz: float) -> float:
    """Return by how much most found spikes are later than true ones; 0 if no offset stands out.

    Parameters
    ----------
    truth, found : ndarray of int64, shape (spikes,), sorted
    fs_hz : float

    Returns
    -------
    float
        Milliseconds, -10 to 10.

    Examples
    --------
    >>> times = np.arange(1000, 901_000, 9000)
    >>> float(offset_ms(times, times - 30, fs_hz=30_000.0))
    -1.0
    """
    i, j = pairs_within(truth, found, round(REACH_MS * fs_hz / 1000))
    late = (found[j] - truth[i]) * 1000 / fs_hz
    if len(late) < LEAST_PAIRS:
        return 0.0
    bins = np.round(late / BIN_MS).astype(np.int64)
    width = round(NEAR_MS / BIN_MS)
    counts = np.bincount(bins - bins.min(), minlength=2 * width + 1)
    smooth = np.convolve(counts, np.ones(2 * width + 1), "same")
    peak = float((smooth.argmax() + bins.min()) * BIN_MS)
    there = late[np.abs(late - peak) <= NEAR_MS]
    here = np.count_nonzero(np.abs(late) <= NEAR_MS)
    least = max(LEAST_PAIRS, LEAST_SHARE * min(len(truth), len(found)), CLEARLY * here)
    return float(np.median(there)) if len(there) >= least else 0.0


def _beyond(
    few_s: npt.NDArray[np.float64], many_s: npt.NDArray[np.float64], few: str, many: str
) -> list[str]:
    """Return in words that one set has no spikes for long at an end where the other has many."""
    if len(few_s) < LEAST_PAIRS or len(many_s) < LEAST_PAIRS:
        return []
    gap = LEAST_INTERVALS * (few_s[-1] - few_s[0]) / (len(few_s) - 1)
    ends = (
        (f"begin at {few_s[0]:.4g} s", few_s[0] - many_s[0], np.count_nonzero(many_s < few_s[0]), "earlier"),
        (f"end at {few_s[-1]:.4g} s", many_s[-1] - few_s[-1], np.count_nonzero(many_s > few_s[-1]), "later"),
    )
    return [
        f"the {few} spikes {where}, but {n} of {len(many_s)} {many} spikes are {side}, and count as "
        f"{'false' if many == 'found' else 'missed'}: were both made from the whole recording?"
        for where, without, n, side in ends
        if without > gap and n >= max(LEAST_PAIRS, LEAST_MORE * len(many_s))
    ]
