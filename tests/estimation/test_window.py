"""Where templates begin: at the setting, or before it where filters have smeared spikes."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from scipy.signal import butter, sosfiltfilt
from spikeinterface.core import NumpyRecording

from spikesorter import Settings, Sorter, load_settings
from spikesorter.core.spikes import Spikes
from spikesorter.simulate import simulate_study

FS_HZ = 25_000.0
SETTINGS = load_settings(assignments=["decoder=pursuit", "rehearsal.method=plant"])


@pytest.fixture(scope="module")
def labelled() -> tuple[np.ndarray, Spikes]:
    (one,) = simulate_study(units=3, seconds=20, noise_levels=(), seed=3)
    return one.trace, one.spikes


def fitted(trace: np.ndarray, spikes: Spikes, settings: Settings = SETTINGS) -> Sorter:
    return Sorter.fit(NumpyRecording([trace.astype(np.float32)], FS_HZ), spikes, settings=settings)


@pytest.mark.slow
def test_templates_begin_earlier_after_a_filter_that_ran_backwards_too(
    labelled: tuple[np.ndarray, Spikes], caplog: pytest.LogCaptureFixture
) -> None:
    """Else their first samples are as large as their peaks."""
    trace, spikes = labelled
    caplog.set_level(logging.INFO)
    sections = butter(3, (300, 6000), "band", fs=FS_HZ, output="sos")
    filtered = fitted(sosfiltfilt(sections, trace.astype(np.float64), axis=0), spikes)
    assert filtered.settings.templates.before_ms > 1.5
    assert "templates last from" in caplog.text
    waveforms = filtered._state.units.templates.waveforms
    peaks = np.abs(waveforms).max(axis=(1, 2))
    assert np.all(np.abs(waveforms[:, 0]).max(axis=1) < 0.1 * peaks)
    assert filtered.forecast.score > 0.97


@pytest.mark.slow
def test_templates_begin_as_set_where_nothing_lies_before_them(labelled: tuple[np.ndarray, Spikes]) -> None:
    assert fitted(*labelled).settings.templates.before_ms == SETTINGS.templates.before_ms


@pytest.mark.slow
def test_templates_end_later_where_they_have_not_faded(
    labelled: tuple[np.ndarray, Spikes], caplog: pytest.LogCaptureFixture
) -> None:
    short = SETTINGS.replace(templates={"after_ms": 1.0})
    found = fitted(*labelled, settings=short).settings.templates
    assert found.before_ms == SETTINGS.templates.before_ms
    assert 2 < found.after_ms < 7
    assert "of its peak at its end" not in caplog.text
