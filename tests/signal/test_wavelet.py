from __future__ import annotations

import numpy as np
import pytest

from spikesorter.signal.wavelet import _transform, denoise, denoise_margin, level_noise
from tests.conftest import run_in_spans


@pytest.fixture
def spiky(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A clean trace of bumps and the same in white noise."""
    clean = np.zeros((8000, 1), np.float32)
    bump = 5 * np.exp(-0.5 * ((np.arange(60) - 30) / 6) ** 2)
    for start in range(100, 7800, 400):
        clean[start : start + 60, 0] += bump
    return clean, (clean + rng.standard_normal(clean.shape)).astype(np.float32)


@pytest.mark.parametrize("wavelet", ["sym4", "db4"])
def test_noise_shrinks_and_spikes_stay(wavelet: str, spiky: tuple[np.ndarray, np.ndarray]) -> None:
    clean, noisy = spiky
    sd = level_noise(noisy, wavelet=wavelet, level=4)
    quieter = denoise(noisy, noise_sd=sd, strength=0.8, wavelet=wavelet)
    assert np.mean((quieter - clean) ** 2) < 0.25 * np.mean((noisy - clean) ** 2)
    assert quieter[120:140].max() > 3.5


def test_level_noise_shares_the_variance_of_white_noise_out_among_the_levels(
    rng: np.random.Generator,
) -> None:
    noise = 2 * rng.standard_normal((60_000, 1)).astype(np.float32)
    expected = 2 / np.sqrt(2.0 ** np.arange(4, 0, -1))[:, None]
    np.testing.assert_allclose(level_noise(noise, wavelet="sym4", level=4), expected, rtol=0.06)


def test_strength_zero_changes_nothing_and_more_strength_leaves_less(
    spiky: tuple[np.ndarray, np.ndarray],
) -> None:
    _, noisy = spiky
    sd = level_noise(noisy, wavelet="sym4", level=4)
    left = [denoise(noisy, noise_sd=sd, strength=s, wavelet="sym4").std() for s in (0, 0.2, 0.5, 1)]
    assert denoise(noisy, noise_sd=sd, strength=0, wavelet="sym4") is noisy
    assert left == sorted(left, reverse=True)


@pytest.mark.parametrize("span_samples", [333, 2048, 5000])
def test_it_is_a_local_operator(span_samples: int, spiky: tuple[np.ndarray, np.ndarray]) -> None:
    _, noisy = spiky
    sd = level_noise(noisy, wavelet="sym4", level=4)
    whole, spans = (
        run_in_spans(
            lambda x: denoise(x, noise_sd=sd, strength=0.5, wavelet="sym4"),
            noisy,
            margin=denoise_margin(wavelet="sym4", level=4),
            span_samples=samples,
        )
        for samples in (len(noisy), span_samples)
    )
    np.testing.assert_allclose(spans, whole, atol=1e-4)


def test_the_ends_do_not_see_each_other(rng: np.random.Generator) -> None:
    trace = rng.standard_normal((1000, 1)).astype(np.float32)
    changed = trace.copy()
    changed[-1] += 50
    sd = np.ones((4, 1), np.float32)
    before, after = (denoise(x, noise_sd=sd, strength=0.5, wavelet="db4") for x in (trace, changed))
    reach = denoise_margin(wavelet="db4", level=4).before
    np.testing.assert_allclose(before[: 999 - reach], after[: 999 - reach], atol=1e-4)


@pytest.mark.parametrize("wavelet", ["sym4", "db4"])
@pytest.mark.parametrize("strength", [0.5, 1.0])
def test_the_threshold_is_the_universal_one_of_a_thousand_samples(
    wavelet: str, strength: float, rng: np.random.Generator
) -> None:
    trace = rng.standard_normal((512, 1)).astype(np.float32)
    largest = max(np.abs(detail).max() for detail in _transform(trace, wavelet, 3)[1:])
    threshold = strength * 3.7169  # sqrt(2 ln 1000)
    sd = np.ones((3, 1), np.float32)
    for factor, something_stays in ((0.99, False), (1.01, True)):
        scaled = (trace * factor * threshold / largest).astype(np.float32)
        found, bare = (
            denoise(scaled, noise_sd=sd, strength=value, wavelet=wavelet) for value in (strength, 1e6)
        )
        assert (np.abs(found - bare).max() > 1e-6) == something_stays
