"""Read labels of any format: spikes sorted by a person or another tool."""

from __future__ import annotations

import ast
import codecs
import csv
import itertools
import json
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import numpy.typing as npt

from spikesorter.core.errors import InputError, naming
from spikesorter.core.spikes import PROBABILITIES, UNKNOWN, Spikes
from spikesorter.io.bounds import MOST_EXPANSION, check_archive, check_rate, shown_bytes
from spikesorter.io.columns import stored_names, text_of_table
from spikesorter.io.foreign_objects import load_foreign
from spikesorter.io.formats import check_regular, has_sorting, reading
from spikesorter.io.label_checks import (
    LabelTimes,
    RateNeededError,
    check_label_times,
    check_whole,
    to_samples,
)
from spikesorter.io.mat import read_mat_spikes
from spikesorter.io.mat_variables import NO_NAMES
from spikesorter.io.nwb import read_nwb_units
from spikesorter.io.recording import OpenedRecording

if TYPE_CHECKING:
    from spikeinterface.core import SortingAnalyzer

__all__ = ["LABEL_ENDINGS", "UNKNOWN_UNIT", "own_labels", "read_labels", "without_units"]

LABEL_ENDINGS = (".mat", ".csv", ".tsv", ".parquet", ".nwb", ".npz")
UNKNOWN_UNIT = "unknown"
"""Unit of outlier spikes in tables."""
SAMPLE_NAMES = ("sample", "sample_index", "index", "frame")
TIME_NAMES = ("time_s", "time", "times", "spike_time", "seconds", "t")
UNIT_NAMES = ("unit", "unit_id", "class", "label", "cluster", "cluster_id", "neuron")
PROBABILITY_NAMES = {name: stored_names(name) for name in PROBABILITIES}
COLUMN_NAMES = {*SAMPLE_NAMES, *TIME_NAMES, *UNIT_NAMES, *itertools.chain(*PROBABILITY_NAMES.values())}
MOST_LETTERS = 1000  # of a number or a unit's name
MOST_SAMPLES = 2.0**53
SMALL_ROWS = 1_000_000  # of a table with equal rows, which compresses to almost nothing
PARQUET_MARK = b"spikesorter"  # key of the metadata that `write_spikes` adds
LEFT_OUT = ("noise",)
"""Groups of clusters in Phy that are not read unless asked for."""
NO_UNITS = (
    "noise",
    "unsorted",
    "unassigned",
    "unclassified",
    "unclustered",
    "artifact",
    "artefact",
    "junk",
    "garbage",
)
"""Units in tables and in files of other programs that are not read unless asked for."""

DECIMAL_COMMA = re.compile(r"\s*[+-]?\d*,\d+(?:[eE][+-]?\d+)?\s*")

logger = logging.getLogger(__name__)
Column = npt.NDArray[Any]


