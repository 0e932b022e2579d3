"""The errors that spikesorter raises on purpose.

SpikeSorterError
├── InputError       a file, recording or labels that cannot be used
│   └── NothingToSortError   a recording, or a group of its channels, that holds nothing to sort
├── SettingsError    a setting that does not exist or has an invalid value
└── ModelError       a saved model that is missing, damaged, or made for another kind of recording

Every message states what is wrong, where, what was expected, and what can be done about it.
The command line prints it as one line and exits with code 2.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import Any, TypeVar

__all__ = [
    "InputError",
    "ModelError",
    "NothingToSortError",
    "SettingsError",
    "SpikeSorterError",
    "about_subject",
    "made_by",
    "naming",
    "subject",
]

Made = TypeVar("Made")
_SUBJECTS: ContextVar[tuple[str, ...]] = ContextVar("subjects", default=())


class SpikeSorterError(Exception):
    """Base of all errors that spikesorter raises on purpose.

    Examples
    --------
    >>> from spikesorter import Settings
    >>> try:
    ...     Settings().replace(decoder="magic")
    ... except SpikeSorterError as error:  # of any kind
    ...     print(type(error).__name__)
    SettingsError
    """


class InputError(SpikeSorterError):
    """A file, a recording or labels that cannot be used.

    Examples
    --------
    >>> from spikesorter import Spikes
    >>> Spikes([300, 120], [2, 1])
    Traceback (most recent call last):
    spikesorter.InputError: spikes: samples must be in order; Spikes.from_arrays sorts them
    """


class NothingToSortError(InputError):
    """A recording that is dead, of which hardly anything is good, or whose units cannot be seen.

    If these are the channels of one group, the other groups can still be sorted.

    Examples
    --------
    >>> import numpy as np
    >>> from spikeinterface.core import NumpyRecording
    >>> from spikesorter import Sorter, Spikes
    >>> dead = NumpyRecording([np.zeros((250_000, 1), np.float32)], sampling_frequency=25_000.0)
    >>> Sorter.fit(dead, Spikes.from_arrays([1000, 5000], [1, 1]))
    Traceback (most recent call last):
    spikesorter.NothingToSortError: the trace is constant: nothing was recorded
    """


class SettingsError(SpikeSorterError):
    """A setting that does not exist or has an invalid value.

    Examples
    --------
    >>> from spikesorter import Settings
    >>> Settings().replace("output.treshold=0.8")
    Traceback (most recent call last):
    spikesorter.SettingsError: unknown setting 'output.treshold'; did you mean 'output.threshold'?
    """


class ModelError(SpikeSorterError):
    """A saved model that is missing, damaged, or made for another kind of recording.

    Examples
    --------
    >>> from spikesorter import Sorter
    >>> Sorter.load("empty")
    Traceback (most recent call last):
    spikesorter.ModelError: empty: is not a model folder (model.json is missing)
    """


_ERRORS = (SpikeSorterError, InputError, NothingToSortError, SettingsError, ModelError)
for _error in _ERRORS:
    _error.__module__ = "spikesorter"  # the name in tracebacks, and the place to import them from

__test__ = {kind.__name__: kind for kind in _ERRORS}
"""Lets doctest find these classes, as it skips objects that belong to another module."""


@contextmanager
def naming(source: object) -> Iterator[None]:
    """Put a file's name before the message of any error raised inside, unless the message starts with it.

    `subject` returns it inside, for messages that are no errors.

    Examples
    --------
    >>> try:
    ...     with naming("D5.mat"):
    ...         raise InputError("the trace is constant")
    ... except InputError as error:
    ...     print(error)
    D5.mat: the trace is constant
    """
    within = _SUBJECTS.set((*_SUBJECTS.get(), str(source)))
    try:
        yield
    except SpikeSorterError as error:
        if str(error).startswith(str(source)):
            raise
        raise type(error)(f"{source}: {error}") from error
    finally:
        _SUBJECTS.reset(within)


def subject() -> str:
    """Return what the program works on, by the names given to `naming`; "" outside.

    Examples
    --------
    >>> with naming("D5.mat"), naming("group left"):
    ...     print(subject())
    D5.mat: group left
    """
    return ": ".join(_SUBJECTS.get())


def about_subject(message: str) -> str:
    """Return a message with what the program works on before it, unless the message starts with that.

    Examples
    --------
    >>> with naming("D5.mat"):
    ...     about_subject("0.3 s are bad"), about_subject("D5.mat: 0.3 s are bad")
    ('D5.mat: 0.3 s are bad', 'D5.mat: 0.3 s are bad')
    """
    about = subject()
    return f"{about}: {message}" if about and not message.startswith(about) else message


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
