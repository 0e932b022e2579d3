"""Read and write units in Neurodata Without Borders (NWB) files."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import numpy.typing as npt

from spikesorter.core.bad_stretches import BadStretches
from spikesorter.core.errors import InputError
from spikesorter.core.spikes import PROBABILITIES, UNKNOWN, Spikes
from spikesorter.io.analyzer import make_analyzer
from spikesorter.io.bad_table import to_stretch
from spikesorter.io.clock import times_of
from spikesorter.io.columns import stored_names
from spikesorter.io.foreign_objects import check_zarr
from spikesorter.io.formats import reading
from spikesorter.io.nwb_electrodes import add_electrodes
from spikesorter.io.session import Electrodes, SessionFacts

if TYPE_CHECKING:
    from spikeinterface import BaseRecording, BaseSorting

__all__ = ["is_own_nwb", "read_nwb_units", "session_start_of", "write_nwb"]

IDENTIFIER = "spikesorter-"
SAMPLE = "sample"
NOT_KNOWN = datetime(1970, 1, 1, tzinfo=UTC)
COLUMNS = {
    "spike_times": "when each spike starts, in seconds",
    "spike_sample": "sample of the recording, from 0, at which each spike starts",
    "unit_name": "name of the unit in the labels",
    "mean_probability": "mean probability that a spike exists and belongs to this unit",
    "spike_probability": "probability that each spike exists, irrespective of its unit",
    "waveform_mean": "mean waveform about the start of the spikes",
    "waveform_sd": "standard deviation of the waveforms about the start of the spikes",
    "electrodes": "channels of the recording",
    "spike_unit_probability": "probability that each spike belongs to this unit, given that it exists",
    "start_time": "start of the bad stretch, in seconds",
    "stop_time": "end of the bad stretch, in seconds",
    "start_sample": "first sample of the bad stretch, from 0",
    "stop_sample": "the sample after its last one",
    "tags": "kind of the bad stretch",
}
INVALID = "intervals/invalid_times"
TIMES, SAMPLES = ("start_time", "stop_time"), ("start_sample", "stop_sample")


def write_nwb(
    path: Path,
    spikes: Spikes,
    *,
    fs_hz: float,
    recording: BaseRecording | None,
    provenance: Mapping[str, str],
    session_start: datetime | None,
    session: SessionFacts | None = None,
) -> None:
    """Write an NWB file with a table of units and one of bad stretches; outlier spikes are left out.

    Parameters
    ----------
    path : Path
    spikes : Spikes
    fs_hz : float
        Stored as the resolution of the units table.
    recording : spikeinterface.BaseRecording or None
        Source of times, electrodes and mean waveforms.
    provenance : mapping of str to str
        Stored as JSON in the notes.
    session_start : datetime or None
        1970 if neither this nor `session` states it.
    session : SessionFacts, optional
        Subject, session and electrodes.

    Raises
    ------
    InputError
        If `session` states another start.
    """
    from pynwb import NWBHDF5IO, NWBFile

    described = spikes.described(fs_hz=fs_hz, names=spikes.names)
    known = described.select(described.unit != UNKNOWN)
    told = session or SessionFacts()
    described_as = {"session_description": "spikes found and sorted by spikesorter", **told.fields()}
    file = NWBFile(
        identifier=IDENTIFIER + _digest(known, provenance),
        session_start_time=told.start(session_start) or NOT_KNOWN,
        notes=json.dumps(dict(provenance)),
        was_generated_by=[(provenance["program"], provenance["version"])],
        **described_as,
    )
    _add_units(file, known, recording, told.electrodes)
    if len(spikes.bad):
        _add_invalid_times(file, known, recording)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*does not end in '.nwb'")  # the temporary file's name
        with NWBHDF5IO(path, "w") as output:
            output.write(file)


def read_nwb_units(
    path: Path, *, fs_hz: float | None = None, stream: str | None = None, start_s: float = 0.0
) -> Spikes:
    """Read the units table, with times as samples of the recording in the same file, if there is one.

    Parameters
    ----------
    path : Path
    fs_hz : float, optional
        Sampling rate, if the file does not state it.
    stream : str, optional
        Path of the ElectricalSeries in which the units were found, if there are several.

    start_s : float
        Start of the recording in the session, seconds, from which samples are counted. Not used if the file
        has the recording.

    Returns
    -------
    Spikes
        With probabilities, if the file was written by `write_nwb`. Its bad stretches are `invalid_times`,
        whose kinds are the tags.

    Raises
    ------
    InputError
        If there are no units, or their times cannot be converted to samples.
    """
    with reading(path, "the units of an NWB file"):
        sorting = _units(path, fs_hz, stream, start_s)
        spikes = _with_columns(path, sorting, Spikes.from_spikeinterface(sorting))
        return replace(spikes, bad=_invalid_times(path, sorting))


def _units(path: Path, fs_hz: float | None, stream: str | None, start_s: float) -> BaseSorting:
    from spikeinterface.extractors.nwbextractors import NwbRecordingExtractor, NwbSortingExtractor

    if path.is_dir():
        check_zarr(path)
    else:
        with h5py.File(path, "r") as file:
            if "units" not in file:
                raise InputError(f"{path}: holds no units")
    series = NwbRecordingExtractor.fetch_available_electrical_series_paths(path)
    fitting = [name for name in series if stream is None or stream in (name, name.rpartition("/")[2])]
    if len(fitting) > 1 or (series and not fitting):
        raise InputError(
            f"{path}: the units may be of several recordings; choose one with stream=NAME (--stream NAME): "
            f"{'; '.join(series)}"
        )
    if fitting:
        return NwbSortingExtractor(path, electrical_series_path=fitting[0])
    try:
        return NwbSortingExtractor(path, t_start=start_s)
    except ValueError:  # the sampling rate is not known
        if fs_hz is None:
            raise InputError(
                f"{path}: holds times in seconds; give the recording's sampling rate: fs_hz (--fs)"
            ) from None
        return NwbSortingExtractor(path, sampling_frequency=fs_hz, t_start=start_s)


def _with_columns(path: Path, sorting: BaseSorting, spikes: Spikes) -> Spikes:
    """Add the values that `write_nwb` stores for each spike, unit by unit.

    They include samples, because times count from the start of the session, which may precede the recording.
    """
    if not path.is_file():
        return spikes
    with h5py.File(path, "r") as file:
        there = {
            name: [f"units/spike_{one}" for one in stored_names(name) if f"units/spike_{one}" in file]
            for name in (SAMPLE, *PROBABILITIES)
        }
        if not all(there.values()):
            return spikes
        values = {name: file[columns[0]][:] for name, columns in there.items()}
    number_of = {name: unit for unit, name in spikes.names.items()}
    trains = [sorting.get_unit_spike_train(unit) for unit in sorting.unit_ids]
    units = [np.full(len(t), number_of[str(u)]) for u, t in zip(sorting.unit_ids, trains, strict=True)]
    if not trains:
        return spikes
    samples = values.pop(SAMPLE)
    return Spikes.from_arrays(
        samples, np.concatenate(units), **values, fs_hz=spikes.fs_hz, names=spikes.names
    )


def _invalid_times(path: Path, sorting: BaseSorting) -> BadStretches:
    """Return `invalid_times` as samples, counted as the times of the units are."""
    if not path.is_file():
        return BadStretches()
    with h5py.File(path, "r") as file:
        table = file.get(INVALID)
        if not isinstance(table, h5py.Group):
            return BadStretches()
        names = [name for name in (*TIMES, *SAMPLES, "tags", "tags_index") if name in table]
        columns = {name: table[name][()] for name in names}
        tags = _first_tags(table) if {"tags", "tags_index"} <= columns.keys() else None
    if {*SAMPLES} <= columns.keys():
        start, stop = (columns[name].tolist() for name in SAMPLES)
    else:
        start, stop = (_as_samples(columns[name], sorting).tolist() for name in TIMES)
    if not np.isfinite([*start, *stop]).all():
        raise InputError(f"{path}: invalid_times holds times that are NaN or infinite")
    kinds = tags if tags is not None else [""] * len(start)
    stretches = [to_stretch(*one) for one in zip(start, stop, kinds, strict=True)]
    return BadStretches.of([one for one in stretches if one[1] > one[0]])


def _as_samples(times_s: npt.NDArray[np.float64], sorting: BaseSorting) -> npt.NDArray[np.float64]:
    """Return times of the session as samples, which may be fractional, of the recording of a sorting."""
    clock = getattr(sorting.segments[0], "_time_vector", None)  # of a recording with irregular samples
    if clock is not None:
        return np.interp(times_s, clock, np.arange(len(clock), dtype=np.float64))
    return np.asarray((times_s - (sorting.t_start or 0.0)) * sorting.get_sampling_frequency(), np.float64)


def _first_tags(table: h5py.Group) -> list[str]:
    """Return the first tag of each row, or "" if it has none."""
    tags, ends = table["tags"].asstr()[()].tolist(), table["tags_index"][()].tolist()
    begins = [0, *ends[:-1]]
    return [tags[a] if a < b else "" for a, b in zip(begins, ends, strict=True)]


def is_own_nwb(path: Path) -> bool:
    """Return whether a file was written by `write_nwb`."""
    if not h5py.is_hdf5(path):
        return False
    with reading(path, "NWB"), h5py.File(path, "r") as file:
        return "identifier" in file and file["identifier"].asstr()[()].startswith(IDENTIFIER)


def session_start_of(path: Path) -> datetime | None:
    """Return the start of an NWB file's session; None if it is not stated, or not an NWB file."""
    if path.suffix.lower() != ".nwb" or not path.is_file():
        return None
    with reading(path, "NWB"), h5py.File(path, "r") as file:
        return (
            datetime.fromisoformat(file["session_start_time"].asstr()[()])
            if "session_start_time" in file
            else None
        )


