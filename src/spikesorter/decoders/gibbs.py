"""Which spikes explain a stretch of trace: Gibbs sampling over sets of spikes, compiled.

The stretch is known by the outputs of a `Bank`: `rest[t, k]` is the output of class k at sample t, less
what the spikes placed so far add to it. A spike of class k at t, of size ~ N(1, spread_k^2), changes the log
posterior by

    0.5 (rest + q)^2 / (energy + q) - 0.5 q - 0.5 log((energy + q) / q) + log odds,   q = 1 / spread^2,

the size integrated out. A sweep cuts the stretch into windows; each window with at most one spike (`singles`)
or two (`pairs`) is emptied and drawn anew from its exact conditional distribution, which is also what is
counted (Rao and Blackwell: the mean of probabilities has less noise than that of draws). `resolve` looks for
better explanations where spikes overlap, beyond what draws would find. All of it is deterministic: the random
numbers come from a state that the caller seeds.

`heat` below 1 makes everything less certain, as more noise would; a start at low heat that rises to 1
finds explanations that a cold start would never reach (annealing).
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

__all__ = ["Priors", "Stretch", "new_stretch", "pairs", "place_spikes", "priors_at", "resolve", "singles"]

Float64Array = npt.NDArray[np.float64]
Trace = npt.NDArray[np.float32]
NEGLIGIBLE = -20.0  # log of a probability beside the best one
QUIET = -8.0  # log odds below which a sample needs no look
LIKELY = -2.0  # log odds of one spike below which two need no look
MOST_PAIRS = 1 << 16
MOST_SPIKES = 8  # in one window that is solved anew
LEAST_SPREAD = 1e-3
NEAR = 2  # samples; pairs that differ by less from one that was tried are not tried
STEP = 6  # samples by which polishing may move a spike at once


class Priors(NamedTuple):
    """What is known of each class before looking, at one heat; arrays of shape (classes,)."""

    heat: float
    energy: Float64Array
    precision: Float64Array
    variance: Float64Array
    odds: Float64Array
    constant: Float64Array
    single: Float64Array
    threshold: Float64Array


class Stretch(NamedTuple):
    """The state of one stretch: outputs not yet explained, sizes of the spikes placed (0: none), counts."""

    rest: Trace
    size: Trace
    counts: Trace
    overlaps: Trace
    random: npt.NDArray[np.uint64]


def priors_at(heat: float, energies: Float64Array, spreads: Float64Array, log_odds: Float64Array) -> Priors:
    """Put together the constants of the log posterior.

    Parameters
    ----------
    heat : float
        1 for the posterior itself.
    energies : ndarray, shape (classes,)
        Of a bank.
    spreads : ndarray, shape (classes,)
        SD of each class's relative size.
    log_odds : ndarray, shape (classes,)
        Of a spike's start at a sample, before looking.

    Returns
    -------
    Priors
    """
    energy = heat * energies
    precision = 1 / np.maximum(spreads, LEAST_SPREAD) ** 2
    variance = 1 / (energy + precision)
    constant = log_odds - 0.5 * precision
    single = constant - 0.5 * np.log((energy + precision) / precision)
    threshold = (np.sqrt(np.maximum(2 * (QUIET - single) / variance, 0)) - precision) / heat
    return Priors(float(heat), energy, precision, variance, log_odds, constant, single, threshold)


def new_stretch(outputs: Trace, overlaps: Trace, *, seed: int) -> Stretch:
    """Return a stretch without spikes; `outputs` are a bank's, shape (samples, classes)."""
    random = np.array([0x9E3779B97F4A7C15 ^ (seed + 1)], np.uint64)
    return Stretch(outputs.copy(), np.zeros_like(outputs), np.zeros_like(outputs), overlaps, random)


def _compiled(function: Any) -> Any:
    return njit(cache=True, nogil=True)(function)


