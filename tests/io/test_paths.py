from __future__ import annotations

from pathlib import Path

import pytest

from spikesorter.io.paths import is_there


def test_what_is_there_is_known(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    assert is_there(tmp_path)
    assert is_there(tmp_path / "a")
    assert not is_there(tmp_path / "b")
    assert not is_there(tmp_path / "a" / "b")


def test_what_cannot_be_a_path_is_not_called_missing(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="too long"):
        is_there(tmp_path / ("x" * 5000))
    with pytest.raises(ValueError, match="null"):
        is_there(tmp_path / "a\0b")
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    with pytest.raises(OSError, match="links"):
        is_there(tmp_path / "circle")
