"""The files that people expect of a project: they can be read, and agree with each other."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from importlib.metadata import metadata, version
from pathlib import Path
from typing import Any

import pytest
import yaml

import spikesorter

ROOT = Path(__file__).resolve().parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
SCRIPTS = ROOT / "scripts" / "project.py"
YAML = sorted(
    path
    for pattern in (".github/**/*.yml", ".readthedocs.yaml", ".pre-commit-config.yaml", "CITATION.cff")
    for path in ROOT.glob(pattern)
)


def read_yaml(name: str) -> Any:
    return yaml.safe_load((ROOT / name).read_text("utf-8"))


@pytest.mark.parametrize("path", YAML, ids=lambda path: path.name)
def test_yaml_files_can_be_read(path: Path) -> None:
    assert yaml.safe_load(path.read_text("utf-8"))


@pytest.mark.parametrize(
    "name", ["LICENSE", "README.md", "CONTRIBUTING.md", "CODE_OF_CONDUCT.md", "SECURITY.md", "CHANGELOG.md"]
)
def test_a_file_that_people_expect_is_there(name: str) -> None:
    assert len((ROOT / name).read_text("utf-8")) > 400


def test_the_version_is_written_once_and_read_from_there() -> None:
    assert "version" not in PYPROJECT["project"]
    assert PYPROJECT["project"]["dynamic"] == ["version"]
    source = ROOT / PYPROJECT["tool"]["hatch"]["version"]["path"]
    assert re.findall(r'^__version__ = "(.+)"$', source.read_text("utf-8"), re.MULTILINE) == [
        spikesorter.__version__
    ]
    assert version("neural-spike-sorter") == spikesorter.__version__


def test_the_version_can_be_a_tag() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", spikesorter.__version__)


def test_the_citation_names_this_version_licence_and_authors() -> None:
    citation = read_yaml("CITATION.cff")
    assert citation["version"] == spikesorter.__version__
    assert citation["license"] == PYPROJECT["project"]["license"]
    assert citation["authors"] == PYPROJECT["project"]["authors"]
    assert {"cff-version", "message", "title", "type"} <= citation.keys()


def test_the_package_says_that_it_is_typed() -> None:
    assert "Typing :: Typed" in PYPROJECT["project"]["classifiers"]
    assert (Path(spikesorter.__file__).parent / "py.typed").is_file()
    assert metadata("neural-spike-sorter")["Requires-Python"]


def test_the_workflow_runs_the_test_command_on_three_systems_and_each_python() -> None:
    job = read_yaml(".github/workflows/test.yml")["jobs"]["test"]
    matrix = job["strategy"]["matrix"]
    assert {system.split("-")[0] for system in matrix["system"]} == {"ubuntu", "windows", "macos"}
    supported = [
        line.rsplit(" ", 1)[1]
        for line in PYPROJECT["project"]["classifiers"]
        if re.search(r"Python :: 3\.\d+$", line)
    ]
    assert matrix["python"] == supported
    commands = [step["run"] for step in job["steps"] if "run" in step]
    assert commands == ["make test", r".\make.cmd test"]


def test_the_workflow_says_what_was_not_tried() -> None:
    head = (ROOT / ".github" / "workflows" / "test.yml").read_text("utf-8").split("name:")[0]
    assert "Windows and macOS are untried" in head


def test_hooks_run_tools_that_the_environment_has() -> None:
    (repository,) = read_yaml(".pre-commit-config.yaml")["repos"]
    assert repository["repo"] == "local"  # nothing is fetched
    tools = {hook["entry"].split()[0] for hook in repository["hooks"]}
    assert tools == {"ruff", "mypy", "oxlint"}
    installed = " ".join(PYPROJECT["project"]["optional-dependencies"]["dev"])
    assert all(tool in installed for tool in tools)


def test_read_the_docs_builds_this_site_with_its_extra() -> None:
    settings = read_yaml(".readthedocs.yaml")
    assert (ROOT / settings["sphinx"]["configuration"]).is_file()
    (install,) = settings["python"]["install"]
    assert set(install["extra_requirements"]) <= PYPROJECT["project"]["optional-dependencies"].keys()


def test_news_fragments_are_named_as_towncrier_reads_them() -> None:
    known = {kind["directory"] for kind in PYPROJECT["tool"]["towncrier"]["type"]}
    fragments = {path.name for path in (ROOT / "changes").iterdir()} - {"README.md"}
    named = {name: re.fullmatch(r"(?:\d+|\+[\w-]+)\.(\w+)(?:\.\d+)?\.md", name) for name in fragments}
    assert [name for name, match in named.items() if not match or match[1] not in known] == []
    assert PYPROJECT["tool"]["towncrier"]["start_string"] in (ROOT / "CHANGELOG.md").read_text("utf-8")


def test_news_fragments_make_a_changelog() -> None:
    words = [
        sys.executable,
        "-m",
        "towncrier",
        "build",
        "--draft",
        "--version",
        "9.9.9",
        "--date",
        "2030-01-01",
    ]
    made = subprocess.run(words, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    assert "## 9.9.9 (2030-01-01)" in made


def test_every_task_can_be_called_by_make_and_is_described() -> None:
    shown = subprocess.run([sys.executable, SCRIPTS], capture_output=True, text=True)
    assert shown.returncode == 2
    tasks = re.findall(r"^  (\w+) +\S", shown.stderr, re.MULTILINE)
    assert {"setup", "demo", "test", "quick", "lint", "coverage", "docs"} <= set(tasks)
    makefile = (ROOT / "Makefile").read_text("utf-8")
    assert re.search(r"^\.PHONY: (.+)$", makefile, re.MULTILINE)[1].split() == tasks  # type: ignore[index]
    contributing = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    assert [task for task in tasks if f"`make {task}`" not in contributing] == []


def test_the_javascript_is_clean_and_the_linter_bites(tmp_path: Path) -> None:
    linter = [Path(sys.executable).parent / "oxlint", "--deny-warnings"]
    assets = Path(spikesorter.__file__).parent / "report" / "assets"
    ours = subprocess.run(
        [*linter, assets, ROOT / "docs" / "_static"], cwd=ROOT, capture_output=True, text=True
    )
    assert ours.returncode == 0, ours.stdout
    bad = tmp_path / "bad.js"
    bad.write_text('(() => { "use strict"; if (undeclared == 1) eval("x"); })();\n', encoding="utf-8")
    config = ["--config", ROOT / ".oxlintrc.json"]
    theirs = subprocess.run([*linter, *config, bad], capture_output=True, text=True)
    assert theirs.returncode == 1
    assert all(rule in theirs.stdout for rule in ("no-undef", "eqeqeq", "no-eval"))
