"""No public name without a property."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import spikesorter
from spikesorter import plot

HERE = Path(__file__).parent
USED = {
    node.attr if isinstance(node, ast.Attribute) else node.id
    for path in HERE.glob("*.py")
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    if isinstance(node, ast.Attribute | ast.Name)
}


@pytest.mark.parametrize("name", sorted({*spikesorter.__all__, *plot.__all__} - {"ModelError"}))
def test_every_public_name_has_properties(name: str) -> None:
    assert name in USED
