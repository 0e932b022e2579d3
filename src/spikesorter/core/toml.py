"""TOML files from anywhere: read only if they are of a size and depth that people write."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

from spikesorter.core.errors import InputError

__all__ = ["read_toml"]

DEEPEST = 8
KEY = r"""(?:[\w-]++|"(?:[^"\\\n]|\\.)*+"?|'[^'\n]*+'?)"""
LONG_TEXT = r"""(?:"{3}(?:[^\\]|\\.)*?(?:"{3}|\Z)|'{3}.*?(?:'{3}|\Z))"""
LONG_KEY = re.compile(rf"{LONG_TEXT}|\#[^\n]*+|((?:{KEY}[ \t]*+\.[ \t]*+){{{DEEPEST}}})|{KEY}", re.DOTALL)
"""Strings, comments and keys one after the other; group 1 is a key of too many parts."""


def read_toml(path: Path, *, what: str, most_bytes: int) -> dict[str, Any]:
    """Read a TOML file.

    Parameters
    ----------
    path : Path
    what : str
        What the file should be, such as "manifest", for messages.
    most_bytes : int
        Larger ones are not read.

    Returns
    -------
    dict

    Raises
    ------
    InputError
        If it cannot be read, is too large or too deep, or is no TOML.

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
            raise InputError(f"{path}: is larger than {most_bytes >> 20} MB; no {what} is")
        text = path.read_text(encoding="utf-8")
        if any(found[1] for found in LONG_KEY.finditer(text)):  # tomllib takes quadratic time for these
            raise InputError(f"{path}: is no {what}: has a key of more than {DEEPEST} parts")
        return tomllib.loads(text)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; expected a {what} (TOML)") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from None
    except RecursionError:
        raise InputError(f"{path}: is no {what}: lists or tables lie too deep within each other") from None
    except ValueError as error:  # of TOML, of UTF-8, or of a number too long to be converted
        raise InputError(f"{path}: is no {what}: not a TOML file: {error}") from None
