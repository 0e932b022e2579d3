"""MATLAB files of v7.3, which are HDF5: read plain arrays stored in the file itself."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from spikesorter.core.errors import InputError
from spikesorter.io.bounds import TEXT_CELLS, check_declared, shown_bytes

__all__ = ["check_dataset", "list_mat73", "read_mat73"]

DEFLATE = h5py.h5z.FILTER_DEFLATE
FILTERS = {
    DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32, h5py.h5z.FILTER_SZIP,
    h5py.h5z.FILTER_LZF,
}  # fmt: skip
DEFLATE_EXPANSION = 1032
"""Greatest compression that deflate can reach."""
MOST_LISTED = 10_000
MOST_UNPACKED = 256 << 20  # of one chunk, which HDF5 decompresses as a whole


NUMERIC = (
    "double", "single", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
)  # fmt: skip
CONVERSIONS = {
    "table": "save its columns as variables of their own, such as Index = T.Index",
    "timetable": "save its columns as variables of their own, such as Index = T.Index",
    "categorical": "save its numbers, such as Class = double(Class)",
    "string": "save numbers, such as Class = double(Class); names belong into the cell array Names",
    "cell": "save an array, such as Class = cell2mat(Class)",
    "struct": "save its fields as variables of their own",
    "char": "save numbers, such as Class = str2double(Class)",
    "logical": "save the samples of its spikes, such as Index = find(Index) - 1",
    "datetime": "save samples from the recording's start",
    "duration": "save samples from the recording's start",
}
"""What to do in MATLAB with variables of other classes."""


def list_mat73(path: Path) -> list[tuple[str, tuple[int, ...], str]]:
    """Return name, shape and kind of each variable; "numbers" for arrays of real numbers.

    Raises
    ------
    Exception
        Anything that h5py raises on a damaged file.
    """
    listed: list[tuple[str, tuple[int, ...], str]] = []
    with h5py.File(path, "r") as file:
        for name in list(file)[:MOST_LISTED]:
            if not isinstance(file.get(name, getlink=True), h5py.HardLink) or name.startswith("#"):
                continue
            held = file[name]
            if not isinstance(held, h5py.Dataset):
                listed.append((name, (), "a struct"))
                continue
            kind = _matlab_class(held)
            is_real = kind in NUMERIC and held.dtype.kind in "iuf"
            listed.append((name, held.shape or (), "numbers" if is_real else f"a MATLAB {kind}"))
    return listed


def read_mat73(path: Path, names: tuple[str, ...]) -> dict[str, npt.NDArray[Any]]:
    """Read those of the named variables that a file has.

    Raises
    ------
    InputError
        If a variable is not a plain array of numbers, is stored elsewhere, or declares more than the file
        holds.
    Exception
        Anything that h5py raises on a damaged file.
    """
    variables = {}
    with h5py.File(path, "r") as file:
        for name in names:
            link = file.get(name, getlink=True)
            if link is None or name in TEXT_CELLS:  # cells, which v7.3 stores as links
                continue
            if not isinstance(link, h5py.HardLink):
                raise InputError(f"{path}: {name} is a link, which is not followed")
            if not isinstance(file[name], h5py.Dataset):
                raise InputError(f"{path}: {name} is not an array of numbers")
            kind = _matlab_class(file[name])
            if kind not in NUMERIC:
                how = CONVERSIONS.get(kind, "save it as an array of numbers")
                raise InputError(f"{path}: {name} must hold numbers, but is a MATLAB {kind}; {how}")
            check_dataset(path, name, file[name])
            empty = "MATLAB_empty" in file[name].attrs
            values = np.zeros((0, 0)) if empty else np.asarray(file[name][()])
            by_matlab = file.userblock_size > 0  # which swaps rows and columns
            variables[name] = values.T if by_matlab and name == "Bad" else values
    return variables


def _matlab_class(dataset: h5py.Dataset) -> str:
    """Return a variable's MATLAB type, which MATLAB writes as a text of fixed length.

    Texts of variable length, as Python writes them, are ignored: damaged ones make HDF5 loop endlessly.
    """
    if "MATLAB_class" in dataset.attrs:
        stored = dataset.attrs.get_id("MATLAB_class")
        if stored.dtype.kind == "S" and stored.shape == ():
            return bytes(dataset.attrs["MATLAB_class"]).decode("latin-1")
    return "double"


def check_dataset(path: Path, name: str, dataset: h5py.Dataset) -> None:
    """Refuse a dataset that is stored in other files, or declares more than this file holds.

    Raises
    ------
    InputError
    """
    if dataset.is_virtual or dataset.external:
        raise InputError(f"{path}: {name} is stored in another file, which is not opened")
    if dataset.dtype.kind not in "iufc":
        raise InputError(f"{path}: {name} must hold numbers, not {dataset.dtype}")
    if dataset.shape is None:
        raise InputError(f"{path}: {name} has no shape")
    made = dataset.id.get_create_plist()
    filters = [made.get_filter(k)[0] for k in range(made.get_nfilters())]
    unknown = sorted(set(filters) - FILTERS)
    if unknown:
        raise InputError(
            f"{path}: {name} is compressed by filter {unknown[0]} of HDF5, which is not supported; use "
            "deflate, shuffle, checksums, szip or lzf"
        )
    stored, size = dataset.id.get_storage_size(), path.stat().st_size
    if stored > size:
        raise InputError(
            f"{path}: truncated or damaged: {name} claims {shown_bytes(stored)} of the file, which has "
            f"{shown_bytes(size)}"
        )
    declared = dataset.size * dataset.dtype.itemsize
    check_declared(path, name, declared=declared, stored=stored)
    if dataset.chunks:
        chunk = int(np.prod(dataset.chunks, dtype=object)) * dataset.dtype.itemsize
        check_declared(path, f"a part of {name}", declared=chunk, stored=stored)
        if DEFLATE in filters:
            _check_chunks(path, name, dataset, chunk)


def _check_chunks(path: Path, name: str, dataset: h5py.Dataset, chunk_bytes: int) -> None:
    """Refuse a compressed chunk larger than its declared size, as HDF5 would decompress all of it."""
    suspects = []

    def look(info: Any) -> None:
        if info.size * DEFLATE_EXPANSION > max(MOST_UNPACKED, 2 * chunk_bytes):
            suspects.append(info)

    dataset.id.chunk_iter(look)
    for info in suspects:
        skipped, packed = dataset.id.read_direct_chunk(info.chunk_offset)
        if skipped:  # this chunk is not compressed
            continue
        unpacker = zlib.decompressobj()
        held = len(unpacker.decompress(packed, chunk_bytes + 1))
        if held > chunk_bytes:
            raise InputError(
                f"{path}: a part of {name} decompresses to more than the {shown_bytes(chunk_bytes)} it claims"
            )
