"""How the library tells a caller what it is doing; it never prints."""

from collections.abc import Callable

__all__ = ["Progress", "silent"]

Progress = Callable[[str, float], None]
"""Called with the name of the step under way and the share of it that is done, 0 to 1."""


def silent(step: str, done: float) -> None:
    """Ignore progress."""
