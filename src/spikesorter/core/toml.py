"""Read untrusted TOML files with tomllib, limited in size and depth."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

from spikesorter.core.errors import InputError

__all__ = ["read_toml"]

MOST_PARTS = 32
PART = r"""(?:[\w-]++|"(?:[^"\\\n]|\\.)*+"|'[^'\n]*+')[ \t]*+\.[ \t]*+"""
LONG_KEY = re.compile(rf"(?<![\w\\-])(?:{PART}){{{MOST_PARTS}}}")  # tomllib takes quadratic time for these


def read_toml(path: Path, *, what: str, most_bytes: int) -> dict[str, Any]:
    """Read a TOML file.

    Parameters
    ----------
    path : Path
    what : str
        What the file should be, such as "manifest", for messages.
    most_bytes : int
        Larger files are refused.

    Returns
    -------
    dict

    Raises
    ------
    InputError
        If the file cannot be read, is too large or too deep, or is not TOML.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "night.toml"
    ...     _ = path.write_text('model = "MODEL"')
    ...     read_toml(path, what="manifest", most_bytes=1000)
    {'model': 'MODEL'}
    """
    try:
        if path.stat().st_size > most_bytes:
            raise InputError(f"{path}: is larger than {most_bytes >> 20} MB, too large for a {what}")
        text = path.read_text(encoding="utf-8")
        if LONG_KEY.search(text):
            raise InputError(f"{path}: is not a {what}: it has a key of more than {MOST_PARTS} parts")
        return tomllib.loads(text)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; expected a {what} (TOML)") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from None
    except RecursionError:
        raise InputError(f"{path}: is not a {what}: lists or tables are nested too deeply") from None
    except ValueError as error:  # of TOML, of UTF-8, or of a number too long to be converted
        raise InputError(f"{path}: is not a {what}: invalid TOML: {error}") from None
