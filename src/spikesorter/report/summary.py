"""Describe a sorter or a model by plain values, for tables and other programs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from spikesorter.io.model_files import DESCRIPTION, read_model_files
from spikesorter.sorting.model import LABELLED, Model
from spikesorter.sorting.model_places import group_place, low_latency_place, read_unfinished, target_place
from spikesorter.sorting.sorter import Sorter

__all__ = ["model_facts", "sorter_facts"]


def sorter_facts(sorter: Sorter) -> dict[str, Any]:
    """Return a sorter's estimates for the recording that it was adapted to, and its forecast.

    Parameters
    ----------
    sorter : Sorter

    Returns
    -------
    dict
        Noise (SD of each channel), gain relative to the labelled recording, spikes per second, decoder and
        forecast; `channels`, the ids of those that it goes by, if some are broken.
    """
    activity = sorter.profile.activity
    return {
        "noise": [float(value) for value in sorter.profile.scale],
        "gain": activity.gain,
        "spikes_per_s": sum(activity.rates) * sorter.fs_hz,
        "decoder": sorter.decoder,
        "forecast": sorter.forecast.summary(),
        **({"channels": list(sorter.used_channels)} if sorter.state.left_out else {}),
    }


def model_facts(model: Model) -> dict[str, Any]:
    """Return the contents of a model.

    Parameters
    ----------
    model : Model

    Returns
    -------
    dict
        Folder, digest, sampling rate and changed settings and, for each group of channels ("" if there are no
        groups), its units and the `sorter_facts` and file facts of each recording that it was adapted to.
        `low_latency`: whether its low-latency sorter is kept (`train --live`). `unfinished`: the targets that
        it lacks, if its training was ended.

    Raises
    ------
    ModelError
        If its files were damaged since it was loaded.
    """
    one = next(iter(next(iter(model.groups.values())).values()))
    settings, usual = (values.model_dump(mode="json") for values in (one.settings, type(one.settings)()))
    return {
        "model": str(model.folder),
        "digest": model.whole_digest(),
        "fs_hz": one.fs_hz,
        "settings": _unusual(settings, usual),
        **({"unfinished": list(lacking)} if (lacking := read_unfinished(model.folder)) else {}),
        "groups": {
            group: _group_facts(model.folder, group, sorters) for group, sorters in model.groups.items()
        },
    }


def _group_facts(folder: Path, group: str, sorters: Mapping[str, Sorter]) -> dict[str, Any]:
    place = group_place(folder, group)
    fitted = sorters[LABELLED]
    return {
        "channels": fitted.channels,
        "units": _units(fitted),
        "recordings": {
            name: sorter_facts(sorter) | _file_facts(place if name == LABELLED else target_place(place, name))
            for name, sorter in sorters.items()
        },
    }


def _file_facts(place: Path) -> dict[str, Any]:
    """Return facts about a sorter's files, and whether a low-latency sorter is kept with it."""
    kept = (low_latency_place(place) / DESCRIPTION).is_file()
    return asdict(read_model_files(place)) | {"low_latency": kept}


def _units(sorter: Sorter) -> list[dict[str, Any]]:
    known = sorter.units
    return [
        {
            "unit": unit,
            "name": known.names[k],
            "labelled_spikes": len(known.amplitudes[k]),
            "spikes_per_s": float(known.rates[k]) * sorter.fs_hz,
            "peak": float(abs(known.templates.waveforms[k]).max()),
        }
        for k, unit in enumerate(known.unit_ids)
        if unit in known.known
    ]


def _unusual(settings: Mapping[str, Any], usual: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that differ from their defaults, by full name."""
    found: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping):
            found |= {f"{key}.{name}": inner for name, inner in _unusual(value, usual[key]).items()}
        elif value != usual[key]:
            found[key] = value
    return found
