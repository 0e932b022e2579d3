"""Results on disk, with all that is needed to look at them: the recording, the spikes, and their sorter."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spikesorter.errors import InputError
from spikesorter.groups import groups_of
from spikesorter.io.labels import read_labels
from spikesorter.io.recording import RecordingOptions
from spikesorter.models import WHOLE, Model, load_model
from spikesorter.sorter import Sorter
from spikesorter.spikes import UNKNOWN, Spikes

if TYPE_CHECKING:
    from spikeinterface import BaseRecording

__all__ = ["REPORT", "RUN", "SORT", "Result", "known_sorts", "open_results", "results_of", "sort_facts"]

RUN, SORT, REPORT = "run.json", "sort.json", "report.html"


@dataclass(frozen=True, eq=False)
class Result:
    """One recording's result, or that of one group of its channels.

    Parameters
    ----------
    name : str
    recording : spikeinterface.BaseRecording
    spikes : Spikes
        What was found.
    truth : Spikes or None
        What should have been, where it is known.
    sorter : Sorter
        What it was found with.
    place : Path
        Where the spikes are written.
    """

    name: str
    recording: BaseRecording
    spikes: Spikes
    truth: Spikes | None
    sorter: Sorter
    place: Path


def results_of(
    name: str,
    recording: BaseRecording,
    spikes: Spikes,
    sorters: Mapping[str, Sorter],
    place: Path,
    *,
    truth: Spikes | None = None,
) -> list[Result]:
    """Return a recording's result: one for all channels, or one for each of the groups that were sorted.

    Parameters
    ----------
    name : str
    recording : spikeinterface.BaseRecording
    spikes : Spikes
        Found in all of it.
    sorters : mapping of str to Sorter
        By group; "" for all channels.
    place : Path
    truth : Spikes, optional

    Returns
    -------
    list of Result
    """
    if list(sorters) == [WHOLE]:
        return [Result(name, recording, spikes, truth, sorters[WHOLE], place)]
    parts = groups_of(sorters, recording)

    def own(spikes: Spikes, sorter: Sorter) -> Spikes:
        return spikes.select(np.isin(spikes.label, (*sorter.repertoire.known, UNKNOWN)))

    return [
        Result(
            f"{name}, group {group}",
            parts[group],
            own(spikes, sorter),
            own(truth, sorter) if truth else None,
            sorter,
            place,
        )
        for group, sorter in sorters.items()
    ]


def sort_facts(
    result: Path, recording: Path, model: Model, options: RecordingOptions, chosen: Mapping[str, str]
) -> dict[str, Any]:
    """Return what `sort.json` says of a recording: how to find again what its result was made from.

    Parameters
    ----------
    result, recording : Path
        The result's is relative to the folder that `sort.json` lies in.
    model : Model
    options : RecordingOptions
    chosen : mapping of str to str
        For each group the target that the sorter was adapted to.

    Returns
    -------
    dict
    """
    return {
        "result": str(result),
        "recording": str(recording.resolve()),
        "model": str(model.folder.resolve()),
        "working_point": dict(model.point),
        "options": asdict(options),
        "adapted_to": dict(chosen),
    }


def known_sorts(out: Path) -> dict[str, Any]:
    """Return what `sort.json` in a folder says of each recording; nothing where there is none."""
    try:
        known = json.loads((out / SORT).read_text(encoding="utf-8"))["recordings"]
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return known if isinstance(known, dict) else {}


def open_results(out: Path) -> list[Result]:
    """Open what `spikesorter run` or `sort` left in a folder.

    Parameters
    ----------
    out : Path

    Returns
    -------
    list of Result
        In the order in which they were sorted.

    Raises
    ------
    InputError
        If the folder holds no results, or what they were made from is gone or changed.
    """
    results: list[Result] = []
    for name, opened in ((RUN, _open_run), (SORT, _open_sort)):
        if (out / name).is_file():
            try:
                results += opened(out, json.loads((out / name).read_text(encoding="utf-8")))
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise InputError(f"{out / name}: is damaged ({error}); sort again") from None
    if not results:
        raise InputError(f"{out}: holds no results ({RUN} or {SORT}) of `spikesorter run` or `sort`")
    return results


def _open_run(out: Path, facts: Mapping[str, Any]) -> list[Result]:
    model, study = load_model(out / "model"), Path(facts["study"])
    options = RecordingOptions()
    results = []
    for name in facts["recordings"]:
        truth, place = study / "truth" / f"{name}.mat", out / "predictions" / f"{name}.mat"
        results += _opened(
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
        if not place.exists():  # tidied away
            continue
        if one["model"] not in models:
            models[one["model"]] = load_model(Path(one["model"]))
        model = models[one["model"]].with_working_point(**one["working_point"])
        plain: dict[str, Any] = one["options"] | {"channel": tuple(one["options"]["channel"])}
        options = RecordingOptions(**plain)
        results += _opened(name, Path(one["recording"]), place, model, one["adapted_to"], options, None)
    return results


def _opened(
    name: str,
    path: Path,
    place: Path,
    model: Model,
    chosen: Mapping[str, str],
    options: RecordingOptions,
    truth: Path | None,
) -> list[Result]:
    recording, sorters = options.read(path, fs_hz=model.fs_hz), model.chosen(chosen)
    rate = float(recording.get_sampling_frequency())
    names = {label: called for sorter in sorters.values() for label, called in sorter.names.items()}
    spikes = read_labels(place, fs_hz=rate)
    if not spikes.named_otherwise:
        spikes = spikes.described(fs_hz=rate, names=names)
    if len(spikes) and spikes.sample[-1] >= recording.get_num_frames():
        raise InputError(f"{path}: is shorter than when it was sorted; sort it again")
    true = read_labels(truth, fs_hz=rate) if truth else None
    return results_of(name, recording, spikes, sorters, place, truth=true)
