"""The ZMQ Interface of the Open Ephys GUI: its messages, as bytes and over real sockets on this machine."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spikesorter.core.errors import InputError
from spikesorter.sorting.live_groups import GroupStreams
from spikesorter.workflows import open_ephys
from spikesorter.workflows.live import LiveSpike, listen
from spikesorter.workflows.open_ephys import (
    Blocks,
    event_request,
    from_zmq,
    heartbeat,
    parse,
    spike_message,
)
from spikesorter.workflows.packets import Packet, fill_gaps
from tests.decoding.test_run import DECODERS
from tests.sorting.test_stream import ARRIVING, FS_HZ, from_file, state_of, stream_of

HANGS_S = 60  # guards against hanging only
SAMPLES = np.concatenate([ARRIVING] * 8)[:2000]
SPIKE = LiveSpike(120, 40.0048, "basket", 2, "", 0.9, 0.8, 0.004)


def message(channel: int, start: int, samples: np.ndarray, **changes: Any) -> list[bytes]:
    """A message of the plugin, version 1.0, as its source has it."""
    content = {
        "stream": "Rhythm Data",
        "channel_num": channel,
        "channel_name": f"CH{channel + 1}",
        "num_samples": len(samples),
        "sample_num": start,
        "sample_rate": FS_HZ,
    }
    header = {"message_num": 1, "type": "data", "content": content | changes, "data_size": 4 * len(samples)}
    return [b"DATA\0", json.dumps(header | {"timestamp": 1}).encode(), samples.astype("<f4").tobytes()]


def messages(
    samples: np.ndarray, *, first: int = 0, block: int = 100, channels: tuple[int, ...] = (3, 7)
) -> Iterator[list[bytes]]:
    for start in range(0, len(samples), block):
        part = samples[start : start + block]
        for place, channel in enumerate(channels):
            yield message(channel, first + start, part[:, place])


def blocks_of(found: Iterator[list[bytes]], channels: int = 2) -> list[Packet]:
    blocks = Blocks(channels, FS_HZ)
    packets = (one for frames in found if (data := parse(frames)) for one in blocks.add(data))
    return list(fill_gaps(packets, fs_hz=FS_HZ, jitter_s=0.5 / FS_HZ))


def test_channels_of_a_block_are_put_together_with_the_guis_sample_numbers() -> None:
    packets = blocks_of(messages(SAMPLES, first=4_000_000))
    np.testing.assert_array_equal(np.concatenate([packet.samples for packet in packets]), SAMPLES)
    stamps = np.concatenate([packet.stamps for packet in packets if packet.stamps is not None])
    np.testing.assert_array_equal(np.round(stamps * FS_HZ), 4_000_000 + np.arange(len(SAMPLES)))


def test_channels_are_in_the_order_of_their_numbers_in_whatever_order_they_come() -> None:
    swapped = SAMPLES[:, ::-1]
    packets = blocks_of(messages(swapped, channels=(7, 3)))
    np.testing.assert_array_equal(np.concatenate([packet.samples for packet in packets]), SAMPLES)


def test_one_who_joins_in_the_middle_of_a_block_begins_with_the_next() -> None:
    packets = blocks_of(list(messages(SAMPLES))[1:].__iter__())
    np.testing.assert_array_equal(np.concatenate([packet.samples for packet in packets]), SAMPLES[100:])


def test_lost_messages_are_missing_samples() -> None:
    sent = list(messages(SAMPLES))
    del sent[10], sent[20:24]  # one channel of a block, and (as the list is shorter by one) parts of three
    samples = np.concatenate([packet.samples for packet in blocks_of(iter(sent))])
    assert len(samples) == len(SAMPLES)
    known = np.isfinite(samples)
    np.testing.assert_array_equal(samples[known], SAMPLES[known])
    assert 0 < np.count_nonzero(~known[:, 0]) < 400


def test_one_channel_is_a_stream_too() -> None:
    packets = blocks_of(messages(SAMPLES[:, :1], channels=(0,)), channels=1)
    np.testing.assert_array_equal(np.concatenate([packet.samples for packet in packets]), SAMPLES[:, :1])


def test_a_restart_of_the_acquisition_is_a_break() -> None:
    sent = [*messages(SAMPLES[:500], first=9000), *messages(SAMPLES[500:])]
    packets = blocks_of(iter(sent))
    assert sum(packet.renewed for packet in packets) == 1
    samples = np.concatenate([packet.samples for packet in packets])
    np.testing.assert_array_equal(samples[np.isfinite(samples).all(axis=1)], SAMPLES)


def test_events_and_spikes_of_the_gui_are_passed_over() -> None:
    for kind in ("event", "spike", "param"):
        assert parse([b"EVENT\0", json.dumps({"type": kind}).encode(), b""]) is None


@pytest.mark.parametrize(
    ("frames", "words"),
    [
        ([b"DATA"], "no ZMQ Interface"),
        ([b"DATA", b"{", b""], "no ZMQ Interface"),
        ([b"DATA", b"[]", b""], "no ZMQ Interface"),
        ([b"DATA", b'{"type": "data"}', b""], "no ZMQ Interface"),
        ([b"DATA", b'{"type": "data", "content": 5}', b""], "no ZMQ Interface"),
        (message(0, 0, SAMPLES[:5, 0])[:2], "no ZMQ Interface"),
        ([*message(0, 0, SAMPLES[:5, 0])[:2], b"123"], "no ZMQ Interface"),
        (message(0, 0, SAMPLES[:5, 0], num_samples=6), "6 samples announced, 5 there"),
        (message(0, 0, SAMPLES[:5, 0], n_channels=16), "before 0.6"),
        (message(0, -1, SAMPLES[:5, 0]), "sample number -1"),
        (message(0, 1 << 60, SAMPLES[:5, 0]), "sample number"),
    ],
)
def test_other_messages_are_refused(frames: list[bytes], words: str) -> None:
    with pytest.raises(InputError, match=words):
        parse(frames)


@given(st.lists(st.binary(max_size=60), max_size=4))
def test_any_bytes_are_refused_or_passed_over(frames: list[bytes]) -> None:
    with contextlib.suppress(InputError):
        parse(frames)


def test_what_does_not_fit_the_sorter_is_said() -> None:
    with pytest.raises(InputError, match="sampled at 30000 Hz; the sorter expects 1000 Hz"):
        blocks_of(iter([message(0, 0, SAMPLES[:5, 0], sample_rate=30_000)]))
    for channels in (1, 3):
        words = rf"sends 2 channel\(s\), but the sorter expects {channels}; select them in the plugin"
        with pytest.raises(InputError, match=words):
            blocks_of(messages(SAMPLES), channels=channels)
    endless = (message(channel, 0, SAMPLES[:5, 0]) for channel in range(1 << 20))
    with pytest.raises(InputError, match=r"sends 4096 channel\(s\)"):
        blocks_of(endless)
    sent = list(messages(SAMPLES))
    with pytest.raises(InputError, match="other channels than before"):
        blocks_of(iter([*sent, *messages(SAMPLES, first=2000, channels=(3, 8))]))
    with pytest.raises(InputError, match="channels of different lengths"):
        blocks_of(iter([*sent, message(3, 2000, SAMPLES[:5, 0]), message(7, 2000, SAMPLES[:6, 0])]))


def test_a_spike_goes_out_as_the_plugin_sends_spikes() -> None:
    envelope, header, data = spike_message(SPIKE, number=5, fs_hz=1000.0, now_ms=7)
    stored = json.loads(header)
    assert (envelope, data, stored["message_num"], stored["type"]) == (b"EVENT\0", b"", 5, "spike")
    spike = stored["spike"]
    keys = {"stream", "source_node", "electrode", "sample_num", "num_channels", "num_samples", "sorted_id"}
    assert keys | {"threshold"} <= spike.keys()
    assert (spike["sample_num"], spike["sorted_id"], spike["unit"]) == (40_005, 2, "basket")
    event = json.loads(event_request(SPIKE, fs_hz=1000.0))
    assert event["event"] == {"type": 3, "sample_num": 40_005, "event_id": 1, "event_channel": 2}
    beat = json.loads(heartbeat())
    assert (beat["type"], beat["application"]) == ("heartbeat", "spikesorter")
    assert beat["uuid"] == event["uuid"]


# With real sockets ------------------------------------------------------------------------------------------


def test_samples_of_a_publisher_are_sorted_and_it_hears_heartbeats() -> None:
    zmq = pytest.importorskip("zmq")
    context = zmq.Context()
    data, control, port = two_ports(context, zmq)
    beats: list[Any] = []
    done = threading.Event()

    def serve() -> None:
        end = time.monotonic() + HANGS_S
        while not control.poll(10) and time.monotonic() < end:  # until it is connected
            pass
        beats.append(json.loads(control.recv()))
        control.send(b"heartbeat received")
        while (
            not done.is_set() and time.monotonic() < end
        ):  # a subscriber misses what was sent before it came
            for frames in messages(SAMPLES, first=sent[0]):
                data.send_multipart(frames)
            sent[0] += len(SAMPLES)
            time.sleep(0.01)

    sent = [0]
    thread = threading.Thread(target=serve)
    thread.start()
    stream = stream_of(state_of(DECODERS[1], 5))
    packets = from_zmq("127.0.0.1", port, fs_hz=FS_HZ, channels=2)
    found = []
    for spike in listen(packets, GroupStreams.of(stream), stopped=done.is_set):
        found.append(spike)
        if len(found) == 500:
            done.set()
    thread.join()
    context.destroy(linger=0)
    assert beats[0]["application"] == "spikesorter"
    first = round(found[0].time_s * FS_HZ) - found[0].sample
    received = np.concatenate([SAMPLES] * 9)[first % len(SAMPLES) :]
    expected = from_file(state_of(DECODERS[1], 5), received).sample[:500].tolist()
    assert [spike.sample for spike in found[:500]] == expected


def two_ports(context: Any, zmq: Any) -> tuple[Any, Any, int]:
    """A publisher, and one who answers on the next port, as the plugin has them."""
    while True:
        data, control = context.socket(zmq.PUB), context.socket(zmq.REP)
        port = data.bind_to_random_port("tcp://127.0.0.1")
        try:
            control.bind(f"tcp://127.0.0.1:{port + 1}")
        except zmq.ZMQError:  # another process has it
            data.close(linger=0)
            control.close(linger=0)
            continue
        return data, control, port


def test_a_publisher_of_something_else_is_named() -> None:
    zmq = pytest.importorskip("zmq")
    context = zmq.Context()
    data, _, port = two_ports(context, zmq)
    packets = from_zmq("127.0.0.1", port, fs_hz=FS_HZ, channels=2)
    assert len(next(packets)) == 0  # it lets others act while it waits

    def hear() -> None:
        end = time.monotonic() + HANGS_S
        while time.monotonic() < end:
            data.send(b"weather: rain")
            next(packets)

    with pytest.raises(InputError, match=rf"zmq://127.0.0.1:{port}: is no ZMQ Interface"):
        hear()
    context.destroy(linger=0)


def test_without_the_library_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "zmq", None)
    with pytest.raises(InputError, match="zmq://a:1: needs pyzmq .*neural-spike-sorter.live"):
        next(from_zmq("a", 1, fs_hz=FS_HZ, channels=2))
    assert open_ephys.HEARTBEAT_S < 5
