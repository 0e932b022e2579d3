"""Gibbs sampling over sets of spikes that explain a block of the trace; compiled.

A block consists of the outputs of a `Bank`: `rest[t, k]` is the output of unit k at sample t, minus the
contribution of the spikes placed so far. A spike of unit k at t, with amplitude ~ N(1, spread_k^2), changes
the log posterior by

    0.5 (rest + q)^2 / (energy + q) - 0.5 q - 0.5 log((energy + q) / q) + log odds,   q = 1 / spread^2,

with its amplitude integrated out. A sweep divides the block into windows. Each window with at most one spike
(or two) is emptied and sampled again from its exact conditional distribution. The probabilities of that
distribution are averaged rather than the samples, because they have less variance (Rao and Blackwell).
`resolve` searches for explanations of overlapping spikes that sampling would not find. Everything is
deterministic: random numbers come from a state that the caller seeds.

A `heat` (inverse temperature) below 1 makes all probabilities less certain, as more noise would. Sampling
that starts at a low heat, which rises to 1, finds explanations that a start at 1 would not reach (annealing).
A spike with no other plausible spike near it needs no sweeps: it is sampled once, exactly.

All compiled code of the decoder is in this file, because Numba's cache detects changes of a file but not of
the files that it imports. What a first use takes to compile depends on what functions are given, as each
array of a tuple is passed as seven values or more; on how deep they are nested, as each is compiled once more
within each that calls it; and on copies of one in another. So functions that do little take the few arrays
that they need, and large ones are kept apart (`_apart`) or are parts of another (`_merged`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar, cast

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import config, njit, types
from numba.core import options
from numba.extending import intrinsic

from spikesorter.decoding.lanes import FLOATS, LANES, WHOLES, data_of, in_all_lanes, load_lanes
from spikesorter.signal.correlate import correlate

__all__ = [
    "Block",
    "Plan",
    "Priors",
    "causal_outputs",
    "explain_blocks",
    "explain_causally",
    "new_block",
    "pair_memory",
    "place_spikes",
    "priors_at",
    "resolve",
    "settle_clear",
    "stack_priors",
    "sweep",
]

Float64Array = npt.NDArray[np.float64]
Int64Array = npt.NDArray[np.int64]
Random = npt.NDArray[np.uint64]
Trace = npt.NDArray[np.float32]
Function = TypeVar("Function", bound=Callable[..., Any])
NEGLIGIBLE = -20.0  # log of a probability relative to the best one
QUIET = -6.5  # log odds below which a sample is skipped
LIKELY = -2.0  # log odds of one spike below which pairs are not tried
MOST_PAIRS = 1 << 16
MOST_SPIKES = 8  # in one window that is solved again
LEAST_SPREAD = 1e-3
NEAR = 2  # samples; pairs that differ by no more from a pair already tried are skipped
STEP = 6  # samples by which a spike may be moved in one step
RESOLVED_WINDOW, RESOLVED_LEAD, RESOLVED_GAP, RESOLVED_STARTS = 48, 8, 40, 8
RESOLVED_TWICE = 2
ALONE = 40  # samples; a place with no other plausible spike within this distance is settled by itself
LONGEST_PLACE, AROUND = (
    40,
    8,
)  # samples; greatest length of such a place, and samples on either side that are sampled with it
EDGE, LOST = 2, 1e-3  # samples at the ends of a place, and share of its probability allowed there
FEWEST_APART = 32  # samples per spike; if spikes are denser, none counts as clear
SEAM_AROUND = 20  # samples on either side of the boundary of two blocks that should be quiet
ROUNDING = 3e-6  # of 32-bit logs, relative to the largest precision or energy
ROUNDED = 50.0  # to which the logarithm of a power rounds
ONE_AS_BITS = 127 << 23  # a 1 of 32 bits, read as a whole number
BITS_TO_LOG = 0.5 * math.log(2) / (1 << 23)  # half the logarithm of a number, from its bits
SCATTERED_STEP = 8  # samples between outputs that seed the random numbers
BLOCKS_AT_ONCE = 256  # with outputs of their own
CHUNK = 16  # samples that are checked together
# A plain 0 or 2 as an argument would have Numba compile the function once more, for that number alone.
NONE, TWO = cast(int, np.int64(0)), cast(int, np.int64(2))
EVERY = cast(int, np.int64((1 << LANES) - 1))  # of the places that are checked together, as bits of a number
# A private option of Numba: in a version that does not have it, references are counted.
UNCOUNTED = {"_nrt": False} if hasattr(getattr(options, "DefaultOptions", None), "_nrt") else {}
CERTAIN = 1e-3  # uncertainty below which more sweeps change nothing


class Priors(NamedTuple):
    """Prior of each unit's spikes at one heat; arrays of shape (units,) or (known, units).

    `levels` and `evens` are thresholds on the outputs, for each sample of a block and each unit, shape
    (samples * units,): above the first a spike is plausible; at the second it is as probable as no spike. If
    a block ends before a spike does, only part of the spike is known. Hence there is one row for each number
    of samples known after its start; the last row is for the whole spike.
    """

    heat: float
    energy: Float64Array
    precision: Float64Array
    variance: Float64Array
    odds: Float64Array
    single: Float64Array
    levels: Trace
    evens: Trace


class Places(NamedTuple):
    """Memory for each position in a window: a spike's gain, and what is needed to weigh pairs.

    Single precision excludes most pairs.
    """

    gain: Float64Array
    linear: Float64Array
    whole: Float64Array
    constant: Float64Array
    precision: Float64Array
    rough_linear: Trace
    rough_whole: Trace
    rough_constant: Trace


class Pairs(NamedTuple):
    """Memory for pairs of spikes in a window: their positions and log posterior, and what that needs."""

    one: npt.NDArray[np.int32]
    other: npt.NDArray[np.int32]
    log: Float64Array
    places: Places


class Block(NamedTuple):
    """State of one block: outputs not yet explained, amplitudes of the spikes placed (0: none), counts.

    These three are arrays of shape (samples * units,), so that no function has to make views of them.
    `overlaps` are also as they lie in memory: `overlaps[known, k, reach + lag, j]` is what a spike of unit k
    adds to the output of unit j `lag` samples later; there are `rows` times `units` times `lags` times
    `units`. There must be lags for the longest window of which pairs of spikes are tried. Outputs are kept up
    to date from sample `low` to before `high`, which are those that are still needed (`_only`).
    """

    rest: Trace
    amplitude: Trace
    counts: Trace
    overlaps: Trace
    samples: int
    units: int
    lags: int
    rows: int
    low: int
    high: int
    random: Random


class Plan(NamedTuple):
    """Schedule of sampling for each block.

    `stages` has the priors of every heat, stacked; heat 1 is last. `sweeps` has one row for each sweep:
    stage, window, offset, largest number of spikes in a window. The first `hot` sweeps anneal. After the
    search for better explanations, the first `settling` sweeps are not counted, unless everything is certain
    after them.
    """

    stages: Priors
    sweeps: Int64Array
    hot: int
    settling: int


def priors_at(
    heat: float, energies: Float64Array, spreads: Float64Array, log_odds: Float64Array, *, samples: int
) -> Priors:
    """Compute the constants of the log posterior.

    Parameters
    ----------
    heat : float
        1 for the true posterior.
    energies : ndarray, shape (known, units)
        Of a bank.
    spreads : ndarray, shape (units,)
        SD of each unit's relative amplitude.
    log_odds : ndarray, shape (units,)
        Prior log odds that a spike starts at a sample.
    samples : int
        Length of a block.

    Returns
    -------
    Priors

    Examples
    --------
    A unit of d' 5 fires once in 1000 samples. Its spikes raise the output to 25 on average. From 19.4 on, a
    spike is more probable than none:

    >>> priors = priors_at(1.0, np.array([[25.0]]), np.array([0.1]), np.log([0.001]), samples=1)
    >>> priors.evens.round(1)
    array([19.4], dtype=float32)
    """
    energy = heat * energies
    precision = 1 / np.maximum(spreads, LEAST_SPREAD) ** 2
    variance = 1 / (energy + precision)
    single = log_odds - 0.5 * precision - 0.5 * np.log((energy + precision) / precision)
    known = np.minimum(np.arange(samples)[::-1], len(energies) - 1)
    levels, evens = (
        ((np.sqrt(np.maximum(2 * (log - single) / variance, 0)) - precision) / heat)[known]
        .astype(np.float32)
        .ravel()
        for log in (QUIET, 0.0)
    )
    return Priors(float(heat), energy, precision, variance, log_odds, single, levels, evens)


def stack_priors(stages: list[Priors]) -> Priors:
    """Return the priors of several heats stacked along the first axis of each array.

    Examples
    --------
    >>> cold, hot = (
    ...     priors_at(heat, np.array([[25.0]]), np.array([0.1]), np.log([0.001]), samples=1)
    ...     for heat in (1.0, 0.25)
    ... )
    >>> stack_priors([hot, cold]).heat
    array([0.25, 1.  ])
    """
    stacked: Any = [np.array(values) for values in zip(*stages, strict=True)]
    return Priors(*stacked)


def _compiled(function: Function) -> Function:
    """Compile a function that Python calls, and keep the code."""
    compiled: Function = njit(cache=True, nogil=True, error_model="numpy", no_cfunc_wrapper=True)(function)
    return compiled


def _inner(function: Function) -> Function:
    """Compile a function that only compiled ones call, without what Python would need to call it.

    Its code is kept as part of theirs.
    """
    compiled: Function = njit(
        nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True
    )(function)
    return compiled


def _borrowing(function: Function) -> Function:
    """Compile as `_inner` a function that makes no array, returns none, and calls only such functions.

    It need not count the references to its arrays. Each count is an atomic operation, and there are one or
    two for each array of a tuple wherever it is passed on.
    """
    compiled: Function = njit(
        nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True, **UNCOUNTED
    )(function)
    return compiled


def _merged(function: Function) -> Function:
    """Compile a function as a part of those that call it, not by itself as well."""
    compiled: Function = njit(nogil=True, error_model="numpy", inline="always")(function)
    return compiled


def _mark_apart(typing: Any) -> Any:
    def mark(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        builder.function.attributes.add("noinline")
        return context.get_dummy_value()

    return types.void(), mark


# Keeps the function that calls it from being copied into those that call that one.
_apart: Any = (lambda: None) if config.DISABLE_JIT else intrinsic(_mark_apart)


def _emit_plausible(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    """Write the instructions of `_plausible` for Numba, each for all lanes at once.

    LLVM's own vectorisation of such a loop first tests whether any two of its arrays overlap in memory, and
    does what is left over from whole vectors one by one. With some dozens of places that takes longer than
    the rest.
    """
    own, first, *spike = arguments[4:]
    arrays = [data_of(context, builder, signature.args[i], arguments[i]) for i in range(4)]
    linear, whole, constant = (load_lanes(builder, array, first) for array in arrays[:3])
    heat, expected, variance, least = (in_all_lanes(builder, value) for value in spike)
    half, scale = (ir.Constant(FLOATS, [float(np.float32(value))] * LANES) for value in (0.5, BITS_TO_LOG))
    overlap = builder.fmul(heat, load_lanes(builder, arrays[3], builder.add(own, first)))
    x = builder.fsub(linear, builder.fmul(overlap, expected))
    power = builder.fsub(whole, builder.fmul(builder.fmul(overlap, overlap), variance))
    log = builder.fmul(scale, builder.sitofp(builder.bitcast(power, WHOLES), FLOATS))
    needed = builder.fmul(builder.fsub(builder.fadd(least, log), constant), power)
    above = builder.fcmp_ordered(">", builder.fmul(builder.fmul(half, x), x), needed)
    return builder.zext(builder.bitcast(above, ir.IntType(LANES)), ir.IntType(64))


def _typed_plausible(
    typing: Any,
    linear: Any, whole: Any, constant: Any, overlaps: Any, own: Any, first: Any,
    heat: Any, expected: Any, variance: Any, least: Any,
) -> Any:  # fmt: skip
    """Return which of the `LANES` places from `first` on may have a second spike, as bits of a number.

    Its log posterior is bounded from above: log2(1 + x) >= x up to 1, so the logarithm of the power is at
    least what its bits say, read as a whole number. Both sides of the test are multiplied by the power.
    """
    given = linear, whole, constant, overlaps, own, first, heat, expected, variance, least
    return types.int64(*given), _emit_plausible


def _plausible_by_numpy(
    linear: Trace, whole: Trace, constant: Trace, overlaps: Trace, own: int, first: int,
    heat: np.float32, expected: np.float32, variance: np.float32, least: np.float32,
) -> int:  # fmt: skip
    """Do the same without Numba."""
    part = slice(first, first + LANES)
    overlap = heat * overlaps[own + first : own + first + LANES]
    x = linear[part] - overlap * expected
    power = whole[part] - overlap * overlap * variance
    needed = (least + np.float32(BITS_TO_LOG) * power.view(np.int32) - constant[part]) * power
    return sum(1 << i for i in np.flatnonzero(np.float32(0.5) * x * x > needed).tolist())


_plausible: Any = _plausible_by_numpy if config.DISABLE_JIT else intrinsic(_typed_plausible)


@_inner
def pair_memory(n_places: int) -> Pairs:
    """Return memory for the pairs of one window of so many positions: those of its samples and units."""
    places = Places(
        np.empty(n_places), np.empty(n_places), np.empty(n_places), np.empty(n_places), np.empty(n_places),
        np.empty(n_places, np.float32), np.empty(n_places, np.float32), np.empty(n_places, np.float32),
    )  # fmt: skip
    one, other = np.empty(MOST_PAIRS, np.int32), np.empty(MOST_PAIRS, np.int32)
    return Pairs(one, other, np.empty(MOST_PAIRS), places)


@_inner
def new_block(outputs: Trace, overlaps: Trace, seed: int) -> Block:
    """Return a block without spikes; `outputs` are those of a bank, shape (samples, units).

    The outputs seed the block's random numbers. Blocks therefore have different random numbers, but each
    block always has the same.
    """
    _apart()
    n, units = outputs.shape
    rest, flat = np.empty(n * units, np.float32), outputs.reshape(-1)
    for i in range(np.uint64(n * units)):
        rest[i] = flat[i]
    rows, _, lags, _ = overlaps.shape
    return Block(
        rest, np.zeros(n * units, np.float32), np.zeros(n * units, np.float32), overlaps.reshape(-1),
        n, units, lags, rows, NONE, n, _scattered(outputs, seed),
    )  # fmt: skip


@_merged
def _only(block: Block, first: int, last: int) -> Block:
    """Return a block of which only the outputs from `first` to before `last` are kept up to date."""
    return Block(
        block.rest, block.amplitude, block.counts, block.overlaps,
        block.samples, block.units, block.lags, block.rows, first, last, block.random,
    )  # fmt: skip


@_inner
def _scattered(outputs: Trace, seed: int) -> Random:
    """Return a random state from the seed and some of the outputs (mixed as in splitmix64).

    The outputs are rounded first, so that rounding errors of different machines rarely matter.
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
    random = np.empty(1, np.uint64)
    random[0] = max(state, np.uint64(1))
    return random


