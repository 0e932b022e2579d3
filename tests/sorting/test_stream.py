"""A stream finds what a file gives, to the byte, however it arrives; with decoders of any block and reach."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spikeinterface.core import NumpyRecording

from spikesorter.core.errors import InputError
from spikesorter.core.spikes import Spikes
from spikesorter.decoding.candidates import WorkingPoint
from spikesorter.decoding.run import find_candidates
from spikesorter.signal.hum import hum_kernel
from spikesorter.signal.spans import Margin
from spikesorter.sorting.screening import screened
from spikesorter.sorting.screens import new_screen
from spikesorter.sorting.stream import Stream
from tests.decoding.test_run import DECODERS, TRACE, UNIT, Sums

FS_HZ = 1000.0
NAMES = {UNIT: "basket"}
OFFSET = np.array([3.0, -1.0])
ARRIVING = np.asarray(TRACE + OFFSET, np.float32)
SCREEN = new_screen(fs_hz=FS_HZ, channels=2)
FEW = settings(max_examples=20)


def state_of(decoder: Sums, refractory: int, *, hum_hz: tuple[float, ...] = ()) -> Any:
    """As much of a sorter's state as a stream uses."""
    point = WorkingPoint((UNIT,), (0.6,), refractory, True)
    tuned = SimpleNamespace(decoder=decoder, point=point, above_threshold=point.above_threshold)
    kernel = hum_kernel(hum_hz, fs_hz=FS_HZ) if hum_hz else None
    return SimpleNamespace(
        tuned=tuned,
        profile=SimpleNamespace(offset=OFFSET),
        hum_filter=kernel,
        own_screen=SCREEN,
        seen_samples=3,
        columns=(0, 1),
        used_ids=(),
    )


def stream_of(state: Any, **given_: Any) -> Stream:
    options: dict[str, Any] = {"prepare": lambda _: state} | given_
    return Stream(fs_hz=FS_HZ, channels=2, names=NAMES, **options)


def from_file(state: Any, samples: np.ndarray) -> Spikes:
    source = screened(NumpyRecording([samples], FS_HZ), SCREEN, OFFSET, exclude=None, fs_hz=FS_HZ, n_jobs=1)
    read = source.without_hum(state.hum_filter)
    every = find_candidates(state.tuned.decoder, read, len(samples), 0, len(samples))
    above = state.tuned.above_threshold(every).outside(source.bad, seen_samples=state.seen_samples)
    return state.tuned.point.drop_refractory(above)  # type: ignore[no-any-return]


def pushed(stream: Stream, samples: np.ndarray, cuts: list[int]) -> list[Spikes]:
    return [*(stream.push(packet) for packet in np.split(samples, sorted(cuts))), stream.flush()]


CUTS = st.lists(st.integers(0, len(TRACE)), max_size=12)


@FEW
@given(st.sampled_from(DECODERS), st.integers(0, 40), CUTS, st.integers(1, len(TRACE)))
def test_any_packets_give_what_the_file_gives(
    decoder: Sums, refractory: int, cuts: list[int], length: int
) -> None:
    state, samples = state_of(decoder, refractory), ARRIVING[:length]
    parts = pushed(stream_of(state), samples, [min(cut, length) for cut in cuts])
    found, expected = Spikes.concatenate(parts), from_file(state, samples)
    assert found == expected
    assert found.probability.tobytes() == expected.probability.tobytes()
    assert found.sample.tolist() == sorted(spike.sample for part in parts for spike in part)
    assert {part.fs_hz for part in parts} == {FS_HZ}
    assert all(part.names == NAMES for part in parts)


@settings(max_examples=8)
@given(st.sampled_from(DECODERS), st.lists(st.integers(0, 12_001), max_size=8))
def test_hum_is_removed_from_a_stream_as_from_a_file(decoder: Sums, cuts: list[int]) -> None:
    if decoder.grid_samples == 1:
        decoder = Sums(512, Margin(5, 9))  # else it takes seconds
    rng = np.random.default_rng(0)
    hum = 4 * np.sin(2 * np.pi * 50 * np.arange(12_001) / FS_HZ)
    samples = np.asarray(rng.standard_normal((12_001, 2)) + hum[:, None] + OFFSET, np.float32)
    state = state_of(decoder, 20, hum_hz=(50.0,))
    found = Spikes.concatenate(pushed(stream_of(state), samples, cuts))
    expected = from_file(state, samples)
    assert len(found) > 100
    assert found == expected
    assert found.probability.tobytes() == expected.probability.tobytes()
    assert found != from_file(state_of(decoder, 20), samples)


