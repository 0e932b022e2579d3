"""What the folders of results say of themselves: `run.json` and `sort.json`, as written and as read again."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from spikesorter.core.errors import InputError
from spikesorter.core.spikes import Spikes
from spikesorter.io.exclusion import Exclusion
from spikesorter.io.labels import read_labels
from spikesorter.io.recording import RecordingOptions
from spikesorter.sorting.model import Model, load_model
from spikesorter.sorting.model_places import WHOLE
from spikesorter.sorting.sorter import Sorter

__all__ = [
    "MODEL",
    "RUN",
    "SORT",
    "UNITS",
    "DiscoveredAs",
    "KeptResult",
    "discovered_as",
    "kept_results",
    "known_sorts",
    "option_facts",
    "sort_facts",
]

RUN, SORT = "run.json", "sort.json"
UNITS, MODEL = "units.json", "model"  # written by `discover` beside its results
DiscoveredAs = Mapping[int, str]  # by unit


@dataclass(frozen=True, eq=False)
class KeptResult:
    """The result of one recording on disk, and what it was made from.

    Parameters
    ----------
    name : str
    recording : Path
    place : Path
        File or folder with the found spikes.
    model : Model
        With the working point that was used.
    chosen : mapping of str to str
        For each group of channels, the target that the sorter was adapted to.
    options : RecordingOptions
        With which the recording is shown as it was sorted.
    truth : Path, optional
        File with the true spikes.
    left_out : mapping of str to tuple of str
        Ids of broken channels that were left out, for each group that has some.
    discovered : mapping of int to str
        See `discovered_as`.
    """

    name: str
    recording: Path
    place: Path
    model: Model
    chosen: Mapping[str, str]
    options: RecordingOptions
    truth: Path | None = None
    left_out: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    discovered: DiscoveredAs = field(default_factory=dict)

    @cached_property
    def sorters(self) -> dict[str, Sorter]:
        """The sorters that were used, by group."""
        return self.model.chosen(self.chosen, self.left_out)

    def spikes(self) -> Spikes:
        """Return the spikes, as samples of the recording's file, with the names of the sorters' units."""
        spikes, rate = read_labels(self.place, fs_hz=self.model.fs_hz), self.model.fs_hz
        if spikes.named_otherwise:
            return spikes
        names = {unit: called for sorter in self.sorters.values() for unit, called in sorter.names.items()}
        return spikes.described(fs_hz=spikes.fs_hz or rate, names=names)


def sort_facts(
    result: Path,
    recording: Path,
    model: Model,
    options: RecordingOptions,
    chosen: Mapping[str, str],
    left_out: Mapping[str, tuple[str, ...]],
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
    left_out : mapping of str to tuple of str
        Ids of broken channels that were left out, for each group that has some.

    Returns
    -------
    dict
    """
    channels = {"left_out": {group: list(ids) for group, ids in left_out.items()}} if left_out else {}
    return {
        "result": str(result),
        "recording": str(recording.resolve()),
        "model": str(model.folder.resolve()),
        "working_point": dict(model.point),
        "options": option_facts(options),
        "adapted_to": dict(chosen),
        **channels,
    }


def option_facts(options: RecordingOptions) -> dict[str, Any]:
    """Return the options of a recording as `run.json` and `sort.json` state them, with absolute paths."""
    excluded = None if options.exclude is None else options.exclude.resolved()
    return asdict(replace(options, exclude=excluded))


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


def discovered_as(out: Path, model: Path, recording: Path) -> DiscoveredAs:
    """Return what `discover` said of each unit when it found them in a recording, as `units.json` states it.

    Parameters
    ----------
    out : Path
        Folder of results.
    model : Path
        Folder of the model that found the spikes; units of another are not those of `units.json`.
    recording : Path

    Returns
    -------
    dict of int to str
        The verdict, with its reasons in brackets; empty if the units were not discovered in this recording.

    Examples
    --------
    >>> import tempfile
    >>> from spikesorter.io.atomic import write_json
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     unit = {"unit": 1, "verdict": "doubtful", "reasons": ["d' below 6", "near another"]}
    ...     write_json(Path(folder) / "units.json", {"recordings": ["D2.mat"], "units": [unit]})
    ...     discovered_as(Path(folder), Path(folder) / "model", Path("D2.mat"))
    {1: "doubtful (d' below 6, near another)"}
    """
    if model.resolve() != (out / MODEL).resolve():
        return {}
    try:
        known = json.loads((out / UNITS).read_text(encoding="utf-8"))
        if recording.name not in {Path(one).name for one in known["recordings"]}:
            return {}
        return {int(one["unit"]): _words(one["verdict"], one.get("reasons", [])) for one in known["units"]}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):  # none, or not ours
        return {}


def _words(verdict: str, reasons: Sequence[str]) -> str:
    return f"{verdict} ({', '.join(reasons)})" if reasons else str(verdict)


def kept_results(out: Path) -> list[KeptResult]:
    """Return the results in a folder of `spikesorter run`, `sort` or `batch`.

    Parameters
    ----------
    out : Path

    Returns
    -------
    list of KeptResult
        In the order of sorting; results that were removed since are left out.

    Raises
    ------
    InputError
        If the folder has no results, or a model is missing or changed.
    """
    results: list[KeptResult] = []
    for name, kept in ((RUN, _kept_by_run), (SORT, _kept_by_sort)):
        if (out / name).is_file():
            try:
                results += kept(out, json.loads((out / name).read_text(encoding="utf-8")))
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise InputError(f"{out / name}: is damaged ({error}); sort again") from None
    if not results:
        raise InputError(f"{out}: has no results ({RUN} or {SORT}) of `run`, `sort` or a completed `batch`")
    return results


def _kept_by_run(out: Path, facts: Mapping[str, Any]) -> Iterator[KeptResult]:
    model, study = load_model(out / "model"), Path(facts["study"])
    options = _options_of(facts.get("options", {}))
    for name in facts["recordings"]:
        truth, place = study / "truth" / f"{name}.mat", out / "predictions" / f"{name}.mat"
        known = truth if truth.is_file() else None
        yield KeptResult(name, study / f"{name}.mat", place, model, {WHOLE: name}, options, known)


def _kept_by_sort(out: Path, facts: Mapping[str, Any]) -> Iterator[KeptResult]:
    models: dict[str, Model] = {}
    for name, one in facts["recordings"].items():
        place = out / one["result"]
        if not place.exists():  # removed by the user
            continue
        if one["model"] not in models:
            models[one["model"]] = load_model(Path(one["model"]))
        model = models[one["model"]].with_working_point(**one["working_point"])
        options = _options_of(one["options"])
        left_out = {group: tuple(ids) for group, ids in one.get("left_out", {}).items()}
        recording = Path(one["recording"])
        yield KeptResult(
            name,
            recording,
            place,
            model,
            one["adapted_to"],
            options,
            left_out=left_out,
            discovered=discovered_as(out, Path(one["model"]), recording),
        )


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
