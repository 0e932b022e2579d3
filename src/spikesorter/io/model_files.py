"""Model files: a JSON description and a file of plain arrays, without code or pickles.

The types of the values determine the format: frozen dataclasses become JSON objects, arrays are stored by
name in the second file (once, if several are alike), and settings are stored as JSON. Files are read
by the same types; a field that an older model does not have gets its default. A SHA-256 of both files detects
changes.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import io
import json
import math
import types
import typing
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel

from spikesorter.core.errors import InputError, ModelError, SpikeSorterError
from spikesorter.core.versions import __version__
from spikesorter.io.atomic import atomic_folder, recover_folder
from spikesorter.io.model_formats import FORMAT_VERSION, READABLE, to_current

__all__ = [
    "DESCRIPTION",
    "TARGETS",
    "ModelFiles",
    "check_model_place",
    "model_digest",
    "read_model",
    "read_model_files",
    "seal",
    "write_model",
]

DESCRIPTION, ARRAYS = "model.json", "arrays.npz"
TARGETS = "targets"
"""Subfolder of a model with the models adapted to targets."""
MOST_BYTES = {DESCRIPTION: 64 << 20, ARRAYS: 2 << 30}
Value = TypeVar("Value")
Arrays = dict[str, npt.NDArray[Any]]


@dataclasses.dataclass(frozen=True)
class ModelFiles:
    """Facts about the files of a model.

    Parameters
    ----------
    format_version : int
    made_by : str
        Version of spikesorter that wrote it.
    sha256 : str
        SHA-256 of the contents, checked when the model was read.
    file_bytes : int
        Size of both files.
    """

    format_version: int
    made_by: str
    sha256: str
    file_bytes: int


def check_model_place(folder: Path) -> None:
    """Refuse to replace anything but a model.

    Raises
    ------
    InputError
        If there is a file, or a folder with other contents.
    """
    if folder.is_dir() and ((folder / DESCRIPTION).is_file() or not any(folder.iterdir())):
        return
    if folder.exists() or folder.is_symlink():
        raise InputError(f"{folder}: exists and is not a model; choose another folder for the model")


def write_model(value: Any, folder: Path) -> None:
    """Write a frozen dataclass to a folder, atomically.

    Parameters
    ----------
    value : dataclass instance
        Its fields are scalars, strings, tuples, arrays, settings and other such dataclasses.
    folder : Path
        An older model there is replaced.

    Raises
    ------
    InputError
        If the folder contains anything else, or cannot be written.
    """
    check_model_place(folder)
    arrays: Arrays = {}
    description = {
        "format_version": FORMAT_VERSION,
        "made_by": __version__,
        "model": _pack(value, "", arrays),
    }
    stored = io.BytesIO()
    np.savez(stored, **arrays)  # type: ignore[arg-type]  # no array is called allow_pickle
    sealed = {"sha256": seal(description, stored.getvalue()), **description}
    with atomic_folder(folder) as temporary:
        (temporary / DESCRIPTION).write_text(json.dumps(sealed, indent=1) + "\n", encoding="utf-8")
        (temporary / ARRAYS).write_bytes(stored.getvalue())


def seal(description: Mapping[str, Any], arrays: bytes) -> str:
    """Return the SHA-256 of a model's description (without the SHA-256 in it) and its file of arrays."""
    unsealed = {key: value for key, value in description.items() if key != "sha256"}
    total = hashlib.sha256(json.dumps(unsealed, sort_keys=True).encode())
    total.update(arrays)
    return total.hexdigest()


def model_digest(value: Any) -> str:
    """Return the SHA-256 (hexadecimal) of what `write_model` would write for a value.

    Examples
    --------
    >>> from spikesorter.signal.gain import Activity
    >>> model_digest(Activity(0.8, (0.001,))) == model_digest(Activity(0.8, (0.002,)))
    False
    """
    arrays: Arrays = {}
    description = json.dumps(_pack(value, "", arrays), sort_keys=True)
    total = hashlib.sha256(description.encode())
    for name in sorted(arrays):
        total.update(f"{name} {arrays[name].dtype.str} {arrays[name].shape}".encode())
        total.update(np.ascontiguousarray(arrays[name]).tobytes())
    return total.hexdigest()


