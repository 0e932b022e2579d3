"""Correlate with short kernels, with the same bytes at a sample wherever a block begins or ends.

A fast Fourier transform rounds an output differently for each length and position. Here each output is one
sum in a fixed order, so that spans of any length, and streams, agree to the last bit. For kernels of a few
hundred taps this is as fast.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import config, njit, types
from numba.core import cgutils
from numba.core.errors import TypingError
from numba.extending import intrinsic

from spikesorter.signal.lanes import LANES, data_of, in_all_lanes, load_lanes, store_lanes

__all__ = ["correlate"]

Trace = npt.NDArray[np.float32]
VECTORS = 2
TILE = VECTORS * LANES  # outputs that are computed together, in registers
FEWEST_TAPS = LANES
GROUP = 4  # products that are added before they are added to the output, which loses less to rounding
PLACE = ir.IntType(64)


class _TileWriter:
    """Writes the instructions that add up a tile of outputs.

    A vector of the signal is loaded once, and multiplied by a tap for each vector of outputs that it adds to.
    A loop over outputs, as LLVM vectorises it, loads the signal for each tap, and the outputs for every four.
    """

    def __init__(self, builder: Any, signal: Any, kernel: Any, sums: list[Any]) -> None:
        self.builder, self.signal, self.kernel = builder, signal, kernel
        self.sums = [cgutils.alloca_once_value(builder, vector) for vector in sums]

    def add_fours(self, first: Any, last: Any, *vectors: int) -> None:
        """Multiply the signal from `first` to before `last` by taps, four at a time, for some vectors."""
        builder, step = self.builder, ir.Constant(PLACE, GROUP)
        with cgutils.for_range_slice(builder, first, last, step, PLACE) as (place, _):
            places = [self.after(place, i) for i in range(GROUP)]
            loaded = [load_lanes(builder, self.signal, at) for at in places]
            for vector in vectors:
                a, b, c, d = (
                    self.product(values, self.after(at, -LANES * vector))
                    for values, at in zip(loaded, places, strict=True)
                )
                self.add(builder.fadd(builder.fadd(a, b), builder.fadd(c, d)), vector)

    def add_singles(self, first: Any, last: Any) -> None:
        """Add the products of the taps from `first` to before `last` one by one, to all vectors."""
        one = ir.Constant(PLACE, 1)
        with cgutils.for_range_slice(self.builder, first, last, one, PLACE) as (tap, _):
            for vector in range(VECTORS):
                values = load_lanes(self.builder, self.signal, self.after(tap, LANES * vector))
                self.add(self.product(values, tap), vector)

    def after(self, place: Any, samples: int) -> Any:
        return self.builder.add(place, ir.Constant(PLACE, samples))

    def product(self, values: Any, tap: Any) -> Any:
        factor = self.builder.load(self.builder.gep(self.kernel, [tap]))
        return self.builder.fmul(in_all_lanes(self.builder, factor), values)

    def add(self, values: Any, vector: int) -> None:
        total = self.builder.load(self.sums[vector])
        self.builder.store(self.builder.fadd(total, values), self.sums[vector])


def _emit_tile(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    """Write the instructions of `_tile` for Numba."""
    signal, kernel, output = (data_of(context, builder, signature.args[i], arguments[i]) for i in (0, 2, 4))
    at, taps, to = arguments[1], arguments[3], arguments[5]
    begin, end = builder.gep(signal, [at]), builder.gep(output, [to])
    starts = [ir.Constant(PLACE, LANES * vector) for vector in range(VECTORS)]
    tile = _TileWriter(builder, begin, kernel, [load_lanes(builder, end, start) for start in starts])
    fours = builder.and_(taps, ir.Constant(PLACE, -GROUP))
    tile.add_fours(*starts, 0)  # the second vector's first tap is for the signal `LANES` samples later
    tile.add_fours(starts[1], fours, 0, 1)
    tile.add_fours(fours, tile.after(fours, LANES), 1)
    tile.add_singles(fours, taps)
    for total, start in zip(tile.sums, starts, strict=True):
        store_lanes(builder, builder.load(total), end, start)
    return context.get_dummy_value()


def _typed_tile(typing: Any, signal: Any, at: Any, kernel: Any, taps: Any, output: Any, to: Any) -> Any:
    """Add `TILE` correlations from sample `at` of the signal to the output from `to` on.

    There must be at least `FEWEST_TAPS` taps.
    """
    if any(array != types.float32[::1] for array in (signal, kernel, output)):
        raise TypingError("correlate takes contiguous arrays of 32-bit numbers")
    return types.void(signal, at, kernel, taps, output, to), _emit_tile


def _tile_by_numpy(signal: Trace, at: int, kernel: Trace, taps: int, output: Trace, to: int) -> None:
    """Do the same without Numba."""
    sums, fours = output[to : to + TILE], taps - taps % GROUP
    products = [tap * signal[at + j : at + j + TILE] for j, tap in enumerate(kernel)]
    for a, b, c, d in zip(*(products[i:fours:GROUP] for i in range(GROUP)), strict=True):
        sums += (a + b) + (c + d)
    for product in products[fours:]:
        sums += product


_tile: Any = _tile_by_numpy if config.DISABLE_JIT else intrinsic(_typed_tile)


# Numba's decorator has no types.
@njit(nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)  # type: ignore[untyped-decorator]
def _correlate_few(signal: Trace, kernel: Trace, output: Trace) -> None:
    """Do as `correlate` one output after the other, with the same bytes."""
    taps = len(kernel)
    fours = taps - taps % GROUP
    for i in range(len(output)):
        for j in range(0, fours, GROUP):
            a, b, c, d = kernel[j], kernel[j + 1], kernel[j + 2], kernel[j + 3]
            at = i + j
            output[i] += (a * signal[at] + b * signal[at + 1]) + (c * signal[at + 2] + d * signal[at + 3])
        for j in range(fours, taps):
            output[i] += kernel[j] * signal[i + j]


@njit(cache=True, nogil=True, no_cfunc_wrapper=True)  # type: ignore[untyped-decorator]
def correlate(signal: Trace, kernel: Trace, output: Trace) -> None:
    """Add the correlation of a signal with a kernel to an output.

    Parameters
    ----------
    signal : ndarray of float32, shape (samples + taps - 1,), contiguous
    kernel : ndarray of float32, shape (taps,), contiguous
    output : ndarray of float32, shape (samples,), contiguous
        ``output[i] += sum(kernel[j] * signal[i + j])``, in place.

    Examples
    --------
    >>> output = np.zeros(3, np.float32)
    >>> correlate(np.float32([1, 2, 3, 4]), np.float32([1, 10]), output)
    >>> output
    array([21., 32., 43.], dtype=float32)
    """
    samples, taps = len(output), len(kernel)
    if samples < TILE or taps < FEWEST_TAPS:
        _correlate_few(signal, kernel, output)
        return
    whole, last = samples - samples % TILE, samples - TILE
    for first in range(0, whole, TILE):
        _tile(signal, first, kernel, taps, output, first)
    if whole < samples:  # a tile of the last outputs, of which those before are computed once more
        sums = np.empty(TILE, np.float32)
        for i in range(TILE):
            sums[i] = output[last + i]
        _tile(signal, last, kernel, taps, sums, 0)
        for i in range(whole, samples):
            output[i] = sums[i - last]
