"""Sources of a recording that is still going on: a pipe, a TCP socket, Lab Streaming Layer."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from spikesorter.core.errors import InputError
from spikesorter.core.spikes import Spikes
from spikesorter.sorting.stream import Stream

__all__ = ["from_lsl", "from_pipe", "from_tcp", "listen"]

Packet = npt.NDArray[Any]
MOST_BYTES = 1 << 16  # taken at once; what is there already is never waited for
TIMEOUT_S = 10.0  # to find a source


def from_pipe(pipe: BinaryIO, *, dtype: str, channels: int) -> Iterator[Packet]:
    """Yield samples from a pipe as they come: raw, channels side by side.

    Parameters
    ----------
    pipe : binary file
        Such as ``sys.stdin.buffer``.
    dtype : str
        "int16" or "float32", in the byte order of this machine.
    channels : int

    Yields
    ------
    ndarray, shape (samples, channels)
    """
    read: Callable[[int], bytes] = getattr(pipe, "read1", pipe.read)
    yield from _packets(lambda: read(MOST_BYTES), np.dtype(dtype), channels)


def from_tcp(host: str, port: int, *, dtype: str, channels: int) -> Iterator[Packet]:
    """Yield samples from a TCP server as they come, until it closes the connection; see `from_pipe`.

    Raises
    ------
    InputError
        If there is no such server, or the connection breaks.
    """
    try:
        connection = socket.create_connection((host, port), timeout=TIMEOUT_S)
    except OSError as error:
        raise InputError(f"tcp://{host}:{port}: cannot connect: {error}") from None
    with connection:
        connection.settimeout(None)
        try:
            yield from _packets(lambda: connection.recv(MOST_BYTES), np.dtype(dtype), channels)
        except OSError as error:
            raise InputError(f"tcp://{host}:{port}: the connection broke: {error}") from None


def from_lsl(name: str, *, fs_hz: float, channels: int) -> Iterator[Packet]:
    """Yield samples of a Lab Streaming Layer stream as they come; needs the extra `live`.

    Parameters
    ----------
    name : str
        Of the stream.
    fs_hz : float
        Rate that it must have.
    channels : int
        Number of channels that it must have.

    Raises
    ------
    InputError
        If `pylsl` is not installed, or there is no such stream, or one of another rate or width.
    """
    try:
        import pylsl
    except ImportError as error:
        raise InputError(
            f"lsl:{name}: needs pylsl ({error}); install it with: pip install 'neural-spike-sorter[live]'"
        ) from None
    found = pylsl.resolve_byprop("name", name, timeout=TIMEOUT_S)
    if not found:
        raise InputError(f"lsl:{name}: no such stream within {TIMEOUT_S:g} s")
    info = found[0]
    if info.nominal_srate() != fs_hz or info.channel_count() != channels:
        raise InputError(
            f"lsl:{name}: {info.channel_count()} channel(s) at {info.nominal_srate():g} Hz; the sorter "
            f"expects {channels} at {fs_hz:g} Hz"
        )
    inlet = pylsl.StreamInlet(info, recover=False)
    while True:
        try:
            samples, _ = inlet.pull_chunk(timeout=0.01, max_samples=MOST_BYTES)
        except pylsl.LostError:
            return
        if samples:
            yield np.asarray(samples, np.float32)


def listen(packets: Iterator[Packet], stream: Stream) -> Iterator[dict[str, float | int]]:
    """Push packets into a stream and yield its spikes, each with how far behind the stream is.

    Parameters
    ----------
    packets : iterator of ndarray
    stream : Stream

    Yields
    ------
    dict
        `sample`, `time_s`, `class`, `probability`, `unit_probability`, `behind_s`.
    """
    for packet in packets:
        yield from _lines(stream, stream.push(packet))
    yield from _lines(stream, stream.flush())


def _lines(stream: Stream, spikes: Spikes) -> Iterator[dict[str, float | int]]:
    """Yield spikes as plain values, ready to be written as JSON."""
    columns = (spikes.sample, spikes.unit, spikes.probability, spikes.unit_probability)
    for sample, unit, probability, named in zip(*(c.tolist() for c in columns), strict=True):
        yield {
            "sample": sample,
            "time_s": round(sample / stream.fs_hz, 6),
            "class": unit,
            "probability": round(probability, 6),
            "unit_probability": round(named, 6),
            "behind_s": round((stream.received_samples - sample) / stream.fs_hz, 6),
        }


def _packets(read: Callable[[], bytes], dtype: np.dtype[Any], channels: int) -> Iterator[Packet]:
    """Cut a stream of bytes into whole samples; what is left of one waits for its other bytes."""
    width = dtype.itemsize * channels
    left = b""
    while data := read():
        left += data
        whole = len(left) - len(left) % width
        if whole:
            yield np.frombuffer(left[:whole], dtype).reshape(-1, channels)
        left = left[whole:]
    if left:
        raise InputError(f"stream: ended in the middle of a sample ({len(left)} of {width} bytes)")