def read_labels(
    path: str | Path,
    *,
    fs_hz: float | None = None,
    stream: str | None = None,
    times: LabelTimes | None = None,
    start_s: float = 0.0,
    leave_out: Sequence[str] | None = None,
    variables: Mapping[str, str] = NO_NAMES,
) -> Spikes:
    r"""Read labels, or spikes found by any tool.

    Parameters
    ----------
    path : str or Path
        `.mat` (`Index`, `Class`); `.csv`, `.tsv` or `.parquet` with columns `sample` or `time_s`, and `unit`;
        `.nwb` (its units table); a folder of Phy; a folder, `.zarr` or `.npz` of a SpikeInterface sorting, or
        a folder of its sorters or of a `SortingAnalyzer`.
    fs_hz : float, optional
        Sampling rate of the recording, if the labels do not state it.
    stream : str, optional
        NWB: path of the ElectricalSeries in which the units were found, if there are several.
    times : {"samples", "seconds", "session"}, optional
        `.mat`, tables and Phy: what the times are, if the file does not say it or is wrong: samples from the
        recording's start, seconds from it, or seconds from the start of the session.
    start_s : float
        Start of the recording in the session, seconds; for ``times="session"`` and for NWB files without the
        recording, whose times are those of the session.
    leave_out : sequence of str, optional
        Groups of Phy or names of units that are not read. If not given: `noise` in Phy; elsewhere also
        `unsorted`, `unassigned`, `artifact` and the like.
    variables : mapping of str to str, optional
        `.mat`: names of variables, as for `read_mat`.

    Returns
    -------
    Spikes
        With sampling rate, if it is known. If all names are whole numbers above 0, they become the unit ids;
        otherwise units are numbered from 1 and keep their names. Spikes that are left out are logged.

    Raises
    ------
    InputError
        If the labels cannot be read or are invalid.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "labels.csv"
    ...     _ = path.write_text("time_s,unit\n0.01,basket\n0.025,granule\n")
    ...     labels = read_labels(path, fs_hz=30_000.0)
    >>> labels.sample, labels.names
    (array([300, 750]), {1: 'basket', 2: 'granule'})
    """
    path, times = Path(path), check_label_times(times)
    check_regular(path)
    ending = path.suffix.lower()
    given = _Reading(path, fs_hz, times, start_s, None if leave_out is None else tuple(leave_out))
    if (path / "spike_times.npy").is_file():
        spikes = _read_phy(path, given)
    elif (path / "sorter_output" / "spike_times.npy").is_file():  # Kilosort, run by SpikeInterface
        spikes = _read_phy(path / "sorter_output", given)
    elif ending == ".mat":
        spikes = read_mat_spikes(path, fs_hz=fs_hz, variables=variables, times=times, start_s=start_s)
    elif ending in (".csv", ".tsv"):
        spikes = _from_table(_csv_columns(path, "\t" if ending == ".tsv" else ","), given)
    elif ending == ".parquet":
        spikes = _from_table(_parquet_columns(path), replace(given, fs_hz=_parquet_rate(path) or fs_hz))
    elif times is not None:
        raise InputError(
            f"{path}: states what its times are; --labels-in is for .mat files, tables and folders of Phy"
        )
    elif ".nwb" in path.suffixes[-2:]:
        spikes = read_nwb_units(path, fs_hz=fs_hz, stream=stream, start_s=start_s)
    elif has_sorting(path) or ending == ".npz":  # nothing else, as SpikeInterface would open old pickles
        with naming(path), reading(path, "a sorting of SpikeInterface"):
            spikes = _read_sorting(path)
    else:
        raise InputError(
            f"{path}: labels must be files ending in {', '.join(LABEL_ENDINGS)}, or folders of Phy or "
            "SpikeInterface"
        )
    spikes = without_units(path, spikes, given.leave_out)
    rate = fs_hz if spikes.fs_hz is None else spikes.fs_hz
    if rate is None:
        return spikes
    return spikes.described(fs_hz=check_rate(path, rate), names=spikes.names)


def own_labels(opened: OpenedRecording) -> Spikes | None:
    """Return the labels in a recording's own file (`.mat` and NWB), or None if there are none.

    Raises
    ------
    InputError
        If they cannot be read or are invalid.
    """
    path = opened.path
    if path.suffix.lower() != ".nwb" or not path.is_file():
        return opened.labels
    with reading(path, "NWB"), h5py.File(path, "r") as file:
        labelled = "units" in file
    rate = float(opened.recording.get_sampling_frequency())
    return read_labels(path, fs_hz=rate, stream=opened.options.stream) if labelled else None


@dataclass(frozen=True)
class _Reading:
    """A file of labels, and how it is read."""

    path: Path
    fs_hz: float | None
    times: LabelTimes | None
    start_s: float
    leave_out: tuple[str, ...] | None

    def to_samples(self, values: npt.NDArray[Any], times: LabelTimes) -> npt.NDArray[Any]:
        """Return times as samples; `times` says what they are if the user did not."""
        times = self.times or times
        if times == "samples":
            return values
        if self.fs_hz is None:
            raise RateNeededError(
                f"{self.path}: holds times in seconds; give the recording's sampling rate: fs_hz (--fs)"
            )
        return to_samples(values, times, check_rate(self.path, self.fs_hz), self.start_s)


def without_units(path: Path, spikes: Spikes, leave_out: Sequence[str] | None) -> Spikes:
    """Leave out spikes of units that are none, such as noise, and log it.

    Parameters
    ----------
    path : Path
        For the message.
    spikes : Spikes
    leave_out : sequence of str or None
        Names; the usual ones if None.
    """
    unwanted = NO_UNITS if leave_out is None else leave_out
    known = {*spikes.unit_ids, *spikes.names} - {UNKNOWN}
    units = sorted(unit for unit in known if spikes.name_of(unit).strip().lower() in unwanted)
    if not units:
        return spikes
    for unit in units:
        count = int(np.count_nonzero(spikes.unit == unit))
        logger.warning("%s: %d spikes of %r are left out", path, count, spikes.name_of(unit))
    names = {unit: name for unit, name in spikes.names.items() if unit not in units}
    return replace(spikes.select(~np.isin(spikes.unit, units)), names=names)


