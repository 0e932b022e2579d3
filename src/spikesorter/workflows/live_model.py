"""Open a saved model for a live recording."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from spikesorter.core.cores import effective_n_jobs
from spikesorter.core.errors import InputError, ModelError, naming
from spikesorter.io.model_files import DESCRIPTION
from spikesorter.sorting.live_groups import GroupStreams
from spikesorter.sorting.model_places import (
    WHOLE,
    group_folders,
    low_latency_place,
    read_channels,
    target_names,
    target_place,
    unfinished_words,
)
from spikesorter.sorting.sorter import Sorter
from spikesorter.sorting.stream import Stream

__all__ = ["LiveOptions", "open_streams"]


@dataclass(frozen=True)
class LiveOptions:
    """How a live recording is sorted.

    Parameters
    ----------
    like : str, optional
        Target whose adapted sorter is used; not needed if there is only one, or with calibration.
    calibration_seconds : float
        Length of the beginning to adapt to; 0: none.
    low_latency : bool
        Whether to report spikes within milliseconds; see `Sorter.low_latency`.
    follow : bool
        Whether to follow changes; see `Sorter.stream`.
    without : tuple of str
        Channels that are broken; see `Sorter.without_channels`.
    """

    like: str | None = None
    calibration_seconds: float = 0.0
    low_latency: bool = False
    follow: bool = False
    without: tuple[str, ...] = ()


def open_streams(
    model: Path,
    options: LiveOptions | None = None,
    *,
    n_jobs: int | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> GroupStreams:
    """Return the streams that sort with a saved model, one for each group of channels.

    Parameters
    ----------
    model : Path
    options : LiveOptions, optional
    n_jobs : int, optional
        Number of threads; -1 or None: one on each core. It does not affect the result.
    say : callable, optional
        Called with a line on what the sorter is adapted to, and one if that has to be prepared.

    Returns
    -------
    GroupStreams

    Raises
    ------
    ModelError
        If the model or target does not exist.
    InputError
        If it is not clear which target to use, or there are too many groups.
    SettingsError
        If the calibration time is invalid.
    """
    options, jobs = options or LiveOptions(), effective_n_jobs(n_jobs)
    folders = group_folders(model)
    if lacking_targets := unfinished_words(model):
        say(lacking_targets)
    name = _chosen(model, folders, options)
    low_latency = {group: _kept(folder, name) for group, folder in folders.items()}
    to = name or f"the first {options.calibration_seconds:g} s"
    how = " with low latency" if options.low_latency else " and following changes" if options.follow else ""
    lacking = f", without channel {', '.join(options.without)}" if options.without else ""
    say(f"sorting{how}, as adapted to {to}{lacking}")
    if options.low_latency and not all(low_latency.values()):
        again = "" if name is None else " (train --live keeps it in the model)"
        say(f"preparing the low-latency sorter, which takes up to a minute{again}")
    streams, unknown = {}, set(options.without)
    for group, folder in folders.items():
        with naming(f"group {group}" if group else model):
            place = folder if name is None else target_place(folder, name)
            if name is not None and not place.is_dir():
                say(f"group {group} was dead in {name}: sorting it as first learnt")
                place = folder
            kept = low_latency[group] if options.low_latency else None
            streams[group], own = _open(kept or place, options, whole=group == WHOLE, n_jobs=jobs)
            unknown -= own
    if unknown:
        raise InputError(f"{model}: has no channel {', '.join(sorted(unknown))}")
    return _together(model, streams, jobs)


def _chosen(model: Path, folders: dict[str, Path], options: LiveOptions) -> str | None:
    """Return the target whose sorters are used; None for the fitted ones, which are calibrated."""
    like = options.like
    if options.calibration_seconds and like:
        raise InputError(
            "listen: give either a target (--like) or a calibration time (--calibrate), not both"
        )
    known = [target_names(folder) for folder in folders.values()]
    targets = list(dict.fromkeys(name for names in known for name in names))
    if like is not None and like not in targets:
        raise ModelError(f"{model}: was not adapted to {like}, but to: {', '.join(targets) or 'no target'}")
    if options.calibration_seconds:
        return None
    if like is None and len(targets) != 1:
        choice = f"--like NAME (one of {', '.join(targets)}) or " if targets else ""
        raise InputError(
            f"{model}: give {choice}--calibrate SECONDS, so that the sorter is adapted to the stream's noise"
        )
    return like or targets[0]


def _kept(folder: Path, name: str | None) -> Path | None:
    """Return the folder of the low-latency sorter that is kept in the model, if there is one."""
    place = low_latency_place(target_place(folder, name)) if name is not None else None
    return place if place and (place / DESCRIPTION).is_file() else None


def _open(place: Path, options: LiveOptions, *, whole: bool, n_jobs: int) -> tuple[Stream, set[str]]:
    """Return the stream of a group, and those of the channels to leave out that are its own."""
    sorter = Sorter.load(place)
    own = {one for one in options.without if whole or one in sorter.state.channel_ids}
    if own:
        sorter = sorter.without_channels(sorted(own), n_jobs=n_jobs)
    if not options.calibration_seconds:
        _warm_up(sorter)
    stream = sorter.stream(
        sorter.fs_hz,
        mode="low_latency" if options.low_latency else "exact",
        calibration_seconds=options.calibration_seconds,
        follow=options.follow,
        n_jobs=n_jobs,
    )
    return stream, own


def _warm_up(sorter: Sorter) -> None:
    """Load compiled code now, as it would delay the first spikes."""
    state = sorter.state
    decoder = state.tuned.decoder
    n_samples = decoder.margin.before + decoder.grid_samples + decoder.margin.after
    evidence = decoder.evidence(np.zeros((n_samples, state.channels), np.float32))
    decoder.pick(np.pad(evidence, ((decoder.pick_reach, decoder.pick_reach), (0, 0))))


def _together(model: Path, streams: dict[str, Stream], n_jobs: int) -> GroupStreams:
    if list(streams) == [WHOLE]:
        return GroupStreams.of(streams[WHOLE])
    channels = np.array(read_channels(model))
    columns = {group: np.flatnonzero(channels == group) for group in streams}
    for group, stream in streams.items():
        if len(columns[group]) != stream.channels:
            raise ModelError(
                f"{model}: group {group} has {stream.channels} channel(s), but {len(columns[group])} are "
                "listed; train the model again"
            )
    return GroupStreams(streams, columns, len(channels), n_jobs=n_jobs)
