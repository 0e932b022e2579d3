from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import lfilter

from spikesorter.sorting.finding.events import find_events, whitened

FS_HZ = 30_000.0
SPIKE = -np.exp(-0.5 * (np.arange(-15, 16) / 4.0) ** 2)


def noise(rng: np.random.Generator, channels: int = 1) -> np.ndarray:
    return rng.standard_normal((120_000, channels)).astype(np.float32)


def test_whitened_noise_has_no_memory_and_variance_one(rng: np.random.Generator) -> None:
    coloured = lfilter([1.0], [1.0, -0.8], noise(rng), axis=0).astype(np.float32)
    white = whitened(coloured, n_fft=512, fs_hz=FS_HZ)[1000:-1000, 0]
    assert white.std() == pytest.approx(1, abs=0.02)
    assert np.corrcoef(white[1:], white[:-1])[0, 1] == pytest.approx(0, abs=0.03)


def test_whitened_channels_share_no_noise(rng: np.random.Generator) -> None:
    shared = noise(rng, 2) @ np.float32([[1.0, 0.7], [0.0, 1.0]])
    white = whitened(shared, n_fft=512, fs_hz=FS_HZ)
    assert np.corrcoef(white.T)[0, 1] == pytest.approx(0, abs=0.03)


@pytest.mark.parametrize("polarity", [1, -1])
@pytest.mark.parametrize("channel", [0, 1])
def test_events_of_either_polarity_on_any_channel(
    rng: np.random.Generator, polarity: int, channel: int
) -> None:
    trace, at = noise(rng, 2), np.arange(2000, 118_000, 2000)
    for start in at:
        trace[start - 15 : start + 16, channel] += polarity * 8 * SPIKE
    events = find_events(trace, threshold=6.0, fs_hz=FS_HZ)
    assert np.abs(events.sample - at).max() <= 3
    assert np.sign(events.waveforms.mean(axis=0)[24, channel]) == -polarity


def test_a_wide_event_that_no_sample_shows_is_found(rng: np.random.Generator) -> None:
    trace = noise(rng)
    for start in range(2000, 118_000, 2000):
        trace[start : start + 18, 0] += 2.5
    assert len(find_events(trace, threshold=5.0, fs_hz=FS_HZ)) == pytest.approx(58, abs=3)


def test_waveforms_are_aligned_below_a_sample() -> None:
    trace = np.zeros((40_000, 1), np.float32)
    places = 2000.0 + 1000 * np.arange(36) + np.linspace(-0.5, 0.5, 36)
    time = np.arange(40_000)
    for place in places:
        near = slice(int(place) - 40, int(place) + 41)
        trace[near, 0] -= 20 * np.exp(-0.5 * ((time[near] - place) / 4.0) ** 2)
    trace += 1e-3 * np.random.default_rng(0).standard_normal(trace.shape).astype(np.float32)
    events = find_events(trace, threshold=1000.0, fs_hz=FS_HZ)
    assert len(events) == 36
    assert events.waveforms.std(axis=0).max() < 0.3  # a shift of half a sample changes the slope by 1.5


def test_noise_alone_has_few_events(rng: np.random.Generator) -> None:
    assert len(find_events(noise(rng), threshold=4.8, fs_hz=FS_HZ)) <= 4


def test_events_near_the_ends_are_left_out(rng: np.random.Generator) -> None:
    trace = noise(rng)
    trace[3] = trace[-3] = 40.0
    assert len(find_events(trace, threshold=8.0, fs_hz=FS_HZ)) == 0


@pytest.mark.parametrize(("sign", "expected"), [(-1, 10), (1, 5), (0, 15)])
def test_events_of_one_polarity_only(rng: np.random.Generator, sign: int, expected: int) -> None:
    trace = noise(rng)
    for number, start in enumerate(range(2000, 2000 + 15 * 5000, 5000)):
        trace[start : start + 31, 0] += (-12 if number % 3 == 0 else 12) * SPIKE
    found = find_events(trace, threshold=9.0, fs_hz=FS_HZ, sign=sign)
    downwards = sum((one - 2000) % 15_000 > 1000 for one in found.sample.tolist())
    assert len(found) == expected
    assert downwards == {-1: 10, 1: 0, 0: 10}[sign]


def test_spikes_whose_trough_or_later_peak_is_the_larger_are_events_at_the_trough(
    rng: np.random.Generator,
) -> None:
    """One neuron's spikes that vary are not of two; the peak is 0.43 ms after the trough."""
    trace, starts = noise(rng), np.arange(2000, 118_000, 2000)
    for number, start in enumerate(starts.tolist()):
        trough, peak = (14, 9) if number % 2 else (11, 13)
        trace[start : start + 31, 0] += trough * SPIKE
        trace[start + 13 : start + 44, 0] -= peak * SPIKE
    events = find_events(trace, threshold=6.0, fs_hz=FS_HZ)
    assert len(events) == len(starts)
    assert np.abs(events.sample - starts - 15).max() <= 3


def test_peaks_on_either_side_of_a_trough_are_one_event_at_it(rng: np.random.Generator) -> None:
    """They are further apart than the dead time, and larger, but most spikes of the recording point down."""
    trace, starts = noise(rng), np.arange(2000, 118_000, 2000)
    for number, start in enumerate(starts.tolist()):
        beside, trough = (0, 16) if number % 3 else (14, 11)
        for lag, height in ((-12, -beside), (0, trough), (12, -beside)):
            trace[start + lag : start + lag + 31, 0] += height * np.sign(SPIKE) * np.abs(SPIKE) ** 4
    events = find_events(trace, threshold=6.0, fs_hz=FS_HZ)
    assert len(events) == len(starts)
    assert np.abs(events.sample - starts - 15).max() <= 2
