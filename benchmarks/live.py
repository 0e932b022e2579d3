"""How fast a closed loop is: packets to `spikesorter listen` by TCP or ZeroMQ, spikes back by UDP.

    python benchmarks/live.py tcp zmq --out FOLDER [--seconds 600] [--modes exact low_latency]

Everything runs on this machine, in real time: a sender that sends packets of 10 ms when their last sample
would have been taken, the command as a user starts it (`--trust --send udp://...`), and a receiver. Sent is
a simulated recording (25 kHz, one channel, three units, 20 s, again and again); the model is trained once and
kept in FOLDER. By ZeroMQ, the messages are those of the Open Ephys GUI's ZMQ Interface. Printed is a table:

- spike to reply: from the sample at which a spike starts until it is received;
- packet to reply: from the moment at which the packet that decided a spike was to be sent until its reply;
  the jitter is the standard deviation of that, and what the sender itself was late is given beside it;
- signal: the seconds that `listen` says it got, of those that were sent;
- lost: spikes that were printed but not received;
- differs: spikes that are not those of the same samples sorted without a loop, or the other way round.
"""

from __future__ import annotations

import argparse
import json
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import psutil

from raw_results import write_results
from spikesorter.workflows.open_ephys import zmq_library

PROGRAM = Path(sys.executable).parent / "spikesorter"
FS_HZ, PACKET = 25_000.0, 250
TARGET, HOST = "D2", "127.0.0.1"
STARTS_S, QUIET_S = 300.0, 2.0  # most for the command to start; without a reply, until none is awaited
Trace = npt.NDArray[np.float32]
Send = Callable[[Trace, int], None]
Figures = dict[str, Any]
ROWS = {
    "spikes": "spikes",
    "spike_ms": "spike to reply, ms: median, 99 %, longest",
    "reply_ms": "packet to reply, ms: median, 99 %, longest",
    "jitter_ms": "jitter of the reply, ms",
    "sender_late_ms": "sender late, ms: 99 %, longest",
    "signal_s": "signal, s: got, sent",
    "lost_spikes": "lost spikes",
    "differs": "differs",
    "processor_share": "share of a core",
}


