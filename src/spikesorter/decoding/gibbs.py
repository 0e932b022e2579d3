"""Which spikes explain a stretch of trace: Gibbs sampling over sets of spikes, compiled.

The stretch is known by the outputs of a `Bank`: `rest[t, k]` is the output of class k at sample t, less
what the spikes placed so far add to it. A spike of class k at t, of size ~ N(1, spread_k^2), changes the log
posterior by

    0.5 (rest + q)^2 / (energy + q) - 0.5 q - 0.5 log((energy + q) / q) + log odds,   q = 1 / spread^2,

the size integrated out. A sweep cuts the stretch into windows; each window with at most one spike, or two, is
emptied and drawn anew from its exact conditional distribution, which is also what is counted (Rao and
Blackwell: the mean of probabilities has less noise than that of draws). `resolve` looks for better
explanations where spikes overlap, beyond what draws would find. All of it is deterministic: the random
numbers come from a state that the caller seeds.

`heat` below 1 makes everything less certain, as more noise would; a start at low heat that rises to 1
finds explanations that a cold start would never reach (annealing). A spike with nothing plausible near it
needs none of that: its distribution is drawn from once.

All compiled code of the decoder is in this one file: Numba keeps what it has compiled as long as the file
is unchanged, and would not see a change elsewhere.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from spikesorter.signal.correlate import correlate

__all__ = [
    "Plan",
    "Priors",
    "Stretch",
    "explain_blocks",
    "explain_early",
    "new_stretch",
    "place_spikes",
    "priors_at",
    "resolve",
    "room_for_pairs",
    "settle_clear",
    "stack_priors",
    "sweep",
]

Float64Array = npt.NDArray[np.float64]
Trace = npt.NDArray[np.float32]
NEGLIGIBLE = -20.0  # log of a probability beside the best one
QUIET = -6.5  # log odds below which a sample needs no look
LIKELY = -2.0  # log odds of one spike below which two need no look
MOST_PAIRS = 1 << 16
MOST_SPIKES = 8  # in one window that is solved anew
LEAST_SPREAD = 1e-3
NEAR = 2  # samples; pairs that differ by less from one that was tried are not tried
STEP = 6  # samples by which polishing may move a spike at once
RESOLVED_WINDOW, RESOLVED_LEAD, RESOLVED_GAP, RESOLVED_STARTS = 48, 8, 40, 8
RESOLVED_TWICE = 2
ALONE = 40  # samples; a place with nothing plausible so near is settled by itself
LONGEST_PLACE, AROUND = 40, 8  # samples; how long such a place may be, and what is looked at beside it
EDGE, LOST = 2, 1e-3  # share of its probability that may lie so near the ends of what is looked at
FEWEST_APART = 32  # samples a spike; where more seem clear, none is
SEAM_AROUND = 20  # samples that are to be quiet to either side of where two blocks meet
ROUNDING = 3e-6  # of 32-bit logs, beside the largest precision or energy
SCATTERED_STEP = 8  # samples between outputs that decide where random numbers begin
CHUNK = 16  # samples that are looked over at once
CERTAIN = 1e-3  # doubt below which more sweeps bring nothing


class Priors(NamedTuple):
    """What is known of each class before looking, at one heat; arrays of shape (classes,) or (seen, classes).

    `levels` and `evens` are outputs, for each place of a stretch, of shape (samples * classes,): from which
    on it needs a look, and where a spike is as likely as none. Where a stretch ends before all of a spike is
    seen, what it may say depends on how much of it is: one row for each number of samples seen after its
    start, the last for all of it.
    """

    heat: float
    energy: Float64Array
    precision: Float64Array
    variance: Float64Array
    odds: Float64Array
    constant: Float64Array
    single: Float64Array
    levels: Trace
    evens: Trace


class Pairs(NamedTuple):
    """Room for the pairs of spikes in a window that are worth keeping: their places and log posterior."""

    one: npt.NDArray[np.int32]
    other: npt.NDArray[np.int32]
    log: Float64Array


class Stretch(NamedTuple):
    """The state of one stretch: outputs not yet explained, sizes of the spikes placed (0: none), counts.

    `overlaps[seen, k, reach + lag, j]` is what a spike of class k adds to the output of class j `lag` samples
    later. `open` lists where there is anything to draw: (first, last) of each part, shape (parts, 2). `found`
    is room to work in.
    """

    rest: Trace
    size: Trace
    counts: Trace
    overlaps: Trace
    random: npt.NDArray[np.uint64]
    open: npt.NDArray[np.int64]
    found: Pairs


class Plan(NamedTuple):
    """What is done with each stretch.

    `stages` holds the priors of every heat, stacked, the posterior itself last; `sweeps` one row a sweep:
    stage, window, offset, most spikes in a window. The first `hot` sweeps anneal; after the search for better
    explanations, `settling` ones are drawn but, unless all is certain by then, not counted.
    """

    stages: Priors
    sweeps: npt.NDArray[np.int64]
    hot: int
    settling: int


def priors_at(
    heat: float, energies: Float64Array, spreads: Float64Array, log_odds: Float64Array, *, samples: int
) -> Priors:
    """Put together the constants of the log posterior.

    Parameters
    ----------
    heat : float
        1 for the posterior itself.
    energies : ndarray, shape (seen, classes)
        Of a bank.
    spreads : ndarray, shape (classes,)
        SD of each class's relative size.
    log_odds : ndarray, shape (classes,)
        Of a spike's start at a sample, before looking.
    samples : int
        Of a stretch.

    Returns
    -------
    Priors
    """
    energy = heat * energies
    precision = 1 / np.maximum(spreads, LEAST_SPREAD) ** 2
    variance = 1 / (energy + precision)
    constant = log_odds - 0.5 * precision
    single = constant - 0.5 * np.log((energy + precision) / precision)
    seen = np.minimum(np.arange(samples)[::-1], len(energies) - 1)
    levels, evens = (
        ((np.sqrt(np.maximum(2 * (log - single) / variance, 0)) - precision) / heat)[seen]
        .astype(np.float32)
        .ravel()
        for log in (QUIET, 0.0)
    )
    return Priors(float(heat), energy, precision, variance, log_odds, constant, single, levels, evens)


def stack_priors(stages: list[Priors]) -> Priors:
    """Return the priors of several heats as one, each array with the heats as its first axis."""
    stacked: Any = [np.array(values) for values in zip(*stages, strict=True)]
    return Priors(*stacked)


def _compiled(function: Any) -> Any:
    return njit(cache=True, nogil=True, error_model="numpy")(function)


@_compiled
def room_for_pairs():
    """Return room for as many pairs as are ever kept."""
    return Pairs(np.empty(MOST_PAIRS, np.int32), np.empty(MOST_PAIRS, np.int32), np.empty(MOST_PAIRS))


@_compiled
def new_stretch(outputs, overlaps, seed, room):
    """Return a stretch without spikes; `outputs` are a bank's, shape (samples, classes).

    Its random numbers begin where its outputs say, so that no two stretches draw alike and any one draws
    the same wherever it is met.
    """
    random = _scattered(outputs, seed)
    everything = np.array([[0, len(outputs)]], np.int64)
    return Stretch(
        outputs.copy(), np.zeros_like(outputs), np.zeros_like(outputs), overlaps, random, everything, room
    )


@_compiled
def _scattered(outputs, seed):
    """Return a state that the seed and some of the outputs decide about (mixed as in splitmix64).

    The outputs are rounded first: another machine's last bits are to change as little as they can.
    """
    state = np.uint64(seed + 1)
    for t in range(0, len(outputs), SCATTERED_STEP):
        for k in range(outputs.shape[1]):
            rounded = np.uint64(np.int64(math.floor(outputs[t, k])))
            state = (state ^ rounded) * np.uint64(0x9E3779B97F4A7C15)
            state ^= state >> np.uint64(29)
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    state ^= state >> np.uint64(31)
    return np.array([max(state, np.uint64(1))], np.uint64)


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
def _seen(stretch, t):
    """Return the row that stands for what is seen of a spike: the last one, unless the stretch ends soon."""
    return min(len(stretch.rest) - 1 - t, len(stretch.overlaps) - 1)


@_compiled
def _add(stretch, t, k, size):
    """Take a spike's share out of the outputs (or, of negative size, put it back)."""
    n, classes = stretch.rest.shape
    reach = stretch.overlaps.shape[2] // 2
    first, last = max(0, t - reach), min(n, t + reach + 1)
    rest = stretch.rest.reshape(-1)[first * classes : last * classes]
    share = stretch.overlaps[_seen(stretch, t), k].reshape(-1)[(first - t + reach) * classes :]
    factor = np.float32(size)
    for i in range(len(rest)):
        rest[i] -= factor * share[i]


