"""Open results on disk with recording, spikes and sorter, for display."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spikesorter.core.errors import InputError, naming
from spikesorter.core.spike import same_rate
from spikesorter.core.spikes import UNKNOWN, Spikes
from spikesorter.io.exclusion import Exclusion
from spikesorter.io.labels import read_labels
from spikesorter.io.recording import RecordingOptions
from spikesorter.io.samples import at_rate
from spikesorter.sorting.groups import groups_of
from spikesorter.sorting.model import Model, load_model
from spikesorter.sorting.model_places import WHOLE
from spikesorter.sorting.sorter import Sorter

if TYPE_CHECKING:
    from spikeinterface import BaseRecording

__all__ = [
    "REPORT",
    "RUN",
    "SORT",
    "Result",
    "known_sorts",
    "open_results",
    "opened_when_read",
    "results_of",
    "sort_facts",
]

RUN, SORT, REPORT = "run.json", "sort.json", "report.html"


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
    """

    name: str
    read: Callable[[], BaseRecording]
    n_samples: int
    spikes: Spikes
    truth: Spikes | None
    sorter: Sorter
    place: Path

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

    Returns
    -------
    list of Result
    """
    spikes = _as_sorted(spikes, sorters, n_samples)
    if list(sorters) == [WHOLE]:
        return [Result(name, read, n_samples, spikes, truth, sorters[WHOLE], place)]

    def own(spikes: Spikes, sorter: Sorter) -> Spikes:
        return spikes.select(np.isin(spikes.unit, (*sorter.units.known, UNKNOWN)))

    return [
        Result(
            f"{name}, group {group}",
            partial(_group, read, group),
            n_samples,
            own(spikes, sorter),
            own(truth, sorter) if truth else None,
            sorter,
            place,
        )
        for group, sorter in sorters.items()
    ]


def _as_sorted(spikes: Spikes, sorters: Mapping[str, Sorter], n_samples: int) -> Spikes:
    """Return spikes as samples at the sorters' rate, to which their recording was resampled."""
    rate = next(iter(sorters.values())).fs_hz
    if spikes.fs_hz is None or same_rate(spikes.fs_hz, rate):
        return spikes
    return at_rate(spikes, rate, n_samples=n_samples)


def sort_facts(
    result: Path, recording: Path, model: Model, options: RecordingOptions, chosen: Mapping[str, str]
) -> dict[str, Any]:
    """Return the entry of a recording in `sort.json`: the inputs of its result.

    Parameters
    ----------
    result, recording : Path
        The result's path is relative to the folder of `sort.json`.
    model : Model
    options : RecordingOptions
    chosen : mapping of str to str
        For each group, the target that the sorter was adapted to.

    Returns
    -------
    dict
    """
    excluded = None if options.exclude is None else options.exclude.resolved()
    return {
        "result": str(result),
        "recording": str(recording.resolve()),
        "model": str(model.folder.resolve()),
        "working_point": dict(model.point),
        "options": asdict(replace(options, exclude=excluded)),
        "adapted_to": dict(chosen),
    }


def known_sorts(out: Path) -> dict[str, Any]:
    """Return the entries of `sort.json` in a folder, or none if there is no such file.

    Examples
    --------
    >>> known_sorts(Path("no such folder"))
    {}
    """
    try:
        known = json.loads((out / SORT).read_text(encoding="utf-8"))["recordings"]
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return known if isinstance(known, dict) else {}


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
    results: list[Result] = []
    for name, opened in ((RUN, _open_run), (SORT, _open_sort)):
        if (out / name).is_file():
            try:
                results += opened(out, json.loads((out / name).read_text(encoding="utf-8")))
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise InputError(f"{out / name}: is damaged ({error}); sort again") from None
    if not results:
        raise InputError(f"{out}: has no results ({RUN} or {SORT}) of `run`, `sort` or a completed `batch`")
    return results


def _open_run(out: Path, facts: Mapping[str, Any]) -> list[Result]:
    model, study = load_model(out / "model"), Path(facts["study"])
    options = RecordingOptions()
    results = []
    for name in facts["recordings"]:
        truth, place = study / "truth" / f"{name}.mat", out / "predictions" / f"{name}.mat"
        results += _result(
            name,
            study / f"{name}.mat",
            place,
            model,
            {WHOLE: name},
            options,
            truth if truth.is_file() else None,
        )
    return results


def _open_sort(out: Path, facts: Mapping[str, Any]) -> list[Result]:
    models: dict[str, Model] = {}
    results = []
    for name, one in facts["recordings"].items():
        place = out / one["result"]
        if not place.exists():  # removed by the user
            continue
        if one["model"] not in models:
            models[one["model"]] = load_model(Path(one["model"]))
        model = models[one["model"]].with_working_point(**one["working_point"])
        options = _options_of(one["options"])
        results += _result(name, Path(one["recording"]), place, model, one["adapted_to"], options, None)
    return results


def _options_of(facts: Mapping[str, Any]) -> RecordingOptions:
    """Return the options with which a recording is shown, of those with which it was sorted.

    What was left out of it is in the result, so only the subtraction of responses remains of that.
    """
    excluded, lists = facts.get("exclude") or {}, ("channel", "variable")
    exclude = None
    if excluded.get("subtract_ms"):
        window_ms = tuple(excluded["window_ms"])
        exclude = Exclusion(**{**excluded, "stretches": "", "window_ms": window_ms})
    plain = dict(facts) | {key: tuple(facts.get(key, ())) for key in lists}
    return RecordingOptions(**plain | {"exclude": exclude})


def _result(
    name: str,
    path: Path,
    place: Path,
    model: Model,
    chosen: Mapping[str, str],
    options: RecordingOptions,
    truth: Path | None,
) -> list[Result]:
    sorters, rate = model.chosen(chosen), model.fs_hz
    names = {unit: called for sorter in sorters.values() for unit, called in sorter.names.items()}
    spikes = read_labels(place, fs_hz=rate)
    read = opened_when_read(path, options, model, fs_hz=rate)
    as_recorded = opened_when_read(path, replace(options, exclude=None), model, fs_hz=rate)
    n_samples = as_recorded().get_num_frames()  # without looking for pulses in it
    if not spikes.named_otherwise:
        spikes = spikes.described(fs_hz=spikes.fs_hz or rate, names=names)
    spikes = _as_sorted(spikes, sorters, n_samples)
    true = read_labels(truth, fs_hz=rate) if truth else None
    if len(spikes) and spikes.sample[-1] >= n_samples:
        raise InputError(f"{path}: is shorter than when it was sorted; sort it again")
    return results_of(name, read, n_samples, spikes, sorters, place, truth=true)


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
