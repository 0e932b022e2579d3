"""Read labels from folders of Phy, without executing or unpickling anything."""

from __future__ import annotations

import ast
import csv
import logging
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from spikesorter.core.errors import InputError
from spikesorter.core.spikes import Spikes
from spikesorter.io.bounds import NUMERIC_KINDS, shown_bytes
from spikesorter.io.formats import reading
from spikesorter.io.label_checks import check_whole
from spikesorter.io.label_source import (
    MOST_SAMPLES,
    PROBABILITY_NAMES,
    LabelSource,
    short_texts,
    spikes_of_units,
)

__all__ = ["read_phy"]

LEFT_OUT = ("noise",)
"""Groups of clusters in Phy that are not read unless asked for."""
MOST_PARAMS_BYTES = 1 << 18
logger = logging.getLogger(__name__)


def read_phy(path: Path, given: LabelSource) -> Spikes:
    """Read a folder of Phy (SpikeInterface's reader would execute its params.py, and needs pandas).

    Parameters
    ----------
    path : Path
        Folder of Phy.
    given : LabelSource
        How it is read; its path may be a folder above.

    Raises
    ------
    InputError
        If a file is missing, cannot be read, or does not fit the others.
    """
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
    units = short_texts(path, "cluster names", [ids.get(int(k), str(k)) for k in clusters[chosen]])
    kept_probabilities = {name: values[chosen] for name, values in probabilities.items()}
    return spikes_of_units(path, times[chosen], units, kept_probabilities, rate)


def _mapped(path: Path) -> npt.NDArray[Any]:
    """Open an .npy file of numbers by memory mapping, which refuses files shorter than they declare."""
    with np.errstate(over="raise"):
        values = np.load(path, mmap_mode="r", allow_pickle=False)
    if values.dtype.kind not in NUMERIC_KINDS:
        raise InputError(f"{path}: must hold numbers, not {values.dtype}")
    return np.asarray(values)


def _samples_array(path: Path, given: LabelSource) -> npt.NDArray[np.int64]:
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
    if params.stat().st_size > MOST_PARAMS_BYTES:  # parsing takes thousands of times as much memory
        raise InputError(
            f"{params}: has {shown_bytes(params.stat().st_size)}; Phy writes less than 1 kB there"
        )
    for node in ast.parse(params.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "sample_rate":
            return float(ast.literal_eval(node.value))
    return None
