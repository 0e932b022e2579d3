"""Tell by spike trains whether two units are one: the refractory period, and bursts."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.stats import poisson

from spikesorter.core.pairs import pairs_within
from spikesorter.signal.spans import to_samples

__all__ = ["fires_as_one"]

Int64Array = npt.NDArray[np.int64]
REFRACTORY_MS = 1.5
BURST_MS, BURSTING = 15.0, 0.4  # share of spikes so soon after another that tells of bursts
BY_CHANCE, BY_CHANCE_IN_BURSTS = 0.002, 0.15  # probability of so few pairs within the refractory period
ENOUGH_EXPECTED = 4.0  # pairs within it by chance, by which to tell two units
PAIRS_KEPT = (0.25, 0.8)  # share of these found of one unit with some false spikes, and of two
SURELY = 4.0  # likelihood of two units relative to that of one


def fires_as_one(
    first: Int64Array, second: Int64Array, n_samples: int, *, fs_hz: float, blind_ms: float = 0.0
) -> bool | None:
    """Return whether two spike trains together fire as one unit does.

    One unit leaves out the refractory period. It may fire in bursts, in which its spikes shrink.

    Parameters
    ----------
    first, second : ndarray of int64
        Samples of their spikes, in order.
    n_samples : int
        Length of the recording.
    fs_hz : float

    Returns
    -------
    bool or None
        None if they fire too little to tell.

    Examples
    --------
    >>> first = np.arange(0, 3_000_000, 3000)
    >>> fires_as_one(first, first + 1500, 3_000_000, fs_hz=30_000.0)
    True
    >>> fires_as_one(first, np.sort(first + np.arange(1000) % 3000), 3_000_000, fs_hz=30_000.0)
    False
    """
    refractory, blind = to_samples(REFRACTORY_MS, fs_hz), to_samples(blind_ms, fs_hz)
    expected = 2 * len(first) * len(second) / n_samples * (refractory - blind)
    near = len(pairs_within(first, second, refractory)[0])
    if blind:
        near -= len(pairs_within(first, second, blind)[0])
    in_bursts = max(
        _share_in_bursts(first, second, n_samples, fs_hz), _share_in_bursts(second, first, n_samples, fs_hz)
    )
    chance = BY_CHANCE_IN_BURSTS if in_bursts > BURSTING else BY_CHANCE
    one, two = (poisson.logpmf(near, share * expected) for share in PAIRS_KEPT)  # logs: both may be tiny
    if poisson.cdf(near, expected) < chance and one >= two:  # two that overlap lack some pairs as well
        return True
    return False if expected >= ENOUGH_EXPECTED and two - one > np.log(SURELY) else None


def _share_in_bursts(own: Int64Array, others: Int64Array, n_samples: int, fs_hz: float) -> float:
    """Return the share of a train's spikes that follow soon on another of either, beyond that by chance."""
    burst = to_samples(BURST_MS, fs_hz)
    both = np.sort(np.concatenate([own, others]))
    place = np.searchsorted(both, own)
    before = np.where(place > 0, both[np.maximum(place - 1, 0)], -burst - 1)
    by_chance = 1 - np.exp(-burst * len(both) / n_samples)
    return float((np.mean(own - before <= burst) - by_chance) / (1 - by_chance))
