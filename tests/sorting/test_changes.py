"""A target whose units change their size, or whose noise changes, is described as such; others as steady."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from spikesorter.core.settings import Settings
from spikesorter.core.spikes import Spikes
from spikesorter.estimation.context import Context
from spikesorter.estimation.course import Course
from spikesorter.estimation.estimate import estimate_initially
from spikesorter.estimation.labelled import Labelled
from spikesorter.estimation.profile import Profile, conditioning_kernel
from spikesorter.estimation.size_evidence import SizeFit
from spikesorter.estimation.units import learn_units
from spikesorter.signal.gain import Activity, Background
from spikesorter.signal.templates import Templates, plant
from spikesorter.sorting.changes import _agreed, _with_ratios, track_changes, with_noise_levels
from spikesorter.sorting.sizes import MeasuredSizes, measure_sizes
from tests.conftest import FS_HZ

pytestmark = pytest.mark.slow

SETTINGS = Settings()
SECONDS = 20
N = int(SECONDS * FS_HZ)
T = np.arange(40) - 10
SHAPES = Templates(
    (1, 2, 3),
    np.stack(
        [size * np.where(T > 0, T / tau * np.exp(1 - T / tau), 0) for size, tau in ((14, 4), (9, 7), (5, 5))]
    ).astype(np.float32)[:, :, None],
    before=10,
)  # the third is not always labelled


def made(
    seed: int,
    *,
    last: tuple[float, float] = (1.0, 1.0),
    rates: tuple[float, float] = (10, 10),
    noise: float = 1.0,
    gain: float = 1.0,
    labelled: int = 2,
) -> tuple[npt.NDArray[np.float32], Spikes]:
    """Two labelled units whose sizes change in proportion to time, and noise that steps half-way."""
    rng = np.random.default_rng(seed)
    counts = [int(rate * SECONDS) for rate in (*rates, 20)]
    spikes = Spikes.from_arrays(rng.integers(100, N - 200, sum(counts)), np.repeat([1, 2, 3], counts))
    ends = np.array([*last, 1.0])[spikes.unit - 1]
    sizes = gain * (1 + (ends - 1) * spikes.sample / N) * (1 + 0.1 * rng.standard_normal(len(spikes)))
    hiss = rng.standard_normal((N, 1), dtype=np.float32)
    hiss[N // 2 :] *= noise
    return plant(N, spikes, sizes.astype(np.float32), SHAPES) + hiss, spikes.select(spikes.unit <= labelled)


def learnt(labelled: int) -> tuple[Context, Labelled]:
    trace, labels = made(1, labelled=labelled)
    kernel = conditioning_kernel(SETTINGS.conditioning, FS_HZ)
    units = learn_units(trace, labels, SETTINGS.templates, kernel=kernel, fs_hz=FS_HZ)
    context = Context.of(units, SETTINGS, fs_hz=FS_HZ)
    return context, Labelled(trace, labels, estimate_initially(trace, context).profile)


@pytest.fixture(scope="module")
def known() -> tuple[Context, Labelled]:
    return learnt(2)


@pytest.fixture(scope="module")
def all_known() -> tuple[Context, Labelled]:
    return learnt(3)


def tracked(
    known: tuple[Context, Labelled], trace: npt.NDArray[np.float32], *, gain: float = 1.0, **changed: object
) -> Profile:
    context, labelled = known
    profile = estimate_initially(trace, context).profile
    profile = replace(profile, activity=replace(profile.activity, gain=gain))
    profile = with_noise_levels(trace, replace(profile, **changed), context)  # type: ignore[arg-type]
    return track_changes(trace, profile, context, labelled).profile


def test_what_does_not_change_is_steady(known: tuple[Context, Labelled]) -> None:
    assert tracked(known, made(2)[0]).course.steady


@pytest.mark.parametrize("last", [(0.5, 1.0), (1.0, 1.5)])
def test_sizes_are_followed_each_for_itself(
    known: tuple[Context, Labelled], last: tuple[float, float]
) -> None:
    course = tracked(known, made(3, last=last)[0]).course
    ends = course.sizes_at(np.array([0, N - 1, 0, N - 1]), np.array([0, 0, 1, 1]), n_samples=N)
    expected = np.array([1, last[0], 1, last[1]])
    np.testing.assert_allclose(ends, expected, atol=0.2)
    steady = np.array(last) == 1
    assert np.all(course.sizes[:, :2][:, steady] == 1)


@pytest.mark.parametrize("last", [(0.5, 0.5), (0.5, 1.0)])
def test_a_change_that_is_followed_is_no_fluctuation_of_the_gain(
    all_known: tuple[Context, Labelled], last: tuple[float, float]
) -> None:
    """Before sizes are followed, the spread of amplitudes contains it, and units of one shape are mixed."""
    trace, _ = made(3, last=last)
    rates = tuple(all_known[0].units.rates.tolist())
    spread = tracked(all_known, trace, activity=Activity(1.0, rates, wander=0.25))
    assert spread.course.sizes.size > 1
    assert spread.activity.wander < 0.1
    assert tracked(all_known, trace, activity=Activity(1.0, rates, wander=0.01)).activity.wander <= 0.01


def test_a_fluctuation_of_a_target_whose_units_do_not_change_stays(
    all_known: tuple[Context, Labelled],
) -> None:
    spread = Activity(1.0, tuple(all_known[0].units.rates.tolist()), wander=0.25)
    assert tracked(all_known, made(2)[0], activity=spread).activity.wander == 0.25


def test_an_inverted_target_is_followed_too(known: tuple[Context, Labelled]) -> None:
    course = tracked(known, made(3, last=(0.5, 1.0), gain=-1.0)[0], gain=-1.0).course
    ends = course.sizes_at(np.array([0, N - 1, 0, N - 1]), np.array([0, 0, 1, 1]), n_samples=N)
    np.testing.assert_allclose(ends, [1, 0.5, 1, 1], atol=0.2)


def test_noise_is_followed(known: tuple[Context, Labelled]) -> None:
    course = tracked(known, made(4, noise=2.0)[0]).course
    assert course.levels[-1] / course.levels[0] == pytest.approx(2, rel=0.1)
    assert np.mean(course.levels**2) == pytest.approx(1)


def test_rates_that_the_pursuit_got_wrong_are_corrected(known: tuple[Context, Labelled]) -> None:
    """With background spikes its model does not hold; the heights of events correct what it counts."""
    context, _ = known
    misled = Activity(1.0, tuple((3 * context.units.rates).tolist()))
    corrected = tracked(known, made(5, rates=(5, 20))[0], activity=misled, background=Background(1e-6, 0.1))
    ratios = np.array(corrected.activity.rates) / context.units.rates
    np.testing.assert_allclose(ratios, [0.5, 2.0], rtol=0.25)


def test_rates_are_the_pursuit_s_where_its_model_holds(known: tuple[Context, Labelled]) -> None:
    trace, _ = made(5, rates=(5, 20))
    before = estimate_initially(trace, known[0]).profile.activity
    assert tracked(known, trace).activity.rates == before.rates


def test_the_rate_of_a_unit_that_nothing_shows_is_drawn_to_the_labelled_one(
    known: tuple[Context, Labelled],
) -> None:
    """A faint unit: the heights say nothing, and the pursuit explains noise by its spikes."""
    context, labelled = known
    fit = SizeFit(Course(), False, 0.0, (1, 2), np.array([1.0, 1.0, 0.0]), np.array([0.1, 0.05, 9.0]))
    misled = Activity(1.0, tuple((np.array([1.0, 4.0]) * context.units.rates).tolist()))
    profile = replace(labelled.profile, activity=misled, background=Background(1e-6, 0.1))
    ratios = np.array(_with_ratios(profile, context, labelled, fit)) / context.units.rates
    np.testing.assert_allclose(ratios, [1.0, 4.0**0.8], rtol=0.05)


def test_sizes_measured_with_units_that_the_labels_leave_out_are_not_believed(
    known: tuple[Context, Labelled],
) -> None:
    """The pursuit takes the third unit's spikes for small ones of the others."""
    trace, _ = made(3, last=(0.5, 1.0))
    profile = estimate_initially(trace, known[0]).profile
    profile = replace(profile, activity=replace(profile.activity, gain=1.0))
    measured = measure_sizes(trace, profile, known[0], blocks=2, n_jobs=1)
    assert measured.changing[1]
    assert np.abs(measured.sizes[:, 1] - 1).max() > 0.3
    np.testing.assert_array_equal(tracked(known, trace).course.sizes[:, 1], 1)


@pytest.mark.parametrize(
    ("worse", "fixed", "believed"), [(40.0, False, True), (10.0, False, False), (40.0, True, False)]
)
def test_sizes_from_heights_stand_against_measured_ones_where_the_target_is_more_like_them(
    known: tuple[Context, Labelled], worse: float, fixed: bool, believed: bool
) -> None:
    """As with unlabelled units, which the pursuit takes for spikes of the usual size."""
    heights = Course(np.array([[0.9, 1.0], [0.6, 1.0]]))
    profile = replace(known[1].profile, course=heights)
    measured = MeasuredSizes(np.ones((2, 2)), np.full((2, 2), 0.01), np.ones(2, bool))
    comparison: Any = SimpleNamespace(
        distance=lambda profile: 100.0 if profile.course is heights else 100.0 + worse
    )
    found = _agreed(comparison, profile, measured, fixed=fixed)
    assert (found.profile.course is heights) == believed
    assert found.profile.course.steady != believed
    assert found.misfit == (100.0 if believed else 100.0 + worse)
