"""A stream is gated as a file is, to the byte, however its packets are cut."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spikeinterface.core import NumpyRecording

from spikesorter.core.bad_stretches import BadStretches
from spikesorter.signal.screen import Screen
from spikesorter.sorting.live_gate import LiveGate
from spikesorter.sorting.screening import screened

FS_HZ = 4000.0
N = 6_000
OFFSET = np.array([100.0, -3.0])
SCREEN = Screen(2, spikes=np.array([10.0, 12.0]), quiet=np.array([5.0, 5.0]), offset=OFFSET)
WRONG = (np.nan, np.inf, 0.0, 300.0, -90.0)


def spoiled(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    trace = rng.uniform(-2.5, 2.5, (N, 2)) + OFFSET
    for at in rng.integers(0, N, rng.integers(0, 14)):
        length = int(rng.integers(1, 1500))
        trace[at : at + length, rng.integers(2)] = rng.choice(WRONG)
        trace[at + length :] += rng.choice([0.0, 80.0])
    if seed % 2:
        at, channel = rng.integers(0, N), rng.integers(2)
        trace[at : at + 900, channel] = OFFSET[channel] + 0.001 * trace[at : at + 900, channel]  # off
    return trace


def from_file(trace: np.ndarray, screen: Screen = SCREEN) -> tuple[np.ndarray, BadStretches]:
    source = screened(NumpyRecording([trace], FS_HZ), screen, OFFSET, exclude=None, fs_hz=FS_HZ, n_jobs=1)
    return source.read(0, len(trace)), source.bad


def from_stream(
    trace: np.ndarray, cuts: list[int], screen: Screen = SCREEN
) -> tuple[np.ndarray, BadStretches]:
    gate = LiveGate(screen, OFFSET, FS_HZ)
    parts = [gate.push(packet) for packet in np.split(trace, sorted(cuts))]
    return np.concatenate([*parts, gate.flush()]), gate.bad


@pytest.mark.slow
@settings(max_examples=30)
@given(st.integers(0, 1000), st.lists(st.integers(0, N), max_size=30), st.booleans())
def test_any_packets_give_the_gated_file(seed: int, cuts: list[int], prompt: bool) -> None:
    trace, screen = spoiled(seed), replace(SCREEN, prompt=prompt)
    (whole, bad), (streamed, bad_of_stream) = from_file(trace, screen), from_stream(trace, cuts, screen)
    assert bad_of_stream == bad
    assert np.array_equal(streamed, whole)


@pytest.mark.parametrize("length", [3, 64])
def test_small_packets_give_the_gated_file(length: int) -> None:
    trace = spoiled(8)
    whole, bad = from_file(trace)
    streamed, bad_of_stream = from_stream(trace, list(range(length, N, length)))
    assert len(bad) > 1
    assert bad_of_stream == bad
    assert np.array_equal(streamed, whole)


def test_a_channel_that_is_off_is_dead_in_the_stream_as_in_the_file() -> None:
    trace = np.random.default_rng(0).uniform(-2.5, 2.5, (N, 2)) + OFFSET
    trace[3000:, 1] = OFFSET[1] + 0.001 * trace[3000:, 1]
    whole, bad = from_file(trace)
    streamed, bad_of_stream = from_stream(trace, list(range(7, N, 7)))
    assert list(bad) == [(2998, N, "dead")]
    assert bad_of_stream == bad
    assert np.array_equal(streamed, whole)


def test_good_samples_come_out_after_a_delay_that_is_the_screens() -> None:
    trace = np.random.default_rng(0).uniform(-2.5, 2.5, (N, 2)) + OFFSET
    gate = LiveGate(SCREEN, OFFSET, FS_HZ)
    passed = 0
    for k, packet in enumerate(np.split(trace, N // 8)):
        passed += len(gate.push(packet))
        arrived = 8 * (k + 1)
        assert arrived - passed <= (SCREEN.margin_cells.after + 1) * SCREEN.cell_samples
    assert passed + len(gate.flush()) == N


def test_a_dead_hour_is_not_kept() -> None:
    gate = LiveGate(SCREEN, OFFSET, FS_HZ)
    rng = np.random.default_rng(0)
    gate.push(rng.uniform(-2.5, 2.5, (2000, 2)))
    for _ in range(40):
        gate.push(np.zeros((1000, 2)))
    assert len(gate._raw) < 5000
    gate.push(rng.uniform(-2.5, 2.5, (2000, 2)))
    gate.flush()
    assert [kind for _, _, kind in gate.bad] == ["saturated"]  # far from the offset


def test_nothing_received_is_nothing_returned() -> None:
    gate = LiveGate(SCREEN, OFFSET, FS_HZ)
    assert gate.push(np.zeros((0, 2))).shape == (0, 2)
    assert gate.flush().shape == (0, 2)
    assert len(gate.bad) == 0