@_compiled
def _uniform(random):
    x = random[0]
    x ^= x >> np.uint64(12)
    x ^= x << np.uint64(25)
    x ^= x >> np.uint64(27)
    random[0] = x
    return ((x * np.uint64(2685821657736338717)) >> np.uint64(11)) * (1.0 / 9007199254740992.0)


@_compiled
def _normal(random):
    radius = math.sqrt(-2.0 * math.log(1.0 - _uniform(random)))
    return radius * math.cos(2.0 * math.pi * _uniform(random))


@_compiled
def _explain(stretch, t, k, size):
    """Take a spike's share out of the outputs (or, of negative size, put it back)."""
    n, classes = stretch.rest.shape
    reach = stretch.overlaps.shape[1] // 2
    first, last = max(0, t - reach), min(n, t + reach + 1)
    rest = stretch.rest.reshape(-1)[first * classes : last * classes]
    share = stretch.overlaps[k].reshape(-1)[(first - t + reach) * classes :]
    factor = np.float32(size)
    for i in range(len(rest)):
        rest[i] -= factor * share[i]


@_compiled
def _place(stretch, t, k, size):
    stretch.size[t, k] = size if size != 0.0 else 1e-6
    _explain(stretch, t, k, stretch.size[t, k])


@_compiled
def _remove(stretch, t, k):
    _explain(stretch, t, k, -stretch.size[t, k])
    stretch.size[t, k] = 0.0


@_compiled
def _expected_size(stretch, priors, t, k):
    return (priors.heat * stretch.rest[t, k] + priors.precision[k]) * priors.variance[k]


@_compiled
def _place_drawn(stretch, priors, t, k):
    size = _expected_size(stretch, priors, t, k)
    _place(stretch, t, k, size + _normal(stretch.random) * math.sqrt(priors.variance[k]))


@_compiled
def _gain(stretch, priors, t, k):
    """Log posterior odds of one more spike, its size integrated out."""
    x = priors.heat * stretch.rest[t, k] + priors.precision[k]
    return 0.5 * x * x * priors.variance[k] + priors.single[k]


@_compiled
def _gains(stretch, priors, first, last, gains):
    """Fill in the gain of every place in a window; return the highest."""
    classes = stretch.rest.shape[1]
    best, i = -np.inf, 0
    for t in range(first, last):
        for k in range(classes):
            gains[i] = _gain(stretch, priors, t, k)
            best = max(best, gains[i])
            i += 1
    return best


@_compiled
def _look(stretch, priors, first, last, places):
    """List the spikes in a window (as many as fit) and say whether anything might be there at all."""
    classes = stretch.rest.shape[1]
    found, anything = 0, False
    for t in range(first, last):
        for k in range(classes):
            if stretch.size[t, k] != 0.0:
                if found < len(places):
                    places[found] = (t - first) * classes + k
                found += 1
            elif stretch.rest[t, k] > priors.threshold[k]:
                anything = True
    return found, anything or found > 0


@_compiled
def _count_all(stretch, first, last):
    for t in range(first, last):
        for k in range(stretch.size.shape[1]):
            if stretch.size[t, k] != 0.0:
                stretch.counts[t, k] += np.float32(1.0)


@_compiled
def _to_odds(logs, n, best):
    """Turn logs into odds beside the best, in place; return their sum."""
    total = 0.0
    for i in range(n):
        logs[i] = math.exp(logs[i] - best) if logs[i] - best > NEGLIGIBLE else 0.0
        total += logs[i]
    return total


