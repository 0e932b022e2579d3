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
from spikesorter.sorting.sizes import follow_sizes
from tests.conftest import FS_HZ
from tests.sorting.test_changes import SETTINGS, made

pytestmark = pytest.mark.slow

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
    profile = follow_sizes(trace, profile_of(trace, context), context, blocks=BLOCKS, n_jobs=1)
    return np.asarray(profile.course.sizes)


def test_units_that_do_not_change_are_left_alone(known: Context) -> None:
    assert followed(known).size == 1


def test_a_unit_that_fades_is_followed_and_the_other_is_not_touched(known: Context) -> None:
    sizes = followed(known, last=(0.5, 1.0))
    np.testing.assert_allclose(sizes[:, 0], [0.94, 0.81, 0.69, 0.56], atol=0.05)
    np.testing.assert_array_equal(sizes[:, 1], 1)


def test_units_may_change_in_opposite_directions(known: Context) -> None:
    sizes = followed(known, last=(0.6, 1.4))
    np.testing.assert_allclose(sizes[:, 0], [0.95, 0.85, 0.75, 0.65], atol=0.06)
    np.testing.assert_allclose(sizes[:, 1], [1.05, 1.15, 1.25, 1.35], atol=0.08)


def test_a_unit_is_followed_through_noise_that_rises(known: Context) -> None:
    trace, _ = made(3, last=(0.5, 1.0), noise=2.0)
    steps = replace(profile_of(trace, known), course=Course(levels=np.array([0.63, 0.63, 1.26, 1.26])))
    found = follow_sizes(trace, steps, known, blocks=BLOCKS, n_jobs=1).course
    np.testing.assert_allclose(found.sizes[:, 0], [0.94, 0.81, 0.69, 0.56], atol=0.08)
    np.testing.assert_array_equal(found.levels, steps.course.levels)


def test_the_number_of_threads_does_not_matter(known: Context) -> None:
    trace, _ = made(2, last=(0.5, 1.0))
    profile = profile_of(trace, known)
    one, other = (
        follow_sizes(trace, profile, known, blocks=BLOCKS, n_jobs=jobs).course.sizes for jobs in (1, 2)
    )
    np.testing.assert_array_equal(one, other)
