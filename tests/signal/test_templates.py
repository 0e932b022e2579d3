from __future__ import annotations

import numpy as np
import pytest

from spikesorter.core.spikes import Spikes
from spikesorter.signal.filters import drift_kernel, fir_filter
from spikesorter.signal.templates import (
    Templates,
    average_waveform,
    estimate_templates,
    plant,
    spike_amplitudes,
)
from tests.conftest import poisson_spikes

KERNEL = drift_kernel(window_ms=20, fs_hz=25_000)


def test_planting_puts_each_shape_where_its_spike_starts(shapes: Templates) -> None:
    trace = plant(200, Spikes.from_arrays([50, 120], [1, 2]), np.float32([1, 2]), shapes)
    np.testing.assert_allclose(trace[40:80], shapes.waveforms[0], atol=1e-5)
    np.testing.assert_allclose(trace[110:150], 2 * shapes.waveforms[1], atol=1e-5)


def test_what_a_spike_has_shown_is_counted_from_its_start_for_the_slowest_unit() -> None:
    waveforms = np.zeros((2, 40, 2), np.float32)
    waveforms[0, 10:14, 0] = 1.0
    waveforms[1, 20, 1], waveforms[1, 30, 0] = 3.0, 4.0
    both = Templates((1, 2), waveforms, before=10)
    assert [both.seen_after(share) for share in (0.2, 0.36, 0.37, 1.0)] == [11, 11, 21, 21]
    assert both.of((1,)).seen_after(0.75) == 3
    assert Templates((2,), waveforms[1:], before=35).seen_after(0.75) == 0  # over when its start comes
    assert both.of(()).seen_after(0.75) == 0


def test_overlaps_add_and_the_ends_cut(shapes: Templates) -> None:
    both = Spikes.from_arrays([55, 60, 60], [1, 2, 2])
    trace = plant(80, both, np.ones(3, np.float32), shapes)
    expected = np.zeros((200, 1))
    expected[45:85] += shapes.waveforms[0]
    expected[50:90] += 2 * shapes.waveforms[1]
    np.testing.assert_allclose(trace, expected[:80], atol=1e-5)


def test_shapes_are_found_although_most_spikes_overlap(shapes: Templates, rng: np.random.Generator) -> None:
    spikes = poisson_spikes(rng, n_samples=60_000, count=2500)
    trace = plant(60_000, spikes, np.ones(2500, np.float32), shapes)
    noisy = (trace + 0.3 * rng.standard_normal(trace.shape)).astype(np.float32)
    found = estimate_templates(noisy, spikes, before=10, after=30, kernel=KERNEL)
    assert found.unit_ids == (1, 2)
    np.testing.assert_allclose(found.waveforms, shapes.waveforms, atol=0.12)
    smeared = average_waveform(trace, spikes.of(1), before=10, after=30)
    assert np.abs(smeared - shapes.waveforms[0]).max() > 0.3  # averaging alone would not do


def test_drift_does_not_matter(shapes: Templates, rng: np.random.Generator) -> None:
    spikes = poisson_spikes(rng, n_samples=60_000, count=600)
    trace = plant(60_000, spikes, np.ones(600, np.float32), shapes)
    drift = 20 * np.sin(2 * np.pi * np.arange(60_000) / 25_000)[:, None]
    found = estimate_templates((trace + drift).astype(np.float32), spikes, before=10, after=30, kernel=KERNEL)
    np.testing.assert_allclose(found.waveforms, shapes.waveforms, atol=0.25)


def test_sizes_of_overlapping_spikes_are_told_apart(shapes: Templates, rng: np.random.Generator) -> None:
    spikes = poisson_spikes(rng, n_samples=60_000, count=900)
    amplitudes = rng.uniform(0.6, 1.4, 900).astype(np.float32)
    trace = plant(60_000, spikes, amplitudes, shapes)
    noisy = (trace + 0.1 * rng.standard_normal(trace.shape)).astype(np.float32)
    found = spike_amplitudes(noisy, spikes, shapes, kernel=KERNEL)
    assert np.corrcoef(found, amplitudes)[0, 1] > 0.97


