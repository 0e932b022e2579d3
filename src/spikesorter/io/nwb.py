"""Neurodata Without Borders: units with spike times, probabilities, waveforms and provenance."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import numpy.typing as npt

from spikesorter.io.analyzer import make_analyzer
from spikesorter.io.formats import reading
from spikesorter.spikes import UNKNOWN, Spikes

if TYPE_CHECKING:
    from spikeinterface import BaseRecording

__all__ = ["is_own_nwb", "session_start_of", "write_nwb"]

IDENTIFIER = "spikesorter-"
NOT_KNOWN = datetime(1970, 1, 1, tzinfo=UTC)
COLUMNS = {
    "unit_name": "what the labels that were learnt from call the neuron",
    "mean_probability": "mean probability that a spike of this unit is there and is of it",
    "spike_probability": "probability that each spike is there, whatever its unit",
    "spike_class_probability": "probability that each spike is of this unit, given that it is there",
}


def write_nwb(
    path: Path,
    spikes: Spikes,
    *,
    fs_hz: float,
    recording: BaseRecording | None,
    provenance: Mapping[str, str],
    session_start: datetime | None,
) -> None:
    """Write an NWB file of one units table; spikes of no known neuron are left out.

    Parameters
    ----------
    path : Path
    spikes : Spikes
    fs_hz : float
        Written as the units' resolution.
    recording : spikeinterface.BaseRecording or None
        Gives times, electrodes and mean waveforms.
    provenance : mapping of str to str
        Written as notes, in JSON.
    session_start : datetime or None
        1970 if None.
    """
    from pynwb import NWBHDF5IO, NWBFile

    described = spikes.described(fs_hz=fs_hz, names=spikes.names)
    known = described.select(described.label != UNKNOWN)
    file = NWBFile(
        session_description="spikes found and named by spikesorter",
        identifier=IDENTIFIER + _digest(known, provenance),
        session_start_time=session_start or NOT_KNOWN,
        notes=json.dumps(dict(provenance)),
        was_generated_by=[(provenance["program"], provenance["version"])],
    )
    _add_units(file, known, recording)
    with NWBHDF5IO(path, "w") as output:
        output.write(file)


def is_own_nwb(path: Path) -> bool:
    """Return whether a file was written by `write_nwb`."""
    if not h5py.is_hdf5(path):
        return False
    with reading(path, "NWB"), h5py.File(path, "r") as file:
        return "identifier" in file and file["identifier"].asstr()[()].startswith(IDENTIFIER)


def session_start_of(path: Path) -> datetime | None:
    """Return when the session of an NWB file began; None if the file is none or does not say."""
    if path.suffix.lower() != ".nwb" or not path.is_file():
        return None
    with reading(path, "NWB"), h5py.File(path, "r") as file:
        return (
            datetime.fromisoformat(file["session_start_time"].asstr()[()])
            if "session_start_time" in file
            else None
        )


def _add_units(file: Any, spikes: Spikes, recording: BaseRecording | None) -> None:
    from pynwb.misc import Units

    labels = sorted({*spikes.labels, *(label for label in spikes.names if label != UNKNOWN)})
    sorting = spikes.to_spikeinterface()
    waveforms, volts = _mean_waveforms(spikes, recording)
    about = "" if volts else "; waveforms are in the recording's own unit, as its gain is not known"
    file.units = Units(
        name="units",
        description=f"units of spikesorter; a spike's time is that of its start{about}",
        waveform_rate=spikes.fs_hz,
        resolution=1 / spikes.fs_hz if spikes.fs_hz else None,
    )
    for name, description in COLUMNS.items():
        file.add_unit_column(name, description, index=name.startswith("spike_"))
    electrodes = _add_electrodes(file, recording) if labels else None
    means = sorting.get_property("mean_probability") if labels else []
    for place, label in enumerate(labels):
        train = spikes.of(label)
        more: dict[str, Any] = {}
        if waveforms is not None:
            more = {"waveform_mean": waveforms[place], "electrodes": electrodes}
        file.add_unit(
            id=label,
            spike_times=_times(train, recording),
            unit_name=spikes.name_of(label),
            mean_probability=float(means[place]),
            spike_probability=train.probability,
            spike_class_probability=train.class_probability,
            **more,
        )


def _times(spikes: Spikes, recording: BaseRecording | None) -> npt.NDArray[np.float64]:
    if recording is None:
        assert spikes.fs_hz is not None
        return spikes.sample / spikes.fs_hz
    return np.asarray(recording.sample_index_to_time(spikes.sample), np.float64)


def _mean_waveforms(
    spikes: Spikes, recording: BaseRecording | None
) -> tuple[npt.NDArray[np.float64] | None, bool]:
    """Return mean waveforms, shape (units, samples, channels), and whether they are in volts."""
    if recording is None:
        return None, True
    volts = bool(recording.has_scaleable_traces())
    means = make_analyzer(spikes, recording).get_extension("templates").get_data()
    return np.asarray(means, np.float64) * (1e-6 if volts else 1.0), volts


def _add_electrodes(file: Any, recording: BaseRecording | None) -> list[int] | None:
    if recording is None:
        return None
    device = file.create_device(name="electrode", description="what the recording was made with: not known")
    group = file.create_electrode_group(
        name="electrodes", description="channels of the recording", location="unknown", device=device
    )
    file.add_electrode_column("channel_name", "id of the channel in the recording")
    for channel in recording.channel_ids:
        file.add_electrode(group=group, location="unknown", channel_name=str(channel))
    return list(range(recording.get_num_channels()))


def _digest(spikes: Spikes, provenance: Mapping[str, str]) -> str:
    parts = (spikes.sample, spikes.label, spikes.probability, spikes.class_probability)
    hashed = hashlib.sha256(json.dumps(dict(provenance), sort_keys=True).encode())
    for part in parts:
        hashed.update(part.tobytes())
    return hashed.hexdigest()[:32]
