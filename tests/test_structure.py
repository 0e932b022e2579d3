"""Rules of the structure: who may import whom, what is exported, what is documented."""

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
ROOT = Path(__file__).resolve().parents[1]
MODULES = sorted(
    ".".join(path.relative_to(SOURCE.parent).with_suffix("").parts).removesuffix(".__init__")
    for path in SOURCE.rglob("*.py")
)
INNER = [name for name in MODULES if name != "spikesorter"]
FOLDERS = {"core", "signal", "io", "estimation", "decoding", "sorting", "report", "workflows", "cli"}
HEAVY = {"jax", "keras", "scipy", "spikeinterface", "matplotlib", "pydantic"}


def imports_of(module: str) -> Iterator[str]:
    path = Path(importlib.import_module(module).__file__ or "")
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def test_the_import_contracts_of_pyproject_hold() -> None:
    words = ["lint-imports", "--no-cache", "--config", str(ROOT / "pyproject.toml")]
    linted = subprocess.run(
        [Path(sys.executable).parent / words[0], *words[1:]], capture_output=True, text=True
    )
    assert linted.returncode == 0, linted.stdout


def test_the_top_holds_the_folders_and_the_public_modules_alone() -> None:
    there = {path.name for path in SOURCE.iterdir()} - {"__pycache__"}
    assert there == FOLDERS | {
        "__init__.py", "__main__.py", "py.typed", "plot.py", "simulate.py", "integrations",
    }  # fmt: skip


@pytest.mark.parametrize("module", INNER)
def test_figures_are_drawn_by_the_report_alone(module: str) -> None:
    drawn = any(name.split(".")[0] in {"matplotlib", "plotly"} for name in imports_of(module))
    assert not drawn or module.startswith("spikesorter.report.")


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
    code = (
        "import sys, spikesorter.cli.sort, spikesorter.workflows.files, spikesorter.workflows.training; "
        "print(*{name.split('.')[0] for name in sys.modules})"
    )
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert not {"jax", "keras", "matplotlib", "pandas", "plotly", "pywt", "sklearn"} & set(loaded.split())
