from __future__ import annotations

import html as entities
import json
import re
from pathlib import Path
from typing import Any

import pytest
from jinja2 import UndefinedError
from plotly import graph_objects

from spikesorter.report import html
from spikesorter.report.html import call_macro, read_asset, read_plotly, render
from spikesorter.report.page import page_html, write_page
from spikesorter.report.palette import COLOURS, SYMBOLS, colour, symbol
from spikesorter.report.policy import NOTHING, allow_scripts, scripts_in
from spikesorter.report.server import page_reply
from tests.report.viewing import HOSTILE, HOSTILE_UNIT, fake_contents, fake_result

TEMPLATES = sorted((Path(html.__file__).parent / "templates").glob("*.html"))


@pytest.fixture
def contents(tmp_path: Path) -> dict[str, Any]:
    results: Any = [fake_result(tmp_path)]
    return fake_contents(results)


def words(page: str) -> str:
    """What is left of a page without its scripts, styles and tags."""
    return entities.unescape(
        re.sub(r"<[^>]*>", "", re.sub(r"(?s)<(script|style)\b.*?</\1", "", page.replace(">", ">\n")))
    )


def test_names_are_escaped_wherever_they_stand(contents: dict[str, Any]) -> None:
    contents["note"] = contents["recordings"][0]["verdict"]["text"] = '"><b onload=alert(3)>'
    contents["about"] = [{"title": "<i>", "text": "</pre><i>"}, {"title": "</td>", "rows": [["<u>", "<s>"]]}]
    contents["recordings"][0]["figures"] = [
        {"id": "x", "title": '" onfocus="alert(4)', "caption": "<em>", "shape": "", "figure": None}
    ]
    page = page_html(contents)
    outside = re.sub(r"(?s)<(script|style)\b.*?</\1>", "", page)
    assert len(scripts_in(page)) == 6  # contents, Plotly, and the four of assets
    for tag in ("<b ", "<i>", "<u>", "<s>", "<em>", "<img", "<script>", ' onfocus="'):
        assert tag not in outside
    shown = words(page)
    for text in (HOSTILE, HOSTILE_UNIT, '"><b onload=alert(3)>', "<u>", "</pre><i>", "<em>"):
        assert text in shown


def test_the_help_of_the_viewer_names_its_keys_for_judging(contents: dict[str, Any]) -> None:
    assert "reject it" in words(page_html(contents))
    assert "reject it" not in words(page_html(contents | {"kind": "report"}))


def test_the_list_of_contents_leads_to_all_parts_and_the_version_is_told(contents: dict[str, Any]) -> None:
    page = page_html(contents)
    links = re.findall(r'href="#([\w-]+)"', page)
    assert {"units-0", "trace-0", "doubtful-0", "figures-0", "about"} <= set(links)
    assert set(links) <= set(re.findall(r'id="([\w-]+)"', page))
    assert "spikesorter 1.2.3, 2026" in words(page)


def test_embedded_contents_are_json_that_is_no_html(contents: dict[str, Any]) -> None:
    text = scripts_in(page_html(contents))[0]
    assert not set("<>&") & set(text)
    shown = json.loads(text)
    assert shown["title"] == f"results of {HOSTILE}"
    assert shown["recordings"] == json.loads(json.dumps(contents["recordings"]))
    assert (shown["colours"], shown["symbols"]) == (list(COLOURS), [one.plotly for one in SYMBOLS])


