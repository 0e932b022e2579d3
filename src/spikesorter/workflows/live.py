"""Streams by a saved model, and where their samples come from."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy.typing as npt

from spikesorter.core.errors import InputError, ModelError
from spikesorter.sorting.model import LABELLED, load_sorters
from spikesorter.sorting.stream import Stream
from spikesorter.workflows.sources import from_lsl, from_pipe, from_tcp

__all__ = ["open_source", "open_stream"]


def open_stream(
    model: Path,
    *,
    like: str | None,
    calibration_seconds: float,
    fast: bool,
    say: Callable[[str], None] = lambda line: None,
) -> Stream:
    """Make a stream that sorts by a saved model.

    Parameters
    ----------
    model : Path
    like : str, optional
        Target of the model to sort as; not needed where there is only one, or with calibration.
    calibration_seconds : float
        How much of the stream to adapt to first; 0: none.
    fast : bool
        Whether to decide early.
    say : callable, optional
        Told what the stream is sorted as.

    Raises
    ------
    ModelError
        If there is no such model or target.
    InputError
        If it is not clear which target is meant.
    """
    sorters = load_sorters(model)
    targets = [name for name in sorters if name != LABELLED]
    if calibration_seconds and like:
        raise InputError("listen: give a target to sort as, or a time to calibrate, not both")
    if like is not None and like not in targets:
        raise ModelError(f"{model}: was not adapted to {like}; it knows: {', '.join(targets) or 'no target'}")
    if like is None and not calibration_seconds and len(targets) != 1:
        known = f"--like NAME (one of {', '.join(targets)}) or " if targets else ""
        raise InputError(f"{model}: give {known}--calibrate SECONDS, so that the stream's noise is known")
    name = LABELLED if calibration_seconds else like or targets[0]
    to = f"the first {calibration_seconds:g} s" if calibration_seconds else name
    say(f"sorting{' low_latency' if fast else ''}, as adapted to {to}")
    return sorters[name].stream(
        sorters[name].fs_hz, mode="fast" if fast else "exact", calibration_seconds=calibration_seconds
    )


def open_source(source: str, *, dtype: str, fs_hz: float, channels: int) -> Iterator[npt.NDArray[Any]]:
    """Return the packets of a source: "-" (standard input), "tcp://HOST:PORT" or "lsl:NAME".

    Raises
    ------
    InputError
        If it is none of these.
    """
    if source == "-":
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
