"""Which rehearsal is made for what: planted or grafted, how long, from which random numbers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from spikesorter.core.settings import Settings, load_settings
from spikesorter.core.spikes import Spikes
from spikesorter.estimation.context import FORECAST, TUNE, Context
from spikesorter.estimation.labelled import Labelled
from spikesorter.estimation.profile import Profile, conditioning_kernel
from spikesorter.estimation.rehearser import Rehearser
from spikesorter.estimation.units import Units
from spikesorter.signal.gain import Activity, Background
from spikesorter.signal.noise import NoiseSpectrum, synthesise_noise
from spikesorter.signal.templates import Templates, plant
from tests.conftest import FS_HZ, poisson_spikes

SETTINGS = load_settings(assignments=["rehearsal.tuning_seconds=3", "rehearsal.forecast_seconds=2"])
N_SAMPLES = 60_000


def white(variance: float) -> NoiseSpectrum:
    return NoiseSpectrum.independent(np.full((1025, 1), variance))


def profile_with(variance: float, *, gain: float = 1.0, **others: object) -> Profile:
    activity = Activity(gain, (5e-4, 5e-4))
    return Profile(np.zeros(1), np.ones(1, np.float32), white(variance), activity, **others)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def units(shapes: Templates) -> Units:
    intervals = np.random.default_rng(0).exponential(2000, 60).astype(np.float32)
    ones = np.ones(60, np.float32)
    return Units(shapes, (ones, ones), (intervals, intervals), np.array([5e-4, 5e-4]), ("a", "b"))


@pytest.fixture(scope="module")
def labelled(shapes: Templates) -> Labelled:
    rng = np.random.default_rng(1)
    spikes = poisson_spikes(rng, n_samples=N_SAMPLES, count=60)
    trace = plant(N_SAMPLES, spikes, np.ones(60, np.float32), shapes)
    return Labelled(trace + synthesise_noise(white(0.01), N_SAMPLES, rng), spikes, profile_with(0.01))


def rehearser(
    units: Units, labelled: Labelled | None, settings: Settings = SETTINGS, *, variance: float = 0.04
) -> Rehearser:
    return Rehearser(Context.of(units, settings, fs_hz=FS_HZ), profile_with(variance), labelled)


@pytest.mark.parametrize(
    ("changes", "with_labels", "grafts", "cross_fits", "published"),
    [
        ([], True, True, True, False),
        ([], False, False, False, False),
        (["rehearsal.method=plant"], True, False, False, False),
        (["tuning.on=labelled"], True, True, False, True),
        (["tuning.on=labelled", "rehearsal.method=plant"], True, False, False, True),
    ],
)
def test_rehearsals_are_grafted_if_there_are_labels_and_the_settings_say_so(
    changes: list[str],
    with_labels: bool,
    grafts: bool,
    cross_fits: bool,
    published: bool,
    units: Units,
    labelled: Labelled,
) -> None:
    made = rehearser(units, labelled if with_labels else None, SETTINGS.replace(changes))
    assert (made.grafts, made.cross_fits, made.published) == (grafts, cross_fits, published)


def test_a_graft_has_the_labels_and_a_planted_one_has_others(units: Units, labelled: Labelled) -> None:
    graft = rehearser(units, labelled).rehearse(2.0, np.random.default_rng(0))
    assert graft.spikes.within(0, N_SAMPLES) == labelled.spikes
    longer = rehearser(units, labelled).rehearse(7.0, np.random.default_rng(0))
    assert [len(made.trace) for made in (graft, longer)] == [N_SAMPLES, 3 * N_SAMPLES]
    planted = rehearser(units, None).rehearse(2.0, np.random.default_rng(0))
    assert len(planted.trace) == 2 * FS_HZ
    assert planted.spikes != labelled.spikes


def often(made: Rehearser, *ratios: float) -> Rehearser:
    """The same for a target whose units fire that much more often than when labelled."""
    rates = tuple((np.array(ratios) * made.context.units.rates).tolist())
    return replace(made, profile=replace(made.profile, activity=Activity(1.0, rates)))


def test_a_graft_has_more_spikes_of_units_that_fire_more_often(units: Units, labelled: Labelled) -> None:
    made = often(rehearser(units, labelled), 3.0, 1.0)
    graft, plain = (
        one.rehearse(20.0, np.random.default_rng(0)) for one in (made, rehearser(units, labelled))
    )
    assert graft.added_rates == pytest.approx((1e-3, 0.0))
    counts, before = graft.spikes.counts(), plain.spikes.counts()
    assert counts[2] == before[2]
    assert (counts[1] - before[1]) / len(graft.trace) == pytest.approx(1e-3, rel=0.15)
    added = np.concatenate([graft.spikes.of(1).sample, graft.spikes.of(2).sample])
    assert np.isin(plain.spikes.sample, added).all()
    planted = graft.trace - plain.trace
    np.testing.assert_allclose(graft.clean - plain.clean, planted, atol=1e-5)
    new = graft.spikes.of(1).sample[~np.isin(graft.spikes.of(1).sample, plain.spikes.of(1).sample)]
    again = plant(len(planted), Spikes.from_arrays(new, np.ones(len(new))), np.ones(len(new), np.float32),
                  units.templates)  # fmt: skip
    np.testing.assert_allclose(planted, again, atol=1e-4)


def test_rates_beyond_reason_are_not_believed(units: Units, labelled: Labelled) -> None:
    graft = often(rehearser(units, labelled), 100.0, 1.0).rehearse(2.0, np.random.default_rng(0))
    assert graft.added_rates[0] == pytest.approx(3 * units.rates[0])


@pytest.mark.parametrize("ratios", [(1.05, 0.5), (1.0, 1.0)])
def test_no_spikes_are_added_of_units_that_fire_no_more_often(
    ratios: tuple[float, float], units: Units, labelled: Labelled
) -> None:
    graft = often(rehearser(units, labelled), *ratios).rehearse(2.0, np.random.default_rng(0))
    assert graft.added_rates == ()
    assert graft.spikes.within(0, N_SAMPLES) == labelled.spikes


def test_none_are_added_beside_background_spikes(units: Units, labelled: Labelled) -> None:
    made = often(rehearser(units, labelled), 3.0, 3.0)
    made = replace(made, profile=replace(made.profile, background=Background(rate=1e-3, amplitude=0.2)))
    assert made.rehearse(2.0, np.random.default_rng(0)).added_rates == ()


def test_none_are_added_where_waveforms_vary_or_labels_have_a_dead_time(
    units: Units, labelled: Labelled
) -> None:
    apart = np.arange(500, N_SAMPLES - 500, 100)
    fast = Spikes.from_arrays(apart, 1 + np.random.default_rng(3).integers(0, 2, len(apart)))
    for other in (replace(labelled, variance_left=1.0), replace(labelled, spikes=fast)):
        graft = often(rehearser(units, other), 3.0, 3.0).rehearse(2.0, np.random.default_rng(0))
        assert graft.added_rates == ()
        assert graft.spikes.within(0, N_SAMPLES) == other.spikes


def test_the_published_pipeline_is_tuned_on_the_labelled_spikes_alone(
    units: Units, labelled: Labelled
) -> None:
    made = often(rehearser(units, labelled, SETTINGS.replace(["tuning.on=labelled"])), 3.0, 3.0)
    assert made.rehearse(2.0, np.random.default_rng(0)).spikes == labelled.spikes


def test_rehearsals_are_as_long_as_set_and_each_has_its_own_numbers(units: Units, labelled: Labelled) -> None:
    made = rehearser(units, None)
    tuning, forecast = made.for_tuning(), made.for_forecast()
    assert (len(tuning.trace), len(forecast.trace)) == (3 * FS_HZ, 2 * FS_HZ)
    assert tuning.spikes.within(0, 50_000) != forecast.spikes.within(0, 50_000)
    for again in (made.for_tuning(), made.rehearse(3.0, made.context.rng(*TUNE))):
        np.testing.assert_array_equal(again.trace, tuning.trace)
        assert again.spikes == tuning.spikes
    np.testing.assert_array_equal(made.plant(2.0, made.context.rng(*FORECAST)).trace, forecast.trace)
    other = rehearser(units, None, SETTINGS.replace(["seed=1"])).for_tuning()
    assert other.spikes != tuning.spikes


def test_a_forecast_is_planted_even_where_tuning_is_grafted(units: Units, labelled: Labelled) -> None:
    made = rehearser(units, labelled)
    assert made.for_tuning().spikes.within(0, N_SAMPLES) == labelled.spikes
    assert made.for_forecast().spikes.within(0, 50_000) != labelled.spikes.within(0, 50_000)


def test_a_rehearsal_is_never_shorter_than_can_be_sorted(units: Units) -> None:
    short = rehearser(units, None).plant(1e-3, np.random.default_rng(0))
    assert 1000 < len(short.trace) < FS_HZ


def test_the_published_pipeline_tunes_on_the_labelled_recording_itself(
    units: Units, labelled: Labelled
) -> None:
    made = rehearser(units, labelled, SETTINGS.replace(["tuning.on=labelled"]))
    tuning = made.for_tuning()
    assert tuning.trace is labelled.trace
    assert (tuning.spikes, tuning.period) == (labelled.spikes, N_SAMPLES)
    assert (
        len(made.rehearse(1.0, np.random.default_rng(0)).trace) == N_SAMPLES
    )  # whole, however long is asked


def test_of_a_long_labelled_recording_the_middle_is_rehearsed(units: Units, labelled: Labelled) -> None:
    short = SETTINGS.replace(["rehearsal.tuning_seconds=1.1", "rehearsal.forecast_seconds=1.1"])
    most = int(2.2 * FS_HZ)
    made = rehearser(units, labelled, short).rehearse(1.0, np.random.default_rng(0))
    start = (N_SAMPLES - most) // 2
    assert made.period == most
    expected = labelled.spikes.within(start, start + most).shifted(-start)
    assert made.spikes.within(0, most) == expected


@pytest.mark.parametrize("with_labels", [True, False])
@pytest.mark.parametrize(("variance", "gain"), [(0.04, 1.0), (0.08, -2.0)])
def test_a_rehearsals_noise_is_the_targets(
    with_labels: bool, variance: float, gain: float, units: Units, labelled: Labelled
) -> None:
    """Of a graft: what is added, and what the labelled recording had."""
    made = rehearser(units, labelled if with_labels else None)
    made = replace(made, profile=profile_with(variance, gain=gain))
    power = made.noise_power(made.for_tuning())
    low = power[20:400].mean()  # passed by the conditioning
    assert low == pytest.approx(variance, rel=0.15)


def test_units_vary_if_their_spikes_leave_much_beside_the_targets_noise(
    units: Units, labelled: Labelled
) -> None:
    for left, variance, varies in ((0.0, 0.04, False), (0.01, 0.04, True), (0.01, 0.06, False)):
        some = replace(labelled, variance_left=left)
        made = rehearser(units, some, variance=variance)
        assert made.units_vary == varies
        assert some.varies_beyond(made.profile) == pytest.approx(left / variance)
        louder = replace(made, profile=profile_with(variance, gain=-3.0))
        assert some.varies_beyond(louder.profile) == pytest.approx(9 * left / variance)
        assert louder.units_vary == (left > 0)
        for changes in ("rehearsal.method=plant", "tuning.on=labelled"):
            assert not rehearser(units, some, SETTINGS.replace([changes]), variance=variance).units_vary
    assert not rehearser(units, None).units_vary


def test_whether_labelled_units_vary_does_not_depend_on_the_target(units: Units, labelled: Labelled) -> None:
    for left, varies in ((0.0, False), (0.01, True)):
        some = replace(labelled, variance_left=left, profile=profile_with(0.04))
        for variance in (0.01, 100.0):
            assert rehearser(units, some, variance=variance).labelled_units_vary == varies
    some = replace(labelled, variance_left=0.01, profile=profile_with(0.04))
    assert not rehearser(units, some, SETTINGS.replace(["tuning.on=labelled"])).labelled_units_vary
    assert not rehearser(units, None).labelled_units_vary


def test_a_context_measures_time_in_samples_and_filters_alike(units: Units) -> None:
    context = Context.of(units, SETTINGS, fs_hz=FS_HZ)
    np.testing.assert_array_equal(context.kernel, conditioning_kernel(SETTINGS.conditioning, FS_HZ))
    assert (context.samples(0.4), context.samples(2.4)) == (10, 60)
    assert context.whitening_reach == context.samples(SETTINGS.matched_filter.whitening_reach_ms)
    impulse = np.zeros((3001, 1), np.float32)
    impulse[1500] = 1
    half = len(context.kernel) // 2
    seen = context.conditioned(impulse)[1500 - half : 1501 + half, 0]
    np.testing.assert_allclose(seen, context.kernel, atol=1e-6)
    assert context.templates.before == units.templates.before + half
    assert context.templates is context.templates  # made once


def test_a_unit_that_seems_silent_may_still_fire(units: Units) -> None:
    context = Context.of(units, SETTINGS, fs_hz=FS_HZ)
    silent = profile_with(1.0)
    silent = Profile(silent.offset, silent.scale, silent.noise, Activity(1.0, (0.0, 2e-3)))
    np.testing.assert_allclose(np.exp(context.log_odds(silent)), [0.02 * 5e-4, 2e-3])


def test_spikes_are_rehearsed_at_the_profiles_gain(units: Units) -> None:
    context = Context.of(units, SETTINGS, fs_hz=FS_HZ)
    peaks = {}
    for gain in (1.0, -0.5):
        made = Rehearser(context, profile_with(0.04, gain=gain), None).for_forecast()
        peaks[gain] = made.clean[np.abs(made.clean).argmax(), 0]
    assert peaks[-0.5] == pytest.approx(-0.5 * peaks[1.0], rel=0.25)
    assert Spikes.empty() != made.spikes
