"""How Sphinx builds the site: `make docs`, or `python scripts/project.py docs`."""

from __future__ import annotations

import inspect
import json
import re
import subprocess
import sys
from collections import Counter
from importlib import import_module
from pathlib import Path
from typing import Any

from docutils import nodes

import spikesorter
from spikesorter.core.settings import PRESETS, Settings, describe_settings

ROOT = Path(__file__).resolve().parent.parent
FIRST = ("Sorter", "Spikes", "Score", "Settings")  # what users meet first
SOURCE = ROOT / "src" / "spikesorter"
FOLDERS = ("core", "signal", "io", "estimation", "decoding", "sorting", "report", "workflows")
PUBLIC = ("plot", "simulate", "integrations")

project = "Neural Spike Sorter"
author = "The Neural Spike Sorter developers"
copyright = author
version = release = spikesorter.__version__
language = "en_GB"

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
myst_heading_anchors = 4  # as GitHub makes them, so that links work in both places
exclude_patterns = ["images"]
templates_path = ["_templates"]
html_static_path = ["_static"]
suppress_warnings = ["ref.python"]  # words of types, such as "shape (samples, labels)", are no references

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True  # as they are written
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 90  # longer ones have a line for each parameter
autodoc_class_signature = "separated"
napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_use_param = True

copybutton_prompt_text = "$ "
copybutton_exclude = ".linenos, .gp, .go"

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
    app.connect("autodoc-skip-member", without_init)
    app.connect("build-finished", list_sections)


def fill_in(_app: Any, page: str, source: list[str]) -> None:
    """Replace a page's mark `<!-- generated -->` by what the program says."""
    if page in GENERATED:
        source[0] = source[0].replace("<!-- generated -->", GENERATED[page]())


def without_init(_app: Any, _kind: str, name: str, _value: Any, skip: bool, _options: Any) -> bool:
    """Leave out `__init__`: what a class is made from is said in its own docstring."""
    return skip or name == "__init__"


def list_sections(app: Any, error: Exception | None) -> None:
    """Write the words of every section to _static/sections.js, so that search results lead to sections."""
    if error or app.builder.format != "html":
        return
    language = app.builder.indexer.lang
    pages = {
        page: [(anchor, title, stems_of(text, language)) for anchor, title, text in sections_of(doctree)]
        for page in sorted(app.env.found_docs)
        for doctree in [app.env.get_doctree(page)]
    }
    written = f"window.searchSections = {json.dumps(pages, ensure_ascii=False, separators=(',', ':'))};\n"
    (Path(app.outdir) / "_static" / "sections.js").write_text(written, encoding="utf-8")


def sections_of(page: nodes.document) -> list[tuple[str, str, str]]:
    """Return anchor, title and text of each section, without the sections inside it."""
    found = []
    for section in page.findall(nodes.section):
        title = section.next_node(nodes.title)
        own = [child.astext() for child in section.children if not isinstance(child, nodes.section)]
        if title is not None:
            found.append((section["ids"][0], title.astext(), " ".join(own)))
    return found


def stems_of(text: str, language: Any) -> dict[str, int]:
    """Count the words of a text as Sphinx's search looks for them: stemmed, in lower case."""
    stems = (language.stem(word.lower()) for word in language.split(text))
    return dict(Counter(stem for stem in stems if language.word_filter(stem)))


def command_line() -> str:
    """Describe the commands, by typer."""
    words = ["typer", "spikesorter.cli", "utils", "docs", "--name", "spikesorter"]
    text = subprocess.run([sys.executable, "-m", *words], check=True, capture_output=True, text=True).stdout
    text = re.sub(r"^#\s.*$", "", text, count=1, flags=re.MULTILINE)  # the page has a title
    listed, *commands = re.split(r"^(?=## )", text, flags=re.MULTILINE)
    linked = re.sub(r"^\* `(\w+)`: .*$", r"* [`\1`](#spikesorter-\1)", listed, flags=re.MULTILINE)
    return linked + "".join(commands)


def settings() -> str:
    """Describe the settings, group by group and section by section, and what presets change."""
    described = describe_settings(Settings())
    top, *sections = re.split(r"^\n(?=# .*\n\[|# ---- )", described, flags=re.MULTILINE)
    pages = [f"## General\n\n{_table(top)}"]
    for section in sections:
        if section.startswith("# ----"):
            pages.append(f"## {section.strip().strip('#- ')}")
            continue
        meaning, name, rest = section.split("\n", 2)
        name = name.strip("[]")
        pages.append(f"### {name}\n\n{meaning.strip('# ')}\n\n{_table(rest)}")
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
            + (f"   :members:\n{_inherited(values[name])}```" if kind == "class" else "```")
            for name in names
        )
        for title, kind, names in parts
    )


def _inherited(value: type) -> str:
    """Ask for what a class has from a plain class of the package, too."""
    plain = [base.__module__.partition(".")[0] == "spikesorter" and base.__bases__ == (object,)
             for base in value.__bases__]  # fmt: skip
    return "   :inherited-members:\n" if any(plain) else ""


def modules() -> str:
    """List the public names of every module, folder by folder, in the order of the pipeline."""
    command_line = "## cli\n\nThe command line; its users need [Commands](command-line.md)."
    return "\n\n".join([*map(_folder, FOLDERS), command_line, *map(_folder, PUBLIC)])


def _folder(name: str) -> str:
    """List the modules of a folder under its summary."""
    inside = sorted((SOURCE / name).rglob("*.py")) if (SOURCE / name).is_dir() else [SOURCE / f"{name}.py"]
    names = [".".join(path.relative_to(SOURCE).with_suffix("").parts) for path in inside]
    shown = [one for one in names if not one.endswith("__init__")]
    meaning = (import_module(f"spikesorter.{name}").__doc__ or "").strip()
    modules = "\n\n".join(_module(one) for one in shown if one != name)
    return f"## {name}\n\n{meaning if modules else _contents(name)}\n\n{modules}"


def _module(name: str) -> str:
    """List the public names of a module under its own heading."""
    return f"### {name}\n\n{_contents(name)}"


def _contents(name: str) -> str:
    """List the public names of a module, less those that the package exports: these have one place."""
    module = f"spikesorter.{name}"
    exported = [one for one in spikesorter.__all__ if one in getattr(import_module(module), "__all__", ())]
    known = "".join(f"{{py:obj}}`spikesorter.{one}` is in [Python](api.md). " for one in exported)
    left_out = f"   :exclude-members: {', '.join(exported)}\n" if exported else ""
    return f"```{{eval-rst}}\n.. automodule:: {module}\n   :members:\n{left_out}```\n\n{known}\n"


def _flat(values: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    return [
        pair
        for key, value in values.items()
        for pair in (_flat(value, f"{prefix}{key}.") if isinstance(value, dict) else [(prefix + key, value)])
    ]


GENERATED = {"api": api, "command-line": command_line, "settings": settings, "modules": modules}
