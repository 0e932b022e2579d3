from __future__ import annotations

import logging

import numpy as np
import pytest

from spikesorter.core.errors import InputError
from spikesorter.core.sections import ConditioningSettings, TemplateSettings
from spikesorter.core.spikes import Spikes
from spikesorter.estimation.profile import conditioning_kernel
from spikesorter.estimation.units import Units, draw_spikes, learn_units, warn_of_labels
from spikesorter.signal.filters import drift_kernel
from spikesorter.signal.templates import Templates, plant
from spikesorter.simulate import simulate_study
from tests.conftest import poisson_spikes

KERNEL = drift_kernel(window_ms=20, fs_hz=25_000)
SETTINGS = TemplateSettings(before_ms=0.4, after_ms=1.2)


def refractory_units(shapes: Templates, rng: np.random.Generator) -> Units:
    """Unit 1 never fires within 100 samples and is small after short intervals; unit 2 is Poisson."""
    intervals = (100 + rng.exponential(900, 2000)).astype(np.float32)
    amplitudes = np.where(intervals < 300, 0.5, 1.0).astype(np.float32)
    poisson = rng.exponential(500, 2000).astype(np.float32)
    return Units(
        shapes,
        (amplitudes, np.ones(2000, np.float32)),
        (intervals, poisson),
        np.array([1e-3, 2e-3]),
        ("1", "2"),
    )


def test_what_was_planted_is_learnt(shapes: Templates, rng: np.random.Generator) -> None:
    spikes = poisson_spikes(rng, n_samples=60_000, count=600)
    trace = plant(60_000, spikes, np.ones(600, np.float32), shapes)
    units = learn_units(trace, spikes, SETTINGS, kernel=KERNEL, fs_hz=25_000)
    assert units.unit_ids == (1, 2)
    np.testing.assert_allclose(units.templates.waveforms, shapes.waveforms, atol=0.1)
    assert units.rates.sum() == pytest.approx(600 / 60_000)
    assert [len(s) for s in units.amplitudes] == [len(i) for i in units.intervals]


def test_few_spikes_are_warned_of_and_used(
    shapes: Templates, rng: np.random.Generator, caplog: pytest.LogCaptureFixture
) -> None:
    spikes = Spikes.concatenate(
        [
            poisson_spikes(rng, n_samples=60_000, count=200, unit_ids=(1,)),
            Spikes.from_arrays([7000, 9000], [2, 2]),
        ]
    )
    trace = plant(60_000, spikes, np.ones(202, np.float32), shapes)
    named = spikes.described(fs_hz=25_000, names={1: "basket", 2: "rare one"})
    units = learn_units(trace, named, SETTINGS, kernel=KERNEL, fs_hz=25_000)
    with caplog.at_level(logging.WARNING):
        warn_of_labels(units, SETTINGS, fs_hz=25_000)
    said = [record.getMessage().split(" and ")[0] for record in caplog.records]
    assert said[0] == "unit rare one has only 2 labelled spikes"
    assert not any("basket has only" in line for line in said)
    drawn, _ = draw_spikes(units, (1e-3, 1e-3), 500_000, rng)
    assert drawn.counts()[2] == pytest.approx(500, rel=0.2)


def test_spikes_at_the_very_ends_alone_teach_nothing() -> None:
    with pytest.raises(InputError, match="no spike lies wholly inside"):
        learn_units(
            np.zeros((1000, 1), np.float32),
            Spikes.from_arrays([3], [1]),
            SETTINGS,
            kernel=KERNEL,
            fs_hz=25_000,
        )


@pytest.mark.parametrize("rates", [(1e-3, 2e-3), (3e-3, 0.5e-3)])
def test_drawn_spikes_have_the_rates_wanted(
    rates: tuple[float, float], shapes: Templates, rng: np.random.Generator
) -> None:
    spikes, amplitudes = draw_spikes(refractory_units(shapes, rng), rates, 1_000_000, rng)
    counts = spikes.counts()
    assert counts[1] == pytest.approx(rates[0] * 1e6, rel=0.1)
    assert counts[2] == pytest.approx(rates[1] * 1e6, rel=0.1)
    assert len(amplitudes) == len(spikes)


def test_drawn_spikes_keep_refractory_period_and_bursts(shapes: Templates, rng: np.random.Generator) -> None:
    units = refractory_units(shapes, rng)
    spikes, amplitudes = draw_spikes(units, (1e-3, 2e-3), 1_000_000, rng)
    first = spikes.unit == 1
    intervals = np.diff(spikes.sample[first])
    assert intervals.min() >= 99
    assert amplitudes[first][1:][intervals < 250].max() == 0.5
    assert np.diff(spikes.sample[~first]).min() <= 5


