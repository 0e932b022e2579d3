"""Rehearsals, searches and decoders follow a course: sizes block by block, and the level of the noise."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from spikesorter.core.settings import Settings
from spikesorter.core.spikes import Spikes
from spikesorter.decoding.pursuit import make_pursuit
from spikesorter.estimation.context import Context
from spikesorter.estimation.course import Course
from spikesorter.estimation.events import PartialOutputs
from spikesorter.estimation.gain_evidence import GainComparison
from spikesorter.estimation.labelled import Labelled
from spikesorter.estimation.profile import Profile
from spikesorter.estimation.rehearsal import Rehearsal, graft_rehearsal, plant_rehearsal
from spikesorter.estimation.size_evidence import _ramps, _Search, find_sizes
from spikesorter.estimation.units import Units
from spikesorter.signal.filters import fir_filter
from spikesorter.signal.gain import Activity
from spikesorter.signal.matched import make_matched_filters
from spikesorter.signal.noise import NoiseSpectrum
from spikesorter.signal.templates import Templates, plant
from tests.conftest import FS_HZ

Trace = npt.NDArray[np.float32]
N, QUIET = 100_000, 0.1
AT = np.arange(400, N - 300, 400)
SPIKES = Spikes.from_arrays(AT, 1 + np.arange(len(AT)) % 2)
FADING = np.array([[1.0, 1.0], [0.8, 1.0], [0.6, 1.0], [0.4, 1.0]])


@pytest.fixture(scope="module")
def context() -> Context:
    t = np.arange(40) - 10
    shapes = [size * np.where(t > 0, t / tau * np.exp(1 - t / tau), 0) for size, tau in ((14, 4), (9, 7))]
    units = Units(
        templates=Templates((1, 2), np.stack(shapes).astype(np.float32)[:, :, None], before=10),
        amplitudes=(np.ones(200, np.float32),) * 2,
        intervals=(np.linspace(300, 1300, 200, dtype=np.float32),) * 2,
        rates=np.array([1 / 800, 1 / 800]),
        names=("1", "2"),
    )
    return Context.of(units, Settings(), fs_hz=FS_HZ)


def profile_of(context: Context, course: Course, *, noise: float = 1.0, gain: float = 1.0) -> Profile:
    """Of a recording with white noise of some SD, before conditioning."""
    response = np.abs(np.fft.rfft(context.kernel, 4096)) ** 2
    spectrum = NoiseSpectrum((noise**2 * response).astype(complex)[:, None, None])
    activity = Activity(gain, tuple(context.units.rates.tolist()))
    return Profile(np.zeros(1), np.ones(1, np.float32), spectrum, activity, course=course)


@pytest.fixture(scope="module")
def labelled(context: Context) -> Labelled:
    rng = np.random.default_rng(1)
    trace = plant(N, SPIKES, np.ones(len(SPIKES), np.float32), context.units.templates)
    trace += QUIET * rng.standard_normal((N, 1), dtype=np.float32)
    return Labelled(trace, SPIKES, profile_of(context, Course(), noise=QUIET))


def grafted(labelled: Labelled, context: Context, profile: Profile, *, times: float = 1) -> Rehearsal:
    rng = np.random.default_rng(2)
    return graft_rehearsal(labelled, context, profile, n_samples=int(times * N), rng=rng)


def heights(made: Rehearsal, unit: int) -> npt.NDArray[np.float64]:
    """Value of the clean trace where the template of a unit has its peak."""
    return made.clean[made.spikes.of(unit).sample + {1: 4, 2: 7}[unit], 0].astype(np.float64)


@pytest.mark.parametrize("gain", [1.0, -0.5])
def test_grafted_units_change_over_the_whole_rehearsal_not_in_each_repeat(
    gain: float, labelled: Labelled, context: Context
) -> None:
    made = grafted(labelled, context, profile_of(context, Course(FADING), gain=gain), times=3)
    assert (len(made.trace), made.period) == (3 * N, N)
    for unit, size in ((1, 14.0), (2, 9.0)):
        spikes, found = made.spikes.of(unit), heights(made, unit)
        expected = gain * size * FADING[spikes.sample * 4 // (3 * N), unit - 1]
        np.testing.assert_allclose(found, expected, atol=5 * QUIET)
    first, last = heights(made, 1)[[0, -1]]
    assert last / first == pytest.approx(0.4, abs=0.05)


def test_what_is_no_spike_is_not_resized(labelled: Labelled, context: Context) -> None:
    plain, made = (grafted(labelled, context, profile_of(context, Course(sizes), noise=2)) for sizes in
                   (np.ones((4, 2)), FADING))  # fmt: skip
    changed = np.flatnonzero(np.abs(made.clean - plain.clean)[:, 0] > 1e-4)
    assert made.spikes == plain.spikes
    own = made.spikes.of(1).sample
    near = own[np.searchsorted(own, changed + 10, "right") - 1]
    assert len(changed) > 1000
    assert np.all((changed >= near - 10) & (changed < near + 30))
    much = np.flatnonzero(np.abs(made.clean - plain.clean)[:, 0] > 0.1)
    assert much.min() > N // 4 - 50  # in the first block, the size is the labelled one
    np.testing.assert_allclose(made.trace - made.clean, plain.trace - plain.clean, atol=1e-5)


def test_sizes_of_one_change_nothing(labelled: Labelled, context: Context) -> None:
    steady, ones = (grafted(labelled, context, profile_of(context, course, noise=2)) for course in
                    (Course(), Course(np.ones((3, 2)))))  # fmt: skip
    np.testing.assert_array_equal(steady.trace, ones.trace)


def test_the_only_unit_is_resized_by_its_only_size(labelled: Labelled, context: Context) -> None:
    units = context.units
    one = replace(
        units, templates=units.templates.of((1,)), amplitudes=units.amplitudes[:1],
        intervals=units.intervals[:1], rates=units.rates[:1], names=units.names[:1],
    )  # fmt: skip
    own = Labelled(labelled.trace, SPIKES.of(1), labelled.profile)
    alone = replace(context, units=one)
    profile = replace(profile_of(context, Course(np.full((1, 1), 0.5))), activity=Activity(1.0, (1 / 800,)))
    assert np.median(heights(grafted(own, alone, profile), 1)) == pytest.approx(7, abs=0.1)


def test_spikes_cut_off_at_the_ends_keep_their_size(labelled: Labelled, context: Context) -> None:
    ends = Spikes.from_arrays([3, 500, N - 5], [1, 1, 1])
    cut = plant(N, ends, np.ones(3, np.float32), context.units.templates)
    half = profile_of(context, Course(np.full((2, 2), 0.5)))
    made = grafted(Labelled(cut, ends, labelled.profile), context, half)
    assert made.spikes == ends
    assert heights(made, 1) == pytest.approx([14, 7, 14], abs=0.05)


@pytest.mark.parametrize(
    ("times", "course", "expected"),
    [
        (3, Course(), 1),
        (3, Course(FADING), 3),
        (3, Course(levels=np.array([0.8, 1.2])), 3),
        (2.4, Course(FADING), 2),
        (0.2, Course(FADING), 1),
    ],
)
def test_a_graft_with_a_course_is_as_long_as_the_target_even_if_it_lacks_no_noise(
    times: float, course: Course, expected: int, labelled: Labelled, context: Context
) -> None:
    made = grafted(labelled, context, profile_of(context, course, noise=QUIET), times=times)
    assert len(made.trace) == expected * N
    assert len(made.spikes) == expected * len(SPIKES)
    for number in range(expected):
        assert made.spikes.within(number * N, (number + 1) * N).shifted(-number * N) == SPIKES


@pytest.mark.parametrize("graft", [True, False])
def test_the_noise_has_the_level_of_each_block(graft: bool, labelled: Labelled, context: Context) -> None:
    levels = np.array([0.5, 1.5, 1.0])
    profile = profile_of(context, Course(levels=levels), noise=2.0)
    made = grafted(labelled, context, profile) if graft else planted(context, profile)
    added = fir_filter(made.trace - made.clean, context.kernel)
    sds = [float(part[1000:-1000].std()) for part in np.array_split(added, 3)]
    there = labelled.profile.noise.variance.sum() if graft else 0.0
    wanted = np.sqrt(levels**2 * profile.noise.variance.sum() - there)
    np.testing.assert_allclose(sds, wanted, rtol=0.04)


def planted(context: Context, profile: Profile, *, n_samples: int = N) -> Rehearsal:
    return plant_rehearsal(
        context, profile, n_samples=n_samples, gain_jitter=0.0, jitter_samples=25_000,
        rng=np.random.default_rng(3),
    )  # fmt: skip


@pytest.mark.parametrize("gain", [1.0, -2.0])
def test_planted_units_change_as_the_target_s_do(gain: float, context: Context) -> None:
    steady, made = (planted(context, profile_of(context, course, gain=gain)) for course in
                    (Course(), Course(FADING)))  # fmt: skip
    assert made.spikes == steady.spikes
    blocks = made.spikes.sample * 4 // N
    gaps = np.diff(made.spikes.sample, prepend=-99, append=N + 99)
    apart = (gaps[:-1] > 40) & (gaps[1:] > 140)
    assert apart.sum() > 100
    peaks = made.spikes.sample + np.where(made.spikes.unit == 1, 4, 7)
    ratios = made.clean[peaks[apart], 0] / steady.clean[peaks[apart], 0]
    expected = FADING[blocks, made.spikes.unit - 1][apart]
    np.testing.assert_allclose(ratios, expected, atol=1e-4)


def test_the_pursuit_expects_the_mean_size_and_all_that_the_sizes_spread(context: Context) -> None:
    plain, changing = (make_pursuit(context, profile_of(context, course)) for course in
                       (Course(), Course(FADING)))  # fmt: skip
    factors = profile_of(context, Course(FADING), gain=-2.0).factors
    np.testing.assert_allclose(factors, [-1.4, -2.0], rtol=1e-6)
    energies = np.atleast_2d(changing.bank.energies)[-1] / np.atleast_2d(plain.bank.energies)[-1]
    np.testing.assert_allclose(energies, [0.7**2, 1.0], rtol=1e-3)
    added = np.sqrt(changing.spreads**2 - plain.spreads**2)
    np.testing.assert_allclose(added, [FADING[:, 0].std() / 0.7, 0.0], atol=1e-6)
    np.testing.assert_array_equal(changing.log_odds, plain.log_odds)


def comparison_of(labelled: Labelled, context: Context, profile: Profile, target: Trace) -> GainComparison:
    templates = context.templates.scaled(abs(profile.activity.gain))
    filters = make_matched_filters(templates, profile.noise, reach=context.whitening_reach)
    evidence = filters.apply(context.conditioned(target))
    return GainComparison(labelled, context, profile, filters, evidence, 2)


def varied(
    context: Context, seed: int, course: Course, *, n_samples: int, noise: float = 1.0, gain: float = 1.0
) -> tuple[Trace, Spikes]:
    """Spikes whose sizes vary, at irregular times, in noise."""
    rng = np.random.default_rng(seed)
    at = np.cumsum(150 + rng.exponential(250, n_samples // 400).astype(int))
    at = at[at < n_samples - 100]
    spikes = Spikes.from_arrays(at, rng.integers(1, 3, len(at)))
    sizes = gain * course.sizes_at(spikes.sample, spikes.unit - 1, n_samples=n_samples)
    sizes = sizes * (1 + 0.15 * rng.standard_normal(len(at)))
    hiss = noise * rng.standard_normal((n_samples, 1), dtype=np.float32)
    return plant(n_samples, spikes, sizes.astype(np.float32), context.units.templates) + hiss, spikes


@pytest.fixture(scope="module")
def varying(context: Context) -> Labelled:
    trace, spikes = varied(context, 1, Course(), n_samples=2 * N, noise=QUIET)
    return Labelled(trace, spikes, profile_of(context, Course(), noise=QUIET))


@pytest.mark.parametrize(("blocks", "times"), [(1, 1), (2, 2), (5, 2), (12, 3), (24, 3)])
def test_ramps_share_each_time_among_them(blocks: int, times: int) -> None:
    ramps = np.array(_ramps(blocks, times))
    np.testing.assert_allclose(ramps.sum(axis=0), 1)
    assert len(ramps) == times
    assert ramps[0, 0] == ramps[-1, -1] == 1
    assert np.all(ramps >= 0)


GROWING = Course(np.interp(np.arange(20), [0, 19], [0.7, 1.3])[:, None] ** [1, 0])


def test_a_labelled_unit_that_grows_does_not_make_a_steady_target_fade(context: Context) -> None:
    profile = profile_of(context, Course())
    trace, spikes = varied(context, 1, GROWING, n_samples=2 * N, noise=QUIET)
    labelled = Labelled(trace, spikes, profile_of(context, Course(), noise=QUIET))
    target, _ = varied(context, 3, Course(), n_samples=2 * N)
    fit = find_sizes(comparison_of(labelled, context, profile, target), profile, blocks=2)
    np.testing.assert_allclose(fit.course.sizes, np.ones_like(fit.course.sizes), atol=0.1)


def test_a_labelled_unit_that_grows_has_the_targets_size_in_a_graft(context: Context) -> None:
    sizes = GROWING.sizes_at(SPIKES.sample, SPIKES.unit - 1, n_samples=N).astype(np.float32)
    trace = plant(N, SPIKES, sizes, context.units.templates)
    trace += QUIET * np.random.default_rng(1).standard_normal((N, 1), dtype=np.float32)
    labelled = Labelled(trace, SPIKES, profile_of(context, Course(), noise=QUIET))
    made = grafted(labelled, context, profile_of(context, Course(FADING)))
    expected = FADING[made.spikes.of(1).sample * 4 // N, 0]
    np.testing.assert_allclose(heights(made, 1) / 14, expected, atol=0.1)


@pytest.mark.parametrize("gain", [1.0, -1.0])
def test_added_responses_are_the_outputs_on_a_graft_of_these_sizes(
    gain: float, labelled: Labelled, context: Context
) -> None:
    """The search never makes the rehearsal that it chooses; it has to be the one that is then made."""
    profile = profile_of(context, Course(), gain=gain)
    comparison = comparison_of(labelled, context, profile, labelled.trace.repeat(2, axis=0))
    search = _Search.of(comparison, profile, 4)
    response = search.response(0, FADING[:, 0] - 1) + search._steadied(0)
    sized = replace(profile, course=Course(FADING))
    made = graft_rehearsal(labelled, context, sized, n_samples=2 * N, rng=context.rng(2))
    plain = graft_rehearsal(
        labelled, context, replace(sized, course=Course(np.ones((4, 2)))), n_samples=2 * N, rng=context.rng(2)
    )
    direct = comparison.outputs(made.clean) - comparison.outputs(plain.clean)
    assert len(response) == len(search.plain) == 2 * N
    assert np.abs(direct).max() > 5
    inner = slice(200, -200)  # at the ends, a response is not cut off between the filters
    np.testing.assert_allclose(response[inner], direct[inner], atol=1e-3 * np.abs(direct).max())


HIGH = 1000  # enough for each sample to be one of an event


@pytest.mark.parametrize("gain", [1.0, -1.0])
def test_a_step_is_judged_from_the_samples_near_events_as_from_all(
    gain: float, varying: Labelled, context: Context
) -> None:
    profile = profile_of(context, Course(), gain=gain)
    target, _ = varied(context, 3, Course(), n_samples=2 * N, gain=gain)
    search = _Search.of(comparison_of(varying, context, profile, target), profile, 2)
    best, move = search.start, search._move(0, np.array([1.0, 0.5]))
    found = search._moved(best._replace(misfit=np.inf), move, 0.16)
    outputs = np.float32(-0.16) * move.response + best.outputs
    np.testing.assert_array_equal(found.outputs, outputs)
    assert found.misfit == search._misfit(outputs) != best.misfit


class Squares(_Search):
    """Search for given sizes, which are the outputs themselves but for a constant."""

    wanted = np.array([1.24, 0.6])

    def response(self, column: int, change: npt.NDArray[np.float64]) -> Trace:
        return change.astype(np.float32)[:, None]

    def _steadied(self, column: int) -> Trace:
        return np.zeros((len(self.wanted), 1), np.float32)

    def _misfit(self, outputs: Trace | PartialOutputs) -> float:
        rows = outputs.rows if isinstance(outputs, PartialOutputs) else outputs
        return float(np.square(rows[:, 0].astype(np.float64) - HIGH - self.wanted).sum())


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_sizes_are_found_in_steps_of_0_08(n_jobs: int) -> None:
    nothing: Any = None
    comparison: Any = SimpleNamespace(n_jobs=n_jobs)
    plain = np.full((2, 1), HIGH + 1, np.float32)
    search = Squares(comparison, 1.0, nothing, plain, 2)
    found = search.descend(search.start, 0)
    np.testing.assert_allclose(found.sizes, Squares.wanted, atol=1e-6)
    np.testing.assert_allclose(found.outputs[:, 0], HIGH + Squares.wanted, atol=1e-3)
    assert found.misfit == pytest.approx(0, abs=1e-6)


class Bent(Squares):
    """Search for sizes that fall and rise again, by which the misfit is better than by a steady fall."""

    wanted = np.interp(np.arange(13), [0, 6, 12], [1.0, 0.6, 0.92])
    worth = 0.0

    def _misfit(self, outputs: Trace | PartialOutputs) -> float:
        return self.worth * super()._misfit(outputs)


@pytest.mark.parametrize(("worth", "bend"), [(10.0, False), (100.0, True)])
def test_a_bend_is_found_where_it_makes_the_rehearsal_much_more_like_the_target(
    worth: float, bend: bool
) -> None:
    nothing: Any = None
    comparison: Any = SimpleNamespace(n_jobs=1)
    search = Bent(comparison, 1.0, nothing, np.full((13, 1), HIGH + 1, np.float32), 13)
    object.__setattr__(search, "worth", worth)
    sizes = search.descend(search.start, 0).sizes
    if bend:
        np.testing.assert_allclose(sizes, Bent.wanted, atol=0.09)
    else:
        np.testing.assert_allclose(np.diff(sizes, 2), 0, atol=1e-9)
        assert sizes.mean() == pytest.approx(Bent.wanted.mean(), abs=0.09)


def test_a_unit_that_is_settled_is_not_resized(varying: Labelled, context: Context) -> None:
    profile = profile_of(context, Course())
    fading = Course(np.interp(np.arange(20), [0, 19], [1.0, 0.5])[:, None] ** [1, 0])
    target, _ = varied(context, 3, fading, n_samples=2 * N)
    comparison = comparison_of(varying, context, profile, target)
    fit = find_sizes(comparison, profile, blocks=2, settled=lambda: np.array([True, False]))
    assert fit.unlike
    assert np.all(fit.course.sizes[:, :1] == 1)


def test_sizes_that_do_not_change_leave_the_course_as_it_was(varying: Labelled, context: Context) -> None:
    course = Course(levels=np.array([1.0, 1.0 + 1e-9]))
    profile = profile_of(context, course)
    target, _ = varied(context, 2, Course(), n_samples=int(2.8 * N))  # the rehearsal is shorter
    fit = find_sizes(comparison_of(varying, context, profile, target), profile, blocks=2)
    assert fit.course is course
    assert fit.unit_ids == (1, 2)
    np.testing.assert_allclose(fit.ratios[1:], 1, atol=0.2)
    assert 0.02 < fit.errors[1:].max() < 0.15


@pytest.mark.parametrize("gain", [1.0, -1.0])
def test_a_unit_that_fades_is_followed_and_the_noise_kept(
    gain: float, varying: Labelled, context: Context
) -> None:
    levels = np.array([1.0, 1.0 + 1e-9])
    profile = profile_of(context, Course(levels=levels), gain=gain)
    fading = Course(np.interp(np.arange(20), [0, 19], [1.0, 0.5])[:, None] ** [1, 0])
    target, _ = varied(context, 3, fading, n_samples=2 * N, gain=gain)
    fit = find_sizes(comparison_of(varying, context, profile, target), profile, blocks=2)
    np.testing.assert_allclose(fit.course.sizes, [[0.875, 1], [0.625, 1]], atol=0.15)
    assert np.all(fit.course.sizes[:, 1] == 1)
    assert fit.course.levels is levels
