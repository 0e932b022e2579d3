"""Whitening filters reach as far as the noise's spectrum is steep, and no farther."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import butter, sosfreqz

from spikesorter.signal.bank import make_bank
from spikesorter.signal.filters import drift_kernel
from spikesorter.signal.noise import NoiseSpectrum, synthesise_noise
from spikesorter.signal.templates import Templates
from spikesorter.signal.whitening import needed_reach, whitening_filters

FS_HZ = 25_000.0
KERNEL = drift_kernel(window_ms=40, fs_hz=FS_HZ)
LEAST = 150  # samples
F_HZ = np.fft.rfftfreq(2048, 1 / FS_HZ)
SLOPING = 1 + 4 / (1 + (F_HZ / 400) ** 2)


def band_passed(order: int, low_hz: float) -> NoiseSpectrum:
    """Noise after a high-pass that ran forwards, and after the drift removal."""
    _, response = sosfreqz(butter(order, low_hz, "high", fs=FS_HZ, output="sos"), F_HZ, fs=FS_HZ)
    drift = np.interp(F_HZ, np.fft.rfftfreq(len(KERNEL), 1 / FS_HZ), np.abs(np.fft.rfft(KERNEL)))
    return NoiseSpectrum.independent((np.abs(response) ** 2 * SLOPING * drift**2 + 1e-6)[:, None])


@pytest.fixture(scope="module")
def templates() -> Templates:
    t = np.arange(160)
    bump = -np.exp(-0.5 * ((t - 30) / 4) ** 2) + 0.5 * np.exp(-0.5 * ((t - 50) / 12) ** 2)
    return Templates((1, 2), np.float32([bump, 0.7 * np.roll(bump, 5)])[:, :, None], before=20)


def test_whitening_reaches_as_far_as_set_where_that_is_enough(templates: Templates) -> None:
    gentle = NoiseSpectrum.independent(SLOPING[:, None])
    assert needed_reach(templates, gentle, kernel=KERNEL, least=LEAST) == LEAST


@pytest.mark.parametrize(("order", "low_hz"), [(3, 300.0), (4, 150.0)])
def test_a_steep_edge_asks_for_longer_filters(templates: Templates, order: int, low_hz: float) -> None:
    noise = band_passed(order, low_hz)
    reach = needed_reach(templates, noise, kernel=KERNEL, least=LEAST)
    assert reach == 250
    whitener = whitening_filters(templates, noise, kernel=KERNEL, reach=reach)
    assert whitener.shape == (2 * reach + 1, 1, 1)


def test_spikes_are_told_better_by_longer_filters(templates: Templates, rng: np.random.Generator) -> None:
    """Measured: the output at a spike by its SD in the noise."""
    noise = band_passed(3, 300.0)
    before_drift = NoiseSpectrum.independent(noise.unfiltered(KERNEL).power)
    trace = synthesise_noise(before_drift, 200_000, rng)
    detectability = []
    for reach in (LEAST, needed_reach(templates, noise, kernel=KERNEL, least=LEAST)):
        bank = make_bank(templates, noise, kernel=KERNEL, reach=reach)
        detectability.append(bank.energies / bank.apply(trace).std(axis=0))
    assert np.all(detectability[1] > 1.03 * detectability[0])


def test_the_longest_filters_fit_into_the_transform(templates: Templates) -> None:
    assert needed_reach(templates, band_passed(4, 150.0), kernel=KERNEL, least=4000) <= 4096
    assert needed_reach(templates, band_passed(4, 150.0), kernel=KERNEL, least=0) == 0


def test_one_channel_that_was_filtered_is_enough(templates: Templates) -> None:
    gentle, steep = SLOPING, band_passed(4, 150.0).power[:, 0]
    both = NoiseSpectrum.independent(np.stack([gentle, steep], axis=1))
    two = Templates(templates.unit_ids, np.repeat(templates.waveforms, 2, axis=2), templates.before)
    assert needed_reach(two, both, kernel=KERNEL, least=LEAST) > LEAST
