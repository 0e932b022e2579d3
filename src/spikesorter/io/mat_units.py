"""Write spikes to a MATLAB file as an array of structs, one for each unit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from spikesorter.io.atomic import atomic_file
from spikesorter.io.mat_writing import mat_bytes, refuse_foreign

__all__ = ["UnitStruct", "check_replaceable_units", "write_units_mat"]

UNITS = b"units"
FIELDS = ("id", "name", "samples", "times_s", "probability", "template", "template_start")


@dataclass(frozen=True, eq=False)
class UnitStruct:
    """One unit, as it is written.

    Parameters
    ----------
    unit : int
    name : str
    sample : ndarray of int64, shape (spikes,)
        Start of each spike, from 0.
    probability : ndarray of float32, shape (spikes,)
        That a spike of this unit is there.
    template : ndarray of float32, shape (samples, channels)
        Its expected waveform in the recording's unit of voltage, not filtered.
    before : int
        Samples of the template before the spike's start.
    """

    unit: int
    name: str
    sample: npt.NDArray[np.int64]
    probability: npt.NDArray[np.float32]
    template: npt.NDArray[np.float32]
    before: int


def check_replaceable_units(path: Path) -> None:
    """Refuse to overwrite a file that `write_units_mat` did not write.

    Raises
    ------
    InputError
    """
    refuse_foreign(path, UNITS)


def write_units_mat(path: Path, units: Sequence[UnitStruct], *, fs_hz: float) -> None:
    """Write the struct array `units` and the sampling rate `fs`; the same units give the same bytes.

    Its fields are `id`, `name`, `samples` (from 0, as `Index`), `times_s` (`samples` / `fs`), `probability`
    (columns, a row for each spike), `template` (samples by channels), and `template_start`: the row of the
    template, from 1, that is at the spike's start.

    Parameters
    ----------
    path : Path
        Replaced if it exists and was written here; written atomically.
    units : sequence of UnitStruct
    fs_hz : float

    Raises
    ------
    InputError
        If something else is there, or the file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> import scipy.io
    >>> waveform = np.ones((4, 1), np.float32)
    >>> unit = UnitStruct(3, "tall", np.array([50, 100]), np.float32([1, 0.5]), waveform, before=1)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_units_mat(Path(folder) / "D2-units.mat", [unit], fs_hz=25_000.0)
    ...     read = scipy.io.loadmat(Path(folder) / "D2-units.mat", simplify_cells=True)["units"]
    >>> read["name"], read["times_s"].tolist(), read["template_start"]
    ('tall', [0.002, 0.004], 2)
    """
    check_replaceable_units(path)
    structs = np.zeros((1, len(units)), [(field, object) for field in FIELDS])
    for k, one in enumerate(units):
        structs[0, k] = (
            one.unit,
            one.name,
            one.sample[:, None],
            one.sample[:, None] / fs_hz,
            one.probability[:, None],
            one.template,
            one.before + 1,
        )
    variables: dict[str, Any] = {"units": structs, "fs": fs_hz}
    with atomic_file(path) as temporary:
        temporary.write_bytes(mat_bytes(UNITS, variables))
