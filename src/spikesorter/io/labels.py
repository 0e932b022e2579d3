"""Read labels of any format: spikes sorted by a person or another tool."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np

from spikesorter.core.errors import InputError, naming
from spikesorter.core.spikes import UNKNOWN, Spikes
from spikesorter.io.bad_table import read_bad_table
from spikesorter.io.bounds import check_rate
from spikesorter.io.formats import check_regular, has_sorting, reading
from spikesorter.io.label_checks import LabelTimes, check_label_times
from spikesorter.io.label_source import LabelSource
from spikesorter.io.label_tables import read_parquet, read_text_table
from spikesorter.io.mat import read_mat_spikes
from spikesorter.io.mat_variables import NO_NAMES
from spikesorter.io.nwb import read_nwb_units
from spikesorter.io.phy import read_phy
from spikesorter.io.recording import OpenedRecording
from spikesorter.io.saved_sortings import read_sorting

__all__ = ["LABEL_ENDINGS", "own_labels", "read_labels", "without_units"]

HOLD_BAD = (".mat", ".nwb")
"""Formats that hold bad stretches themselves."""
LABEL_ENDINGS = (".mat", ".csv", ".tsv", ".parquet", ".nwb", ".npz")
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
    "-1",
)
"""Units in tables and in files of other programs that are not read unless asked for."""
logger = logging.getLogger(__name__)
PHY_TIMES = "spike_times.npy"


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
        `unsorted`, `unassigned`, `artifact`, `-1` and the like.
    variables : mapping of str to str, optional
        `.mat`: names of variables, as for `read_mat`.

    Returns
    -------
    Spikes
        With sampling rate, if it is known. If all names are whole numbers above 0, they become the unit ids;
        otherwise units are numbered from 1 and keep their names. Spikes that are left out are logged. Bad
        stretches are those in the file (`.mat`, NWB, SpikeInterface), else those in `NAME.bad.csv` beside it.

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
    given = LabelSource(path, fs_hz, times, start_s, None if leave_out is None else tuple(leave_out))
    phy = next((place for place in (path, path / "sorter_output") if (place / PHY_TIMES).is_file()), None)
    if phy is not None:  # the subfolder is that of Kilosort, run by SpikeInterface
        spikes = read_phy(phy, given)
    elif ending == ".mat":
        spikes = read_mat_spikes(path, fs_hz=fs_hz, variables=variables, times=times, start_s=start_s)
    elif ending in (".csv", ".tsv"):
        spikes = read_text_table(given)
    elif ending == ".parquet":
        spikes = read_parquet(given)
    elif times is not None:
        raise InputError(
            f"{path}: states what its times are; --labels-in is for .mat files, tables and folders of Phy"
        )
    elif ".nwb" in path.suffixes[-2:]:
        spikes = read_nwb_units(path, fs_hz=fs_hz, stream=stream, start_s=start_s)
    elif has_sorting(path) or ending == ".npz":  # nothing else, as SpikeInterface would open old pickles
        with naming(path), reading(path, "a sorting of SpikeInterface"):
            spikes = read_sorting(path)
    else:
        raise InputError(
            f"{path}: labels must be files ending in {', '.join(LABEL_ENDINGS)}, or folders of Phy or "
            "SpikeInterface"
        )
    spikes = without_units(path, spikes, given.leave_out)
    rate = fs_hz if spikes.fs_hz is None else spikes.fs_hz
    if ending not in HOLD_BAD and not len(spikes.bad):
        spikes = replace(spikes, bad=read_bad_table(path, fs_hz=rate))
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
