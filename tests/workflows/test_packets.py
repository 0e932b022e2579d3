"""Time stamps of a source: jumps are gaps, and spikes have its times, however the packets are cut."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spikesorter.core.errors import InputError
from spikesorter.workflows.packets import (
    BREAK_S,
    LONGEST_GAP_S,
    Packet,
    SourceClock,
    fill_gaps,
    idle,
    missing,
    scaled,
)

FS_HZ = 100.0


def filled(stamps: np.ndarray, cuts: list[int] | None = None) -> tuple[np.ndarray, np.ndarray, list[int]]:
    """Samples, their stamps, and the samples at which the source began anew."""
    values = np.arange(len(stamps), dtype=np.float32)[:, None]
    cuts = sorted(cuts or [])
    parts = zip(np.split(values, cuts), np.split(stamps, cuts), strict=True)
    found = list(fill_gaps((Packet(*part) for part in parts), fs_hz=FS_HZ, jitter_s=0.05))
    starts = np.cumsum([0, *map(len, found)])
    renewed = [int(start) for start, packet in zip(starts, found, strict=False) if packet.renewed]
    stamped = [packet.stamps for packet in found if packet.stamps is not None and len(packet)]
    return np.concatenate([packet.samples for packet in found])[:, 0], np.concatenate(stamped), renewed


@settings(max_examples=30)
@given(cuts=st.lists(st.integers(0, 400), max_size=8))
def test_a_jump_is_a_gap_wherever_packets_are_cut(cuts: list[int]) -> None:
    stamps = 7 + np.arange(400) / FS_HZ
    stamps[100:] += 0.5
    stamps[200:] += 0.02  # within the jitter
    samples, times, renewed = filled(stamps, cuts)
    assert len(samples) == len(times) == 450
    np.testing.assert_array_equal(np.flatnonzero(np.isnan(samples)), np.arange(100, 150))
    np.testing.assert_allclose(times[:250], 7 + np.arange(250) / FS_HZ)
    np.testing.assert_array_equal(times[~np.isnan(samples)], stamps)
    assert renewed == []


def test_a_night_is_shortened_and_a_clock_that_goes_back_is_a_break(caplog: pytest.LogCaptureFixture) -> None:
    stamps = np.arange(30) / FS_HZ
    stamps[10:] += 3600
    stamps[20:] -= 5000
    with caplog.at_level(logging.WARNING):
        samples, times, renewed = filled(stamps)
    night, back = round(LONGEST_GAP_S * FS_HZ), round(BREAK_S * FS_HZ)
    assert len(samples) == 30 + night + back
    assert renewed == [10, 20 + night]
    assert times[9 + night] == pytest.approx(stamps[10] - 1 / FS_HZ)
    assert [record.getMessage().partition(": ")[2] for record in caplog.records] == [
        "3.6e+03 s are missing", "the clock went back by 5e+03 s"
    ]  # fmt: skip


def test_a_gap_in_the_first_packet_after_a_break_is_no_other_break() -> None:
    stamps = np.array([5.0, 5.01, 6.0])
    found = list(fill_gaps(iter([Packet(np.zeros((3, 1)), stamps, True)]), fs_hz=FS_HZ, jitter_s=0.05))
    assert [(len(packet), packet.renewed) for packet in found] == [(2, True), (98, False), (1, False)]


def test_what_has_no_stamps_or_no_samples_is_passed_on() -> None:
    packets = [idle(2), missing(3, 2, renewed=True), Packet(np.zeros((0, 2)), np.zeros(0))]
    found = list(fill_gaps(iter(packets), fs_hz=FS_HZ, jitter_s=0.05))
    assert found == packets


def test_samples_are_multiplied_and_stamps_kept() -> None:
    packet = Packet(np.array([[2], [-4]], np.int16), np.array([5.0, 5.1]), renewed=True)
    (found,) = scaled(iter([packet]), 0.25)
    assert (found.samples.dtype, found.samples.tolist(), found.renewed) == (np.float32, [[0.5], [-1.0]], True)
    assert found.stamps is packet.stamps
    assert next(scaled(iter([packet]), 1.0)) is packet
    for factor in (0, -1, np.nan, np.inf):
        with pytest.raises(InputError, match="scale must be a number above 0"):
            scaled(iter([packet]), factor)


@given(cuts=st.lists(st.integers(0, 50), max_size=5), forgotten=st.integers(0, 50))
def test_a_spike_has_the_stamp_of_its_sample(cuts: list[int], forgotten: int) -> None:
    stamps = np.cumsum(np.random.default_rng(0).uniform(0, 1, 50))
    clock = SourceClock(FS_HZ)
    for part in np.split(stamps, sorted(cuts)):
        clock.add(Packet(np.zeros((len(part), 1)), part))
    clock.forget(forgotten)
    assert [clock.time_s(k) for k in range(forgotten, 50)] == stamps[forgotten:].tolist()
    assert clock.time_s(52) == pytest.approx(stamps[-1] + 3 / FS_HZ)


def test_without_stamps_seconds_are_counted_from_the_nearest_that_has_one() -> None:
    clock = SourceClock(FS_HZ)
    clock.add(missing(10, 1))
    assert clock.time_s(5) == 0.05
    clock.add(Packet(np.zeros((2, 1)), np.array([8.0, 8.01])))
    clock.add(missing(10, 1))
    assert [round(clock.time_s(k), 6) for k in (5, 10, 11, 15)] == [7.95, 8.0, 8.01, 8.05]
