"""What files declare is checked before memory is taken for it; sizes and rates are said in words."""

from __future__ import annotations

import io
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spikesorter.core.errors import InputError
from spikesorter.core.spikes import Spikes
from spikesorter.io.bounds import (
    MOST_EXPANSION,
    SMALL_BYTES,
    check_archive,
    check_declared,
    check_rate,
    free_memory,
    known_rate,
    shown_bytes,
)

HERE = Path("D5.mat")


@given(st.integers(0, 10**16))
def test_a_size_is_shown_to_a_tenth_of_its_unit(count: int) -> None:
    text = shown_bytes(count)
    number, unit = text.split()
    scale = {"bytes": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}[unit]
    assert abs(float(number) * scale - count) <= 0.05 * scale + 1e-3 * count * (unit == "TB")
    assert unit == "bytes" or float(number) >= 1
    assert unit in ("bytes", "TB") or count < 1000 * scale


@pytest.mark.parametrize(
    ("declared", "stored", "refused"),
    [
        (SMALL_BYTES, 0, False),
        (SMALL_BYTES + 1, 0, True),
        (SMALL_BYTES + 1, SMALL_BYTES // MOST_EXPANSION + 1, False),
        (100 * 10**6, 10**6, False),
        (100 * 10**6 + 1, 10**6, True),
        (10**15, 10**4, True),
    ],
)
def test_what_would_unpack_to_a_hundred_times_its_size_is_refused(
    declared: int, stored: int, refused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spikesorter.io.bounds.free_memory", lambda: 10**18)
    if not refused:
        check_declared(HERE, "d", declared=declared, stored=stored)
        return
    said = f"D5.mat: d claims {shown_bytes(declared)}, but {shown_bytes(stored)} are stored for it"
    with pytest.raises(InputError, match=re.escape(said)):
        check_declared(HERE, "d", declared=declared, stored=stored)


def test_what_does_not_fit_into_memory_is_refused_with_a_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spikesorter.io.bounds.free_memory", lambda: 5000)
    check_declared(HERE, "d", declared=5000, stored=5000)
    with pytest.raises(InputError, match=r"d needs 5\.0 kB of memory, but only 5\.0 kB are free; split the"):
        check_declared(HERE, "d", declared=5001, stored=5001)


def test_there_is_some_memory() -> None:
    assert 1 << 20 < free_memory() < 1 << 50


@pytest.mark.parametrize("fs_hz", [100.0, 25_000.0, 1e7])
def test_rates_within_bounds_are_returned(fs_hz: float) -> None:
    assert check_rate(HERE, fs_hz) == fs_hz


@pytest.mark.parametrize("fs_hz", [0.0, 25.0, 99.99, 1.01e7, -1.0, float("nan"), float("inf")])
def test_other_rates_are_refused_by_the_files_name(fs_hz: float) -> None:
    with pytest.raises(InputError, match=r"^D5\.mat: fs is .* Hz; expected 100 Hz to 10 MHz$"):
        check_rate(HERE, fs_hz)


@pytest.mark.parametrize(
    ("own", "given_hz", "known"),
    [
        (None, None, None),
        (30_000.0, None, 30_000.0),
        (None, 30_000.0, 30_000.0),
        (30_000.0, 30_000.0, 30_000.0),
        (30_000.0, 30_000.02, 30_000.0),  # as rounded elsewhere
    ],
)
def test_the_rate_to_write_is_the_spikes_own_or_the_one_given(
    own: float | None, given_hz: float | None, known: float | None
) -> None:
    assert known_rate(HERE, Spikes([1], [1], fs_hz=own), given_hz) == known


@pytest.mark.parametrize(
    ("own", "given_hz", "message"),
    [
        (30_000.0, 25_000.0, "fs_hz is 25000 Hz, but the spikes are at 30000 Hz"),
        (30_000.0, 30_010.0, "fs_hz is 30010 Hz, but the spikes are at 30000 Hz"),
        (None, 5.0, "fs is 5 Hz; expected 100 Hz to 10 MHz"),
    ],
)
def test_a_rate_that_cannot_be_is_not_written(own: float | None, given_hz: float, message: str) -> None:
    with pytest.raises(InputError, match=f"D5.mat: {message}"):
        known_rate(HERE, Spikes([1], [1], fs_hz=own), given_hz)


# Archives ---------------------------------------------------------------------------------------------------


def npy(array: Any, *, version: tuple[int, int] = (1, 0)) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.asarray(array), version=version)
    return buffer.getvalue()


def archive(path: Path, **entries: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, contents in entries.items():
            file.writestr(f"{name}.npy", contents)
    return path


@pytest.mark.parametrize("array", [np.arange(50.0), np.zeros((0, 3)), np.float32(3), np.array(["a", "bc"])])
@pytest.mark.parametrize("version", [(1, 0), (2, 0)])
def test_archives_that_hold_what_they_claim_pass(
    array: Any, version: tuple[int, int], tmp_path: Path
) -> None:
    check_archive(archive(tmp_path / "a.npz", x=npy(array, version=version), y=npy(np.arange(3))))


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        (npy(np.arange(50.0))[:-8], "claims 400 bytes, but holds 392 bytes"),
        (npy(np.arange(50.0)) + b"more", "claims 400 bytes, but holds 404 bytes"),
        (npy(np.arange(50.0)).replace(b"(50,)", b"(51,)"), "claims 408 bytes, but holds 400 bytes"),
        (npy(np.arange(5), version=(3, 0)), r"is of \.npy version \(3, 0\); expected 1 or 2"),
    ],
)
def test_archives_that_contradict_themselves_are_refused(
    contents: bytes, message: str, tmp_path: Path
) -> None:
    path = archive(tmp_path / "a.npz", fine=npy(np.arange(3)), x=contents)
    with pytest.raises(InputError, match=rf"a\.npz: x\.npy {message}"):
        check_archive(path)


def test_an_array_of_more_entries_than_there_are_numbers_is_no_small_one(tmp_path: Path) -> None:
    """Its size must not be counted in 64 bits, in which it is 0."""
    huge = npy(np.zeros(0)).replace(b"(0,)", b"(4294967296, 4294967296)")
    head = huge[:8] + len(huge[10:]).to_bytes(2, "little") + huge[10:]
    with pytest.raises(InputError, match=r"claims \d+\.\d TB, but holds 0 bytes"):
        check_archive(archive(tmp_path / "a.npz", x=head))


@pytest.mark.parametrize("contents", [b"", b"PK", b"no archive at all" * 10])
def test_what_is_no_archive_is_an_error(contents: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    path.write_bytes(contents)
    with pytest.raises(zipfile.BadZipFile):
        check_archive(path)


def test_an_entry_that_is_no_array_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="magic"):
        check_archive(archive(tmp_path / "a.npz", x=b"hello, this is no array"))
