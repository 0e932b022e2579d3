"""The command `listen`, which sorts a live recording."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from spikesorter.cli.commands import examples
from spikesorter.cli.completion import complete_target
from spikesorter.cli.options import ModelFolder, NJobs, Quiet
from spikesorter.cli.progress import working

if TYPE_CHECKING:
    from spikesorter.sorting.live_groups import GroupStreams
    from spikesorter.workflows.latency import Latency

__all__ = ["LISTEN_EXAMPLES", "Ending", "listen", "telling"]

LISTEN_EXAMPLES = examples(
    "listen --model OUT/model --like D4 < samples.raw",
    "listen tcp://127.0.0.1:5000 --model MODEL --calibrate 60 --reconnect",
    "listen lsl:Amplifier --model MODEL --like D4 --low-latency",
    "listen zmq://127.0.0.1:5556 --model MODEL --like D4 --low-latency --send ttl://127.0.0.1:5558",
)


def listen(
    model: ModelFolder,
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="-: standard input; tcp://HOST:PORT; lsl:NAME (Lab Streaming Layer); or zmq://HOST:PORT "
            "(ZMQ Interface of the Open Ephys GUI).",
        ),
    ] = "-",
    like: Annotated[
        str | None,
        typer.Option(
            "--like",
            metavar="NAME",
            help="Use the sorter adapted to this target.",
            autocompletion=complete_target,
        ),
    ] = None,
    calibrate: Annotated[
        float,
        typer.Option(
            metavar="S",
            help="Adapt to the first S seconds instead, and report their spikes when adapted.",
        ),
    ] = 0.0,
    low_latency: Annotated[
        bool,
        typer.Option(
            "--low-latency", help="Report spikes within 5 ms rather than 40 ms, slightly less accurately."
        ),
    ] = False,
    follow: Annotated[
        bool,
        typer.Option(
            "--follow",
            help="Follow units whose size changes and noise that rises, each 2.5 s, from what was found "
            "before; the result differs from that of `sort`.",
        ),
    ] = False,
    without: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CHANNEL",
            help="Go by the other channels, as this one is broken: its id or, if there is none, its position "
            "from 0. The stream has all channels. Repeatable. [what is dead is told]",
        ),
    ] = None,
    dtype: Annotated[
        Literal["int16", "float32"], typer.Option(help="Type of raw samples (not for lsl and zmq).")
    ] = "int16",
    scale: Annotated[
        float,
        typer.Option(
            metavar="FACTOR",
            help="Multiply samples by FACTOR, from the source's unit to that of the labelled recording, such "
            "as from microvolts to a converter's counts.",
        ),
    ] = 1.0,
    trust: Annotated[
        bool,
        typer.Option(
            "--trust",
            help="Report spikes at once, and even if the noise is not what the model expects. [the first "
            "second is compared before its spikes are reported]",
        ),
    ] = False,
    reconnect: Annotated[
        bool,
        typer.Option(
            "--reconnect", help="Go on when the connection is lost, as soon as it can be made again."
        ),
    ] = False,
    send: Annotated[
        list[str] | None,
        typer.Option(
            "--send",
            metavar="ADDRESS",
            help="Send each spike there as well: udp://HOST:PORT (lines of JSON), zmq://HOST:PORT (published "
            "as Open Ephys does), event://HOST:PORT (to its ZMQ Interface), ttl://HOST:PORT (to its Network "
            "Events). Repeatable.",
        ),
    ] = None,
    n_jobs: NJobs = None,
    quiet: Quiet = False,
) -> None:
    """Sort a live recording, and print each spike as soon as it is final.

    Each spike is one line of JSON: `sample`, `time_s`, `unit`, `probability`, `unit_probability` and
    `behind_s`, the time from the spike to the newest sample when it is printed. If the model is for groups of
    channels, the samples are those of all channels of the labelled recording, and lines have `group` as well.

    It ends with the source, or on Ctrl-C or SIGTERM, when the last spikes have been printed. Then, and on the
    signal SIGUSR1, it prints how late the spikes were on standard error.
    """
    from spikesorter.workflows.latency import Latency
    from spikesorter.workflows.live import listen as found_in
    from spikesorter.workflows.live_model import LiveOptions, open_streams
    from spikesorter.workflows.outputs import open_output
    from spikesorter.workflows.packets import scaled
    from spikesorter.workflows.sources import open_source

    with working(quiet) as (_, say):
        options = LiveOptions(like, calibrate, low_latency, follow, tuple(without or ()))
        streams = open_streams(model, options, n_jobs=n_jobs, say=say)
        packets = open_source(
            source, dtype=dtype, fs_hz=streams.fs_hz, channels=streams.channels, reconnect=reconnect
        )
        outputs = [open_output(place, fs_hz=streams.fs_hz) for place in send or ()]
        latency, ending = Latency(streams.fs_hz), Ending()
        try:
            with ending.on_signals(), telling(latency.line):
                for spike in found_in(
                    scaled(packets, scale), streams, trust=trust, stopped=ending.asked, latency=latency
                ):
                    for output in outputs:
                        output.send(spike)
                    sys.stdout.write(json.dumps(spike.row()) + "\n")
                    sys.stdout.flush()
        finally:
            for output in outputs:
                output.close()
            streams.close()
            _summarise(streams, latency, say)


def _summarise(streams: GroupStreams, latency: Latency, say: Callable[[str], None]) -> None:
    from spikesorter.sorting.screening import described

    received, fs_hz = streams.received_samples, streams.fs_hz
    say(f"{latency.spikes} spikes in {received / fs_hz:.1f} s of signal")
    if latency.spikes:
        say(latency.line())
    for group, stream in streams.streams.items():
        if len(stream.bad):
            say((f"group {group}: " if group else "") + described(stream.bad, received, fs_hz=fs_hz))


@contextmanager
def telling(line: Callable[[], str]) -> Iterator[None]:
    """Print a line on standard error on SIGUSR1, during a block; not on Windows, which has no such signal."""

    def tell(number: int, frame: FrameType | None) -> None:
        os.write(2, f"{line()}\n".encode())  # the signal may come while something else is printed

    if not hasattr(signal, "SIGUSR1") or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGUSR1, tell)
    try:
        yield
    finally:
        signal.signal(signal.SIGUSR1, before)


class Ending:
    """Whether the user asked to end, by Ctrl-C or SIGTERM; the second time, at once.

    Examples
    --------
    >>> ending = Ending()
    >>> with ending.on_signals():
    ...     signal.raise_signal(signal.SIGTERM)
    >>> ending.asked()
    True
    """

    def __init__(self) -> None:
        self._asked = False

    def asked(self) -> bool:
        """Return whether to end."""
        return self._asked

    @contextmanager
    def on_signals(self) -> Iterator[None]:
        """Listen to the signals during a block; only the main thread can."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {each: signal.signal(each, self._ask) for each in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for each, handler in before.items():
                signal.signal(each, handler)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self._asked:
            raise KeyboardInterrupt
        self._asked = True
