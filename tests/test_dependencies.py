"""What pyproject.toml allows, and the versions that a run can be repeated with."""

from __future__ import annotations

import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
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
