"""Sources of a live recording: raw samples from a pipe or a TCP server, and others by their address."""

from __future__ import annotations

import logging
import os
import select
import socket
import sys
import time
from collections.abc import Iterator
from typing import Any, BinaryIO
from urllib.parse import urlsplit

import numpy as np

from spikesorter.core.errors import InputError
from spikesorter.workflows.lsl import from_lsl
from spikesorter.workflows.open_ephys import from_zmq
from spikesorter.workflows.packets import LONGEST_GAP_S, Packet, idle, missing

__all__ = ["address", "from_pipe", "from_tcp", "open_source"]

logger = logging.getLogger(__name__)
MOST_BYTES = 1 << 16  # most bytes read at once; data are passed on as soon as they arrive
TIMEOUT_S = 10.0  # for finding a source
TICK_S = 0.1  # after which a source that has nothing new says so
RETRY_S = 1.0
KNOWN = "-, tcp://HOST:PORT or lsl:NAME, or zmq://HOST:PORT (Open Ephys)"
Reads = Iterator[bytes | None]


def open_source(
    source: str, *, dtype: str, fs_hz: float, channels: int, reconnect: bool = False
) -> Iterator[Packet]:
    """Return an iterator over the packets of samples from a source.

    Parameters
    ----------
    source : str
        "-" (standard input), "tcp://HOST:PORT", "lsl:NAME" or "zmq://HOST:PORT".
    dtype, fs_hz, channels, reconnect
        See `from_pipe`, `from_tcp`, `from_lsl` and `from_zmq`; the last one always connects again.

    Returns
    -------
    iterator of Packet
        Within `TICK_S` each, without samples if there are no new ones.

    Raises
    ------
    InputError
        If the source is none of these.
    """
    if source == "-":
        if sys.stdin is None or sys.stdin.closed:
            raise InputError("-: standard input is closed; give samples through a pipe, or tcp:// or lsl:")
        if reconnect:
            raise InputError("-: standard input cannot be connected again (--reconnect)")
        return from_pipe(sys.stdin.buffer, dtype=dtype, channels=channels)
    if source.startswith("lsl:"):
        name = source.removeprefix("lsl:")
        return from_lsl(name, fs_hz=fs_hz, channels=channels, reconnect=reconnect, timeout_s=TIMEOUT_S)
    if source.startswith("zmq:"):
        host, port = address(source, "zmq", KNOWN)
        return from_zmq(host, port, fs_hz=fs_hz, channels=channels)
    host, port = address(source, "tcp", KNOWN)
    return from_tcp(host, port, dtype=dtype, fs_hz=fs_hz, channels=channels, reconnect=reconnect)


def address(text: str, scheme: str, expected: str) -> tuple[str, int]:
    """Return host and port of "SCHEME://HOST:PORT".

    Raises
    ------
    InputError
        If it is something else.

    Examples
    --------
    >>> address("tcp://127.0.0.1:5000", "tcp", "tcp://HOST:PORT")
    ('127.0.0.1', 5000)
    """
    place = urlsplit(text)
    try:
        host, port = place.hostname, place.port
    except ValueError:
        host = port = None
    if place.scheme != scheme or not host or not port:
        raise InputError(f"{text}: expected {expected}")
    return host, port


def from_pipe(pipe: BinaryIO, *, dtype: str, channels: int) -> Iterator[Packet]:
    """Yield raw samples with interleaved channels from a pipe as they arrive.

    Parameters
    ----------
    pipe : binary file
        Such as ``sys.stdin.buffer``.
    dtype : str
        "int16" or "float32", in the byte order of this machine.
    channels : int

    Yields
    ------
    Packet

    Raises
    ------
    InputError
        At the end, if it is in the middle of a sample.
    """
    yield from _packets(_read(pipe), np.dtype(dtype), channels)


def from_tcp(
    host: str, port: int, *, dtype: str, fs_hz: float, channels: int, reconnect: bool = False
) -> Iterator[Packet]:
    """Yield raw samples from a TCP server until it closes the connection; see `from_pipe`.

    Parameters
    ----------
    host : str
    port : int
    dtype, channels
        See `from_pipe`.
    fs_hz : float
        Sampling rate, for the length of what was missed.
    reconnect : bool
        Whether to connect again when the connection is closed or lost, as long as it takes. The time in
        between, at most `LONGEST_GAP_S`, is then one of missing samples.

    Raises
    ------
    InputError
        If there is no such server, or the connection is lost.
    """
    place = f"tcp://{host}:{port}"
    connection = _connect(host, port, TIMEOUT_S)
    while True:
        try:
            with connection:
                yield from _packets(_receive(connection), np.dtype(dtype), channels)
            reason = "the connection was closed"
        except OSError as error:
            reason = f"the connection was lost: {error}"
            if not reconnect:
                raise InputError(f"{place}: {reason}") from None
        except InputError as error:
            reason = str(error)
            if not reconnect:
                raise
        if not reconnect:
            return
        logger.warning("%s: %s; connecting again", place, reason)
        lost = time.monotonic()
        while True:
            yield idle(channels)
            try:
                connection = _connect(host, port, RETRY_S)
                break
            except InputError:
                time.sleep(TICK_S)
        gap_s = min(time.monotonic() - lost, LONGEST_GAP_S)
        logger.warning("%s: connected again after %.1f s", place, time.monotonic() - lost)
        yield missing(max(round(gap_s * fs_hz), 1), channels, renewed=True)


def _connect(host: str, port: int, timeout_s: float) -> socket.socket:
    try:
        connection = socket.create_connection((host, port), timeout=timeout_s)
    except OSError as error:
        raise InputError(f"tcp://{host}:{port}: cannot connect: {error}") from None
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)  # else a pulled cable is never noticed
    connection.settimeout(TICK_S)
    return connection


def _receive(connection: socket.socket) -> Reads:
    """Yield bytes until the other side closes; None when there are none for a moment."""
    while True:
        try:
            data = connection.recv(MOST_BYTES)
        except TimeoutError:
            yield None
            continue
        if not data:
            return
        yield data


def _read(pipe: BinaryIO) -> Reads:
    """Yield bytes until the end; None when there are none for a moment, where that can be known."""
    try:
        number = pipe.fileno()
        select.select([number], [], [], 0)
    except (OSError, ValueError, AttributeError):  # no file of the system's, or Windows
        while data := getattr(pipe, "read1", pipe.read)(MOST_BYTES):
            yield data
        return
    while True:
        ready, _, _ = select.select([number], [], [], TICK_S)
        if not ready:
            yield None
            continue
        data = os.read(number, MOST_BYTES)
        if not data:
            return
        yield data


def _packets(reads: Reads, dtype: np.dtype[Any], channels: int) -> Iterator[Packet]:
    """Split bytes into whole samples; an incomplete sample is kept until the rest arrives."""
    width = dtype.itemsize * channels
    left = b""
    for data in reads:
        if data is None:
            yield idle(channels)
            continue
        left += data
        whole = len(left) - len(left) % width
        if whole:
            yield Packet(np.frombuffer(left[:whole], dtype).reshape(-1, channels))
        left = left[whole:]
    if left:
        raise InputError(f"stream: ended in the middle of a sample ({len(left)} of {width} bytes)")
