"""Sort a live recording: samples from a pipe, a TCP socket or Lab Streaming Layer; spikes as JSON."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urlsplit

import numpy as np
import numpy.typing as npt

from spikesorter.core.errors import InputError, ModelError
from spikesorter.core.spike import same_rate
from spikesorter.core.spikes import Spikes
from spikesorter.sorting.model import LABELLED, load_sorters
from spikesorter.sorting.stream import Stream

__all__ = ["from_lsl", "from_pipe", "from_tcp", "listen", "open_source", "open_stream"]

Packet = npt.NDArray[Any]
MOST_BYTES = 1 << 16  # most bytes read at once; data are passed on as soon as they arrive
TIMEOUT_S = 10.0  # for finding a source


def open_stream(
    model: Path,
    *,
    like: str | None = None,
    calibration_seconds: float = 0.0,
    low_latency: bool = False,
    follow: bool = False,
    say: Callable[[str], None] = lambda line: None,
) -> Stream:
    """Return a stream that sorts with a saved model.

    Parameters
    ----------
    model : Path
    like : str, optional
        Target whose adapted sorter is used; not needed if there is only one, or with calibration.
    calibration_seconds : float
        Length of the stream's beginning to adapt to; 0: none.
    low_latency : bool
        Whether to report spikes within milliseconds; see `Sorter.low_latency`.
    follow : bool
        Whether to follow changes; see `Sorter.stream`.
    say : callable, optional
        Called with a line on what the sorter is adapted to.

    Returns
    -------
    Stream

    Raises
    ------
    ModelError
        If the model or target does not exist.
    InputError
        If it is not clear which target to use.
    SettingsError
        If the calibration time is invalid.
    """
    sorters = load_sorters(model)
    targets = [name for name in sorters if name != LABELLED]
    if calibration_seconds and like:
        raise InputError(
            "listen: give either a target (--like) or a calibration time (--calibrate), not both"
        )
    if like is not None and like not in targets:
        raise ModelError(f"{model}: was not adapted to {like}, but to: {', '.join(targets) or 'no target'}")
    if like is None and not calibration_seconds and len(targets) != 1:
        known = f"--like NAME (one of {', '.join(targets)}) or " if targets else ""
        raise InputError(
            f"{model}: give {known}--calibrate SECONDS, so that the sorter is adapted to the stream's noise"
        )
    name = LABELLED if calibration_seconds else like or targets[0]
    stream = sorters[name].stream(
        sorters[name].fs_hz,
        mode="low_latency" if low_latency else "exact",
        calibration_seconds=calibration_seconds,
        follow=follow,
    )
    to = f"the first {calibration_seconds:g} s" if calibration_seconds else name
    how = " with low latency" if low_latency else " and following changes" if follow else ""
    say(f"sorting{how}, as adapted to {to}")
    return stream


def open_source(source: str, *, dtype: str, fs_hz: float, channels: int) -> Iterator[npt.NDArray[Any]]:
    """Return an iterator over the packets of samples from a source.

    Parameters
    ----------
    source : str
        "-" (standard input), "tcp://HOST:PORT" or "lsl:NAME".
    dtype, fs_hz, channels
        See `from_pipe` and `from_lsl`.

    Returns
    -------
    iterator of ndarray, shape (samples, channels)

    Raises
    ------
    InputError
        If the source is none of these.
    """
    if source == "-":
        if sys.stdin is None or sys.stdin.closed:
            raise InputError("-: standard input is closed; give samples through a pipe, or tcp:// or lsl:")
        return from_pipe(sys.stdin.buffer, dtype=dtype, channels=channels)
    if source.startswith("lsl:"):
        return from_lsl(source.removeprefix("lsl:"), fs_hz=fs_hz, channels=channels)
    place = urlsplit(source)
    try:
        host, port = place.hostname, place.port
    except ValueError:
        host = port = None
    if place.scheme != "tcp" or not host or not port:
        raise InputError(f"{source}: expected -, tcp://HOST:PORT or lsl:NAME")
    return from_tcp(host, port, dtype=dtype, channels=channels)


def listen(packets: Iterator[Packet], stream: Stream) -> Iterator[dict[str, float | int | str]]:
    """Push packets into a stream, and yield each spike as soon as it is final.

    Parameters
    ----------
    packets : iterator of ndarray
    stream : Stream

    Yields
    ------
    dict
        `sample`; `time_s`; `unit`, by its name in the labels; `probability`; `unit_probability`; `behind_s`,
        the time from the spike's start to the newest sample when it is reported.
    """
    for packet in packets:
        yield from _rows(stream, stream.push(packet))
    yield from _rows(stream, stream.flush())


def _rows(stream: Stream, spikes: Spikes) -> Iterator[dict[str, float | int | str]]:
    """Yield spikes as plain values for JSON."""
    columns = (spikes.sample, spikes.unit, spikes.probability, spikes.unit_probability)
    for sample, unit, probability, unit_probability in zip(*(c.tolist() for c in columns), strict=True):
        yield {
            "sample": sample,
            "time_s": round(sample / stream.fs_hz, 6),
            "unit": spikes.name_of(unit),
            "probability": round(probability, 6),
            "unit_probability": round(unit_probability, 6),
            "behind_s": round((stream.received_samples - sample) / stream.fs_hz, 6),
        }


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
    ndarray, shape (samples, channels)
    """
    read: Callable[[int], bytes] = getattr(pipe, "read1", pipe.read)
    yield from _packets(lambda: read(MOST_BYTES), np.dtype(dtype), channels)


def from_tcp(host: str, port: int, *, dtype: str, channels: int) -> Iterator[Packet]:
    """Yield raw samples from a TCP server until it closes the connection; see `from_pipe`.

    Raises
    ------
    InputError
        If there is no such server, or the connection is lost.
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
            raise InputError(f"tcp://{host}:{port}: the connection was lost: {error}") from None


def from_lsl(name: str, *, fs_hz: float, channels: int) -> Iterator[Packet]:
    """Yield the samples of a Lab Streaming Layer stream as they arrive; needs the extra `live`.

    Parameters
    ----------
    name : str
        The stream's name.
    fs_hz : float
        Sampling rate of the sorter.
    channels : int
        Number of channels of the sorter.

    Yields
    ------
    ndarray of float32, shape (samples, channels)

    Raises
    ------
    InputError
        If `pylsl` is not installed, there is no such stream, or it has another rate or number of channels.
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
    if not same_rate(info.nominal_srate(), fs_hz) or info.channel_count() != channels:
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


def _packets(read: Callable[[], bytes], dtype: np.dtype[Any], channels: int) -> Iterator[Packet]:
    """Split bytes into whole samples; an incomplete sample is kept until the rest arrives."""
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
