from __future__ import annotations

import numpy as np
import pytest

from spikesorter.signal.bank import Bank, CausalBank, make_bank, make_causal_bank
from spikesorter.signal.filters import drift_kernel, fir_filter
from spikesorter.signal.noise import NoiseSpectrum, estimate_noise_spectrum, synthesise_noise
from spikesorter.signal.templates import Templates

KERNEL = drift_kernel(window_ms=40, fs_hz=25_000)


def coloured(n_fft: int = 2048) -> NoiseSpectrum:
    f = np.fft.rfftfreq(n_fft)
    return NoiseSpectrum((0.3 + 2 / (1 + (f / 0.01) ** 2))[:, None])


@pytest.fixture
def noise(rng: np.random.Generator) -> np.ndarray:
    return synthesise_noise(coloured(), 400_000, rng)


@pytest.fixture
def bank(shapes: Templates, noise: np.ndarray) -> Bank:
    filtered = fir_filter(noise, KERNEL)
    spectrum = estimate_noise_spectrum(filtered, np.ones(len(noise), bool), n_fft=2048)
    return make_bank(shapes, spectrum, kernel=KERNEL, reach=150)


def test_a_spike_adds_its_overlaps_to_the_outputs(bank: Bank, shapes: Templates) -> None:
    trace = np.zeros((4000, 1), np.float32)
    start = 2000
    trace[start - shapes.before : start - shapes.before + 40] = shapes.waveforms[1]
    outputs = bank.apply(trace)
    reach = bank.overlaps.shape[1] // 2
    at = start - bank.margin.before
    assert len(outputs) == 4000 - bank.margin.before - bank.margin.after
    np.testing.assert_allclose(
        outputs[at - reach : at + reach + 1], bank.overlaps[1], atol=1e-4 * bank.energies[1]
    )


def test_noise_has_the_variance_that_the_energies_say(bank: Bank, noise: np.ndarray) -> None:
    np.testing.assert_allclose(bank.apply(noise).var(axis=0), bank.energies, rtol=0.08)


def test_detectability_is_that_of_the_true_covariance(bank: Bank, shapes: Templates) -> None:
    """d'^2 = s^T C^-1 s, C from the true spectrum; drift removal may cost a little."""
    n = 4096
    power = coloured(n).power[:, 0]
    spectra = np.abs(np.fft.rfft(shapes.waveforms[:, :, 0], n, axis=1)) ** 2
    weights = np.full(n // 2 + 1, 2.0)
    weights[[0, -1]] = 1
    expected = (spectra / power * weights).sum(axis=1) / n
    np.testing.assert_allclose(bank.energies, expected, rtol=0.1)


def test_an_offset_passes_only_where_the_kernel_lets_it(shapes: Templates) -> None:
    spectrum = NoiseSpectrum(np.ones((1025, 1)))
    constant = np.full((4000, 1), 100, np.float32)
    without = make_bank(shapes, spectrum, kernel=KERNEL, reach=150)
    assert np.abs(without.apply(constant)).max() < 0.05
    assert np.abs(make_bank(shapes, spectrum, kernel=np.ones(1), reach=150).apply(constant)).max() > 100


def test_channels_add_up(shapes: Templates) -> None:
    spectrum = NoiseSpectrum(np.ones((1025, 1)))
    doubled = Templates(shapes.labels, np.repeat(shapes.waveforms, 2, axis=2), shapes.before)
    one = make_bank(shapes, spectrum, kernel=np.ones(1), reach=20)
    two = make_bank(doubled, NoiseSpectrum(np.ones((1025, 2))), kernel=np.ones(1), reach=20)
    np.testing.assert_allclose(two.energies, 2 * one.energies, rtol=1e-4)


@pytest.fixture
def causal(shapes: Templates, noise: np.ndarray) -> CausalBank:
    filtered = fir_filter(noise, KERNEL)
    spectrum = estimate_noise_spectrum(filtered, np.ones(len(noise), bool), n_fft=2048)
    return make_causal_bank(shapes, spectrum, kernel=KERNEL, past=600, length=200)


def test_causal_whitening_loses_no_detectability(causal: CausalBank, bank: Bank) -> None:
    np.testing.assert_allclose(causal.energies[-1], bank.energies, rtol=0.06)
    assert np.all(np.diff(causal.energies, axis=0) >= 0)
    # Half of what there is to see of a spike is seen well before its end.
    assert np.all(causal.energies[20] > 0.5 * causal.energies[-1])


def test_causally_whitened_noise_is_white(causal: CausalBank, noise: np.ndarray) -> None:
    white = causal.whiten(noise)[0]
    assert white.var() == pytest.approx(1, abs=0.08)
    lags = [np.mean(white[:-lag] * white[lag:]) for lag in range(1, 40)]
    assert np.abs(lags).max() < 0.1


def test_overlaps_of_what_is_seen_are_those_of_a_cut_trace(causal: CausalBank, shapes: Templates) -> None:
    trace = np.zeros((3000, 1), np.float32)
    start, seen = 2000, 12
    trace[start - shapes.before : start - shapes.before + 40] = shapes.waveforms[1]
    white = causal.whiten(trace)[0]
    white[start - len(causal.filters) + 1 + seen + 1 :] = 0  # nothing more is known
    reach = causal.overlaps.shape[2] // 2
    at = start - len(causal.filters) + 1 - causal.lead
    for j, shape in enumerate(causal.shapes[:, 0]):
        padded = np.pad(white, (0, len(shape)))
        for lag in (-15, 0, 7):
            output = padded[at + lag : at + lag + len(shape)] @ shape
            expected = causal.overlaps[seen, 1, reach + lag, j]
            assert output == pytest.approx(expected, rel=1e-3, abs=1e-3 * causal.energies[-1, 1])
