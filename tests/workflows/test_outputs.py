"""Spikes sent over the network: datagrams, and messages of Open Ephys over real sockets on this machine."""

from __future__ import annotations

import json
import logging
import socket
import time
from typing import Any

import pytest

from spikesorter.core.errors import InputError
from spikesorter.workflows import outputs
from spikesorter.workflows.live import LiveSpike
from spikesorter.workflows.outputs import open_output, ttl_requests

FS_HZ = 1000.0
HANGS_S = 60  # guards against hanging only
SPIKES = [LiveSpike(120 + k, 0.12 + k / 1000, "basket", 1 + k % 2, "", 0.9, 1.0, 0.004) for k in range(20)]


def test_each_datagram_is_a_line_of_json() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(HANGS_S)
        output = open_output(f"udp://127.0.0.1:{receiver.getsockname()[1]}", fs_hz=FS_HZ)
        for spike in SPIKES:
            output.send(spike)
        lines = [receiver.recv(1 << 16) for _ in SPIKES]
        output.close()
    assert [json.loads(line) for line in lines] == [spike.row() for spike in SPIKES]
    assert all(line.endswith(b"\n") for line in lines)


def test_nobody_who_takes_datagrams_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    output = open_output("udp://127.0.0.1:9", fs_hz=FS_HZ)
    for spike in SPIKES:
        output.send(spike)
    output.close()
    with caplog.at_level(logging.WARNING):
        for spike in SPIKES[:3]:
            output.send(spike)  # closed: as if the network had gone
    assert len(caplog.records) == 1
    assert "spikes cannot be sent" in caplog.text


def test_spikes_are_published() -> None:
    zmq = pytest.importorskip("zmq")
    context = zmq.Context()
    reader = context.socket(zmq.SUB)
    reader.subscribe(b"EVENT")
    port = free_port()
    output = open_output(f"zmq://127.0.0.1:{port}", fs_hz=FS_HZ)
    reader.connect(f"tcp://127.0.0.1:{port}")
    end = time.monotonic() + HANGS_S
    while not reader.poll(10) and time.monotonic() < end:
        output.send(SPIKES[0])
    envelope, header, data = reader.recv_multipart()
    assert (envelope, data) == (b"EVENT\0", b"")
    assert json.loads(header)["spike"]["sorted_id"] == SPIKES[0].unit_id
    with pytest.raises(InputError, match="cannot be published there"):
        open_output(f"zmq://127.0.0.1:{port}", fs_hz=FS_HZ)
    output.close()
    context.destroy(linger=0)


@pytest.mark.parametrize("kind", ["event", "ttl"])
def test_requests_are_answered_one_by_one_and_nobody_waits_for_that(kind: str) -> None:
    zmq = pytest.importorskip("zmq")
    context = zmq.Context()
    server = context.socket(zmq.REP)
    server.setsockopt(zmq.RCVTIMEO, HANGS_S * 1000)
    port = server.bind_to_random_port("tcp://127.0.0.1")
    output = open_output(f"{kind}://127.0.0.1:{port}", fs_hz=FS_HZ)
    for spike in SPIKES:
        output.send(spike)
    number = len(SPIKES) * (1 if kind == "event" else 2)
    taken: list[Any] = []
    for _ in range(number):
        taken.append(server.recv())
        server.send(b"message correctly parsed")
    output.send(SPIKES[0])  # takes the answers away
    output.close()
    context.destroy(linger=0)
    if kind == "event":
        assert [json.loads(each)["event"]["event_channel"] for each in taken] == [s.unit_id for s in SPIKES]
    else:
        assert taken == [request for spike in SPIKES for request in ttl_requests(spike)]


def test_nobody_who_takes_requests_stops_nothing(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("zmq")
    monkeypatch.setattr(outputs, "MOST_WAITING", 5)
    output = open_output("ttl://127.0.0.1:1", fs_hz=FS_HZ)
    with caplog.at_level(logging.WARNING):
        for spike in SPIKES:
            output.send(spike)
    output.close()
    assert [record.getMessage() for record in caplog.records] == [
        "ttl://127.0.0.1:1: nobody takes the spikes; they are not sent"
    ]


def test_units_beyond_the_lines_have_no_pulse() -> None:
    assert ttl_requests(SPIKES[0]._replace(unit_id=257)) == []
    assert ttl_requests(SPIKES[0]._replace(unit_id=256)) == [b"TTL Line=256 State=1", b"TTL Line=256 State=0"]


def test_other_addresses_are_refused() -> None:
    for place in ("udp://a", "http://a:5", "5", "zmq://a:b", "ttl:5"):
        with pytest.raises(InputError, match="expected udp://HOST:PORT, zmq://HOST:PORT"):
            open_output(place, fs_hz=FS_HZ)
    with pytest.raises(InputError, match="no such host"):
        open_output("udp://no.such.host.invalid:5", fs_hz=FS_HZ)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])
