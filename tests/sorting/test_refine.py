from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from spikesorter.core.settings import Settings
from spikesorter.core.spikes import Spikes
from spikesorter.estimation.context import Context
from spikesorter.estimation.course import Course, noise_levels
from spikesorter.estimation.labelled import Labelled
from spikesorter.estimation.profile import Profile, conditioning_kernel
from spikesorter.estimation.units import learn_units
from spikesorter.signal.gain import Background
from spikesorter.simulate import simulate_study
from spikesorter.sorting.refine import noise_left, refine_profile
from tests.conftest import FS_HZ, profile_of

pytestmark = pytest.mark.slow

SETTINGS = Settings()


@pytest.fixture(scope="module")
def profiles() -> dict[str, Profile]:
    """A target's profile before and after, and with rates and noise that are far off at first."""
    labelled, target = simulate_study(units=3, seconds=10, noise_levels=(0.7,), seed=1)
    kernel = conditioning_kernel(SETTINGS.conditioning, FS_HZ)
    known = learn_units(labelled.trace, labelled.spikes, SETTINGS.templates, kernel=kernel, fs_hz=FS_HZ)
    first = profile_of(target.trace, known, SETTINGS, fs_hz=FS_HZ)
    off = replace(
        first,
        noise=first.noise.scaled(1.3),
        activity=replace(first.activity, gain=0.98 * first.activity.gain,
                         rates=tuple(2 * rate for rate in first.activity.rates)),
    )  # fmt: skip
    refined = {
        name: refine_profile(target.trace, profile, Context.of(known, SETTINGS, fs_hz=FS_HZ))
        for name, profile in (
            ("refined", first),
            ("from afar", off),
            ("with background", replace(first, background=Background(0.01, 0.1))),
        )
    }
    counts = np.array([np.sum(target.spikes.unit == k) for k in known.unit_ids])
    truth = replace(first, activity=replace(first.activity, rates=tuple(counts / len(target.trace))))
    return {"first": first, "truth": truth, **refined}


def test_rates_come_near_the_true_ones(profiles: dict[str, Profile]) -> None:
    for name in ("refined", "from afar"):
        ratio = np.array(profiles[name].activity.rates) / profiles["truth"].activity.rates
        np.testing.assert_allclose(ratio, 1, atol=0.15)


def test_noise_and_gain_hardly_depend_on_the_start(profiles: dict[str, Profile]) -> None:
    assert profiles["from afar"].noise.distance(profiles["refined"].noise) < 0.05
    assert profiles["from afar"].activity.gain == pytest.approx(profiles["refined"].activity.gain, rel=0.01)
    assert profiles["refined"].activity.gain == pytest.approx(1, rel=0.02)
    assert profiles["refined"].activity.wander < 0.03


def test_the_background_s_noise_is_left_alone(profiles: dict[str, Profile]) -> None:
    np.testing.assert_array_equal(profiles["with background"].noise.power, profiles["first"].noise.power)


def test_noise_that_trebles_is_measured_in_each_half_without_the_spikes() -> None:
    """Spikes make quiet noise seem louder, and with one level for both halves loud noise makes spikes."""
    labelled, target = simulate_study(units=3, seconds=10, noise_levels=(0.4,), seed=1)
    kernel = conditioning_kernel(SETTINGS.conditioning, FS_HZ)
    known = learn_units(labelled.trace, labelled.spikes, SETTINGS.templates, kernel=kernel, fs_hz=FS_HZ)
    context = Context.of(known, SETTINGS, fs_hz=FS_HZ)
    trace = target.trace.copy()
    middle, true = len(trace) // 2, 0.4
    added = np.sqrt(8) * true * np.random.default_rng(3).standard_normal((len(trace) - middle, 1))
    trace[middle:] += added.astype(np.float32)
    first = profile_of(trace, known, SETTINGS, fs_hz=FS_HZ)
    rough = replace(first, course=Course(levels=noise_levels(context.conditioned(trace), 2)))
    assert rough.course.levels[1] / rough.course.levels[0] < 2.5
    refined = refine_profile(trace, rough, context)
    # Drift is as before, so it is not quite three times as much.
    assert refined.course.levels[1] / refined.course.levels[0] == pytest.approx(3, rel=0.1)
    counts = np.array([np.sum(target.spikes.unit == k) for k in known.unit_ids])
    np.testing.assert_allclose(np.array(refined.activity.rates) / (counts / len(trace)), 1, atol=0.15)


def crowded(seed: int, *, widths_sd: float) -> tuple[np.ndarray, Spikes]:
    """Thirteen seconds of two units whose long spikes often overlap; each spike has a width of its own."""
    rng = np.random.default_rng(seed)
    samples = np.cumsum(rng.integers(150, 1100, 500))
    unit = rng.integers(1, 3, len(samples))
    trace = 0.1 * rng.standard_normal((samples[-1] + 1000, 1))
    time = np.arange(200)
    for start, k, width in zip(samples, unit, 1 + widths_sd * rng.standard_normal(len(samples)), strict=True):
        centre, own = 40.0, 6 * k * width
        shape = np.exp(-0.5 * ((time - centre) / own) ** 2)
        shape -= 0.5 * np.exp(-0.5 * ((time - centre - 5 * own) / (2 * own)) ** 2)
        trace[start : start + 200, 0] += k * shape
    return trace.astype(np.float32), Spikes.from_arrays(samples + 20, unit)


def test_what_templates_leave_of_spikes_that_differ_is_not_taken_for_noise() -> None:
    """The labelled recording's noise is measured between spikes, the target's is what templates leave."""
    kernel = conditioning_kernel(SETTINGS.conditioning, FS_HZ)
    seen = {}  # squared d' in the target's noise, relative to that in the labelled recording's
    for widths_sd in (0.0, 0.15):
        trace, labels = crowded(1, widths_sd=widths_sd)
        target, _ = crowded(2, widths_sd=widths_sd)
        known = learn_units(trace, labels, SETTINGS.templates, kernel=kernel, fs_hz=FS_HZ)
        context = Context.of(known, SETTINGS, fs_hz=FS_HZ)
        own = profile_of(trace, known, SETTINGS, fs_hz=FS_HZ)
        labelled = Labelled(trace, labels, own, noise_left=noise_left(trace, own, context))
        left = refine_profile(target, own, context).noise
        seen[widths_sd] = [
            float(np.median(context.bank(replace(own, noise=noise)).energies / context.bank(own).energies))
            for noise in (left, labelled.between_spikes(left, 1.0))
        ]
        assert (labelled.noise_left is not None) == (widths_sd > 0)
    assert seen[0.0] == pytest.approx([1, 1], abs=0.2)
    assert seen[0.15][0] < 0.6
    assert seen[0.15][1] == pytest.approx(1, abs=0.2)