def read_model(kind: type[Value], folder: Path) -> Value:
    """Read a model written by `write_model`.

    Parameters
    ----------
    kind : type
        The dataclass that was written.
    folder : Path

    Returns
    -------
    instance of `kind`

    Raises
    ------
    ModelError
        If the folder has no such model, or one that is damaged or of another format version.

    Examples
    --------
    >>> import tempfile
    >>> from spikesorter.signal.gain import Activity
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_model(Activity(0.8, (0.001, 0.0004)), Path(folder) / "activity")
    ...     read_model(Activity, Path(folder) / "activity")
    Activity(gain=0.8, rates=(0.001, 0.0004), wander=0.0)
    """
    recover_folder(folder)
    with _damage_named(folder):
        description, stored = _read_files(folder)
        model = to_current(description["model"], description["format_version"])
        return typing.cast(Value, _unpack(kind, model, _arrays(stored)))


def read_model_files(folder: Path) -> ModelFiles:
    """Check the files of a model, and return facts about them.

    Raises
    ------
    ModelError
        As for `read_model`.

    Examples
    --------
    >>> import tempfile
    >>> from spikesorter.signal.gain import Activity
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_model(Activity(0.8, (0.001, 0.0004)), Path(folder) / "activity")
    ...     read_model_files(Path(folder) / "activity").format_version == FORMAT_VERSION
    True
    """
    with _damage_named(folder):
        description, stored = _read_files(folder)
        size = (folder / DESCRIPTION).stat().st_size + len(stored)
        return ModelFiles(
            format_version=description["format_version"],
            made_by=str(description["made_by"]),
            sha256=description["sha256"],
            file_bytes=size,
        )


@contextlib.contextmanager
def _damage_named(folder: Path) -> Iterator[None]:
    """Convert errors caused by a damaged model into errors that name its folder."""
    try:
        yield
    except ModelError:
        raise
    except FileNotFoundError as error:
        raise ModelError(
            f"{folder}: is not a model folder ({Path(error.filename).name} is missing)"
        ) from None
    except OSError as error:
        raise ModelError(f"{folder}: the model cannot be read: {error.strerror or error}") from None
    except (
        AttributeError,
        LookupError,
        MemoryError,
        NotImplementedError,
        OverflowError,
        RecursionError,
        RuntimeError,
        SpikeSorterError,
        TypeError,
        ValueError,
        zipfile.BadZipFile,
    ) as error:
        reason = " ".join(str(error).split())
        reason = f"{reason} is missing" if isinstance(error, KeyError) else reason
        raise ModelError(f"{folder}: the model is damaged: {reason or type(error).__name__}") from None


def _read_files(folder: Path) -> tuple[dict[str, Any], bytes]:
    """Return the description and the file of arrays, after checking that neither was changed."""
    description = json.loads(_bytes_of(folder / DESCRIPTION))
    found = description["format_version"]
    if found not in READABLE:
        mend = "train it again" if found < FORMAT_VERSION else "install a newer spikesorter to read it"
        formats = ", ".join(map(str, READABLE))
        raise ModelError(
            f"{folder}: has model format {found}, but this version reads formats {formats}; {mend}"
        )
    stored = _bytes_of(folder / ARRAYS)
    if seal(description, stored) != description["sha256"]:
        raise ModelError(
            f"{folder}: the model is damaged: it was changed after it was written (SHA-256 differs); use a "
            "copy, or train it again"
        )
    return description, stored


def _bytes_of(path: Path) -> bytes:
    size = path.stat().st_size
    if size > MOST_BYTES[path.name]:
        raise ModelError(f"{path}: {size >> 20} MB; a model has at most {MOST_BYTES[path.name] >> 20} MB")
    return path.read_bytes()


def _arrays(stored: bytes) -> Arrays:
    """Read arrays as `numpy.savez` writes them: uncompressed, so that no array is larger than the file."""
    with zipfile.ZipFile(io.BytesIO(stored)) as archive:
        entries = archive.infolist()
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
            raise ValueError("its arrays are compressed")
        if sum(entry.file_size for entry in entries) > len(stored):
            raise ValueError("its arrays are declared larger than their file")
        return {entry.filename.removesuffix(".npy"): _array(archive.read(entry)) for entry in entries}


