"""Write results as one self-contained HTML file.

Text and tables are static HTML. The scripts in `assets` draw figures and traces when they are scrolled into
view. Names and other values from outside are shown as text, never as HTML.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from spikesorter.core.text import visible
from spikesorter.io.atomic import atomic_file
from spikesorter.report.html import read_asset, read_plotly, render
from spikesorter.report.palette import COLOURS, SYMBOLS
from spikesorter.report.policy import allow_scripts

__all__ = ["page_html", "write_page"]

KEYS = (
    ("←, →", "previous, next page"),
    ("+, -", "zoom in, out"),
    ("w", "whole page"),
    ("n, p", "next, previous doubtful spike"),
    ("g", "go to a time"),
)
JUDGING_KEYS = (
    ("a", "accept the spike"),
    ("x", "reject it"),
    ("0 to 9", "rename it to the unit of that name or, if there is none, the unit at that place"),
    ("i, m", "add a spike, move the spike"),
    ("u, y", "undo, redo"),
    ("j", "next spike to judge: the one that tells most of the others"),
)

Contents = Mapping[str, Any]


def write_page(path: Path, contents: Contents) -> None:
    """Write a report: one HTML file.

    Parameters
    ----------
    path : Path
    contents : mapping
        From `report_contents`.

    Raises
    ------
    InputError
        If it cannot be written.
    """
    html = page_html(contents)
    with atomic_file(path) as temporary:
        temporary.write_text(html, encoding="utf-8")


def page_html(contents: Contents, *, scripts: Sequence[str] = ()) -> str:
    """Return the page of a report or, with its script, of the viewer.

    Parameters
    ----------
    contents : mapping
        From `report_contents` or `viewer_contents`.
    scripts : sequence of str
        JavaScript to run before the drawing scripts. If there is any, the page may connect to its server.

    Returns
    -------
    str
        HTML.
    """
    contents = _visible(contents)
    drawing = (read_asset(name) for name in ("figures.js", "trace.js", "page.js"))
    every = [_script_safe(one) for one in (read_plotly(), read_asset("data.js"), *scripts, *drawing)]
    return render(
        "page.html",
        **contents,
        contents={**contents, "colours": COLOURS, "symbols": [one.plotly for one in SYMBOLS]},
        keys=(*KEYS, *(JUDGING_KEYS if contents["kind"] == "viewer" else ())),
        names=[{unit["unit"]: unit["name"] for unit in one["units"]} for one in contents["recordings"]],
        policy=allow_scripts(every, served=bool(scripts), header=False),
        scripts=every,
        style=read_asset("page.css"),
    )


def _visible(value: Any) -> Any:
    """Return contents whose texts have no control characters or marks of writing direction."""
    if isinstance(value, str):
        return visible(value, lines=True)
    if isinstance(value, Mapping):
        return {key: _visible(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_visible(one) for one in value]
    return value


def _script_safe(script: str) -> str:
    return script.replace("</script", "<\\/script")
