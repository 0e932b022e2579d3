"""Read labels from tables: CSV, TSV and Parquet."""

from __future__ import annotations

import codecs
import csv
import itertools
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from spikesorter.core.errors import InputError
from spikesorter.core.spikes import Spikes
from spikesorter.io.bounds import MOST_EXPANSION, check_rate, shown_bytes
from spikesorter.io.columns import text_of_table
from spikesorter.io.formats import reading
from spikesorter.io.label_checks import check_whole
from spikesorter.io.label_source import (
    MOST_LETTERS,
    MOST_SAMPLES,
    PROBABILITY_NAMES,
    Column,
    LabelSource,
    short_texts,
    spikes_of_units,
)

__all__ = ["PARQUET_MARK", "TIME_NAMES", "csv_columns", "read_parquet", "read_text_table"]

SAMPLE_NAMES = ("sample", "sample_index", "index", "frame")
TIME_NAMES = ("time_s", "time", "times", "spike_time", "seconds", "t")
UNIT_NAMES = ("unit", "unit_id", "class", "label", "cluster", "cluster_id", "neuron")
COLUMN_NAMES = {*SAMPLE_NAMES, *TIME_NAMES, *UNIT_NAMES, *itertools.chain(*PROBABILITY_NAMES.values())}
SMALL_ROWS = 1_000_000  # of a table with equal rows, which compresses to almost nothing
PARQUET_MARK = b"spikesorter"  # key of the metadata that `write_spikes` adds
DECIMAL_COMMA = re.compile(r"\s*[+-]?\d*,\d+(?:[eE][+-]?\d+)?\s*")


def read_text_table(given: LabelSource) -> Spikes:
    r"""Read a table of text, separated as its ending says or, if its header says otherwise, as that does.

    Raises
    ------
    InputError
        If it cannot be read, has no columns of samples or times and of units, or its values are invalid.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "labels.tsv"
    ...     _ = path.write_text("sample\tunit\n120\tbasket\n")
    ...     read_text_table(LabelSource(path, fs_hz=25_000.0))
    Spikes(1 spike of 1 unit; basket: 1; 25000 Hz)
    """
    delimiter = "\t" if given.path.suffix.lower() == ".tsv" else ","
    return _from_table(csv_columns(given.path, delimiter), given)


def read_parquet(given: LabelSource) -> Spikes:
    """Read a table of Parquet, and the sampling rate if `write_spikes` wrote it.

    Raises
    ------
    InputError
        As for `read_text_table`.
    """
    columns = _parquet_columns(given.path)
    return _from_table(columns, replace(given, fs_hz=_parquet_rate(given.path) or given.fs_hz))


def csv_columns(path: Path, delimiter: str) -> dict[str, Column]:
    """Read the columns of a table as text, by the names in its header.

    Parameters
    ----------
    path : Path
    delimiter : str
        Used if the header does not show another.

    Raises
    ------
    InputError
    """
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
    return {name: short_texts(path, name, column) for name, column in zip(header, columns, strict=True)}


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
        read = {name: short_texts(path, name, values) for name, values in columns.items()}
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
        known = short_texts(path, name, [str(value) for value in chunk.dictionary.to_pylist()]).tolist()
        texts += ["None" if place is None else known[place] for place in chunk.indices.to_pylist()]
    return texts


def _from_table(columns: Mapping[str, Column], given: LabelSource) -> Spikes:
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
    return spikes_of_units(path, counted.astype(np.int64), np.char.strip(units), probabilities, fs_hz)


def _find(columns: Mapping[str, Column], names: Sequence[str]) -> Column | None:
    return next((columns[name] for name in names if name in columns), None)


def _numbers(path: Path, name: str, column: Column) -> npt.NDArray[np.float64]:
    try:
        values = column.astype(np.float64)
    except ValueError:
        raise InputError(f"{path}: {name}: {_first_odd(column)!r} is no number") from None
    if not np.isfinite(values).all():
        raise InputError(f"{path}: {name} holds NaN, infinite or missing values")
    return values


def _first_odd(column: Column) -> str:
    """Return the first text of a column that is no number."""
    for text in map(str, column):
        try:
            float(text)
        except ValueError:
            return text
    return ""


def _stated_rate(samples: npt.NDArray[np.float64], seconds: npt.NDArray[np.float64] | None) -> float | None:
    """Return the rate that relates samples to seconds; None if there are too few, or they are rounded."""
    if seconds is None or np.count_nonzero(later := seconds > 0) < 2:
        return None
    rate = float(np.round(np.median(samples[later] / seconds[later]), 6))
    return rate if np.allclose(samples, seconds * rate, rtol=1e-9, atol=1e-6) else None
