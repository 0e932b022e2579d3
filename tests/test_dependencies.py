"""What pyproject.toml allows, and the versions that a run can be repeated with."""

from __future__ import annotations

import re
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
sys.path.insert(0, str(ROOT / "scripts"))
from project import EXTRAS as LOCKED_EXTRAS  # noqa: E402

WANTED = [
    Requirement(text)
    for text in (*PROJECT["dependencies"], *(text for name in LOCKED_EXTRAS for text in EXTRAS[name]))
]
LOCKED = [
    Requirement(line)
    for line in (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    if not line.startswith("#")
]


@pytest.mark.parametrize("wanted", WANTED, ids=str)
def test_each_dependency_has_an_oldest_version_and_is_locked_at_one_that_is_allowed(
    wanted: Requirement,
) -> None:
    assert {bound.operator for bound in wanted.specifier} == {">="}
    own = [one for one in LOCKED if canonicalize_name(one.name) == canonicalize_name(wanted.name)]
    assert own
    for one in own:
        (pin,) = one.specifier
        assert pin.operator == "=="
        assert wanted.specifier.contains(pin.version)


@pytest.mark.parametrize("wanted", WANTED, ids=str)
def test_what_is_installed_here_is_allowed(wanted: Requirement) -> None:
    assert wanted.specifier.contains(version(wanted.name))


ADVISORIES = tomllib.loads((ROOT / "advisories.toml").read_text(encoding="utf-8"))["advisory"]


def affected(pins: list[Requirement], advisory: dict[str, str]) -> list[str]:
    name, versions = canonicalize_name(advisory["package"]), SpecifierSet(advisory["affected"])
    return [
        f"{pin} ({advisory['id']})"
        for pin in pins
        if canonicalize_name(pin.name) == name
        and any(versions.contains(one.version, prereleases=True) for one in pin.specifier)
    ]


def test_no_version_with_a_known_vulnerability_is_locked() -> None:
    assert [found for advisory in ADVISORIES for found in affected(LOCKED, advisory)] == []


@pytest.mark.parametrize("advisory", ADVISORIES, ids=lambda one: f"{one['package']} {one['id']}")
def test_each_advisory_concerns_what_is_locked_and_would_be_found(advisory: dict[str, str]) -> None:
    assert re.fullmatch(r"(CVE-\d{4}-\d{4,}|GHSA(-[a-z0-9]{4}){3})", advisory["id"])
    assert canonicalize_name(advisory["package"]) in {canonicalize_name(pin.name) for pin in LOCKED}
    lower = next((one.version for one in SpecifierSet(advisory["affected"]) if one.operator == ">="), "0.0.1")
    assert affected([Requirement(f"{advisory['package']}=={lower}")], advisory)


def test_every_extra_is_described() -> None:
    section = (ROOT / "docs" / "how-to.md").read_text("utf-8").split("\n## Extras\n")[1].split("\n## ")[0]
    named = [
        name
        for row in section.splitlines()
        if row.startswith("| `")
        for name in re.findall(r"`([\w-]+)`", row.split("|")[1])
    ]
    assert sorted(named) == sorted(EXTRAS)
