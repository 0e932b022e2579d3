"""Sort a live recording: samples from a source, each spike as soon as it is final."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from typing import NamedTuple

import numpy as np

from spikesorter.core.errors import InputError
from spikesorter.core.spikes import Spikes
from spikesorter.sorting.live_groups import GroupStreams
from spikesorter.sorting.stream import Stream
from spikesorter.workflows.latency import Latency
from spikesorter.workflows.packets import Packet, SourceClock

__all__ = ["FitGate", "LiveSpike", "listen"]

logger = logging.getLogger(__name__)
BEHIND_S, CAUGHT_UP_S = (
    1.0,
    0.1,
)  # behind the source: from when it is told, and from when it may be told again


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
    unit_id : int
        Its number, 1 or larger.
    group : str
        Name of its group of channels; "" if the model is for all channels.
    probability, unit_probability : float
        See `Spikes`.
    behind_s : float
        From its start to the newest sample when it was found.

    Examples
    --------
    >>> LiveSpike(120, 0.0048, "basket", 2, "left", 0.9, 1.0, 0.004).row()
    {'sample': 120, 'time_s': 0.0048, 'group': 'left', 'unit': 'basket', 'probability': 0.9, \
'unit_probability': 1.0, 'behind_s': 0.004}
    """

    sample: int
    time_s: float
    unit: str
    unit_id: int
    group: str
    probability: float
    unit_probability: float
    behind_s: float

    def row(self) -> dict[str, float | int | str]:
        """Return it as plain values for JSON; without `group` if there are no groups."""
        return {
            "sample": self.sample,
            "time_s": round(self.time_s, 6),
            **({"group": self.group} if self.group else {}),
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

    @property
    def decided_samples(self) -> int:
        """Number of samples, from the first, whose spikes have been passed on or never will be."""
        decided = self._stream.decided_samples
        return decided if self.open else min(decided, self._stream.compared_samples)

    def end(self) -> str:
        """Return in words that spikes were not passed on, as nothing ever fitted; "" if something did."""
        self.withheld += sum(map(len, self._held))
        self._held = []
        if self.open or not self.withheld:
            return ""
        return (
            f"does not fit the model, so {self.withheld} spikes were not reported (--trust reports them): "
            f"{self._stream.doubt or 'its noise could not be measured'}"
        )


def listen(
    packets: Iterator[Packet],
    streams: GroupStreams,
    *,
    trust: bool = False,
    stopped: Callable[[], bool] = lambda: False,
    latency: Latency | None = None,
) -> Iterator[LiveSpike]:
    """Push packets into streams, and yield each spike as soon as it is final.

    However the packets end, the spikes of all that was received are yielded first. Those of one group of
    channels come in order of time.

    Parameters
    ----------
    packets : iterator of Packet
    streams : GroupStreams
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
        At the end: if the source failed, no stream ever fitted its sorter, or it ended during calibration.
    """
    clock = SourceClock(streams.fs_hz)
    gates = {name: FitGate(stream, trust=trust) for name, stream in streams.streams.items()}
    broken: InputError | None = None
    told = latency or Latency(streams.fs_hz)

    def reported(found: Mapping[str, Spikes]) -> Iterator[LiveSpike]:
        received = streams.received_samples
        passed = {name: gates[name].pass_on(spikes) for name, spikes in found.items()}
        for spike in _live(passed, clock, received):
            yield spike
            told.reported(spike.sample)
        clock.forget(min(gate.decided_samples for gate in gates.values()))

    asked, told_behind = time.monotonic(), False
    try:
        for packet in packets:
            if packet.renewed:
                for gate in gates.values():
                    gate.renew()
            if len(packet):
                told.arrived(streams.received_samples + len(packet), waited_s=time.monotonic() - asked)
                told_behind = _tell_behind(told.behind_s, told_behind)
                clock.add(packet)
                yield from reported(streams.push(packet.samples))
            if stopped():
                break
            asked = time.monotonic()
    except InputError as error:
        broken = error
    if isinstance(packets, Generator):
        packets.close()  # the connection, before the last spikes are looked for
    try:
        yield from reported(streams.flush())
    except InputError:  # during calibration
        if broken is None:
            raise
    if broken is not None and not stopped():  # Ctrl-C ends the source of a pipe as well, anywhere
        raise broken
    _check_fit(gates)


def _tell_behind(behind_s: float, told: bool) -> bool:
    """Warn that sorting is behind the source, unless it was told; return whether it has been."""
    if behind_s > BEHIND_S and not told:
        logger.warning(
            "sorting is %.1f s behind the source; if that grows, sort fewer groups of channels in a process",
            behind_s,
        )
        return True
    return told and behind_s > CAUGHT_UP_S


def _live(found: Mapping[str, Spikes], clock: SourceClock, received: int) -> Iterator[LiveSpike]:
    spikes = ((spike, name) for name, part in found.items() for spike in part)
    for spike, name in sorted(spikes, key=lambda pair: pair[0].sample):
        yield LiveSpike(
            sample=spike.sample,
            time_s=clock.time_s(spike.sample),
            unit=found[name].name_of(spike.unit),
            unit_id=spike.unit,
            group=name,
            probability=spike.probability,
            unit_probability=spike.unit_probability,
            behind_s=(received - spike.sample) / clock.fs_hz,
        )


def _check_fit(gates: Mapping[str, FitGate]) -> None:
    """Refuse a recording that no group fits, and tell of groups that do not fit."""
    reasons = {name: reason for name, gate in gates.items() if (reason := gate.end())}
    if len(reasons) == len(gates):
        raise InputError(f"stream: {next(iter(reasons.values()))}")
    for name, reason in reasons.items():
        logger.warning("group %s: %s", name, reason)
