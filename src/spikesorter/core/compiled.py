"""Where Numba keeps compiled code, if it may write neither beside the package nor into the user's home."""

from __future__ import annotations

import atexit
import logging
import os
import shutil
import tempfile
from pathlib import Path

__all__ = ["provide_cache"]

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
        "neither %s nor %s can be written, so code is compiled anew each time (about 25 s); set %s to a "
        "folder of "
        "your own to keep it", package, home, VARIABLE,
    )  # fmt: skip


def _is_writable(folder: Path) -> bool:
    """Return whether a folder can be written to or, if it does not exist, be made."""
    place = folder
    while not place.exists() and place != place.parent:
        place = place.parent
    return place.is_dir() and os.access(place, os.W_OK)
