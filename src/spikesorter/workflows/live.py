"""Sort a live recording: samples from a source, each spike as soon as it is final."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from spikesorter.core.errors import InputError, ModelError
from spikesorter.core.spikes import Spikes
from spikesorter.sorting.model import LABELLED, load_sorters
from spikesorter.sorting.stream import Stream
from spikesorter.workflows.latency import Latency
from spikesorter.workflows.packets import Packet, SourceClock

__all__ = ["FitGate", "LiveSpike", "listen", "open_stream"]

logger = logging.getLogger(__name__)


class LiveSpike(NamedTuple):
    """A spike of a live recording, as it is reported.

    Parameters
    ----------
    sample : int
        At which it starts, counted from the first one received; missing samples are counted.
    time_s : float
        The same in seconds, by the source's clock if it has one.
    unit : str
        Name of the unit in the labels.
    probability, unit_probability : float
        See `Spikes`.
    behind_s : float
        From its start to the newest sample when it was found.

    Examples
    --------
    >>> LiveSpike(120, 0.0048, "basket", 0.9, 1.0, 0.004).row()["unit"]
    'basket'
    """

    sample: int
    time_s: float
    unit: str
    probability: float
    unit_probability: float
    behind_s: float

    def row(self) -> dict[str, float | int | str]:
        """Return it as plain values for JSON."""
        return {
            "sample": self.sample,
            "time_s": round(self.time_s, 6),
            "unit": self.unit,
            "probability": round(self.probability, 6),
            "unit_probability": round(self.unit_probability, 6),
            "behind_s": round(self.behind_s, 6),
        }


class FitGate:
    """Hold spikes back until the noise of a second is what the sorter expects.

    Spikes before that second are never passed on, as they are of something else: numbers of another type,
    text, another unit of voltage. Which ones are passed on does not depend on the size of packets.

    Parameters
    ----------
    stream : Stream
    trust : bool
        Whether to pass on everything at once.
    """

    def __init__(self, stream: Stream, *, trust: bool) -> None:
        self.trust = trust
        self.withheld = self._told = 0
        self._stream = stream
        self._held: list[Spikes] = []

    @property
    def open(self) -> bool:
        """Whether spikes are passed on."""
        return self.trust or self._stream.fits_from is not None

    def renew(self) -> None:
        """Wait for another second that fits."""
        self._stream.renew()

    def pass_on(self, spikes: Spikes) -> Spikes:
        """Return those of these spikes and of those held back that are to be reported now."""
        if self.trust:
            return spikes
        known = Spikes.concatenate([*self._held, spikes]) if self._held else spikes
        first = self._stream.fits_from
        self._held = []
        if first is not None:
            passed = known.select(known.sample >= first)
            self.withheld += len(known) - len(passed)
            if self.withheld > self._told:
                start_s = first / self._stream.fs_hz
                logger.warning(
                    "the stream fits the model from %.0f s on; %d spikes before were not reported",
                    start_s,
                    self.withheld - self._told,
                )
                self._told = self.withheld
            return passed
        undecided = known.select(known.sample >= self._stream.compared_samples)
        self.withheld += len(known) - len(undecided)
        self._held = [undecided] if len(undecided) else []
        return known.select(np.zeros(len(known), bool))

    def end(self) -> int:
        """Return how many spikes were not passed on, with those still held."""
        self.withheld += sum(map(len, self._held))
        self._held = []
        return self.withheld


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


def listen(
    packets: Iterator[Packet],
    stream: Stream,
    *,
    trust: bool = False,
    stopped: Callable[[], bool] = lambda: False,
    latency: Latency | None = None,
) -> Iterator[LiveSpike]:
    """Push packets into a stream, and yield each spike as soon as it is final.

    However the packets end, the spikes of all that was received are yielded first.

    Parameters
    ----------
    packets : iterator of Packet
    stream : Stream
    trust : bool
        Whether to report spikes of a stream whose noise is not what the sorter expects.
    stopped : callable, optional
        Asked between packets whether to end.
    latency : Latency, optional
        Told when packets come and spikes have been taken.

    Yields
    ------
    LiveSpike

    Raises
    ------
    InputError
        At the end: if the source failed, the stream never fitted the sorter, or it ended during calibration.
    """
    clock, gate = SourceClock(stream.fs_hz), FitGate(stream, trust=trust)
    broken: InputError | None = None
    told = latency or Latency(stream.fs_hz)

    def reported(found: Spikes) -> Iterator[LiveSpike]:
        for spike in _live(gate.pass_on(found), stream, clock):
            yield spike
            told.reported(spike.sample)
        clock.forget(stream.decided_samples if gate.open else stream.compared_samples)

    asked = time.monotonic()
    try:
        for packet in packets:
            if packet.renewed:
                gate.renew()
            if len(packet):
                told.arrived(stream.received_samples + len(packet), waited_s=time.monotonic() - asked)
                clock.add(packet)
                yield from reported(stream.push(packet.samples))
            if stopped():
                break
            asked = time.monotonic()
    except InputError as error:
        broken = error
    try:
        yield from reported(stream.flush())
    except InputError:  # during calibration
        if broken is None:
            raise
    if broken is not None and not stopped():  # Ctrl-C ends the source of a pipe as well, anywhere
        raise broken
    _check_fit(stream, gate)


def _live(spikes: Spikes, stream: Stream, clock: SourceClock) -> Iterator[LiveSpike]:
    for spike in spikes:
        yield LiveSpike(
            sample=spike.sample,
            time_s=clock.time_s(spike.sample),
            unit=spikes.name_of(spike.unit),
            probability=spike.probability,
            unit_probability=spike.unit_probability,
            behind_s=(stream.received_samples - spike.sample) / stream.fs_hz,
        )


def _check_fit(stream: Stream, gate: FitGate) -> None:
    withheld = gate.end()
    if withheld and not gate.open:
        raise InputError(
            f"stream: does not fit the model, so {withheld} spikes were not reported (--trust reports them): "
            f"{stream.doubt or 'its noise could not be measured'}"
        )
