"""The public names: those of `spikesorter`, `plot`, `simulate` and `integrations`, each documented."""

from __future__ import annotations

import inspect
import pkgutil
from importlib import import_module
from types import ModuleType

import pytest

import spikesorter
from spikesorter import integrations, plot, simulate

SHOWN = {
    spikesorter: {
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
    },
    plot: {
        "amplitudes",
        "classifier",
        "confusion",
        "correlograms",
        "denoising",
        "detector",
        "grid_search",
        "intervals",
        "learning_curves",
        "matched_filter",
        "noise",
        "precision_recall",
        "reliability",
        "trace",
        "waveforms",
    },
    simulate: {"SimulatedRecording", "simulate_study"},
}
NAMES = [(module, name) for module, names in SHOWN.items() for name in sorted(names)]
IDS = [f"{module.__name__}.{name}" for module, name in NAMES]


@pytest.mark.parametrize("module", SHOWN, ids=lambda module: module.__name__)
def test_public_names_change_on_purpose_only(module: ModuleType) -> None:
    assert set(module.__all__) == SHOWN[module]


@pytest.mark.parametrize(("module", "name"), NAMES, ids=IDS)
def test_every_public_name_is_documented(module: ModuleType, name: str) -> None:
    value = getattr(module, name)
    documented = inspect.getdoc(value) or ""
    assert len(documented) > 20
    assert not documented.startswith(f"{name}(")  # made up by dataclass
    if inspect.isroutine(value):
        for parameter in inspect.signature(value).parameters:
            assert parameter in documented, f"{name} does not say what {parameter} is"


@pytest.mark.parametrize("name", ["Score", "Settings", "Sorter", "Spikes"])
def test_every_public_method_is_documented(name: str) -> None:
    for method, value in vars(getattr(spikesorter, name)).items():
        if method.startswith("_") or not (inspect.isroutine(value) or isinstance(value, property)):
            continue
        if not method.startswith("model_"):  # pydantic's own
            assert inspect.getdoc(value), f"{name}.{method}"


def test_integrations_are_modules_that_say_what_they_are() -> None:
    names = [module.name for module in pkgutil.iter_modules(integrations.__path__)]
    assert names == ["spikeinterface"]
    for name in names:
        module = import_module(f"spikesorter.integrations.{name}")
        assert module.__doc__
        assert all(inspect.getdoc(getattr(module, one)) for one in module.__all__)
