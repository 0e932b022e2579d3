"""The sizes of units are followed over a target, and stay 1 where they are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from spikesorter.estimation.context import Context
from spikesorter.estimation.course import Course
from spikesorter.estimation.estimate import estimate_initially
from spikesorter.estimation.profile import Profile, conditioning_kernel
from spikesorter.estimation.units import learn_units
from spikesorter.signal.gain import Activity
from spikesorter.sorting.sizes import MeasuredSizes, measure_sizes
from tests.conftest import FS_HZ
from tests.sorting.test_changes import SETTINGS, made

BLOCKS = 4


@pytest.fixture(scope="module")
def known() -> Context:
    trace, labels = made(1, labelled=3)
    kernel = conditioning_kernel(SETTINGS.conditioning, FS_HZ)
    units = learn_units(trace, labels, SETTINGS.templates, kernel=kernel, fs_hz=FS_HZ)
    return Context.of(units, SETTINGS, fs_hz=FS_HZ)


def profile_of(trace: np.ndarray, context: Context) -> Profile:
    profile = estimate_initially(trace, context).profile
    rates = tuple(context.units.rates.tolist())
    return replace(profile, activity=Activity(1.0, rates, profile.activity.wander))


def followed(context: Context, **change: object) -> np.ndarray:
    trace, _ = made(2, **change)  # type: ignore[arg-type]
    profile = profile_of(trace, context)
    measured = measure_sizes(trace, profile, context, blocks=BLOCKS, n_jobs=1)
    return np.asarray(measured.followed(profile.course).sizes)


@pytest.mark.slow
def test_units_that_do_not_change_are_left_alone(known: Context) -> None:
    assert followed(known).size == 1


@pytest.mark.slow
def test_a_unit_that_fades_is_followed_and_the_other_is_not_touched(known: Context) -> None:
    sizes = followed(known, last=(0.5, 1.0))
    np.testing.assert_allclose(sizes[:, 0], [0.94, 0.81, 0.69, 0.56], atol=0.05)
    np.testing.assert_array_equal(sizes[:, 1], 1)


@pytest.mark.slow
def test_units_may_change_in_opposite_directions(known: Context) -> None:
    sizes = followed(known, last=(0.6, 1.4))
    np.testing.assert_allclose(sizes[:, 0], [0.95, 0.85, 0.75, 0.65], atol=0.06)
    np.testing.assert_allclose(sizes[:, 1], [1.05, 1.15, 1.25, 1.35], atol=0.08)


@pytest.mark.slow
def test_a_unit_is_followed_through_noise_that_rises(known: Context) -> None:
    trace, _ = made(3, last=(0.5, 1.0), noise=2.0)
    steps = replace(profile_of(trace, known), course=Course(levels=np.array([0.63, 0.63, 1.26, 1.26])))
    found = measure_sizes(trace, steps, known, blocks=BLOCKS, n_jobs=1).followed(steps.course)
    np.testing.assert_allclose(found.sizes[:, 0], [0.94, 0.81, 0.69, 0.56], atol=0.08)
    np.testing.assert_array_equal(found.levels, steps.course.levels)


@pytest.mark.slow
def test_the_number_of_threads_does_not_matter(known: Context) -> None:
    trace, _ = made(2, last=(0.5, 1.0))
    profile = profile_of(trace, known)
    one, other = (measure_sizes(trace, profile, known, blocks=BLOCKS, n_jobs=jobs).sizes for jobs in (1, 2))
    np.testing.assert_array_equal(one, other)


def measured_as(sizes: list[list[float]], error: float = 0.02) -> MeasuredSizes:
    errors = np.full(np.shape(sizes), error)
    return MeasuredSizes(np.array(sizes), errors, np.ones(errors.shape[1], bool))


def test_sizes_are_kept_if_the_measured_ones_are_nearer_to_them_than_to_1() -> None:
    """Of the unit in the second column the heights of events told wrong, of the first they told right."""
    course = Course(np.array([[0.9, 1.2], [0.6, 1.6]]), np.array([1.0, 2.0]))
    checked = measured_as([[0.95, 1.02], [0.7, 0.98]]).checked(course)
    np.testing.assert_array_equal(checked.sizes, [[0.9, 1.0], [0.6, 1.0]])
    np.testing.assert_array_equal(checked.levels, course.levels)


def test_sizes_that_are_measured_wrong_do_not_check_others() -> None:
    """Where other units take a unit's spikes, it seems to shrink, though it grows."""
    course = Course(np.array([[1.1], [1.3]]))
    np.testing.assert_array_equal(measured_as([[0.6], [0.5]]).checked(course).sizes, course.sizes)


def test_what_is_not_clear_has_no_sizes() -> None:
    """Of `bath` 1 D6 a unit of d' 4.05 was told to shrink from 1.32 to 1."""
    course = Course(np.array([[0.9], [0.6]]))
    assert measured_as([[1.0], [1.0]]).checked(course).steady
    assert measured_as([[1.0], [1.0]], np.inf).checked(course).steady


def test_a_course_without_sizes_to_give_up_stays_as_it_is() -> None:
    course = Course(np.array([[0.9, 1.0], [0.6, 1.0]]))
    assert measured_as([[0.9, 1.0], [0.6, 1.0]]).checked(course) is course


def test_only_changes_beyond_chance_are_followed() -> None:
    course = Course(np.array([[1.0, 0.8], [1.0, 0.7]]))
    assert measured_as([[1.09, 0.95], [1.0, 1.0]]).followed(course) is course  # too small
    assert measured_as([[1.2, 1.0], [1.0, 1.0]], 0.05).followed(course) is course  # may be chance
    followed = measured_as([[1.2, 1.0], [1.0, 1.0]]).followed(course)
    np.testing.assert_array_equal(followed.sizes, [[1.2, 0.8], [1.0, 0.7]])


def test_units_without_labels_do_not_change() -> None:
    measured = replace(measured_as([[2.0, 2.0]]), labelled=np.array([False, True]))
    np.testing.assert_array_equal(measured.changing, [False, True])


def test_a_unit_is_settled_that_is_near_its_labelled_size_wherever_it_could_be_told() -> None:
    measured = measured_as([[1.0, 1.0, 1.05, 1.0], [0.96, 0.9, 1.0, 1.0]])
    measured.errors[1, 2], measured.errors[:, 3] = np.inf, np.inf
    np.testing.assert_array_equal(measured.settled, [True, False, False, True])
