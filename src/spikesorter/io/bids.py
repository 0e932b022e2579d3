"""Lay out sorted spikes as a BIDS dataset, after the draft for microelectrode recordings (BEP032).

The draft is the branch `bep032-review` of the BIDS specification as of 7 July 2026: names of files, required
columns and fields, and their order are those of its schema. It says nothing of spikes that were found in a
recording, so the dataset calls itself a derivative, and each NWB file holds units, not samples.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spikesorter.core.errors import InputError, naming
from spikesorter.core.spikes import Spikes
from spikesorter.core.versions import __version__
from spikesorter.io.atomic import atomic_file, check_writable, write_json
from spikesorter.io.clock import find_gaps
from spikesorter.io.export import check_export, check_export_place
from spikesorter.io.formats import reading
from spikesorter.io.nwb import write_nwb
from spikesorter.io.session import SessionFacts, Subject

if TYPE_CHECKING:
    from spikeinterface import BaseRecording

__all__ = ["BidsPlace", "bids_label", "check_dataset", "write_dataset", "write_recording"]

BIDS_VERSION = "1.11.1"
NAME, LINK = "spikesorter", "https://bids.neuroimaging.io/bep032"
DESCRIPTION, PARTICIPANTS = "dataset_description.json", "participants.tsv"
NOT_KNOWN = "n/a"
PROBE = "probe1"
OLDEST_YEARS = 89.0  # as BIDS asks, so that nobody is known by being very old
YEARS = {"Y": 1.0, "M": 1 / 12, "W": 7 / 365.25, "D": 1 / 365.25}
PARTICIPANT_COLUMNS = ("participant_id", "species", "age", "sex", "strain")
ABOUT_PARTICIPANTS = {
    "Description": "Subjects of the recordings",
    "species": {"Description": "Latin name of the species"},
    "age": {"Description": "age at the session", "Units": "year"},
    "sex": {"Description": "sex", "Levels": {"F": "female", "M": "male", "O": "other"}},
    "strain": {"Description": "name of the strain"},
}
ABOUT_COLUMNS: dict[str, dict[str, Any]] = {  # of each table
    "channels": {
        "Description": "Channels of the recording in which spikes were found",
        "name": {"Description": "name of the channel, as the recording states it"},
        "electrode_name": {"Description": "name of the electrode (electrodes.tsv) that the channel records"},
        "type": {"Description": "HP: the recording is filtered; BB: it is not, as far as it states"},
        "units": {"Description": "unit of the channel's samples"},
        "sampling_frequency": {"Description": "samples in a second", "Units": "Hz"},
    },
    "electrodes": {
        "Description": "Electrodes of the recording in which spikes were found",
        "name": {"Description": "name of the electrode"},
        "probe_name": {"Description": "name of the probe (probes.tsv) that holds the electrode"},
        "x": {"Description": "position on the probe, across", "Units": "um"},
        "y": {"Description": "position on the probe, along", "Units": "um"},
        "z": {"Description": "position on the probe, in depth", "Units": "um"},
        "location": {"Description": "region of the brain, as the experimenter named it"},
    },
    "probes": {
        "Description": "Probes of the recording in which spikes were found",
        "probe_name": {"Description": "name of the probe"},
        "type": {"Description": "kind of the probe"},
        "manufacturer": {"Description": "who made the probe"},
        "electrode_count": {"Description": "number of electrodes that were recorded", "Format": "number"},
    },
}
README = """# Sorted spikes

