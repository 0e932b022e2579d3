"""The documentation: its examples run, its links lead somewhere, its site needs nothing from elsewhere."""

from __future__ import annotations

import contextlib
import io
import re
import shlex
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest
from typer.main import get_command
from typer.testing import CliRunner

import spikesorter
from spikesorter.cli import app
from spikesorter.core.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PAGES = sorted([*DOCS.glob("*.md"), ROOT / "README.md", ROOT / "CHANGELOG.md"])
IDS = [page.name for page in PAGES]
FENCED = re.compile(r"^(`{3,})(.*?)\n(.*?)^\1$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^()\s]+)\)")
NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
AMERICAN = re.compile(
    r"\b(colou?rize\w*|color\w*|behavior\w*|neighbor\w*|center\w*|analyz(?:e|ed|es|ing)|normaliz\w*|optimiz\w*|"
    r"recogniz\w*|minimiz\w*|maximiz\w*|summariz\w*|modeling|label(?:ed|ing)|catalog|favor\w*|gray\w*)\b"
)


def blocks_of(page: Path) -> list[tuple[str, str]]:
    """The fenced blocks of a page: language and contents."""
    return [(language.strip(), code) for _, language, code in FENCED.findall(page.read_text("utf-8"))]


def prose_of(page: Path) -> str:
    without_blocks = FENCED.sub("", page.read_text("utf-8"))
    return re.sub(r"`[^`\n]*`", "", re.sub(r"^(?: {4}|\t).*$", "", without_blocks, flags=re.MULTILINE))


def anchors_of(page: Path) -> set[str]:
    """The anchors that GitHub makes of a page's headings."""
    anchors: list[str] = []
    for title in re.findall(r"^#+ (.*)$", FENCED.sub("", page.read_text("utf-8")), re.MULTILINE):
        plain = re.sub(r"[`*]|\]\([^)]*\)|\[", "", title).strip().lower()
        kept = "".join(c for c in plain if c in " -_" or unicodedata.category(c)[0] in "LN")
        slug = kept.replace(" ", "-")
        anchors.append(f"{slug}-{anchors.count(slug)}" if slug in anchors else slug)
    return set(anchors)


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_python_examples_compile(page: Path) -> None:
    for language, code in blocks_of(page):
        if language == "python":
            compile(code, page.name, "exec")


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_links_lead_to_files_and_headings_that_exist(page: Path) -> None:
    made_later = {"settings.md": {"of-the-whole"}}  # headings that only the built page has
    for link in LINK.findall(FENCED.sub("", page.read_text("utf-8"))):
        if re.match(r"https?://", link):
            continue
        place, _, anchor = link.partition("#")
        target = (page.parent / place).resolve() if place else page
        assert target.exists(), f"{link} leads nowhere"
        if anchor:
            assert anchor in anchors_of(target) | made_later.get(target.name, set()), (
                f"{link}: no such heading"
            )


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_the_spelling_is_british(page: Path) -> None:
    assert AMERICAN.findall(prose_of(page).lower()) == []


def test_every_page_and_picture_can_be_found() -> None:
    index, text = (DOCS / "index.md").read_text("utf-8"), "".join(p.read_text("utf-8") for p in PAGES)
    listed = {line for language, code in blocks_of(DOCS / "index.md") for line in code.splitlines()}
    pages = {page.stem for page in DOCS.glob("*.md")} - {"index"}
    assert pages <= listed
    assert all(f"({page}.md)" in index for page in pages)
    assert all(f"images/{picture.name}" in text for picture in (DOCS / "images").iterdir())


@pytest.mark.slow
def test_the_tutorial_runs_and_prints_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "tutorial"}
    printed = ""
    for language, code in blocks_of(DOCS / "tutorial.md"):
        if language == "python":
            assert printed == "", f"the page does not show what is printed: {printed}"
            with contextlib.redirect_stdout(io.StringIO()) as out:
                exec(compile(code, "tutorial.md", "exec"), names)
            printed = out.getvalue()
        elif language == "text":
            assert alike(printed, code), f"printed:\n{printed}\nshown:\n{code}"
            printed = ""
        elif language == "console":
            run_commands(code)
    assert printed == ""
    assert (tmp_path / "target.png").is_file()
    assert (tmp_path / "d2.png").is_file()


def alike(printed: str, shown: str) -> bool:
    """Whether two texts differ in nothing but a little in their figures: processors round differently."""
    numbers = [[float(n) for n in NUMBER.findall(text)] for text in (printed, shown)]
    words = [re.sub(r"[\[\]]", " ", NUMBER.sub("#", text)).split() for text in (printed, shown)]
    return words[0] == words[1] and all(
        abs(a - b) <= 0.03 * abs(b) + (0.02 if abs(b) < 10 else 5) for a, b in zip(*numbers, strict=True)
    )


def test_texts_are_alike_if_only_their_figures_differ_a_little() -> None:
    assert alike("score 0.96 [ 346 0]", "score 0.97 [348  0]")
    assert not alike("score 0.80", "score 0.97")
    assert not alike("strict 0.97", "score 0.97")
    assert not alike("0.97", "0.97 0.98")


def run_commands(code: str) -> None:
    for line in code.splitlines():
        program, *words = shlex.split(line.removeprefix("$ "))
        assert program == "spikesorter"
        result = CliRunner().invoke(app, words)
        assert result.exit_code == 0, f"{line}\n{result.output}"


@pytest.mark.slow
def test_the_site_says_all_and_fetches_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "sphinx", "-W", "-q", "-E", "-d", str(tmp_path / "trees")]
    subprocess.run([*command, str(DOCS), str(tmp_path / "site")], check=True)
    pages = {path.stem: path.read_text("utf-8") for path in (tmp_path / "site").glob("*.html")}
    fetched = re.compile(r"<(?:script|img|iframe)[^>]+src=\"(?:https?:)?//|<link[^>]+href=\"(?:https?:)?//")
    assert [name for name, page in pages.items() if fetched.search(page)] == []
    commands = vars(get_command(app))["commands"]
    assert all(f'id="spikesorter-{name}"' in pages["command-line"] for name in commands)
    assert "sort" in commands
    assert all(f'id="{section}"' in pages["settings"] for section in ("detector", "rehearsal", "tuning"))
    assert str(Settings.model_fields["decoder"].description) in pages["settings"]
    assert all(f'id="spikesorter.{name}"' in pages["api"] for name in spikesorter.__all__)
