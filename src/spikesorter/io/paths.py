"""Questions about paths that people typed."""

from pathlib import Path

__all__ = ["is_there"]


def is_there(path: Path) -> bool:
    """Return whether there is a file or folder, and do not take what cannot be one for a missing one.

    `Path.exists` does so since Python 3.14: a name that is too long is only not there.

    Raises
    ------
    OSError
        If the name is too long, its folder cannot be read, or links lead in a circle.
    ValueError
        If it holds a null character.

    Examples
    --------
    >>> is_there(Path("no such file"))
    False
    """
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True