@FEW
@given(st.sampled_from(DECODERS), CUTS, st.sampled_from([np.nan, np.inf, 7.0]))
def test_a_bad_stretch_in_a_stream_is_that_of_the_file(decoder: Sums, cuts: list[int], value: float) -> None:
    state, samples = state_of(decoder, 5), ARRIVING.copy()
    half = len(samples) // 2
    samples[half : half + 60, 1] = value
    found, expected = Spikes.concatenate(pushed(stream_of(state), samples, cuts)), from_file(state, samples)
    assert found == expected
    assert len(found.within(half, half + 60)) == 0


@FEW
@given(st.sampled_from(DECODERS), st.integers(0, 30), st.integers(1, 40))
def test_what_is_decided_never_changes_and_is_told_at_once(
    decoder: Sums, refractory: int, packet: int
) -> None:
    state = state_of(decoder, refractory)
    stream, told, decided = stream_of(state), Spikes.empty(), 0
    assert stream.state is state
    whole = from_file(state, ARRIVING)
    for first in range(0, len(ARRIVING), packet):
        told = Spikes.concatenate([told, stream.push(ARRIVING[first : first + packet])])
        assert stream.received_samples == min(first + packet, len(ARRIVING))
        assert stream.decided_samples >= decided
        decided = stream.decided_samples
        assert told == whole.within(0, decided)
        assert stream.behind_seconds == pytest.approx((stream.received_samples - decided) / FS_HZ)
        reach = decoder.margin.after + decoder.grid_samples + 2 * decoder.overlap_samples
        screen = (SCREEN.margin_cells.after + 1) * SCREEN.cell_samples
        assert stream.received_samples - decided <= screen + reach + decoder.pick_reach + refractory
    stream.flush()
    assert stream.behind_seconds == 0


@FEW
@given(st.integers(1, 300), st.lists(st.integers(0, 300), max_size=6))
def test_a_stream_is_calibrated_by_its_beginning_which_is_sorted_too(
    calibration: int, cuts: list[int]
) -> None:
    seen: list[np.ndarray] = []
    state = state_of(DECODERS[1], 10)

    def prepare(beginning: np.ndarray) -> Any:
        seen.append(beginning.copy())
        return state

    stream = stream_of(state, prepare=prepare, calibration_samples=calibration)
    assert stream.state is None
    found = []
    for packet in np.split(ARRIVING, sorted(cuts)):
        found.append(stream.push(packet))
        ready = stream.received_samples >= calibration
        assert (stream.state is state) == ready
        assert ready or (len(found[-1]) == 0 and stream.decided_samples == 0)
    found.append(stream.flush())
    assert Spikes.concatenate(found) == from_file(state, ARRIVING)
    (beginning,) = seen
    np.testing.assert_array_equal(beginning, ARRIVING[:calibration])


@pytest.mark.parametrize("samples", [["a"], [None], [True], np.zeros((3, 3)), np.zeros((2, 2, 2)), 5.0])
def test_a_packet_that_is_refused_changes_nothing(samples: Any) -> None:
    one = Stream(fs_hz=FS_HZ, channels=1, names=NAMES, prepare=lambda _: state_of(DECODERS[1], 0))
    with pytest.raises(InputError, match=r"stream: expected (numbers|samples)"):
        one.push(samples)
    assert one.received_samples == 0


def test_a_stream_that_ends_in_its_calibration_says_when() -> None:
    stream = stream_of(state_of(DECODERS[1], 0), calibration_samples=2000)
    stream.push(ARRIVING[:300])
    with pytest.raises(InputError, match=r"ended after 0\.3 s, before its calibration of 2 s"):
        stream.flush()


def test_an_empty_stream_and_an_ended_one() -> None:
    stream = stream_of(state_of(DECODERS[2], 5))
    assert len(stream.flush()) == 0
    for use in (stream.flush, lambda: stream.push(ARRIVING)):
        with pytest.raises(InputError, match="already flushed; make a new one"):
            use()


# Memory and bad stretches ----------------------------------------------------------------------------------


def test_a_long_stream_takes_no_more_memory() -> None:
    stream = stream_of(state_of(DECODERS[3], 10))
    sizes = []
    for _ in range(60):
        stream.push(ARRIVING)
        running = stream._running
        assert running is not None
        assert running.evidence is not None
        sizes.append((len(running.raw.values), len(running.evidence)))
    assert np.max(sizes[30:]) <= np.max(sizes[:30])
    assert max(size for size, _ in sizes) < 4 * len(ARRIVING)


def test_a_stream_tells_its_bad_stretches() -> None:
    samples, half = ARRIVING.copy(), len(ARRIVING) // 2
    samples[half : half + 60] = np.nan
    state = state_of(Sums(16, Margin(1, 9)), 0)
    stream = stream_of(state)
    assert len(stream.bad) == 0
    pushed(stream, samples, [half - 20, half + 30])
    ((start, stop, kind),) = stream.bad
    assert (kind, start <= half, stop >= half + 60) == ("missing", True, True)
    assert len(stream_of(state, calibration_samples=5).bad) == 0
