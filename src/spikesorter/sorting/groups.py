"""Groups of channels that record the same units, such as tetrodes, each with a sorter of its own."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from spikesorter.core.bad_stretches import BadStretches
from spikesorter.core.cores import effective_n_jobs
from spikesorter.core.errors import InputError
from spikesorter.core.progress import Progress, prefixed, silent
from spikesorter.core.settings import Settings, check_settings
from spikesorter.core.spikes import Spikes
from spikesorter.io.recording import check_recording
from spikesorter.io.samples import (
    as_labels,
    read_samples,
    read_signature,
    warn_of_silent_units,
)
from spikesorter.signal.filters import noise_scale
from spikesorter.signal.spans import read_span, to_samples
from spikesorter.sorting.discovery import Discovery
from spikesorter.sorting.each_group import each_group
from spikesorter.sorting.finding.hints import Polarity
from spikesorter.sorting.sorter import SPAN_SECONDS, Sorter

if TYPE_CHECKING:
    from spikeinterface import BaseRecording, BaseSorting

__all__ = [
    "adapt_groups",
    "adapt_living_groups",
    "channel_groups",
    "discover_groups",
    "fit_groups",
    "group_of_channels",
    "groups_of",
    "share_labels",
    "sort_groups",
]

logger = logging.getLogger(__name__)
SPIKES_AVERAGED = 300  # of a unit, to find the channels on which it is large
BEFORE_MS, AFTER_MS = 0.5, 1.5
NOT_LEARNT = "the group will not be sorted"
NOT_ADAPTED = "its sorter is not adapted to this recording"


def channel_groups(recording: BaseRecording) -> dict[str, BaseRecording]:
    """Return the groups of a recording's channels, by the property `group`.

    Parameters
    ----------
    recording : spikeinterface.BaseRecording

    Returns
    -------
    dict of str to spikeinterface.BaseRecording
        In order of their first channels; a single group if the recording has no such property.

    Raises
    ------
    InputError
        If it is not a recording with one segment.

    Examples
    --------
    >>> from spikeinterface.core import NumpyRecording
    >>> recording = NumpyRecording([np.zeros((100, 4), np.float32)], sampling_frequency=25_000.0)
    >>> recording.set_property("group", ["left", "left", "right", "right"])
    >>> {name: group.get_num_channels() for name, group in channel_groups(recording).items()}
    {'left': 2, 'right': 2}
    """
    check_recording(recording)
    groups, channels = group_of_channels(recording), recording.get_channel_ids()
    return {
        name: recording.select_channels([channels[i] for i, group in enumerate(groups) if group == name])
        for name in dict.fromkeys(groups)
    }


def share_labels(recording: BaseRecording, labels: Spikes) -> dict[str, Spikes]:
    """Assign each labelled unit to the group of channels on which it is largest.

    Parameters
    ----------
    recording : spikeinterface.BaseRecording
        One segment.
    labels : Spikes
        Its labels.

    Returns
    -------
    dict of str to Spikes
        For each group of `channel_groups`; without spikes if a group has no unit.

    Examples
    --------
    >>> from spikeinterface.core import NumpyRecording
    >>> trace = np.random.default_rng(0).standard_normal((5000, 2)).astype(np.float32)
    >>> trace[1000:1020, 1] += 20  # a spike on the second channel
    >>> recording = NumpyRecording([trace], sampling_frequency=25_000.0)
    >>> recording.set_property("group", ["left", "right"])
    >>> share_labels(recording, Spikes([1000], [1]))["right"].unit_ids
    (1,)
    """
    channels = group_of_channels(recording)
    noise = _noise(read_signature(recording).astype(np.float32))
    largest = {unit: _deflections(recording, labels.of(unit)) / noise for unit in labels.unit_ids}
    group_of = {unit: channels[int(heights.argmax())] for unit, heights in largest.items()}
    return {
        group: replace(
            labels.select(np.array([group_of[unit] == group for unit in labels.unit.tolist()], bool)),
            names={unit: name for unit, name in labels.names.items() if group_of.get(unit) == group},
        )
        for group in dict.fromkeys(channels)
    }


def fit_groups(
    recording: BaseRecording,
    labels: Spikes | BaseSorting,
    *,
    settings: Settings | None = None,
    exclude: BadStretches | None = None,
    n_jobs: int | None = None,
    progress: Progress = silent,
) -> dict[str, Sorter]:
    """Fit a sorter to each group of channels that has labelled units.

    Parameters
    ----------
    recording : spikeinterface.BaseRecording
        One segment, with the groups of channels in the property `group`.
    labels : Spikes or spikeinterface.BaseSorting
        Of the whole recording.
    settings : Settings, optional
    exclude : BadStretches, optional
        Parts to leave out, beside the bad ones that are found.
    n_jobs : int, optional
        Threads; -1 or None: one on each core.
    progress : callable, optional

    Returns
    -------
    dict of str to Sorter
        Without groups that are dead, of which a warning tells.

    Raises
    ------
    InputError
        If the recording or the labels cannot be used, or all groups are dead.

    Examples
    --------
    >>> sorters = fit_groups(recording, sorting)                  # doctest: +SKIP
    >>> spikes = sort_groups(adapt_groups(sorters, target), target)  # doctest: +SKIP
    """
    settings, n_jobs = check_settings(settings), effective_n_jobs(n_jobs)
    check_recording(recording)
    if recording.get_property("group") is None:
        raise InputError("its channels have no groups (property group); fit one sorter to all of them")
    spikes = as_labels(labels, fs_hz=float(recording.get_sampling_frequency()))
    if len(spikes) == 0:
        raise InputError("labels: there are no spikes")
    warn_of_silent_units(spikes)
    groups, shares = channel_groups(recording), share_labels(recording, spikes)
    for name in groups:
        if len(shares[name]) == 0:
            logger.warning("group %s: %s; %s", name, _why_without_units(groups[name]), NOT_LEARNT)

    def fit(name: str) -> Sorter:
        return Sorter.fit(
            groups[name],
            shares[name],
            settings=settings,
            exclude=exclude,
            n_jobs=n_jobs,
            progress=prefixed(name, progress),
        )

    return each_group([name for name in groups if len(shares[name])], fit, instead=NOT_LEARNT)[0]


def discover_groups(
    recording: BaseRecording,
    *,
    settings: Settings | None = None,
    n_units: int | None = None,
    polarity: Polarity | None = None,
    labels: Spikes | BaseSorting | None = None,
    exclude: BadStretches | None = None,
    n_jobs: int | None = None,
    progress: Progress = silent,
) -> dict[str, Discovery]:
    """Discover the units of each group of channels; see `Sorter.discover`.

    Parameters
    ----------
    recording : spikeinterface.BaseRecording
        One segment, with the groups of channels in the property `group`.
    settings, n_units, polarity, exclude, n_jobs, progress
        As for `Sorter.discover`; `n_units` is that of each group.
    labels : Spikes or spikeinterface.BaseSorting, optional
        Of the whole recording.

    Returns
    -------
    dict of str to Discovery
        By group, without dead groups. Units of all groups have different numbers.

    Raises
    ------
    InputError
        If the recording or the labels cannot be used.
    """
    check_recording(recording)
    groups, shares = channel_groups(recording), {}
    first = 1
    if labels is not None:
        spikes = as_labels(labels, fs_hz=float(recording.get_sampling_frequency()))
        shares, first = share_labels(recording, spikes), max(spikes.unit_ids, default=0) + 1

    def discover(name: str) -> Discovery:
        nonlocal first
        one = Sorter.discover(
            groups[name],
            settings=settings,
            n_units=n_units,
            polarity=polarity,
            labels=shares.get(name),
            first_unit=first,
            exclude=exclude,
            n_jobs=n_jobs,
            progress=prefixed(name, progress),
        )
        first = max([first, *(unit.unit + 1 for unit in one.units)])
        return one

    return each_group(groups, discover)[0]


def adapt_groups(
    sorters: Mapping[str, Sorter],
    target: BaseRecording,
    *,
    exclude: BadStretches | None = None,
    n_jobs: int | None = None,
    progress: Progress = silent,
) -> dict[str, Sorter]:
    """Adapt each group's sorter to its channels of a target; see `Sorter.adapt`.

    Parameters
    ----------
    sorters : mapping of str to Sorter
        From `fit_groups`.
    target : spikeinterface.BaseRecording
        With the same groups of channels.
    exclude, n_jobs, progress
        As for `Sorter.adapt`.

    Returns
    -------
    dict of str to Sorter
        New sorters, by group. A group that is dead in the target, of which a warning tells, keeps the sorter
        that it had.

    Raises
    ------
    InputError
        If the target has different groups, or all of them are dead.
    """
    adapted, _ = adapt_living_groups(sorters, target, exclude=exclude, n_jobs=n_jobs, progress=progress)
    return {**sorters, **adapted}


def adapt_living_groups(
    sorters: Mapping[str, Sorter],
    target: BaseRecording,
    *,
    exclude: BadStretches | None = None,
    n_jobs: int | None = None,
    progress: Progress = silent,
) -> tuple[dict[str, Sorter], tuple[str, ...]]:
    """Adapt each group's sorter as `adapt_groups` does, and tell which groups are dead.

    Returns
    -------
    adapted : dict of str to Sorter
        New sorters, of the other groups alone.
    words : tuple of str
        Why, for each group that is dead.
    """
    groups = groups_of(sorters, target)

    def adapt(name: str) -> Sorter:
        told = prefixed(name, progress)
        return sorters[name].adapt(groups[name], exclude=exclude, n_jobs=n_jobs, progress=told)

    return each_group(sorters, adapt, instead=NOT_ADAPTED)


def sort_groups(
    sorters: Mapping[str, Sorter],
    target: BaseRecording,
    *,
    exclude: BadStretches | None = None,
    n_jobs: int | None = None,
    span_seconds: float = SPAN_SECONDS,
    resume: Path | None = None,
    progress: Progress = silent,
) -> Spikes:
    """Sort each group of channels by its sorter; see `Sorter.sort`.

    Parameters
    ----------
    sorters : mapping of str to Sorter
        From `fit_groups` or `adapt_groups`.
    target : spikeinterface.BaseRecording
    exclude, n_jobs, span_seconds, resume, progress
        As for `Sorter.sort`; each group has its own folder in `resume`.

    Returns
    -------
    Spikes
        Of all groups together. A group that is dead has none, and a doubt and a warning say so.

    Raises
    ------
    InputError
        If the target does not have a group, or all groups are dead.
    """
    groups = groups_of(sorters, target)

    def sort(name: str) -> Spikes:
        spikes = sorters[name].sort(
            groups[name],
            exclude=exclude,
            n_jobs=n_jobs,
            span_seconds=span_seconds,
            resume=resume / name if resume else None,
            progress=prefixed(name, progress),
        )
        return replace(spikes, doubts=tuple(f"group {name}: {doubt}" for doubt in spikes.doubts))

    done, lacking = each_group(sorters, sort)
    parts = list(done.values())
    names = dict(pair for part in parts for pair in part.names.items())
    every = Spikes.concatenate(parts).described(fs_hz=float(target.get_sampling_frequency()), names=names)
    return replace(every, doubts=(*every.doubts, *lacking))


def group_of_channels(recording: BaseRecording) -> list[str]:
    """Return each channel's group; without the property, all are in one group, as in SpikeInterface."""
    groups = recording.get_property("group")
    return ["0"] * recording.get_num_channels() if groups is None else [str(group) for group in groups]


