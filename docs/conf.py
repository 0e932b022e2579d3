"""How Sphinx builds the site: `make docs`, or `python scripts/project.py docs`."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import spikesorter
from spikesorter.core.settings import PRESETS, Settings, describe_settings

ROOT = Path(__file__).resolve().parent.parent
FIRST = ("Sorter", "Spikes", "Score", "Settings")  # what users meet first
ROOMS = ROOT / "src" / "spikesorter"

project = "Neural Spike Sorter"
author = "the authors of Neural Spike Sorter"
version = release = spikesorter.__version__
language = "en_GB"

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
myst_heading_anchors = 4  # as GitHub makes them, so that links work in both places
exclude_patterns = ["images"]
suppress_warnings = ["ref.python"]  # words of types, such as "shape (samples, labels)", are no references

autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the docstrings say types, shapes and units
autodoc_class_signature = "separated"
napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_use_param = True

html_theme = "furo"
html_title = f"{project} {version}"
html_copy_source = False
html_show_sphinx = False
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#00548a", "color-brand-content": "#00548a"},
    "dark_css_variables": {"color-brand-primary": "#56b4e9", "color-brand-content": "#56b4e9"},
}


def setup(app: Any) -> None:
    """Fill in what is generated from the program itself, so that it cannot go stale."""
    app.connect("source-read", fill_in)


def fill_in(_app: Any, page: str, source: list[str]) -> None:
    """Replace a page's mark `<!-- generated -->` by what the program says."""
    if page in GENERATED:
        source[0] = source[0].replace("<!-- generated -->", GENERATED[page]())


def command_line() -> str:
    """Describe the commands, by typer."""
    words = ["typer", "spikesorter.cli", "utils", "docs", "--name", "spikesorter"]
    text = subprocess.run([sys.executable, "-m", *words], check=True, capture_output=True, text=True).stdout
    text = re.sub(r"^#\s.*$", "", text, count=1, flags=re.MULTILINE)  # the page has a title
    listed, *commands = re.split(r"^(?=## )", text, flags=re.MULTILINE)
    linked = re.sub(r"^\* `(\w+)`: .*$", r"* [`\1`](#spikesorter-\1)", listed, flags=re.MULTILINE)
    return linked + "".join(commands)


def settings() -> str:
    """Describe the settings, section by section, and what presets change."""
    top, *sections = re.split(r"^\n(?=# .*\n\[)", describe_settings(Settings()), flags=re.MULTILINE)
    pages = [f"## Of the whole\n\n{_table(top)}"]
    for section in sections:
        meaning, name, rest = section.split("\n", 2)
        name = name.strip("[]")
        pages.append(f"## {name}\n\n{meaning.strip('# ')}\n\n{_table(rest)}")
    changed = "\n".join(f"| `{key}` | `{value!r}` |" for key, value in _flat(PRESETS["published"]))
    pages.append(f"## Preset `published`\n\nChanges these:\n\n| setting | value |\n|---|---|\n{changed}")
    return "\n\n".join(pages)


def _table(described: str) -> str:
    """Make a table of lines that say a meaning, then a key and its value, or that it is unset."""
    lines = described.strip().splitlines()
    rows = ["| setting | default | meaning |", "|---|---|---|"]
    for meaning, setting in zip(lines[::2], lines[1::2], strict=True):
        key, _, value = setting.removeprefix("# ").partition(" =")
        default = f"`{value.strip()}`" if value else "unset"
        rows.append(f"| `{key}` | {default} | {meaning.removeprefix('# ')} |")
    return "\n".join(rows)


def api() -> str:
    """List what the package exports: classes, then functions, then errors."""
    values = {name: getattr(spikesorter, name) for name in spikesorter.__all__}
    errors = [
        name for name, value in values.items() if inspect.isclass(value) and issubclass(value, Exception)
    ]
    classes = [name for name, value in values.items() if inspect.isclass(value) and name not in errors]
    functions = [name for name in values if name not in {*errors, *classes}]
    classes.sort(key=lambda name: (*[name != first for first in FIRST], name))
    parts = [
        ("Classes", "class", classes),
        ("Functions", "function", functions),
        ("Errors", "exception", errors),
    ]
    return "\n\n".join(
        f"## {title}\n\n"
        + "\n\n".join(
            f"### {name}\n\n```{{eval-rst}}\n.. auto{kind}:: spikesorter.{name}\n"
            + ("   :members:\n```" if kind == "class" else "```")
            for name in names
        )
        for title, kind, names in parts
    )


def rooms() -> str:
    """List the public names of every room."""
    names = sorted(
        ".".join(path.relative_to(ROOMS.parent).with_suffix("").parts).removesuffix(".__init__")
        for path in ROOMS.rglob("*.py")
    )
    shown = [name for name in names if name not in ("spikesorter", "spikesorter.cli")]
    return "\n".join(map(_room, shown))


def _room(module: str) -> str:
    """List the public names of a room, less those that the package exports: these have one place."""
    exported = [name for name in spikesorter.__all__ if getattr(spikesorter, name).__module__ == module]
    known = "".join(f"{{py:obj}}`spikesorter.{name}` is in [Python](api.md). " for name in exported)
    left_out = f"   :exclude-members: {', '.join(exported)}\n" if exported else ""
    title = module.removeprefix("spikesorter.")
    return (
        f"## {title}\n\n```{{eval-rst}}\n.. automodule:: {module}\n   :members:\n{left_out}```\n\n{known}\n"
    )


def _flat(values: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    return [
        pair
        for key, value in values.items()
        for pair in (_flat(value, f"{prefix}{key}.") if isinstance(value, dict) else [(prefix + key, value)])
    ]


GENERATED = {"api": api, "command-line": command_line, "settings": settings, "rooms": rooms}
