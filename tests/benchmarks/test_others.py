"""The comparison with other sorters writes down what was run, whatever is installed."""

from __future__ import annotations

import importlib
import json
from importlib.metadata import version
from pathlib import Path

import pytest


def test_results_are_written_where_a_rival_is_not_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).resolve().parents[2] / "benchmarks"))
    others = importlib.import_module("others")
    monkeypatch.setattr(others, "PACKAGES", ("numba", "a-rival-that-nobody-has"))
    results = {"D2": {"simple": {"score": 0.5}}}
    others.write(tmp_path / "others.json", Path("STUDY"), results)
    written = json.loads((tmp_path / "others.json").read_text())
    assert written["targets"] == results
    assert written["versions"] == {"numba": version("numba"), "a-rival-that-nobody-has": None}
