"""Profiles, front ends and rehearsals: a rehearsal must look like the target it was made for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import skew

from spikesorter.core.settings import Settings, load_settings
from spikesorter.core.spikes import Spikes
from spikesorter.decoding.front_end import FrontEnd, choose_denoise_strength, make_front_end
from spikesorter.estimation.context import Context
from spikesorter.estimation.labelled import Labelled, measure_variance_left
from spikesorter.estimation.profile import Profile, conditioning_kernel
from spikesorter.estimation.rehearsal import _background, graft_rehearsal, plant_rehearsal
from spikesorter.estimation.units import Units, learn_units
from spikesorter.signal.filters import fir_filter
from spikesorter.signal.gain import SILENT, Activity, Background
from spikesorter.signal.noise import NoiseSpectrum, estimate_noise_spectrum, quiet_samples
from spikesorter.signal.templates import Templates, plant
from spikesorter.simulate import SimulatedRecording, simulate_study
from tests.conftest import FS_HZ, profile_of, run_in_spans

SETTINGS = Settings()
KERNEL = conditioning_kernel(SETTINGS.conditioning, FS_HZ)


@pytest.fixture(scope="module")
def study() -> list[SimulatedRecording]:
    return simulate_study(units=3, seconds=10, noise_levels=(1.0,), seed=1)


@pytest.fixture(scope="module")
def units(study: list[SimulatedRecording]) -> Units:
    return learn_units(study[0].trace, study[0].spikes, SETTINGS.templates, kernel=KERNEL, fs_hz=FS_HZ)


@pytest.fixture(scope="module")
def profile(study: list[SimulatedRecording], units: Units) -> Profile:
    turned = 100 - 0.7 * study[1].trace
    return profile_of(turned, units, SETTINGS, fs_hz=FS_HZ)


def context_of(units: Units) -> Context:
    return Context.of(units, SETTINGS, fs_hz=FS_HZ)


def front_end_for(settings: Settings, units: Units, profile: Profile) -> FrontEnd:
    average = units.templates.waveforms.mean(axis=0)[:64]
    return make_front_end(Context.of(units, settings, fs_hz=FS_HZ), profile, average=average)


def test_a_profile_finds_offset_gain_polarity_and_activity(profile: Profile) -> None:
    assert profile.offset[0] == pytest.approx(100, abs=1)
    assert profile.activity.gain == pytest.approx(-0.7, rel=0.05)
    assert sum(profile.activity.rates) * FS_HZ == pytest.approx(50, rel=0.15)


def test_profiles_are_near_where_noise_and_gain_are_alike(profile: Profile) -> None:
    def changed(gain: float, noise: float) -> Profile:
        activity = Activity(profile.activity.gain * gain, profile.activity.rates)
        return replace(profile, activity=activity, noise=profile.noise.scaled(noise**2))

    assert profile.distance(profile) == pytest.approx(0, abs=1e-12)
    assert profile.distance(changed(1, 2)) == pytest.approx(np.log(2))
    assert profile.distance(changed(2, 1)) == pytest.approx(np.log(2))
    assert profile.distance(changed(-1, 1)) == np.inf


def test_a_rehearsal_has_the_targets_noise_and_size(
    study: list[SimulatedRecording], units: Units, profile: Profile, rng: np.random.Generator
) -> None:
    rehearsal = plant_rehearsal(
        context_of(units),
        profile,
        n_samples=len(study[1].trace),
        gain_jitter=0.0,
        jitter_samples=25_000,
        rng=rng,
    )
    target, trace = (fir_filter(raw, KERNEL) for raw in (-0.7 * study[1].trace, rehearsal.trace))
    clean = fir_filter(rehearsal.clean, KERNEL)
    assert trace.std() == pytest.approx(target.std(), rel=0.05)
    assert clean.min() == pytest.approx(fir_filter(-0.7 * study[0].trace, KERNEL).min(), rel=0.25)
    assert len(rehearsal.spikes) == pytest.approx(len(study[1].spikes), rel=0.15)
    quiet = quiet_samples(trace, threshold=4.5, before=60, after=170)
    noise = estimate_noise_spectrum(trace, quiet, n_fft=2048)
    assert noise.distance(profile.noise) < 0.2


def test_gain_jitter_spreads_the_sizes(units: Units, profile: Profile, rng: np.random.Generator) -> None:
    peaks = {}
    for jitter in (0.0, 0.3):
        rehearsal = plant_rehearsal(
            context_of(units), profile, n_samples=250_000, gain_jitter=jitter,
            jitter_samples=2500, rng=np.random.default_rng(0),
        )  # fmt: skip
        peaks[jitter] = rehearsal.clean.min()
    assert peaks[0.3] < 1.2 * peaks[0.0]


def test_grafting_brings_the_labelled_trace_to_the_targets_noise(
    study: list[SimulatedRecording], units: Units, rng: np.random.Generator
) -> None:
    own = profile_of(study[0].trace, units, SETTINGS, fs_hz=FS_HZ)
    target = profile_of(study[1].trace, units, SETTINGS, fs_hz=FS_HZ)
    labelled = Labelled(study[0].trace, study[0].spikes, own)
    rehearsal = graft_rehearsal(labelled, context_of(units), target, n_samples=len(labelled.trace), rng=rng)
    assert rehearsal.spikes == study[0].spikes
    trace = fir_filter(rehearsal.trace, KERNEL)
    quiet = quiet_samples(trace, threshold=4.5, before=60, after=170)
    noise = estimate_noise_spectrum(trace, quiet, n_fft=2048)
    assert noise.distance(target.noise) < 0.15
    assert noise.distance(own.noise) > 0.5


@pytest.mark.parametrize("preset", ["default", "published"])
@pytest.mark.parametrize("span_samples", [5000, 33_333])
def test_the_front_end_is_a_local_operator(
    preset: str,
    span_samples: int,
    study: list[SimulatedRecording],
    units: Units,
    profile: Profile,
) -> None:
    settings = load_settings(preset=preset, assignments=["denoise.strength=0.4"])
    front_end = front_end_for(settings, units, profile)
    trace = study[1].trace[:60_000]
    front_end = choose_denoise_strength(front_end, settings, trace=trace, clean=trace)

    whole, spans = (
        run_in_spans(front_end.features, trace, margin=front_end.margin, span_samples=samples)
        for samples in (len(trace), span_samples)
    )
    # Local unit variance divides by next to nothing where the signal beyond the ends is zero.
    inner = slice(5000, -5000) if preset == "published" else slice(None)
    np.testing.assert_allclose(spans[inner], whole[inner], atol=2e-3)


def test_features_have_unit_sd_and_point_up_whatever_the_polarity(
    study: list[SimulatedRecording], units: Units, profile: Profile
) -> None:
    front_end = front_end_for(SETTINGS, units, profile)
    turned = (-0.7 * study[1].trace).astype(np.float32)
    front_end = front_end.standardised(turned)
    features = front_end.features(turned)
    assert features.shape == (len(turned), 1 + 3)
    np.testing.assert_allclose(features.std(axis=0), 1, rtol=1e-3)
    assert np.all(skew(features) > 1)


@pytest.mark.parametrize(("kind", "columns"), [("per_unit", 4), ("average", 2), ("off", 1)])
def test_matched_filters_can_be_switched(kind: str, columns: int, units: Units, profile: Profile) -> None:
    settings = SETTINGS.replace([f"matched_filter.kind={kind}"])
    front_end = front_end_for(settings, units, profile)
    assert front_end.features(np.ones((3000, 1), np.float32)).shape == (3000, columns)


def test_the_best_denoising_strength_grows_with_the_noise(
    study: list[SimulatedRecording], units: Units, profile: Profile, rng: np.random.Generator
) -> None:
    settings = SETTINGS.replace(["denoise.strength=auto"])
    upright = replace(profile, activity=Activity(1.0, profile.activity.rates))
    front_end = front_end_for(settings, units, upright)
    clean = fir_filter(study[0].trace, KERNEL)[:200_000]
    strengths = []
    for level in (0.05, 3.0):
        noisy = (clean + level * rng.standard_normal(clean.shape)).astype(np.float32)
        strengths.append(choose_denoise_strength(front_end, settings, trace=noisy, clean=clean).strength)
    assert strengths[0] < strengths[1]
    off = choose_denoise_strength(front_end, SETTINGS, trace=clean, clean=clean)
    assert off.strength == 0


def with_background(
    trace: np.ndarray, units: Units, rng: np.random.Generator, *, rate_per_s: float, amplitude: float
) -> np.ndarray:
    n_samples = len(trace)
    count = int(rate_per_s * n_samples / FS_HZ)
    distant = Spikes.from_arrays(rng.integers(0, n_samples, count), rng.choice([1, 2, 3], count))
    amplitudes = amplitude * rng.uniform(0.2, 1, count).astype(np.float32)
    return trace + plant(n_samples, distant, amplitudes.astype(np.float32), units.templates)


def test_distant_spikes_are_noticed_and_not_taken_for_the_known_neurons(
    study: list[SimulatedRecording], units: Units, rng: np.random.Generator
) -> None:
    busy = with_background(study[1].trace, units, rng, rate_per_s=600, amplitude=0.25)
    found = profile_of(busy, units, SETTINGS, fs_hz=FS_HZ)
    assert found.activity.gain == pytest.approx(1, rel=0.05)
    assert sum(found.activity.rates) * FS_HZ == pytest.approx(50, rel=0.25)
    power = found.background.rate * FS_HZ * found.background.amplitude**2
    assert power == pytest.approx(600 * 0.25**2, rel=0.3)


def test_background_spikes_have_the_power_that_is_told(shapes: Templates, rng: np.random.Generator) -> None:
    flat = NoiseSpectrum.independent(np.ones((129, 1)))
    trace, spectrum = _background(Background(0.05, -0.5), shapes, flat, 200_000, rng)
    assert spectrum.variance == pytest.approx(trace.var(), rel=0.05)


def test_where_there_is_no_background_none_is_found(study: list[SimulatedRecording], units: Units) -> None:
    assert profile_of(study[1].trace, units, SETTINGS, fs_hz=FS_HZ).background == SILENT


@pytest.mark.slow
def test_a_rehearsal_with_background_is_skewed_like_its_target(
    study: list[SimulatedRecording], units: Units, rng: np.random.Generator
) -> None:
    n_samples = len(study[1].trace)
    noise = rng.standard_normal((n_samples, 1), dtype=np.float32)
    noise = with_background(noise, units, rng, rate_per_s=600, amplitude=0.3)
    known = plant(n_samples, study[1].spikes, np.ones(len(study[1].spikes), np.float32), units.templates)
    found = profile_of(noise + known, units, SETTINGS, fs_hz=FS_HZ)
    noise = fir_filter(noise, KERNEL)
    rehearsals = {
        name: plant_rehearsal(
            context_of(units),
            profile,
            n_samples=n_samples,
            gain_jitter=0.0,
            jitter_samples=n_samples,
            rng=rng,
        )
        for name, profile in (("with", found), ("without", replace(found, background=SILENT)))
    }
    rehearsed = {name: fir_filter(one.trace - one.clean, KERNEL) for name, one in rehearsals.items()}
    assert skew(rehearsed["with"])[0] == pytest.approx(skew(noise)[0], rel=0.2)
    assert abs(skew(rehearsed["without"])[0]) < 0.05
    assert rehearsed["with"].std() == pytest.approx(noise.std(), rel=0.1)


def test_a_graft_comes_as_often_as_it_takes_each_time_in_other_noise(
    study: list[SimulatedRecording], units: Units, rng: np.random.Generator
) -> None:
    own = profile_of(study[0].trace, units, SETTINGS, fs_hz=FS_HZ)
    target = profile_of(study[1].trace, units, SETTINGS, fs_hz=FS_HZ)
    hiding, length = np.array([500, 70_000]), len(study[0].trace)
    labelled = Labelled(study[0].trace, study[0].spikes, own, hiding=hiding)
    made = graft_rehearsal(labelled, context_of(units), target, n_samples=int(2.7 * length), rng=rng)
    assert (made.period, len(made.trace)) == (length, 3 * length)
    assert made.spikes.within(length, 2 * length).shifted(-length) == study[0].spikes
    np.testing.assert_array_equal(made.hiding, np.concatenate([hiding + k * length for k in range(3)]))
    np.testing.assert_array_equal(made.first(length + 600).hiding, [*hiding, length + 500])
    noise = (made.trace - made.clean)[:, 0]
    assert abs(np.corrcoef(noise[:length], noise[length : 2 * length])[0, 1]) < 0.05


def test_a_graft_that_lacks_no_noise_comes_once(
    study: list[SimulatedRecording], units: Units, rng: np.random.Generator
) -> None:
    own = profile_of(study[0].trace, units, SETTINGS, fs_hz=FS_HZ)
    own = replace(own, activity=replace(own.activity, gain=1.0))
    labelled = Labelled(study[0].trace, study[0].spikes, own)
    context = Context.of(units, SETTINGS, fs_hz=FS_HZ)
    made = graft_rehearsal(labelled, context, own, n_samples=3 * len(study[0].trace), rng=rng)
    np.testing.assert_allclose(made.trace, study[0].trace, atol=1e-3 * study[0].trace.std())


def test_an_excerpt_is_the_middle(study: list[SimulatedRecording], profile: Profile) -> None:
    labelled = Labelled(study[0].trace, study[0].spikes, profile)
    part = labelled.excerpt(100_000)
    start = (len(labelled.trace) - 100_000) // 2
    np.testing.assert_array_equal(part.trace, labelled.trace[start : start + 100_000])
    assert part.spikes.shifted(start) == labelled.spikes.within(start, start + 100_000)
    assert labelled.excerpt(10**9) is labelled


def test_an_excerpt_is_where_the_labels_are(study: list[SimulatedRecording], profile: Profile) -> None:
    early = study[0].spikes.within(0, 40_000)
    part = Labelled(study[0].trace, early, profile).excerpt(100_000)
    assert len(part.trace) == 100_000
    assert len(part.spikes) > 0.8 * len(early)
    first = part.spikes.sample[0]
    moved = int(early.sample[np.flatnonzero(early.unit == part.spikes.unit[0])][0] - first)
    np.testing.assert_array_equal(part.trace, study[0].trace[moved : moved + 100_000])


@pytest.mark.parametrize(("spread", "varies"), [(0.0, False), (0.3, True)])
def test_units_that_vary_leave_more_beside_their_spikes(
    shapes: Templates, spread: float, varies: bool, rng: np.random.Generator
) -> None:
    """A second shape, of random sign and size, that no size of the first one explains."""
    n, at = 500_000, np.arange(500, 499_000, 700)
    ones = np.ones(len(at), np.float32)
    spikes = Spikes.from_arrays(at, np.ones(len(at), int))
    other = Templates((1,), np.roll(shapes.waveforms[:1], 4, axis=1), shapes.before)
    trace = plant(n, spikes, ones, shapes.of((1,)))
    trace += plant(n, spikes, (spread * rng.standard_normal(len(at))).astype(np.float32), other)
    trace += 0.5 * rng.standard_normal((n, 1), dtype=np.float32)
    left = measure_variance_left(trace, spikes, shapes.of((1,)), kernel=KERNEL, window=(8, 30))
    noise = float(fir_filter(0.5 * rng.standard_normal((n, 1), dtype=np.float32), KERNEL).var())
    assert (left > 0.2 * noise) == varies