@_compiled
def _place(stretch, t, k, size):
    stretch.size[t, k] = size if size != 0.0 else 1e-6
    _add(stretch, t, k, stretch.size[t, k])


@_compiled
def _remove(stretch, t, k):
    _add(stretch, t, k, -stretch.size[t, k])
    stretch.size[t, k] = 0.0


@_compiled
def _expected_size(stretch, priors, t, k):
    return (priors.heat * stretch.rest[t, k] + priors.precision[k]) * priors.variance[_seen(stretch, t), k]


@_compiled
def _place_drawn(stretch, priors, t, k):
    size = _expected_size(stretch, priors, t, k)
    spread = math.sqrt(priors.variance[_seen(stretch, t), k])
    _place(stretch, t, k, size + _normal(stretch.random) * spread)


@_compiled
def _gain(stretch, priors, t, k):
    """Log posterior odds of one more spike, its size integrated out."""
    x, seen = priors.heat * stretch.rest[t, k] + priors.precision[k], _seen(stretch, t)
    return 0.5 * x * x * priors.variance[seen, k] + priors.single[seen, k]


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
def _loud(stretch, levels, first, last):
    """How many places of a window need a look."""
    classes = stretch.rest.shape[1]
    rest = stretch.rest.reshape(-1)[first * classes : last * classes]
    level = levels[first * classes : last * classes]
    loud = np.int32(0)
    for i in range(len(rest)):
        loud += np.int32(rest[i] > level[i])
    return loud


