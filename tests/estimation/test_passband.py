"""A target that was filtered, when the labelled recording was not, is told."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from scipy.signal import butter, sosfilt
from spikeinterface.core import NumpyRecording

from spikesorter import Sorter, load_settings
from spikesorter.estimation.passband import octaves_lacking
from spikesorter.simulate import simulate_study

FS_HZ = 25_000.0


@pytest.mark.parametrize("level", [0.01, 1.0, 50.0])
def test_noise_of_another_level_or_colour_lacks_nothing(level: float) -> None:
    f = np.arange(1, 1026)[:, None] / 1025
    labelled = 1 / f
    assert octaves_lacking(level * labelled, labelled, np.ones(1)) == 0
    assert octaves_lacking(level * (0.3 + 1 / (1 + (f / 0.02) ** 2)), labelled, np.ones(1)) < 1.5


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
    forecast = sorter.adapt(NumpyRecording([trace.astype(np.float32)], FS_HZ)).forecast
    assert ("was filtered and the labelled recording was not" in caplog.text) is filtered
    assert (forecast.low == 0) is filtered
    assert any("filtered" in one for one in forecast.remarks) is filtered
