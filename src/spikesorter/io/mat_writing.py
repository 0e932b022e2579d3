"""Write spikes, recordings and the study's submission as MATLAB files; replace only files written here."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.io

from spikesorter.core.errors import InputError
from spikesorter.core.spikes import UNKNOWN, Spikes, check_spikes
from spikesorter.io.atomic import atomic_file
from spikesorter.io.bounds import known_rate
from spikesorter.io.mat_variables import BAD, BAD_KIND, DOUBTS, PROBABILITIES

__all__ = [
    "check_replaceable",
    "check_replaceable_recording",
    "mat_bytes",
    "refuse_foreign",
    "write_mat",
    "write_mat_recording",
    "write_submission",
]

HEADER = b"MATLAB 5.0 MAT-file, written by spikesorter: "
SPIKES, RECORDING = b"spikes", b"recording"
HEADER_TEXT_BYTES = 116


def write_mat(
    path: str | Path,
    spikes: Spikes,
    *,
    probability: bool = True,
    unknown: bool = False,
    fs_hz: float | None = None,
) -> None:
    """Write spikes to a `.mat` file, in the form of the published study with further variables.

    The variables are columns of equal length: `Index` (int64), `Class` (uint8, or int64 from 256 units on),
    `Probability` and `ClassProbability` (float32). `fs` is added if the sampling rate is known, and the cell
    array `Names` if units have names other than their numbers. If there are bad stretches, `Bad` (int64, two
    columns) has the first sample of each and the sample after its last one, and `BadKind` (uint8) its
    position in `KINDS`. The cell array `Doubts` says why the spikes may be wrong, where that is known. The
    same spikes give the same bytes, as the header contains no time.

    Parameters
    ----------
    path : str or Path
        Replaced if it exists; written atomically.
    spikes : Spikes
    probability : bool
        Whether to write the probabilities.
    unknown : bool
        Whether to write outlier spikes, as `Class` 0.
    fs_hz : float, optional
        Sampling rate, if the spikes have none.

    Raises
    ------
    InputError
        If the file cannot be written, or the spikes have another sampling rate.

    Examples
    --------
    >>> import tempfile
    >>> from spikesorter.io.mat import read_mat_spikes
    >>> spikes = Spikes.from_arrays([120, 300], [2, 1], fs_hz=30_000.0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_mat(Path(folder) / "D2.mat", spikes)
    ...     again = read_mat_spikes(Path(folder) / "D2.mat")
    >>> again == spikes, again.fs_hz
    (True, 30000.0)
    """
    check_spikes(spikes, "spikes")
    rate = known_rate(Path(path), spikes, fs_hz)
    written = spikes if unknown else spikes.select(spikes.unit != UNKNOWN)
    variables = _columns(written, probability=probability) | _rate(rate) | _cells(spikes) | _bad(spikes)
    variables |= _doubts(spikes)
    with atomic_file(Path(path)) as temporary:
        temporary.write_bytes(mat_bytes(SPIKES, variables))


def write_mat_recording(
    path: str | Path, trace: npt.NDArray[Any], *, fs_hz: float, labels: Spikes | None = None
) -> None:
    """Write a recording as `d` and `fs`, with `Index`, `Class`, `Names` and `Bad` if it is labelled.

    Parameters
    ----------
    path : str or Path
        Replaced if it exists; written atomically.
    trace : ndarray, shape (samples, channels)
    fs_hz : float
    labels : Spikes, optional

    Raises
    ------
    InputError
        If the file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> from spikesorter.io.mat import read_mat_fs, read_mat_spikes
    >>> trace = np.float32([0.1, 4.0, 0.2, 0.1])[:, None]
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "D1.mat"
    ...     write_mat_recording(path, trace, fs_hz=25_000.0, labels=Spikes([1], [2]))
    ...     read_mat_fs(path), read_mat_spikes(path).unit
    (25000.0, array([2]))
    """
    variables: dict[str, Any] = {"d": trace, "fs": fs_hz}
    if labels is not None:
        variables |= _columns(labels, probability=False) | _cells(labels) | _bad(labels)
    with atomic_file(Path(path)) as temporary:
        temporary.write_bytes(mat_bytes(RECORDING, variables))


def write_submission(path: str | Path, sortings: dict[str, Spikes]) -> None:
    """Write the study's submission: a ZIP with one `.mat` file of `Index` and `Class` for each target.

    Parameters
    ----------
    path : str or Path
    sortings : dict of str to Spikes
        By the target's name, such as ``"D2"``.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_submission(Path(folder) / "submission.zip", {"D2": Spikes([120, 300], [2, 1])})
    ...     zipfile.ZipFile(Path(folder) / "submission.zip").namelist()
    ['D2.mat']
    """
    with (
        atomic_file(Path(path)) as temporary,
        zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive,
    ):
        for name, spikes in sortings.items():
            entry = zipfile.ZipInfo(f"{name}.mat", date_time=(1980, 1, 1, 0, 0, 0))
            entry.external_attr = 0o644 << 16
            known = spikes.select(spikes.unit != UNKNOWN)
            contents = mat_bytes(SPIKES, _columns(known, probability=False))
            archive.writestr(entry, contents, zipfile.ZIP_DEFLATED)


def check_replaceable(path: Path) -> None:
    """Refuse to overwrite a file that `write_mat` did not write, such as a user's recording.

    Raises
    ------
    InputError
    """
    refuse_foreign(path, SPIKES)


def check_replaceable_recording(path: Path) -> None:
    """Refuse to overwrite a file that `write_mat_recording` did not write.

    Raises
    ------
    InputError
    """
    refuse_foreign(path, RECORDING)


def refuse_foreign(path: Path, kind: bytes) -> None:
    """Refuse to overwrite anything but a file of this kind that was written here.

    Raises
    ------
    InputError
    """
    if not path.exists():
        return
    header = HEADER + kind
    if path.is_file():
        with path.open("rb") as file:
            if file.read(len(header)) == header:
                return
    raise InputError(f"{path}: exists and was not written by spikesorter; choose another folder")


def _columns(spikes: Spikes, *, probability: bool) -> dict[str, npt.NDArray[Any]]:
    class_type = np.uint8 if len(spikes) == 0 or spikes.unit.max() < 256 else np.int64
    columns: dict[str, npt.NDArray[Any]] = {
        "Index": spikes.sample[:, None],
        "Class": spikes.unit.astype(class_type)[:, None],
    }
    if probability:
        columns |= {name: getattr(spikes, field)[:, None] for name, field in PROBABILITIES.items()}
    return columns


def _cells(spikes: Spikes) -> dict[str, npt.NDArray[Any]]:
    """Return the names of units as a cell array, whose k-th entry is the name of unit k."""
    if not spikes.named_otherwise:
        return {}
    names = [spikes.names.get(unit, "") for unit in range(1, max(spikes.names) + 1)]
    return {"Names": np.array(names, object)[:, None]}


def _bad(spikes: Spikes) -> dict[str, npt.NDArray[Any]]:
    bad = spikes.bad
    if not len(bad):
        return {}
    return {BAD: np.stack([bad.start, bad.stop], axis=1), BAD_KIND: bad.kind.astype(np.uint8)[:, None]}


def _doubts(spikes: Spikes) -> dict[str, npt.NDArray[Any]]:
    return {DOUBTS: np.array(spikes.doubts, object)[:, None]} if spikes.doubts else {}


def _rate(fs_hz: float | None) -> dict[str, Any]:
    return {} if fs_hz is None else {"fs": fs_hz}


def mat_bytes(kind: bytes, variables: dict[str, Any]) -> bytes:
    """Return the bytes of a `.mat` file whose header names its kind, and no time."""
    buffer = io.BytesIO()
    scipy.io.savemat(buffer, variables, do_compression=True)
    return (HEADER + kind).ljust(HEADER_TEXT_BYTES) + buffer.getvalue()[HEADER_TEXT_BYTES:]
