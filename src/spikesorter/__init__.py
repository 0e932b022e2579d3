"""Learn a spike sorter from one labelled recording and run it on noisier recordings of the same units."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spikesorter.core.bad_stretches import BadStretches
from spikesorter.core.compiled import provide_cache
from spikesorter.core.errors import (
    InputError,
    ModelError,
    NothingToSortError,
    SettingsError,
    SpikeSorterError,
)
from spikesorter.core.spikes import Spikes
from spikesorter.core.versions import __version__ as __version__

if TYPE_CHECKING:
    from collections.abc import Callable

    from spikesorter.core.score import Score, score, study_score
    from spikesorter.core.settings import Settings, load_settings
    from spikesorter.io.export import write_spikes
    from spikesorter.io.labels import read_labels
    from spikesorter.io.mat import read_mat
    from spikesorter.io.mat_writing import write_mat
    from spikesorter.io.recording import read_recording
    from spikesorter.sorting.groups import adapt_groups, fit_groups, sort_groups
    from spikesorter.sorting.sorter import Sorter

__all__ = [
    "BadStretches",
    "InputError",
    "ModelError",
    "NothingToSortError",
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

provide_cache(Path(__file__).parent, Path(os.path.expanduser("~")))

# Loaded on first use, because JAX and Keras take seconds to import.
_MODULES = {
    "BadStretches": "core.bad_stretches",
    "Score": "core.score",
    "Settings": "core.settings",
    "Sorter": "sorting.sorter",
    "adapt_groups": "sorting.groups",
    "fit_groups": "sorting.groups",
    "load_settings": "core.settings",
    "read_labels": "io.labels",
    "read_mat": "io.mat",
    "read_recording": "io.recording",
    "score": "core.score",
    "sort_groups": "sorting.groups",
    "study_score": "core.score",
    "write_mat": "io.mat_writing",
    "write_spikes": "io.export",
    "Spikes": "core.spikes",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)


def _show_in_notebooks() -> None:
    """Show values as tables and figures in notebooks; the drawing code is loaded on first use."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if shell is None:
        return
    html = shell.display_formatter.formatters["text/html"]
    for name, drawn_by in (("Score", "score_html"), ("Sorter", "sorter_html"), ("Spikes", "spikes_html")):
        html.for_type_by_name(f"{__name__}.{_MODULES[name]}", name, _drawn_later(drawn_by))


def _drawn_later(function: str) -> Callable[[Any], str]:
    return lambda value: getattr(import_module(f"{__name__}.report.notebook"), function)(value)


_show_in_notebooks()
