"""Names and texts in stored tables: former names are read, and no text is a formula."""

from __future__ import annotations

import re

__all__ = ["stored_names", "table_text", "text_of_table"]

_FORMER = {"unit_probability": "class_probability"}


def stored_names(name: str) -> tuple[str, ...]:
    """Return the names under which files store a value of spikes, the present one first.

    Parameters
    ----------
    name : str
        Field of `Spikes`.

    Returns
    -------
    tuple of str

    Examples
    --------
    >>> stored_names("unit_probability"), stored_names("probability")
    (('unit_probability', 'class_probability'), ('probability',))
    """
    return (name, _FORMER[name]) if name in _FORMER else (name,)


_FORMULA = re.compile(r"'*[=+\-@\t\r\n]")
"""Beginning of what a spreadsheet would compute, or of what would be taken for the same text, marked."""


def table_text(name: str) -> str:
    """Return a unit's name as written to a table, marked with ' where a spreadsheet would compute it.

    Examples
    --------
    >>> table_text("=1+1"), table_text("a=1")
    ("'=1+1", 'a=1')
    """
    return f"'{name}" if _FORMULA.match(name) else name


def text_of_table(text: str) -> str:
    """Return the name of a unit that `table_text` wrote.

    Examples
    --------
    >>> text_of_table("'=1+1"), text_of_table("'a")
    ('=1+1', "'a")
    """
    return text[1:] if text.startswith("'") and _FORMULA.match(text) else text
