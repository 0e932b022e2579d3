from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import welch

from spikesorter.estimation.simulate import _nearness, _shapes
from spikesorter.simulate import simulate_study


def test_a_study_has_the_neurons_rates_and_noise_asked_for() -> None:
    labelled, quiet, noisy = simulate_study(
        units=5, seconds=20, noise_levels=(0.5, 3.0), spikes_per_s=60, fs_hz=20_000, seed=2
    )
    assert labelled.trace.shape == (400_000, 1)
    assert labelled.spikes.unit_ids == (1, 2, 3, 4, 5)
    assert abs(len(quiet.spikes) - 1200) < 150
    steps = [np.diff(r.trace[:, 0]).std() / np.sqrt(2) for r in (labelled, quiet, noisy)]
    np.testing.assert_allclose(steps, [0.3, 0.5, 3.0], rtol=0.15)


def test_no_neuron_fires_twice_at_one_sample() -> None:
    for made in simulate_study(
        units=2, seconds=2, noise_levels=(1.0,), spikes_per_s=1500, fs_hz=5000, seed=0
    ):
        pairs = np.stack([made.spikes.sample, made.spikes.unit])
        assert np.unique(pairs, axis=1).shape == pairs.shape
        assert len(made.spikes) > 2000


def test_no_spikes_at_all_is_a_study_too() -> None:
    (labelled,) = simulate_study(units=2, seconds=1, noise_levels=(), spikes_per_s=1e-9, seed=0)
    assert len(labelled.spikes) == 0


def test_the_same_seed_gives_the_same_study_and_another_seed_another() -> None:
    first, second, other = (simulate_study(seconds=1, seed=seed)[1] for seed in (0, 0, 1))
    assert np.array_equal(first.trace, second.trace)
    assert first.spikes == second.spikes
    assert not np.array_equal(first.trace, other.trace)


def test_channels_hear_a_neuron_more_or_less_and_half_of_the_noise_together() -> None:
    one, four = (simulate_study(seconds=20, noise_levels=(2.0,), channels=n, seed=4) for n in (1, 4))
    assert four[0].spikes == one[0].spikes
    assert four[1].trace.shape == (500_000, 4)
    np.testing.assert_allclose(np.corrcoef(np.diff(four[1].trace.T))[0, 1:], 0.5, atol=0.05)


def test_spikes_have_their_peak_on_one_channel_and_a_slower_after_potential() -> None:
    nearness = _nearness(4, 3, seed=1)
    waveforms = _shapes(4, 25_000.0, nearness, np.random.default_rng(1)).waveforms
    np.testing.assert_allclose(waveforms.max(axis=(1, 2)), np.linspace(8.0, 2.5, 4), rtol=1e-6)
    np.testing.assert_array_equal(nearness.max(axis=1), 1)
    largest = waveforms.max(axis=2)
    slower = waveforms.min(axis=2).argmin(axis=1) / largest.argmax(axis=1)
    assert np.all((slower > 5) & (slower < 12))
    assert np.abs(waveforms[:, -1]).max() < 0.01


def test_half_of_the_drift_at_zero_is_left_at_5_hz() -> None:
    fs_hz = 1000.0
    (noise,) = simulate_study(units=1, seconds=1000, noise_levels=(), spikes_per_s=0, fs_hz=fs_hz)
    frequency_hz, power = welch(noise.trace[:, 0], fs_hz, nperseg=8192)
    white = power[frequency_hz > 250].mean()
    low, corner = (
        power[(frequency_hz > lo) & (frequency_hz < hi)].mean() - white for lo, hi in ((0.3, 1), (4.5, 5.5))
    )
    assert low / corner == pytest.approx(2, rel=0.1)
