"""What is measured of a recording without labels, and what is refused or warned of."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from spikesorter.core.errors import InputError
from spikesorter.core.settings import Settings
from spikesorter.estimation.context import Context
from spikesorter.estimation.estimate import (
    InitialEstimate,
    estimate_initially,
    estimate_profile,
    is_faint,
    with_gain,
)
from spikesorter.estimation.labelled import Labelled
from spikesorter.estimation.profile import Profile
from spikesorter.estimation.rehearsal import LEAST_SPIKES, graft_rehearsal, plant_rehearsal
from spikesorter.estimation.units import Units
from spikesorter.signal.gain import BACKGROUND_AMPLITUDES, SILENT, Activity, Background
from spikesorter.signal.noise import NoiseSpectrum, estimate_noise_spectrum, synthesise_noise
from spikesorter.signal.shot_noise import BackgroundFit, ShotNoise
from spikesorter.signal.templates import Templates, plant
from tests.conftest import FS_HZ, poisson_spikes

N_SAMPLES = 250_000
WHITE = NoiseSpectrum.independent(np.ones((1025, 1)))


@pytest.fixture(scope="module")
def context(shapes: Templates) -> Context:
    intervals = np.random.default_rng(0).exponential(500, 60).astype(np.float32)
    ones = np.ones(60, np.float32)
    units = Units(shapes, (ones, ones), (intervals, intervals), np.array([2e-3, 2e-3]), ("a", "b"))
    return Context.of(units, Settings(), fs_hz=FS_HZ)


def recording(shapes: Templates, *, gain: float = 1.0, noise: float = 0.5, count: int = 1000) -> np.ndarray:
    rng = np.random.default_rng(1)
    spikes = poisson_spikes(rng, n_samples=N_SAMPLES, count=count)
    clean = plant(N_SAMPLES, spikes, np.full(count, gain, np.float32), shapes)
    return clean + noise * synthesise_noise(WHITE, N_SAMPLES, rng)


@pytest.fixture(scope="module")
def trace(shapes: Templates) -> np.ndarray:
    return recording(shapes)


@pytest.fixture(scope="module")
def initial(trace: np.ndarray, context: Context) -> InitialEstimate:
    return estimate_initially(trace, context)


def profile_of(activity: Activity, noise: NoiseSpectrum = WHITE, **others: object) -> Profile:
    return Profile(np.zeros(1), np.ones(1, np.float32), noise, activity, **others)  # type: ignore[arg-type]


def test_noise_gain_and_rates_are_those_of_the_recording(
    initial: InitialEstimate, trace: np.ndarray, context: Context
) -> None:
    profile = initial.profile
    assert profile.noise.n_fft == context.settings.noise.n_fft
    assert profile.noise.power[20:400].mean() == pytest.approx(0.25, rel=0.05)
    assert profile.activity.gain == pytest.approx(1, rel=0.05)
    assert sum(profile.activity.rates) == pytest.approx(1000 / N_SAMPLES, rel=0.15)
    assert (profile.background, profile.hum_hz) == (SILENT, ())
    assert initial.evidence.shape == (N_SAMPLES, 2)
    np.testing.assert_array_equal(initial.evidence, initial.filters.apply(context.conditioned(
        (trace - profile.offset).astype(np.float32)
    )))  # fmt: skip
    conditioned_sd = np.sqrt(profile.noise.variance)
    np.testing.assert_allclose(profile.scale, conditioned_sd, rtol=0.15)


@pytest.mark.parametrize(("offset", "unit"), [(1000.0, 1.0), (-3.0, 20.0)])
def test_an_offset_and_another_unit_change_the_offset_the_gain_and_the_noise_alone(
    offset: float, unit: float, initial: InitialEstimate, trace: np.ndarray, context: Context
) -> None:
    found = estimate_initially(unit * trace + offset, context).profile
    plain = initial.profile
    assert found.offset[0] == pytest.approx(unit * plain.offset[0] + offset, abs=0.01 * unit)
    np.testing.assert_allclose(found.scale, unit * plain.scale, rtol=1e-3)
    np.testing.assert_allclose(found.noise.variance, unit**2 * plain.noise.variance, rtol=1e-2)
    if unit == 1:
        assert found.activity.gain == pytest.approx(plain.activity.gain, rel=0.01)


def test_whole_numbers_are_measured_as_they_are(
    initial: InitialEstimate, trace: np.ndarray, context: Context
) -> None:
    stored = np.round(100 * trace).astype(np.int16)
    found = estimate_initially(stored, context).profile
    np.testing.assert_allclose(found.scale, 100 * initial.profile.scale, rtol=0.01)
    assert found.noise.distance(initial.profile.noise.scaled(100**2)) < 0.05


@pytest.mark.parametrize(("remove", "lines"), [(True, (50.0,)), (False, ())])
def test_hum_is_found_and_removed_if_the_settings_say_so(
    remove: bool, lines: tuple[float, ...], trace: np.ndarray, context: Context
) -> None:
    hum = 2 * np.sin(2 * np.pi * 50 * np.arange(N_SAMPLES) / FS_HZ)[:, None]
    asked = replace(context, settings=context.settings.replace(conditioning={"remove_hum": remove}))
    found = estimate_initially((trace + hum).astype(np.float32), asked).profile
    assert found.hum_hz == lines


@pytest.mark.parametrize("silent_share", [0.6, 1.0])
def test_where_most_samples_are_equal_there_is_no_noise(
    silent_share: float, shapes: Templates, context: Context
) -> None:
    gated = recording(shapes, noise=0.5)
    gated[: int(silent_share * N_SAMPLES)] = 3
    with pytest.raises(InputError, match="more than half of the samples are equal, so there is no noise"):
        estimate_initially(gated, context)


def test_a_recording_too_short_for_its_noise_is_refused(trace: np.ndarray, context: Context) -> None:
    with pytest.raises(
        InputError, match=r"noise: only \d+ samples are away from spikes, but 2048 are needed"
    ):
        estimate_initially(trace[:1500], context)


def test_rates_are_estimated_again_for_another_gain(initial: InitialEstimate, context: Context) -> None:
    same = with_gain(initial, initial.profile.activity.gain, context)
    np.testing.assert_allclose(same.profile.activity.rates, initial.profile.activity.rates, rtol=1e-6)
    larger = with_gain(initial, 2.0, context)
    assert larger.profile.activity.gain == 2
    assert sum(larger.profile.activity.rates) < 0.5 * sum(same.profile.activity.rates)
    assert larger.evidence is initial.evidence
    assert larger.profile.noise is initial.profile.noise
    turned = with_gain(initial, -1.0, context)
    assert sum(turned.profile.activity.rates) < 0.2 * sum(same.profile.activity.rates)


def test_without_background_the_first_estimate_stays(initial: InitialEstimate, context: Context) -> None:
    for known in (False, True):
        assert estimate_profile(initial, context, gain_known=known) is initial.profile


@pytest.mark.parametrize(("gain", "faint"), [(1.0, False), (1e-3, True), (-1.0, False), (-1e-3, True)])
def test_a_recording_in_which_no_unit_can_be_seen_is_warned_of(
    gain: float, faint: bool, initial: InitialEstimate, caplog: pytest.LogCaptureFixture
) -> None:
    activity = replace(initial.profile.activity, gain=gain)
    changed = replace(initial, profile=replace(initial.profile, activity=activity))
    assert is_faint(changed) == faint
    assert ("do not trust the result" in caplog.text) == faint
    if faint:
        clearest = initial.filters.detectability.max() * abs(gain)
        assert f"the clearest has a d' of {clearest:.2g}" in caplog.text


def test_a_unit_of_the_least_detectability_can_be_distinguished(initial: InitialEstimate) -> None:
    filters = replace(initial.filters, detectability=np.array([0.5, 2.0]))
    half = replace(initial.profile, activity=Activity(0.5, (0.0, 0.0)))
    assert not is_faint(replace(initial, filters=filters, profile=half))


def beside_distant_spikes(shapes: Templates, *, gain: float) -> np.ndarray:
    """Return a recording with 0.03 background spikes a sample, up to 0.3 of the labelled ones."""
    rng = np.random.default_rng(2)
    distant = poisson_spikes(rng, n_samples=N_SAMPLES, count=int(0.03 * N_SAMPLES))
    sizes = (0.3 * gain * rng.choice(BACKGROUND_AMPLITUDES, len(distant))).astype(np.float32)
    return recording(shapes, gain=gain) + plant(N_SAMPLES, distant, sizes, shapes)


@pytest.mark.parametrize("known", [True, False])
def test_background_and_gain_beside_it_are_those_of_the_recording(
    known: bool, shapes: Templates, context: Context
) -> None:
    initial = with_gain(estimate_initially(beside_distant_spikes(shapes, gain=0.9), context), 1.0, context)
    found = estimate_profile(initial, context, gain_known=known)
    assert found.activity.gain == (1.0 if known else pytest.approx(0.9, rel=0.03))
    power = found.background.rate * found.background.amplitude**2
    assert power == pytest.approx(0.03 * 0.27**2, rel=0.4)
    assert sum(found.activity.rates) == pytest.approx(1000 / N_SAMPLES, rel=0.2)
    assert found.noise is initial.profile.noise


@pytest.mark.parametrize(
    ("misfits", "gain"),
    [
        ({1.1: 60.0, 1.0: 47.0, 0.9: 40.9}, 0.9),
        ({1.1: 40.0, 1.0: 46.0, 0.9: 40.1}, 1.0),  # as good as any
        ({1.1: 500.0, 1.0: 500.0, 0.9: 48.1}, 1.1),  # none explains the recording, so it stays
        ({1.1: 500.0, 1.0: 500.0, 0.9: 47.9}, 0.9),
    ],
)
def test_another_gain_has_to_explain_the_recording_and_one_is_taken_if_as_good(
    misfits: dict[float, float],
    gain: float,
    shapes: Templates,
    context: Context,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fit(gain: float) -> BackgroundFit:
        return BackgroundFit(gain, Background(0.01, 0.2), (1e-3, 1e-3), misfits[gain])

    monkeypatch.setattr(ShotNoise, "fit_background", lambda *_, gain: fit(gain))
    monkeypatch.setattr(ShotNoise, "fit_gain", lambda *_, near: fit(0.9))
    initial = with_gain(estimate_initially(beside_distant_spikes(shapes, gain=1.0), context), 1.1, context)
    assert estimate_profile(initial, context).activity.gain == gain


# Rehearsals of a profile ------------------------------------------------------------------------------------


def rehearse(context: Context, profile: Profile, *, n_samples: int = 100_000, **given: float) -> np.ndarray:
    made = plant_rehearsal(
        context,
        profile,
        n_samples=n_samples,
        gain_jitter=given.get("jitter", 0.0),
        jitter_samples=25_000,
        rng=np.random.default_rng(3),
    )
    assert len(made.trace) == len(made.clean) == made.period == n_samples
    return made  # type: ignore[return-value]


def test_even_a_silent_unit_has_some_spikes_to_be_tuned_on(context: Context) -> None:
    silent = rehearse(context, profile_of(Activity(1.0, (0.0, 0.0))))
    counts = silent.spikes.counts()  # type: ignore[attr-defined]
    assert min(counts.values()) > 0.5 * LEAST_SPIKES
    assert max(counts.values()) < 2 * LEAST_SPIKES + 20  # a tenth of their usual rate
    busy = rehearse(context, profile_of(Activity(1.0, (1e-2, 0.0)))).spikes.counts()  # type: ignore[attr-defined]
    assert busy[1] == pytest.approx(1000, rel=0.15)


@pytest.mark.parametrize("gain", [1.0, -0.4])
def test_spikes_have_the_gain_and_no_other_if_nothing_varies(
    gain: float, context: Context, shapes: Templates
) -> None:
    made = rehearse(context, profile_of(Activity(gain, (1e-3, 1e-3))))
    spikes = made.spikes  # type: ignore[attr-defined]
    expected = plant(100_000, spikes, np.full(len(spikes), gain, np.float32), shapes)
    np.testing.assert_allclose(made.clean, expected, atol=1e-4)  # type: ignore[attr-defined]


@pytest.mark.parametrize(("jitter", "wander", "spread"), [(0.3, 0.0, 0.3), (0.0, 0.3, 0.3), (0.3, 0.4, 0.5)])
def test_the_gain_changes_from_second_to_second(
    jitter: float, wander: float, spread: float, context: Context, shapes: Templates
) -> None:
    profile = profile_of(Activity(1.0, (1e-3, 1e-3), wander))
    made = rehearse(context, profile, n_samples=700_000, jitter=jitter)
    spikes, clean = made.spikes, made.clean  # type: ignore[attr-defined]
    fixed = plant(700_000, spikes, np.ones(len(spikes), np.float32), shapes)
    of_second = []
    for start in range(0, 700_000, 25_000):
        part = slice(start + 100, start + 24_900)  # no spike that began in another second
        own, plain = clean[part, 0].astype(float), fixed[part, 0].astype(float)
        factor = own @ plain / (plain @ plain)
        np.testing.assert_allclose(own[:20_000], factor * plain[:20_000], atol=0.02)
        of_second.append(factor)
    assert np.std(of_second) == pytest.approx(spread, rel=0.25)
    assert np.mean(of_second) == pytest.approx(1, abs=3 * spread / np.sqrt(28))


def test_background_spikes_are_part_of_the_noise_not_on_top_of_it(context: Context) -> None:
    """Its spectrum is that of the profile, with or without them, but it is skewed."""
    activity = Activity(1.0, (1e-4, 1e-4))
    conditioned = {}
    for name, background in (("without", SILENT), ("with", Background(0.004, 0.25))):
        loud = NoiseSpectrum.independent(np.full((1025, 1), 0.5))
        made = rehearse(context, profile_of(activity, loud, background=background), n_samples=400_000)
        conditioned[name] = context.conditioned(made.trace - made.clean)  # type: ignore[attr-defined]
    spectra = {
        name: estimate_noise_spectrum(noise, np.ones(len(noise), bool), n_fft=256).power[4:60, 0]
        for name, noise in conditioned.items()
    }
    np.testing.assert_allclose(spectra["with"], spectra["without"], rtol=0.25)
    cubes = {name: float(np.mean(noise**3)) for name, noise in conditioned.items()}
    assert cubes["with"] > 5 * abs(cubes["without"])


def test_background_spikes_have_the_rate_and_sizes_of_their_profile(context: Context) -> None:
    """Their mean is rate x mean amplitude x area of a template (Campbell)."""
    background = Background(0.01, 0.5)
    made = rehearse(
        context, profile_of(Activity(1.0, (1e-4, 1e-4)), background=background), n_samples=400_000
    )
    noise = made.trace - made.clean  # type: ignore[attr-defined]
    area = context.units.templates.waveforms.sum(axis=(1, 2)).mean()
    expected = 0.01 * 0.5 * BACKGROUND_AMPLITUDES.mean() * area
    assert noise.mean() == pytest.approx(expected, rel=0.1)


@pytest.mark.parametrize(("variance", "times"), [(1.0, 4), (0.105, 1)])
def test_a_graft_is_repeated_if_there_is_noise_to_tell_its_turns_apart(
    variance: float, times: int, context: Context, shapes: Templates
) -> None:
    rng = np.random.default_rng(5)
    spikes = poisson_spikes(rng, n_samples=30_000, count=60)
    trace = plant(30_000, spikes, np.ones(60, np.float32), shapes)
    own = profile_of(Activity(1.0, (1e-3, 1e-3)), WHITE.scaled(0.1))
    target = profile_of(Activity(-2.0, (1e-3, 1e-3)), WHITE.scaled(4 * variance))
    labelled = Labelled(trace, spikes, own)
    made = graft_rehearsal(labelled, context, target, n_samples=115_000, rng=rng)
    assert (made.period, len(made.trace)) == (30_000, times * 30_000)
    for turn in range(times):
        part = slice(turn * 30_000, (turn + 1) * 30_000)
        np.testing.assert_allclose(made.clean[part], -2 * trace, rtol=1e-6)
        assert made.spikes.within(part.start, part.stop).shifted(-part.start) == spikes
    added = context.conditioned(made.trace - made.clean)
    expected = 4 * (variance - 0.1)
    found = estimate_noise_spectrum(added, np.ones(len(added), bool), n_fft=2048).power[20:400]
    assert found.mean() == pytest.approx(expected, rel=0.15)