def test_values_that_json_cannot_hold_are_refused(contents: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        page_html(contents | {"kind": float("nan")})


def test_a_missing_value_is_an_error_and_not_a_gap(contents: dict[str, Any]) -> None:
    del contents["title"]
    with pytest.raises(UndefinedError, match="title"):
        page_html(contents)


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_only_our_own_scripts_and_style_are_inserted_as_they_are(template: Path) -> None:
    unescaped = re.findall(r"{{ *(\w+)[^}]*\| *safe", template.read_text(encoding="utf-8"))
    assert set(unescaped) <= {"script", "style"}
    assert "autoescape" not in template.read_text(encoding="utf-8")


def test_macros_give_html_and_text_given_to_them_is_escaped() -> None:
    table = call_macro("notebook.html", "table", ["<a>"], [["<b>"]])
    assert "<th>&lt;a&gt;</th>" in table
    nested = call_macro("notebook.html", "page", "<c>", (table, "<d>"))
    assert table in nested
    assert "&lt;c&gt;" in nested
    assert "&lt;d&gt;" in nested


def test_an_unknown_template_or_value_is_an_error() -> None:
    with pytest.raises(UndefinedError):
        render("page.html")


def test_the_policy_of_the_page_allows_its_scripts_and_no_network(contents: dict[str, Any]) -> None:
    page = page_html(contents)
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    stated = entities.unescape(policy)
    assert stated == allow_scripts(scripts_in(page)[1:], served=False, header=False)
    assert "connect-src 'none'" in stated
    assert "frame-ancestors" not in stated  # browsers take it from headers only


def test_the_policy_of_the_viewer_is_the_same_but_for_its_server(contents: dict[str, Any]) -> None:
    page = page_html(contents, scripts=[read_asset("viewer.js")])
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    scripts = scripts_in(page)
    assert entities.unescape(policy) == allow_scripts(scripts[1:], served=True, header=False)
    assert page_reply(page).policy == allow_scripts(scripts, served=True, header=True)
    assert NOTHING == "default-src 'none'; frame-ancestors 'none'"


def test_a_report_is_written_whole(contents: dict[str, Any], tmp_path: Path) -> None:
    write_page(tmp_path / "report.html", contents)
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert text.lstrip().startswith("<!doctype html>")
    assert text.rstrip().endswith("</html>")


def test_each_unit_has_its_colour_and_symbol_in_the_table(contents: dict[str, Any]) -> None:
    page = page_html(contents)
    found = re.findall(r'<span class="key" aria-hidden="true" style="color: (\S+)">(\S+)</span>', page)
    assert found == [(colour(k), symbol(k).text) for k in range(3)]


@pytest.mark.parametrize("k", [0, 6, 7, 20])
def test_there_is_a_colour_and_a_symbol_for_any_number_of_units(k: int) -> None:
    assert colour(k) == COLOURS[k % 7]
    assert symbol(k) == SYMBOLS[k % 9]


def test_names_hide_nothing(contents: dict[str, Any]) -> None:
    contents["title"] = "a\u202etam.exe\x1b[2J"
    contents["recordings"][0]["name"] = "caf\udce9"
    page = page_html(contents)
    page.encode()
    outside = re.sub(r"(?s)<(script|style)\b.*?</\1>", "", page)
    assert r"a\u202etam.exe\x1b[2J" in words(page)
    assert not {"\u202e", "\x1b"} & set(outside)
    assert r"caf\\xe9" in scripts_in(page)[0]


def test_bad_stretches_have_one_plain_line(contents: dict[str, Any]) -> None:
    assert '<p class="bad">' not in page_html(contents)
    contents["recordings"][0]["bad_words"] = "0.6 of 8 s are bad <b>"
    page = page_html(contents)
    assert '<p class="bad">0.6 of 8 s are bad &lt;b&gt;</p>' in page
    assert "Bad stretches are shaded" in words(page)


def test_the_part_of_plotly_that_the_page_holds_draws_what_figures_are_made_of() -> None:
    folder = Path(html.__file__).parent
    text = "".join(path.read_text("utf-8") for path in (folder / "plots").glob("*.py"))
    made = {one.lower() for pair in re.findall(r"\badd_(\w+)\(|\b([A-Z]\w+)\(", text) for one in pair}
    kinds = made & {name.lower() for name in dir(graph_objects)} - {"annotation", "figure", "line"}
    assert kinds == {"bar", "heatmap", "scatter"}
    assert all(f'name:"{kind}"' in read_plotly() for kind in kinds)


def test_the_vendored_script_is_the_one_that_is_described() -> None:
    folder = Path(html.__file__).parent / "vendored"
    described = (folder / "README.md").read_text("utf-8")
    (version,) = re.findall(r"`plotly\.js-cartesian-dist-min` (\d+\.\d+\.\d+)", described)
    assert f"plotly.js (cartesian - minified) v{version}" in read_plotly()[:300]
