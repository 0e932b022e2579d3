"""The documentation: its examples run, its links lead somewhere, what it names is there."""

from __future__ import annotations

import contextlib
import io
import re
import shlex
import unicodedata
from pathlib import Path

import click
import pytest
from typer.main import get_command
from typer.testing import CliRunner

import spikesorter
from spikesorter.cli import app
from spikesorter.core.settings import Settings
from spikesorter.io.model_formats import FORMAT_VERSION, READABLE

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
SITE_PAGES = sorted(DOCS.rglob("*.md"))
PAGES = [*SITE_PAGES, *sorted(ROOT.glob("*.md")), *sorted((ROOT / "changes").glob("*.md"))]
IDS = [page.relative_to(ROOT).as_posix() for page in PAGES]
LONGEST_README = 130  # lines
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
    made_later = {"settings.md": {"general"}}  # headings that only the built page has
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
    index, readme = (DOCS / "index.md").read_text("utf-8"), (ROOT / "README.md").read_text("utf-8")
    listed = {line for _, code in blocks_of(DOCS / "index.md") for line in code.splitlines()}
    pages = {page.relative_to(DOCS).with_suffix("").as_posix() for page in SITE_PAGES}
    assert pages - {"index"} <= listed
    assert [page for page in pages - {"index"} if f"({page}.md)" not in index] == []
    assert [page for page in pages if f"(docs/{page}.md)" not in readme] == []
    text = "".join(page.read_text("utf-8") for page in PAGES)
    pictures = [path.relative_to(DOCS).as_posix() for path in (DOCS / "images").rglob("*.png")]
    assert len(pictures) > 10
    assert [picture for picture in pictures if picture not in text] == []


def test_the_readme_is_short_and_in_order() -> None:
    lines = (ROOT / "README.md").read_text("utf-8").splitlines()
    assert len(lines) <= LONGEST_README
    titles = [line.removeprefix("## ") for line in lines if line.startswith("## ")]
    wanted = ["Install", "In Python", "In the shell", "How good", "What to hand in after a coursework run"]
    assert titles == [*wanted, "Documentation", "Cite", "Contribute", "Licence"]
    assert sum(line.startswith("| ") for line in lines) == 6  # the head of a table and its five rows


def test_the_pipeline_page_names_settings_and_modules_that_exist() -> None:
    page = (DOCS / "pipeline.md").read_text("utf-8")
    settings = Settings().model_dump()
    named = re.findall(r"`(\w+)\.(\w+)`", page)
    known = [(section, key) for section, key in named if section in settings]
    assert len(known) > 10
    assert [(section, key) for section, key in known if key not in settings[section]] == []
    modules = re.findall(r"`((?:\w+/)+\w+\.py)`", page)
    assert len(modules) > 10
    places = [Path(spikesorter.__file__).parent, ROOT]
    assert [name for name in modules if not any((place / name).is_file() for place in places)] == []


def test_files_and_modules_that_pages_name_exist() -> None:
    """A path of a test, a script, a benchmark or a module is one that is there."""
    path = re.compile(r"`((?:tests|scripts|benchmarks|src/spikesorter)/[\w/]+\.py)\b")
    package = Path(spikesorter.__file__).parent
    folders = "|".join(place.name for place in package.iterdir() if place.is_dir())
    module = re.compile(rf"`((?:{folders})/[\w/]+\.py)`")
    for page in PAGES:
        text = page.read_text("utf-8")
        assert [name for name in path.findall(text) if not (ROOT / name).is_file()] == [], page
        assert [name for name in module.findall(text) if not (package / name).is_file()] == [], page


@pytest.mark.parametrize("page", ["paper/paper.md", "README.md", "contrib/spikeinterface/README.md"])
def test_figures_of_accuracy_are_those_of_the_results(page: str) -> None:
    """What is measured anew is changed there; whoever quotes it must follow."""
    figure = re.compile(r"(?<![\d.])\.\d{3}(?!\d)")
    quoted = set(figure.findall((ROOT / page).read_text("utf-8")))
    assert quoted <= set(figure.findall((DOCS / "results.md").read_text("utf-8")))
    assert quoted


def test_the_page_of_file_formats_names_the_format_of_models() -> None:
    page = (DOCS / "file-formats.md").read_text("utf-8")
    assert f"The format is {FORMAT_VERSION}. Every format from {min(READABLE)} on stays readable" in page


COMMAND = re.compile(r"(?:^|[`|$] ?|^ {4})spikesorter ((?:model )?[a-z]+)\b([^`|#\n]*)", re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_commands_and_options_that_pages_name_exist(page: Path) -> None:
    commands = vars(get_command(app))["commands"]
    known = {name: options_of(command) for name, command in commands.items()}
    known |= {f"model {name}": options_of(one) for name, one in vars(commands["model"])["commands"].items()}
    known["model"] = set()
    for name, words in COMMAND.findall(page.read_text("utf-8")):
        if name not in ("model", *known) and not words:
            continue  # prose
        assert name in known, f"spikesorter {name}: no such command"
        given = set(re.findall(r"(?<=\s)(--[a-z][\w-]*|-[a-z])\b", words))
        assert given - known[name] == set(), f"spikesorter {name} has no such option"


def options_of(command: click.Command) -> set[str]:
    return {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}


def test_settings_that_pages_name_exist() -> None:
    assignment = re.compile(r"(?:--set |\")([a-z_]+(?:\.[a-z_]+)?=[^\s`\",]+)")
    named = {one for page in PAGES for one in assignment.findall(page.read_text("utf-8"))}
    assert {"decoder=pursuit", "outliers.mark=true"} <= named
    for one in sorted(one for one in named if not one.endswith("=...")):
        Settings().replace([one])  # refuses unknown names and values


# Words that the project gave up, and their places: coursework keeps `Class`, history keeps old names.
GIVEN_UP = re.compile(
    r"\b(repertoires?|strangers?|outlooks?|hastened|rooms?|floors?|houses?|referee|at first sight)\b"
)


@pytest.mark.parametrize("page", SITE_PAGES, ids=[page.stem for page in SITE_PAGES])
def test_pages_use_the_words_of_the_field(page: Path) -> None:
    assert GIVEN_UP.findall(prose_of(page).lower()) == []


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
