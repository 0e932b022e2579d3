"""Take the background's spikes out of a small unit.

Far neurons fire spikes of any size, the more the smaller they are. A unit that is hardly larger takes them
in: its template shrinks, so that it takes in more. Where the spikes of clear units vary much, so do those of
small ones, and what looks like a tail of the background may be their own.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from spikesorter.signal.spans import to_samples
from spikesorter.sorting.finding.explaining import Explained

__all__ = ["WINDOW_MS", "is_of_several", "is_own", "own_samples", "own_spikes", "spikes_vary", "variation"]

Float64Array = npt.NDArray[np.float64]
WINDOW_MS = (-0.6, 1.6)  # around a template's peak
SMALL = 8.0  # d' of a unit that background spikes may reach
STEADY = 2.0  # SD of a unit's sizes, in that of the noise, above which its spikes vary
LEAST = 40  # spikes
# Quantiles of sizes where the tail starts: to tell whether there is one, and to cut it off.
LOWEST, START = 0.01, 0.05
MOSTLY = 0.8  # share of spikes of the normal distribution, above which there is no tail
STEPS = 100
LEAST_SPREAD = 0.05
REFRACTORY_MS, OFTEN, ENOUGH = 1.5, 0.3, 4.0  # short intervals relative to those by chance, and how many tell
OWN = 0.5  # least probability of a spike of the unit


def own_spikes(explained: Explained, unit: int) -> npt.NDArray[np.bool_]:
    """Return which of all spikes are a unit's own, rather than the background's.

    Parameters
    ----------
    explained : Explained
    unit : int
        Place of the unit.

    Returns
    -------
    ndarray of bool, shape (spikes,)
    """
    mask = np.asarray(explained.spikes.unit == explained.units.unit_ids[unit])
    if explained.detectability[unit] >= SMALL or spikes_vary(explained):
        return mask
    peak = int(np.abs(explained.shapes[unit]).max(axis=1).argmax()) - explained.before
    first, last = (peak + to_samples(ms, explained.fs_hz) for ms in WINDOW_MS)
    inside, waves = explained.cleaned(unit, first=first, last=last)
    if inside.sum() < LEAST:
        return mask
    template = explained.window_of(unit, first, last)
    sizes = np.tensordot(waves, template, axes=2) / max(float((template * template).sum()), 1e-12)
    trimmed = mask.copy()
    trimmed[np.flatnonzero(inside)[~is_own(sizes)]] = False
    return mask if is_of_several(explained, explained.spikes.sample[trimmed]) else trimmed


def own_samples(explained: Explained, unit: int) -> npt.NDArray[np.int64]:
    """Return the samples of a unit's own spikes; see `own_spikes`."""
    return explained.spikes.sample[own_spikes(explained, unit)]


def spikes_vary(explained: Explained) -> bool:
    """Return whether the spikes of most larger units vary in size by much more than noise makes them vary."""
    clear = np.flatnonzero(explained.detectability >= SMALL).tolist()
    spreads = [variation(explained, k) for k in clear if len(explained.samples_of(k)) >= LEAST]
    return bool(spreads) and float(np.median(spreads)) > STEADY


def variation(explained: Explained, unit: int) -> float:
    """Return the SD of the sizes of a unit's spikes, in SD of the noise."""
    sizes = explained.amplitudes[explained.spikes.unit == explained.units.unit_ids[unit]]
    return float(explained.detectability[unit] * np.std(sizes)) if len(sizes) else 0.0


def is_of_several(explained: Explained, samples: npt.NDArray[np.int64]) -> bool:
    """Return whether intervals are so short that the spikes are of several units all the same.

    Whatever is cut off such a unit would be explained by others, which are worth more.
    """
    refractory = to_samples(REFRACTORY_MS, explained.fs_hz)
    by_chance = refractory * len(samples) ** 2 / len(explained.trace)
    return bool(by_chance >= ENOUGH and (np.diff(samples) < refractory).sum() > OFTEN * by_chance)


def is_own(sizes: Float64Array) -> npt.NDArray[np.bool_]:
    """Return which spikes belong to a normal distribution of sizes, rather than to a tail below it.

    Parameters
    ----------
    sizes : ndarray of float64, shape (spikes,)

    Returns
    -------
    ndarray of bool, shape (spikes,)

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> sizes = np.concatenate([rng.normal(1.2, 0.15, 300), 0.5 + rng.exponential(0.15, 300)])
    >>> own = is_own(sizes)
    >>> bool(own[:300].mean() > 0.85), bool(own[300:].mean() < 0.25)
    (True, True)
    """
    if _probabilities(sizes, LOWEST).mean() >= MOSTLY:
        return np.ones(len(sizes), bool)
    own = _probabilities(sizes, START)
    mean = float((own * sizes).sum() / max(float(own.sum()), 1e-9))
    return np.asarray((own >= OWN) | (sizes >= mean))


def _probabilities(sizes: Float64Array, quantile: float) -> Float64Array:
    """Return the probability of each spike to be of the normal distribution, by expectation maximisation.

    The tail is exponential above a quantile of all sizes, and even below it.
    """
    above = np.maximum(sizes - np.quantile(sizes, quantile), 0.0)
    mean, spread = float(np.median(sizes)), max(float(np.std(sizes)), LEAST_SPREAD)
    share, decay = 0.5, 1 / max(float(above.mean()), 1e-9)
    own = np.ones(len(sizes))
    for _ in range(STEPS):
        normal = share * np.exp(-0.5 * ((sizes - mean) / spread) ** 2) / (spread * np.sqrt(2 * np.pi))
        tail = (1 - share) * decay * np.exp(-decay * above)
        own = normal / np.maximum(normal + tail, 1e-300)
        weight = max(float(own.sum()), 1e-9)
        share, mean = weight / len(sizes), float((own * sizes).sum()) / weight
        spread = max(float(np.sqrt((own * (sizes - mean) ** 2).sum() / weight)), LEAST_SPREAD)
        decay = max(float((1 - own).sum()), 1e-9) / max(float(((1 - own) * above).sum()), 1e-9)
    return own
