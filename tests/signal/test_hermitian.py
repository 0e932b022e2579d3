from __future__ import annotations

import numpy as np
import pytest

from spikesorter.signal.hermitian import clipped, factor, inverse_root, minimum_phase_factor

N_FFT = 1024


@pytest.fixture
def spectrum(rng: np.random.Generator) -> np.ndarray:
    """Of two channels coloured by a short causal filter of random taps."""
    taps = rng.standard_normal((5, 2, 2)) * 0.4 ** np.arange(5)[:, None, None]
    taps[0] = [[2, 0], [0.5, 1.5]]
    filters = np.fft.rfft(taps, N_FFT, axis=0)
    return filters @ filters.conj().transpose(0, 2, 1)


def test_factor_gives_back_the_matrix(spectrum: np.ndarray) -> None:
    lower = factor(spectrum)
    np.testing.assert_allclose(lower @ lower.conj().transpose(0, 2, 1), spectrum, atol=1e-12)
    np.testing.assert_allclose(lower, np.linalg.cholesky(spectrum), atol=1e-12)


def test_factor_takes_matrices_without_full_rank() -> None:
    one = np.array([[[1.0, 1.0], [1.0, 1.0]], [[0.0, 0.0], [0.0, 4.0]], np.zeros((2, 2))])
    lower = factor(one)
    np.testing.assert_allclose(lower @ lower.conj().transpose(0, 2, 1), one)


def test_inverse_root_squared_is_the_inverse(spectrum: np.ndarray) -> None:
    root = inverse_root(spectrum)
    np.testing.assert_allclose(root @ spectrum @ root, np.broadcast_to(np.eye(2), spectrum.shape), atol=1e-12)


def test_clipping_raises_small_eigenvalues_alone() -> None:
    np.testing.assert_allclose(clipped(np.diag([5.0, 0.1])[None], 1.0)[0], np.diag([5.0, 1.0]))


def test_the_minimum_phase_factor_is_causal_both_ways(spectrum: np.ndarray) -> None:
    found = minimum_phase_factor(spectrum)
    np.testing.assert_allclose(found @ found.conj().transpose(0, 2, 1), spectrum, atol=1e-6)
    for filters in (found, np.linalg.inv(found)):
        taps = np.fft.irfft(filters, N_FFT, axis=0)
        assert np.abs(taps[N_FFT // 2 :]).max() < 1e-6 * np.abs(taps).max()
