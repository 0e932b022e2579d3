"""Messages of the Open Ephys GUI's ZMQ Interface: its samples in, spikes and events out.

The plugin publishes each channel of each block of samples as a message of three frames: the envelope "DATA",
a header in JSON, and the samples as float32. Spikes are published as "EVENT" with a header of type "spike".
On the next port it takes events and heartbeats in JSON, and answers each.
"""

from __future__ import annotations

import json
import logging
import os
import platform
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from spikesorter.core.errors import InputError
from spikesorter.core.spike import same_rate
from spikesorter.workflows.packets import Packet, fill_gaps, idle

if TYPE_CHECKING:
    from spikesorter.workflows.live import LiveSpike

__all__ = [
    "Blocks",
    "DataMessage",
    "event_request",
    "from_zmq",
    "heartbeat",
    "parse",
    "send_at_once",
    "spike_message",
    "zmq_library",
]

logger = logging.getLogger(__name__)
APPLICATION = "spikesorter"
TICK_MS = 100
HEARTBEAT_S = 2.0  # after 5 s without one, the plugin shows its client as gone
TTL = 3  # the type of events that are on or off
LONGEST_MESSAGE = 1 << 26  # bytes
MOST_SAMPLES, MOST_CHANNELS = 1 << 53, 4096


@dataclass(frozen=True, eq=False)
class DataMessage:
    """Samples of one channel.

    Parameters
    ----------
    channel : int
        Position among the channels of the plugin's stream.
    start : int
        Number of the first sample, as the GUI counts.
    fs_hz : float
    samples : ndarray of float32, shape (samples,)
        Usually in microvolts.
    """

    channel: int
    start: int
    fs_hz: float
    samples: npt.NDArray[np.float32]


def parse(frames: Sequence[bytes]) -> DataMessage | None:
    """Return the samples of a message; None if it has something else, such as an event.

    Raises
    ------
    InputError
        If it is not from the plugin, or from a version for a GUI before 0.6.

    Examples
    --------
    >>> content = {"channel_num": 2, "sample_num": 300, "num_samples": 2, "sample_rate": 30000.0}
    >>> header = json.dumps({"type": "data", "content": content}).encode()
    >>> parse([b"DATA", header, np.float32([1, 2]).tobytes()]).samples
    array([1., 2.], dtype=float32)
    """
    try:
        header = json.loads(frames[1])
        if header["type"] != "data":
            return None
        content = header["content"]
        if "n_channels" in content:
            raise InputError("is a ZMQ Interface of a GUI before 0.6, whose messages are others; update it")
        found = DataMessage(
            int(content["channel_num"]),
            int(content["sample_num"]),
            float(content["sample_rate"]),
            np.frombuffer(frames[2], "<f4").astype(np.float32),
        )
        if not 0 <= found.start < MOST_SAMPLES:
            raise ValueError(f"sample number {found.start}")
        if len(found.samples) != int(content["num_samples"]):
            raise ValueError(f"{content['num_samples']} samples announced, {len(found.samples)} there")
    except (ValueError, LookupError, TypeError, OverflowError, RecursionError) as error:
        raise InputError(
            f"is no ZMQ Interface of the Open Ephys GUI, or its message is damaged "
            f"({type(error).__name__}: {error})"
        ) from None
    return found


class Blocks:
    """Put the channels of each block of samples together.

    Parameters
    ----------
    channels : int
        Number of channels of the sorter, which the plugin must send.
    fs_hz : float
        Sampling rate of the sorter.
    """

    def __init__(self, channels: int, fs_hz: float) -> None:
        self.channels, self.fs_hz = channels, fs_hz
        self._sent: list[int] | None = None  # channels that the plugin sends, once known
        self._block: dict[int, DataMessage] = {}
        self._begun = False

    def add(self, message: DataMessage) -> list[Packet]:
        """Add a message, and return the blocks that are complete.

        Raises
        ------
        InputError
            If the sampling rate or the number of channels is not that of the sorter.
        """
        if not same_rate(message.fs_hz, self.fs_hz):
            raise InputError(f"is sampled at {message.fs_hz:g} Hz; the sorter expects {self.fs_hz:g} Hz")
        done = []
        if self._block and (message.channel in self._block or message.start != self._start):
            done += self._finished()
        self._block[message.channel] = message
        whole = len(self._sent) if self._sent is not None else MOST_CHANNELS
        if len(self._block) == whole:
            done += self._finished()
        return done

    @property
    def _start(self) -> int:
        return next(iter(self._block.values())).start

    def _finished(self) -> list[Packet]:
        block, self._block = self._block, {}
        if self._sent is None:
            begun, self._begun = self._begun, True
            if len(block) < self.channels and not begun:
                return []  # the first one, of which the beginning may have been missed
            if len(block) != self.channels:
                raise InputError(
                    f"sends {len(block)} channel(s), but the sorter expects {self.channels}; select them in "
                    "the plugin"
                )
            self._sent = sorted(block)
        one = next(iter(block.values()))
        if any(len(message.samples) != len(one.samples) for message in block.values()):
            raise InputError("sends channels of different lengths")
        if not block.keys() <= set(self._sent):
            raise InputError("sends other channels than before; start again")
        lost = np.full(len(one.samples), np.nan, np.float32)
        columns = [block[k].samples if k in block else lost for k in self._sent]
        stamps = (one.start + np.arange(len(one.samples))) / self.fs_hz
        return [Packet(np.stack(columns, axis=1), stamps)]


