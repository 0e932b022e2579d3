"""Limits on sizes declared in files, checked before memory is allocated."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from spikesorter.core.errors import InputError
from spikesorter.core.spike import HIGHEST_HZ, LOWEST_HZ, same_rate, shown_hz
from spikesorter.core.spikes import Spikes

__all__ = [
    "MOST_CHANNELS",
    "MOST_EXPANSION",
    "NUMERIC_KINDS",
    "TEXT_CELLS",
    "became_shorter",
    "check_archive",
    "check_declared",
    "check_rate",
    "free_memory",
    "known_rate",
    "shown_bytes",
]

MOST_CHANNELS = 4096
NUMERIC_KINDS = "iuf"
"""Kinds of NumPy's types of real numbers."""
TEXT_CELLS = ("Names", "Doubts")
"""Variables of MATLAB files that are cell arrays of texts."""
MOST_EXPANSION = 100
"""A file compressed more than this is not a recording, as noise does not compress."""
SMALL_BYTES = 64 << 20  # below this size, high compression is harmless
NPY_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def became_shorter(path: Path) -> InputError:
    """Return the error of a file that has become shorter since it was opened."""
    return InputError(f"{path}: became shorter while it was read; read it again when it is complete")


def check_declared(path: Path, what: str, *, declared: int, stored: int) -> None:
    """Refuse an array that declares far more data than is stored, or more than fits into memory.

    Parameters
    ----------
    path : Path
    what : str
        The array's name, for the message.
    declared, stored : int
        Size in memory and in the file, bytes.

    Raises
    ------
    InputError

    Examples
    --------
    >>> check_declared(Path("D1.mat"), "d", declared=4 << 30, stored=4 << 20)
    Traceback (most recent call last):
    spikesorter.InputError: D1.mat: d claims 4.3 GB, but 4.2 MB are stored for it; no recording \
compresses more than 100-fold, so the file is damaged or malicious
    """
    if declared > max(SMALL_BYTES, MOST_EXPANSION * stored):
        raise InputError(
            f"{path}: {what} claims {shown_bytes(declared)}, but {shown_bytes(stored)} are stored for it; no "
            f"recording compresses more than {MOST_EXPANSION}-fold, so the file is damaged or malicious"
        )
    free = free_memory()
    if declared > free:
        raise InputError(
            f"{path}: {what} needs {shown_bytes(declared)} of memory, but only {shown_bytes(free)} are free; "
            "split the recording, or save it as raw binary, which is read span by span"
        )


def check_rate(path: Path, fs_hz: float) -> float:
    """Return a sampling rate (Hz); refuse one that is out of range.

    Raises
    ------
    InputError

    Examples
    --------
    >>> check_rate(Path("D5.mat"), 30_000.0)
    30000.0
    >>> check_rate(Path("D5.mat"), 25.0)  # kHz by mistake
    Traceback (most recent call last):
    spikesorter.InputError: D5.mat: fs is 25 Hz; expected 100 Hz to 10 MHz
    """
    if not LOWEST_HZ <= fs_hz <= HIGHEST_HZ:  # also refuses NaN
        raise InputError(f"{path}: fs is {fs_hz:g} Hz; expected 100 Hz to 10 MHz")
    return fs_hz


def known_rate(path: Path, spikes: Spikes, fs_hz: float | None) -> float | None:
    """Return the sampling rate (Hz) of spikes to be written, or None if it is not known.

    Parameters
    ----------
    path : Path
        The file, for the message.
    spikes : Spikes
    fs_hz : float or None
        Rate given by the caller.

    Raises
    ------
    InputError
        If the two rates differ, or a rate is out of range.

    Examples
    --------
    >>> spikes = Spikes([120, 300], [2, 1], fs_hz=30_000.0)
    >>> known_rate(Path("spikes.csv"), spikes, None)
    30000.0
    """
    if fs_hz is None or spikes.fs_hz is None:
        return spikes.fs_hz if fs_hz is None else check_rate(path, fs_hz)
    if not same_rate(fs_hz, spikes.fs_hz):
        raise InputError(
            f"{path}: fs_hz is {shown_hz(fs_hz)}, but the spikes are at {shown_hz(spikes.fs_hz)}"
        )
    return spikes.fs_hz


def check_archive(path: Path) -> None:
    """Refuse an .npz file whose arrays declare more than is stored, or whose headers contradict their size.

    Raises
    ------
    InputError
    zipfile.BadZipFile, ValueError
        If it is damaged otherwise.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "arrays.npz"
    ...     np.savez(path, weights=np.arange(1000.0))
    ...     check_archive(path)  # holds what it claims
    """
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            check_declared(path, entry.filename, declared=entry.file_size, stored=entry.compress_size)
            with archive.open(entry) as file:
                version = np.lib.format.read_magic(file)
                if version not in NPY_HEADERS:
                    raise InputError(
                        f"{path}: {entry.filename} is of .npy version {version}; expected 1 or 2"
                    )
                shape, _, dtype = NPY_HEADERS[version](file)
                declared = int(np.prod([int(side) for side in shape], dtype=object)) * dtype.itemsize
                held = entry.file_size - file.tell()
            if dtype.kind != "O" and declared != held:
                raise InputError(
                    f"{path}: {entry.filename} claims {shown_bytes(declared)}, but holds {shown_bytes(held)}"
                )


def free_memory() -> int:
    """Return the number of bytes that can be allocated without swapping."""
    import psutil

    return int(psutil.virtual_memory().available)


def shown_bytes(count: int) -> str:
    """Return a number of bytes as readable text.

    Examples
    --------
    >>> shown_bytes(999), shown_bytes(11_520_248)
    ('999 bytes', '11.5 MB')
    """
    for power, unit in ((12, "TB"), (9, "GB"), (6, "MB"), (3, "kB")):
        if count >= 10**power:
            return f"{count / 10**power:.1f} {unit}"
    return f"{count} bytes"
