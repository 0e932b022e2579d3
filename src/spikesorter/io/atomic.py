"""Write files and folders atomically: completely or not at all."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from spikesorter.core.errors import InputError

__all__ = [
    "atomic_file",
    "atomic_folder",
    "check_writable",
    "in_turn",
    "only_one",
    "recover_folder",
    "write_json",
]

PATIENCE_SECONDS = 2.0
"""How long a lock is waited for: processes that were killed together do not all die at once."""


def check_writable(folder: Path) -> None:
    """Create a folder if it is missing, and check that it can be written to.

    Raises
    ------
    InputError
        If it cannot be written to, or a file has its name.

    Examples
    --------
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     check_writable(Path(folder) / "results")
    ...     (Path(folder) / "results").is_dir()
    True
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except (FileExistsError, NotADirectoryError):
        raise InputError(f"{folder}: is a file, but a folder is needed") from None
    except OSError as error:
        raise InputError(f"{folder}: cannot be written to: {error.strerror}") from None


@contextmanager
def only_one(path: Path, doing: str) -> Iterator[None]:
    """Hold a lock during a block, so that no other process does the same in the same folder.

    Parameters
    ----------
    path : Path
        File to lock; it is not removed. The lock of a process that dies is released once the last process
        that it forked is gone too, which may be a moment later: hence `PATIENCE_SECONDS`.
    doing : str
        What the process is doing, for the message.

    Raises
    ------
    InputError
        If another process still holds the lock after `PATIENCE_SECONDS`.

    Examples
    --------
    >>> with tempfile.TemporaryDirectory() as folder, only_one(Path(folder) / ".lock", "sorting"):
    ...     pass  # no other process sorts here meanwhile
    """
    with path.open("a+b") as file:
        give_up = time.monotonic() + PATIENCE_SECONDS
        while not _locked(file.fileno()):
            if time.monotonic() > give_up:
                raise InputError(f"{path.parent}: another process is {doing} there; wait for it or stop it")
            time.sleep(PATIENCE_SECONDS / 20)
        yield


@contextmanager
def in_turn(path: Path) -> Iterator[None]:
    """Hold a lock during a block, after waiting until no other process holds it.

    Parameters
    ----------
    path : Path
        File to lock; it is not removed.

    Raises
    ------
    InputError
        If it cannot be written.

    Examples
    --------
    >>> with tempfile.TemporaryDirectory() as folder, in_turn(Path(folder) / ".lock"):
    ...     pass  # one process at a time
    """
    try:
        file = path.open("a+b")
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror or error}") from None
    with file:
        _lock(file.fileno(), wait=True)
        yield


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Provide a temporary path to write to, and move it to `path` if no error occurred.

    Raises
    ------
    InputError
        If the folder cannot be written to.

    Examples
    --------
    A file that cannot be completed leaves the old one as it was:

    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "run.json"
    ...     write_json(path, {"spikes": 3})
    ...     try:
    ...         with atomic_file(path) as temporary:
    ...             temporary.write_bytes(b"{")
    ...             raise KeyboardInterrupt
    ...     except KeyboardInterrupt:
    ...         json.loads(path.read_text())
    1
    {'spikes': 3}
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        os.close(handle)
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror}") from None
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o666 & ~_umask())
        _flush(temporary)
        os.replace(temporary, path)
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror or error}") from None
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, contents: dict[str, Any]) -> None:
    """Write a JSON file atomically.

    Raises
    ------
    InputError
        If it cannot be written.

    Examples
    --------
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_json(Path(folder) / "run.json", {"spikes": 3})
    ...     json.loads((Path(folder) / "run.json").read_text())
    {'spikes': 3}
    """
    with atomic_file(path) as temporary:
        temporary.write_text(json.dumps(contents, indent=2) + "\n", encoding="utf-8")


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Provide a temporary folder to fill, and move it to `path` if no error occurred.

    Raises
    ------
    InputError
        If the parent folder cannot be written to.

    Examples
    --------
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with atomic_folder(Path(folder) / "results") as temporary:
    ...         write_json(temporary / "run.json", {"spikes": 3})
    ...     sorted(path.name for path in (Path(folder) / "results").iterdir())
    ['run.json']
    """
    recover_folder(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
        temporary.chmod(0o777 & ~_umask())
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror}") from None
    try:
        yield temporary
        for file in temporary.rglob("*"):
            if file.is_file():
                _flush(file)
        _exchange(temporary, path)
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror or error}") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def recover_folder(path: Path) -> None:
    """Put back a folder that a process was replacing when it was killed.

    `atomic_folder` moves the old folder aside before it gives its name to the new one. Of a process that is
    killed in between, the old folder is left under a hidden name.

    Raises
    ------
    InputError
        If it cannot be put back; the message names the hidden folder.
    """
    if path.exists() or path.is_symlink() or not path.parent.is_dir():
        return
    aside = f".{path.name}.old."
    left = [place / path.name for place in path.parent.iterdir() if place.name.startswith(aside)]
    left = sorted((place for place in left if place.is_dir()), key=lambda place: place.stat().st_mtime_ns)
    if not left:
        return
    try:
        os.replace(left[-1], path)
        left[-1].parent.rmdir()
    except OSError as error:
        if not path.exists():
            raise InputError(
                f"{path}: was being replaced when the program was killed, and cannot be put back "
                f"({error.strerror or error}); move {left[-1]} there"
            ) from None


def _exchange(new: Path, path: Path) -> None:
    """Replace a folder by another; restore the old one if that fails."""
    aside = Path(tempfile.mkdtemp(prefix=f".{path.name}.old.", dir=path.parent))
    try:
        if path.exists():
            os.replace(path, aside / path.name)
        os.replace(new, path)
    except OSError:
        if (aside / path.name).exists():
            os.replace(aside / path.name, path)
        raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _locked(handle: int) -> bool:
    """Try to lock a file; return whether that went."""
    try:
        _lock(handle)
    except OSError:
        return False
    return True


def _lock(handle: int, *, wait: bool = False) -> None:
    try:
        import fcntl
    except ImportError:  # Windows
        import msvcrt

        kind = msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK  # type: ignore[attr-defined]  # on Windows only
        msvcrt.locking(handle, kind, 1)  # type: ignore[attr-defined]  # likewise
    else:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))


def _flush(file: Path) -> None:
    """Flush a file to disk before it is renamed, in case the machine stops in between."""
    with file.open("rb+") as opened:
        os.fsync(opened.fileno())


def _umask() -> int:
    """Return the mask of new files' permissions."""
    try:
        with open("/proc/self/status", encoding="ascii", errors="replace") as status:
            return next(int(line.split()[1], 8) for line in status if line.startswith("Umask:"))
    except (OSError, StopIteration, ValueError):  # not Linux
        mask = os.umask(0o077)  # files that other threads make meanwhile are private, not open to all
        os.umask(mask)
        return mask