def _read_phy(path: Path, given: _Reading) -> Spikes:
    """Read a folder of Phy (SpikeInterface's reader would execute its params.py, and needs pandas)."""
    with reading(path, "a folder of Phy"):
        times = _samples_array(path / "spike_times.npy", given)
        curated = path / "spike_clusters.npy"
        clusters = _whole_array(curated if curated.is_file() else path / "spike_templates.npy")
        groups, names = _phy_column(path, "group"), _phy_column(path, "unit_name")
        ids = names or _phy_column(path, "si_unit_id")
        rate = _phy_rate(path) or given.fs_hz
        probabilities = {
            name: _mapped(found).ravel()
            for name, stored in PROBABILITY_NAMES.items()
            for found in (path / f"spike_{one}.npy" for one in reversed(stored))
            if found.is_file()
        }
    if len(times) != len(clusters):
        raise InputError(
            f"{path}: spike_times has {len(times)} entries, but spike_clusters has {len(clusters)}"
        )
    unwanted = LEFT_OUT if given.leave_out is None else given.leave_out
    kept = [int(k) for k in np.unique(clusters) if groups.get(int(k), "unsorted").lower() not in unwanted]
    for cluster in sorted({*np.unique(clusters).tolist()} - {*kept}):
        count, group = int(np.count_nonzero(clusters == cluster)), groups.get(cluster, "unsorted")
        logger.warning("%s: %d spikes of cluster %d (%s) are left out", path, count, cluster, group)
    chosen = np.isin(clusters, kept)
    units = _texts(path, "cluster names", [ids.get(int(k), str(k)) for k in clusters[chosen]])
    kept_probabilities = {name: values[chosen] for name, values in probabilities.items()}
    return _numbered(path, times[chosen], units, kept_probabilities, rate)


def _mapped(path: Path) -> npt.NDArray[Any]:
    """Open an .npy file of numbers by memory mapping, which refuses files shorter than they declare."""
    with np.errstate(over="raise"):
        values = np.load(path, mmap_mode="r", allow_pickle=False)
    if values.dtype.kind not in "iuf":
        raise InputError(f"{path}: must hold numbers, not {values.dtype}")
    return np.asarray(values)


def _samples_array(path: Path, given: _Reading) -> npt.NDArray[np.int64]:
    values = given.to_samples(_mapped(path).ravel(), "samples")
    check_whole(path, "spike_times", values)
    return _checked_whole(path, values)


def _whole_array(path: Path) -> npt.NDArray[np.int64]:
    return _checked_whole(path, _mapped(path).ravel())


