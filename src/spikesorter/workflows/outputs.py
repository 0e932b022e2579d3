"""Where spikes of a live recording are sent, beside standard output."""

from __future__ import annotations

import json
import logging
import socket
import time
from collections.abc import Callable
from typing import Any, Protocol

from spikesorter.core.errors import InputError
from spikesorter.workflows.live import LiveSpike
from spikesorter.workflows.open_ephys import event_request, send_at_once, spike_message, zmq_library
from spikesorter.workflows.sources import address

__all__ = ["KNOWN_OUTPUTS", "Output", "open_output"]

logger = logging.getLogger(__name__)
KNOWN_OUTPUTS = "udp://HOST:PORT, zmq://HOST:PORT, event://HOST:PORT or ttl://HOST:PORT"
MOST_LINES = 256  # of Network Events
MOST_WAITING = 1000  # requests, when nobody takes them


class Output(Protocol):
    """A place that spikes are sent to; sending never waits."""

    def send(self, spike: LiveSpike) -> None:
        """Send a spike."""

    def close(self) -> None:
        """Send what is waiting, for a moment at most, and end."""


def open_output(place: str, *, fs_hz: float) -> Output:
    """Return the output at an address.

    Parameters
    ----------
    place : str
        "udp://HOST:PORT": lines of JSON, one a datagram. "zmq://HOST:PORT": published there, as the ZMQ
        Interface of the Open Ephys GUI publishes spikes. "event://HOST:PORT": events to the listening port of
        that plugin. "ttl://HOST:PORT": pulses to the plugin Network Events.
    fs_hz : float

    Raises
    ------
    InputError
        If it is none of these or cannot be used.
    """
    kind = place.partition(":")[0]
    if kind == "udp":
        return _Udp(*address(place, "udp", KNOWN_OUTPUTS))
    if kind == "zmq":
        return _Published(place, *address(place, "zmq", KNOWN_OUTPUTS), fs_hz=fs_hz)
    if kind == "event":
        host, port = address(place, "event", KNOWN_OUTPUTS)
        return _Requests(place, host, port, lambda spike: [event_request(spike, fs_hz=fs_hz)])
    host, port = address(place, "ttl", KNOWN_OUTPUTS)
    return _Requests(place, host, port, ttl_requests)


def ttl_requests(spike: LiveSpike) -> list[bytes]:
    """Return a spike as a pulse for Network Events, on the line of the unit's number.

    Examples
    --------
    >>> ttl_requests(LiveSpike(120, 0.0048, "basket", 2, "", 0.9, 1.0, 0.004))
    [b'TTL Line=2 State=1', b'TTL Line=2 State=0']
    """
    if spike.unit_id > MOST_LINES:
        return []
    return [f"TTL Line={spike.unit_id} State={state}".encode() for state in (1, 0)]


class _Udp:
    def __init__(self, host: str, port: int) -> None:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
        except OSError as error:
            raise InputError(f"udp://{host}:{port}: no such host: {error}") from None
        self._address: Any = found[4]
        self._socket = socket.socket(found[0], socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._failed = False

    def send(self, spike: LiveSpike) -> None:
        try:
            self._socket.sendto(json.dumps(spike.row()).encode() + b"\n", self._address)
        except OSError as error:
            if not self._failed:
                logger.warning("udp://%s:%d: spikes cannot be sent: %s", *self._address[:2], error)
            self._failed = True

    def close(self) -> None:
        self._socket.close()


class _Published:
    def __init__(self, place: str, host: str, port: int, *, fs_hz: float) -> None:
        zmq = zmq_library(place)
        self._context, self._number, self._fs_hz = zmq.Context(), 0, fs_hz
        self._socket = self._context.socket(zmq.PUB)
        try:
            self._socket.bind(f"tcp://{host}:{port}")
        except zmq.ZMQError as error:
            self._context.destroy(linger=0)
            raise InputError(f"{place}: cannot be published there: {error}") from None

    def send(self, spike: LiveSpike) -> None:
        self._number += 1
        now_ms = int(time.time() * 1000)
        self._socket.send_multipart(
            spike_message(spike, number=self._number, fs_hz=self._fs_hz, now_ms=now_ms)
        )

    def close(self) -> None:
        self._context.destroy(linger=1000)


class _Requests:
    """Requests to a server that answers each; the answers are not waited for."""

    def __init__(
        self, place: str, host: str, port: int, requests_of: Callable[[LiveSpike], list[bytes]]
    ) -> None:
        self._zmq: Any = zmq_library(place)
        self._context, self._place, self._requests_of = self._zmq.Context(), place, requests_of
        self._socket = self._context.socket(self._zmq.DEALER)
        self._socket.setsockopt(self._zmq.SNDHWM, MOST_WAITING)
        self._socket.connect(f"tcp://{host}:{port}")
        self._lost = False

    def send(self, spike: LiveSpike) -> None:
        for request in self._requests_of(spike):
            if not send_at_once(self._zmq, self._socket, request) and not self._lost:
                logger.warning("%s: nobody takes the spikes; they are not sent", self._place)
                self._lost = True

    def close(self) -> None:
        self._context.destroy(linger=1000)
