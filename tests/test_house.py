"""The house rules: who may import whom, what is exported, what is documented."""

from __future__ import annotations

import ast
import importlib
import inspect
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import spikesorter

SOURCE = Path(spikesorter.__file__).parent
FLOORS = {
    "errors": 0,
    "toml": 0.5,
    "loopback": 1,
    "progress": 0,
    "notebook": 0,
    "spikes": 1,
    "config": 1,
    "provenance": 1,
    "signal": 2,
    "io": 2,
    "nets": 3,
    "repertoire": 3,
    "evaluate": 3,
    "referee": 3,
    "recordings": 3,
    "simulate": 3,
    "events": 3,
    "resume": 3,
    "corrections": 3,
    "scoring": 4,
    "profile": 4,
    "calibration": 4,
    "forecast": 4,
    "outlook": 5,
    "tuning": 5,
    "rehearsal": 5,
    "frontend": 5,
    "profiling": 6,
    "decoders": 6,
    "preparation": 9,
    "refining": 8,
    "decoding": 7,
    "unknown": 8,
    "unlabelled": 8,
    "stream": 10,
    "sorting": 10,
    "pages": 10,
    "sorter": 11,
    "listen": 11,
    "groups": 12,
    "nearest": 12,
    "measures": 12,
    "models": 13,
    "describing": 14,
    "plot": 13,
    "report": 14,
    "jobs": 15,
    "manifest": 15,
    "batch": 16,
    "cluster": 17,
    "integrations": 15,
    "live": 15,
    "study": 16,
    "viewer": 16,
    "options": 16,
    "console": 17,
    "cli": 18,
}
MODULES = sorted(
    ".".join(path.relative_to(SOURCE.parent).with_suffix("").parts).removesuffix(".__init__")
    for path in SOURCE.rglob("*.py")
)
ROOMS = [name for name in MODULES if name != "spikesorter"]
HEAVY = {"jax", "keras", "scipy", "spikeinterface", "matplotlib", "pydantic"}


def room_of(module: str) -> str:
    return module.split(".")[1]


def imports_of(module: str) -> Iterator[str]:
    path = Path(importlib.import_module(module).__file__ or "")
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def test_every_room_has_its_floor() -> None:
    assert {room_of(module) for module in ROOMS} == set(FLOORS)


@pytest.mark.parametrize("module", ROOMS)
def test_rooms_import_from_floors_below_only(module: str) -> None:
    own = room_of(module)
    inside = [name for name in imports_of(module) if name.startswith("spikesorter.")]
    wrong = [name for name in inside if room_of(name) != own and FLOORS[room_of(name)] >= FLOORS[own]]
    assert wrong == []


@pytest.mark.parametrize("module", ROOMS)
def test_figures_are_drawn_in_two_rooms_alone(module: str) -> None:
    drawn = any(name.split(".")[0] in {"matplotlib", "plotly"} for name in imports_of(module))
    assert not drawn or room_of(module) in {"plot", "report"}


@pytest.mark.parametrize("module", MODULES)
def test_all_lists_what_is_there_and_documented(module: str) -> None:
    loaded = importlib.import_module(module)
    for name in getattr(loaded, "__all__", []):
        value = getattr(loaded, name)
        if inspect.isclass(value) or inspect.isfunction(value):
            assert inspect.getdoc(value), f"{module}.{name} has no docstring"


def test_public_names_are_sorted_and_listed_by_dir() -> None:
    assert sorted(spikesorter.__all__) == spikesorter.__all__
    assert dir(spikesorter) == spikesorter.__all__
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = spikesorter.nonsense


def test_importing_the_package_or_the_command_line_is_light() -> None:
    code = "import sys, spikesorter, spikesorter.cli; print(*{name.split('.')[0] for name in sys.modules})"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert not HEAVY & set(loaded.split())


def test_what_needs_no_network_does_not_load_their_libraries() -> None:
    code = "import sys, spikesorter.jobs; print(*{name.split('.')[0] for name in sys.modules})"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert not {"jax", "keras"} & set(loaded.split())
