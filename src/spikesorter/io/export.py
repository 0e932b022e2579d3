"""Write spikes in the formats of the field: tables, NWB, Phy and SpikeInterface."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spikesorter.core.errors import InputError, naming
from spikesorter.core.spikes import UNKNOWN, Spikes, check_spikes
from spikesorter.core.versions import __version__
from spikesorter.io.analyzer import MARK, UNDER_CURATION, write_analyzer, write_phy
from spikesorter.io.atomic import atomic_file, atomic_folder
from spikesorter.io.bad_table import ENDING, is_bad_table, write_bad_table
from spikesorter.io.bounds import known_rate
from spikesorter.io.columns import table_text
from spikesorter.io.formats import EXPORTS, missing_package, reading
from spikesorter.io.label_source import UNKNOWN_UNIT
from spikesorter.io.label_tables import PARQUET_MARK
from spikesorter.io.mat_writing import check_replaceable, write_mat
from spikesorter.io.nwb import is_own_nwb, write_nwb
from spikesorter.io.recording import check_recording
from spikesorter.io.session import SessionFacts, session_of

if TYPE_CHECKING:
    from spikeinterface import BaseRecording

__all__ = ["check_export", "check_export_place", "session_for", "write_spikes"]

NEED_RECORDING = ("phy", "analyzer")
FOLDERS = ("phy", "analyzer")
PACKAGES = {"parquet": ("pyarrow",), "nwb": ("pynwb",), "phy": ("pandas", "sklearn")}
COLUMNS = ("sample", "time_s", "unit", "probability", "unit_probability")
MOST_NAME_BYTES = 230  # of the 255 that file systems allow; endings and temporary names need the others
CSV_HEADER = ",".join(COLUMNS) + "\n"


@dataclass(frozen=True)
class _Result:
    """Spikes to write, with the further data that a format may store."""

    spikes: Spikes
    fs_hz: float | None
    recording: BaseRecording | None
    provenance: dict[str, str]
    session_start: datetime | None
    session: SessionFacts

    @property
    def rate(self) -> float:
        if self.fs_hz is None:
            raise InputError("the sampling rate of the spikes is not known; give fs_hz")
        return self.fs_hz


def write_spikes(
    path: str | Path,
    spikes: Spikes,
    *,
    format: str | None = None,  # noqa: A002 (the name that users expect)
    fs_hz: float | None = None,
    recording: BaseRecording | None = None,
    provenance: Mapping[str, str] | None = None,
    session_start: datetime | None = None,
    subject: str | Path | SessionFacts | None = None,
) -> None:
    """Write spikes in a common format, atomically, replacing at most an older result.

    Parameters
    ----------
    path : str or Path
        File or, for ``"phy"`` and ``"analyzer"``, folder.
    spikes : Spikes
        Outlier spikes are written as unit ``unknown`` (`.mat`: `Class` 0). NWB, Phy and the analyzer, which
        store units only, leave them out. If there are bad stretches, `NAME.bad.csv` beside the result lists
        them (`start_s`, `stop_s`, `kind`), and so do `Bad` of `.mat` and `invalid_times` of NWB.
    format : {"mat", "csv", "parquet", "nwb", "phy", "analyzer"}, optional
        By default the ending of the path.
    fs_hz : float, optional
        Sampling rate, if the spikes have none.
    recording : spikeinterface.BaseRecording, optional
        The recording in which the spikes were found, needed for Phy and the analyzer. With it, NWB files
        contain mean waveforms and the recording's own times.
    provenance : mapping of str to str, optional
        Further facts on the origin of the spikes (NWB, Phy, analyzer), in addition to program and version.
    session_start : datetime, optional
        NWB: start of the recording; 1970 if not known.
    subject : str or Path, optional
        NWB: TOML or YAML file that describes subject, session and electrodes, as archives such as DANDI
        require.

    Raises
    ------
    InputError
        If the path is anything but an older result, a package is missing, the sampling rates differ, or the
        format cannot store the spikes (Phy cannot open a sorting without spikes).

    Examples
    --------
    >>> import tempfile
    >>> spikes = Spikes.from_arrays([120, 300], [2, 1], [0.5, 1.0], fs_hz=25_000.0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_spikes(Path(folder) / "spikes.csv", spikes)
    ...     print((Path(folder) / "spikes.csv").read_text())
    sample,time_s,unit,probability,unit_probability
    120,0.0048,2,0.5,1.0
    300,0.012,1,1.0,1.0
    <BLANKLINE>
    """
    path = Path(path)
    name = format or path.suffix.removeprefix(".").lower()
    check_export(name, path)
    session = session_for(name, subject)
    with naming(path):
        check_spikes(spikes, "spikes")
        if recording is not None:
            check_recording(recording)
    if name in NEED_RECORDING and recording is None:
        raise InputError(f"{path}: {name} stores waveforms; give the recording: recording=...")
    check_export_place(path, name)
    facts = {"program": "spikesorter", "version": __version__, **(provenance or {})}
    rate = known_rate(path, spikes, fs_hz)
    if rate is None and recording is not None:
        rate = float(recording.get_sampling_frequency())
    write_bad_table(path, spikes.bad, fs_hz=rate)
    if name == "mat":
        write_mat(path, spikes, unknown=True, fs_hz=rate)
        return
    result = _Result(spikes, rate, recording, facts, session_start, session)
    with (atomic_folder if name in FOLDERS else atomic_file)(path) as temporary:
        with naming(path), reading(path, name, done="written"):
            _WRITERS[name](temporary, result)
        if name in FOLDERS:
            (temporary / MARK).write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")


def check_export(name: str, path: Path | None = None, *, besides: tuple[str, ...] = ()) -> None:
    """Refuse an unknown format, or one whose packages are not installed.

    Parameters
    ----------
    name : str
    path : Path, optional
        Named in the message.
    besides : tuple of str
        Formats that the caller writes itself.

    Raises
    ------
    InputError

    Examples
    --------
    >>> check_export("xlsx")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    spikesorter.InputError: unknown format 'xlsx'; spikes can be written as mat, csv, ...
    """
    if name not in (*EXPORTS, *besides):
        where, known = f"{path}: " if path else "", ", ".join((*EXPORTS, *besides))
        raise InputError(f"{where}unknown format {name!r}; spikes can be written as {known}")
    for package in PACKAGES.get(name, ()):
        if find_spec(package) is None:
            raise InputError(missing_package(name, ModuleNotFoundError(name=package)))


def session_for(name: str, subject: str | Path | SessionFacts | None) -> SessionFacts:
    """Return the facts of a file of subject and session, which only NWB stores.

    Raises
    ------
    InputError
        If the format cannot store them, or the file cannot be used.

    Examples
    --------
    >>> session_for("csv", "subject.toml")
    Traceback (most recent call last):
    spikesorter.InputError: subject and session are stored in NWB files only; write nwb, not csv
    """
    if subject is not None and name != "nwb":
        raise InputError(f"subject and session are stored in NWB files only; write nwb, not {name}")
    return session_of(subject)


def check_export_place(path: Path, name: str) -> None:
    """Refuse a name that is too long, and to overwrite anything but an older result of the same format.

    Raises
    ------
    InputError

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "spikes.csv"
    ...     write_spikes(path, Spikes([120, 300], [2, 1], fs_hz=25_000.0))
    ...     check_export_place(path, "csv")  # may be replaced, as it is an older result
    """
    if name == "csv" and is_bad_table(path):
        raise InputError(f"{path}: {ENDING} is the ending of tables of bad stretches; choose another name")
    if len(os.fsencode(path.stem)) > MOST_NAME_BYTES:
        raise InputError(
            f"{path}: its name is too long for a file: at most {MOST_NAME_BYTES} bytes; rename the "
            "recording, or give another name with name = ... in a manifest"
        )
    if not path.exists():
        return
    if name == "mat":
        check_replaceable(path)
    elif name in FOLDERS and (path / UNDER_CURATION).exists():
        raise InputError(f"{path}: has since been edited in Phy; move it away or choose another folder")
    elif not _WRITTEN_HERE[name](path):
        raise InputError(f"{path}: exists and was not written by spikesorter; choose another folder")


def _write_csv(path: Path, result: _Result) -> None:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    columns = _columns(result)
    columns["unit"] = np.array([table_text(name) for name in columns["unit"]], object)
    probabilities = [
        columns[name].astype(str).tolist() for name in COLUMNS[3:]
    ]  # with as few digits as float32 needs
    writer.writerows(zip(*(columns[name].tolist() for name in COLUMNS[:3]), *probabilities, strict=True))
    path.write_text(text.getvalue(), encoding="utf-8", newline="")


def _write_parquet(path: Path, result: _Result) -> None:
    import pyarrow
    import pyarrow.parquet

    columns = _columns(result)
    types = (pyarrow.int64(), pyarrow.float64(), pyarrow.string(), pyarrow.float32(), pyarrow.float32())
    arrays = [pyarrow.array(columns[name], type=kind) for name, kind in zip(COLUMNS, types, strict=True)]
    metadata = {PARQUET_MARK: json.dumps({"fs_hz": result.rate, "version": result.provenance["version"]})}
    table = pyarrow.table(dict(zip(COLUMNS, arrays, strict=True)), metadata=metadata)
    pyarrow.parquet.write_table(table, path)


def _columns(result: _Result) -> dict[str, Any]:
    spikes = result.spikes
    names = {unit: spikes.name_of(unit) for unit in spikes.unit_ids} | {UNKNOWN: UNKNOWN_UNIT}
    return {
        "sample": spikes.sample,
        "time_s": spikes.sample / result.rate,
        "unit": np.array([names[unit] for unit in spikes.unit.tolist()], object),
        "probability": spikes.probability,
        "unit_probability": spikes.unit_probability,
    }


def _write_nwb(path: Path, result: _Result) -> None:
    write_nwb(
        path,
        result.spikes,
        fs_hz=result.rate,
        recording=result.recording,
        provenance=result.provenance,
        session_start=result.session_start,
        session=result.session,
    )


def _write_phy(path: Path, result: _Result) -> None:
    write_phy(path, result.spikes, result.recording)


def _write_analyzer(path: Path, result: _Result) -> None:
    write_analyzer(path, result.spikes, result.recording)


def _is_own_csv(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(CSV_HEADER)) == CSV_HEADER.encode()


def _is_own_parquet(path: Path) -> bool:
    with reading(path, "a Parquet table"):
        import pyarrow.parquet

        return PARQUET_MARK in (pyarrow.parquet.read_schema(path).metadata or {})


def _is_own_folder(path: Path) -> bool:
    return (path / MARK).is_file()


_WRITERS: dict[str, Callable[[Path, _Result], None]] = {
    "csv": _write_csv,
    "parquet": _write_parquet,
    "nwb": _write_nwb,
    "phy": _write_phy,
    "analyzer": _write_analyzer,
}
_WRITTEN_HERE: dict[str, Callable[[Path], bool]] = {
    "csv": _is_own_csv,
    "parquet": _is_own_parquet,
    "nwb": is_own_nwb,
    "phy": _is_own_folder,
    "analyzer": _is_own_folder,
}
