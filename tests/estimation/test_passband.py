"""A target that was filtered, when the labelled recording was not, is told."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from scipy.signal import butter, sosfilt
from spikeinterface.core import NumpyRecording

from spikesorter import Sorter, load_settings
from spikesorter.estimation.passband import noise_of_parts, octaves_lacking
from spikesorter.simulate import simulate_study

FS_HZ = 25_000.0


@pytest.mark.parametrize("level", [0.01, 1.0, 50.0])
def test_noise_of_another_level_or_colour_lacks_nothing(level: float) -> None:
    f = np.arange(1, 1026)[:, None] / 1025
    labelled = 1 / f
    assert octaves_lacking(level * labelled, labelled, np.ones(1)) == 0
    assert octaves_lacking(level * (0.3 + 1 / (1 + (f / 0.02) ** 2)), labelled, np.ones(1)) < 1.5


def test_noise_that_only_the_labelled_recording_has_is_not_lacking() -> None:
    """Hum whose frequency changes, for one, which cannot be removed."""
    labelled = np.ones((1025, 1))
    labelled[3:8] = 1000
    assert octaves_lacking(np.ones((1025, 1)), labelled, np.ones(1)) == 0


def test_noise_is_estimated_away_from_spikes_and_missing_samples(rng: np.random.Generator) -> None:
    parts = rng.normal(5, 1, (8, 8000, 2))
    parts[:, ::1000] += 500
    parts[3, 2000:2500] = np.nan
    parts[5] = 5.0
    power = noise_of_parts(list(parts), np.ones(1), n_fft=256)
    assert power is not None
    np.testing.assert_allclose(power.mean(axis=0), 1, rtol=0.1)


def test_noise_of_too_little_is_not_estimated(rng: np.random.Generator) -> None:
    assert noise_of_parts([rng.normal(size=(50, 1))], np.ones(101), n_fft=64) is None
    assert noise_of_parts([rng.normal(size=(150, 1))], np.ones(101), n_fft=64) is None


@pytest.mark.slow
@pytest.mark.parametrize("filtered", [True, False])
def test_a_filtered_target_is_told_and_nothing_promised(
    filtered: bool, caplog: pytest.LogCaptureFixture
) -> None:
    labelled, target = simulate_study(units=3, seconds=12, noise_levels=(0.8,), seed=3)
    trace = target.trace.astype(np.float64)
    if filtered:
        trace = sosfilt(butter(3, (300, 6000), "band", fs=FS_HZ, output="sos"), trace, axis=0)
    settings = load_settings(assignments=["decoder=pursuit"])
    sorter = Sorter.fit(NumpyRecording([labelled.trace], FS_HZ), labelled.spikes, settings=settings)
    caplog.set_level(logging.WARNING)
    recording = NumpyRecording([trace.astype(np.float32)], FS_HZ)
    assert any("filtered" in one for one in sorter.sort(recording).doubts) is filtered
    caplog.clear()
    adapted = sorter.adapt(recording)
    forecast = adapted.forecast
    assert ("was filtered and the labelled recording was not" in caplog.text) is filtered
    caplog.clear()
    adapted.sort(recording)
    assert "filtered" not in caplog.text  # what the forecast says is not said again
    assert (forecast.low == 0) is filtered
    assert any("filtered" in one for one in forecast.remarks) is filtered
