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

__all__ = ["correlate"]

Trace = npt.NDArray[np.float32]
LANES, VECTORS = 16, 2
TILE = LANES * VECTORS  # outputs that are computed together, in registers
FEWEST_TAPS = LANES * (VECTORS - 1)
GROUP = 4  # products that are added before they are added to the output, which loses less to rounding


def _emit_tile(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    """Write the instructions of `_tile` for Numba.

    A vector of the signal is loaded once, and multiplied by a tap for each vector of outputs that it adds to.
    A loop over outputs, as LLVM vectorises it, loads the signal for each tap, and the outputs for every four.
    """
    number, lanes = ir.IntType(64), ir.VectorType(ir.FloatType(), LANES)
    nothing, lowest = ir.Constant(lanes, ir.Undefined), ir.Constant(ir.IntType(32), 0)
    every_lane = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
    signal, at, kernel, output, to = arguments
    signal, kernel, output = (
        context.make_array(signature.args[i])(context, builder, arguments[i]) for i in (0, 2, 3)
    )
    taps = cgutils.unpack_tuple(builder, kernel.shape)[0]
    fours = builder.and_(taps, ir.Constant(number, -GROUP))
    begin, end = builder.gep(signal.data, [at]), builder.gep(output.data, [to])

    def after(place: Any, samples: int) -> Any:
        return builder.add(place, ir.Constant(number, samples))

    def vector_at(data: Any, place: Any) -> Any:
        return builder.bitcast(builder.gep(data, [place]), lanes.as_pointer())

    def product(values: Any, tap: Any) -> Any:
        factor = builder.insert_element(nothing, builder.load(builder.gep(kernel.data, [tap])), lowest)
        return builder.fmul(builder.shuffle_vector(factor, nothing, every_lane), values)

    def add(value: Any, vector: int) -> None:
        builder.store(builder.fadd(builder.load(sums[vector]), value), sums[vector])

    def add_fours(first: Any, last: Any, vectors: range) -> None:
        """Multiply the vectors of the signal from `first` to before `last`, for some vectors of outputs."""
        with cgutils.for_range_slice(builder, first, last, ir.Constant(number, GROUP), number) as (place, _):
            four = [builder.load(vector_at(begin, after(place, i)), align=4) for i in range(GROUP)]
            for vector in vectors:
                a, b, c, d = (
                    product(values, after(place, i - LANES * vector)) for i, values in enumerate(four)
                )
                add(builder.fadd(builder.fadd(a, b), builder.fadd(c, d)), vector)

    places = [ir.Constant(number, LANES * vector) for vector in range(VECTORS)]
    sums = [
        cgutils.alloca_once_value(builder, builder.load(vector_at(end, place), align=4)) for place in places
    ]
    for vector in range(VECTORS - 1):  # the first vectors of outputs begin earlier, and end earlier
        add_fours(places[vector], places[vector + 1], range(vector + 1))
    add_fours(places[-1], fours, range(VECTORS))
    for vector in range(VECTORS - 1):
        more = LANES * vector
        add_fours(after(fours, more), after(fours, more + LANES), range(vector + 1, VECTORS))
    with cgutils.for_range_slice(builder, fours, taps, ir.Constant(number, 1), number) as (tap, _):
        for vector in range(VECTORS):
            values = builder.load(vector_at(begin, after(tap, LANES * vector)), align=4)
            add(product(values, tap), vector)
    for total, place in zip(sums, places, strict=True):
        builder.store(builder.load(total), vector_at(end, place), align=4)
    return context.get_dummy_value()


def _typed_tile(typing: Any, signal: Any, at: Any, kernel: Any, output: Any, to: Any) -> Any:
    """Add `TILE` correlations from sample `at` of the signal to the output from `to` on.

    There must be at least `FEWEST_TAPS` taps.
    """
    if any(array != types.float32[::1] for array in (signal, kernel, output)):
        raise TypingError("correlate takes contiguous arrays of 32-bit numbers")
    return types.void(signal, at, kernel, output, to), _emit_tile


def _tile_by_numpy(signal: Trace, at: int, kernel: Trace, output: Trace, to: int) -> None:
    output[to : to + TILE] += np.correlate(signal[at : at + TILE + len(kernel) - 1], kernel, "valid")


_tile: Any = _tile_by_numpy if config.DISABLE_JIT else intrinsic(_typed_tile)


# Numba's decorator has no types.
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
    if taps < FEWEST_TAPS:
        longer = np.zeros(FEWEST_TAPS, np.float32)
        for j in range(taps):
            longer[j] = kernel[j]
        kernel = longer
    last = len(signal) - TILE - len(kernel) + 1  # first sample of the last tile for which the signal suffices
    for first in range(0, samples, TILE):
        source, at, sums, to = signal, first, output, first
        short = first > last or first + TILE > samples
        if short:  # zeros after the end of the signal
            source, at, sums, to = np.zeros(TILE + len(kernel), np.float32), 0, np.zeros(TILE, np.float32), 0
            for i in range(min(len(source), len(signal) - first)):
                source[i] = signal[first + i]
            for i in range(min(TILE, samples - first)):
                sums[i] = output[first + i]
        _tile(source, at, kernel, sums, to)
        if short:
            for i in range(min(TILE, samples - first)):
                output[first + i] = sums[i]
