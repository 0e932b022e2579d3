"""The variables of MATLAB files, by their own names or by those that a file has for them.

SciPy reads v5 to v7.2, h5py v7.3.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from spikesorter.core.errors import InputError
from spikesorter.io.mat5 import list_mat5, read_mat5
from spikesorter.io.mat73 import list_mat73, read_mat73

__all__ = [
    "BAD",
    "BAD_KIND",
    "DOUBTS",
    "NO_NAMES",
    "PROBABILITIES",
    "RECORDING_VARIABLES",
    "SPIKE_VARIABLES",
    "WAVE_CLUS",
    "listed_variables",
    "proposed_options",
    "read_variables",
]

PROBABILITIES = {"Probability": "probability", "ClassProbability": "unit_probability"}
BAD, BAD_KIND, DOUBTS = "Bad", "BadKind", "Doubts"
SPIKE_VARIABLES = ("fs", "Index", "Class", "Names", *PROBABILITIES, BAD, BAD_KIND, DOUBTS)
RECORDING_VARIABLES = ("d", *SPIKE_VARIABLES)
WAVE_CLUS = "cluster_class"
VARIABLES = {"trace": "d", "fs": "fs", "index": "Index", "class": "Class"}
"""What a user calls the variables of a file that has other names for them."""
NO_NAMES: Mapping[str, str] = {}
RATE_NAMES = (
    "fs",
    "sr",
    "rate",
    "srate",
    "samplerate",
    "sample_rate",
    "sampling_rate",
    "samplingrate",
    "frequency",
)
MOST_LISTED = 24


def read_variables(
    path: Path, names: tuple[str, ...], variables: Mapping[str, str] = NO_NAMES
) -> dict[str, npt.NDArray[Any]]:
    """Read variables by their own names, or by those that a file has for them.

    Parameters
    ----------
    path : Path
    names : tuple of str
        Those that are wanted, such as `RECORDING_VARIABLES`.
    variables : mapping of str to str, optional
        As for `read_mat`.

    Returns
    -------
    dict of str to ndarray
        The wanted variables that the file has, by their own names.

    Raises
    ------
    InputError
        If the file cannot be read, or has no variable of a name in `variables`.

    Examples
    --------
    >>> import tempfile
    >>> import scipy.io
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "D1.mat"
    ...     scipy.io.savemat(path, {"data": [0.1, 4.0], "fs": 30_000})
    ...     read_variables(path, ("d", "Index"), {"trace": "data"})
    {'d': array([[0.1, 4. ]])}
    """
    unknown = sorted(set(variables) - set(VARIABLES))
    if unknown:
        raise InputError(
            f"{path}: variable {unknown[0]}: expected one of {', '.join(VARIABLES)}, such as trace=data "
            "(--variable)"
        )
    called = {VARIABLES[key]: value for key, value in variables.items()}
    stored = tuple(dict.fromkeys(called.get(name, name) for name in names))
    found = _stored_variables(path, stored)
    missing = [called[name] for name in names if name in called and called[name] not in found]
    if missing:
        raise InputError(f"{path}: has no variable {missing[0]}; {listed_variables(path)}with --variable")
    return {name: found[key] for name in names if (key := called.get(name, name)) in found}


def _stored_variables(path: Path, names: tuple[str, ...]) -> dict[str, npt.NDArray[Any]]:
    if not path.exists():
        raise InputError(f"{path}: no such file")
    if path.is_dir():
        raise InputError(f"{path}: is a folder, not a .mat file")
    try:
        with path.open("rb") as file:
            start = file.read(128)
        if h5py.is_hdf5(path):
            return read_mat73(path, names)
        if not start.startswith(b"MATLAB"):
            raise InputError(f"{path}: not a .mat file (MATLAB v5 to v7.3)")
        if start.startswith(b"MATLAB 7.3"):
            raise InputError(
                f"{path}: truncated or damaged: its header states v7.3, but it is not an HDF5 file"
            )
        return {name: np.asarray(values) for name, values in read_mat5(path, names).items()}
    except InputError:
        raise
    except PermissionError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from None
    except MemoryError:
        raise InputError(f"{path}: declares more data than fits into memory") from None
    except Exception as error:  # SciPy and HDF5 may raise anything on damaged bytes
        raise InputError(
            f"{path}: truncated or damaged: {getattr(error, 'strerror', None) or error}"
        ) from None


def listed_variables(path: Path) -> str:
    """Return the variables of a file in words; the caller adds how to choose."""
    shown = [_described(one) for one in _listed(path)[:MOST_LISTED]]
    return f"there are {', '.join(shown) or 'none'}; say which to use " if shown else "say which to use "


def _described(variable: tuple[str, tuple[int, ...], str]) -> str:
    name, shape, kind = variable
    size = int(np.prod(shape, dtype=object))
    if kind == "numbers" and size == 1:
        return f"{name} (1 number)"
    if kind == "numbers" and size == max(shape):
        return f"{name} ({size} numbers)"
    return f"{name} ({' x '.join(map(str, shape))} {kind})" if kind == "numbers" else f"{name} ({kind})"


def proposed_options(path: Path) -> str:
    """Return the options that most likely name the trace and the sampling rate."""
    numbers = [
        (int(np.prod(shape, dtype=object)), name) for name, shape, kind in _listed(path) if kind == "numbers"
    ]
    largest = max(numbers, default=(0, "NAME"))[1]
    rates = [name for size, name in numbers if size == 1 and name.lower() in RATE_NAMES]
    return " ".join(
        f"--variable {one}" for one in (f"trace={largest}", *(f"fs={name}" for name in rates[:1]))
    )


def _listed(path: Path) -> list[tuple[str, tuple[int, ...], str]]:
    try:
        return list_mat73(path) if h5py.is_hdf5(path) else list_mat5(path)
    except Exception:  # of a damaged file; what is missing was said already
        return []