def from_zmq(host: str, port: int, *, fs_hz: float, channels: int) -> Iterator[Packet]:
    """Yield the samples that the ZMQ Interface of the Open Ephys GUI publishes; needs the extra `live`.

    It never ends: where acquisition is stopped, nothing comes until it is started again.

    Parameters
    ----------
    host : str
    port : int
        Data port of the plugin, usually 5556. Heartbeats go to the next one, so that it lists its client.
    fs_hz : float
        Sampling rate of the sorter.
    channels : int
        Number of channels of the sorter.

    Yields
    ------
    Packet
        With the GUI's sample numbers as stamps, in seconds. Where numbers are left out, samples are missing.

    Raises
    ------
    InputError
        If `pyzmq` is not installed, or what comes is not from the plugin or does not fit the sorter.
    """
    packets = _received(host, port, fs_hz, channels)
    return fill_gaps(packets, fs_hz=fs_hz, jitter_s=0.5 / fs_hz)


def _received(host: str, port: int, fs_hz: float, channels: int) -> Iterator[Packet]:
    place = f"zmq://{host}:{port}"
    zmq = zmq_library(place)
    context, blocks = zmq.Context(), Blocks(channels, fs_hz)
    try:
        socket, control = context.socket(zmq.SUB), context.socket(zmq.DEALER)
        socket.setsockopt(zmq.RCVHWM, 0)  # while it calibrates, nothing is dropped
        socket.setsockopt(zmq.MAXMSGSIZE, LONGEST_MESSAGE)
        socket.subscribe(b"")
        socket.connect(f"tcp://{host}:{port}")
        control.connect(f"tcp://{host}:{port + 1}")
        beat = -np.inf
        while True:
            if time.monotonic() - beat >= HEARTBEAT_S:
                beat = time.monotonic()
                send_at_once(zmq, control, heartbeat())
            if not socket.poll(TICK_MS):
                yield idle(channels)
                continue
            message = parse(socket.recv_multipart())
            if message is not None:
                yield from blocks.add(message)
    except zmq.ZMQError as error:
        raise InputError(f"{place}: {error}") from None
    except InputError as error:
        raise InputError(f"{place}: {error}") from None
    finally:
        context.destroy(linger=0)


def send_at_once(zmq: Any, control: Any, request: bytes) -> bool:
    """Send a request without waiting for an answer, drop old answers, and return whether it was possible."""
    try:
        control.send_multipart([b"", request], zmq.NOBLOCK)
        while control.poll(0):
            control.recv_multipart(zmq.NOBLOCK)
    except zmq.Again:  # nobody is there, or does not answer
        return False
    return True


def zmq_library(place: str) -> Any:
    """Return pyzmq.

    Raises
    ------
    InputError
        If it is not installed.
    """
    try:
        import zmq
    except ImportError as error:
        raise InputError(
            f"{place}: needs pyzmq ({error}); install it with: pip install 'neural-spike-sorter[live]'"
        ) from None
    return zmq


def heartbeat() -> bytes:
    """Return the message by which a client shows the plugin that it is there.

    Examples
    --------
    >>> json.loads(heartbeat())["type"]
    'heartbeat'
    """
    return _request("heartbeat")


def event_request(spike: LiveSpike, *, fs_hz: float) -> bytes:
    """Return a spike as an event for the plugin: an event that is on, on the channel of the unit's number."""
    event = {
        "type": TTL,
        "sample_num": round(spike.time_s * fs_hz),
        "event_id": 1,
        "event_channel": spike.unit_id,
    }
    return _request("event", event=event)


def _request(kind: str, **contents: object) -> bytes:
    client = uuid.uuid5(uuid.NAMESPACE_DNS, f"{APPLICATION}.{platform.node()}.{os.getpid()}")
    return json.dumps({"application": APPLICATION, "uuid": str(client), "type": kind, **contents}).encode()


def spike_message(spike: LiveSpike, *, number: int, fs_hz: float, now_ms: int) -> list[bytes]:
    """Return a spike as the plugin publishes spikes, without its waveform.

    Parameters
    ----------
    spike : LiveSpike
    number : int
        Of the message.
    fs_hz : float
    now_ms : int
        Time of the computer's clock.

    Returns
    -------
    list of bytes
        Envelope, header in JSON, and no samples. `sorted_id` is the unit's number. Beside the plugin's keys,
        there are `unit`, `probability` and `unit_probability`.
    """
    header = {
        "message_num": number,
        "type": "spike",
        "spike": {
            "stream": APPLICATION,
            "source_node": 0,
            "electrode": spike.group or APPLICATION,
            "sample_num": round(spike.time_s * fs_hz),
            "num_channels": 0,
            "num_samples": 0,
            "sorted_id": spike.unit_id,
            "threshold": [],
            "unit": spike.unit,
            "probability": round(spike.probability, 6),
            "unit_probability": round(spike.unit_probability, 6),
        },
        "timestamp": now_ms,
    }
    return [b"EVENT\0", json.dumps(header).encode(), b""]
