"""Recordings of which one was filtered otherwise than the other are told."""

from __future__ import annotations

import logging
from functools import cache
from itertools import permutations

import numpy as np
import pytest
from scipy.signal import butter, firwin, sosfilt
from spikeinterface.core import NumpyRecording

from spikesorter import Sorter, load_settings
from spikesorter.estimation.passband import noise_of_parts, octaves_lacking
from spikesorter.simulate import SimulatedRecording, simulate_study
from spikesorter.sorting.doubts import MOST_LACKING
from tests.conftest import PURSUIT

FS_HZ = 25_000.0


FREQUENCIES = np.arange(1, 1026)[:, None] / 1025  # of half the sampling rate
COLOURS = {
    "white": np.ones((1025, 1)),
    "1/f": 1 / FREQUENCIES,
    "1/f2": FREQUENCIES**-2,
    "AR(1) 0.8": 1 / np.abs(1 - 0.8 * np.exp(-1j * np.pi * FREQUENCIES)) ** 2,
    "slow waves": 0.3 + 1 / (1 + (FREQUENCIES / 0.02) ** 2),
    "hum": np.where(FREQUENCIES.round(3) == 0.05, 1e5, 1.0),
}
BANDS = ((500, 4000), (1200, 3000))  # Hz


def response(low: float, high: float, order: int = 3) -> np.ndarray:
    """Return the share of the power that a band-pass filter leaves, and what the estimate leaks."""
    hz = FREQUENCIES * FS_HZ / 2
    return 1 / (1 + (low / hz) ** (2 * order)) / (1 + (hz / high) ** (2 * order)) + 1e-5


def noise_like(power: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return an estimate of a power, which is off by a fifth at each frequency."""
    return power * rng.gamma(25, 1 / 25, power.shape)


@pytest.mark.parametrize("level", [0.01, 1.0, 50.0])
def test_noise_of_another_level_or_colour_lacks_nothing(level: float, rng: np.random.Generator) -> None:
    kernel = firwin(601, 100, fs=FS_HZ, pass_zero=False)
    for one, other in permutations(COLOURS, 2):
        lacking = octaves_lacking(
            noise_like(level * COLOURS[one], rng), noise_like(COLOURS[other], rng), kernel
        )
        assert lacking <= MOST_LACKING, (one, other)


@pytest.mark.parametrize("colour", ["white", "1/f", "AR(1) 0.8"])
def test_filters_are_told_in_either_recording_and_not_if_they_are_alike(
    colour: str, rng: np.random.Generator
) -> None:
    kernel = firwin(601, 100, fs=FS_HZ, pass_zero=False)
    wide, narrow = (COLOURS[colour] * response(*band) for band in BANDS)
    for one, other in ((wide, COLOURS[colour]), (narrow, COLOURS[colour]), (narrow, wide)):
        one, other, same = noise_like(one, rng), noise_like(other, rng), noise_like(one, rng)
        assert octaves_lacking(one, other, kernel) > MOST_LACKING
        assert octaves_lacking(other, one, kernel) == 0
        assert octaves_lacking(one, same, kernel) == 0


def test_no_noise_at_all_lacks_nothing() -> None:
    nothing = np.zeros((1025, 1))
    assert octaves_lacking(nothing, np.ones((1025, 1)), np.ones(1)) == 0
    assert octaves_lacking(np.ones((1025, 1)), nothing, np.ones(1)) == 0


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
@pytest.mark.parametrize(("labelled_too", "target_too"), [(False, True), (True, False), (True, True)])
def test_recordings_that_were_filtered_otherwise_are_told_and_nothing_promised(
    labelled_too: bool, target_too: bool, caplog: pytest.LogCaptureFixture
) -> None:
    unlike = labelled_too is not target_too
    sorter = fitted(labelled_too)
    caplog.set_level(logging.WARNING)
    recording = recorded(study()[1].trace, target_too)
    assert any("filter" in one for one in sorter.sort(recording).doubts) is unlike
    caplog.clear()
    adapted = sorter.adapt(recording)
    forecast = adapted.forecast
    words = "the labelled recording was not" if target_too else "the labelled recording has hardly any"
    assert (words in caplog.text) is unlike
    caplog.clear()
    adapted.sort(recording)
    assert "filter" not in caplog.text  # what the forecast says is not said again
    assert (forecast.low == 0) is unlike
    assert any("filter" in one for one in forecast.remarks) is unlike


@cache
def study() -> list[SimulatedRecording]:
    return simulate_study(units=3, seconds=8, noise_levels=(0.8,), seed=3)


@cache
def fitted(filtered: bool) -> Sorter:
    """Return a sorter of the labelled recording, filtered or not, which no test changes."""
    labelled = study()[0]
    settings = load_settings(assignments=PURSUIT)
    return Sorter.fit(recorded(labelled.trace, filtered), labelled.spikes, settings=settings)


def recorded(trace: np.ndarray, filtered: bool) -> NumpyRecording:
    """Return a recording that was band-pass filtered before, or not."""
    if filtered:
        sections = butter(3, (300, 6000), "band", fs=FS_HZ, output="sos")
        trace = sosfilt(sections, trace.astype(np.float64), axis=0)
    return NumpyRecording([trace.astype(np.float32)], FS_HZ)
