"""Matching of two sets of spikes of one recording: sampling rate, unit numbers, pairs of spikes."""

from __future__ import annotations

import numpy as np

from spikesorter.core.errors import InputError
from spikesorter.core.spike import check_rate
from spikesorter.core.spike_arrays import Int64Array
from spikesorter.core.spikes import UNKNOWN, Spikes

__all__ = ["common_rate", "numbered_alike", "numbered_as", "outside_bad", "pairs_within"]

SAME_RATE = 1e-6  # relative difference


def common_rate(truth: Spikes, found: Spikes, fs_hz: float | None = None) -> float | None:
    """Return the sampling rate of two sets of spikes, or None if it is not known.

    Parameters
    ----------
    truth, found : Spikes
    fs_hz : float, optional
        Sampling rate that the caller knows.

    Returns
    -------
    float or None

    Raises
    ------
    InputError
        If two rates differ, or one is out of range.

    Examples
    --------
    >>> truth = Spikes([100, 300], [1, 2], fs_hz=30_000.0)
    >>> common_rate(truth, Spikes([104], [1]))
    30000.0
    """
    known = {check_rate(rate) for rate in (fs_hz, truth.fs_hz, found.fs_hz) if rate is not None}
    if known and max(known) - min(known) > SAME_RATE * max(known):
        rates = " and ".join(f"{rate:g}" for rate in sorted(known))
        raise InputError(f"spikes: truth and found have different sampling rates ({rates} Hz)")
    return max(known, default=None)


def outside_bad(truth: Spikes, found: Spikes) -> tuple[Spikes, Spikes]:
    """Leave out the spikes of both that are in a bad stretch of either.

    Examples
    --------
    >>> from spikesorter.core.bad_stretches import BadStretches
    >>> truth = Spikes([100, 300], [1, 2], bad=BadStretches.of([(90, 120, "artefact")]))
    >>> [spikes.sample.tolist() for spikes in outside_bad(truth, Spikes([101, 300], [1, 2]))]
    [[300], [300]]
    """
    bad = truth.bad.joined(found.bad)
    return truth.outside(bad), found.outside(bad)


def numbered_alike(a: Spikes, b: Spikes) -> tuple[Spikes, Spikes]:
    """Give units of the same name the same number in both.

    Numbers alone may not agree, because a file may leave out a unit without spikes.

    Parameters
    ----------
    a, b : Spikes

    Returns
    -------
    a, b : Spikes
        The same spikes with the new numbers. Unchanged if units have no names.

    Examples
    --------
    >>> a = Spikes([100, 300], [1, 2], names={1: "basket", 2: "granule"})
    >>> b = Spikes([300], [1], names={1: "granule"})
    >>> [spikes.unit_ids for spikes in numbered_alike(a, b)]
    [(1, 2), (2,)]
    """
    if not (a.named_otherwise or b.named_otherwise):
        return a, b
    names = sorted({spikes.name_of(k) for spikes in (a, b) for k in spikes.unit_ids if k != UNKNOWN})
    number_of = {name: number for number, name in enumerate(names, start=1)}
    return _renumbered(a, number_of), _renumbered(b, number_of)


def numbered_as(truth: Spikes, found: Spikes) -> Spikes:
    """Give found units the numbers that units of the same name have in the truth, if both have names.

    Examples
    --------
    >>> truth = Spikes([100, 300], [1, 2], names={1: "basket", 2: "granule"})
    >>> found = Spikes([100, 300], [1, 2], names={1: "granule", 2: "stellate"})
    >>> numbered_as(truth, found).unit_ids, numbered_as(truth, Spikes([100, 300], [1, 2])).unit_ids
    ((2, 3), (1, 2))
    """
    if not (truth.named_otherwise and found.named_otherwise):
        return found
    units = sorted({*found.unit_ids, *found.names} - {UNKNOWN})
    number_of = {truth.name_of(k): k for k in (*truth.unit_ids, *truth.names)}
    unnumbered = [name for name in map(found.name_of, units) if name not in number_of]
    number_of |= {name: k for k, name in enumerate(unnumbered, start=max(number_of.values()) + 1)}
    agree = all(number_of[found.name_of(k)] == k for k in found.unit_ids if k != UNKNOWN)
    return found if agree else _renumbered(found, number_of)


def _renumbered(spikes: Spikes, number_of: dict[str, int]) -> Spikes:
    new = {k: UNKNOWN if k == UNKNOWN else number_of[spikes.name_of(k)] for k in spikes.unit_ids}
    return Spikes.from_arrays(
        spikes.sample,
        [new[unit] for unit in spikes.unit.tolist()],
        spikes.probability,
        spikes.unit_probability,
        fs_hz=spikes.fs_hz,
        names={number: name for name, number in number_of.items()},
        bad=spikes.bad,
    )


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
