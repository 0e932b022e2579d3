from __future__ import annotations

import numpy as np
import pytest

from spikesorter.decoding.short_sums import sum_over_last


@pytest.mark.parametrize("count", [1, 2, 5, 7, 8, 9, 20])
@pytest.mark.parametrize("shape", [(1000,), (300, 4)])
def test_sums_are_the_bytes_of_numpy(count: int, shape: tuple[int, ...], rng: np.random.Generator) -> None:
    values = (rng.standard_normal((*shape, count)) * 10.0 ** rng.integers(-3, 3, count)).astype(np.float32)
    sums = sum_over_last(values)
    assert sums.dtype == np.float32
    assert sums.tobytes() == values.sum(axis=-1).tobytes()


def test_a_sum_over_nothing_is_zero() -> None:
    np.testing.assert_array_equal(sum_over_last(np.zeros((3, 0), np.float32)), np.zeros(3))
