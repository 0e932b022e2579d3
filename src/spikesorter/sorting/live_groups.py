"""Sort the groups of channels of a live recording, each by a stream of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import numpy.typing as npt

from spikesorter.core.errors import InputError, naming
from spikesorter.core.spikes import Spikes
from spikesorter.sorting.stream import Stream

__all__ = ["MOST_GROUPS", "GroupStreams"]

MOST_GROUPS = 32
Columns = npt.NDArray[np.intp]


class GroupStreams:
    """Streams of groups of channels that are received together.

    Parameters
    ----------
    streams : mapping of str to Stream
        By group.
    columns : mapping of str to ndarray of int
        For each group, the positions of its channels among those received.
    channels : int
        Number of channels received; some may belong to no group.
    n_jobs : int
        Number of threads. It does not affect the result.

    Raises
    ------
    InputError
        If there are more than 32 groups.

    Examples
    --------
    >>> streams = GroupStreams.of(sorter.stream(25_000))          # doctest: +SKIP
    >>> for group, spikes in streams.push(packet).items():        # doctest: +SKIP
    ...     print(group, spikes.sample)
    """

    def __init__(
        self,
        streams: Mapping[str, Stream],
        columns: Mapping[str, Columns],
        channels: int,
        *,
        n_jobs: int = 1,
    ) -> None:
        if len(streams) > MOST_GROUPS:
            raise InputError(
                f"{len(streams)} groups of channels: one process sorts at most {MOST_GROUPS} while recording"
            )
        self.streams = dict(streams)
        self.channels = channels
        self.n_jobs = min(n_jobs, len(streams))
        self._columns = dict(columns)
        self._threads = ThreadPoolExecutor(self.n_jobs) if self.n_jobs > 1 else None

    @classmethod
    def of(cls, stream: Stream) -> GroupStreams:
        """Return one stream as the only group, called ""."""
        return cls({"": stream}, {"": np.arange(stream.channels)}, stream.channels)

    @property
    def fs_hz(self) -> float:
        """Sampling rate."""
        return next(iter(self.streams.values())).fs_hz

    @property
    def received_samples(self) -> int:
        """Number of samples received."""
        return next(iter(self.streams.values())).received_samples

    def push(self, samples: npt.ArrayLike) -> dict[str, Spikes]:
        """Add the next samples, shape (samples, channels), and return the spikes that have become final.

        Raises
        ------
        InputError
            As for `Stream.push`.
        """
        packet = np.asarray(samples)
        if packet.ndim != 2 or packet.shape[1] != self.channels:
            raise InputError(
                f"stream: expected samples of shape (samples, {self.channels}), not {np.shape(samples)}"
            )
        return self._each(lambda name, stream: stream.push(packet[:, self._columns[name]]))

    def flush(self) -> dict[str, Spikes]:
        """End all streams and return their last spikes.

        Raises
        ------
        InputError
            As for `Stream.flush`.
        """
        return self._each(lambda name, stream: stream.flush())

    def close(self) -> None:
        """Stop the threads."""
        if self._threads:
            self._threads.shutdown()

    def _each(self, use: Callable[[str, Stream], Spikes]) -> dict[str, Spikes]:
        # Calibration has threads of its own.
        ready = all(stream.state is not None for stream in self.streams.values())
        run = self._threads.map if self._threads and ready else map
        found = run(partial(_named, use), self.streams, self.streams.values())
        return dict(zip(self.streams, found, strict=True))


def _named(use: Callable[[str, Stream], Spikes], name: str, stream: Stream) -> Spikes:
    """Use a group's stream; errors and warnings name the group."""
    if not name:
        return use(name, stream)
    with naming(f"group {name}"):
        return use(name, stream)
