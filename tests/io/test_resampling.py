from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from spikeinterface.core import NumpyRecording

from spikesorter.io.resampling import resampled

PATH = Path("a")


@pytest.fixture
def trace(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(size=(90_000, 2)).astype(np.float32)


def at_25_khz(trace: np.ndarray) -> np.ndarray:
    return np.asarray(resampled(PATH, NumpyRecording([trace], 30_000.0), 25_000.0).get_traces())


def test_missing_samples_are_not_spread_by_resampling(trace: np.ndarray) -> None:
    holed = trace.copy()
    holed[30_000:30_600, 1] = np.nan
    holed[-3:] = np.inf
    whole, changed = at_25_khz(trace), at_25_khz(holed)
    assert np.isfinite(whole).all()
    missing = np.isnan(changed)
    expected = np.zeros_like(missing)
    expected[24_875:25_625, 1] = expected[74_872:] = True
    np.testing.assert_array_equal(missing, expected)
    np.testing.assert_allclose(changed[~missing], whole[~missing], atol=0.02)


def test_a_channel_that_is_missing_throughout_leaves_the_others_as_they_are(trace: np.ndarray) -> None:
    gone = trace.copy()
    gone[:, 0] = np.nan
    changed = at_25_khz(gone)
    assert np.isnan(changed[:, 0]).all()
    np.testing.assert_array_equal(changed[:, 1], at_25_khz(trace)[:, 1])


def test_parts_and_channels_are_read_as_of_the_whole(trace: np.ndarray) -> None:
    trace[30_000:30_600, 1] = np.nan
    changed = resampled(PATH, NumpyRecording([trace], 30_000.0), 25_000.0)
    every = changed.get_traces()
    for start, stop in ((24_000, 25_000), (25_000, 25_100), (25_600, 26_000)):
        part = changed.get_traces(start_frame=start, end_frame=stop)
        np.testing.assert_array_equal(np.isnan(part), np.isnan(every[start:stop]))
    one = changed.select_channels([1]).get_traces(start_frame=24_000, end_frame=26_000)
    np.testing.assert_array_equal(np.isnan(one[:, 0]), np.isnan(every[24_000:26_000, 1]))


def test_a_recording_of_the_same_rate_stays_as_it_is(trace: np.ndarray) -> None:
    trace[:5] = np.nan
    recording = NumpyRecording([trace], 30_000.0)
    assert resampled(PATH, recording, 30_000.0) is recording
    assert resampled(PATH, recording, None) is recording


def test_a_rate_that_is_reached_up_to_a_millionth_gives_no_warning() -> None:
    odd = NumpyRecording([np.zeros((3000, 1), np.float32)], 29_999.97)
    assert resampled(PATH, odd, 25_000.0).get_num_frames() == 2500
