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
from spikesorter.sorting.screening import measure_quiet
from tests.decoding.test_run import DECODERS
from tests.sorting.test_stream import ARRIVING, state_of, stream_of

FS_HZ = 1000.0
NOISE = np.random.default_rng(0).standard_normal((6000, 2))
KNOWN = Screen(12, np.full(2, 20.0), measure_quiet(NOISE, Screen(12, *[np.ones(2)] * 3)), np.zeros(2))
UNIT_CHANGES = np.concatenate([NOISE[:2000], 100 * NOISE[2000:4000], NOISE[4000:]])


@given(cuts=st.lists(st.integers(0, len(NOISE)), max_size=8))
@settings(max_examples=20)
def test_each_second_is_compared_however_it_arrives(cuts: list[int]) -> None:
    level, doubts = LiveLevel(KNOWN, FS_HZ), {}
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
    level = LiveLevel(KNOWN, FS_HZ)
    with caplog.at_level(logging.WARNING):
        for loud in (0, 1, 1, 0, 1, 0, 0, 1):
            level.push((1 + 99 * loud) * NOISE[:1000])
    told = [record.getMessage().partition(": ")[0] for record in caplog.records]
    assert told == ["second 2 of the stream", "second 8 of the stream"]
    assert "calibrate on it" in caplog.text


@pytest.mark.parametrize("gap", [np.nan, 0.0, np.inf])
def test_missing_and_dead_seconds_are_no_other_level(gap: float) -> None:
    level = LiveLevel(KNOWN, FS_HZ)
    for packet in (NOISE[:1500], np.full((1000, 2), gap), NOISE[:1500]):
        level.push(packet)
        assert level.doubt == ""


def test_spikes_of_a_stream_bear_its_doubt() -> None:
    decoder = DECODERS[0]
    stream = stream_of(state_of(decoder, 0))
    assert stream.push(ARRIVING[:10]).doubts == ()
    stream._running.level.doubt = "its noise is 9 times that of D1"  # type: ignore[union-attr]
    assert stream.push(ARRIVING[10:20]).doubts == (stream.doubt,)