def _add_units(file: Any, spikes: Spikes, recording: BaseRecording | None, electrodes: Electrodes) -> None:
    """Add the units table column by column, as pynwb cannot infer the types of empty columns from rows."""
    from hdmf.common import DynamicTableRegion, ElementIdentifiers, VectorData, VectorIndex
    from pynwb.misc import Units

    unit_ids = sorted({*spikes.unit_ids, *(unit for unit in spikes.names if unit != UNKNOWN)})
    trains = [spikes.of(unit) for unit in unit_ids]
    waveforms, deviations, volts = _waveforms(spikes, recording)
    about = (
        "" if volts else "; waveforms are in the recording's own unit of voltage, as its gain is not known"
    )
    columns: list[Any] = []

    def add(name: str, data: npt.NDArray[Any], *, each: list[int] | None = None, **table: Any) -> None:
        kind = DynamicTableRegion if table else VectorData
        column = kind(name=name, description=COLUMNS[name], data=data, **table)
        columns.append(column)
        if each is not None:
            columns.append(
                VectorIndex(name=f"{name}_index", data=np.cumsum(each, dtype=np.uint64), target=column)
            )

    counts = [len(train) for train in trains]
    add("spike_times", _times(_joined(trains, "sample"), spikes, recording), each=counts)
    for name in (SAMPLE, *PROBABILITIES):
        add(f"spike_{name}", _joined(trains, name), each=counts)
    means = [float(train.joint.mean(dtype=np.float64)) if len(train) else np.nan for train in trains]
    add("mean_probability", np.array(means, np.float64))
    if unit_ids:
        add("unit_name", np.array([spikes.name_of(unit) for unit in unit_ids], object))
    if unit_ids and recording is not None and waveforms is not None and deviations is not None:
        channels = add_electrodes(file, recording, electrodes)
        add("waveform_mean", waveforms)
        add("waveform_sd", deviations)
        every = np.tile(np.arange(channels), len(unit_ids))
        add("electrodes", every, each=[channels] * len(unit_ids), table=file.electrodes)
    file.units = Units(
        name="units",
        description=f"units of spikesorter; spike times are the starts of spikes{about}",
        id=ElementIdentifiers(name="id", data=np.array(unit_ids, np.int64)),
        columns=columns,
        colnames=[column.name for column in columns if not column.name.endswith("_index")],
        waveform_rate=spikes.fs_hz,
        resolution=1 / _rate(spikes),
    )


