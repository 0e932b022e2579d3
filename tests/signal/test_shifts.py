from __future__ import annotations

import numpy as np
import pytest

from spikesorter.core.spikes import Spikes
from spikesorter.signal.bank import make_bank
from spikesorter.signal.noise import NoiseSpectrum
from spikesorter.signal.shifts import measure_start_variance, shifted, slopes
from spikesorter.signal.templates import Templates, plant

SHIFTS = 4
BEFORE, LENGTH = 30, 80


def spike(start: float) -> np.ndarray:
    """A spike that starts `start` samples after the sample BEFORE; quick enough for a fraction to matter."""
    t = np.arange(LENGTH) - BEFORE - start
    return 8 * np.exp(-0.5 * ((t - 6) / 2) ** 2) - 3 * np.exp(-0.5 * ((t - 14) / 5) ** 2)


@pytest.fixture
def template() -> Templates:
    """Mean of spikes that start anywhere within a sample about the label."""
    starts = np.linspace(-0.5, 0.5, 201)
    return Templates(
        (3,), np.mean([spike(start) for start in starts], axis=0)[None, :, None].astype(np.float32), BEFORE
    )


def test_each_shift_is_like_the_spikes_that_start_there(template: Templates) -> None:
    each = shifted(template, SHIFTS)
    assert each.unit_ids == (3,) * SHIFTS
    for i, waveform in enumerate(each.waveforms[:, :, 0]):
        true = spike((i + 0.5) / SHIFTS - 0.5)
        assert np.abs(waveform - true).max() < 0.02
        assert np.abs(template.waveforms[0, :, 0] - true).max() > 0.15  # which the mean of all is not
    np.testing.assert_allclose(each.waveforms.mean(axis=0), template.waveforms[0], atol=1e-5)


def test_one_shift_is_the_template_itself(template: Templates) -> None:
    assert shifted(template, 1) is template


def test_channels_and_units_are_shifted_alike(template: Templates) -> None:
    both = Templates(
        (3, 5), np.concatenate([template.waveforms, 2 * template.waveforms]).repeat(2, axis=2), BEFORE
    )
    once, twice = np.split(shifted(both, SHIFTS).waveforms, 2)
    np.testing.assert_allclose(twice, 2 * once, atol=1e-5)
    np.testing.assert_array_equal(once[:, :, 0], once[:, :, 1])


@pytest.mark.parametrize(("spread", "low", "high"), [(0.0, 0.0, 0.005), (1.0, 0.12, 0.16)])
def test_starts_between_samples_are_measured(
    spread: float, low: float, high: float, template: Templates, rng: np.random.Generator
) -> None:
    n_samples, noise_sd = 100_000, 0.3
    labels = Spikes(np.arange(100, n_samples - 100, 150), np.full(666, 3))
    trace = noise_sd * rng.standard_normal((n_samples, 1)).astype(np.float32)
    for label in labels.sample.tolist():
        trace[label - BEFORE : label - BEFORE + LENGTH, 0] += spike(spread * rng.uniform(-0.5, 0.5))
    left = trace - plant(n_samples, labels, np.ones(len(labels), np.float32), template)
    noise = NoiseSpectrum.independent(np.full((257, 1), noise_sd**2))
    bank = make_bank(slopes(template), noise, kernel=np.ones(1), reach=20)
    assert low <= measure_start_variance(left, labels, bank, (3,)) <= high
