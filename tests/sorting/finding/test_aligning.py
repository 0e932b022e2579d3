from __future__ import annotations

import numpy as np
import pytest

from spikesorter.sorting.finding.aligning import (
    MAIN,
    aligned,
    best_lags,
    common_polarity,
    main_lobe,
    peak_lags,
    smoothed,
)

FS_HZ = 30_000.0


def spike(trough: float, after: float, *, at: float = 30.0, samples: int = 61) -> np.ndarray:
    """Return a trough, and a peak 10 samples after it."""
    time = np.arange(samples) - at
    shape = -trough * np.exp(-0.5 * (time / 2) ** 2) + after * np.exp(-0.5 * ((time - 10) / 2) ** 2)
    return np.asarray(shape[:, None], np.float32)


def test_spikes_of_which_either_peak_may_be_larger_are_aligned_at_one() -> None:
    waves = np.stack([spike(8, 6), spike(6, 8), spike(7, 7.5)])
    assert common_polarity(np.stack([spike(8, 6), spike(6, 7), spike(8, 7)])) == -1
    assert peak_lags(waves, -1) == pytest.approx([0, 0, 0], abs=0.05)
    assert peak_lags(waves, 1) == pytest.approx([10, 10, 10], abs=0.05)


@pytest.mark.parametrize(("share", "lag"), [(MAIN - 0.02, 10), (MAIN + 0.02, 0)])
@pytest.mark.parametrize("polarity", [1, -1])
def test_a_spike_without_a_large_peak_of_the_polarity_is_aligned_at_its_largest(
    share: float, lag: int, polarity: int
) -> None:
    waves = -polarity * spike(8 * share, 8)[None]
    assert peak_lags(waves, polarity) == pytest.approx([lag], abs=0.05)
    assert peak_lags(waves, polarity, either=False) == pytest.approx([0], abs=0.05)


def test_places_are_found_below_a_sample_on_the_largest_channel() -> None:
    places = 30 + np.linspace(-0.5, 0.5, 11)
    waves = np.stack([np.concatenate([0.5 * spike(8, 3), spike(8, 3, at=at)], axis=1) for at in places])
    lags = peak_lags(waves, -1)
    assert lags == pytest.approx(places - 30, abs=0.03)
    cut = aligned(waves, lags, first=25, length=11)
    assert cut.shape == (11, 11, 2)
    assert cut[:, :, 1].std(axis=0).max() < 0.05
    assert cut[:, 5, 1] == pytest.approx(np.full(11, -8), abs=0.1)


def test_the_ends_of_a_window_are_no_peaks() -> None:
    wave = np.zeros((1, 9, 1), np.float32)
    wave[0, 0], wave[0, 8], wave[0, 2] = 9, 9, 2
    assert peak_lags(wave, 1) == pytest.approx([-2], abs=0.5)


def test_nothing_is_aligned_if_there_is_nothing() -> None:
    none = np.zeros((0, 9, 2), np.float32)
    assert common_polarity(none) == 1
    assert peak_lags(none, 1).shape == (0,)


def test_smoothing_is_along_time_only() -> None:
    wave = np.zeros((2, 41, 2), np.float32)
    wave[0, 20, 1] = 1
    smooth = smoothed(wave, fs_hz=FS_HZ, axis=1)
    assert smooth[0, :, 1].sum() == pytest.approx(1, rel=1e-3)
    assert smooth[0, 20, 1] == pytest.approx(
        0.22, abs=0.01
    )  # 1 / (1.8 sqrt(2 pi)), 1.8 samples being 0.06 ms
    assert not smooth[1].any()
    assert not smooth[:, :, 0].any()


def test_a_template_lies_where_it_agrees_best() -> None:
    template = spike(8, 6)[15:46]
    waves = np.stack([spike(7, 7, at=30 + lag) for lag in (-3, 0.5, 4)])
    assert best_lags(waves, template) == pytest.approx([-3, 0.5, 4], abs=0.2)
    assert best_lags(np.stack([np.pad(template, ((6, 14), (0, 0)))]), template) == pytest.approx(
        [-4], abs=0.01
    )


def test_the_main_lobe_is_the_largest_peak_alone() -> None:
    template = np.concatenate([spike(8, 6), 0.5 * spike(8, 6)], axis=1)
    lobe = main_lobe(template)
    inside = np.flatnonzero(lobe[:, 0])
    assert np.array_equal(inside, np.arange(27, 34))  # exp(-x^2 / 8) is 0.2 at 3.6 samples
    assert np.array_equal(lobe[inside], template[inside])
    assert np.array_equal(main_lobe(-template), -lobe)
    assert np.array_equal(main_lobe(np.float32([[3], [4]])), [[3], [4]])


def test_a_spike_whose_later_peak_moves_is_aligned_by_its_trough() -> None:
    time = np.arange(61) - 30
    waves = np.stack(
        [
            -10 * np.exp(-0.5 * (time / 2) ** 2) + 8 * np.exp(-0.5 * ((time - at) / 3) ** 2)
            for at in (9, 11, 14)
        ]
    )[:, :, None]
    template = waves[1, 15:46]
    assert best_lags(waves, main_lobe(template)) == pytest.approx([0, 0, 0], abs=0.2)
    assert np.abs(best_lags(waves, template)).max() > 0.4