def _array(stored: bytes) -> npt.NDArray[Any]:
    file = io.BytesIO(stored)
    if np.lib.format.read_magic(file) != (1, 0):
        raise ValueError("an array has another format")
    shape, column_major, dtype = np.lib.format.read_array_header_1_0(file)
    if dtype.hasobject:
        raise ValueError("an array holds Python objects")
    values = np.frombuffer(stored, dtype, offset=file.tell())
    if len(values) != math.prod(shape):
        raise ValueError(f"an array of shape {shape} holds {len(values)} values")
    return values.reshape(shape, order="F" if column_major else "C").copy(order="K")


def _pack(value: Any, name: str, arrays: Arrays) -> Any:
    if isinstance(value, np.ndarray):
        alike = (other for other, stored in arrays.items() if _same(stored, value))
        stored_as = next(alike, name)
        arrays.setdefault(stored_as, value)
        return {"array": stored_as}
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if dataclasses.is_dataclass(value):
        return {"is": type(value).__name__} | {
            field.name: _pack(getattr(value, field.name), f"{name}/{field.name}".lstrip("/"), arrays)
            for field in dataclasses.fields(value)
        }
    if isinstance(value, tuple):
        return [_pack(item, f"{name}/{i}", arrays) for i, item in enumerate(value)]
    if isinstance(value, dict):
        return {str(key): _pack(item, f"{name}/{key}", arrays) for key, item in value.items()}
    return value


def _same(one: npt.NDArray[Any], other: npt.NDArray[Any]) -> bool:
    """Return whether two arrays would be stored as the same bytes."""
    alike = one.dtype == other.dtype and one.shape == other.shape and one.strides == other.strides
    return alike and (one is other or one.tobytes() == other.tobytes())


def _unpack(kind: Any, packed: Any, arrays: Arrays) -> Any:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        if packed is None:
            return None
        kinds = [argument for argument in arguments if argument is not type(None)]
        if len(kinds) > 1:
            kinds = [one for one in kinds if one.__name__ == packed["is"]]
        (kind,) = kinds
        return _unpack(kind, packed, arrays)
    # The type of NDArray[...] differs between versions of Python and NumPy, but it is never a class.
    if not isinstance(kind, type) and isinstance(packed, dict) and packed.keys() == {"array"}:
        return arrays[packed["array"]]
    if origin is Mapping:
        return {arguments[0](key): _unpack(arguments[1], item, arrays) for key, item in packed.items()}
    if origin is tuple:
        return tuple(_unpack(arguments[0], item, arrays) for item in packed)
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return kind.model_validate(packed)
    if dataclasses.is_dataclass(kind):
        hints = _hints(typing.cast(Any, kind))
        values = {
            field.name: _unpack(_kind_of(field, hints, packed), packed[field.name], arrays)
            for field in dataclasses.fields(kind)
            if field.name in packed or not _has_default(field)
        }
        return typing.cast(Any, kind)(**values)
    if not isinstance(packed, kind):
        raise TypeError(f"expected {kind.__name__}, found {packed!r}")
    return packed


@functools.cache  # a third of the time to load a model, if found anew for each value
def _hints(kind: type) -> Mapping[str, Any]:
    return typing.get_type_hints(kind)


def _kind_of(field: dataclasses.Field[Any], hints: Mapping[str, Any], packed: Mapping[str, Any]) -> Any:
    """Return the type of a field: its hint, or the one of `one_of` in its metadata that the model names."""
    if "one_of" not in field.metadata:
        return hints[field.name]
    kinds, name = {kind.__name__: kind for kind in field.metadata["one_of"]()}, packed[field.name]["is"]
    if name not in kinds:
        raise ValueError(f"it holds a {name}, which is unknown to this version")
    return kinds[name]


def _has_default(field: dataclasses.Field[Any]) -> bool:
    missing = dataclasses.MISSING
    return field.default is not missing or field.default_factory is not missing
