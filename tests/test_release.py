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
