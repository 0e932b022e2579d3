from __future__ import annotations

import errno
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from spikesorter.core.errors import InputError
from spikesorter.io import atomic
from spikesorter.io.atomic import (
    _umask,
    atomic_file,
    atomic_folder,
    check_writable,
    only_one,
    recover_folder,
    write_json,
)


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


def test_one_process_at_a_time_works_in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(atomic, "PATIENCE_SECONDS", 0.1)
    lock = tmp_path / "lock"
    with only_one(lock, "sorting"):
        busy = pytest.raises(InputError, match="another process is counting there; wait for it or stop it")
        with busy, only_one(lock, "counting"):
            pass
        with only_one(tmp_path / "other", "counting"):
            pass
    with only_one(lock, "counting"):  # released, though the file is still there
        assert lock.exists()


def test_a_lock_is_released_by_an_error_and_by_a_process_that_dies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = tmp_path / "lock"
    with pytest.raises(KeyError), only_one(lock, "sorting"):
        raise KeyError
    code = (
        "import os, sys; from pathlib import Path; from spikesorter.io.atomic import only_one\n"
        "lock = only_one(Path(sys.argv[1]), 'sorting'); lock.__enter__(); print('held', flush=True)\n"
        "sys.stdin.read()"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", code, str(lock)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert other.stdout is not None
    assert other.stdout.readline() == "held\n"
    with monkeypatch.context() as impatient:
        impatient.setattr(atomic, "PATIENCE_SECONDS", 0.1)
        with pytest.raises(InputError, match="another process is sorting there"), only_one(lock, "sorting"):
            pass
    other.kill()
    other.communicate()
    with only_one(lock, "sorting"):
        pass


def test_json_comes_back_and_ends_in_a_line(tmp_path: Path) -> None:
    contents = {"spikes": 3, "names": ["a", "ü"], "forecast": {"score": 0.5, "remarks": None}}
    write_json(tmp_path / "deep" / "run.json", contents)
    text = (tmp_path / "deep" / "run.json").read_text(encoding="utf-8")
    assert json.loads(text) == contents
    assert text.startswith('{\n  "spikes": 3,\n')
    assert text.endswith("}\n")
    with pytest.raises(TypeError):
        write_json(tmp_path / "deep" / "run.json", {"path": object()})
    assert (tmp_path / "deep" / "run.json").read_text(encoding="utf-8") == text
    assert len(list((tmp_path / "deep").iterdir())) == 1


@pytest.mark.skipif(os.name == "nt", reason="there are no such rights there")
@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_files_and_folders_have_the_rights_that_others_have(mask: int, tmp_path: Path) -> None:
    """Those of the user's mask, rather than the narrow ones of a temporary file."""
    before = os.umask(mask)
    try:
        with atomic_file(tmp_path / "file") as temporary:
            temporary.write_text("x")
        with atomic_folder(tmp_path / "folder"):
            pass
        (tmp_path / "plain").write_text("x")
        (tmp_path / "usual").mkdir()
    finally:
        os.umask(before)
    rights = {path.name: path.stat().st_mode for path in tmp_path.iterdir()}
    assert rights["file"] == rights["plain"]
    assert rights["folder"] == rights["usual"]


def test_a_folder_that_cannot_be_put_in_place_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with atomic_folder(tmp_path / "folder") as folder:
        (folder / "old").write_text("old")
    replace, moved = os.replace, []

    def fail_at_the_second(source: Path, target: Path) -> None:
        moved.append(source)
        if len(moved) == 2:
            raise OSError(28, "No space left on device")
        replace(source, target)

    monkeypatch.setattr("os.replace", fail_at_the_second)
    full_disk = pytest.raises(InputError, match="folder: cannot be written: No space left on device")
    with full_disk, atomic_folder(tmp_path / "folder") as folder:
        (folder / "new").write_text("new")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["old"]


def test_a_full_disk_is_said_and_the_old_file_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("old")

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    full_disk = pytest.raises(InputError, match="file: cannot be written: No space left on device")
    with full_disk, atomic_file(tmp_path / "file") as temporary:
        temporary.write_text("new")
    assert (tmp_path / "file").read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
@pytest.mark.filterwarnings("ignore:os.fork")  # of JAX, which other tests load; the child only moves files
def test_a_folder_that_was_being_replaced_is_put_back_whenever_that_was_stopped(tmp_path: Path) -> None:
    """Stopped before each rename and each removal: the old folder or the new one is there, and whole."""
    seen: set[str] = set()
    for step in range(6):
        path = tmp_path / f"at{step}" / "model"
        with atomic_folder(path) as temporary:
            (temporary / "which").write_text("old")
        child = os.fork()
        if child == 0:
            left = [step]

            def stopping(original: Any, left: list[int] = left) -> Any:
                def call(*args: Any, **kwargs: Any) -> Any:
                    left[0] -= 1
                    if left[0] < 0:
                        os._exit(7)
                    return original(*args, **kwargs)

                return call

            os.replace, shutil.rmtree = stopping(os.replace), stopping(shutil.rmtree)
            with atomic_folder(path) as temporary:
                (temporary / "which").write_text("new")
            os._exit(0)
        os.waitpid(child, 0)
        recover_folder(path)
        seen.add((path / "which").read_text())
        recover_folder(path)  # again: nothing to do
        with atomic_folder(path) as temporary:
            (temporary / "which").write_text("newest")
        assert (path / "which").read_text() == "newest"
    assert seen == {"old", "new"}


def test_a_folder_that_cannot_be_put_back_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hidden = tmp_path / ".model.old.abc" / "model"
    hidden.mkdir(parents=True)

    def refuse(*_: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(InputError, match=rf"model: was being replaced when .*move {re.escape(str(hidden))}"):
        recover_folder(tmp_path / "model")


def test_a_folder_is_put_back_before_it_is_replaced_anew(tmp_path: Path) -> None:
    """So that it is there again if that fails, too."""
    hidden = tmp_path / ".model.old.abc" / "model"
    hidden.mkdir(parents=True)
    (hidden / "which").write_text("old")
    with pytest.raises(KeyError), atomic_folder(tmp_path / "model"):
        raise KeyError
    assert (tmp_path / "model" / "which").read_text() == "old"


@pytest.mark.skipif(os.name == "nt", reason="there is no such mask there")
def test_the_mask_of_new_files_is_found_without_proc_and_left_as_it_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def missing(*_: object, **__: object) -> None:
        raise FileNotFoundError

    monkeypatch.setattr("spikesorter.io.atomic.open", missing, raising=False)
    before = os.umask(0o027)
    found = _umask()
    assert (found, os.umask(before)) == (0o027, 0o027)


def test_processes_hold_a_lock_in_turn(tmp_path: Path) -> None:
    program = (
        "import json, sys; from pathlib import Path; from spikesorter.io.atomic import in_turn\n"
        "folder = Path(sys.argv[1])\n"
        "for k in range(100):\n"
        "    with in_turn(folder / '.lock'):\n"
        "        count = int((folder / 'count').read_text()); (folder / 'count').write_text(str(count + 1))\n"
    )
    (tmp_path / "count").write_text("0")
    both = [subprocess.Popen([sys.executable, "-c", program, str(tmp_path)]) for _ in range(2)]
    assert [one.wait() for one in both] == [0, 0]
    assert (tmp_path / "count").read_text() == "200"


def test_a_process_that_is_just_dying_is_waited_for(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    held, release = threading.Event(), threading.Event()

    def dying() -> None:
        with only_one(lock, "sorting"):
            held.set()
            release.wait(60)

    other = threading.Thread(target=dying)
    other.start()
    held.wait(60)
    threading.Timer(0.1, release.set).start()
    with only_one(lock, "sorting"):
        assert release.is_set()
    other.join()
