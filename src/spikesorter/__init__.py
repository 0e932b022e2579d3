"""Learns a spike sorter from one labelled recording and runs it on noisier ones of the same neurons."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spikesorter.errors import InputError, ModelError, SettingsError, SpikeSorterError
from spikesorter.spikes import Spikes

if TYPE_CHECKING:
    from spikesorter.config import Settings, load_settings
    from spikesorter.evaluate import Score, score, study_score
    from spikesorter.groups import adapt_groups, fit_groups, sort_groups
    from spikesorter.io.export import write_spikes
    from spikesorter.io.labels import read_labels
    from spikesorter.io.mat import read_mat, write_mat
    from spikesorter.io.recording import read_recording
    from spikesorter.sorter import Sorter

__all__ = [
    "InputError",
    "ModelError",
    "Score",
    "Settings",
    "SettingsError",
    "Sorter",
    "SpikeSorterError",
    "Spikes",
    "adapt_groups",
    "fit_groups",
    "load_settings",
    "read_labels",
    "read_mat",
    "read_recording",
    "score",
    "sort_groups",
    "study_score",
    "write_mat",
    "write_spikes",
]

__version__ = "0.1.0"

# Loaded when first used: importing the package must not cost the seconds that JAX and Keras take.
_ROOMS = {
    "Score": "evaluate",
    "Settings": "config",
    "Sorter": "sorter",
    "adapt_groups": "groups",
    "fit_groups": "groups",
    "load_settings": "config",
    "read_labels": "io.labels",
    "read_mat": "io.mat",
    "read_recording": "io.recording",
    "score": "evaluate",
    "sort_groups": "groups",
    "study_score": "evaluate",
    "write_mat": "io.mat",
    "write_spikes": "io.export",
}


def __getattr__(name: str) -> Any:
    if name not in _ROOMS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_ROOMS[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
