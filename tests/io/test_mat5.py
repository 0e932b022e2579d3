"""Limits of variables of MATLAB v5 that are checked before SciPy reads them; test_lies.py has whole files."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from spikesorter.core.errors import InputError
from spikesorter.io.mat5 import CELL, MOST_NAMES, TEXT, _check_array, _check_cells, _Variable

PATH = Path("D1.mat")
LARGEST = 16 << 20


def variable(kind: int, *, size: int, total_bytes: int = 80, data_type: int = 0) -> _Variable:
    return _Variable("Names", kind, False, (size, 1), total_bytes, data_type, 56, 8, 72, total_bytes)


@pytest.mark.parametrize("data_type", range(1, 20))
def test_texts_are_of_whole_numbers_or_unicode(data_type: int) -> None:
    said = pytest.raises(InputError, match="does not fit the 8 bytes")
    with contextlib.nullcontext() if data_type in (1, 2, 3, 4, 16, 17, 18) else said:
        _check_array(PATH, variable(TEXT, size=8, data_type=data_type))


@pytest.mark.parametrize(
    ("size", "total_bytes", "message"),
    [
        (1, LARGEST, "ends in the middle"),
        (1, LARGEST + 1, "claims 1 names in 16.8 MB"),
        (MOST_NAMES, LARGEST, "ends in the middle"),
        (MOST_NAMES + 1, LARGEST, "claims 100001 names"),
    ],
)
def test_names_are_limited_in_number_and_size(size: int, total_bytes: int, message: str) -> None:
    with pytest.raises(InputError, match=message):
        _check_cells(PATH, variable(CELL, size=size, total_bytes=total_bytes), b"", "<")