def main() -> None:
    """Measure each way in each mode, keep the figures, and print the table."""
    arguments = parse()
    model, samples = prepared(arguments.out)
    repeats = -(-int(arguments.seconds * FS_HZ) // len(samples))
    samples = np.tile(samples, (repeats, 1))[: int(arguments.seconds * FS_HZ) // PACKET * PACKET]
    figures: Figures = {}
    for mode in arguments.modes:
        expected = sorted_alone(model, samples, mode)
        for way in arguments.ways:
            figures[f"{way} {mode}"] = measure(WAYS[way], model, samples, mode, expected)
            print(way, mode, json.dumps(figures[f"{way} {mode}"]), flush=True)
    write_results(arguments.out / "live.json", {"seconds": len(samples) / FS_HZ, "loops": figures})
    print(table(figures))


def table(figures: Figures) -> str:
    """Return the figures as a table in Markdown, a column for each loop."""
    lines = [f"| | {' | '.join(figures)} |", "|---" * (len(figures) + 1) + "|"]
    for name, words in ROWS.items():
        lines.append(f"| {words} | {' | '.join(shown(each[name]) for each in figures.values())} |")
    return "\n".join(lines)


def shown(value: Any) -> str:
    """Return a figure, or several, for the table.

    >>> shown([1.25, 3]), shown(0.5)
    ('1.2, 3', '0.5')
    """
    return ", ".join(f"{each:.3g}" if isinstance(each, float) else str(each) for each in np.atleast_1d(
        np.array(value, object)))  # fmt: skip


def prepared(out: Path) -> tuple[Path, Trace]:
    """Simulate a recording and train a model with it, once; return the model and the samples to send."""
    from spikesorter.io.mat import read_mat
    from spikesorter.io.mat_writing import write_mat_recording
    from spikesorter.simulate import simulate_study

    study, model = out / "live_study", out / "live_model"
    if not (model / "model.json").is_file():
        for number, made in enumerate(
            simulate_study(units=3, seconds=20, noise_levels=(0.5,), seed=0), start=1
        ):
            labels = made.spikes if number == 1 else None
            study.mkdir(parents=True, exist_ok=True)
            write_mat_recording(study / f"D{number}.mat", made.trace, fs_hz=FS_HZ, labels=labels)
        command: list[str | Path] = [PROGRAM, "train", study / "D1.mat", "--targets", study / f"{TARGET}.mat"]
        subprocess.run([*command, "--model", model, "--live", "--quiet"], check=True)
    return model, read_mat(study / f"{TARGET}.mat")[0].get_traces().astype(np.float32)


def sorted_alone(model: Path, samples: Trace, mode: str) -> set[tuple[int, str]]:
    """Sort the samples as a stream without a loop; return (sample, unit) of each spike."""
    from spikesorter.workflows.live import listen
    from spikesorter.workflows.live_model import LiveOptions, open_streams
    from spikesorter.workflows.packets import Packet

    streams = open_streams(model, LiveOptions(like=TARGET, low_latency=mode == "low_latency"))
    packets = (Packet(samples[at : at + PACKET]) for at in range(0, len(samples), PACKET))
    return {(spike.sample, spike.unit) for spike in listen(packets, streams, trust=True)}


@dataclass
class Replies:
    """Spikes as they come back, each with the time at which it was received."""

    socket: socket.socket
    received: list[tuple[float, bytes]] = field(default_factory=list)
    done: bool = False

    def wait(self) -> int:
        """Wait until none has come for a moment; return how many there are."""
        known = -1
        while known < len(self.received):
            known = len(self.received)
            time.sleep(QUIET_S)
        return known

    def receive(self) -> None:
        """Receive until `done`, and for a moment after it."""
        self.socket.settimeout(QUIET_S)
        while True:
            try:
                line = self.socket.recv(1 << 16)
            except TimeoutError:
                if self.done:
                    return
                continue
            self.received.append((time.monotonic(), line))


def measure(connect: Any, model: Path, samples: Trace, mode: str, expected: set[tuple[int, str]]) -> Figures:
    """Send all samples in real time, and return the figures of the loop."""
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver,
        tempfile.TemporaryFile() as printed,
        tempfile.TemporaryFile() as told,
    ):
        receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        receiver.bind((HOST, 0))
        replies = Replies(receiver)
        options = ["--trust", "--dtype", "float32", "--like", TARGET, "--n-jobs", "1"]
        options += ["--low-latency"] if mode == "low_latency" else []
        options += ["--send", f"udp://{HOST}:{receiver.getsockname()[1]}"]
        with connect(lambda address: started(model, address, options, printed, told)) as (send, running):
            receiving = threading.Thread(target=replies.receive)
            receiving.start()
            process = psutil.Process(running.pid)
            before = sum(process.cpu_times()[:2])
            due, late = sent_in_time(send, samples)
            in_time = replies.wait()
            used_s = sum(process.cpu_times()[:2]) - before
        status = running.wait(STARTS_S)
        replies.done = True
        receiving.join()
        printed.seek(0)
        lines = [json.loads(line) for line in printed.read().splitlines()]
        told.seek(0)
        closing = told.read().decode()
    got = re.search(r"spikes? in ([\d.]+) s of signal", closing)
    if status or not got:
        raise RuntimeError(f"listen ended with {status}:\n{closing}")
    return {
        "spikes": len(lines),
        **figures_of(replies.received[:in_time], due),
        "signal_s": [float(got[1]), len(samples) / FS_HZ],
        "sender_late_ms": (1000 * np.quantile(late, [0.99, 1])).round(2).tolist(),
        "lost_spikes": len(lines) - len(replies.received),
        "differs": len(expected ^ {(line["sample"], line["unit"]) for line in lines}),
        "processor_share": round(used_s / (len(samples) / FS_HZ), 3),
    }


def figures_of(received: list[tuple[float, bytes]], due: npt.NDArray[np.float64]) -> Figures:
    """Return delays of the replies.

    Parameters
    ----------
    received : list of (float, bytes)
        Time and line of each reply that came before the end, at which the last spikes are sent.
    due : ndarray of float64, shape (packets,)
        When each packet was to be sent.
    """
    spike_s, reply_s = [], []
    for at, text in received:
        spike = json.loads(text)
        newest = spike["sample"] + round(spike["behind_s"] * FS_HZ)
        number = min(-(-newest // PACKET), len(due)) - 1  # of the packet that decided it
        spike_s.append(at - (due[0] + (spike["sample"] - PACKET) / FS_HZ))
        reply_s.append(at - due[number])
    spread = [0.5, 0.99, 1]
    return {
        "spike_ms": (1000 * np.quantile(spike_s, spread)).round(2).tolist(),
        "reply_ms": (1000 * np.quantile(reply_s, spread)).round(2).tolist(),
        "jitter_ms": round(1000 * float(np.std(reply_s)), 2),
    }


def sent_in_time(send: Send, samples: Trace) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Send each packet when its last sample is taken; return when that was, and how late the sender was."""
    packets = len(samples) // PACKET
    due = np.asarray(time.monotonic() + PACKET / FS_HZ * np.arange(1, packets + 1), np.float64)
    late = np.zeros(packets)
    for number in range(packets):
        time.sleep(max(due[number] - time.monotonic(), 0))
        send(samples[number * PACKET : (number + 1) * PACKET], number * PACKET)
        late[number] = time.monotonic() - due[number]
    return due, late


def started(
    model: Path, address: str, options: list[str], printed: Any, told: Any
) -> subprocess.Popen[bytes]:
    """Start `listen` as a user does; what it prints and what it says go to files."""
    command: list[str | Path] = [PROGRAM, "listen", address, "--model", model, *options]
    return subprocess.Popen(command, stdout=printed, stderr=told)


@contextmanager
def by_tcp(start: Callable[[str], subprocess.Popen[bytes]]) -> Iterator[Any]:
    """Serve samples as raw float32; `listen` ends when the connection is closed."""
    with socket.create_server((HOST, 0)) as server:
        server.settimeout(STARTS_S)
        running = start(f"tcp://{HOST}:{server.getsockname()[1]}")
        connection, _ = server.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with connection:
            yield lambda packet, _: connection.sendall(packet.tobytes()), running


@contextmanager
def by_zmq(start: Callable[[str], subprocess.Popen[bytes]]) -> Iterator[Any]:
    """Publish samples as the ZMQ Interface does; `listen` is ended by SIGTERM."""
    zmq = zmq_library("zmq://")
    context = zmq.Context()
    try:
        publisher, control = context.socket(zmq.XPUB), context.socket(zmq.ROUTER)
        publisher.setsockopt(zmq.SNDHWM, 0)
        port = publisher.bind_to_random_port(f"tcp://{HOST}", 20_000, 30_000)
        control.bind(f"tcp://{HOST}:{port + 1}")  # takes heartbeats
        running = start(f"zmq://{HOST}:{port}")
        if not publisher.poll(1000 * STARTS_S):
            raise RuntimeError("listen did not subscribe")
        publisher.recv()
        yield lambda packet, first: publisher.send_multipart(zmq_message(packet, first)), running
        running.terminate()
    finally:
        context.destroy(linger=0)


def zmq_message(packet: Trace, first: int) -> list[bytes]:
    """Return a packet of one channel as the plugin sends it."""
    content = {"channel_num": 0, "sample_num": first, "num_samples": len(packet), "sample_rate": FS_HZ}
    return [b"DATA", json.dumps({"type": "data", "content": content}).encode(), packet.tobytes()]


WAYS = {"tcp": by_tcp, "zmq": by_zmq}


def parse() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("ways", nargs="+", choices=WAYS, metavar="WAY")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument(
        "--modes", nargs="+", choices=["exact", "low_latency"], default=["exact", "low_latency"]
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
