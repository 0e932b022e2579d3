"""The built site of the documentation: complete, from this machine alone, and in a real browser."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command

import spikesorter
from spikesorter.cli import app
from spikesorter.core.settings import Settings
from tests.browser.conftest import Driven
from tests.test_docs import DOCS, SITE_PAGES


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site that the set of checks has just built, or one built now; a warning is an error."""
    if built := os.environ.get("SPIKESORTER_SITE"):
        return Path(built)
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-W", "-q", "-E", "-d", str(folder / "trees")]
    subprocess.run([*command, str(DOCS), str(folder / "html")], check=True)
    return folder / "html"


@pytest.mark.slow
def test_the_site_says_all_and_fetches_nothing(site: Path) -> None:
    pages = {path.stem: path.read_text("utf-8") for path in site.rglob("*.html")}
    fetched = re.compile(r"<(?:script|img|iframe)[^>]+src=\"(?:https?:)?//|<link[^>]+href=\"(?:https?:)?//")
    assert [name for name, page in pages.items() if fetched.search(page)] == []
    commands = vars(get_command(app))["commands"]
    assert all(f'id="spikesorter-{name}"' in pages["command-line"] for name in commands)
    assert "sort" in commands
    assert all(f'id="{section}"' in pages["settings"] for section in ("detector", "rehearsal", "tuning"))
    assert str(Settings.model_fields["decoder"].description) in pages["settings"]
    assert all(f'id="spikesorter.{name}"' in pages["api"] for name in spikesorter.__all__)
    assert 'src="_images/d5.png"' in pages["index"]


@pytest.mark.slow
def test_signatures_of_the_site_have_types(site: Path) -> None:
    api = (site / "api.html").read_text("utf-8")
    signature = api[api.index('id="spikesorter.Sorter.fit"') :].split("</dt>")[0]
    plain = re.sub(r"<[^>]+>|\s", "", signature)
    assert "recording:BaseRecording" in plain
    assert "settings:Settings|None=None" in plain
    assert "__init__" not in api


@pytest.mark.slow
def test_code_can_be_copied_and_search_leads_to_sections(site: Path, browser: Driven) -> None:
    page = browser.new_page()
    page.goto((site / "index.html").as_uri())
    page.locator("button.copybtn").first.wait_for(state="attached")
    page.goto((site / "search.html").as_uri() + "?q=refractory+period")
    page.locator("#search-results li a").first.wait_for()
    page.get_by_role("heading", name="Search Results").wait_for()
    links = [str(link.get_attribute("href")) for link in page.locator("#search-results li a").all()]
    page.close()
    assert any(link.startswith("faq.html#two-spikes-of-one-unit") for link in links)
    assert [link for link in links if "#" not in link] == []
    assert len(links) == len(set(links))


@pytest.mark.slow
def test_sections_that_search_leads_to_are_in_their_pages(site: Path) -> None:
    written = (site / "_static" / "sections.js").read_text("utf-8")
    sections = json.loads(written.removeprefix("window.searchSections = ").removesuffix(";\n"))
    assert sections.keys() == {path.relative_to(DOCS).with_suffix("").as_posix() for path in SITE_PAGES}
    for page, listed in sections.items():
        html = (site / f"{page}.html").read_text("utf-8")
        assert [anchor for anchor, _, _ in listed if f'id="{anchor}"' not in html] == []
    concepts = {title: stems for _, title, stems in sections["concepts"]}
    assert {"whiten", "filter"} <= concepts["Detectability and whitening"].keys()
    assert "search-sections.js" in (site / "search.html").read_text("utf-8")