def test_spikes_of_one_size_get_size_one_whatever_the_noise(
    shapes: Templates, rng: np.random.Generator
) -> None:
    spikes = poisson_spikes(rng, n_samples=60_000, count=300)
    trace = plant(60_000, spikes, np.ones(300, np.float32), shapes)
    noisy = (trace + rng.standard_normal(trace.shape)).astype(np.float32)
    found = spike_amplitudes(noisy, spikes, shapes, kernel=KERNEL)
    for unit in (1, 2):
        assert found[spikes.unit == unit].std() < 0.04


def test_filtered_templates_are_what_the_filter_makes_of_a_spike(shapes: Templates) -> None:
    filtered = shapes.filtered(KERNEL)
    alone = Spikes.from_arrays([1000], [2])
    seen = fir_filter(plant(2000, alone, np.ones(1, np.float32), shapes), KERNEL)
    again = plant(2000, alone, np.ones(1, np.float32), filtered)
    np.testing.assert_allclose(again, seen, atol=1e-4)
    assert shapes.scaled(2).waveforms.max() == pytest.approx(2 * shapes.waveforms.max())


def test_channels_are_solved_for_together(shapes: Templates, rng: np.random.Generator) -> None:
    two = Templates(shapes.unit_ids, np.concatenate([shapes.waveforms, -shapes.waveforms], axis=2), before=10)
    spikes = poisson_spikes(rng, n_samples=40_000, count=500)
    trace = plant(40_000, spikes, np.ones(500, np.float32), two)
    found = estimate_templates(trace, spikes, before=10, after=30, kernel=KERNEL)
    np.testing.assert_allclose(found.waveforms, two.waveforms, atol=0.1)
    np.testing.assert_allclose(spike_amplitudes(trace, spikes, two, kernel=KERNEL), 1, atol=0.02)


def test_shrinking_keeps_what_is_clear_and_drops_what_may_be_noise(
    shapes: Templates, rng: np.random.Generator
) -> None:
    silent = np.pad(shapes.waveforms, ((0, 0), (0, 60), (0, 0)))
    noise = 0.05 * rng.standard_normal(silent.shape)
    noisy = Templates(shapes.unit_ids, (silent + noise).astype(np.float32), shapes.before)
    shrunk = noisy.shrunk(np.full((2, 1), 0.05**2), window_samples=10)
    assert (shrunk.waveforms[:, 50:] ** 2).sum() < 0.1 * (noise[:, 50:] ** 2).sum()
    assert ((shrunk.waveforms - silent) ** 2).sum() < 0.7 * (noise**2).sum()
    clear = np.abs(shapes.waveforms) > 1
    np.testing.assert_allclose(shrunk.waveforms[:, :40][clear], noisy.waveforms[:, :40][clear], rtol=0.02)


def test_a_unit_whose_spikes_are_cut_off_by_the_ends_has_an_empty_template(shapes: Templates) -> None:
    spikes = Spikes.from_arrays([500, 900, 1300, 3], [1, 1, 1, 2])
    trace = plant(2000, spikes.of(1), np.ones(3, np.float32), shapes)
    found = estimate_templates(trace, spikes, before=10, after=30, kernel=KERNEL)
    assert found.unit_ids == (1, 2)
    assert not found.waveforms[1].any()
    assert np.abs(found.waveforms[0]).max() > 1


@pytest.mark.parametrize("spread", [0.2, 0.3])
def test_amplitudes_spread_as_they_do_without_noise(
    spread: float, shapes: Templates, rng: np.random.Generator
) -> None:
    """The noise's share of the spread is taken out, neither less nor more."""
    spikes = Spikes.from_arrays(np.arange(200, 199_000, 400), np.tile([1, 2], 249)[:497])
    amplitudes = (1 + spread * rng.standard_normal(len(spikes))).astype(np.float32)
    trace = plant(200_000, spikes, amplitudes, shapes)
    noise = rng.standard_normal(trace.shape).astype(np.float32)
    found = spike_amplitudes(trace + 1.5 * noise, spikes, shapes, kernel=KERNEL)
    for unit in (1, 2):
        assert found[spikes.unit == unit].std() == pytest.approx(spread, rel=0.2)
