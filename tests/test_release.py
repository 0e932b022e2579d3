"""What `make release-check` refuses, and what it says of what cannot be done here."""

from __future__ import annotations

import importlib
import subprocess
from pathlib import Path
from types import ModuleType

import pytest

SCRIPTS = Path(__file__).resolve().parents[1] / "scripts"


@pytest.fixture
def check(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    """The script, with a small repository whose commit has the tag v1.2.3."""
    monkeypatch.syspath_prepend(str(SCRIPTS))
    module = importlib.import_module("release_check")
    monkeypatch.setattr(module, "ROOT", tmp_path)
    (tmp_path / "changes").mkdir()
    (tmp_path / "changes" / "README.md").write_text("-")
    (tmp_path / "CHANGELOG.md").write_text("# Changelog\n\n## 1.2.3 (2026-11-29)\n\n## 1.2.2 (2026-11-01)\n")
    (tmp_path / "CITATION.cff").write_text("version: 1.2.3\n")
    name = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    for words in (("init", "-q"), (*name, "commit", "-q", "--allow-empty", "-m", "a"), ("tag", "v1.2.3")):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    return module


def test_a_tag_that_all_agree_with_is_released(check: ModuleType, tmp_path: Path) -> None:
    assert check.outcome_of(check.versions_agree, tmp_path) == ("done", "1.2.3")


@pytest.mark.parametrize(
    ("file", "text", "told"),
    [
        ("CITATION.cff", "version: 1.2.2\n", "tag 1.2.3, CITATION.cff 1.2.2, CHANGELOG.md 1.2.3"),
        ("CHANGELOG.md", "## 1.2.2 (2026-11-01)\n", "CHANGELOG.md 1.2.2"),
        ("CHANGELOG.md", "nothing\n", "CHANGELOG.md none"),
        ("changes/9.fixed.md", "a\n", "changes/ still holds 1 fragments; run towncrier build"),
    ],
)
def test_a_release_that_contradicts_itself_is_refused(
    file: str, text: str, told: str, check: ModuleType, tmp_path: Path
) -> None:
    (tmp_path / file).write_text(text)
    state, remark = check.outcome_of(check.versions_agree, tmp_path)
    assert state == "FAULT"
    assert told in remark


def test_what_needs_another_place_is_no_fault(
    check: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SPIKEINTERFACE_SOURCE", raising=False)
    assert check.outcome_of(check.patch_applies, tmp_path)[0] == "could not"
    with pytest.raises(check.CannotError):
        check.told("git", "-c", "alias.fail=!echo error sending request >&2; false", "fail")
    with pytest.raises(check.FaultError, match="git no-such-command"):
        check.told("git", "no-such-command")


def test_what_was_done_and_what_was_not_is_told_at_the_end(
    check: ModuleType, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def good(place: Path) -> str:
        """It is built.

        And more of it.
        """
        return "1 MB"

    def elsewhere(place: Path) -> str:
        """It is pulled."""
        raise check.CannotError("no registry")

    def bad(place: Path) -> str:
        """It works."""
        raise check.FaultError("it crashed")

    monkeypatch.setattr(check.sys, "argv", ["release_check.py"])
    monkeypatch.setattr(check, "UPLOADS", ("publish it",))
    monkeypatch.setattr(check, "STEPS", (good, elsewhere))
    assert check.main() == 0
    told = capsys.readouterr().out.split("\n\n", 1)[1]
    assert told == (
        "Done:\n  - It is built: 1 MB\n\nCould not be done here:\n  - It is pulled: no registry\n\n"
        "Left to people, as it needs an account or another machine:\n  - publish it\n\n"
        "No fault; 1 done, 1 could not be done here.\n"
    )
    monkeypatch.setattr(check, "STEPS", (bad,))
    assert check.main() == 1
    told = capsys.readouterr().out
    assert "Faults:\n  - It works: it crashed\n\n1 fault; 0 done, 0 could not" in told


def test_steps_are_chosen_by_name(check: ModuleType) -> None:
    assert check.chosen(["build", "versions_agree"]) == [check.build, check.versions_agree]
    assert check.chosen([]) == list(check.STEPS)
    with pytest.raises(SystemExit, match="unknown: nonsense"):
        check.chosen(["nonsense"])


def test_an_extra_without_wheels_is_a_fault_unless_it_is_known(
    check: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pyproject.toml").write_text('[project.optional-dependencies]\nplot = ["a"]\nedf = ["b"]\n')
    asked: list[list[str]] = []

    def resolved(extras: list[str], version: str) -> str:
        asked.append(extras)
        return "no wheels" if "edf" in extras and version in missing else ""

    monkeypatch.setattr(check, "resolved", resolved)
    monkeypatch.setattr(check, "COMPILED", {("edf", "3.13")})
    missing = ["3.13"]
    state, remark = check.outcome_of(check.extras_resolve, tmp_path)
    assert state == "done"
    assert remark.endswith("(built from source: edf 3.13)")
    assert asked.count(["plot", "edf"]) == len(check.PYTHONS) - 1  # and all that have wheels at once
    missing.append("3.14")
    assert check.outcome_of(check.extras_resolve, tmp_path) == ("FAULT", "edf, 3.14: no wheels")


def test_colours_of_tools_are_not_quoted(check: ModuleType) -> None:
    assert check.last_line("a\n\x1b[32mPASSED\x1b[0m\n") == "PASSED"


@pytest.fixture
def container(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(SCRIPTS))
    return importlib.import_module("container_build")


def test_the_base_of_the_container_is_one_that_can_be_stood_in_for(container: ModuleType) -> None:
    found = container.BASE.search((SCRIPTS.parent / "Dockerfile").read_text("utf-8"))
    assert found is not None
    assert found[1].startswith("python:3.")


def test_without_a_builder_no_container_is_a_fault(
    check: ModuleType, container: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        container.shutil, "which", lambda name: None if name in ("docker", "buildah") else name
    )
    assert check.outcome_of(check.container_is_built, tmp_path) == (
        "could not", "neither a Docker daemon nor buildah as root"
    )  # fmt: skip


def test_without_the_base_the_container_is_built_on_a_stand_in(
    container: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "Dockerfile").write_text("ARG PYTHON_IMAGE=python:3.13-slim-trixie\nFROM ${PYTHON_IMAGE}\n")
    commands: list[list[str]] = []

    def ran(*command: object) -> str:
        commands.append([str(word) for word in command])
        return "1.2 GB\n" if "images" in command else "warning\ncontainer-1\n"

    monkeypatch.setattr(container, "ran", ran)
    monkeypatch.setattr(container, "make_stand_in", lambda buildah, release, root: commands.append([release]))
    told = container.with_buildah(["false"], tmp_path, tmp_path)  # `false pull`: no registry
    base = "python:3.13-slim-trixie"
    assert told == f"by buildah, on Debian's trixie with its Python, as {base} cannot be had; 1.2 GB"
    assert commands[0] == ["trixie"]
    assert f"PYTHON_IMAGE={container.STAND_IN}" in commands[1]
    assert commands[3][4] == "container-1"
    commands.clear()
    assert container.with_buildah(["true"], tmp_path, tmp_path) == f"by buildah, on {base}; 1.2 GB"
    assert not any(container.STAND_IN in word for command in commands for word in command)


def test_the_recipe_is_built_from_an_archive_on_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(SCRIPTS))
    conda = importlib.import_module("conda_build")
    archive = tmp_path / "neural_spike_sorter-1.2.3.tar.gz"
    archive.write_bytes(b"abc")
    text = conda.write_recipe(archive, tmp_path).read_text("utf-8")
    assert '  version: "1.2.3"' in text
    assert f"  url: {archive.as_uri()}" in text
    assert "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" in text  # SHA-256 of abc
    with pytest.raises(SystemExit, match="is no source archive"):
        conda.write_recipe(tmp_path / "other-1.zip", tmp_path)