@_compiled
def _placed(stretch, first, last):
    """How many spikes a window holds."""
    classes = stretch.rest.shape[1]
    size = stretch.size.reshape(-1)[first * classes : last * classes]
    placed = np.int32(0)
    for i in range(len(size)):
        placed += np.int32(size[i] != np.float32(0.0))
    return placed


@_compiled
def _empty_window(stretch, first, last):
    for t in range(first, last):
        for k in range(stretch.size.shape[1]):
            if stretch.size[t, k] != 0.0:
                _remove(stretch, t, k)


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
def _drop_negligible(found, n, best):
    kept = 0
    for i in range(n):
        if found.log[i] > best + NEGLIGIBLE:
            found.one[kept], found.other[kept] = found.one[i], found.other[i]
            found.log[kept] = found.log[i]
            kept += 1
    return kept


@_compiled
def _weigh_pairs(stretch, priors, first, last, gains, best):
    """Weigh all pairs of places in a window, sizes integrated out; return how many count, and the best.

    The second spike of a pair sees what the first leaves of it: output and energy both shrink by their
    overlap.
    """
    found, reach = stretch.found, stretch.overlaps.shape[2] // 2
    classes = stretch.rest.shape[1]
    size, n = (last - first) * classes, 0
    rest = stretch.rest.reshape(-1)[first * classes : last * classes]
    linear, whole, constant = np.empty(size), np.empty(size), np.empty(size)
    for i in range(size):
        k = i % classes
        linear[i] = priors.heat * rest[i] + priors.precision[k]
        whole[i] = priors.energy[_seen(stretch, first + i // classes), k] + priors.precision[k]
        constant[i] = priors.constant[k]
    # Most pairs are out of the question, which half the digits suffice to see, for twice as many at once.
    roughly, slack = np.empty(size, np.float32), ROUNDING * (1.0 + whole.max())
    rough_linear, rough_whole = linear.astype(np.float32), whole.astype(np.float32)
    rough_constant, heat = constant.astype(np.float32), np.float32(priors.heat)
    half = np.float32(0.5)
    for i in range(size - 1):
        ki, ti = i % classes, i // classes
        seen = _seen(stretch, first + ti)
        variance = priors.variance[seen, ki]
        expected = linear[i] * variance
        rough_expected, rough_variance = np.float32(expected), np.float32(variance)
        overlaps = stretch.overlaps[seen, ki].reshape(-1)[(reach - ti) * classes :]
        least, counting = np.float32(best + NEGLIGIBLE - gains[i] - slack), np.int32(0)
        for j in range(i + 1, size):  # arithmetic alone, which the machine does for many at once
            overlap = heat * overlaps[j]
            x = rough_linear[j] - overlap * rough_expected
            power = rough_whole[j] - overlap * overlap * rough_variance
            roughly[j] = half * x * x / power + rough_constant[j]
            counting += np.int32(roughly[j] > least)  # what follows only takes away
        if counting == 0:
            continue
        for j in range(i + 1, size):
            if roughly[j] > least:
                overlap, k = priors.heat * overlaps[j], j % classes
                x = linear[j] - overlap * expected
                power = whole[j] - overlap * overlap * variance
                log = (
                    gains[i] + 0.5 * x * x / power + constant[j] - 0.5 * math.log(power / priors.precision[k])
                )
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
    seen = _seen(stretch, t)
    overlap = priors.heat * stretch.overlaps[seen, k, stretch.overlaps.shape[2] // 2 + u - t, j]
    x = priors.heat * stretch.rest[t, k] + priors.precision[k]
    y = priors.heat * stretch.rest[u, j] + priors.precision[j]
    a, b = 1 / priors.variance[seen, k], 1 / priors.variance[_seen(stretch, u), j]
    determinant = a * b - overlap * overlap
    size = (x * b - y * overlap) / determinant
    _place(stretch, t, k, size + _normal(stretch.random) * math.sqrt(b / determinant))
    _place_drawn(stretch, priors, u, j)


@_compiled
def _draw_window(stretch, priors, first, last, most, odds):
    """Draw an empty window anew, with at most one or two spikes; return how uncertain it was."""
    found, classes = stretch.found, stretch.rest.shape[1]
    highest = _gains(stretch, priors, first, last, odds)
    n_pairs, best = 0, max(0.0, highest)
    if most == 2 and highest > LIKELY:
        n_pairs, best = _weigh_pairs(stretch, priors, first, last, odds, best)
    size = (last - first) * classes
    none = math.exp(-best)
    total = none + _to_odds(odds, size, best) + _to_odds(found.log, n_pairs, best)
    left = _uniform(stretch.random) * total - none
    one, other = -1, -1
    surest = none
    for i in range(size):
        if odds[i] > 0.0:
            stretch.counts[first + i // classes, i % classes] += np.float32(odds[i] / total)
            surest = max(surest, odds[i])
            left -= odds[i]
            if one < 0 and left + odds[i] >= 0.0 and left < 0.0:
                one = i
    for i in range(n_pairs):
        pair_odds = found.log[i]
        if pair_odds > 0.0:
            a, b = found.one[i], found.other[i]
            stretch.counts[first + a // classes, a % classes] += np.float32(pair_odds / total)
            stretch.counts[first + b // classes, b % classes] += np.float32(pair_odds / total)
            surest = max(surest, pair_odds)
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
    return 1.0 - surest / total


@_compiled
def sweep(stretch, priors, window, offset, most):
    """Draw anew each window that holds at most `most` spikes, 1 or 2; return the greatest uncertainty."""
    odds = np.empty(window * stretch.rest.shape[1])
    doubt = 0.0
    for part in range(len(stretch.open)):
        begin, end = stretch.open[part]
        for start in range(begin - offset, end, window):
            first, last = max(start, begin), min(start + window, end)
            placed = _placed(stretch, first, last)
            if placed == 0 and _loud(stretch, priors.levels, first, last) == 0:
                continue
            if placed > most:
                _count_all(stretch, first, last)
                doubt = 1.0
                continue
            _empty_window(stretch, first, last)
            doubt = max(doubt, _draw_window(stretch, priors, first, last, most, odds))
    return doubt


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
        energy = priors.energy[_seen(stretch, t), k]
        total += priors.heat * stretch.rest[t, k] * size - 0.5 * size * size * energy
        total += priors.odds[k] - 0.5 * priors.precision[k] * (size - 1.0) ** 2
        _place(stretch, t, k, size)
    return total


@_compiled
def _best_place(stretch, priors, first, last):
    """Return the free place where one more spike gains most, or -1 where none gains."""
    best, at, of = 0.0, -1, -1
    for begin in range(first, last, CHUNK):
        end = min(begin + CHUNK, last)
        if _loud(stretch, priors.evens, begin, end) == 0:
            continue
        for t in range(begin, end):
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
def _resolve_window(stretch, priors, first, last, gains, lists, sizes):
    """Empty a window and solve it anew from its best pairs of spikes on; say whether that was better."""
    classes = stretch.rest.shape[1]
    old = _take_out(stretch, first, last, lists[0], lists[1], sizes[0])
    if old < 0:
        return False
    best_log = _put_in(stretch, priors, lists[0], lists[1], sizes[0], old)
    for i in range(old):
        _remove(stretch, lists[0, i], lists[1, i])
    best_n, better = old, False
    best = max(0.0, _gains(stretch, priors, first, last, gains))
    n_pairs, _ = _weigh_pairs(stretch, priors, first, last, gains, best)
    for _ in range(RESOLVED_STARTS):
        one, other = _next_start(stretch.found, n_pairs, classes)
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
            best_log, best_n, better = log, n, True
            lists[0], lists[1], sizes[0] = lists[2], lists[3], sizes[1]
    for i in range(best_n):
        _place(stretch, lists[0, i], lists[1, i], sizes[0, i])
    return better


@_compiled
def resolve(stretch, priors):
    """Solve anew every place where a spike has another one soon after its start; say whether it helped."""
    classes = stretch.rest.shape[1]
    gains = np.empty(RESOLVED_WINDOW * classes)
    lists = np.zeros((4, MOST_SPIKES), np.int64)
    sizes = np.zeros((2, MOST_SPIKES), np.float32)
    better = False
    for part in range(len(stretch.open)):
        begin, end = stretch.open[part]
        for t in range(begin, end):
            if _placed(stretch, t, t + 1) and _placed(stretch, t, min(t + RESOLVED_GAP + 1, end)) > 1:
                first = max(t - RESOLVED_LEAD, begin)
                last = min(first + RESOLVED_WINDOW, end)
                better |= _resolve_window(stretch, priors, first, last, gains, lists, sizes)
    return better


@_compiled
def _take_clear(stretch, priors):
    """Place the spike that gains most, again and again; say whether they were not too many."""
    n = len(stretch.rest)
    for _ in range(n // FEWEST_APART + 1):
        t, k = _best_place(stretch, priors, 0, n)
        if t < 0:
            return True
        _place(stretch, t, k, _expected_size(stretch, priors, t, k))
    return False


@_compiled
def _next_place(stretch, priors, start):
    """Return the next place, (first, last), where spikes are placed or plausible; first = -1: none."""
    n = len(stretch.rest)
    first, last = -1, start
    for begin in range(start, n, CHUNK):
        if first >= 0 and begin - last >= ALONE:
            break
        end = min(begin + CHUNK, n)
        if _loud(stretch, priors.levels, begin, end) == 0 and _placed(stretch, begin, end) == 0:
            continue
        for t in range(begin, end):
            if first >= 0 and t - last >= ALONE:
                return first, last
            if _loud(stretch, priors.levels, t, t + 1) > 0 or _placed(stretch, t, t + 1) > 0:
                first = t if first < 0 else first
                last = t + 1
    return first, last


@_compiled
def _settle_place(stretch, priors, first, last, odds):
    """Draw a short place at once and say whether that settles it; if not, leave it as it was."""
    n = len(stretch.rest)
    first, last = max(first - AROUND, 0), min(last + AROUND, n)
    _empty_window(stretch, first, last)
    _draw_window(stretch, priors, first, last, 2, odds)
    counts = stretch.counts[first:last]
    whole, edges = counts.sum(), counts[:EDGE].sum() + counts[len(counts) - EDGE :].sum()
    if edges <= LOST * max(whole, 1.0):
        return True
    counts[:] = 0
    return False


@_compiled
def settle_clear(stretch, priors, first_wanted, last_wanted):
    """Settle the places that have nothing plausible near them; return the stretch with the rest open.

    Far from the part that is wanted, what was placed at first stays: it need only explain what of it
    reaches there.
    """
    n, classes = stretch.rest.shape
    if not _take_clear(stretch, priors):
        _empty_window(stretch, 0, n)
        return stretch
    places = np.empty((n // ALONE + 1, 2), np.int64)
    found, start = 0, 0
    while True:  # all of them first: drawing one changes what is plausible beside it
        first, last = _next_place(stretch, priors, start)
        if first < 0:
            break
        places[found, 0], places[found, 1] = first, last
        found, start = found + 1, last
    parts, count = places.copy(), 0
    odds = np.empty((LONGEST_PLACE + 2 * AROUND) * classes)
    for i in range(found):
        first, last = places[i]
        short = last - first <= LONGEST_PLACE and _placed(stretch, first, last) <= 2
        if short and _settle_place(stretch, priors, first, last, odds):
            continue
        if last < first_wanted - ALONE or first > last_wanted + ALONE:
            continue
        parts[count, 0], parts[count, 1] = max(first - ALONE // 2, 0), min(last + ALONE // 2, n)
        count += 1
    for i in range(count):
        _empty_window(stretch, parts[i, 0], parts[i, 1])
    return Stretch(
        stretch.rest, stretch.size, stretch.counts, stretch.overlaps, stretch.random, parts[:count],
        stretch.found,
    )  # fmt: skip


@_compiled
def _stage(plan, number):
    every = plan.stages
    return Priors(
        every.heat[number], every.energy[number], every.precision[number], every.variance[number],
        every.odds[number], every.constant[number], every.single[number], every.levels[number],
        every.evens[number],
    )  # fmt: skip


@_compiled
def _only_near(stretch, first, last):
    """Return the stretch with nothing open but what lies in or near a part of it."""
    parts, count = stretch.open.copy(), 0
    for i in range(len(parts)):
        begin, end = max(parts[i, 0], first - ALONE), min(parts[i, 1], last + ALONE)
        if begin < end:
            parts[count, 0], parts[count, 1] = begin, end
            count += 1
    return Stretch(
        stretch.rest, stretch.size, stretch.counts, stretch.overlaps, stretch.random, parts[:count],
        stretch.found,
    )  # fmt: skip


@_compiled
def _explain(stretch, plan, first, last):
    """Sample the explanations of a stretch: one is left placed.

    The expected number of spikes from one sample up to another is left in the counts.
    """
    priors = _stage(plan, len(plan.stages.heat) - 1)
    stretch = settle_clear(stretch, priors, first, last)
    if len(stretch.open) == 0:
        return
    settled = stretch.counts.copy()
    for number in range(plan.hot):
        stage, window, offset, most = plan.sweeps[number]
        sweep(stretch, _stage(plan, stage), window, offset, most)
    for _ in range(RESOLVED_TWICE):
        if not resolve(stretch, priors):
            break
    stretch = _only_near(stretch, first, last)
    stretch.counts[:] = 0
    doubt, counted = 0.0, 0
    for number in range(plan.hot, len(plan.sweeps)):
        if counted == plan.settling and number == plan.hot + plan.settling:
            if doubt < CERTAIN:
                break
            stretch.counts[:] = 0
            counted = 0
        stage, window, offset, most = plan.sweeps[number]
        doubt = max(doubt, sweep(stretch, priors, window, offset, most))
        counted += 1
    for t in range(len(settled)):
        for k in range(settled.shape[1]):
            stretch.counts[t, k] = settled[t, k] + stretch.counts[t, k] / np.float32(counted)


@_compiled
def _quietest(outputs, priors, nominal, play):
    """Return the sample near a seam that lies farthest from anything that looks like a spike.

    It depends on the outputs beside the seam alone, so that both blocks, wherever they are explained, agree.
    """
    if play == 0:
        return nominal
    loudness = np.empty(2 * (play + SEAM_AROUND) + 1)
    begin = nominal - play - SEAM_AROUND
    for i in range(len(loudness)):
        loudness[i] = -np.inf
        for k in range(outputs.shape[1]):
            x = priors.heat * outputs[begin + i, k] + priors.precision[k]
            if x > 0.0:
                loudness[i] = max(loudness[i], 0.5 * x * x * priors.variance[-1, k] + priors.single[-1, k])
    best, quietest = np.inf, nominal
    for shift in range(2 * play + 1):
        t = play + (shift + 1) // 2 * (1 if shift % 2 else -1)  # from the middle outwards
        loudest = loudness[t : t + 2 * SEAM_AROUND + 1].max()
        if loudest < best:
            best, quietest = loudest, nominal - play + t
    return quietest


@_compiled
def explain_blocks(outputs, overlaps, plan, lengths, seed):
    """Explain a trace block by block, each on its own with its context, so that nothing else matters.

    Where one block ends and the next begins is moved by up to `play` samples to where it is quiet, so that
    overlapping spikes are explained together.

    Parameters
    ----------
    outputs : ndarray of float32, shape (before + blocks * block + after, classes)
        Of a bank.
    overlaps : ndarray of float32
        The bank's.
    plan : Plan
    lengths : tuple of int
        Samples of a block, of its context before and after it, and of play.
    seed : int

    Returns
    -------
    expected : ndarray of float32, shape (play + blocks * block + play, classes)
        Number of spikes that start at each sample; 0 where the blocks before and after these will say.
    sizes : ndarray of float32, of the same shape
        Of the spikes of one explanation, drawn from the posterior; 0 where there is none.
    """
    block, before, after, play = lengths
    blocks, classes = (len(outputs) - before - after) // block, outputs.shape[1]
    expected = np.zeros((blocks * block + 2 * play, classes), np.float32)
    sizes = np.zeros((blocks * block + 2 * play, classes), np.float32)
    room = room_for_pairs()
    priors = _stage(plan, len(plan.stages.heat) - 1)
    first = _quietest(outputs, priors, before, play)
    for number in range(blocks):
        begin = number * block
        last = _quietest(outputs, priors, begin + before + block, play)
        stretch = new_stretch(outputs[begin : begin + before + block + after], overlaps, seed, room)
        _explain(stretch, plan, first - begin, last - begin)
        to = first - before + play
        expected[to : to + last - first] = stretch.counts[first - begin : last - begin]
        sizes[to : to + last - first] = stretch.size[first - begin : last - begin]
        first = last
    return expected, sizes


@_compiled
def explain_early(white, shapes, lead, overlaps, plan, lengths, seed):
    """Explain a trace block by block, each on nothing but the past and a little context after it.

    Parameters
    ----------
    white : ndarray of float32, shape (channels, lead + before + blocks * block + after)
        The whitened trace.
    shapes : ndarray of float32, shape (classes, channels, samples)
        Whitened spikes.
    lead : int
        Samples of a shape before the spike's start.
    overlaps : ndarray of float32, shape (seen, classes, lags, classes)
        Of what is seen of spikes.
    plan : Plan
    lengths : tuple of int
        Samples of a block, of its context before and after it, and 0.
    seed : int

    Returns
    -------
    expected, sizes : ndarray of float32, shape (blocks * block, classes)
        As those of `explain_blocks`.
    """
    block, before, after, _ = lengths
    n, classes, taps = before + block + after, len(shapes), shapes.shape[2]
    blocks = (white.shape[1] - lead - before - after) // block
    expected = np.zeros((blocks * block, classes), np.float32)
    sizes = np.zeros((blocks * block, classes), np.float32)
    room = room_for_pairs()
    known = np.zeros(n + taps - 1, np.float32)  # nothing is known of what follows
    column = np.empty(n, np.float32)
    outputs = np.empty((n, classes), np.float32)
    for number in range(blocks):
        begin = number * block
        outputs[:] = 0.0
        for c in range(len(white)):
            known[: n + lead] = white[c, begin : begin + n + lead]
            for k in range(classes):
                column[:] = 0.0
                correlate(known, shapes[k, c], column)
                outputs[:, k] += column
        stretch = new_stretch(outputs, overlaps, seed, room)
        _explain(stretch, plan, before, before + block)
        expected[begin : begin + block] = stretch.counts[before : before + block]
        sizes[begin : begin + block] = stretch.size[before : before + block]
    return expected, sizes
