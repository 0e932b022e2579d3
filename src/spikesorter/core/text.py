"""Write texts for people: names from files as what they are, numbers of things."""

from __future__ import annotations

import re

__all__ = ["count_of", "visible"]

_CONTROLS = "\x00-\x1f\x7f-\x9f"
_DIRECTIONS = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
_LINES = "\u2028\u2029"
_NO_CHARACTERS = "\ud800-\udfff"  # bytes of a file name that are no text
_HIDDEN = re.compile(f"[{_CONTROLS}{_DIRECTIONS}{_LINES}{_NO_CHARACTERS}]")
_HIDDEN_IN_LINES = re.compile(f"[{_CONTROLS}{_DIRECTIONS}{_NO_CHARACTERS}]")
_LAYOUT = "\n\t"


def count_of(number: int, thing: str) -> str:
    """Return how many things there are, in words.

    Examples
    --------
    >>> count_of(1, "spike"), count_of(0, "spike")
    ('1 spike', '0 spikes')
    """
    return f"{number} {thing}" + ("" if number == 1 else "s")


def visible(text: str, *, lines: bool = False) -> str:
    r"""Return a text with control characters and marks of writing direction as visible escapes.

    On a terminal, control characters in a name could move the cursor, change the title or imitate other
    output. Marks of writing direction make a name look like another one.

    Parameters
    ----------
    text : str
    lines : bool
        Whether line breaks and tabulators are kept.

    Returns
    -------
    str
        Can be encoded as UTF-8, even if the name of a file is not valid.

    Examples
    --------
    >>> print(visible("D2\x1b[2J.mat"), visible("a\u202etam.exe"), visible("höhle, 細胞"))
    D2\x1b[2J.mat a\u202etam.exe höhle, 細胞
    """
    hidden = _HIDDEN_IN_LINES if lines else _HIDDEN
    return hidden.sub(lambda found: _escaped(found[0], lines=lines), text)


def _escaped(character: str, *, lines: bool) -> str:
    if lines and character in _LAYOUT:
        return character
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is no text
        code -= 0xDC00
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
