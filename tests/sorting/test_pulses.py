"""Pulses of one shape are found among spikes and taps, and their response is subtracted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from spikeinterface.core import NumpyRecording

from spikesorter.io.exclusion import Exclusion
from spikesorter.io.mat import read_mat
from spikesorter.io.mat_writing import write_mat_recording
from spikesorter.io.recording import RecordingOptions
from spikesorter.signal.screen import Screen
from spikesorter.sorting.model import load_model
from spikesorter.sorting.pulses import find_pulses, subtract_pulses, windows_of
from spikesorter.workflows.files import sort_files

FS_HZ = 25_000.0
N = 150_000
SCREEN = Screen(12, spikes=np.array([12.0, 8.0]), quiet=np.array([4.0, 4.0]), offset=np.zeros(2))
PULSES = np.arange(2000, N - 3000, 2501)


def noise() -> np.ndarray:
    """Two channels of noise, with spikes of 10 noise SD on one of them."""
    rng = np.random.default_rng(3)
    trace = rng.standard_normal((N, 2)).astype(np.float32)
    for start in rng.integers(0, N - 30, 300):
        trace[start : start + 30, 0] += 10 * np.hanning(30)
    return trace


def pulse(size: float) -> np.ndarray:
    """Two phases of 0.2 ms, and a slow return."""
    after = np.exp(-np.arange(600) / 100)
    shape = np.r_[np.full(5, 4.0), np.full(5, -4.0), after]
    return np.asarray(size * shape[:, None] * [1.0, 0.6], np.float32)


def pulsed(at: np.ndarray = PULSES, *, size: float = 200.0) -> np.ndarray:
    trace, sizes = noise(), np.random.default_rng(4).normal(1, 0.1, len(at))
    for event, own in zip(at.tolist(), sizes, strict=True):
        trace[event : event + 610] += pulse(own * size)
    return trace


def found(trace: np.ndarray) -> np.ndarray:
    return find_pulses(NumpyRecording([trace], FS_HZ), SCREEN, fs_hz=FS_HZ)


def test_pulses_are_found_where_they_begin() -> None:
    np.testing.assert_array_equal(found(pulsed()), PULSES)


def test_pulses_of_a_train_are_told_apart_within_one_bad_stretch() -> None:
    trains = np.sort(np.r_[PULSES[::2], PULSES[::2] + 250, PULSES[::2] + 500])
    np.testing.assert_array_equal(found(pulsed(trains)), trains)


def test_taps_are_no_pulses() -> None:
    rng, trace = np.random.default_rng(5), pulsed()
    for start in PULSES[:20] + 1200:
        trace[start : start + 200] += 300 * rng.standard_normal((200, 1))
    np.testing.assert_array_equal(found(trace), PULSES)


def test_spikes_and_a_few_pulses_are_none() -> None:
    assert len(found(noise())) == 0
    assert len(found(pulsed(PULSES[:7]))) == 0
    np.testing.assert_array_equal(found(pulsed(PULSES[:8])), PULSES[:8])


def test_pulses_at_the_ends_and_missing_samples_stop_nothing() -> None:
    trace = pulsed()
    trace[:8] += 500
    trace[-3:] -= 500
    trace[60_000:60_050] = np.nan
    np.testing.assert_array_equal(found(trace), PULSES)


def test_the_response_is_subtracted_and_windows_around_pulses_are_bad() -> None:
    recording = NumpyRecording([pulsed()], FS_HZ)
    seen = [PULSES[::2], np.sort(np.r_[PULSES[1::2], PULSES[::2] + 1])]  # of two groups of channels
    cleaned, bad = subtract_pulses(recording, seen, subtract_ms=24, window_ms=(-0.5, 2), fs_hz=FS_HZ)
    assert list(bad.start) == [event - 13 for event in PULSES]
    assert list(bad.stop) == [event + 50 for event in PULSES]
    left = cleaned.get_traces() - noise()
    since = np.arange(N)[:, None] - PULSES
    outside = ((since > 50) & (since < 400)).any(axis=1)
    assert abs(left[outside]).max() < 6  # of 120


def test_that_there_are_no_pulses_is_said(caplog: pytest.LogCaptureFixture) -> None:
    recording = NumpyRecording([noise()], FS_HZ)
    cleaned, bad = subtract_pulses(
        recording, [found(noise())], subtract_ms=24, window_ms=(-0.5, 2), fs_hz=FS_HZ
    )
    assert cleaned is recording
    assert len(bad) == 0
    assert "no pulses of one shape are found" in caplog.text


def test_windows_end_with_the_recording() -> None:
    bad = windows_of(np.array([5, 500, 995]), 1000, window_ms=(-10, 20), fs_hz=1000.0)
    assert list(zip(bad.start, bad.stop, strict=True)) == [(0, 25), (490, 520), (985, 1000)]


@pytest.mark.slow
def test_sorting_at_found_times_gives_what_given_times_give(
    study_folder: Path, labelled_model: Path, tmp_path: Path
) -> None:
    target = read_mat(study_folder / "D2.mat")[0].get_traces()[:100_000].astype(np.float32)
    events = np.arange(2000, 97_000, 2500)
    for event in events:
        target[event : event + 610] += pulse(150.0)[:, :1]
    write_mat_recording(tmp_path / "a.mat", target, fs_hz=FS_HZ)
    (tmp_path / "pulses.csv").write_text("sample\n" + "".join(f"{event}\n" for event in events))
    results = []
    for given in (str(tmp_path / "pulses.csv"), ""):
        asked = Exclusion(events=given, window_ms=(-0.5, 2.0), subtract_ms=24.0)
        (one,) = sort_files(
            [tmp_path / "a.mat"],
            load_model(labelled_model),
            tmp_path / "out",
            options=RecordingOptions(exclude=asked),
            report=False,
        )
        results.append(one.spikes)
    assert len(results[0]) > 50
    np.testing.assert_array_equal(results[0].sample, results[1].sample)
    np.testing.assert_array_equal(results[0].bad.start, results[1].bad.start)
