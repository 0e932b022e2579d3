"""Write spikes for NeuroExplorer and Offline Sorter: `.nex5` and `.nex`, by NeuroExplorer's own library."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np

from spikesorter.core.errors import InputError
from spikesorter.core.spikes import UNKNOWN, Spikes
from spikesorter.core.versions import __version__
from spikesorter.io.atomic import atomic_file
from spikesorter.io.bounds import known_rate
from spikesorter.io.formats import missing_package, reading

__all__ = ["NEX_FORMATS", "check_neuroexplorer", "write_neuroexplorer"]

NEX_FORMATS = ("nex5", "nex")
BAD = "bad stretches"
MARK = b"spikesorter "
HEADER_BYTES = 280  # of both formats: number of the format, its version, and a comment of 256 letters
MOST_NAME_BYTES = 63  # of 64, with the zero at the end


def check_neuroexplorer(path: Path) -> None:
    """Refuse to write if the library is missing, or over a file of another program.

    Raises
    ------
    InputError
    """
    if find_spec("nex5file") is None:
        raise InputError(missing_package(path.suffix, ModuleNotFoundError(name="nex5file")))
    if path.exists() and not _is_own(path):
        raise InputError(f"{path}: exists and was not written by spikesorter; choose another folder")


def write_neuroexplorer(path: Path, spikes: Spikes, *, fs_hz: float | None = None) -> None:
    """Write a neuron for each unit, with the start of its spikes, and the bad stretches as an interval.

    Probabilities are not stored, and outlier spikes are left out.

    Parameters
    ----------
    path : Path
        Ending in `.nex5` or `.nex`; replaced if it was written here; written atomically.
    spikes : Spikes
    fs_hz : float, optional
        Sampling rate, if the spikes have none. Times are whole samples in the file.

    Raises
    ------
    InputError
        If nex5file is not installed, something else is there, the sampling rate is not known, there are no
        spikes (NeuroExplorer opens no such file), or the format cannot hold them: `.nex` ends at 2^31
        samples.

    Examples
    --------
    >>> import tempfile
    >>> spikes = Spikes([120, 300], [2, 1], fs_hz=25_000.0, names={1: "basket"})
    >>> with tempfile.TemporaryDirectory() as folder:  # doctest: +SKIP
    ...     write_neuroexplorer(Path(folder) / "D2.nex5", spikes)
    """
    check_neuroexplorer(path)
    from nex5file.filedata import FileData
    from nex5file.writer import Writer

    rate = known_rate(path, spikes, fs_hz)
    if rate is None:
        raise InputError(f"{path}: the sampling rate of the spikes is not known; give fs_hz")
    known = spikes.select(spikes.unit != UNKNOWN)
    if not len(known):
        raise InputError(f"{path}: there are no spikes, and NeuroExplorer opens no file without any")
    data = FileData(rate, (MARK.decode() + __version__)[:255])
    for unit in known.unit_ids:
        data.AddNeuron(_short(known.name_of(unit)), known.of(unit).sample / rate, unit=unit)
    if len(spikes.bad):
        data.AddIntervalAsPairsStartEnd(BAD, np.column_stack([spikes.bad.start, spikes.bad.stop]) / rate)
    with atomic_file(path) as temporary, reading(path, path.suffix, done="written"):
        named = temporary.with_name(temporary.name + path.suffix)  # the library goes by the ending
        try:
            Writer().WriteNexFile(data, str(named))
            named.replace(temporary)
        finally:
            named.unlink(missing_ok=True)


def _short(name: str) -> str:
    """Return a name that fits into the file, cut between letters."""
    return name.encode()[:MOST_NAME_BYTES].decode(errors="ignore")


def _is_own(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return MARK in file.read(HEADER_BYTES)
