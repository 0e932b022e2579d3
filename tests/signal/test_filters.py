from __future__ import annotations

import numpy as np
import pytest

from spikesorter.core.errors import SettingsError
from spikesorter.signal.filters import (
    GRID_SAMPLES,
    band_pass_kernel,
    drift_kernel,
    fir_filter,
    fir_filter_on_grid,
    fir_margin,
    local_unit_variance,
    noise_scale,
)
from spikesorter.signal.spans import Margin, read_span

FS_HZ = 25_000.0


def sine(hz: float, n_samples: int = 25_000) -> np.ndarray:
    return np.sin(2 * np.pi * hz * np.arange(n_samples) / FS_HZ).astype(np.float32)[:, None]


def gain_at(kernel: np.ndarray, hz: float) -> float:
    inner = slice(5000, 20_000)
    return float(fir_filter(sine(hz), kernel)[inner].std() / sine(hz)[inner].std())


def test_drift_goes_and_spikes_stay() -> None:
    kernel = drift_kernel(window_ms=40, fs_hz=FS_HZ)
    assert gain_at(kernel, 2) < 0.01
    assert gain_at(kernel, 300) == pytest.approx(1, abs=0.01)
    assert fir_margin(kernel) == Margin(500, 500)


def test_a_constant_offset_is_removed() -> None:
    trace = np.full((5000, 1), 7.0, np.float32)
    kernel = drift_kernel(window_ms=20, fs_hz=FS_HZ)
    np.testing.assert_allclose(fir_filter(trace, kernel)[300:-300], 0, atol=1e-4)


@pytest.mark.parametrize(
    ("low_hz", "high_hz", "passed_hz", "stopped_hz"),
    [(300, 3000, [800, 1500], [20, 6000]), (0, 3000, [100, 1500], [6000]), (500, 0, [2000, 9000], [50])],
)
def test_the_band_is_passed_and_the_rest_is_not(
    low_hz: float, high_hz: float, passed_hz: list[float], stopped_hz: list[float]
) -> None:
    kernel = band_pass_kernel(low_hz=low_hz, high_hz=high_hz, taps=401, fs_hz=FS_HZ)
    assert [gain_at(kernel, hz) for hz in passed_hz] == pytest.approx([1] * len(passed_hz), abs=0.05)
    assert max(gain_at(kernel, hz) for hz in stopped_hz) < 0.02


def test_no_edges_pass_all_and_impossible_bands_are_refused() -> None:
    assert band_pass_kernel(low_hz=0, high_hz=0, taps=101, fs_hz=FS_HZ).tolist() == [1]
    assert band_pass_kernel(low_hz=0, high_hz=FS_HZ, taps=101, fs_hz=FS_HZ).tolist() == [1]
    with pytest.raises(SettingsError, match="the band from 3000 to 300 Hz is empty"):
        band_pass_kernel(low_hz=3000, high_hz=300, taps=101, fs_hz=FS_HZ)
    with pytest.raises(SettingsError, match="is empty"):
        band_pass_kernel(low_hz=20_000, high_hz=0, taps=101, fs_hz=FS_HZ)


def test_filters_move_nothing_in_time() -> None:
    trace = np.zeros((2000, 1), np.float32)
    trace[700] = 1
    kernel = band_pass_kernel(low_hz=0, high_hz=3000, taps=101, fs_hz=FS_HZ)
    assert fir_filter(trace, kernel)[:, 0].argmax() == 700


def test_the_noise_scale_ignores_spikes(rng: np.random.Generator) -> None:
    trace = 3 * rng.standard_normal((50_000, 2)).astype(np.float32)
    trace[::100] += 100
    np.testing.assert_allclose(noise_scale(trace), 3, rtol=0.03)


def test_local_unit_variance_forgets_size_and_offset(rng: np.random.Generator) -> None:
    trace = rng.standard_normal((1000, 1)).astype(np.float32)
    same = local_unit_variance(trace, window_samples=120)
    np.testing.assert_allclose(local_unit_variance(5 * trace + 3, window_samples=120)[100:-100],
                               same[100:-100], atol=1e-3)  # fmt: skip


@pytest.mark.parametrize(
    "start", [0, 1, GRID_SAMPLES - 1, GRID_SAMPLES, GRID_SAMPLES + 1, 3 * GRID_SAMPLES - 7]
)
@pytest.mark.parametrize("samples", [1, 5, GRID_SAMPLES, GRID_SAMPLES + 1])
def test_a_filter_on_the_grid_is_the_filter_whichever_part_is_asked_for(
    start: int, samples: int, rng: np.random.Generator
) -> None:
    trace = rng.standard_normal((5 * GRID_SAMPLES, 2)).astype(np.float32)
    kernel = rng.standard_normal(801)

    def read(first: int, last: int) -> np.ndarray:
        return read_span(lambda a, b: trace[a:b], len(trace), first, last)

    stop = start + samples
    part = fir_filter_on_grid(read, kernel, start, stop)
    padded = read(start - 400, stop + 400).astype(float)
    expected = np.stack([np.convolve(column, kernel, "valid") for column in padded.T], axis=1)
    np.testing.assert_allclose(part, expected, atol=1e-3)
    whole = fir_filter_on_grid(read, kernel, 0, 4 * GRID_SAMPLES)
    np.testing.assert_array_equal(part, whole[start:stop])
