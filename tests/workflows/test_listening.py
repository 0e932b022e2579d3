"""What `listen` reports and when: from what fits on, and at every end all that is known."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spikesorter.core.errors import InputError
from spikesorter.core.spikes import Spikes
from spikesorter.sorting.live_groups import GroupStreams
from spikesorter.sorting.screens import measure_quiet
from spikesorter.sorting.stream import Stream
from spikesorter.workflows.latency import Latency
from spikesorter.workflows.live import FitGate, LiveSpike, listen
from spikesorter.workflows.packets import Packet, missing
from tests.decoding.test_run import DECODERS
from tests.sorting.test_stream import ARRIVING, FS_HZ, SCREEN, from_file, state_of, stream_of

SAMPLES = np.concatenate([ARRIVING] * 16)[:5000]
KNOWN = replace(SCREEN, quiet=measure_quiet(SAMPLES, SCREEN))


def state() -> Any:
    one = state_of(DECODERS[1], 5)
    one.own_screen = KNOWN
    return one


def found(packets: Iterator[Packet] | list[np.ndarray], stream: Stream, **options: Any) -> list[LiveSpike]:
    if isinstance(packets, list):
        packets = iter([Packet(samples) for samples in packets])
    return list(listen(packets, GroupStreams.of(stream), **options))


def samples_of(spikes: list[LiveSpike]) -> list[int]:
    return [spike.sample for spike in spikes]


EXPECTED = from_file(state(), SAMPLES).sample.tolist()


@settings(max_examples=15)
@given(cuts=st.lists(st.integers(0, 5000), max_size=8), trust=st.booleans())
def test_a_stream_that_fits_is_reported_whole(cuts: list[int], trust: bool) -> None:
    parts = np.split(SAMPLES, sorted(cuts))
    assert samples_of(found(parts, stream_of(state()), trust=trust)) == EXPECTED


def test_spikes_of_the_first_second_wait_until_it_has_been_compared() -> None:
    def packets() -> Iterator[Packet]:
        for first in range(0, 3000, 100):
            came.append(first + 100)
            yield Packet(SAMPLES[first : first + 100])

    came: list[int] = []
    seen = [(spike.sample, came[-1]) for spike in listen(packets(), GroupStreams.of(stream_of(state())))]
    assert min(at for _, at in seen) == 1000
    assert max(at - sample for sample, at in seen if sample > 1000) < 300
    came.clear()
    first, at = next(
        (spike.sample, came[-1])
        for spike in listen(packets(), GroupStreams.of(stream_of(state())), trust=True)
    )
    assert at - first < 300


@settings(max_examples=15, deadline=None)
@given(cuts=st.lists(st.integers(0, 5000), max_size=8))
def test_what_does_not_fit_is_not_reported_until_it_does(cuts: list[int]) -> None:
    wrong = SAMPLES.copy()
    wrong[:2500] *= 50
    parts = np.split(wrong, sorted(cuts))
    spikes = samples_of(found(parts, stream_of(state())))
    assert spikes == [sample for sample in from_file(state(), wrong).sample.tolist() if sample >= 3000]
    trusted = samples_of(found(parts, stream_of(state()), trust=True))
    assert trusted == from_file(state(), wrong).sample.tolist()


def test_spikes_held_back_are_forgotten_when_their_second_did_not_fit() -> None:
    stream: Any = SimpleNamespace(fits_from=None, compared_samples=0, doubt="loud", fs_hz=FS_HZ)
    gate = FitGate(stream, trust=False)
    assert len(gate.pass_on(Spikes([100, 999, 1000, 1999, 2000], [1] * 5))) == 0
    stream.compared_samples = 1000
    assert len(gate.pass_on(Spikes([2500], [1]))) == 0
    assert (gate.withheld, sum(map(len, gate._held))) == (2, 4)
    stream.compared_samples, stream.fits_from = 3000, 2000
    assert gate.pass_on(Spikes([2600], [1])).sample.tolist() == [2000, 2500, 2600]
    assert (gate.withheld, gate.end()) == (4, "")


def test_it_is_said_how_many_were_not_reported(caplog: pytest.LogCaptureFixture) -> None:
    wrong = SAMPLES.copy()
    wrong[:2500] *= 50
    with caplog.at_level(logging.WARNING):
        found([wrong[:2000], wrong[2000:]], stream_of(state()))
    assert "fits the model from 3 s on;" in caplog.text
    assert "spikes before were not reported" in caplog.text


def other(kind: str) -> np.ndarray:
    """Bytes of something else, read as int16."""
    scaled = (100 * SAMPLES).astype(np.float32)
    if kind == "float32":
        data = scaled.tobytes()
    elif kind == "swapped":
        data = scaled.astype(">i2").tobytes()
    else:
        page = "".join(f"HTTP/1.1 400 Bad Request\r\nX-Line: {k * 7919 % 997}\r\n" for k in range(400))
        data = page.encode()
    return np.frombuffer(data[: len(data) // 4 * 4], np.int16).reshape(-1, 2)


@pytest.mark.parametrize("kind", ["float32", "swapped", "text"])
@pytest.mark.parametrize("length", [120, 3000])
def test_other_bytes_give_no_spikes_but_a_reason(kind: str, length: int) -> None:
    counts = (100 * SAMPLES).astype(np.int16)
    one = state()
    one.own_screen = replace(SCREEN, quiet=measure_quiet(counts, SCREEN))
    one.profile.offset = one.profile.offset * 100
    reported: list[LiveSpike] = []
    wrong = other(kind)[:length]
    assert len(from_file(one, wrong)) > 0
    with pytest.raises(InputError, match=r"does not fit the model, so \d+ spikes were not reported.*--trust"):
        reported.extend(listen(iter([Packet(wrong)]), GroupStreams.of(stream_of(one))))
    assert reported == []


def test_after_a_break_it_has_to_fit_again() -> None:
    wrong = SAMPLES[:2000] * 50
    packets = [Packet(SAMPLES[:2000]), missing(100, 2, renewed=True), Packet(wrong), Packet(SAMPLES)]
    spikes = samples_of(found(iter(packets), stream_of(state())))
    assert spikes
    assert any(sample < 2000 for sample in spikes)
    assert any(sample > 5000 for sample in spikes)
    assert not any(2100 <= sample < 4000 for sample in spikes)


def test_a_silent_stream_reports_nothing_and_is_no_error() -> None:
    assert found([np.zeros((3000, 2)), np.full((500, 2), np.nan)], stream_of(state())) == []


def test_it_is_told_once_that_sorting_is_behind(caplog: pytest.LogCaptureFixture) -> None:
    class Slow(Latency):
        def arrived(self, received_samples: int, *, waited_s: float) -> None:
            self._behind = next(behind)

    behind = iter([0.5, 2.0, 5.0, 0.05, 3.0])
    with caplog.at_level(logging.WARNING):
        found(list(np.split(SAMPLES, 5)), stream_of(state()), latency=Slow(FS_HZ))
    said = [record.getMessage().partition(" behind")[0] for record in caplog.records]
    assert said == ["sorting is 2.0 s", "sorting is 3.0 s"]


# Ends -------------------------------------------------------------------------------------------------------


def test_a_source_that_fails_is_an_error_after_all_spikes_were_reported() -> None:
    def packets() -> Iterator[Packet]:
        yield Packet(SAMPLES[:2500])
        raise InputError("tcp://amplifier:1: the connection was lost")

    reported: list[LiveSpike] = []
    with pytest.raises(InputError, match="the connection was lost"):
        reported.extend(listen(packets(), GroupStreams.of(stream_of(state()))))
    assert samples_of(reported) == from_file(state(), SAMPLES[:2500]).sample.tolist()


def test_one_who_asks_to_stop_gets_all_spikes_of_what_was_received() -> None:
    asked = iter([False, True])
    spikes = found(list(np.split(SAMPLES, 5)), stream_of(state()), stopped=lambda: next(asked))
    assert samples_of(spikes) == from_file(state(), SAMPLES[:2000]).sample.tolist()


def test_a_source_that_is_stopped_too_is_no_error() -> None:
    def packets() -> Iterator[Packet]:
        yield Packet(SAMPLES)
        asked.append(True)
        raise InputError("ended in the middle of a sample")

    asked: list[bool] = []
    assert samples_of(found(packets(), stream_of(state()), stopped=lambda: bool(asked))) == EXPECTED


def test_an_end_during_calibration_says_so_and_a_failure_says_itself() -> None:
    def packets(*, fails: bool) -> Iterator[Packet]:
        yield Packet(SAMPLES[:100])
        if fails:
            raise InputError("lost")

    for fails, words in ((False, "before its calibration"), (True, "lost")):
        with pytest.raises(InputError, match=words):
            found(packets(fails=fails), stream_of(state(), calibration_samples=1000))


def test_times_are_those_of_the_source() -> None:
    stamps = 400 + np.arange(5000) / FS_HZ * 1.001
    packets = [Packet(SAMPLES[k : k + 100], stamps[k : k + 100]) for k in range(0, 5000, 100)]
    spikes = found(iter(packets), stream_of(state()))
    assert [spike.time_s for spike in spikes] == stamps[samples_of(spikes)].tolist()