@_compiled
def singles(stretch, priors, window, offset):
    """Draw anew each window that holds at most one spike."""
    n, classes = stretch.rest.shape
    odds = np.empty(window * classes)
    places = np.empty(1, np.int64)
    for start in range(-offset, n, window):
        first, last = max(start, 0), min(start + window, n)
        found, anything = _look(stretch, priors, first, last, places)
        if not anything:
            continue
        if found > 1:
            _count_all(stretch, first, last)
            continue
        if found == 1:
            _remove(stretch, first + places[0] // classes, places[0] % classes)
        best = max(0.0, _gains(stretch, priors, first, last, odds))
        size = (last - first) * classes
        none = math.exp(-best)
        total = none + _to_odds(odds, size, best)
        left = _uniform(stretch.random) * total - none
        chosen = -1
        for i in range(size):
            if odds[i] > 0.0:
                stretch.counts[first + i // classes, i % classes] += np.float32(odds[i] / total)
                left -= odds[i]
                if chosen < 0 and left + odds[i] >= 0.0 and left < 0.0:
                    chosen = i
        if chosen >= 0:
            _place_drawn(stretch, priors, first + chosen // classes, chosen % classes)


class _Pairs(NamedTuple):
    """Room for the pairs of a window that are worth keeping: positions and log posterior."""

    one: npt.NDArray[np.int32]
    other: npt.NDArray[np.int32]
    log: Float64Array


@_compiled
def _room_for_pairs():
    return _Pairs(np.empty(MOST_PAIRS, np.int32), np.empty(MOST_PAIRS, np.int32), np.empty(MOST_PAIRS))


@_compiled
def _drop_negligible(found, n, best):
    kept = 0
    for i in range(n):
        if found.log[i] > best + NEGLIGIBLE:
            found.one[kept], found.other[kept] = found.one[i], found.other[i]
            found.log[kept] = found.log[i]
            kept += 1
    return kept


@_compiled
def _weigh_pairs(stretch, priors, first, last, gains, best, found):
    """Weigh all pairs of places in a window, sizes integrated out; return how many count, and the best.

    The second spike of a pair sees what the first leaves of it: output and energy both shrink by their
    overlap.
    """
    classes = stretch.rest.shape[1]
    reach = stretch.overlaps.shape[1] // 2
    size, n = (last - first) * classes, 0
    rest = stretch.rest.reshape(-1)[first * classes : last * classes]
    for i in range(size):
        ki, ti = i % classes, i // classes
        expected = (priors.heat * rest[i] + priors.precision[ki]) * priors.variance[ki]
        overlaps = stretch.overlaps[ki].reshape(-1)[(reach - ti) * classes :]
        for j in range(i + 1, size):
            k = j % classes
            overlap = priors.heat * overlaps[j]
            x = priors.heat * rest[j] - overlap * expected + priors.precision[k]
            power = priors.energy[k] - overlap * overlap * priors.variance[ki] + priors.precision[k]
            log = gains[i] + 0.5 * x * x / power + priors.constant[k]
            if log > best + NEGLIGIBLE:  # what follows only takes away
                log -= 0.5 * math.log(power / priors.precision[k])
                if log > best + NEGLIGIBLE:
                    best = max(best, log)
                    if n == MOST_PAIRS:
                        n = _drop_negligible(found, n, best)
                    if n < MOST_PAIRS:
                        found.one[n], found.other[n], found.log[n] = i, j, log
                        n += 1
    return n, best


@_compiled
def _place_drawn_pair(stretch, priors, t, k, u, j):
    overlap = priors.heat * stretch.overlaps[k, stretch.overlaps.shape[1] // 2 + u - t, j]
    x = priors.heat * stretch.rest[t, k] + priors.precision[k]
    y = priors.heat * stretch.rest[u, j] + priors.precision[j]
    a, b = 1 / priors.variance[k], 1 / priors.variance[j]
    determinant = a * b - overlap * overlap
    size = (x * b - y * overlap) / determinant
    _place(stretch, t, k, size + _normal(stretch.random) * math.sqrt(b / determinant))
    _place_drawn(stretch, priors, u, j)


@_compiled
def pairs(stretch, priors, window, offset):
    """Draw anew each window that holds at most two spikes."""
    n, classes = stretch.rest.shape
    odds = np.empty(window * classes)
    places = np.empty(2, np.int64)
    found_pairs = _room_for_pairs()
    for start in range(-offset, n, window):
        first, last = max(start, 0), min(start + window, n)
        found, anything = _look(stretch, priors, first, last, places)
        if not anything:
            continue
        if found > 2:
            _count_all(stretch, first, last)
            continue
        for i in range(found):
            _remove(stretch, first + places[i] // classes, places[i] % classes)
        highest = _gains(stretch, priors, first, last, odds)
        n_pairs, best = 0, max(0.0, highest)
        if highest > LIKELY:
            n_pairs, best = _weigh_pairs(stretch, priors, first, last, odds, best, found_pairs)
        size = (last - first) * classes
        none = math.exp(-best)
        total = none + _to_odds(odds, size, best) + _to_odds(found_pairs.log, n_pairs, best)
        left = _uniform(stretch.random) * total - none
        one, other = -1, -1
        for i in range(size):
            if odds[i] > 0.0:
                stretch.counts[first + i // classes, i % classes] += np.float32(odds[i] / total)
                left -= odds[i]
                if one < 0 and left + odds[i] >= 0.0 and left < 0.0:
                    one = i
        for i in range(n_pairs):
            pair_odds = found_pairs.log[i]
            if pair_odds > 0.0:
                a, b = found_pairs.one[i], found_pairs.other[i]
                stretch.counts[first + a // classes, a % classes] += np.float32(pair_odds / total)
                stretch.counts[first + b // classes, b % classes] += np.float32(pair_odds / total)
                left -= pair_odds
                if one < 0 and left + pair_odds >= 0.0 and left < 0.0:
                    one, other = a, b
        if one >= 0 and other < 0:
            _place_drawn(stretch, priors, first + one // classes, one % classes)
        elif one >= 0:
            _place_drawn_pair(
                stretch, priors,
                first + one // classes, one % classes, first + other // classes, other % classes,
            )  # fmt: skip


@_compiled
def place_spikes(stretch, samples, classes, sizes):
    """Place given spikes."""
    for i in range(len(samples)):
        _place(stretch, samples[i], classes[i], sizes[i])


@_compiled
def _take_out(stretch, first, last, samples, classes, sizes):
    """Remove all spikes of a window, listing them; return how many, or -1 where they are too many."""
    found = 0
    for t in range(first, last):
        for k in range(stretch.size.shape[1]):
            if stretch.size[t, k] != 0.0:
                if found == MOST_SPIKES:
                    return -1
                samples[found], classes[found], sizes[found] = t, k, stretch.size[t, k]
                found += 1
    for i in range(found):
        _remove(stretch, samples[i], classes[i])
    return found


@_compiled
def _put_in(stretch, priors, samples, classes, sizes, n):
    """Place spikes of given sizes; return by how much the log posterior rises."""
    total = 0.0
    for i in range(n):
        t, k, size = samples[i], classes[i], sizes[i]
        total += priors.heat * stretch.rest[t, k] * size - 0.5 * size * size * priors.energy[k]
        total += priors.odds[k] - 0.5 * priors.precision[k] * (size - 1.0) ** 2
        _place(stretch, t, k, size)
    return total


@_compiled
def _best_place(stretch, priors, first, last):
    """Return the free place where one more spike gains most, or -1 where none gains."""
    best, at, of = 0.0, -1, -1
    for t in range(first, last):
        for k in range(stretch.rest.shape[1]):
            if stretch.size[t, k] == 0.0:
                gain = _gain(stretch, priors, t, k)
                if gain > best:
                    best, at, of = gain, t, k
    return at, of


@_compiled
def _improve(stretch, priors, first, last, samples, classes, n):
    """Add spikes that gain, move each one to where it gains most, until nothing changes; return how many."""
    for _ in range(MOST_SPIKES):
        changed = False
        if n < MOST_SPIKES:
            t, k = _best_place(stretch, priors, first, last)
            if t >= 0:
                _place(stretch, t, k, _expected_size(stretch, priors, t, k))
                samples[n], classes[n] = t, k
                n += 1
                changed = True
        i = 0
        while i < n:
            t, k = samples[i], classes[i]
            _remove(stretch, t, k)
            near = max(first, t - STEP), min(last, t + STEP + 1)
            better, of = _best_place(stretch, priors, near[0], near[1])
            changed = changed or better != t or of != k
            if better < 0:
                n -= 1
                samples[i], classes[i] = samples[n], classes[n]
                continue
            _place(stretch, better, of, _expected_size(stretch, priors, better, of))
            samples[i], classes[i] = better, of
            i += 1
        if not changed:
            break
    return n


@_compiled
def _next_start(found, n, classes):
    """Return the best pair not yet tried and drop it with all that are nearly the same; -1: none left."""
    best = -1
    for i in range(n):
        if found.log[i] > -np.inf and (best < 0 or found.log[i] > found.log[best]):
            best = i
    if best < 0:
        return -1, -1
    one, other = found.one[best], found.other[best]
    for i in range(n):
        a, b = found.one[i], found.other[i]
        alike = a % classes == one % classes and b % classes == other % classes
        close = abs(a // classes - one // classes) <= NEAR and abs(b // classes - other // classes) <= NEAR
        if alike and close:
            found.log[i] = -np.inf
    return one, other


@_compiled
def _resolve_window(stretch, priors, first, last, starts, gains, found, lists, sizes):
    """Empty a window and solve it anew from its best pairs of spikes on; keep what is more probable."""
    classes = stretch.rest.shape[1]
    old = _take_out(stretch, first, last, lists[0], lists[1], sizes[0])
    if old < 0:
        return
    best_log = _put_in(stretch, priors, lists[0], lists[1], sizes[0], old)
    for i in range(old):
        _remove(stretch, lists[0, i], lists[1, i])
    best_n = old
    best = max(0.0, _gains(stretch, priors, first, last, gains))
    n_pairs, _ = _weigh_pairs(stretch, priors, first, last, gains, best, found)
    for _ in range(starts):
        one, other = _next_start(found, n_pairs, classes)
        if one < 0:
            break
        lists[2, 0], lists[3, 0] = first + one // classes, one % classes
        lists[2, 1], lists[3, 1] = first + other // classes, other % classes
        for i in range(2):
            t, k = lists[2, i], lists[3, i]
            _place(stretch, t, k, _expected_size(stretch, priors, t, k))
        _improve(stretch, priors, first, last, lists[2], lists[3], 2)
        n = _take_out(stretch, first, last, lists[2], lists[3], sizes[1])
        log = _put_in(stretch, priors, lists[2], lists[3], sizes[1], n)
        for i in range(n):
            _remove(stretch, lists[2, i], lists[3, i])
        if log > best_log + 1e-3:
            best_log, best_n = log, n
            lists[0], lists[1], sizes[0] = lists[2], lists[3], sizes[1]
    for i in range(best_n):
        _place(stretch, lists[0, i], lists[1, i], sizes[0, i])


@_compiled
def resolve(stretch, priors, window, lead, gap, starts):
    """Solve anew every place where a spike has another one at most `gap` samples after its start.

    The window begins `lead` samples before the spike and is `window` samples long; the search begins at
    the `starts` best pairs of spikes in it.
    """
    n, classes = stretch.rest.shape
    gains = np.empty(window * classes)
    found = _room_for_pairs()
    lists = np.zeros((4, MOST_SPIKES), np.int64)
    sizes = np.zeros((2, MOST_SPIKES), np.float32)
    spikes = np.zeros(n, np.int64)
    for t in range(n):
        for k in range(classes):
            spikes[t] += stretch.size[t, k] != 0.0
    for t in range(n):
        if spikes[t] and spikes[t : t + gap + 1].sum() > 1:
            first = max(t - lead, 0)
            _resolve_window(
                stretch, priors, first, min(first + window, n), starts, gains, found, lists, sizes
            )
