"""The page: what is known of results as one HTML file that needs nothing else, no network least of all.

Words and tables are HTML from the start; figures and traces are drawn by `assets/page.js` when they come
into sight. Everything that comes from outside, such as names, is text, here and there.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from string import Template
from typing import Any

from spikesorter.io.atomic import atomic_file
from spikesorter.report.drawing import COLOURS
from spikesorter.report.plot import SYMBOLS

__all__ = ["page_html", "write_page"]

ASSETS = Path(__file__).parent / "assets"
SIGNS = {"good": ("✔", "good"), "fair": ("●", "fair"), "poor": ("✖", "poor"), "unknown": ("?", "not known")}
KEYS = (
    ("←, →", "page back, on"),
    ("+, -", "zoom in, out"),
    ("0", "whole page"),
    ("n, p", "next, previous doubtful spike"),
    ("g", "go to a time"),
)
IN_PART = (
    '<p class="note">This file holds stretches from all over the recording and those around doubtful spikes; '
    "<code>spikesorter view</code> shows all of it.</p>"
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
        JavaScript to run before the page's own. With any, the page may ask the server that it came from.

    Returns
    -------
    str
        HTML.
    """
    from plotly.offline import get_plotlyjs

    every = [_script_safe(script) for script in (get_plotlyjs(), *scripts, _asset("page.js"))]
    shown = {**contents, "colours": COLOURS, "symbols": SYMBOLS}
    overall = contents["overall"]
    html = Template(_asset("page.html")).substitute(
        policy=_policy(every, connect="'self'" if scripts else "'none'"),
        title=escape(contents["title"]),
        style=_asset("page.css"),
        made=escape(contents["made"]),
        overall=_verdict(overall) if overall else "",
        summary=_summary(contents),
        note=f"<p>{escape(contents['note'])}</p>" if contents["note"] else "",
        recordings="\n".join(_recording(r, one) for r, one in enumerate(contents["recordings"])),
        about="\n".join(_about(part) for part in contents["about"]),
        contents=_json(shown),
        scripts="\n".join(f"<script>{script}</script>" for script in every),
    )
    return html.encode("utf-8", "replace").decode("utf-8")  # names of files may hold what is no Unicode


def _policy(scripts: Iterable[str], *, connect: str) -> str:
    digests = (hashlib.sha256(script.encode()).digest() for script in scripts)
    hashes = " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)
    return (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data: blob:; "
        f"connect-src {connect}; base-uri 'none'; form-action 'none'"
    )


def _summary(contents: Contents) -> str:
    head, rows = contents["summary"]["head"], contents["summary"]["rows"]
    heads = "".join(f'<th scope="col">{escape(name)}</th>' for name in (*head, "in words"))
    body = "".join(
        f'<tr><th scope="row">{_linked(row)}</th>'
        + "".join(f"<td>{escape(cell)}</td>" for cell in row["cells"][1:])
        + f"<td>{_level(row['level'])}</td></tr>"
        for row in rows
    )
    return _scrolling(
        "Recordings",
        f"<table><caption>All recordings, in order</caption><thead><tr>{heads}</tr></thead>"
        f"<tbody>{body}</tbody></table>",
    )


def _linked(row: Contents) -> str:
    name = escape(row["cells"][0])
    return name if row["details"] is None else f'<a href="#recording-{row["details"]}">{name}</a>'


def _recording(r: int, one: Contents) -> str:
    name = escape(one["name"])
    facts = "".join(
        f"<div><dt>{escape(key)}</dt><dd>{escape(value)}</dd></div>" for key, value in one["facts"]
    )
    keys = "; ".join(f"<kbd>{escape(key)}</kbd> {escape(what)}" for key, what in KEYS)
    return Template(_asset("recording.html")).substitute(
        r=r,
        name=name,
        verdict=_verdict(one["verdict"]),
        facts=facts,
        units=_unit_table(one),
        keys=keys,
        whole="" if one["whole"] else IN_PART,
        doubtful=_doubtful(one),
        figures="".join(_figure(r, k, figure) for k, figure in enumerate(one["figures"])),
    )


def _unit_table(one: Contents) -> str:
    table = one["unit_table"]
    heads = "".join(f'<th scope="col">{escape(name)}</th>' for name in table["head"])
    body = "".join(
        f'<tr><th scope="row"><span class="key" data-unit="{k}"></span> {escape(row[0])}</th>'
        + "".join(f"<td>{escape(cell)}</td>" for cell in row[1:])
        + "</tr>"
        for k, row in enumerate(table["rows"])
    )
    return _scrolling(
        f"Neurons of {one['name']}",
        f"<table><caption>Neurons</caption><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>",
    )


def _doubtful(one: Contents) -> str:
    if not one["doubtful"]:
        return "<p>None.</p>"
    names = {unit["label"]: unit["name"] for unit in one["units"]}
    items = "".join(
        f'<li><button type="button" data-doubtful="{k}">{sample / one["fs_hz"]:.4f} s, '
        f"{escape(names[label])}, {probability:.2f}</button></li>"
        for k, (sample, label, probability) in enumerate(one["doubtful"])
    )
    return f'<ol class="doubtful">{items}</ol>'


def _figure(r: int, k: int, figure: Contents) -> str:
    title = escape(figure["title"])
    return (
        f'<figure><h4>{title}</h4><div class="scrolling" role="region" aria-label="{title}" tabindex="0">'
        f'<div class="plot" data-r="{r}" data-figure="{k}"></div></div>'
        f"<figcaption>{escape(figure['caption'])}</figcaption></figure>"
    )


def _about(part: Contents) -> str:
    title = escape(part["title"])
    if "text" in part:
        inside = f'<pre tabindex="0" role="region" aria-label="{title}">{escape(part["text"])}</pre>'
    else:
        rows = "".join(
            f'<tr><th scope="row">{escape(name)}</th><td>{escape(value)}</td></tr>'
            for name, value in part["rows"]
        )
        inside = f"<table><caption>{title}</caption><tbody>{rows}</tbody></table>"
    return f"<details><summary>{title}</summary>{inside}</details>"


def _verdict(verdict: Contents) -> str:
    return f'<p class="verdict">{_level(verdict["level"])} {escape(verdict["words"])}</p>'


def _level(level: str) -> str:
    sign, word = SIGNS[level]
    return f'<span class="level {level}"><span aria-hidden="true">{sign}</span> {word}</span>'


def _scrolling(name: str, inside: str) -> str:
    return f'<div class="scrolling" role="region" aria-label="{escape(name)}" tabindex="0">{inside}</div>'


def _json(value: Any) -> str:
    """Return JSON that is no HTML, wherever it stands."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _script_safe(script: str) -> str:
    return script.replace("</script", "<\\/script")


def _asset(name: str) -> str:
    return (ASSETS / name).read_text(encoding="utf-8")
