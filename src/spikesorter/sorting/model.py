"""Models: a fitted sorter and the sorters adapted to targets, for all channels or for each group."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spikesorter.core.bad_stretches import BadStretches
from spikesorter.core.errors import ModelError
from spikesorter.core.progress import Progress, silent
from spikesorter.core.spikes import Spikes
from spikesorter.estimation.estimate import estimate_initially, is_faint
from spikesorter.estimation.profile import Profile
from spikesorter.io.model_files import model_digest
from spikesorter.io.recording import OpenedRecording
from spikesorter.io.samples import check_trace, shortest_samples
from spikesorter.sorting.channels import select
from spikesorter.sorting.doubts import doubt_of_gain
from spikesorter.sorting.each_group import each_group
from spikesorter.sorting.groups import groups_of, sort_groups
from spikesorter.sorting.model_places import WHOLE, adapted_folders, group_folders, unfinished_words
from spikesorter.sorting.narrowing import choose_for, narrow
from spikesorter.sorting.pulses import find_pulses, subtract_pulses
from spikesorter.sorting.screening import check_good, described, screened, without_bad
from spikesorter.sorting.screens import screen_for
from spikesorter.sorting.sorter import SPAN_SECONDS, Sorter
from spikesorter.sorting.state import SorterState

if TYPE_CHECKING:
    from spikeinterface import BaseRecording

__all__ = [
    "LABELLED",
    "Choice",
    "Model",
    "load_model",
    "load_sorters",
    "nearest_sorter",
]

logger = logging.getLogger(__name__)
LABELLED = "(labelled)"
"""Name of the fitted sorter among the adapted ones."""


@dataclass(frozen=True)
class Choice:
    """The sorters chosen for a recording.

    Parameters
    ----------
    names : mapping of str to str
        For each group of channels that can be sorted, the target that its sorter was adapted to; one group,
        "", if the model is for all channels.
    doubts : tuple of str
        That its gain is unlike that of these targets, so that their forecasts do not hold for it, or that a
        group is dead in it.
    """

    names: Mapping[str, str]
    doubts: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Model:
    """Sorters by group of channels, then by the target that they were adapted to.

    Parameters
    ----------
    groups : mapping of str to mapping of str to Sorter
        One group, named "", if the model is for all channels.
    folder : Path
        Folder that it was loaded from.
    point : mapping of str to object
        Changes to its working points.
    """

    groups: Mapping[str, Mapping[str, Sorter]]
    folder: Path
    point: Mapping[str, Any] = field(default_factory=dict)

    @property
    def fs_hz(self) -> float:
        """Sampling rate of the recordings that it sorts."""
        return next(iter(self._any_group.values())).fs_hz

    @property
    def _any_group(self) -> Mapping[str, Sorter]:
        return next(iter(self.groups.values()))

    @property
    def _for_all_channels(self) -> bool:
        return list(self.groups) == [WHOLE]

    def with_working_point(self, **point: Any) -> Model:
        """Return a model with a changed threshold or refractory period; see `Sorter.with_working_point`."""
        changed = {
            group: {name: sorter.with_working_point(**point) for name, sorter in sorters.items()}
            for group, sorters in self.groups.items()
        }
        return replace(self, groups=changed, point={**self.point, **point})

    def nearest(self, recording: BaseRecording, *, exclude: BadStretches | None = None) -> Choice:
        """Return for each group the target that is most like a recording in noise and gain.

        Parameters
        ----------
        recording : spikeinterface.BaseRecording
        exclude : BadStretches, optional
            Parts to leave out, beside the bad ones that are found.

        Returns
        -------
        Choice

        Raises
        ------
        InputError
            If the recording does not fit the sorters, does not have a group, or cannot be used. A group that
            is dead while others are not has no target instead; a doubt and a warning say so.
        """
        if self._for_all_channels:
            name, doubt = nearest_sorter(self.groups[WHOLE], recording, exclude=exclude)
            return Choice({WHOLE: name}, (doubt,) if doubt else ())
        parts = groups_of(self.groups, recording)

        def nearest(group: str) -> tuple[str, str]:
            return nearest_sorter(self.groups[group], parts[group], exclude=exclude)

        chosen, lacking = each_group(self.groups, nearest)
        doubts = [f"group {group}: {doubt}" for group, (_, doubt) in chosen.items() if doubt]
        return Choice({group: name for group, (name, _) in chosen.items()}, (*doubts, *lacking))

    def suited(
        self,
        recording: BaseRecording,
        chosen: Mapping[str, str],
        *,
        exclude: BadStretches | None = None,
        n_jobs: int | None = None,
    ) -> tuple[dict[str, Sorter], tuple[str, ...]]:
        """Return the sorters chosen by `nearest`, or those without broken channels (`Sorter.suited_to`).

        Groups with nothing to sort are left out; they are the second value, in words.
        """
        sorters = self.chosen(chosen)
        if self._for_all_channels:
            return {WHOLE: sorters[WHOLE].suited_to(recording, exclude=exclude, n_jobs=n_jobs)}, ()
        parts = groups_of(sorters, recording)

        def suited(group: str) -> Sorter:
            return sorters[group].suited_to(parts[group], exclude=exclude, n_jobs=n_jobs)

        return each_group(sorters, suited)

    def sort(
        self,
        recording: BaseRecording,
        sorters: Mapping[str, Sorter],
        *,
        exclude: BadStretches | None = None,
        n_jobs: int | None = None,
        span_seconds: float = SPAN_SECONDS,
        resume: Path | None = None,
        progress: Progress = silent,
    ) -> Spikes:
        """Sort a recording with the sorters of `suited`; other parameters as for `Sorter.sort`."""
        sort = sorters[WHOLE].sort if self._for_all_channels else partial(sort_groups, sorters)
        return sort(
            recording,
            exclude=exclude,
            n_jobs=n_jobs,
            span_seconds=span_seconds,
            resume=resume,
            progress=progress,
        )

    def without_found_pulses(self, opened: OpenedRecording) -> OpenedRecording:
        """Return a recording without the response to pulses found in it, if its options ask for that.

        Parameters
        ----------
        opened : OpenedRecording
            If they do not ask for it, or it has been done, it is returned as it is.

        Returns
        -------
        OpenedRecording
            Its stretches to leave out contain the windows around the pulses. If none are found, a warning
            says so.

        Raises
        ------
        InputError
            If the recording does not fit the sorters.
        """
        asked = opened.options.exclude
        if asked is None or not asked.subtracts_found or opened.pulses_subtracted:
            return opened
        parts = {WHOLE: opened.recording}
        if not self._for_all_channels:
            parts = dict(groups_of(self.groups, opened.recording))
        found = []
        for group, sorters in self.groups.items():
            state = next(iter(sorters.values())).state
            target = state.fitting(parts[group])
            found.append(find_pulses(target, state.own_screen, fs_hz=state.fs_hz))
        recording, bad = subtract_pulses(
            opened.recording,
            found,
            subtract_ms=asked.subtract_ms,
            window_ms=asked.window_ms,
            fs_hz=self.fs_hz,
        )
        source = recording if opened.source is opened.recording else opened.source
        exclude = opened.exclude.joined(bad)
        return replace(opened, recording=recording, source=source, exclude=exclude, pulses_subtracted=True)

    def digest(self, chosen: Mapping[str, str]) -> str:
        """Return a digest of everything that the results of the chosen sorters depend on."""
        states = [sorter.state for sorter in self.chosen(chosen).values()]
        return model_digest(tuple(state.decides for state in states))

    def whole_digest(self) -> str:
        """Return a digest of everything that any result depends on."""
        sorters = tuple(
            (sorter.state.measured, sorter.state.decides)
            for group in self.groups.values()
            for sorter in group.values()
        )
        return model_digest((sorters, tuple(name for group in self.groups.values() for name in group)))

    def chosen(
        self, chosen: Mapping[str, str], left_out: Mapping[str, Sequence[str]] | None = None
    ) -> dict[str, Sorter]:
        """Return the sorters chosen by `nearest` for a recording, by group, without some channels."""
        sorters = {group: self.groups[group][name] for group, name in chosen.items()}
        for group, channels in (left_out or {}).items():
            sorters[group] = sorters[group].without_channels(channels)
        return sorters


def load_model(folder: Path, *, warn: bool = True) -> Model:
    """Load all sorters of a model folder.

    Parameters
    ----------
    folder : Path
    warn : bool
        Whether to say so if it lacks targets because its training was ended.

    Raises
    ------
    ModelError
        If the folder has no model, or a damaged one.
    """
    model = Model({group: load_sorters(path) for group, path in group_folders(folder).items()}, folder)
    words = unfinished_words(folder) if warn else ""
    if words:
        logger.warning("%s", words)
    return model


def load_sorters(folder: Path) -> dict[str, Sorter]:
    """Load the sorters of a model for all channels, by target; the fitted sorter is "(labelled)".

    Raises
    ------
    ModelError
        If the folder has no model, a damaged one, or one with groups.
    """
    adapted = {name: Sorter.load(path) for name, path in adapted_folders(folder).items()}
    return {LABELLED: Sorter.load(folder), **adapted}


def nearest_sorter(
    sorters: Mapping[str, Sorter], target: BaseRecording, *, exclude: BadStretches | None = None
) -> tuple[str, str]:
    """Return the name of the sorter whose target is most like this one in noise and gain.

    Parameters
    ----------
    sorters : mapping of str to Sorter
        Adapted from one fitted sorter.
    target : spikeinterface.BaseRecording
    exclude : BadStretches, optional
        Parts to leave out, beside the bad ones that are found.

    Returns
    -------
    name : str
    doubt : str
        That the gain is so unlike that of the sorter's that its forecast does not hold; "" if it is not.
        Sorting tells other doubts.

    Raises
    ------
    ModelError
        If there is no sorter.
    InputError
        If the target does not fit the sorters or cannot be used.
    """
    if not sorters:
        raise ModelError("there is no sorter to choose from")
    one = max((sorter.state for sorter in sorters.values()), key=lambda state: state.channels)
    choice = choose_for(one, one.fitting(target), as_it_is=False, exclude=exclude)
    pool = _covering(sorters, {one.columns[k] for k in choice.used})
    common = [k for k in choice.used if all(one.columns[k] in s.state.columns for s in pool.values())]
    if not common:
        return next(iter(pool)), ""
    places, columns = tuple(one.columns[k] for k in common), tuple(common)
    lessons = one.lessons if len(columns) == one.channels else narrow(one, columns, why=choice.words).lessons
    own_screen = one.own_screen.of_channels(columns)
    whole, target = target, select(one.fitting(target), columns)
    screen = screen_for(target, own_screen)
    source = screened(target, screen, screen.offset, exclude=exclude, fs_hz=one.fs_hz, n_jobs=1)
    check_good(source, fs_hz=one.fs_hz)
    left_out = described(source.bad, target.get_num_frames(), fs_hz=one.fs_hz) if len(source.bad) else ""
    raw, _ = without_bad(source)
    if len(pool) == 1 and len(raw) < shortest_samples(one.settings):
        return next(iter(pool)), ""  # long enough to sort, but too short for an estimate
    check_trace(raw, one.settings, left_out=left_out)
    initial = estimate_initially(raw, lessons.context)
    distances = {
        name: _measured(sorter.state, places).distance(initial.profile) for name, sorter in pool.items()
    }
    nearest = min(distances, key=lambda name: (distances[name], name))
    chosen = sorters[nearest].state
    if chosen.doubt(chosen.fitting(whole)) or is_faint(initial):
        return nearest, ""
    doubt = doubt_of_gain(initial.profile.activity.gain / chosen.measured.activity.gain, nearest)
    if doubt:
        logger.warning("%s", doubt)
    return nearest, doubt


def _covering(sorters: Mapping[str, Sorter], channels: set[int]) -> dict[str, Sorter]:
    """Return the sorters that go by all of some channels; all sorters, if no adapted one does."""
    pool = {name: sorter for name, sorter in sorters.items() if channels <= set(sorter.state.columns)}
    return pool if len(pool) > 1 or len(sorters) == 1 else dict(sorters)


def _measured(state: SorterState, channels: tuple[int, ...]) -> Profile:
    """Return the initial estimate of a sorter's recording on some channels of the labelled recording."""
    columns = tuple(state.columns.index(channel) for channel in channels)
    return replace(state.measured, noise=state.measured.noise.of_channels(columns))
