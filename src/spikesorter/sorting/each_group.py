"""Do something with each group of channels, and go on if one of them is dead."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import TypeVar

from spikesorter.core.errors import NothingToSortError, naming

__all__ = ["NOT_SOUGHT", "doubts_about", "each_group"]

logger = logging.getLogger(__name__)
Done = TypeVar("Done")
NOT_SOUGHT = "its units are not looked for"


def each_group(
    groups: Iterable[str], work: Callable[[str], Done], *, instead: str = NOT_SOUGHT
) -> tuple[dict[str, Done], tuple[str, ...]]:
    """Do something with each group, and warn of those with nothing to sort instead of stopping at them.

    Parameters
    ----------
    groups : iterable of str
        Their names.
    work : callable
        Takes a group's name.
    instead : str
        What becomes of a group with nothing to sort, in words.

    Returns
    -------
    done : dict of str to object
        What it returns, for each of the other groups.
    lacking : tuple of str
        For each group with nothing to sort, why, in words.

    Raises
    ------
    NothingToSortError
        If there is nothing to sort in any group.

    Examples
    --------
    >>> def count(group):
    ...     if group == "left":
    ...         raise NothingToSortError("the trace is constant")
    ...     return 7
    >>> each_group(["left", "right"], count)
    ({'right': 7}, ('group left: the trace is constant; its units are not looked for',))
    """
    done: dict[str, Done] = {}
    refused: list[NothingToSortError] = []
    for name in groups:
        try:
            with naming(f"group {name}"):
                done[name] = work(name)
        except NothingToSortError as error:
            refused.append(error)
    if refused and not done:
        raise refused[0]
    lacking = tuple(f"{error}; {instead}" for error in refused)
    for words in lacking:
        logger.warning("%s", words)
    return done, lacking


def doubts_about(doubts: Iterable[str], group: str) -> tuple[str, ...]:
    """Return the doubts that are not about another group of channels.

    Parameters
    ----------
    doubts : iterable of str
        Those about a group begin with its name, as in `Spikes.doubts` of several groups.
    group : str
        "" for all channels.

    Examples
    --------
    >>> doubts_about(["group left: is noisy", "group right: is dead"], "right")
    ('group right: is dead',)
    """
    if not group:
        return tuple(doubts)
    return tuple(one for one in doubts if one.startswith(f"group {group}: ") or not one.startswith("group "))