def groups_of(wanted: Iterable[str], target: BaseRecording) -> dict[str, BaseRecording]:
    """Return the groups of a target's channels; refuse a target without one of those wanted.

    Raises
    ------
    InputError
        If one of them is missing.
    """
    if isinstance(wanted, str) or not isinstance(wanted, Iterable):
        raise InputError(f"expected sorters by the names of their groups, not a {type(wanted).__name__}")
    groups = channel_groups(target)
    missing = [name for name in wanted if name not in groups]
    if missing:
        raise InputError(
            f"has no group {', '.join(missing)}; its groups are {', '.join(groups)} (property group). Groups "
            "need the names of the labelled recording's; a model's folder groups/NAME sorts a single group"
        )
    return groups


def _why_without_units(group: BaseRecording) -> str:
    """Return in words why no labelled unit is in a group."""
    dead = np.isinf(_noise(read_signature(group).astype(np.float32))).all()
    return "its channels are dead or missing" if dead else "no labelled unit is largest on its channels"


def _noise(trace: npt.NDArray[np.float32]) -> npt.NDArray[Any]:
    """Return the noise of each channel; infinite where it is dead or missing, as it then has no units."""
    alive = np.isfinite(trace).any(axis=0)
    known = np.isfinite(trace[:, alive]).all(axis=1)
    noise = np.full(trace.shape[1], np.inf)
    if known.any():
        noise[alive] = noise_scale(trace[known][:, alive])
    return np.where(noise > 0, noise, np.inf)


def _deflections(recording: BaseRecording, spikes: Spikes) -> npt.NDArray[Any]:
    """Return the largest deflection of a unit's mean waveform on each channel."""
    fs_hz, n_samples = recording.get_sampling_frequency(), recording.get_num_samples()
    before, after = to_samples(BEFORE_MS, fs_hz), to_samples(AFTER_MS, fs_hz)
    averaged = spikes.sample[:: max(len(spikes) // SPIKES_AVERAGED, 1)]
    windows = [
        read_span(lambda a, b: read_samples(recording, a, b), n_samples, t - before, t + after)
        for t in averaged.tolist()
    ]
    alive = np.isfinite(windows).any(axis=(0, 1))  # a channel may be missing throughout
    windows = [np.where(alive, window, 0.0) for window in windows]
    known = [window for window in windows if np.isfinite(window).all()]
    mean = np.mean(known or [np.zeros_like(windows[0])], axis=0)
    return np.asarray(np.abs(mean - np.median(mean, axis=0)).max(axis=0))
