"""How sizes and noise change over a recording: each block has its own, and together they cover all of it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from spikesorter.estimation.course import STEADY, Course

SIZES = hnp.arrays(np.float64, st.tuples(st.integers(1, 7), st.integers(2, 4)), elements=st.floats(0.1, 3))
FADING = Course(np.array([[1.0, 1.0], [0.5, 1.0], [0.3, 1.0]]))


@settings(max_examples=30)
@given(SIZES, st.integers(1, 10_000), st.data())
def test_a_spike_has_the_size_of_its_unit_in_its_block(
    sizes: np.ndarray, n_samples: int, data: st.DataObject
) -> None:
    count = data.draw(st.integers(0, 20))
    samples = np.array(
        data.draw(st.lists(st.integers(0, n_samples - 1), min_size=count, max_size=count)), int
    )
    columns = np.array(
        data.draw(st.lists(st.integers(0, sizes.shape[1] - 1), min_size=count, max_size=count)), int
    )
    found = Course(sizes).sizes_at(samples, columns, n_samples=n_samples)
    expected = [
        sizes[sample * len(sizes) // n_samples, column]
        for sample, column in zip(samples.tolist(), columns.tolist(), strict=True)
    ]
    assert found.tolist() == expected


def test_what_lies_beyond_the_ends_has_the_nearest_blocks_size() -> None:
    beyond = FADING.sizes_at(np.array([-5, 300, 10**6]), np.zeros(3, int), n_samples=300)
    assert beyond.tolist() == [1.0, 0.3, 0.3]


@settings(max_examples=30)
@given(SIZES)
def test_means_and_spreads_are_those_of_each_unit_over_time(sizes: np.ndarray) -> None:
    course = Course(sizes)
    assert not course.steady
    np.testing.assert_allclose(course.mean_sizes, [column.mean() for column in sizes.T])
    np.testing.assert_allclose(course.size_spreads, [column.std() / column.mean() for column in sizes.T])
    twice = Course(2 * sizes)
    np.testing.assert_allclose(twice.size_spreads, course.size_spreads, atol=1e-12)


@settings(max_examples=30)
@given(st.lists(st.floats(0.1, 5), min_size=1, max_size=9), st.integers(9, 10_000))
def test_levels_cover_every_sample_once_in_blocks_of_equal_length(
    levels: list[float], n_samples: int
) -> None:
    bounds = Course(levels=np.array(levels)).level_bounds(n_samples)
    assert [level for _, _, level in bounds] == levels
    assert [sample for first, last, _ in bounds for sample in range(first, last)] == list(range(n_samples))
    lengths = [last - first for first, last, _ in bounds]
    assert max(lengths) - min(lengths) <= 1


def test_where_nothing_changes_every_spike_has_size_one() -> None:
    assert STEADY.steady
    assert STEADY.sizes_at(np.array([0, 5, 99]), np.array([0, 3, 1]), n_samples=100).tolist() == [1, 1, 1]
    assert STEADY.level_bounds(100) == [(0, 100, 1.0)]
    assert (STEADY.mean_sizes.tolist(), STEADY.size_spreads.tolist()) == ([1], [0])


@pytest.mark.parametrize(
    ("course", "steady"),
    [
        (Course(), True),
        (Course(np.ones((1, 2))), False),
        (Course(levels=np.array([1.0, 2.0])), False),
        (FADING, False),
    ],
)
def test_a_course_is_steady_if_it_has_one_size_and_one_level(course: Course, steady: bool) -> None:
    assert course.steady == steady
