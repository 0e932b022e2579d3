"""The files that people expect of a project: they can be read, and agree with each other."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
import tomllib
from importlib.metadata import metadata, version
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from packaging.version import Version

import spikesorter

ROOT = Path(__file__).resolve().parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
SCRIPTS = ROOT / "scripts" / "project.py"
YAML = sorted(
    path
    for pattern in (
        ".github/**/*.yml",
        "packaging/**/*.yaml",
        ".readthedocs.yaml",
        ".pre-commit-config.yaml",
        "CITATION.cff",
    )
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


def test_the_version_comes_from_the_tag_and_is_written_nowhere() -> None:
    assert "version" not in PYPROJECT["project"]
    assert "version" in PYPROJECT["project"]["dynamic"]
    assert PYPROJECT["tool"]["hatch"]["version"]["source"] == "vcs"
    assert version("neural-spike-sorter") == spikesorter.__version__ == str(Version(spikesorter.__version__))
    written = re.compile(r'^(?:__)?version(?:__)? *= *"', re.MULTILINE)
    package = Path(spikesorter.__file__).parent
    assert [path for path in package.rglob("*.py") if written.search(path.read_text("utf-8"))] == []


def test_the_citation_names_the_last_release_its_licence_and_authors() -> None:
    citation = read_yaml("CITATION.cff")
    changelog = (ROOT / "CHANGELOG.md").read_text("utf-8")
    releases = re.findall(r"^## (\d+\.\d+\.\d+) \(", changelog, re.MULTILINE)
    assert citation["version"] == (releases[0] if releases else "0.1.0")  # 0.1.0 is to be the first
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


def test_nothing_is_published_that_the_tests_have_not_passed_and_no_secret_is_needed() -> None:
    jobs = read_yaml(".github/workflows/release.yml")["jobs"]
    assert jobs["test"]["uses"] == "./.github/workflows/test.yml"
    assert set(jobs["publish"]["needs"]) == {"test", "build", "try"}
    assert [name for name, job in jobs.items() if "id-token" in job.get("permissions", {})] == ["publish"]
    assert "secrets." not in (ROOT / ".github" / "workflows" / "release.yml").read_text("utf-8")


def test_the_conda_recipe_asks_for_what_the_package_asks_for() -> None:
    recipe = read_yaml("packaging/conda/recipe.yaml")
    (python, *others) = recipe["requirements"]["run"]
    assert python == "python >=${{ python_min }}"
    assert f">={recipe['context']['python_min']}" == PYPROJECT["project"]["requires-python"]
    assert {one.replace(" ", "") for one in others} == {
        one.lower() for one in PYPROJECT["project"]["dependencies"]
    }
    assert recipe["context"]["version"] == read_yaml("CITATION.cff")["version"]
    host = {one.split()[0] for one in recipe["requirements"]["host"]}
    assert {re.split("[>=]", one)[0] for one in PYPROJECT["build-system"]["requires"]} <= host


def test_the_description_on_an_index_has_links_that_work_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    interface = ModuleType("hatchling.metadata.plugin.interface")
    interface.MetadataHookInterface = object  # type: ignore[attr-defined]  # hatchling builds; it is not here
    for name in ("hatchling", "hatchling.metadata", "hatchling.metadata.plugin", interface.__name__):
        monkeypatch.setitem(sys.modules, name, interface)
    monkeypatch.delitem(sys.modules, "metadata_hook", raising=False)
    hook = importlib.import_module("metadata_hook").AddressHook()
    hook.root = ROOT
    monkeypatch.setenv("SPIKESORTER_REPOSITORY", "https://example.org/lab/sorter/")
    metadata: dict[str, Any] = {"version": "1.2.3"}
    hook.update(metadata)
    links = re.findall(r"\]\(([^)]*)\)", metadata["readme"]["text"])
    assert [link for link in links if not link.startswith("https://")] == []
    assert "](https://example.org/lab/sorter/raw/v1.2.3/docs/images/d5.png)" in metadata["readme"]["text"]
    assert "](https://example.org/lab/sorter/blob/v1.2.3/LICENSE)" in metadata["readme"]["text"]
    assert metadata["urls"]["Source"] == "https://example.org/lab/sorter"
    for name in ("SPIKESORTER_REPOSITORY", "GITHUB_SERVER_URL", "GITHUB_REPOSITORY"):
        monkeypatch.delenv(name, raising=False)
    plain: dict[str, Any] = {"version": "1.2.3"}
    hook.update(plain)
    assert plain["readme"]["text"] == (ROOT / "README.md").read_text("utf-8")
    assert "urls" not in plain


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
    tasks = re.findall(r"^  ([\w-]+) +\S", shown.stderr, re.MULTILINE)
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