The units of each recording are in `*_ecephys.nwb`, with the times and probabilities of their spikes. They
were found by spikesorter (`GeneratedBy` in `dataset_description.json`); the recordings themselves are not in
this dataset. Names and tables follow the draft BEP032 of BIDS for microelectrode recordings of July 2026.
"""


@dataclass(frozen=True)
class BidsPlace:
    """Where the files of a recording are in a dataset.

    Parameters
    ----------
    dataset : Path
    subject, session, acquisition : str
        Labels of letters and digits; a session of "" is left out of names.
    """

    dataset: Path
    subject: str
    session: str
    acquisition: str

    @classmethod
    def of(cls, dataset: Path, facts: SessionFacts, name: str) -> BidsPlace:
        """Return the place of a recording, by its name.

        Raises
        ------
        InputError
            If it is not known whom it is of, or a name has neither letters nor digits.
        """
        if facts.subject is None:
            raise InputError("BIDS needs to know the subject; describe it in a file (--subject FILE)")
        session = "" if facts.session.id is None else bids_label(facts.session.id, "session.id")
        subject = bids_label(facts.subject.id, "subject.id")
        return cls(dataset, subject, session, bids_label(name, "recording"))

    def path(self, suffix: str) -> Path:
        """Return the path of one of its files.

        Examples
        --------
        >>> BidsPlace(Path("SET"), "M17", "2", "tuesday").path("ecephys.nwb").as_posix()
        'SET/sub-M17/ses-2/ecephys/sub-M17_ses-2_acq-tuesday_ecephys.nwb'
        """
        levels = [f"sub-{self.subject}", *([f"ses-{self.session}"] if self.session else [])]
        name = "_".join([*levels, f"acq-{self.acquisition}", suffix])
        return self.dataset.joinpath(*levels, "ecephys", name)


def bids_label(text: str, what: str) -> str:
    """Return the letters and digits of a name, of which labels in BIDS consist.

    Raises
    ------
    InputError
        If it has none.

    Examples
    --------
    >>> bids_label("night-2.tetrode 1", "recording")
    'night2tetrode1'
    """
    label = re.sub(r"[^A-Za-z0-9]", "", text)
    if not label:
        raise InputError(f"{what} {text!r}: has no letters (A to Z) or digits, as names in BIDS need")
    return label


def check_dataset(dataset: Path, places: Mapping[str, BidsPlace]) -> None:
    """Refuse to write into another program's dataset, or two recordings to one place.

    Parameters
    ----------
    dataset : Path
    places : mapping of str to BidsPlace
        By name of the recording.

    Raises
    ------
    InputError
    """
    check_export("nwb")
    first: dict[Path, str] = {}
    for name, place in places.items():
        path = place.path("ecephys.nwb")
        other = first.setdefault(path, name)
        if other != name:
            raise InputError(f"{path}: would be of both {other} and {name}; rename one of them")
        check_export_place(path, "nwb")
    if dataset.is_dir() and any(dataset.iterdir()) and not _is_own(dataset):
        raise InputError(f"{dataset}: holds files of another program; choose another folder for the dataset")
    check_writable(dataset)


def write_dataset(dataset: Path, facts: SessionFacts) -> None:
    """Write what a dataset says of itself, and add the subject to its participants.

    Parameters
    ----------
    dataset : Path
        Whose authors and participants stay, if it is there.
    facts : SessionFacts
        With a subject; its experimenters become authors.

    Raises
    ------
    InputError
        If its list of participants cannot be read.
    """
    assert facts.subject is not None
    described: dict[str, Any] = {
        "Name": "Sorted spikes",
        "BIDSVersion": BIDS_VERSION,
        "DatasetType": "derivative",
        "GeneratedBy": [{"Name": NAME, "Version": __version__}],
        "ReferencesAndLinks": [LINK],
    }
    if authors := _authors(dataset / DESCRIPTION, facts):
        described["Authors"] = authors
    write_json(dataset / DESCRIPTION, described)
    write_json(dataset / "participants.json", ABOUT_PARTICIPANTS)
    with atomic_file(dataset / "README.md") as temporary:
        temporary.write_text(README, encoding="utf-8")
    rows = _participants(dataset / PARTICIPANTS)  # whose further columns are kept
    own = _participant(facts.subject, facts.session.start)
    rows[own["participant_id"]] = rows.get(own["participant_id"], {}) | own
    columns = dict.fromkeys([*PARTICIPANT_COLUMNS, *(column for row in rows.values() for column in row)])
    _write_table(dataset / PARTICIPANTS, tuple(columns), [rows[key] for key in sorted(rows)])


def write_recording(
    place: BidsPlace,
    spikes: Spikes,
    recording: BaseRecording,
    facts: SessionFacts,
    *,
    provenance: Mapping[str, str],
    session_start: datetime | None,
) -> Path:
    """Write the files of one recording: units (NWB), and what describes recording, channels and electrodes.

    Parameters
    ----------
    place : BidsPlace
    spikes : Spikes
    recording : spikeinterface.BaseRecording
        In which they were found.
    facts : SessionFacts
        With a subject.
    provenance, session_start
        As for `write_nwb`.

    Returns
    -------
    Path
        The NWB file.

    Raises
    ------
    InputError
        If a file cannot be written, or the session starts otherwise than the recording states.
    """
    path = place.path("ecephys.nwb")
    path.parent.mkdir(parents=True, exist_ok=True)
    with naming(path), reading(path, "nwb", done="written"), atomic_file(path) as temporary:
        write_nwb(
            temporary,
            spikes,
            fs_hz=float(recording.get_sampling_frequency()),
            recording=recording,
            provenance={"program": NAME, "version": __version__, **provenance},
            session_start=session_start,
            session=facts,
        )
    write_json(place.path("ecephys.json"), _recording_facts(recording, facts))
    for suffix, columns, rows in _tables(recording, facts):
        _write_table(place.path(f"{suffix}.tsv"), columns, rows)
        write_json(place.path(f"{suffix}.json"), ABOUT_COLUMNS[suffix])
    return path


def _recording_facts(recording: BaseRecording, facts: SessionFacts) -> dict[str, Any]:
    fs_hz = float(recording.get_sampling_frequency())
    known = {
        "Description": "Units found in a recording, and facts of the recording",
        "SamplingFrequency": fs_hz,
        "PowerLineFrequency": NOT_KNOWN,
        "SoftwareFilters": NOT_KNOWN,
        "HardwareFilters": NOT_KNOWN,
        "RecordingDuration": round(recording.get_num_frames() / fs_hz, 6),
        "RecordingType": "discontinuous" if len(find_gaps(recording)) else "continuous",
        "InstitutionName": facts.session.institution,
        "Manufacturer": facts.electrodes.manufacturer,
        "BodyPartDetails": None if facts.electrodes.location == "unknown" else facts.electrodes.location,
        "TaskDescription": facts.session.experiment,
    }
    return {key: value for key, value in known.items() if value is not None}


Table = tuple[str, tuple[str, ...], list[dict[str, Any]]]


def _tables(recording: BaseRecording, facts: SessionFacts) -> list[Table]:
    """Return the tables of channels, electrodes and probes: their name, columns in order, and rows."""
    ids = [str(channel) for channel in recording.get_channel_ids()]
    common = {
        "type": "HP" if recording.is_filtered() else "BB",
        "units": "uV" if recording.has_scaleable_traces() else NOT_KNOWN,
        "sampling_frequency": float(recording.get_sampling_frequency()),
    }
    channels = [{"name": one, "electrode_name": one, **common} for one in ids]
    places = recording.get_channel_locations() if recording.has_probe() else [()] * len(ids)
    electrodes = [
        {
            "name": one,
            "probe_name": PROBE,
            **dict(zip(("x", "y", "z"), map(float, at), strict=False)),
            "location": facts.electrodes.location,
        }
        for one, at in zip(ids, places, strict=True)
    ]
    probe = {
        "probe_name": PROBE,
        "manufacturer": facts.electrodes.manufacturer,
        "electrode_count": len(ids),
    }
    return [
        ("channels", ("name", "electrode_name", "type", "units", "sampling_frequency"), channels),
        ("electrodes", ("name", "probe_name", "x", "y", "z", "location"), electrodes),
        ("probes", ("probe_name", "type", "manufacturer", "electrode_count"), [probe]),
    ]


def _participant(subject: Subject, start: datetime | None) -> dict[str, Any]:
    years = _years(subject, start)
    return {
        "participant_id": f"sub-{bids_label(subject.id, 'subject.id')}",
        "species": subject.species,
        "age": None if years is None else round(min(years, OLDEST_YEARS), 4),
        "sex": None if subject.sex == "U" else subject.sex,
        "strain": subject.strain,
    }


def _years(subject: Subject, start: datetime | None) -> float | None:
    """Return a subject's age in years; None if only its bounds, or not when the session was, are known."""
    if subject.age is None:
        born = subject.date_of_birth
        return None if born is None or start is None else (start.date() - born).days / 365.25
    if "/" in subject.age:
        return None
    days, _, hours = subject.age.removeprefix("P").partition("T")
    parts = re.findall(r"([\d.]+)([YMWD])", days)
    whole = sum(float(number) * YEARS[unit] for number, unit in parts)
    return whole + sum(float(number) for number in re.findall(r"(\d+)H", hours)) / 24 / 365.25


