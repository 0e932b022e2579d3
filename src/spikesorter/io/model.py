"""Models on disk: a JSON file that describes them and a file of plain arrays; no code, no pickle.

What is written follows from the types of the values themselves: frozen dataclasses become JSON objects,
arrays are put aside by name, settings become their own JSON. Reading goes by the same types.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import types
import typing
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ValidationError

from spikesorter.errors import InputError, ModelError, SpikeSorterError
from spikesorter.io.atomic import atomic_folder

__all__ = ["FORMAT_VERSION", "check_model_place", "model_digest", "read_model", "write_model"]

FORMAT_VERSION = 5
DESCRIPTION, ARRAYS = "model.json", "arrays.npz"
Value = TypeVar("Value")
Arrays = dict[str, npt.NDArray[Any]]


class _OtherFormatError(ModelError):
    """A model of another format version; not damaged."""


def check_model_place(folder: Path) -> None:
    """Refuse to write a model where something else stands.

    Raises
    ------
    InputError
        If there is a file, or a folder that holds anything but a model.
    """
    if folder.is_dir() and ((folder / DESCRIPTION).is_file() or not any(folder.iterdir())):
        return
    if folder.exists() or folder.is_symlink():
        raise InputError(f"{folder}: exists and is no model; choose another place for the model")


def write_model(value: Any, folder: Path) -> None:
    """Write a frozen dataclass to a folder, whole or not at all.

    Parameters
    ----------
    value : dataclass instance
        Of scalars, strings, tuples, arrays, settings and further such dataclasses.
    folder : Path
        An older model there is replaced.

    Raises
    ------
    InputError
        If something else stands there, or it cannot be written.
    """
    check_model_place(folder)
    arrays: Arrays = {}
    description = {"format_version": FORMAT_VERSION, "model": _pack(value, "", arrays)}
    with atomic_folder(folder) as temporary:
        (temporary / DESCRIPTION).write_text(json.dumps(description, indent=1) + "\n", encoding="utf-8")
        np.savez(temporary / ARRAYS, **arrays)  # type: ignore[arg-type]  # no array is called allow_pickle


def model_digest(value: Any) -> str:
    """Return a hexadecimal SHA-256 of all that `write_model` would write of a value."""
    arrays: Arrays = {}
    description = json.dumps(_pack(value, "", arrays), sort_keys=True)
    total = hashlib.sha256(description.encode())
    for name in sorted(arrays):
        total.update(f"{name} {arrays[name].dtype.str} {arrays[name].shape}".encode())
        total.update(np.ascontiguousarray(arrays[name]).tobytes())
    return total.hexdigest()


def read_model(kind: type[Value], folder: Path) -> Value:
    """Read what `write_model` wrote.

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
        If the folder holds no such model, a damaged one, or one of another format version.
    """
    try:
        description = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
        version = description["format_version"]
        if version != FORMAT_VERSION:
            raise _OtherFormatError(
                f"{folder}: written in model format {version}, this version reads format {FORMAT_VERSION}; "
                "train it anew"
            )
        with (folder / ARRAYS).open("rb") as file, np.load(file, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        return typing.cast(Value, _unpack(kind, description["model"], arrays))
    except _OtherFormatError:
        raise
    except FileNotFoundError as error:
        raise ModelError(f"{folder}: holds no model ({Path(error.filename).name} is missing)") from None
    except (
        OSError,
        EOFError,
        AttributeError,
        KeyError,
        TypeError,
        ValueError,
        ValidationError,
        zipfile.BadZipFile,
    ) as error:
        raise ModelError(f"{folder}: the model is damaged: {error}") from None
    except SpikeSorterError as error:
        raise ModelError(f"{folder}: the model is damaged: {error}") from None


def _pack(value: Any, name: str, arrays: Arrays) -> Any:
    if isinstance(value, np.ndarray):
        arrays[name] = value
        return {"array": name}
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
    # What NDArray[...] is differs between versions of Python and NumPy; that it is no class does not.
    if not isinstance(kind, type) and isinstance(packed, dict) and packed.keys() == {"array"}:
        return arrays[packed["array"]]
    if origin is Mapping:
        return {arguments[0](key): _unpack(arguments[1], item, arrays) for key, item in packed.items()}
    if origin is tuple:
        return tuple(_unpack(arguments[0], item, arrays) for item in packed)
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return kind.model_validate(packed)
    if dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        values = {
            field.name: _unpack(hints[field.name], packed[field.name], arrays)
            for field in dataclasses.fields(kind)
        }
        return typing.cast(Any, kind)(**values)
    if not isinstance(packed, kind):
        raise TypeError(f"expected {kind.__name__}, found {packed!r}")
    return packed
