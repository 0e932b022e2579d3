"""Names of stored columns: results of earlier versions are read by their former names."""

from __future__ import annotations

__all__ = ["stored_names"]

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