def _add_invalid_times(file: Any, spikes: Spikes, recording: BaseRecording | None) -> None:
    """Add the table `invalid_times`, column by column, as rows would be slow to add."""
    from hdmf.common import ElementIdentifiers, VectorData, VectorIndex
    from pynwb.epoch import TimeIntervals

    bad = spikes.bad
    tags = VectorData(name="tags", description=COLUMNS["tags"], data=[kind for _, _, kind in bad])
    ends = _times(bad.stop - 1, spikes, recording) + 1 / _rate(spikes)
    values = {
        "start_time": _times(bad.start, spikes, recording),
        "stop_time": ends,
        "start_sample": bad.start,
        "stop_sample": bad.stop,
    }
    plain = [VectorData(name=name, description=COLUMNS[name], data=data) for name, data in values.items()]
    file.invalid_times = TimeIntervals(
        name="invalid_times",
        description="bad stretches, in which no spikes were looked for",
        id=ElementIdentifiers(name="id", data=np.arange(len(bad))),
        columns=[*plain, tags, VectorIndex(name="tags_index", data=np.arange(1, len(bad) + 1), target=tags)],
        colnames=[*values, "tags"],
    )


def _rate(spikes: Spikes) -> float:
    assert spikes.fs_hz is not None
    return spikes.fs_hz


def _joined(trains: list[Spikes], name: str) -> npt.NDArray[Any]:
    return np.concatenate([getattr(train, name) for train in [*trains, Spikes.empty()]])


def _times(
    samples: npt.NDArray[np.int64], spikes: Spikes, recording: BaseRecording | None
) -> npt.NDArray[np.float64]:
    """Return times in seconds, on the clock of the recording if it is known."""
    return samples / _rate(spikes) if recording is None else times_of(recording, samples)


def _waveforms(
    spikes: Spikes, recording: BaseRecording | None
) -> tuple[npt.NDArray[np.float64] | None, npt.NDArray[np.float64] | None, bool]:
    """Return means and SDs of waveforms, shape (units, samples, channels), and whether they are in volts."""
    if recording is None:
        return None, None, True
    volts = bool(recording.has_scaleable_traces())
    templates = make_analyzer(spikes, recording).get_extension("templates")
    scale = 1e-6 if volts else 1.0
    means, deviations = (
        np.asarray(templates.get_data(operator), np.float64) * scale for operator in ("average", "std")
    )
    return means, deviations, volts


def _digest(spikes: Spikes, provenance: Mapping[str, str]) -> str:
    bad = spikes.bad
    parts = (
        spikes.sample, spikes.unit, spikes.probability, spikes.unit_probability,
        bad.start, bad.stop, bad.kind,
    )  # fmt: skip
    hashed = hashlib.sha256(json.dumps(dict(provenance), sort_keys=True).encode())
    for part in parts:
        hashed.update(part.tobytes())
    return hashed.hexdigest()[:32]
