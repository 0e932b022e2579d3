"""LLVM's instructions for several numbers at once, where its own vectorisation of a loop does less well.

The functions are called while Numba compiles an `intrinsic`: they write instructions, and compute nothing.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir

__all__ = ["FLOATS", "LANES", "WHOLES", "data_of", "in_all_lanes", "load_lanes"]

LANES = 16  # numbers of 32 bits; a processor with shorter registers takes several for them
FLOATS, WHOLES = ir.VectorType(ir.FloatType(), LANES), ir.VectorType(ir.IntType(32), LANES)
BYTES = 4  # an array of such numbers begins anywhere where one may


def data_of(context: Any, builder: Any, kind: Any, array: Any) -> Any:
    """Return the address of an array's first element, and write how it is found."""
    return context.make_array(kind)(context, builder, array).data


def load_lanes(builder: Any, data: Any, at: Any) -> Any:
    """Load the numbers from place `at` on."""
    address = builder.bitcast(builder.gep(data, [at]), FLOATS.as_pointer())
    return builder.load(address, align=BYTES)


def in_all_lanes(builder: Any, value: Any) -> Any:
    """Return a number as often as there are lanes."""
    one = builder.insert_element(ir.Constant(FLOATS, ir.Undefined), value, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(one, one, ir.Constant(WHOLES, [0] * LANES))
