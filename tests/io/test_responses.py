"""The mean response to events is subtracted wherever a part is read, and what is not a response stays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from spikeinterface.core import NumpyRecording

from spikesorter.core.errors import InputError
from spikesorter.io.exclusion import Exclusion
from spikesorter.io.mat_writing import write_mat_recording
from spikesorter.io.recording import RecordingOptions
from spikesorter.io.responses import FADING, without_responses

FS_HZ = 1000.0
EVENTS = np.arange(300, 9000, 100)
AFTER_MS = 60
UNFADED = round((1 - FADING) * AFTER_MS)
NOISE = np.random.default_rng(0).standard_normal((9040, 2)).astype(np.float32) + np.float32([50.0, -9.0])


def response(sizes: np.ndarray) -> np.ndarray:
    """What each event adds: an onset, and a slow return that differs between channels."""
    shape = np.exp(-np.arange(AFTER_MS) / 15)[:, None] * np.array([1.0, -0.3])
    added = np.zeros_like(NOISE)
    for event, size in zip(EVENTS, sizes, strict=True):
        part = added[event : event + AFTER_MS]
        part += (size * shape)[: len(part)]
    return added


def cleaned(trace: np.ndarray, **others: float) -> Any:
    windows = {"before_ms": 0.0, "after_ms": AFTER_MS} | others
    return without_responses(NumpyRecording([trace], FS_HZ), EVENTS, **windows)


def test_a_response_that_changes_slowly_is_subtracted_and_the_noise_stays() -> None:
    added = response(np.linspace(300, 360, len(EVENTS)))
    left = cleaned(NOISE + added).get_traces() - NOISE
    since = np.arange(len(NOISE))[:, None] - EVENTS
    inside = ((since >= 0) & (since < UNFADED)).any(axis=1)
    assert abs(left[inside]).max() < 15  # of 360
    assert np.std(left) < 4
    np.testing.assert_array_equal(left[:300], 0)
    np.testing.assert_allclose(left[np.arange(390, 9000, 100)], 0, atol=1e-5)


def test_each_response_has_its_own_size_even_where_its_beginning_is_cut_off() -> None:
    sizes = 300 * np.random.default_rng(2).uniform(0.8, 1.2, len(EVENTS))
    trace = np.clip(NOISE + response(sizes), None, 250)
    since = np.arange(len(NOISE))[:, None] - EVENTS
    counted = ((since >= 10) & (since < UNFADED)).any(axis=1)

    def left(blank_ms: float) -> float:
        return float(np.std((cleaned(trace, blank_ms=blank_ms).get_traces() - NOISE)[counted]))

    assert left(10.0) < 1.5
    assert left(0.0) > 2


def test_any_part_is_read_like_the_whole() -> None:
    recording = cleaned(NOISE + response(np.full(len(EVENTS), 300.0)), before_ms=20)
    whole = recording.get_traces()
    rng = np.random.default_rng(1)
    for start, length in zip(rng.integers(0, 9000, 60), rng.integers(1, 300, 60), strict=True):
        part = recording.get_traces(start_frame=start, end_frame=min(start + length, len(NOISE)))
        np.testing.assert_array_equal(part, whole[start : start + length])
    one = recording.select_channels([1]).get_traces(start_frame=250, end_frame=700)
    np.testing.assert_array_equal(one[:, 0], whole[250:700, 1])


def test_responses_end_at_the_next_event_and_spikes_are_no_part_of_them() -> None:
    trace = np.zeros((2000, 1), np.float32)
    events = np.r_[np.arange(100, 1100, 100), 1130]
    trace[events] = 7.0
    trace[320:330] = 5.0  # after one event only
    found = without_responses(NumpyRecording([trace], FS_HZ), events, before_ms=0, after_ms=90).get_traces()
    assert found[320:330].tolist() == [[5.0]] * 10
    assert abs(found[330:]).max() < 1e-6


def test_missing_samples_stay_missing_and_spoil_nothing_else() -> None:
    trace = NOISE + response(np.full(len(EVENTS), 300.0))
    trace[410:460] = np.nan
    left = cleaned(trace).get_traces()
    np.testing.assert_array_equal(np.isnan(left), np.isnan(trace))
    since = np.arange(len(NOISE))[:, None] - EVENTS
    beside = ~((since >= UNFADED) & (since < AFTER_MS)).any(axis=1)
    assert np.nanmax(abs(left - NOISE)[beside]) < 15


def test_few_events_are_refused() -> None:
    with pytest.raises(InputError, match="has 7 of the events; at least 8 are needed"):
        without_responses(NumpyRecording([NOISE], FS_HZ), EVENTS[:7], before_ms=0, after_ms=9)


def test_a_file_is_opened_without_the_responses_that_its_options_name(tmp_path: Path) -> None:
    trace = NOISE + response(np.full(len(EVENTS), 300.0))
    write_mat_recording(tmp_path / "D2.mat", trace, fs_hz=FS_HZ)
    (tmp_path / "pulses.csv").write_text("time_s\n" + "".join(f"{event / FS_HZ}\n" for event in EVENTS))
    exclusion = Exclusion(events=str(tmp_path / "pulses.csv"), window_ms=(0, 2), subtract_ms=AFTER_MS)
    opened = RecordingOptions(exclude=exclusion).open(tmp_path / "D2.mat")
    np.testing.assert_array_equal(opened.recording.get_traces(), cleaned(trace, blank_ms=2.0).get_traces())
    assert opened.source is opened.recording
    assert opened.exclude.start.tolist() == EVENTS.tolist()
    other = Exclusion(events=str(tmp_path / "pulses.csv"), window_ms=(0, 2))
    assert other.digest("D2") != exclusion.digest("D2")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"events": "a.csv", "subtract_ms": -1.0}, "from 0 to 1000"),
    ],
)
def test_what_cannot_be_meant_is_refused(options: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=told):
        Exclusion(**options)


@pytest.mark.parametrize(("events", "groups"), [(8, 1), (48, 1), (49, 2), (80, 2), (81, 3)])
def test_a_short_rest_of_events_belongs_to_the_group_before(events: int, groups: int) -> None:
    recording = NumpyRecording([NOISE], FS_HZ)
    found = without_responses(recording, EVENTS[:events], before_ms=0, after_ms=9)
    assert len(found._kwargs["responses"].shapes) == groups


def test_a_recording_without_any_of_the_events_is_left_as_it_is() -> None:
    recording = NumpyRecording([NOISE], FS_HZ)
    for events in (np.empty(0, np.int64), len(NOISE) + EVENTS):
        assert without_responses(recording, events, before_ms=0, after_ms=9) is recording