def _authors(path: Path, facts: SessionFacts) -> list[str]:
    """Return who experimented: those that a dataset names already, then those of this session."""
    named: list[str] = []
    if path.is_file():
        named = [str(one) for one in json.loads(path.read_text(encoding="utf-8")).get("Authors", ())]
    return list(dict.fromkeys([*named, *facts.session.experimenter]))


def _participants(path: Path) -> dict[str, dict[str, Any]]:
    if not path.is_file():
        return {}
    with naming(path), path.open(encoding="utf-8", newline="") as opened:
        rows = list(csv.DictReader(opened, delimiter="\t", quoting=csv.QUOTE_NONE))
        if not all(row.get("participant_id") for row in rows):
            raise InputError("has no column participant_id; correct it, or remove it")
    return {row["participant_id"]: dict(row) for row in rows}


def _is_own(dataset: Path) -> bool:
    try:
        described = json.loads((dataset / DESCRIPTION).read_text(encoding="utf-8"))
        return any(one["Name"] == NAME for one in described["GeneratedBy"])
    except (OSError, ValueError, LookupError, TypeError):
        return False


def _write_table(path: Path, columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
    """Write a table of BIDS: tabs between cells, none quoted, `n/a` for what is not known."""
    text = io.StringIO(newline="")
    for row in (dict(zip(columns, columns, strict=True)), *rows):
        text.write("\t".join(_cell(row.get(column)) for column in columns) + "\n")
    with atomic_file(path) as temporary:
        temporary.write_text(text.getvalue(), encoding="utf-8", newline="")


def _cell(value: Any) -> str:
    if value is None or value == "":
        return NOT_KNOWN
    return f"{value:g}" if isinstance(value, float) else re.sub(r"\s+", " ", str(value))
