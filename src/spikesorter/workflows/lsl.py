"""Samples of a Lab Streaming Layer stream, with its time stamps."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import numpy as np

from spikesorter.core.errors import InputError
from spikesorter.core.spike import same_rate
from spikesorter.workflows.packets import Packet, fill_gaps, idle

__all__ = ["JITTER_S", "from_lsl"]

logger = logging.getLogger(__name__)
JITTER_S = 0.05
"""Smaller jumps are taken for delays of the sender, which stamps each chunk when it sends it."""
TICK_S = 0.1
RETRY_S = 1.0


def from_lsl(
    name: str, *, fs_hz: float, channels: int, reconnect: bool = False, timeout_s: float = 10.0
) -> Iterator[Packet]:
    """Yield the samples of a Lab Streaming Layer stream as they arrive; needs the extra `live`.

    Parameters
    ----------
    name : str
        The stream's name.
    fs_hz : float
        Sampling rate of the sorter.
    channels : int
        Number of channels of the sorter.
    reconnect : bool
        Whether to look for the stream again when it ends, as long as it takes; otherwise, that is the end.
    timeout_s : float
        For finding it at first.

    Yields
    ------
    Packet
        With the sender's stamps. Where they jump by more than `JITTER_S`, samples are missing.

    Raises
    ------
    InputError
        If `pylsl` is not installed, there is no such stream, it has another rate or number of channels, or
        it fails.
    """
    packets = _received(name, fs_hz, channels, reconnect=reconnect, timeout_s=timeout_s)
    return fill_gaps(packets, fs_hz=fs_hz, jitter_s=JITTER_S)


def _received(
    name: str, fs_hz: float, channels: int, *, reconnect: bool, timeout_s: float
) -> Iterator[Packet]:
    pylsl, lost = _library(name)
    found = pylsl.resolve_byprop("name", name, timeout=timeout_s)
    if not found:
        raise InputError(f"lsl:{name}: no such stream within {timeout_s:g} s")
    while True:
        _check(found[0], name, fs_hz, channels, text=pylsl.cf_string)
        inlet = pylsl.StreamInlet(found[0], recover=False)
        try:
            while True:
                yield _pulled(inlet, channels)
        except lost:
            pass  # all that had arrived was pulled
        except RuntimeError as error:
            raise InputError(f"lsl:{name}: {error}") from None
        del inlet
        if not reconnect:
            return
        logger.warning("lsl:%s: the stream ended; looking for it again", name)
        found = []
        while not found:
            yield idle(channels)
            found = pylsl.resolve_byprop("name", name, timeout=RETRY_S)
        logger.warning("lsl:%s: found again", name)


def _library(name: str) -> tuple[Any, type[Exception]]:
    """Return pylsl, and the error with which it says that a stream ended."""
    try:
        import pylsl
        from pylsl.util import LostError
    except (ImportError, RuntimeError) as error:  # RuntimeError: there is no liblsl
        raise InputError(
            f"lsl:{name}: needs pylsl ({error}); install it with: pip install 'neural-spike-sorter[live]'"
        ) from None
    return pylsl, LostError


def _check(info: Any, name: str, fs_hz: float, channels: int, *, text: int) -> None:
    if not same_rate(info.nominal_srate(), fs_hz) or info.channel_count() != channels:
        raise InputError(
            f"lsl:{name}: {info.channel_count()} channel(s) at {info.nominal_srate():g} Hz; the sorter "
            f"expects {channels} at {fs_hz:g} Hz"
        )
    if info.channel_format() == text:
        raise InputError(f"lsl:{name}: is a stream of text; expected numbers")


def _pulled(inlet: Any, channels: int) -> Packet:
    """Wait for a sample for a moment, and take all that have arrived.

    No more are asked for than are there: a call that meets the stream's end loses those it had taken.
    """
    sample, stamp = inlet.pull_sample(timeout=TICK_S)
    if sample is None:
        return idle(channels)
    samples, stamps = [sample], [stamp]
    arrived = int(inlet.samples_available())
    if arrived:
        more, their_stamps = inlet.pull_chunk(timeout=0.0, max_samples=arrived)
        samples, stamps = [*samples, *more], [*stamps, *their_stamps]
    return Packet(np.asarray(samples, np.float32), np.asarray(stamps, np.float64))
