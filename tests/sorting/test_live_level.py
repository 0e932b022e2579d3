"""A stream whose noise is not that of the sorter is told, once, in whatever packets it comes."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spikesorter.signal.screen import Screen
from spikesorter.sorting import live_level
from spikesorter.sorting.live_level import LiveLevel
from spikesorter.sorting.screens import measure_quiet, new_screen
from tests.decoding.test_run import DECODERS
from tests.sorting.test_stream import ARRIVING, state_of, stream_of

FS_HZ = 1000.0
NOISE = np.random.default_rng(0).standard_normal((6000, 2))
NAMES = ["e1", "e2"]
KNOWN = Screen(12, np.full(2, 20.0), measure_quiet(NOISE, Screen(12, *[np.ones(2)] * 3)), np.zeros(2))
UNIT_CHANGES = np.concatenate([NOISE[:2000], 100 * NOISE[2000:4000], NOISE[4000:]])


@given(cuts=st.lists(st.integers(0, len(NOISE)), max_size=8))
@settings(max_examples=20)
def test_each_second_is_compared_however_it_arrives(cuts: list[int]) -> None:
    level, doubts = LiveLevel(KNOWN, FS_HZ, NAMES), {}
    for packet in np.split(UNIT_CHANGES, sorted(cuts)):
        level.push(packet)
        doubts[level._second] = level.doubt
    for second, doubt in doubts.items():
        assert bool(doubt) == (second in (3, 4))
    assert level._second == 6


def test_it_is_told_when_it_begins_and_not_again_until_it_was_long_over(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_level, "CALM_SECONDS", 2)
    level = LiveLevel(KNOWN, FS_HZ, NAMES)
    with caplog.at_level(logging.WARNING):
        for loud in (0, 1, 1, 0, 1, 0, 0, 1):
            level.push((1 + 99 * loud) * NOISE[:1000])
    told = [record.getMessage().partition(": ")[0] for record in caplog.records]
    assert told == ["second 2 of the stream", "second 8 of the stream"]
    assert "calibrate on it" in caplog.text


@pytest.mark.parametrize("gap", [np.nan, 0.0, np.inf])
def test_missing_and_dead_seconds_are_no_other_level(gap: float) -> None:
    level = LiveLevel(KNOWN, FS_HZ, NAMES)
    for packet in (NOISE[:1500], np.full((1000, 2), gap), NOISE[:1500]):
        level.push(packet)
        assert level.doubt == ""


@given(cuts=st.lists(st.integers(0, 6000), max_size=8))
@settings(max_examples=20)
def test_the_first_second_that_fits_is_known_however_it_arrives(cuts: list[int]) -> None:
    trace = np.concatenate([100 * NOISE[:1000], np.full((1000, 2), np.nan), NOISE[:4000]])
    level = LiveLevel(KNOWN, FS_HZ, NAMES)
    for packet in np.split(trace, sorted(cuts)):
        level.push(packet)
        assert level.fits_from == (2000 if level.compared_samples >= 3000 else None)
    level.flush()  # nothing is left
    assert (level.fits_from, level.compared_samples) == (2000, 6000)


def test_what_is_left_at_the_end_is_compared_too() -> None:
    level = LiveLevel(KNOWN, FS_HZ, NAMES)
    level.push(NOISE[:500])
    assert level.fits_from is None
    level.flush()
    assert level.fits_from == 0


def test_after_a_break_a_whole_second_has_to_fit_again() -> None:
    level = LiveLevel(KNOWN, FS_HZ, NAMES)
    level.push(NOISE[:1500])
    assert level.fits_from == 0
    level.renew()
    level.push(NOISE[:500])  # the end of a second that began before
    assert level.fits_from is None
    level.push(NOISE[:1000])
    assert level.fits_from == 2000


def test_a_model_that_does_not_know_its_noise_fits_anything() -> None:
    level = LiveLevel(new_screen(fs_hz=FS_HZ, channels=2), FS_HZ, NAMES)
    assert level.fits_from == 0
    level.renew()
    assert level.fits_from == 0


def test_a_stream_fits_nothing_while_it_is_calibrated() -> None:
    stream = stream_of(state_of(DECODERS[0], 0), calibration_samples=20)
    stream.renew()
    assert (stream.fits_from, stream.compared_samples) == (None, 0)
    stream.push(ARRIVING[:30])
    assert stream.fits_from == 0


def test_spikes_of_a_stream_bear_its_doubt() -> None:
    decoder = DECODERS[0]
    stream = stream_of(state_of(decoder, 0))
    assert stream.push(ARRIVING[:10]).doubts == ()
    stream._running.level.doubt = "its noise is 9 times that of D1"  # type: ignore[union-attr]
    assert stream.push(ARRIVING[10:20]).doubts == (stream.doubt,)


@pytest.mark.parametrize("value", [0.0, np.nan, 7.0])
def test_a_channel_that_is_dead_for_a_second_is_named_while_others_are_on(value: float) -> None:
    level = LiveLevel(KNOWN, FS_HZ, NAMES)
    trace = NOISE[:4000].copy()
    trace[1000:2000, 1] = value
    trace[2500:3500, 0] = value  # neither of the two seconds is wholly dead
    doubts = []
    for packet in np.split(trace, 4):
        level.push(packet)
        doubts.append(level.doubt.partition(" is ")[0])
    assert doubts == ["", "channel e2", "", ""]


def test_a_channel_with_next_to_no_noise_is_switched_off() -> None:
    level = LiveLevel(KNOWN, FS_HZ, NAMES)
    level.push(NOISE[:1000] * [0.02, 1.0])
    assert level.doubt.startswith("channel e1 is dead or missing, and nothing is sorted while it is")
    assert level.doubt.endswith("go by the others: listen --without e1, Sorter.without_channels")
