"""Read and write MATLAB files: v5 to v7.2 with SciPy, v7.3 with h5py.

A recording file has the variables `d` (the trace), `fs` (sampling rate in Hz; optional) and, if it is
labelled, `Index` (sample of each spike's start, from 0) and `Class` (its unit, from 1).
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import numpy.typing as npt
import scipy.io

from spikesorter.core.errors import InputError
from spikesorter.core.spikes import UNKNOWN, Spikes, check_spikes
from spikesorter.io.atomic import atomic_file
from spikesorter.io.bounds import check_rate, known_rate
from spikesorter.io.label_checks import LabelTimes, check_whole, to_samples
from spikesorter.io.mat5 import list_mat5, read_mat5
from spikesorter.io.mat73 import list_mat73, read_mat73

if TYPE_CHECKING:
    from spikeinterface import BaseRecording

__all__ = [
    "RateNeededError",
    "check_replaceable",
    "check_replaceable_recording",
    "read_mat",
    "read_mat_fs",
    "read_mat_spikes",
    "write_mat",
    "write_mat_recording",
    "write_submission",
]

PROBABILITIES = {"Probability": "probability", "ClassProbability": "unit_probability"}
SPIKE_VARIABLES = ("fs", "Index", "Class", "Names", *PROBABILITIES)
RECORDING_VARIABLES = ("d", *SPIKE_VARIABLES)
HEADER = b"MATLAB 5.0 MAT-file, written by spikesorter: "
SPIKES, RECORDING = b"spikes", b"recording"
HEADER_TEXT_BYTES = 116
NUMERIC_KINDS = "iuf"
MOST_CHANNELS = 4096
MOST_LISTED = 24
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


class RateNeededError(InputError):
    """Labels are times, and their sampling rate is not known."""


def read_mat(
    path: str | Path,
    *,
    fs_hz: float | None = None,
    variables: Mapping[str, str] = NO_NAMES,
    times: LabelTimes | None = None,
) -> tuple[BaseRecording, Spikes | None]:
    """Read a recording and its labels, if it has any.

    Parameters
    ----------
    path : str or Path
    fs_hz : float, optional
        Sampling rate of a file that does not state it; 25,000 if not given.
    variables : mapping of str to str, optional
        Names of the file's variables if they are others: of `trace`, `fs`, `index` and `class`.
    times : {"samples", "seconds", "session"}, optional
        What `Index` holds: samples if not given.

    Returns
    -------
    recording : spikeinterface.BaseRecording
        One segment, in memory, in the file's own data type.
    labels : Spikes or None
        None if the file has neither `Index` nor `Class`.

    Raises
    ------
    InputError
        If the file cannot be read or its contents are invalid.

    Examples
    --------
    >>> import tempfile
    >>> import scipy.io
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "D1.mat"
    ...     scipy.io.savemat(path, {"d": [0.1, 4.0, 0.2, 0.1], "fs": 30_000, "Index": [1], "Class": [2]})
    ...     recording, labels = read_mat(path)
    >>> recording.get_traces().shape, recording.get_sampling_frequency()
    ((4, 1), 30000.0)
    >>> labels
    Spikes(1 spike of 1 unit; 2: 1; 30000 Hz)
    """
    path = Path(path)
    found = _read_variables(path, RECORDING_VARIABLES, variables)
    trace = _trace(path, found)
    sampling_rate = _sampling_rate(path, found.get("fs"), fs_hz)
    if times is not None and "Index" in found:
        found["Index"] = to_samples(found["Index"], times, sampling_rate, start_s=0.0)
    spikes = _spikes(path, found, n_samples=len(trace))

    from spikeinterface.core import NumpyRecording

    return NumpyRecording([trace], sampling_rate), spikes


def read_mat_spikes(
    path: str | Path,
    *,
    fs_hz: float | None = None,
    variables: Mapping[str, str] = NO_NAMES,
    times: LabelTimes | None = None,
    start_s: float = 0.0,
) -> Spikes:
    """Read the spikes in a file: predictions, known spikes, or the labels of a recording.

    Parameters
    ----------
    path : str or Path
    fs_hz : float, optional
        Sampling rate of the recording, if the file holds times and does not state it.
    variables : mapping of str to str, optional
        As for `read_mat`.
    times : {"samples", "seconds", "session"}, optional
        What `Index` holds: samples if not given. A variable `cluster_class` of wave_clus, which holds the
        unit and milliseconds, is read if there is no `Index`; its class 0 is not sorted.
    start_s : float
        Start of the recording in the session, seconds.

    Returns
    -------
    Spikes
        With sampling rate, names and probabilities, if the file has them.

    Raises
    ------
    InputError
        If the file cannot be read, or has no valid `Index` and `Class`.
    """
    path = Path(path)
    found = _read_variables(path, (*SPIKE_VARIABLES, WAVE_CLUS), variables)
    if WAVE_CLUS in found and "Index" not in found:
        rate = _sampling_rate(path, found["fs"], None) if "fs" in found else fs_hz
        found |= _wave_clus(path, found.pop(WAVE_CLUS), rate)
    elif times is not None and "Index" in found:
        rate = _sampling_rate(path, found.get("fs"), fs_hz)
        found["Index"] = to_samples(found["Index"], times, rate, start_s)
    spikes = _spikes(path, found, n_samples=None)
    if spikes is None:
        raise InputError(
            f"{path}: has no variables Index and Class; {_there(path)}"
            "with --variable index=NAME --variable class=NAME"
        )
    return spikes


def read_mat_fs(path: str | Path, *, default_hz: float | None = None) -> float:
    """Return the sampling rate in a file or, if it has none, the default or 25,000.

    Raises
    ------
    InputError
        If the file cannot be read or the rate is invalid.
    """
    path = Path(path)
    return _sampling_rate(path, _read_variables(path, ("fs",)).get("fs"), default_hz)


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
    array `Names` if units have names other than their numbers. The same spikes give the same bytes, as the
    header contains no time.

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
    variables = _columns(written, probability=probability) | _rate(rate) | _cells(spikes)
    with atomic_file(Path(path)) as temporary:
        temporary.write_bytes(_mat_bytes(SPIKES, variables))


def check_replaceable(path: Path) -> None:
    """Refuse to overwrite a file that `write_mat` did not write, such as a user's recording.

    Raises
    ------
    InputError
    """
    _refuse_foreign(path, HEADER + SPIKES)


def check_replaceable_recording(path: Path) -> None:
    """Refuse to overwrite a file that `write_mat_recording` did not write.

    Raises
    ------
    InputError
    """
    _refuse_foreign(path, HEADER + RECORDING)


def _refuse_foreign(path: Path, header: bytes) -> None:
    if not path.exists():
        return
    if path.is_file():
        with path.open("rb") as file:
            if file.read(len(header)) == header:
                return
    raise InputError(f"{path}: exists and was not written by spikesorter; choose another folder")


def write_mat_recording(
    path: str | Path, trace: npt.NDArray[Any], *, fs_hz: float, labels: Spikes | None = None
) -> None:
    """Write a recording as `d` and `fs`, with `Index`, `Class` and `Names` if it is labelled.

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
    >>> trace = np.float32([0.1, 4.0, 0.2, 0.1])[:, None]
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "D1.mat"
    ...     write_mat_recording(path, trace, fs_hz=25_000.0, labels=Spikes([1], [2]))
    ...     read_mat_fs(path), read_mat_spikes(path).unit
    (25000.0, array([2]))
    """
    variables: dict[str, Any] = {"d": trace, "fs": fs_hz}
    if labels is not None:
        variables |= _columns(labels, probability=False) | _cells(labels)
    with atomic_file(Path(path)) as temporary:
        temporary.write_bytes(_mat_bytes(RECORDING, variables))


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
            contents = _mat_bytes(SPIKES, _columns(known, probability=False))
            archive.writestr(entry, contents, zipfile.ZIP_DEFLATED)


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


def _rate(fs_hz: float | None) -> dict[str, Any]:
    return {} if fs_hz is None else {"fs": fs_hz}


def _mat_bytes(kind: bytes, variables: dict[str, Any]) -> bytes:
    buffer = io.BytesIO()
    scipy.io.savemat(buffer, variables, do_compression=True)
    return (HEADER + kind).ljust(HEADER_TEXT_BYTES) + buffer.getvalue()[HEADER_TEXT_BYTES:]


def _there(path: Path) -> str:
    """Return the variables of a file in words; the caller adds how to choose."""
    shown = [_described(one) for one in _listed(path)[:MOST_LISTED]]
    return f"there are {', '.join(shown) or 'none'}; say which to use " if shown else "say which to use "


def _described(variable: tuple[str, tuple[int, ...], str]) -> str:
    name, shape, kind = variable
    size = int(np.prod(shape, dtype=object))
    if kind == "numbers" and size == 1:
        return f"{name} (1 number)"
    if kind == "numbers" and size == max(shape, default=0):
        return f"{name} ({size} numbers)"
    return f"{name} ({' x '.join(map(str, shape))} {kind})" if kind == "numbers" else f"{name} ({kind})"


def _proposal(path: Path) -> str:
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


def _wave_clus(path: Path, values: npt.NDArray[Any], fs_hz: float | None) -> dict[str, npt.NDArray[Any]]:
    """Return `Index` and `Class` for a table of units and milliseconds, as wave_clus writes it."""
    if values.dtype.kind not in NUMERIC_KINDS or values.ndim != 2 or values.shape[1] < 2:
        raise InputError(
            f"{path}: cluster_class must hold two columns, unit and milliseconds, but has shape "
            f"{values.shape}"
        )
    if fs_hz is None:
        raise RateNeededError(
            f"{path}: holds times in milliseconds; give the recording's sampling rate: fs_hz (--fs)"
        )
    return {"Index": to_samples(values[:, 1] / 1000, "seconds", fs_hz, 0.0), "Class": values[:, 0]}


def _read_variables(
    path: Path, names: tuple[str, ...], variables: Mapping[str, str] = NO_NAMES
) -> dict[str, npt.NDArray[Any]]:
    """Read variables by their own names, or by those that a file has for them."""
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
        raise InputError(f"{path}: has no variable {missing[0]}; {_there(path)}with --variable")
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


def _trace(path: Path, variables: dict[str, npt.NDArray[Any]]) -> npt.NDArray[Any]:
    """Check `d` and return it with shape (samples, channels); its longer side is time."""
    if "d" not in variables:
        raise InputError(f"{path}: has no variable d (the trace); {_there(path)}with {_proposal(path)}")
    d = variables["d"]
    if d.dtype.kind not in NUMERIC_KINDS:
        raise InputError(f"{path}: d must hold real numbers, not {d.dtype}")
    if d.ndim > 2:
        raise InputError(f"{path}: d must be a row, a column or a table of channels, but has shape {d.shape}")
    trace = np.atleast_2d(d)
    trace = trace.T if trace.shape[0] < trace.shape[1] else trace
    if trace.size == 0:
        raise InputError(f"{path}: d is empty")
    if trace.shape[1] > MOST_CHANNELS:
        raise InputError(f"{path}: d has shape {d.shape}: at most {MOST_CHANNELS} channels are supported")
    if trace.dtype.kind == "f" and not np.isfinite(trace).all():
        bad = int(np.count_nonzero(~np.isfinite(trace)))
        raise InputError(f"{path}: d has {bad} samples that are NaN or infinite; remove or replace them")
    if np.any(trace.max(axis=0) == trace.min(axis=0)):
        raise InputError(f"{path}: d is constant: nothing was recorded")
    return np.ascontiguousarray(trace)


def _sampling_rate(path: Path, stored: npt.NDArray[Any] | None, fs_hz: float | None) -> float:
    value = 25_000.0 if fs_hz is None else fs_hz
    if stored is not None:
        if stored.size != 1 or stored.dtype.kind not in NUMERIC_KINDS:
            raise InputError(
                f"{path}: fs must be one real number (Hz), not {stored.dtype} of shape {stored.shape}"
            )
        value = float(stored.ravel()[0])
    return check_rate(path, value)


def _spikes(path: Path, variables: dict[str, npt.NDArray[Any]], *, n_samples: int | None) -> Spikes | None:
    if "Index" not in variables and "Class" not in variables:
        return None
    for name in ("Index", "Class"):
        if name not in variables:
            raise InputError(f"{path}: has {'Class' if name == 'Index' else 'Index'} but no {name}")
    check_whole(path, "Index", np.ravel(variables["Index"]))
    index = _whole_numbers(path, "Index", variables["Index"])
    unit = _whole_numbers(path, "Class", variables["Class"])
    if len(index) != len(unit):
        raise InputError(f"{path}: Index has {len(index)} entries, but Class has {len(unit)}")
    if len(index) and index.min() < 0:
        raise InputError(f"{path}: Index must be 0 or more, found {index.min()}")
    if n_samples is not None and len(index) and index.max() >= n_samples:
        raise InputError(f"{path}: Index goes up to {index.max()}, but d has only {n_samples} samples")
    if len(unit) and unit.min() < UNKNOWN:
        raise InputError(f"{path}: Class must be {UNKNOWN} or more, found {unit.min()}")
    probability, unit_probability = (
        _probabilities(path, name, variables[name], len(index)) if name in variables else None
        for name in PROBABILITIES
    )
    rate = variables.get("fs")
    fs_hz = None if rate is None else _sampling_rate(path, rate, None)
    return Spikes.from_arrays(
        index, unit, probability, unit_probability, fs_hz=fs_hz, names=_names(path, variables.get("Names"))
    )


def _names(path: Path, cells: npt.NDArray[Any] | None) -> dict[int, str]:
    if cells is None or cells.dtype != object:
        return {}
    names = ["".join(np.asarray(cell).ravel().astype(str).tolist()) for cell in cells.ravel()]
    return {unit: name for unit, name in enumerate(names, start=1) if name}


def _probabilities(path: Path, name: str, values: npt.NDArray[Any], n: int) -> npt.NDArray[Any]:
    numbers = values.size == n and values.dtype.kind in NUMERIC_KINDS
    if not numbers or not np.all((values >= 0) & (values <= 1)):
        raise InputError(f"{path}: {name} must hold {n} numbers from 0 to 1")
    return values.ravel()


def _whole_numbers(path: Path, name: str, values: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    if values.dtype.kind not in NUMERIC_KINDS:
        raise InputError(f"{path}: {name} must hold whole numbers, not {values.dtype}")
    if values.ndim > 2 or (values.ndim == 2 and values.size and min(values.shape) != 1):
        raise InputError(f"{path}: {name} must be a row or a column, but has shape {values.shape}")
    flat = values.ravel()
    if flat.dtype.kind == "f" and not (np.isfinite(flat).all() and np.all(flat == np.round(flat))):
        raise InputError(f"{path}: {name} must hold whole numbers; some are fractional, NaN or infinite")
    if len(flat) and np.abs(flat.astype(float)).max() >= 2.0**53:
        raise InputError(f"{path}: {name} holds numbers beyond any recording's length")
    return flat.astype(np.int64)
