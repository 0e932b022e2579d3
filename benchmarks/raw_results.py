"""How benchmarks keep what they measured: as JSON, and beside it the same as rows of a Parquet table.

The table has a row for each value: columns `key_1`, `key_2`, ... say where it is in the JSON (places in lists
are counted from 0), `value` is a number (yes and no are 1 and 0), `text` a word. The versions of all that
results depend on are in the table's metadata.

`python benchmarks/raw_results.py FOLDER` writes the tables of JSON files that were measured before, with the
versions that these state, if they do.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from spikesorter.core.versions import versions
from spikesorter.io.atomic import atomic_file

__all__ = ["rows_of", "write_results", "write_table"]

Row = tuple[tuple[str, ...], float | None, str | None]


def write_results(path: Path, results: Any) -> None:
    """Write results to a JSON file and to a Parquet file of the same name, each whole or not at all.

    Parameters
    ----------
    path : Path
        Ending in `.json`; its folder is made if there is none.
    results : object
        Mappings, sequences, words and numbers, of NumPy too.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(results, indent=1, default=_plain) + "\n"
    with atomic_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    write_table(path.with_suffix(".parquet"), json.loads(text), {"measured with": versions()})


def write_table(path: Path, results: Any, facts: dict[str, Any]) -> None:
    """Write results as rows of a Parquet table, and facts as JSON in its metadata."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = list(rows_of(results))
    depth = max((len(keys) for keys, _, _ in rows), default=0)
    columns: dict[str, Any] = {
        f"key_{k + 1}": pa.array([keys[k] if k < len(keys) else None for keys, _, _ in rows], pa.string())
        for k in range(depth)
    }
    columns["value"] = pa.array([value for _, value, _ in rows], pa.float64())
    columns["text"] = pa.array([text for _, _, text in rows], pa.string())
    table = pa.table(columns).replace_schema_metadata({key: json.dumps(fact) for key, fact in facts.items()})
    with atomic_file(path) as temporary:
        pq.write_table(table, temporary)


def rows_of(results: Any, keys: tuple[str, ...] = ()) -> Iterator[Row]:
    """Yield each value of nested results, with the keys that lead to it.

    Examples
    --------
    >>> list(rows_of({"D2": {"score": 0.5, "failed": False}, "seeds": [21]}))
    [(('D2', 'score'), 0.5, None), (('D2', 'failed'), 0.0, None), (('seeds', '0'), 21.0, None)]
    """
    inner = dict(enumerate(results)) if isinstance(results, list) else results
    if isinstance(inner, dict):
        for key, one in inner.items():
            yield from rows_of(one, (*keys, str(key)))
    elif isinstance(results, str) or results is None:
        yield keys, None, results
    else:
        yield keys, float(results), None


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else str(value)


def main() -> None:
    """Write a table beside each JSON file of a folder."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    for path in sorted(parser.parse_args().folder.glob("*.json")):
        results = json.loads(path.read_text(encoding="utf-8"))
        stated = results.get("versions") if isinstance(results, dict) else None
        write_table(path.with_suffix(".parquet"), results, {"measured with": stated})


if __name__ == "__main__":
    main()
