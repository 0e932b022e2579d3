"""Fill HTML templates; every value is escaped unless a template marks it as HTML."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from spikesorter.report.palette import colour, symbol

__all__ = ["call_macro", "read_asset", "read_plotly", "render"]

HERE = Path(__file__).parent


def render(template: str, **values: Any) -> str:
    """Fill a template from the folder `templates`.

    Parameters
    ----------
    template : str
        Name of its file.
    **values : Any
        Text is escaped; HTML from `call_macro` is not.

    Returns
    -------
    str
    """
    return _environment().get_template(template).render(**values)


def call_macro(template: str, macro: str, *arguments: Any) -> str:
    """Return the HTML of a template's macro; values are escaped as in `render`.

    Examples
    --------
    >>> str(call_macro("notebook.html", "table", ["unit"], [["<a>"]]))
    '<table><thead><tr><th>unit</th></tr></thead><tbody><tr><td>&lt;a&gt;</td></tr></tbody></table>'
    """
    html: str = getattr(_environment().get_template(template).module, macro)(*arguments)
    return html


@cache
def read_asset(name: str) -> str:
    """Return a style sheet or a script from the folder `assets`.

    Examples
    --------
    >>> "--ink" in read_asset("page.css")
    True
    """
    return (HERE / "assets" / name).read_text(encoding="utf-8")


@cache
def read_plotly() -> str:
    """Return the part of Plotly's script that draws lines, points and heat maps: a third of the whole.

    Python's plotly holds only the whole. `vendored/README.md` says where this file is from.

    Examples
    --------
    >>> "Licensed under the MIT license" in read_plotly()[:200]
    True
    """
    return (HERE / "vendored" / "plotly-cartesian.min.js").read_text(encoding="utf-8")


@cache
def _environment() -> Environment:
    environment = Environment(
        autoescape=True,
        loader=FileSystemLoader(HERE / "templates"),
        lstrip_blocks=True,
        trim_blocks=True,
        undefined=StrictUndefined,
    )
    environment.policies["json.dumps_kwargs"] = {"allow_nan": False, "separators": (",", ":")}
    environment.globals |= {"unit_colour": colour, "unit_symbol": symbol}
    return environment
