from __future__ import annotations

from pathlib import Path

import pytest

from spikesorter.core.errors import InputError
from spikesorter.io.atomic import atomic_file, atomic_folder, check_writable


def test_files_and_folders_appear_whole(tmp_path: Path) -> None:
    with atomic_file(tmp_path / "a" / "file") as temporary:
        temporary.write_text("new")
        assert not (tmp_path / "a" / "file").exists()
    with atomic_folder(tmp_path / "folder") as folder:
        (folder / "inside").write_text("new")
    assert (tmp_path / "a" / "file").read_text() == (tmp_path / "folder" / "inside").read_text() == "new"


def test_replacing_a_folder_leaves_nothing_of_the_old_one(tmp_path: Path) -> None:
    for name in ("old", "new"):
        with atomic_folder(tmp_path / "folder") as folder:
            (folder / name).write_text(name)
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["new"]
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_an_error_leaves_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("old")

    def break_off(temporary: Path) -> None:
        temporary.write_text("half")
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"), atomic_file(tmp_path / "file") as temporary:
        break_off(temporary)
    with pytest.raises(ValueError, match="broken"), atomic_folder(tmp_path / "folder") as folder:
        break_off(folder / "half")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_text() == "old"


def test_an_impossible_place_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    place = tmp_path / "file" / "below"
    with pytest.raises(InputError, match="below: cannot be written"), atomic_file(place):
        pass
    with pytest.raises(InputError, match="below: cannot be written"), atomic_folder(place):
        pass


def test_a_folder_that_can_be_written_to_is_made(tmp_path: Path) -> None:
    check_writable(tmp_path / "a" / "b")
    assert not list((tmp_path / "a" / "b").iterdir())
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(InputError, match="is a file, but a folder is needed"):
            check_writable(place)
