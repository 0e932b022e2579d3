"""Raw samples from pipes and sockets: whole, however they are cut, and what happens at their ends."""

from __future__ import annotations

import io
import logging
import os
import socket
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest

from spikesorter.core.errors import InputError
from spikesorter.workflows import sources
from spikesorter.workflows.packets import Packet
from spikesorter.workflows.sources import from_pipe, from_tcp, open_source

FS_HZ = 1000.0
SAMPLES = np.arange(-300, 300, dtype=np.int16).reshape(-1, 2)
HANGS_S = 60  # guards against hanging only


@pytest.fixture
def server() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(HANGS_S)
        yield server


def of(server: socket.socket, *, reconnect: bool = False) -> Iterator[Packet]:
    port = server.getsockname()[1]
    return from_tcp("127.0.0.1", port, dtype="int16", fs_hz=FS_HZ, channels=2, reconnect=reconnect)


def test_a_pipe_gives_whole_samples_and_says_when_it_waits() -> None:
    reading, writing = os.pipe()
    with open(reading, "rb") as pipe:
        packets = from_pipe(pipe, dtype="int16", channels=2)
        os.write(writing, SAMPLES.tobytes()[:5])
        assert next(packets).samples.tolist() == SAMPLES[:1].tolist()
        assert len(next(packets)) == 0
        os.write(writing, SAMPLES.tobytes()[5:])
        os.close(writing)
        rest = np.concatenate([packet.samples for packet in packets])
    np.testing.assert_array_equal(rest, SAMPLES[1:])


def test_half_a_sample_at_the_end_is_said_after_the_whole_ones() -> None:
    packets = from_pipe(io.BytesIO(SAMPLES.tobytes() + b"123"), dtype="int16", channels=2)
    np.testing.assert_array_equal(next(packets).samples, SAMPLES)
    with pytest.raises(InputError, match=r"ended in the middle of a sample \(3 of 4 bytes\)"):
        next(packets)


def test_a_lost_connection_is_said_after_what_came(server: socket.socket) -> None:
    packets = of(server)

    def serve() -> None:
        connection, _ = server.accept()
        connection.sendall(SAMPLES.tobytes())
        received.wait(HANGS_S)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # closing is a reset
        connection.close()

    received, thread = threading.Event(), threading.Thread(target=serve)
    thread.start()
    parts = []
    while sum(map(len, parts)) < len(SAMPLES):
        parts.append(next(packets).samples)
    received.set()
    thread.join()
    np.testing.assert_array_equal(np.concatenate(parts), SAMPLES)
    with pytest.raises(InputError, match="the connection was lost"):
        list(packets)


def test_a_connection_is_made_again_and_the_time_between_is_missing(
    server: socket.socket, caplog: pytest.LogCaptureFixture
) -> None:
    packets = of(server, reconnect=True)

    def serve() -> None:
        for length in (-1, None):  # the first one ends in the middle of a sample
            with server.accept()[0] as connection:
                connection.sendall(SAMPLES.tobytes()[:length])

    thread = threading.Thread(target=serve)
    thread.start()
    found: list[Packet] = []
    end = time.monotonic() + HANGS_S
    with caplog.at_level(logging.WARNING):
        while sum(map(len, found)) < 2 * len(SAMPLES) and time.monotonic() < end:
            found.append(next(packets))
    thread.join()
    packets.close()  # type: ignore[attr-defined]
    (gap,) = (k for k, packet in enumerate(found) if packet.renewed)
    assert np.isnan(found[gap].samples).all()
    before = np.concatenate([packet.samples for packet in found[:gap]])
    after = np.concatenate([packet.samples for packet in found[gap + 1 :]])
    np.testing.assert_array_equal(before, SAMPLES[:-1])
    np.testing.assert_array_equal(after, SAMPLES[: len(after)])
    assert "connecting again" in caplog.text
    assert "connected again" in caplog.text


def test_a_server_that_is_not_there_at_first_is_an_error_even_if_it_may_reconnect() -> None:
    with pytest.raises(InputError, match="cannot connect"):
        next(from_tcp("127.0.0.1", 1, dtype="int16", fs_hz=FS_HZ, channels=1, reconnect=True))


def test_while_it_connects_again_it_lets_others_act(
    server: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "TICK_S", 0.01)
    packets = of(server, reconnect=True)

    def serve() -> None:
        connection = server.accept()[0]
        server.close()  # first, so that nobody can connect again
        connection.close()

    thread = threading.Thread(target=serve)
    thread.start()
    assert [len(next(packets)) for _ in range(3)] == [0, 0, 0]
    thread.join()
    packets.close()  # type: ignore[attr-defined]


def test_standard_input_cannot_be_connected_again() -> None:
    with pytest.raises(InputError, match="cannot be connected again"):
        open_source("-", dtype="int16", fs_hz=FS_HZ, channels=1, reconnect=True)
