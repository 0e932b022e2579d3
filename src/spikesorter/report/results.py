"""Open results on disk with recording, spikes and sorter, for display."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from spikesorter.core.errors import InputError, naming
from spikesorter.core.spike import same_rate
from spikesorter.core.spikes import UNKNOWN, Spikes
from spikesorter.io.labels import read_labels
from spikesorter.io.recording import RecordingOptions
from spikesorter.io.samples import at_rate
from spikesorter.report.kept_results import DiscoveredAs, KeptResult, kept_results
from spikesorter.sorting.each_group import doubts_about
from spikesorter.sorting.groups import groups_of
from spikesorter.sorting.model import Model
from spikesorter.sorting.model_places import WHOLE
from spikesorter.sorting.sorter import Sorter

if TYPE_CHECKING:
    from spikeinterface import BaseRecording

__all__ = [
    "REPORT",
    "Result",
    "open_results",
    "opened_when_read",
    "results_of",
]

REPORT = "report.html"


@dataclass(frozen=True, eq=False)
class Result:
    """The result of one recording, or of one group of its channels.

    Parameters
    ----------
    name : str
    read : callable
        Opens the recording. It is opened only when needed, since there may be hundreds.
    n_samples : int
        Length of the recording.
    spikes : Spikes
        Found spikes.
    truth : Spikes or None
        The true spikes, if they are known.
    sorter : Sorter
        Sorter that found the spikes.
    place : Path
        File with the found spikes.
    remarks : tuple of str
        Which other groups of channels have nothing to sort, and why.
    discovered : mapping of int to str
        What `discover` said of each unit, if it found them in this recording; see `discovered_as`.
    """

    name: str
    read: Callable[[], BaseRecording]
    n_samples: int
    spikes: Spikes
    truth: Spikes | None
    sorter: Sorter
    place: Path
    remarks: tuple[str, ...] = ()
    discovered: DiscoveredAs = field(default_factory=dict)

    @property
    def doubts(self) -> tuple[str, ...]:
        """Why the sorter's forecast does not hold for the result."""
        return self.spikes.doubts

    @property
    def seconds(self) -> float:
        """Length of the recording."""
        return self.n_samples / self.sorter.fs_hz

    @property
    def good_seconds(self) -> float:
        """Length of the recording without its bad stretches, to which firing rates refer."""
        return max(self.n_samples - self.spikes.bad.samples, 1) / self.sorter.fs_hz

    @property
    def recording(self) -> BaseRecording:
        """The recording, or the channels of the group."""
        return self.read()


def results_of(
    name: str,
    read: Callable[[], BaseRecording],
    n_samples: int,
    spikes: Spikes,
    sorters: Mapping[str, Sorter],
    place: Path,
    *,
    truth: Spikes | None = None,
    discovered: DiscoveredAs | None = None,
) -> list[Result]:
    """Return the results of a recording: one for all channels, or one for each group that was sorted.

    Parameters
    ----------
    name : str
    read : callable
        Returns the recording; see `opened_when_read` for one that is not yet open.
    n_samples : int
        Length of the recording.
    spikes : Spikes
        Spikes found in all channels.
    sorters : mapping of str to Sorter
        By group; "" for all channels.
    place : Path
    truth : Spikes, optional
    discovered : mapping of int to str, optional
        As for `Result`.

    Returns
    -------
    list of Result
    """
    known = discovered or {}
    spikes = _as_sorted(spikes, sorters, n_samples)
    if list(sorters) == [WHOLE]:
        whole = Result(name, read, n_samples, spikes, truth, sorters[WHOLE], place, discovered=known)
        return [whole]

    def own(spikes: Spikes, sorter: Sorter) -> Spikes:
        return spikes.select(np.isin(spikes.unit, (*sorter.units.known, UNKNOWN)))

    remarks = tuple(one for one in spikes.doubts if not any(doubts_about([one], group) for group in sorters))

    return [
        Result(
            f"{name}, group {group}",
            partial(_group, read, group),
            n_samples,
            replace(own(spikes, sorter), doubts=doubts_about(spikes.doubts, group)),
            own(truth, sorter) if truth else None,
            sorter,
            place,
            remarks,
            {unit: words for unit, words in known.items() if unit in sorter.units.known},
        )
        for group, sorter in sorters.items()
    ]


def _as_sorted(spikes: Spikes, sorters: Mapping[str, Sorter], n_samples: int) -> Spikes:
    """Return spikes as samples at the sorters' rate, to which their recording was resampled."""
    rate = next(iter(sorters.values())).fs_hz
    if spikes.fs_hz is None or same_rate(spikes.fs_hz, rate):
        return spikes
    return at_rate(spikes, rate, n_samples=n_samples)


def open_results(out: Path) -> list[Result]:
    """Open the results of `spikesorter run` or `sort` in a folder.

    Parameters
    ----------
    out : Path

    Returns
    -------
    list of Result
        In the order of sorting.

    Raises
    ------
    InputError
        If the folder has no results, or their recordings or model are missing or changed.
    """
    return [result for kept in kept_results(out) for result in _results_of_kept(kept)]


def _results_of_kept(kept: KeptResult) -> list[Result]:
    model, rate = kept.model, kept.model.fs_hz
    sorters = kept.sorters
    read = opened_when_read(kept.recording, kept.options, model, fs_hz=rate)
    as_recorded = replace(kept.options, exclude=None)
    plain = opened_when_read(kept.recording, as_recorded, model, fs_hz=rate)
    n_samples = plain().get_num_frames()  # without looking for pulses in it
    spikes = _as_sorted(kept.spikes(), sorters, n_samples)
    true = read_labels(kept.truth, fs_hz=rate) if kept.truth else None
    if len(spikes) and spikes.sample[-1] >= n_samples:
        raise InputError(f"{kept.recording}: is shorter than when it was sorted; sort it again")
    given = (kept.name, read, n_samples, spikes, sorters, kept.place)
    return results_of(*given, truth=true, discovered=kept.discovered)


def opened_when_read(
    path: Path, options: RecordingOptions, model: Model | None = None, *, fs_hz: float
) -> Callable[[], BaseRecording]:
    """Return a function that opens a recording; the two recordings opened last stay open.

    Parameters
    ----------
    path : Path
    options : RecordingOptions
        Options of `read_recording`.
    model : Model, optional
        Finds the pulses whose response the options want to be subtracted.
    fs_hz : float
        Sampling rate, if neither the file nor the options state one.

    Returns
    -------
    callable
    """
    return partial(_opened, path, options, model, fs_hz)


@lru_cache(maxsize=2)
def _opened(path: Path, options: RecordingOptions, model: Model | None, fs_hz: float) -> BaseRecording:
    opened = options.open(path, fs_hz=fs_hz)
    with naming(path):
        return (opened if model is None else model.without_found_pulses(opened)).recording


def _group(read: Callable[[], BaseRecording], group: str) -> BaseRecording:
    return groups_of([group], read())[group]
