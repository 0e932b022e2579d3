from __future__ import annotations

from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest

from spikesorter.core.settings import Settings
from spikesorter.estimation import context as module
from spikesorter.estimation.context import TRAIN, TUNE, Context
from spikesorter.estimation.profile import Profile
from spikesorter.estimation.units import Units
from spikesorter.signal.filters import fir_filter
from spikesorter.signal.gain import Activity
from spikesorter.signal.noise import NoiseSpectrum
from spikesorter.signal.templates import Templates
from tests.conftest import FS_HZ


@pytest.fixture
def context(shapes: Templates) -> Context:
    """Of two units, of which the second fires ten times as often."""
    many = tuple(np.ones(30, np.float32) for _ in range(2))
    units = Units(shapes, many, many, np.array([1e-4, 1e-3]), ("a", "b"))
    return Context.of(units, Settings(), fs_hz=FS_HZ)


def profile(gain: float, rates: tuple[float, float]) -> Profile:
    noise = NoiseSpectrum.independent(np.ones((1025, 1)))
    return Profile(np.zeros(1), np.ones(1, np.float32), noise, Activity(gain, rates))


def test_templates_and_traces_are_conditioned_alike(context: Context) -> None:
    waveform = context.units.templates.waveforms[0]
    around = context.templates.before - context.units.templates.before
    padded = np.pad(waveform, ((around, around), (0, 0)))
    np.testing.assert_allclose(context.conditioned(padded), context.templates.waveforms[0], atol=1e-5)
    np.testing.assert_array_equal(context.conditioned(padded), fir_filter(padded, context.kernel))
    assert abs(context.kernel.sum()) < 1e-9  # no offset passes


def test_a_bank_s_output_grows_with_the_square_of_the_gain(context: Context) -> None:
    once, twice = (context.bank(profile(gain, (1e-4, 1e-3))).energies for gain in (1.0, 2.0))
    np.testing.assert_allclose(twice, 4 * once, rtol=1e-4)


def test_templates_between_samples_are_needed_where_starts_vary_and_noise_is_low(context: Context) -> None:
    def shifts(gain: float, start_variance: float) -> int:
        units = replace(context.units, start_variance=start_variance)
        return replace(context, units=units).shifts(profile(gain, (1e-4, 1e-3)))

    assert [shifts(gain, 1 / 12) for gain in (0.05, 100.0)] == [1, 4]
    assert shifts(100.0, 0.0) == 1
    four = context.bank(profile(1.0, (1e-4, 1e-3)), shifts=4)
    assert four.shapes.shape[0] == 4 * len(context.units.unit_ids)


def test_a_silent_unit_may_still_fire(context: Context) -> None:
    odds = np.exp(context.log_odds(profile(1.0, (0.0, 3e-3))))
    assert odds[0] == pytest.approx(0.02 * 1e-4)
    assert odds[1] == pytest.approx(3e-3)


def test_no_two_streams_of_random_numbers_are_the_same(context: Context) -> None:
    streams = [value for name, value in vars(module).items() if name.isupper() and isinstance(value, tuple)]
    assert len(streams) == len(set(streams)) >= 7
    first = {tuple(context.rng(*stream).integers(1 << 30, size=3).tolist()) for stream in streams}
    assert len(first) == len(streams)
    again = replace(context, settings=Settings(seed=1))
    assert context.rng(*TUNE).random() == context.rng(*TUNE).random() != again.rng(*TUNE).random()
    assert context.rng(*TRAIN).random() != context.rng(*TUNE).random()


def test_a_context_never_changes(context: Context) -> None:
    with pytest.raises(FrozenInstanceError):
        context.fs_hz = 1.0  # type: ignore[misc]
