"""The errors that spikesorter raises on purpose.

SpikeSorterError
├── InputError       a file, recording or labels that cannot be used
├── SettingsError    a setting that does not exist or has an invalid value
└── ModelError       a saved model that is missing, damaged, or made for another kind of recording

Every message states what is wrong, where, what was expected, and what can be done about it.
The command line prints it as one line and exits with code 2.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, TypeVar

__all__ = ["InputError", "ModelError", "SettingsError", "SpikeSorterError", "made_by", "naming"]

Made = TypeVar("Made")


class SpikeSorterError(Exception):
    """Base of all errors that spikesorter raises on purpose."""


class InputError(SpikeSorterError):
    """A file, a recording or labels that cannot be used."""


class SettingsError(SpikeSorterError):
    """A setting that does not exist or has an invalid value."""


class ModelError(SpikeSorterError):
    """A saved model that is missing, damaged, or made for another kind of recording."""


for _error in (SpikeSorterError, InputError, SettingsError, ModelError):
    _error.__module__ = "spikesorter"  # the name in tracebacks, and the place to import them from


@contextmanager
def naming(source: object) -> Iterator[None]:
    """Put a file's name before the message of any error raised inside, unless the message starts with it.

    Examples
    --------
    >>> try:
    ...     with naming("D5.mat"):
    ...         raise InputError("the trace is constant")
    ... except InputError as error:
    ...     print(error)
    D5.mat: the trace is constant
    """
    try:
        yield
    except SpikeSorterError as error:
        if str(error).startswith(str(source)):
            raise
        raise type(error)(f"{source}: {error}") from error


def made_by(makers: str) -> Callable[[type[Made]], type[Made]]:
    """Make a class name its constructors when it is called without arguments.

    Parameters
    ----------
    makers : str
        What to call instead.

    Returns
    -------
    callable
        Decorator of a class.

    Examples
    --------
    >>> @made_by("Model.load(folder)")
    ... class Model:
    ...     def __init__(self, weights): ...
    >>> Model()
    Traceback (most recent call last):
    spikesorter.InputError: Model() needs arguments; use Model.load(folder)
    """

    def explained(kind: type[Made]) -> type[Made]:
        changed: Any = kind  # type checkers do not let a method be replaced
        make = changed.__init__

        @wraps(make)
        def explain_or_make(self: Made, *values: Any, **fields: Any) -> None:
            if not (values or fields):
                raise InputError(f"{kind.__name__}() needs arguments; use {makers}")
            make(self, *values, **fields)

        changed.__init__ = explain_or_make
        return kind

    return explained
