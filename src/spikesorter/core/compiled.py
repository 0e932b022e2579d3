"""Where Numba keeps compiled code: whether it is there, and where else if it cannot be written there."""

from __future__ import annotations

import atexit
import logging
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

__all__ = ["is_kept", "provide_cache"]

VARIABLE = "NUMBA_CACHE_DIR"
COMPILED = ("signal", "decoding")
logger = logging.getLogger(__name__)


def provide_cache(package: Path, home: Path) -> None:
    """Set `NUMBA_CACHE_DIR` to a private temporary folder if there is no place for compiled code.

    Without one, Numba refuses to import functions whose code it should keep. The folder is removed at the end
    of the program, so that code is compiled anew each time.

    Parameters
    ----------
    package : Path
        Folder of this package.
    home : Path
        Home of the user.
    """
    beside = all(_is_writable(package / name / "__pycache__") for name in COMPILED)
    if VARIABLE in os.environ or os.name == "nt" or beside or _is_writable(home / ".cache" / "numba"):
        return
    try:
        folder = tempfile.mkdtemp(prefix="spikesorter-numba-")  # private: Numba runs what it finds there
    except OSError as error:
        logger.warning("no place for compiled code: %s; set %s to a folder", error, VARIABLE)
        return
    os.environ[VARIABLE] = folder
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    logger.warning(
        "neither %s nor %s can be written, so code is compiled anew each time (about 15 s); set %s to a "
        "folder of "
        "your own to keep it", package, home, VARIABLE,
    )  # fmt: skip


def is_kept(function: Any) -> bool:
    """Return whether compiled code of a function was kept, so that its first call need not compile it.

    Parameters
    ----------
    function : callable
        As Numba returns it; a plain function, as with `NUMBA_DISABLE_JIT`, needs no compiling.

    Returns
    -------
    bool
        Also true if what was kept is of another version of the file, which is found only when it is called.

    Examples
    --------
    >>> is_kept(len)
    True
    """
    stats = getattr(function, "stats", None)
    if stats is None or stats.cache_path is None:
        return True
    return any(Path(stats.cache_path).glob(f"*.{function.py_func.__qualname__}-*.nbi"))


def _is_writable(folder: Path) -> bool:
    """Return whether a folder can be written to or, if it does not exist, be made."""
    place = folder
    while not place.exists() and place != place.parent:
        place = place.parent
    return place.is_dir() and os.access(place, os.W_OK)
