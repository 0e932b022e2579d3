"""Progress callbacks: the library reports to its caller and never prints."""

from collections.abc import Callable

__all__ = ["Progress", "prefixed", "silent"]

Progress = Callable[[str, float], None]
"""Called with the name of the current step and the share of it that is done, 0 to 1."""


def silent(step: str, done: float) -> None:
    """Ignore progress.

    Examples
    --------
    >>> silent("training", 0.5)
    """


def prefixed(name: str, progress: Progress) -> Progress:
    """Return a progress callback that puts a name, such as a recording's, before each step.

    Examples
    --------
    >>> prefixed("D2", lambda step, done: print(step, done))("sorting", 0.5)
    D2: sorting 0.5
    """
    return lambda step, done: progress(f"{name}: {step}", done)