def test_a_silent_class_does_not_fire(shapes: Templates, rng: np.random.Generator) -> None:
    spikes, _ = draw_spikes(refractory_units(shapes, rng), (0.0, 1e-3), 200_000, rng)
    assert spikes.counts().get(1, 0) <= 1


def test_a_neuron_that_fires_like_a_clock_can_be_slowed_down(
    shapes: Templates, rng: np.random.Generator
) -> None:
    clock = np.full(100, 2500, np.float32)
    ones = np.ones(100, np.float32)
    units = Units(shapes, (ones, ones), (clock, clock), np.array([4e-4, 4e-4]), ("1", "2"))
    spikes, _ = draw_spikes(units, (4e-5, 8e-4), 1_000_000, rng)
    assert spikes.counts()[1] == pytest.approx(40, abs=2)
    assert spikes.counts()[2] == pytest.approx(800, abs=10)


@pytest.mark.parametrize("seed", range(3))
def test_a_train_begins_in_the_middle_of_an_interval_and_goes_on_to_the_end(
    seed: int, shapes: Templates
) -> None:
    ones, clock = np.ones(50, np.float32), np.full(50, 500, np.float32)
    units = Units(shapes, (ones, ones), (clock, ones), np.array([1 / 500, 1.0]), ("1", "2"))
    spikes, _ = draw_spikes(units, (1 / 500, 1.0), 10_000, np.random.default_rng(seed))
    first = spikes.of(1).sample
    np.testing.assert_array_equal(first, np.arange(first[0], 10_000, 500))
    assert 0 <= first[0] < 500
    np.testing.assert_array_equal(spikes.of(2).sample, np.arange(10_000))


def test_another_unit_of_voltage_changes_templates_in_proportion(
    shapes: Templates, rng: np.random.Generator
) -> None:
    spikes = poisson_spikes(rng, n_samples=60_000, count=60)
    trace = plant(60_000, spikes, np.ones(60, np.float32), shapes)
    trace += rng.standard_normal((60_000, 1), dtype=np.float32)
    plain, scaled = (
        learn_units(factor * trace, spikes, SETTINGS, kernel=KERNEL, fs_hz=25_000) for factor in (1, 64)
    )
    np.testing.assert_allclose(scaled.templates.waveforms, 64 * plain.templates.waveforms, atol=0.01)


@pytest.mark.parametrize(
    ("end", "count", "message"),
    [
        (0.09, 20, ""),
        ((0.5, -0.5), 20, ""),  # on average nothing
        (-0.11, 20, "the template of unit a still has 11 % of its peak at its end, 1.2 ms after"),
        (0.0, 19, "unit a has only 19 labelled spikes and will be learnt badly; at least 20 are needed"),
    ],
)
def test_few_spikes_and_more_than_a_tenth_left_at_the_end_are_warned_of(
    end: float | tuple[float, float], count: int, message: str, caplog: pytest.LogCaptureFixture
) -> None:
    waveform = np.zeros((1, 40, 1), np.float32)
    waveform[:, 12:30] = 1
    waveform[0, 30:, 0] = np.resize(end, 10)  # the last 0.4 ms
    spikes = np.ones(count, np.float32)
    units = Units(Templates((1,), waveform, before=10), (spikes,), (spikes,), np.array([1e-3]), ("a",))
    warn_of_labels(units, SETTINGS, fs_hz=25_000)
    assert caplog.text.count("unit a") == (message != "")
    assert message in caplog.text


def test_shapes_that_outlast_their_window_are_warned_of(
    shapes: Templates, rng: np.random.Generator, caplog: pytest.LogCaptureFixture
) -> None:
    spikes = poisson_spikes(rng, n_samples=60_000, count=600)
    trace = plant(60_000, spikes, np.ones(600, np.float32), shapes)
    named = spikes.described(fs_hz=25_000, names={1: "basket", 2: "slow one"})
    long, short = (TemplateSettings(before_ms=0.4, after_ms=after_ms) for after_ms in (2.4, 0.5))
    for settings in (long, short):
        assert not caplog.text
        units = learn_units(trace, named, settings, kernel=KERNEL, fs_hz=25_000)
        warn_of_labels(units, settings, fs_hz=25_000)
    assert "unit slow one still has" in caplog.text
    assert "of its peak at its end, 0.5 ms after the spike's start" in caplog.text


def test_long_after_potentials_are_learnt_without_wild_ends() -> None:
    labelled, *_ = simulate_study()
    kernel = conditioning_kernel(ConditioningSettings(), 25_000)
    trace = labelled.trace - np.median(labelled.trace, axis=0)
    shapes = learn_units(trace, labelled.spikes, TemplateSettings(), kernel=kernel, fs_hz=25_000)
    for waveform in shapes.templates.waveforms:
        assert np.abs(waveform[-20:]).max() < 0.3 * waveform.max()
