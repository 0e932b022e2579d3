"""MATLAB files of v5 to v7.2: check their headers, then read them with SciPy.

SciPy trusts a file's headers: it decompresses and recurses without limit. The headers are therefore checked
here first. Of a compressed variable, only the first bytes are decompressed for this.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy.typing as npt
import scipy.io

from spikesorter.core.errors import InputError
from spikesorter.io.bounds import TEXT_CELLS, check_declared, shown_bytes

__all__ = ["list_mat5", "read_mat5"]

FILE_HEADER_BYTES, TAG_BYTES = 128, 8
HEAD_BYTES = 4096  # of a variable: flags, shape, name and the tag of its data
PACKED_HEAD_BYTES = 2 * HEAD_BYTES
MOST_VARIABLES = 10_000
MOST_DIMENSIONS = 32
MOST_NAME_BYTES = 1024
MOST_NAMES = 100_000
MOST_NAMES_BYTES = 16 << 20

MATRIX, COMPRESSED = 14, 15
TYPE_BYTES = {1: 1, 2: 1, 3: 2, 4: 2, 5: 4, 6: 4, 7: 4, 9: 8, 12: 8, 13: 8}
TEXT_TYPES = {1, 2, 3, 4, 16, 17, 18}
CELL, TEXT, OPAQUE = 1, 4, 17
NUMBERS = range(6, 16)
KINDS = {
    1: "cells",
    2: "a struct",
    3: "an object",
    5: "a sparse matrix",
    16: "a function",
    OPAQUE: "an object",
}
COMPLEX_FLAG = 0x800


@dataclass(frozen=True)
class _Variable:
    """The header of a variable; offsets count from the tag of its matrix."""

    name: str
    kind: int
    is_complex: bool
    shape: tuple[int, ...]
    total_bytes: int
    data_type: int
    data_start: int
    data_bytes: int
    after: int
    stored_bytes: int

    @property
    def size(self) -> int:
        return math.prod(self.shape)


def read_mat5(path: Path, names: tuple[str, ...]) -> dict[str, npt.NDArray[Any]]:
    """Read those of the named variables that a file has.

    Raises
    ------
    InputError
        If the file is damaged, or a variable declares more than the file holds or than is plausible.
    Exception
        Anything that SciPy raises on damage that the headers do not reveal.
    """
    with path.open("rb") as file:
        found = _check(path, file, names)
        if not found:
            return {}
        contents = scipy.io.loadmat(file, variable_names=found)
    return {name: contents[name] for name in found}


def list_mat5(path: Path) -> list[tuple[str, tuple[int, ...], str]]:
    """Return name, shape and kind of each variable; "numbers" for arrays of real numbers.

    Raises
    ------
    InputError
        If the file is damaged.
    """
    listed = []
    with path.open("rb") as file:
        order = "<" if file.read(FILE_HEADER_BYTES)[126:] == b"IM" else ">"
        for number, (variable, _) in enumerate(_variables(path, file, order)):
            if number >= MOST_VARIABLES:
                break
            is_real = variable.kind in NUMBERS and not variable.is_complex
            kind = "numbers" if is_real else KINDS.get(variable.kind, "text")
            listed.append((variable.name, variable.shape, kind))
    return [one for one in listed if one[0]]


def _check(path: Path, file: BinaryIO, names: tuple[str, ...]) -> list[str]:
    """Return the variables that the file has, after checking their declared sizes."""
    found: list[str] = []
    order = "<" if file.read(FILE_HEADER_BYTES)[126:] == b"IM" else ">"
    for number, (variable, matrix) in enumerate(_variables(path, file, order)):
        if number >= MOST_VARIABLES:
            raise InputError(f"{path}: has more than {MOST_VARIABLES} variables, too many for a recording")
        if variable.name not in names:
            continue
        if variable.name in found:
            raise InputError(f"{path}: has two variables {variable.name}")
        found.append(variable.name)
        if variable.kind == CELL and variable.name in TEXT_CELLS:
            _check_cells(path, variable, matrix(MOST_NAMES_BYTES), order)
        else:
            _check_array(path, variable)
    return found


def _variables(path: Path, file: BinaryIO, order: str) -> Iterator[tuple[_Variable, Any]]:
    """Yield each variable's header, and a function that returns its first bytes."""
    size, start = path.stat().st_size, FILE_HEADER_BYTES
    while start < size:
        file.seek(start)
        kind, held = struct.unpack(f"{order}II", _exactly(path, file.read(TAG_BYTES), TAG_BYTES))
        start += TAG_BYTES
        if held == 0 or held > size - start:
            raise InputError(
                f"{path}: truncated or damaged: a variable claims {shown_bytes(held)}, "
                f"but {shown_bytes(size - start)} are left in the file"
            )
        if kind not in (MATRIX, COMPRESSED):
            raise InputError(f"{path}: truncated or damaged: holds an element of type {kind}, not a variable")

        def matrix(most: int, kind: int = kind, held: int = held, start: int = start) -> bytes:
            if kind == COMPRESSED:
                file.seek(start)
                packed = file.read(min(held, PACKED_HEAD_BYTES if most == HEAD_BYTES else most))
                return _unpacked(path, packed, most)
            file.seek(start - TAG_BYTES)
            return file.read(min(held + TAG_BYTES, most))

        yield _head(path, matrix(HEAD_BYTES), order, held if kind == COMPRESSED else None), matrix
        start += held


