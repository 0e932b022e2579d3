"""Lab Streaming Layer: a real stream on this machine, its end, its stamps, and what does not fit."""

from __future__ import annotations

import inspect
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import numpy as np
import pylsl
import pytest

from spikesorter.core.errors import InputError
from spikesorter.sorting.live_groups import GroupStreams
from spikesorter.workflows import lsl
from spikesorter.workflows.live import listen
from spikesorter.workflows.lsl import from_lsl
from spikesorter.workflows.packets import Packet
from tests.decoding.test_run import DECODERS
from tests.sorting.test_stream import ARRIVING, FS_HZ, state_of, stream_of

HANGS_S = 120  # guards against hanging only
LONG = np.concatenate([ARRIVING] * 6)


def outlet_of(name: str, *, channels: int = 2, kind: str = "float32") -> pylsl.StreamOutlet:
    info = pylsl.StreamInfo(name, "raw", channels, FS_HZ, kind, name)
    return pylsl.StreamOutlet(info, chunk_size=50, max_buffered=60)


@contextmanager
def sending(name: str, chunks: list[tuple[np.ndarray, float]]) -> Iterator[threading.Thread]:
    """Send chunks, each with the stamp of its last sample, once somebody listens; then end the stream."""

    def serve() -> None:
        outlet = outlet_of(name)
        assert outlet.wait_for_consumers(HANGS_S)
        for samples, stamp in chunks:
            outlet.push_chunk(np.ascontiguousarray(samples), stamp)
        end = time.monotonic() + HANGS_S
        while outlet.have_consumers() and not done.is_set() and time.monotonic() < end:
            time.sleep(0.01)
        del outlet

    done = threading.Event()
    thread = threading.Thread(target=serve)
    thread.done = done  # type: ignore[attr-defined]
    thread.start()
    try:
        yield thread
    finally:
        done.set()
        thread.join()


def chunks_of(samples: np.ndarray, stamps: np.ndarray, length: int) -> list[tuple[np.ndarray, float]]:
    starts = range(0, len(samples), length)
    return [(samples[k : k + length], float(stamps[k : k + length][-1])) for k in starts]


def received(name: str, n_samples: int, thread: Any) -> list[Packet]:
    """All packets until the stream ends, which it does when so many samples have come."""
    packets, end = [], time.monotonic() + HANGS_S
    for packet in from_lsl(name, fs_hz=FS_HZ, channels=2, timeout_s=HANGS_S):
        packets.append(packet)
        if sum(map(len, packets)) >= n_samples:
            thread.done.set()
        assert time.monotonic() < end
    return packets


def test_all_that_was_sent_arrives_and_the_end_of_the_stream_is_an_end() -> None:
    name, stamps = f"end {uuid4()}", 500 + np.arange(len(LONG)) / FS_HZ
    with sending(name, chunks_of(LONG, stamps, 50)) as thread:
        packets = received(name, len(LONG), thread)
    np.testing.assert_array_equal(np.concatenate([packet.samples for packet in packets]), LONG)
    state = state_of(DECODERS[0], 5)
    expected = stream_of(state)
    known = [*expected.push(LONG), *expected.flush()]
    found = list(listen(iter(packets), GroupStreams.of(stream_of(state))))
    assert [spike.sample for spike in found] == [spike.sample for spike in known]
    np.testing.assert_allclose([spike.time_s for spike in found], stamps[[spike.sample for spike in found]])


def test_a_gap_in_the_stamps_is_a_stretch_of_missing_samples() -> None:
    name, stamps = f"gap {uuid4()}", 500 + np.arange(len(LONG)) / FS_HZ
    stamps[1000:] += 0.3
    with sending(name, chunks_of(LONG, stamps, 50)) as thread:
        packets = received(name, len(LONG) + 300, thread)
    stream = stream_of(state_of(DECODERS[0], 5))
    found = list(listen(iter(packets), GroupStreams.of(stream)))
    assert stream.received_samples == len(LONG) + 300
    ((start, stop, kind),) = stream.bad
    assert (kind, start <= 1000, stop >= 1300) == ("missing", True, True)
    after = [spike for spike in found if spike.sample >= 1300]
    assert after
    np.testing.assert_allclose(
        [spike.time_s for spike in after], [stamps[spike.sample - 300] for spike in after]
    )


def test_a_stream_that_ends_is_found_again() -> None:
    name, stamps = f"again {uuid4()}", 500 + np.arange(len(LONG)) / FS_HZ
    packets = from_lsl(name, fs_hz=FS_HZ, channels=2, timeout_s=HANGS_S, reconnect=True)
    n, end = 0, time.monotonic() + HANGS_S
    for part in range(2):
        half = slice(part * 900, (part + 1) * 900)
        with sending(name, chunks_of(LONG[half], stamps[half], 50)):
            while n < 900 * (part + 1):
                n += len(next(packets))
                assert time.monotonic() < end
    assert n == 1800
    packets.close()  # type: ignore[attr-defined]


def test_what_does_not_fit_is_said() -> None:
    name = f"other {uuid4()}"
    outlet = outlet_of(name)
    with pytest.raises(InputError, match=r"2 channel\(s\) at 1000 Hz; the sorter expects 4 at 30000 Hz"):
        next(from_lsl(name, fs_hz=30_000, channels=4, timeout_s=HANGS_S))
    del outlet
    text = outlet_of(name := f"text {uuid4()}", kind="string")
    with pytest.raises(InputError, match="is a stream of text"):
        next(from_lsl(name, fs_hz=FS_HZ, channels=2, timeout_s=HANGS_S))
    del text
    with pytest.raises(InputError, match="no such stream within 0.01 s"):
        next(from_lsl("nobody", fs_hz=FS_HZ, channels=2, timeout_s=0.01))


def test_the_installed_library_has_the_names_that_are_used() -> None:
    """Another version may lack some: then this fails, not a recording."""
    _, lost = lsl._library("x")
    assert issubclass(lost, RuntimeError)
    assert {"timeout"} <= inspect.signature(pylsl.StreamInlet.pull_sample).parameters.keys()
    assert {"timeout", "max_samples"} <= inspect.signature(pylsl.StreamInlet.pull_chunk).parameters.keys()
    for name in ("resolve_byprop", "cf_string"):
        assert hasattr(pylsl, name)
    for name in ("samples_available", "info"):
        assert hasattr(pylsl.StreamInlet, name)
    for name in ("nominal_srate", "channel_count", "channel_format"):
        assert hasattr(pylsl.StreamInfo, name)


def test_a_failure_of_the_library_is_said_in_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    outlet = outlet_of(name := f"fails {uuid4()}")

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("an unknown error has occurred.")

    monkeypatch.setattr(pylsl.StreamInlet, "pull_sample", fail)
    with pytest.raises(InputError, match="lsl:fails .*: an unknown error has occurred"):
        next(from_lsl(name, fs_hz=FS_HZ, channels=2, timeout_s=HANGS_S))
    del outlet
