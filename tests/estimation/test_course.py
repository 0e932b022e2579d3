"""How sizes and noise change over a recording: each block has its own, and together they cover all of it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from spikesorter.estimation.course import STEADY, Course, noise_levels

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


def said(sizes: list[float], levels: tuple[float, ...] = (1.0,)) -> list[str]:
    other = np.ones(len(sizes))
    return Course(np.array([other, sizes]).T, np.array(levels)).remarks({0: "a", 1: "b"})


@pytest.mark.parametrize(
    ("sizes", "words"),
    [
        ([1.0, 0.7], "1.00 to 0.70 times their labelled size; the smallest may be missed"),
        ([0.7, 1.0], "0.70 to 1.00 times their labelled size; the smallest may be missed"),
        ([1.0, 1.4], "1.00 to 1.40 times their labelled size; they may resemble other units"),
        ([1.0, 0.5, 1.0], "1.00 to 0.50 to 1.00 times their labelled size; the smallest may be missed"),
        ([1.0, 1.6, 1.1], "1.00 to 1.60 to 1.10 times their labelled size; they may resemble"),
        ([1.0, 0.5, 0.5, 0.5], "1.00 to 0.50 times"),
        ([2.0, 0.5], "2.00 to 0.50 times their labelled size; the smallest may be missed"),
    ],
)
def test_a_remark_names_the_unit_and_how_far_its_size_goes(sizes: list[float], words: str) -> None:
    (remark,) = said(sizes)
    assert remark.startswith(f"unit b: spikes have {words}")


@pytest.mark.parametrize("sizes", [[1.0], [1.0, 0.8], [1.0, 1.3], [0.76, 1.34]])
def test_small_changes_are_not_worth_a_remark(sizes: list[float]) -> None:
    assert said(sizes) == []


def test_noise_is_remarked_on_where_it_is_half_as_strong_again() -> None:
    assert said([1.0], levels=(1.0, 1.45, 1.0)) == []
    assert said([1.0], levels=(1.0, 2.0, 0.8)) == [
        "the noise is 2.5 times as strong in some parts as in others"
    ]
    assert len(said([0.5], levels=(1.0, 2.0))) == 2


def test_only_named_units_are_remarked_on_and_a_single_column_holds_for_all() -> None:
    assert Course(np.full((2, 3), 0.5)).remarks({2: "c"}) == [
        "unit c: spikes have 0.50 to 0.50 times their labelled size; the smallest may be missed"
    ]
    assert len(Course(np.full((1, 1), 0.5)).remarks({0: "a", 4: "e"})) == 2
    assert STEADY.remarks({0: "a", 7: "h"}) == []


@pytest.mark.parametrize(("louder", "blocks"), [(1.15, 1), (1.4, 2)])
def test_noise_is_steady_up_to_a_quarter(louder: float, blocks: int) -> None:
    noise = np.random.default_rng(0).standard_normal((80_000, 1)).astype(np.float32)
    noise[40_000:] *= louder
    assert noise_levels(noise, 2).shape == (blocks,)