def _unpacked(path: Path, packed: bytes, most: int) -> bytes:
    try:
        return zlib.decompressobj().decompress(packed, most)
    except zlib.error as error:
        raise InputError(f"{path}: truncated or damaged: {error}") from None


def _head(path: Path, head: bytes, order: str, packed_bytes: int | None) -> _Variable:
    kind, held = struct.unpack(f"{order}II", _exactly(path, head[:TAG_BYTES], TAG_BYTES))
    total = held + TAG_BYTES
    if kind != MATRIX:
        raise InputError(f"{path}: truncated or damaged: holds an element of type {kind}, not a variable")
    if packed_bytes is not None and packed_bytes > total + total // 100 + HEAD_BYTES:
        raise InputError(
            f"{path}: truncated or damaged: {shown_bytes(packed_bytes)} are compressed into a variable that "
            f"claims {shown_bytes(total)}"
        )
    (flags,) = struct.unpack(f"{order}I", _exactly(path, head[16:20], 4))
    if flags & 0xFF == OPAQUE:
        return _Variable("", OPAQUE, False, (), total, 0, 0, 0, 0, packed_bytes or total)
    _, begin, length, after = _element(path, head, 24, order)
    if not 4 <= length <= 4 * MOST_DIMENSIONS:
        raise InputError(f"{path}: truncated or damaged: a variable has {length // 4} dimensions")
    shape = struct.unpack(f"{order}{length // 4}i", _exactly(path, head[begin:], length, longer=True))
    if min(shape) < 0:
        raise InputError(f"{path}: truncated or damaged: a variable has the shape {shape}")
    _, begin, length, after = _element(path, head, after, order)
    if length > MOST_NAME_BYTES:
        raise InputError(f"{path}: truncated or damaged: a variable's name is {length} bytes long")
    name = _exactly(path, head[begin:], length, longer=True).decode("latin-1")
    has_data = after + TAG_BYTES <= min(len(head), total)
    data = _element(path, head, after, order) if has_data else (0, after, 0, after)
    return _Variable(
        name, flags & 0xFF, bool(flags & COMPLEX_FLAG), shape, total, *data, packed_bytes or total
    )


def _element(path: Path, data: bytes, at: int, order: str) -> tuple[int, int, int, int]:
    """Return type, start and length of the element at an offset, and the start of the next one."""
    kind, length = struct.unpack(f"{order}II", _exactly(path, data[at:], TAG_BYTES, longer=True))
    if kind >> 16:  # up to four bytes, stored in the tag itself
        if kind >> 16 > 4:
            raise InputError(f"{path}: truncated or damaged: a small element of {kind >> 16} bytes")
        return kind & 0xFFFF, at + 4, kind >> 16, at + TAG_BYTES
    start = at + TAG_BYTES
    return kind, start, length, start + length + -length % 8


def _check_array(path: Path, variable: _Variable) -> None:
    name = variable.name
    if variable.is_complex:
        raise InputError(f"{path}: {name} must hold real numbers, not complex ones")
    if variable.kind == TEXT:
        fits = variable.data_type in TEXT_TYPES and variable.size <= variable.data_bytes
    elif variable.kind in NUMBERS:
        itemsize = TYPE_BYTES.get(
            variable.data_type
        )  # SciPy would read other types beyond the end of its table
        fits = itemsize is not None and variable.size * itemsize == variable.data_bytes
    else:
        kind = KINDS.get(variable.kind, f"a variable of class {variable.kind}")
        raise InputError(f"{path}: {name} must hold real numbers, not {kind}")
    if not fits:
        raise InputError(
            f"{path}: truncated or damaged: {name} claims the shape {variable.shape}, which does not fit the "
            f"{shown_bytes(variable.data_bytes)} of its data"
        )
    if variable.data_start + variable.data_bytes > variable.total_bytes:
        raise InputError(
            f"{path}: truncated or damaged: the data of {name} claim {shown_bytes(variable.data_bytes)}, but "
            f"the whole variable claims {shown_bytes(variable.total_bytes)}"
        )
    check_declared(path, name, declared=variable.data_bytes, stored=variable.stored_bytes)


def _check_cells(path: Path, cells: _Variable, data: bytes, order: str) -> None:
    """Refuse a cell array of anything but texts, as nested cells could make SciPy recurse without end."""
    if cells.size > MOST_NAMES or cells.total_bytes > MOST_NAMES_BYTES:
        raise InputError(
            f"{path}: {cells.name} claims {cells.size} names in {shown_bytes(cells.total_bytes)}; expected "
            f"at most {MOST_NAMES} in {shown_bytes(MOST_NAMES_BYTES)}"
        )
    place = cells.data_start - TAG_BYTES  # of the first cell's tag
    for _ in range(cells.size):
        kind, start, length, after = _element(path, data, place, order)
        if kind != MATRIX or after > len(data) + 7:
            raise InputError(f"{path}: truncated or damaged: {cells.name} has fewer names than it claims")
        if length:
            cell = _head(path, data[place : start + length], order, None)
            if cell.kind != TEXT and not (cell.kind in NUMBERS and cell.size == 0):
                raise InputError(f"{path}: {cells.name} must be a cell array of texts")
            _check_array(path, cell)
            if cell.after != cell.total_bytes:  # SciPy would take the remainder for the next cell
                raise InputError(f"{path}: truncated or damaged: a name does not fill its cell")
        place = after


def _exactly(path: Path, data: bytes, length: int, *, longer: bool = False) -> bytes:
    if len(data) < length:
        raise InputError(f"{path}: truncated or damaged: ends in the middle of a variable's header")
    return data[:length] if longer else data
