"""Sums over a short last axis, column by column: many times as fast as NumPy's, and the same bytes."""

from __future__ import annotations

from functools import reduce

import numpy as np
import numpy.typing as npt

__all__ = ["sum_over_last"]

FEWEST_IN_PARTS = 8  # numbers that NumPy adds in several sums at once, so in another order


def sum_over_last(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return the sums over the last axis.

    Examples
    --------
    >>> sum_over_last(np.float32([[1, 2], [3, 4]]))
    array([3., 7.], dtype=float32)
    """
    count = values.shape[-1]
    if not 0 < count < FEWEST_IN_PARTS:
        return np.asarray(values.sum(axis=-1))
    return np.asarray(reduce(np.add, (values[..., i] for i in range(count))))