def _checked_whole(path: Path, values: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    if len(values) and not (np.isfinite(values).all() and np.abs(values.astype(float)).max() < MOST_SAMPLES):
        raise InputError(f"{path}: holds NaN, or numbers beyond any recording's length")
    return values.astype(np.int64)


def _phy_column(path: Path, column: str) -> dict[int, str]:
    """Return a property of the clusters; cluster_info, which Phy writes last, takes precedence."""
    found = [table for pattern in ("*.tsv", "cluster_*.csv") for table in path.glob(pattern)]
    tables = sorted(
        found, key=lambda table: (table.stem == "cluster_info", table.suffix == ".tsv", table.name)
    )
    values: dict[int, str] = {}
    for table in tables:
        with table.open(newline="", encoding="utf-8-sig") as file:
            head = file.readline()
            file.seek(0)
            for row in csv.DictReader(file, delimiter=max("\t,;", key=head.count)):
                cluster = row.get("cluster_id") or row.get("id")
                if cluster and row.get(column):
                    values[int(float(cluster))] = row[column]
    return values


def _phy_rate(path: Path) -> float | None:
    """Return the sampling rate in params.py, without executing it."""
    params = path / "params.py"
    if not params.is_file():
        return None
    for node in ast.parse(params.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "sample_rate":
            return float(ast.literal_eval(node.value))
    return None


def _csv_columns(path: Path, delimiter: str) -> dict[str, Column]:
    with reading(path, "a table"), path.open(newline="", encoding=_encoding(path)) as file:
        head = file.readline(MOST_LETTERS)
        file.seek(0)
        if delimiter not in head:
            delimiter = max((delimiter, ";", "\t", ","), key=head.count)
        rows = csv.reader(file, delimiter=delimiter, strict=True)
        header = [name.strip().lower() for name in next(rows, [])]
        cells = [row for row in rows if row]
    for number, row in enumerate(cells, start=2):
        if len(row) != len(header):
            hint = (
                "; are its decimal marks commas? Then separate its columns by ;" if delimiter == "," else ""
            )
            raise InputError(f"{path}: row {number} has {len(row)} cells, but the header {len(header)}{hint}")
    columns = list(zip(*cells, strict=True)) if cells else [()] * len(header)
    columns = [
        tuple(map(text_of_table, column))
        if name in UNIT_NAMES
        else tuple(map(_with_point, column))
        if delimiter != ","
        else column
        for name, column in zip(header, columns, strict=True)
    ]
    return {name: _texts(path, name, column) for name, column in zip(header, columns, strict=True)}


def _encoding(path: Path) -> str:
    """Return the encoding of a table, which its first bytes show: UTF-8 or, from Excel, UTF-16."""
    with path.open("rb") as file:
        start = file.read(4)
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    return "utf-8-sig"


def _with_point(number: str) -> str:
    """Return a number with a decimal point, if it has a decimal comma."""
    return number.replace(",", ".") if DECIMAL_COMMA.fullmatch(number) else number


def _texts(path: Path, name: str, values: Sequence[str]) -> Column:
    """Return texts as an array; refuse long ones, as each entry takes as much memory as the longest."""
    longest = max(map(len, values), default=0)
    if longest > MOST_LETTERS:
        raise InputError(
            f"{path}: {name}: an entry is {longest} letters long; expected at most {MOST_LETTERS}"
        )
    return np.array(values, str)


def _parquet_columns(path: Path) -> dict[str, Column]:
    with reading(path, "a Parquet table"):
        import pyarrow.parquet

        with pyarrow.parquet.ParquetFile(path) as file:
            there = file.schema_arrow.names
            rows = file.metadata.num_rows
        if rows > max(SMALL_ROWS, MOST_EXPANSION * path.stat().st_size):
            raise InputError(f"{path}: claims {rows} rows in {shown_bytes(path.stat().st_size)}")
        names = [name for name in there if name.lower() in COLUMN_NAMES]
        table = pyarrow.parquet.read_table(path, columns=names, read_dictionary=names)
        columns = {name.lower(): _arrow_texts(path, name, table.column(name)) for name in names}
        read = {name: _texts(path, name, values) for name, values in columns.items()}
    return {name.lower(): np.array([], str) for name in there} | read


def _parquet_rate(path: Path) -> float | None:
    """Return the sampling rate in the metadata that `write_spikes` adds to a table."""
    with reading(path, "a Parquet table"):
        import pyarrow.parquet

        written = (pyarrow.parquet.read_schema(path).metadata or {}).get(PARQUET_MARK)
        rate = json.loads(written).get("fs_hz") if written else None
        return None if rate is None else check_rate(path, float(rate))


def _arrow_texts(path: Path, name: str, column: Any) -> list[str]:
    """Return a column of Parquet as texts; repeated values are decoded once."""
    import pyarrow

    if not pyarrow.types.is_dictionary(column.type):
        return [str(value) for value in column.to_pylist()]
    texts: list[str] = []
    for chunk in column.chunks:
        known = _texts(path, name, [str(value) for value in chunk.dictionary.to_pylist()]).tolist()
        texts += ["None" if place is None else known[place] for place in chunk.indices.to_pylist()]
    return texts


def _from_table(columns: Mapping[str, Column], given: _Reading) -> Spikes:
    path, fs_hz = given.path, given.fs_hz
    samples, times = _find(columns, SAMPLE_NAMES), _find(columns, TIME_NAMES)
    units = _find(columns, UNIT_NAMES)
    if units is None or (samples is None and times is None):
        raise InputError(
            f"{path}: expected a header with `sample` or `time_s`, and `unit`; found "
            f"{', '.join(columns) or 'none'}"
        )
    seconds = None if times is None else _numbers(path, "time", times)
    if samples is not None:
        stated = _numbers(path, "sample", samples)
        counted = given.to_samples(stated, "samples")
        check_whole(path, "sample", counted)
        fs_hz = (_stated_rate(counted, seconds) if stated is counted else None) or fs_hz
    else:
        counted = given.to_samples(np.asarray(seconds), "seconds")
        check_whole(path, "time", counted)
    probabilities = {
        name: _numbers(path, name, column)
        for name, stored in PROBABILITY_NAMES.items()
        if (column := _find(columns, stored)) is not None
    }
    if len(counted) and np.abs(counted).max() >= MOST_SAMPLES:
        raise InputError(f"{path}: holds samples beyond any recording's length")
    return _numbered(path, counted.astype(np.int64), np.char.strip(units), probabilities, fs_hz)


def _find(columns: Mapping[str, Column], names: Sequence[str]) -> Column | None:
    return next((columns[name] for name in names if name in columns), None)


def _numbers(path: Path, name: str, column: Column) -> npt.NDArray[np.float64]:
    try:
        values = column.astype(np.float64)
    except ValueError as error:
        raise InputError(f"{path}: {name}: {error}") from None
    if not np.isfinite(values).all():
        raise InputError(f"{path}: {name} holds NaN, infinite or missing values")
    return values


def _stated_rate(samples: npt.NDArray[np.float64], seconds: npt.NDArray[np.float64] | None) -> float | None:
    """Return the rate that relates samples to seconds; None if there are too few, or they are rounded."""
    if seconds is None or np.count_nonzero(later := seconds > 0) < 2:
        return None
    rate = float(np.round(np.median(samples[later] / seconds[later]), 6))
    return rate if np.allclose(samples, seconds * rate, rtol=1e-9, atol=1e-6) else None


def _numbered(
    path: Path,
    samples: npt.NDArray[np.int64],
    units: Column,
    probabilities: Mapping[str, npt.NDArray[np.float64]],
    fs_hz: float | None,
) -> Spikes:
    """Make spikes of units with numbers or names, numbered as in `Spikes.from_spikeinterface`."""
    names, which = np.unique(units, return_inverse=True)
    plain = [_whole(name) for name in names.tolist()]
    known = [name for name in plain if name != UNKNOWN_UNIT]
    if all(name.isdecimal() and UNKNOWN < int(name) < MOST_SAMPLES for name in known):
        number_of = {name: int(name) for name in known}
        named: dict[int, str] = {}
    else:
        ordered = sorted(
            set(known), key=lambda name: (not name.isdecimal(), int(name) if name.isdecimal() else 0, name)
        )
        number_of = {name: number for number, name in enumerate(ordered, start=1)}
        named = {number: name for name, number in number_of.items()}
    unit_ids = np.array([number_of.get(name, UNKNOWN) for name in plain], np.int64)
    with naming(path):
        return Spikes.from_arrays(
            samples,
            unit_ids[which] if len(units) else [],
            probabilities.get("probability"),
            probabilities.get("unit_probability"),
            fs_hz=fs_hz,
            names=named,
        )


def _whole(name: str) -> str:
    """Return 3 for 3.0, as spreadsheets export whole numbers."""
    head, _, tail = name.partition(".")
    return head if head.isdecimal() and tail and not tail.strip("0") else name


def _read_sorting(path: Path) -> Spikes:
    from spikeinterface.core import BaseSorting, NpzSortingExtractor, SortingAnalyzer

    from spikesorter.io.probabilities import ComputeSpikeProbabilities  # registers the extension

    if path.suffix.lower() == ".npz":
        check_archive(path)
    found = NpzSortingExtractor(path) if path.suffix.lower() == ".npz" else load_foreign(path)
    if isinstance(found, SortingAnalyzer):
        spikes = Spikes.from_spikeinterface(found.sorting)
        known = found.has_extension(ComputeSpikeProbabilities.extension_name)
        return _with_probabilities(spikes, found) if known else spikes
    if not isinstance(found, BaseSorting):
        raise InputError(f"{path}: holds a {type(found).__name__} of SpikeInterface, not a sorting")
    return Spikes.from_spikeinterface(found)


def _with_probabilities(spikes: Spikes, analyzer: SortingAnalyzer) -> Spikes:
    """Add the probabilities, which are stored in the order of the analyzer's spikes."""
    from spikesorter.io.probabilities import ComputeSpikeProbabilities

    number_of = {name: unit for unit, name in spikes.names.items()}
    unit_ids = np.array([number_of[str(unit)] for unit in analyzer.unit_ids], np.int64)
    vector = analyzer.sorting.to_spike_vector()
    stored = analyzer.get_extension(ComputeSpikeProbabilities.extension_name)
    values = {name: stored.get_data(return_data_name=name) for name in PROBABILITIES}
    return Spikes.from_arrays(
        vector["sample_index"],
        unit_ids[vector["unit_index"]],
        **values,
        fs_hz=spikes.fs_hz,
        names=spikes.names,
    )