@_borrowing
def _uniform(random: Random) -> float:
    x = random[0]
    x ^= x >> np.uint64(12)
    x ^= x << np.uint64(25)
    x ^= x >> np.uint64(27)
    random[0] = x
    return float(((x * np.uint64(2685821657736338717)) >> np.uint64(11)) * (1.0 / 9007199254740992.0))


@_borrowing
def _normal(random: Random) -> float:
    radius = math.sqrt(-2.0 * math.log(1.0 - _uniform(random)))
    return radius * math.cos(2.0 * math.pi * _uniform(random))


@_borrowing
def _known(block: Block, t: int) -> int:
    """Return the row for the known part of a spike: the last row, unless the block ends soon."""
    return min(block.samples - 1 - t, block.rows - 1)


@_borrowing
def _overlap_at(block: Block, t: int, k: int, lag: int) -> int:
    """Return where the overlaps of a spike with all units, `lag` samples later, begin in `overlaps`."""
    units, lags = block.units, block.lags
    return int(((_known(block, t) * units + k) * lags + lags // 2 + lag) * units)


@_borrowing
def _subtract(rest: Trace, first: int, overlaps: Trace, own: int, n: int, factor: np.float32) -> None:
    """Subtract part of the overlaps, times a factor, from part of the outputs."""
    _apart()
    to, of = np.uint64(first), np.uint64(own)
    for i in range(np.uint64(n)):
        rest[to + i] -= factor * overlaps[of + i]


@_borrowing
def _add(block: Block, t: int, k: int, amplitude: np.float32) -> None:
    """Subtract a spike from the outputs (or add it, if its amplitude is negative)."""
    units, reach = block.units, block.lags // 2
    first, last = max(block.low, t - reach), min(block.high, t + reach + 1)
    own = _overlap_at(block, t, k, first - t)
    _subtract(block.rest, first * units, block.overlaps, own, (last - first) * units, amplitude)


@_borrowing
def _place(block: Block, t: int, k: int, amplitude: float) -> None:
    i = t * block.units + k
    block.amplitude[i] = amplitude if amplitude != 0.0 else 1e-6
    _add(block, t, k, block.amplitude[i])


@_borrowing
def _remove(block: Block, t: int, k: int) -> None:
    i = t * block.units + k
    _add(block, t, k, -block.amplitude[i])
    block.amplitude[i] = np.float32(0.0)


@_borrowing
def _place_expected(block: Block, priors: Priors, t: int, k: int) -> None:
    """Place a spike of the expected amplitude."""
    linear = priors.heat * block.rest[t * block.units + k] + priors.precision[k]
    _place(block, t, k, linear * priors.variance[_known(block, t), k])


@_borrowing
def _place_sampled(block: Block, priors: Priors, t: int, k: int) -> None:
    variance = priors.variance[_known(block, t), k]
    linear = priors.heat * block.rest[t * block.units + k] + priors.precision[k]
    _place(block, t, k, linear * variance + _normal(block.random) * math.sqrt(variance))


@_borrowing
def _gain(linear: float, variance: float, single: float) -> float:
    """Return the log posterior odds of one more spike, with its amplitude integrated out."""
    return 0.5 * linear * linear * variance + single


@_borrowing
def _gains(block: Block, priors: Priors, first: int, last: int, gains: Float64Array) -> float:
    """Compute the gain at every position in a window; return the largest."""
    best, i, units = -np.inf, 0, block.units
    for t in range(first, last):
        known = _known(block, t)
        for k in range(units):
            linear = priors.heat * block.rest[t * units + k] + priors.precision[k]
            gains[i] = _gain(linear, priors.variance[known, k], priors.single[known, k])
            best = max(best, gains[i])
            i += 1
    return best


@_borrowing
def _loud(rest: Trace, levels: Trace, units: int, first: int, last: int) -> np.int32:
    """Return how many positions in a window are plausible."""
    loud = np.int32(0)
    for i in range(np.uint64(first * units), np.uint64(last * units)):
        loud += np.int32(rest[i] > levels[i])
    return loud


@_borrowing
def _placed(amplitude: Trace, units: int, first: int, last: int) -> np.int32:
    """Return the number of spikes placed in a window."""
    placed = np.int32(0)
    for i in range(np.uint64(first * units), np.uint64(last * units)):
        placed += np.int32(amplitude[i] != np.float32(0.0))
    return placed


@_borrowing
def _empty_window(block: Block, first: int, last: int) -> None:
    for t in range(first, last):
        for k in range(block.units):
            if block.amplitude[t * block.units + k] != 0.0:
                _remove(block, t, k)


@_borrowing
def _count_all(counts: Trace, amplitude: Trace, units: int, first: int, last: int) -> None:
    """Count all spikes placed in a window as certain."""
    for i in range(first * units, last * units):
        if amplitude[i] != 0.0:
            counts[i] += np.float32(1.0)


@_borrowing
def _to_odds(logs: Float64Array, n: int, best: float) -> float:
    """Convert logs to odds relative to the best, in place; return their sum."""
    total = 0.0
    for i in range(n):
        logs[i] = math.exp(logs[i] - best) if logs[i] - best > NEGLIGIBLE else 0.0
        total += logs[i]
    return total


@_borrowing
def _drop_negligible(found: Pairs, n: int, best: float) -> int:
    kept = 0
    for i in range(n):
        if found.log[i] > best + NEGLIGIBLE:
            found.one[kept], found.other[kept] = found.one[i], found.other[i]
            found.log[kept] = found.log[i]
            kept += 1
    return kept


@_borrowing
def _prepare(block: Block, priors: Priors, places: Places, first: int, last: int) -> float:
    """Compute what is needed of each position in a window to weigh pairs; return the largest precision."""
    units, largest, i = block.units, 0.0, 0
    for t in range(first, last):
        known = _known(block, t)
        for k in range(units):
            precision = priors.precision[k]
            linear = priors.heat * block.rest[t * units + k] + precision
            whole, constant = priors.energy[known, k] + precision, priors.odds[k] - 0.5 * precision
            places.linear[i], places.whole[i] = linear, whole
            places.constant[i], places.precision[i] = constant, precision
            places.rough_linear[i], places.rough_whole[i] = linear, whole
            if i < units:
                rough = constant + 0.5 * math.log(precision) + ONE_AS_BITS * BITS_TO_LOG
                places.rough_constant[i] = rough
            else:
                places.rough_constant[i] = places.rough_constant[i - units]
            largest = max(largest, whole)
            i += 1
    return largest


@_borrowing
def _weigh_pairs(
    block: Block, priors: Priors, found: Pairs, first: int, last: int, best: float
) -> tuple[int, float]:
    """Compute the log posterior of all pairs in a window; return how many are not negligible, and the best.

    Amplitudes are integrated out. The first spike of a pair reduces the output and energy of the second by
    their overlap. The gains of single spikes must be known.
    """
    units, overlaps, places, n = block.units, block.overlaps, found.places, NONE
    slack = ROUNDING * (ROUNDED + _prepare(block, priors, places, first, last))
    linear, whole, constant, precision = places.linear, places.whole, places.constant, places.precision
    gains, end, rough_heat = places.gain, (last - first) * units, np.float32(priors.heat)
    for i in range(end - 1):
        t, k = first + i // units, i % units
        variance = priors.variance[_known(block, t), k]
        expected, own = linear[i] * variance, _overlap_at(block, t, k, first - t)
        rough_expected, rough_variance = np.float32(expected), np.float32(variance)
        j = i + 1
        while j < end:
            # Most pairs are implausible. Single precision suffices to exclude them.
            at, bits = max(NONE, min(j, end - LANES)), EVERY
            if end >= LANES:
                least = np.float32(best + NEGLIGIBLE - gains[i] - slack)
                bits = _plausible(
                    places.rough_linear, places.rough_whole, places.rough_constant, overlaps,
                    own, at, rough_heat, rough_expected, rough_variance, least,
                )  # fmt: skip
            bits >>= j - at
            while bits != 0 and j < end:
                if bits & 1:
                    overlap = priors.heat * overlaps[np.uint64(own + j)]
                    x = linear[j] - overlap * expected
                    power = whole[j] - overlap * overlap * variance
                    log = gains[i] + 0.5 * x * x / power + constant[j]
                    log -= 0.5 * math.log(power / precision[j])
                    if log > best + NEGLIGIBLE:
                        best = max(best, log)
                        if n == MOST_PAIRS:
                            n = _drop_negligible(found, n, best)
                        if n < MOST_PAIRS:
                            found.one[n], found.other[n], found.log[n] = i, j, log
                            n += 1
                bits >>= 1
                j += 1
            j = at + LANES
    return n, best


@_borrowing
def _place_sampled_pair(block: Block, priors: Priors, t: int, k: int, u: int, j: int) -> None:
    known, units = _known(block, t), block.units
    overlap = priors.heat * block.overlaps[_overlap_at(block, t, k, u - t) + j]
    x = priors.heat * block.rest[t * units + k] + priors.precision[k]
    y = priors.heat * block.rest[u * units + j] + priors.precision[j]
    a, b = 1 / priors.variance[known, k], 1 / priors.variance[_known(block, u), j]
    determinant = a * b - overlap * overlap
    amplitude = (x * b - y * overlap) / determinant
    _place(block, t, k, amplitude + _normal(block.random) * math.sqrt(b / determinant))
    _place_sampled(block, priors, u, j)


@_borrowing
def _count_singles(counts: Trace, at: int, odds: Float64Array, n: int, total: float) -> float:
    """Add the probability of each single spike to the counts from `at` on; return the greatest odds."""
    begin, surest = np.uint64(at), 0.0
    for i in range(np.uint64(n)):
        counts[begin + i] += np.float32(odds[i] / total)
    for i in range(np.uint64(n)):
        surest = max(surest, odds[i])
    return surest


@_borrowing
def _count_pairs(counts: Trace, at: int, found: Pairs, n: int, total: float) -> float:
    """Add the probability of each pair to the counts of both its spikes; return the greatest odds.

    Pairs are in order of their first spikes, whose counts are added up apart: a sum in memory would make each
    pair wait for the one before.
    """
    surest, begin, current, own = 0.0, np.uint64(at), np.int32(-1), np.float32(0.0)
    for i in range(np.uint64(n)):
        odds, one, other = found.log[i], found.one[i], found.other[i]
        share = np.float32(odds / total)
        if one != current:
            if current >= 0:
                counts[begin + np.uint64(current)] = own
            current, own = one, counts[begin + np.uint64(one)]
        own += share
        counts[begin + np.uint64(other)] += share
        surest = max(surest, odds)
    if current >= 0:
        counts[begin + np.uint64(current)] = own
    return surest


@_borrowing
def _drawn(found: Pairs, n_places: int, n_pairs: int, left: float) -> tuple[int, int]:
    """Return the positions of the spikes with whose odds what is left is used up; -1 for none."""
    odds = found.places.gain
    if left < 0.0:
        return -1, -1
    for i in range(n_places):
        left -= odds[i]
        if left < 0.0:
            return i, -1
    for i in range(n_pairs):
        left -= found.log[i]
        if left < 0.0:
            return int(found.one[i]), int(found.other[i])
    return -1, -1


@_borrowing
def _sample_window(block: Block, priors: Priors, found: Pairs, first: int, last: int, most: int) -> float:
    """Sample at most one or two spikes into an empty window; return the uncertainty."""
    units, odds = block.units, found.places.gain
    highest = _gains(block, priors, first, last, odds)
    n_pairs, best = 0, max(0.0, highest)
    if most == 2 and highest > LIKELY:
        n_pairs, best = _weigh_pairs(block, priors, found, first, last, best)
    n_places = (last - first) * units
    none = math.exp(-best)
    total = none + _to_odds(odds, n_places, best) + _to_odds(found.log, n_pairs, best)
    left = _uniform(block.random) * total - none
    surest = max(none, _count_singles(block.counts, first * units, odds, n_places, total))
    surest = max(surest, _count_pairs(block.counts, first * units, found, n_pairs, total))
    one, other = _drawn(found, n_places, n_pairs, left)
    if one >= 0 and other < 0:
        _place_sampled(block, priors, first + one // units, one % units)
    elif one >= 0:
        _place_sampled_pair(
            block, priors,
            first + one // units, one % units, first + other // units, other % units,
        )  # fmt: skip
    return 1.0 - surest / total


@_borrowing
def sweep(
    block: Block, parts: Int64Array, priors: Priors, found: Pairs, window: int, offset: int, most: int
) -> float:
    """Resample each window that has at most `most` spikes, 1 or 2; return the greatest uncertainty.

    The windows are those of the parts (first, last) in `parts`, shape (parts, 2); `found` is working memory.
    """
    _apart()
    units, doubt = block.units, 0.0
    for part in range(len(parts)):
        begin, end = parts[part, 0], parts[part, 1]
        for start in range(begin - offset, end, window):
            first, last = max(start, begin), min(start + window, end)
            placed = _placed(block.amplitude, units, first, last)
            if placed == 0 and _loud(block.rest, priors.levels, units, first, last) == 0:
                continue
            if placed > most:
                _count_all(block.counts, block.amplitude, units, first, last)
                doubt = 1.0
                continue
            _empty_window(block, first, last)
            doubt = max(doubt, _sample_window(block, priors, found, first, last, most))
    return doubt


@_borrowing
def place_spikes(block: Block, samples: Int64Array, units: Int64Array, amplitudes: Trace) -> None:
    """Place given spikes."""
    for i in range(len(samples)):
        _place(block, samples[i], units[i], amplitudes[i])


@_borrowing
def _take_out(
    block: Block, first: int, last: int, samples: Int64Array, units: Int64Array, amplitudes: Trace
) -> int:
    """Remove and list all spikes of a window; return their number, or -1 if there are too many."""
    found = 0
    for t in range(first, last):
        for k in range(block.units):
            amplitude = block.amplitude[t * block.units + k]
            if amplitude != 0.0:
                if found == MOST_SPIKES:
                    return -1
                samples[found], units[found], amplitudes[found] = t, k, amplitude
                found += 1
    for i in range(found):
        _remove(block, samples[i], units[i])
    return found


@_borrowing
def _put_in(
    block: Block, priors: Priors, samples: Int64Array, units: Int64Array, amplitudes: Trace, n: int
) -> float:
    """Place spikes of given amplitudes; return the change of the log posterior."""
    total = 0.0
    for i in range(n):
        t, k, amplitude = samples[i], units[i], float(amplitudes[i])
        energy = priors.energy[_known(block, t), k]
        total += (
            priors.heat * block.rest[t * block.units + k] * amplitude - 0.5 * amplitude * amplitude * energy
        )
        total += priors.odds[k] - 0.5 * priors.precision[k] * (amplitude - 1.0) ** 2
        _place(block, t, k, amplitude)
    return total


@_borrowing
def _best_place(block: Block, priors: Priors, first: int, last: int) -> tuple[int, int]:
    """Return the free position where one more spike gains most, or -1 if no spike gains."""
    best, at, of, units = 0.0, -1, -1, block.units
    for begin in range(first, last, CHUNK):
        end = min(begin + CHUNK, last)
        if _loud(block.rest, priors.evens, units, begin, end) == 0:
            continue
        for t in range(begin, end):
            known = _known(block, t)
            for k in range(units):
                i = t * units + k
                if block.amplitude[i] == 0.0:
                    linear = priors.heat * block.rest[i] + priors.precision[k]
                    gain = _gain(linear, priors.variance[known, k], priors.single[known, k])
                    if gain > best:
                        best, at, of = gain, t, k
    return at, of


@_borrowing
def _improve(
    block: Block, priors: Priors, first: int, last: int, samples: Int64Array, units: Int64Array, n: int
) -> int:
    """Add spikes that gain and move each to where it gains most, until nothing changes; return how many."""
    for _ in range(MOST_SPIKES):
        changed = False
        if n < MOST_SPIKES:
            t, k = _best_place(block, priors, first, last)
            if t >= 0:
                _place_expected(block, priors, t, k)
                samples[n], units[n] = t, k
                n += 1
                changed = True
        i = 0
        while i < n:
            t, k = samples[i], units[i]
            _remove(block, t, k)
            near = max(first, t - STEP), min(last, t + STEP + 1)
            better, of = _best_place(block, priors, near[0], near[1])
            changed = changed or better != t or of != k
            if better < 0:
                n -= 1
                samples[i], units[i] = samples[n], units[n]
                continue
            _place_expected(block, priors, better, of)
            samples[i], units[i] = better, of
            i += 1
        if not changed:
            break
    return n


@_borrowing
def _next_start(found: Pairs, n: int, units: int) -> tuple[int, int]:
    """Return the best pair not yet tried, and drop it and all similar pairs; -1 if none is left."""
    best = -1
    for i in range(n):
        if found.log[i] > -np.inf and (best < 0 or found.log[i] > found.log[best]):
            best = i
    if best < 0:
        return -1, -1
    one, other = found.one[best], found.other[best]
    for i in range(n):
        a, b = found.one[i] - one, found.other[i] - other
        close = abs(a) <= NEAR * units and abs(b) <= NEAR * units
        if close and a % units == 0 and b % units == 0:
            found.log[i] = -np.inf
    return one, other


@_merged
def _resolve_window(
    block: Block,
    priors: Priors,
    found: Pairs,
    first: int,
    last: int,
    lists: Int64Array,
    amplitudes: Trace,
) -> bool:
    """Search a window again, starting from its best pairs of spikes; return whether that improves it."""
    units = block.units
    old = _take_out(block, first, last, lists[0], lists[1], amplitudes[0])
    if old < 0:
        return False
    best_log = _put_in(block, priors, lists[0], lists[1], amplitudes[0], old)
    for i in range(old):
        _remove(block, lists[0, i], lists[1, i])
    best_n, better = old, False
    best = max(0.0, _gains(block, priors, first, last, found.places.gain))
    n_pairs, _ = _weigh_pairs(block, priors, found, first, last, best)
    for _ in range(RESOLVED_STARTS):
        one, other = _next_start(found, n_pairs, units)
        if one < 0:
            break
        lists[2, 0], lists[3, 0] = first + one // units, one % units
        lists[2, 1], lists[3, 1] = first + other // units, other % units
        for i in range(2):
            t, k = lists[2, i], lists[3, i]
            _place_expected(block, priors, t, k)
        _improve(block, priors, first, last, lists[2], lists[3], 2)
        n = _take_out(block, first, last, lists[2], lists[3], amplitudes[1])
        log = _put_in(block, priors, lists[2], lists[3], amplitudes[1], n)
        for i in range(n):
            _remove(block, lists[2, i], lists[3, i])
        if log > best_log + 1e-3:
            best_log, best_n, better = log, n, True
            for i in range(n):
                lists[0, i], lists[1, i] = lists[2, i], lists[3, i]
                amplitudes[0, i] = amplitudes[1, i]
    for i in range(best_n):
        _place(block, lists[0, i], lists[1, i], float(amplitudes[0, i]))
    return better


@_inner
def resolve(block: Block, parts: Int64Array, priors: Priors, found: Pairs) -> bool:
    """Search again wherever a spike follows soon after another; return whether that improved anything."""
    _apart()
    lists, amplitudes = np.empty((4, MOST_SPIKES), np.int64), np.empty((2, MOST_SPIKES), np.float32)
    return _resolve(block, parts, priors, found, lists, amplitudes)


@_borrowing
def _resolve(
    block: Block, parts: Int64Array, priors: Priors, found: Pairs, lists: Int64Array, amplitudes: Trace
) -> bool:
    units, amplitude, better = block.units, block.amplitude, False
    for part in range(len(parts)):
        begin, end = parts[part, 0], parts[part, 1]
        for t in range(begin, end):
            after = min(t + RESOLVED_GAP + 1, end)
            if _placed(amplitude, units, t, t + 1) and _placed(amplitude, units, t, after) > 1:
                first = max(t - RESOLVED_LEAD, begin)
                last = min(first + RESOLVED_WINDOW, end)
                better |= _resolve_window(block, priors, found, first, last, lists, amplitudes)
    return better


@_borrowing
def _take_clear(block: Block, priors: Priors) -> bool:
    """Place the spike that gains most, repeatedly; return False if there are too many."""
    for _ in range(block.samples // FEWEST_APART + 1):
        t, k = _best_place(block, priors, NONE, block.samples)
        if t < 0:
            return True
        _place_expected(block, priors, t, k)
    return False


@_borrowing
def _active(rest: Trace, amplitude: Trace, levels: Trace, units: int, first: int, last: int) -> bool:
    """Return whether a spike is placed or plausible in a window."""
    return bool(_loud(rest, levels, units, first, last) > 0 or _placed(amplitude, units, first, last) > 0)


@_borrowing
def _next_place(rest: Trace, amplitude: Trace, levels: Trace, units: int, start: int) -> tuple[int, int]:
    """Return the next part (first, last) where spikes are placed or plausible; first is -1 if none is."""
    _apart()
    n = len(rest) // units
    first, last = -1, start
    for begin in range(start, n, CHUNK):
        if first >= 0 and begin - last >= ALONE:
            break
        end = min(begin + CHUNK, n)
        if not _active(rest, amplitude, levels, units, begin, end):
            continue
        for t in range(begin, end):
            if first >= 0 and t - last >= ALONE:
                return first, last
            if _active(rest, amplitude, levels, units, t, t + 1):
                first = t if first < 0 else first
                last = t + 1
    return first, last


@_merged
def _settle_place(block: Block, priors: Priors, found: Pairs, first: int, last: int) -> bool:
    """Sample a short part once; return whether that settles it. If not, its counts are reset."""
    first, last = max(first - AROUND, NONE), min(last + AROUND, block.samples)
    _empty_window(block, first, last)
    _sample_window(block, priors, found, first, last, TWO)
    counts, units = block.counts, block.units
    whole = _counted(counts, units, first, last)
    edges = _counted(counts, units, first, min(first + EDGE, last))
    edges += _counted(counts, units, last - EDGE, last)
    if edges <= LOST * max(whole, np.float32(1.0)):
        return True
    _forget(counts, units, first, last)
    return False


@_borrowing
def _counted(counts: Trace, units: int, first: int, last: int) -> np.float32:
    """Return the sum of the counts of a part."""
    total = np.float32(0.0)
    for i in range(np.uint64(first * units), np.uint64(last * units)):
        total += counts[i]
    return total


@_borrowing
def _forget(counts: Trace, units: int, first: int, last: int) -> None:
    """Set the counts of a part to 0."""
    for i in range(np.uint64(first * units), np.uint64(last * units)):
        counts[i] = np.float32(0.0)


@_inner
def settle_clear(
    block: Block, priors: Priors, found: Pairs, first_wanted: int, last_wanted: int
) -> Int64Array:
    """Settle the parts that have no other plausible spike near them; return those left to sample.

    These are (first, last), shape (parts, 2). Far from the wanted samples, the spikes placed first are kept.
    They only have to account for the part of their waveforms that extends to the wanted samples. `found` is
    working memory.
    """
    _apart()
    n = block.samples
    if not _take_clear(block, priors):
        _empty_window(block, NONE, n)
        everything = np.empty((1, 2), np.int64)
        everything[0, 0], everything[0, 1] = 0, n
        return everything
    places = np.empty((n // ALONE + 1, 2), np.int64)
    n_places = _find_places(block.rest, block.amplitude, priors.levels, block.units, places)
    parts = np.empty((n_places, 2), np.int64)
    count = _settle_places(block, priors, found, places[:n_places], first_wanted, last_wanted, parts)
    return parts[:count]


@_borrowing
def _find_places(rest: Trace, amplitude: Trace, levels: Trace, units: int, places: Int64Array) -> int:
    """List the parts where spikes are placed or plausible; return how many there are."""
    n_places, start = 0, NONE
    while True:
        first, last = _next_place(rest, amplitude, levels, units, start)
        if first < 0:
            return n_places
        places[n_places, 0], places[n_places, 1] = first, last
        n_places, start = n_places + 1, last


@_borrowing
def _settle_places(
    block: Block, priors: Priors, found: Pairs, places: Int64Array,
    first_wanted: int, last_wanted: int, parts: Int64Array,
) -> int:  # fmt: skip
    """Settle those of some places that can be; list the others, emptied, in `parts`, and return how many.

    All places are known before, because sampling one changes what is plausible next to it.
    """
    n, units, n_places, count = block.samples, block.units, len(places), 0
    for i in range(n_places):
        first, last = places[i, 0], places[i, 1]
        needed = parts[0, 0] if count > 0 else max(first - ALONE // 2, 0)
        block = _only(block, needed, min(places[n_places - 1, 1] + ALONE // 2, n))
        short = last - first <= LONGEST_PLACE and _placed(block.amplitude, units, first, last) <= 2
        if short and _settle_place(block, priors, found, first, last):
            continue
        if last < first_wanted - ALONE or first > last_wanted + ALONE:
            continue
        parts[count, 0], parts[count, 1] = max(first - ALONE // 2, 0), min(last + ALONE // 2, n)
        count += 1
    for i in range(count):
        _empty_window(block, parts[i, 0], parts[i, 1])
    return count


@_inner
def _stage(plan: Plan, number: int) -> Priors:
    _apart()
    every: Any = plan.stages  # each field has one more axis than that of `Priors`
    return Priors(
        every.heat[number], every.energy[number], every.precision[number], every.variance[number],
        every.odds[number], every.single[number], every.levels[number], every.evens[number],
    )  # fmt: skip


@_inner
def _only_near(open_parts: Int64Array, first: int, last: int) -> Int64Array:
    """Return only those parts that are in or near a range."""
    parts, count = np.empty((len(open_parts), 2), np.int64), 0
    for i in range(len(parts)):
        begin, end = max(open_parts[i, 0], first - ALONE), min(open_parts[i, 1], last + ALONE)
        if begin < end:
            parts[count, 0], parts[count, 1] = begin, end
            count += 1
    return parts[:count]


@_merged
def _explain(block: Block, plan: Plan, priors: Priors, found: Pairs, first: int, last: int) -> None:
    """Sample explanations of a block; the last one stays placed.

    The expected numbers of spikes from `first` to before `last` are left in the counts.
    """
    parts = settle_clear(block, priors, found, first, last)
    if len(parts) == 0:
        return
    counts, units, n = block.counts, block.units, block.samples
    settled, settled_at = counts.copy(), plan.hot + plan.settling
    block = _only(block, parts[0, 0], parts[-1, 1])
    doubt, counted = 0.0, 0
    for number in range(len(plan.sweeps)):
        if number == plan.hot:
            for _ in range(RESOLVED_TWICE):
                if not resolve(block, parts, priors, found):
                    break
            parts, doubt = _only_near(parts, first, last), 0.0
            if len(parts) > 0:
                block = _only(block, parts[0, 0], parts[-1, 1])
        elif number == settled_at and doubt < CERTAIN:
            break
        if number == plan.hot or number == settled_at:
            _forget(counts, units, NONE, n)
            counted = 0
        row = plan.sweeps[number]  # one call for all of them, as each would be compiled
        doubt = max(doubt, sweep(block, parts, _stage(plan, row[0]), found, row[1], row[2], row[3]))
        counted += 1
    for i in range(n * units):
        counts[i] = settled[i] + counts[i] / np.float32(counted)


@_borrowing
def _copy(values: Trace, first: int, to: Trace, at: int, n: int) -> None:
    """Copy `n` values from `first` on to another array, from `at` on."""
    source, target = np.uint64(first), np.uint64(at)
    for i in range(np.uint64(n)):
        to[target + i] = values[source + i]


@_borrowing
def _louder(loudness: Float64Array, shift: int, louder: Float64Array) -> None:
    """Compute the louder of each sample and that `shift` samples later."""
    for i in range(np.uint64(len(loudness) - shift)):
        later = loudness[i + np.uint64(shift)]
        louder[i] = later if later > loudness[i] else loudness[i]


@_inner
def _quietest(outputs: Trace, priors: Priors, nominal: int, leeway: int) -> int:
    """Return the sample near the boundary of two blocks where a spike is least plausible.

    It depends only on the outputs near the boundary, so both blocks agree on it.
    """
    _apart()
    if leeway == 0:
        return nominal
    n = 2 * (leeway + SEAM_AROUND) + 1
    loudness, louder = np.empty(n), np.empty(n)
    begin = nominal - leeway - SEAM_AROUND
    for i in range(len(loudness)):
        loudness[i] = -np.inf
        for k in range(outputs.shape[1]):
            x = priors.heat * outputs[begin + i, k] + priors.precision[k]
            if x > 0.0:
                loudness[i] = max(loudness[i], 0.5 * x * x * priors.variance[-1, k] + priors.single[-1, k])
    around, width = 2 * SEAM_AROUND + 1, 1
    while 2 * width <= around:  # the loudest of `width` samples from each on, by doubling
        _louder(loudness, width, louder)
        loudness, louder = louder, loudness
        width *= 2
    best, quietest = np.inf, nominal
    for shift in range(2 * leeway + 1):
        t = leeway + (shift + 1) // 2 * (1 if shift % 2 else -1)  # from the middle outward
        loudest = max(loudness[t], loudness[t + around - width])
        if loudest < best:
            best, quietest = loudest, nominal - leeway + t
    return quietest


@_borrowing
def _longest_window(sweeps: Int64Array) -> int:
    """Return the samples of the longest window in which pairs are weighed."""
    longest = max(RESOLVED_WINDOW, LONGEST_PLACE + 2 * AROUND)
    for number in range(len(sweeps)):
        longest = max(longest, sweeps[number, 1])
    return longest


@_compiled
def explain_blocks(
    outputs: Trace, overlaps: Trace, plan: Plan, lengths: tuple[int, int, int, int], step: int, seed: int
) -> tuple[Trace, Trace]:
    """Explain a trace block by block; each block depends only on itself and its context.

    The boundary of two blocks is moved by up to `leeway` samples to a quiet place, so that overlapping spikes
    are explained together.

    Parameters
    ----------
    outputs : ndarray of float32, shape (before + length + after + (blocks - 1) * step, units)
        Of a bank.
    overlaps : ndarray of float32, shape (known, units, lags, units)
        The bank's.
    plan : Plan
    lengths : tuple of int
        Samples of a block, of its context before and after it, and of the leeway.
    step : int
        Samples between the first outputs of two blocks: the length of a block, or more if each has outputs of
        its own, of samples that it shares with others. These are explained without leeway.
    seed : int

    Returns
    -------
    expected : ndarray of float32, shape (leeway + blocks * length + leeway, units)
        Expected number of spikes that start at each sample; 0 where the blocks before and after these decide.
    amplitudes : ndarray of float32, of the same shape
        Of the spikes of one explanation, sampled from the posterior; 0 where none starts.
    """
    length, before, after, leeway = lengths
    samples, units = before + length + after, outputs.shape[1]
    blocks = (len(outputs) - samples) // step + 1
    expected = np.zeros((blocks * length + 2 * leeway, units), np.float32)
    amplitudes = np.zeros((blocks * length + 2 * leeway, units), np.float32)
    all_expected, all_amplitudes = expected.reshape(-1), amplitudes.reshape(-1)
    memory = pair_memory(_longest_window(plan.sweeps) * units)
    priors = _stage(plan, len(plan.stages.levels) - 1)
    first = _quietest(outputs, priors, before, leeway)
    for number in range(blocks):
        begin, to = number * step, number * length + leeway - before
        last = _quietest(outputs, priors, begin + before + length, leeway) - begin
        block = new_block(outputs[begin : begin + samples], overlaps, seed)
        _explain(block, plan, priors, memory, first, last)
        wanted = (last - first) * units
        _copy(block.counts, first * units, all_expected, (to + first) * units, wanted)
        _copy(block.amplitude, first * units, all_amplitudes, (to + first) * units, wanted)
        first = last - length
    return expected, amplitudes


def explain_causally(
    white: Trace,
    shapes: Trace,
    lead: int,
    overlaps: Trace,
    plan: Plan,
    lengths: tuple[int, int, int, int],
    seed: int,
) -> tuple[Trace, Trace]:
    """Explain a trace block by block, each from the past and a short context after it.

    Parameters
    ----------
    white : ndarray of float32, shape (channels, lead + before + lengths * length + after)
        The whitened trace.
    shapes : ndarray of float32, shape (units, channels, samples)
        Whitened templates.
    lead : int
        Samples of a template before the spike's start.
    overlaps : ndarray of float32, shape (known, units, lags, units)
        Of a `CausalBank`.
    plan : Plan
    lengths : tuple of int
        Samples of a block, of its context before and after it, and 0.
    seed : int

    Returns
    -------
    expected, amplitudes : ndarray of float32, shape (blocks * length, units)
        As those of `explain_blocks`.
    """
    length, before, after, _ = lengths
    n = before + length + after
    explained = []
    for first in range(0, (white.shape[1] - lead - n) // length + 1, BLOCKS_AT_ONCE):
        part = white[:, first * length : (first + BLOCKS_AT_ONCE - 1) * length + n + lead]
        outputs = causal_outputs(np.ascontiguousarray(part), shapes, lead, length, n)
        explained.append(explain_blocks(outputs, overlaps, plan, lengths, n, seed))
    expected, amplitudes = zip(*explained, strict=True)
    return np.concatenate(expected), np.concatenate(amplitudes)


@_compiled
def causal_outputs(white: Trace, shapes: Trace, lead: int, step: int, n: int) -> Trace:
    """Compute the outputs of each block from the samples up to its end.

    Parameters
    ----------
    white, shapes, lead
        As for `explain_causally`.
    step : int
        Samples between the beginnings of two blocks.
    n : int
        Samples of a block with its context.

    Returns
    -------
    ndarray of float32, shape (blocks * n, units)
    """
    units, taps = len(shapes), shapes.shape[2]
    blocks = (white.shape[1] - lead - n) // step + 1
    known = np.zeros(n + taps - 1, np.float32)  # the samples that follow are not known
    column = np.empty(n, np.float32)
    outputs = np.zeros((blocks * n, units), np.float32)
    for number in range(blocks):
        begin = number * step
        for c in range(len(white)):
            for i in range(n + lead):
                known[i] = white[c, begin + i]
            for k in range(units):
                for i in range(n):
                    column[i] = np.float32(0.0)
                correlate(known, shapes[k, c], column)
                for i in range(n):
                    outputs[number * n + i, k] += column[i]
    return outputs
