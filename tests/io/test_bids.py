"""A dataset of sorted spikes after BIDS's draft for microelectrode recordings: names, and what is required.

What is required is written down here from the draft's schema (branch `bep032-review`, 7 July 2026), by which
such datasets were validated too.
"""

from __future__ import annotations

import csv
import json
import re
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from spikeinterface.core import NumpyRecording

from spikesorter.core.bad_stretches import BadStretches
from spikesorter.core.errors import InputError
from spikesorter.core.spikes import Spikes
from spikesorter.io.bids import BidsPlace, _years, bids_label, check_dataset, write_dataset, write_recording
from spikesorter.io.labels import read_labels
from spikesorter.io.session import SessionFacts, Subject, session_of

FS_HZ = 25_000.0
SPIKES = Spikes.from_arrays(
    [500, 1500, 4000],
    [1, 2, 1],
    [0.5, 1.0, 1.0],
    fs_hz=FS_HZ,
    bad=BadStretches.of([(9000, 9500, "dead")]),
)
NAME = re.compile(
    r"sub-[A-Za-z0-9]+/(ses-[A-Za-z0-9]+/)?ecephys/sub-[A-Za-z0-9]+(_ses-[A-Za-z0-9]+)?_acq-[A-Za-z0-9]+"
    r"_(ecephys\.(nwb|json)|(channels|electrodes|probes)\.(tsv|json))"
)
TOP = {"dataset_description.json", "participants.tsv", "participants.json", "README.md"}
REQUIRED = {  # in this order, at the beginning
    "channels": ["name", "electrode_name", "type", "units", "sampling_frequency"],
    "electrodes": ["name", "probe_name", "x", "y", "z"],
    "probes": ["probe_name", "type"],
}


def facts_of(folder: Path, session: str = 'id = "night-2"', subject: str = "M-17") -> SessionFacts:
    path = folder / "subject.toml"
    path.write_text(
        f'[subject]\nid = "{subject}"\nspecies = "Mus musculus"\nsex = "F"\nage = "P90D"\n'
        f"[session]\n{session}\n"
        '[electrodes]\nlocation = "CA1"\nmanufacturer = "Acme"\n'
    )
    return session_of(path)


def recording_of(channels: int = 2, *, probe: bool = True) -> NumpyRecording:
    from probeinterface import generate_linear_probe

    noise = np.random.default_rng(0).standard_normal((20_000, channels)).astype(np.float32)
    recording = NumpyRecording([noise], FS_HZ, channel_ids=[f"e{k}" for k in range(channels)])
    if probe:
        linear = generate_linear_probe(channels, ypitch=20.0)
        linear.set_device_channel_indices(np.arange(channels))
        recording.set_probe(linear)
        recording.set_channel_gains(0.5)
        recording.set_channel_offsets(0.0)
    return recording


def written(dataset: Path, facts: SessionFacts, name: str = "tuesday 1", **given: Any) -> Path:
    place = BidsPlace.of(dataset, facts, name)
    check_dataset(dataset, {name: place})
    write_dataset(dataset, facts)
    recording = recording_of(**given)
    return write_recording(place, SPIKES, recording, facts, provenance={}, session_start=None)


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as opened:
        return list(csv.DictReader(opened, delimiter="\t"))


def test_names_are_those_of_the_draft_and_nothing_else_is_written(tmp_path: Path) -> None:
    dataset = tmp_path / "set"
    nwb = written(dataset, facts_of(tmp_path))
    assert nwb == dataset / "sub-M17/ses-night2/ecephys/sub-M17_ses-night2_acq-tuesday1_ecephys.nwb"
    written(dataset, facts_of(tmp_path, session=""))  # without a session
    names = {path.relative_to(dataset).as_posix() for path in dataset.rglob("*") if path.is_file()}
    assert {name for name in names if "/" not in name} == TOP
    inside = names - TOP
    assert len(inside) == 16
    assert all(NAME.fullmatch(name) for name in inside)


def test_required_columns_come_first_and_required_fields_are_there(tmp_path: Path) -> None:
    nwb = written(tmp_path / "set", facts_of(tmp_path))
    stem = str(nwb).removesuffix("ecephys.nwb")
    tables = {name: table(Path(f"{stem}{name}.tsv")) for name in REQUIRED}
    for name, required in REQUIRED.items():
        assert list(tables[name][0])[: len(required)] == required
    assert [row["name"] for row in tables["channels"]] == ["e0", "e1"]
    assert tables["channels"][0]["units"] == "uV"
    assert [row["y"] for row in tables["electrodes"]] == ["0", "20"]
    names = {row["name"] for row in tables["electrodes"]}
    assert {row["electrode_name"] for row in tables["channels"]} == names
    probes = {row["probe_name"] for row in tables["probes"]}
    assert {row["probe_name"] for row in tables["electrodes"]} == probes
    facts = json.loads(Path(f"{stem}ecephys.json").read_text())
    assert {"PowerLineFrequency", "SamplingFrequency", "SoftwareFilters"} <= facts.keys()
    assert (facts["SamplingFrequency"], facts["RecordingDuration"]) == (FS_HZ, 0.8)
    described = json.loads((tmp_path / "set" / "dataset_description.json").read_text())
    assert {"Name", "BIDSVersion", "GeneratedBy"} <= described.keys()
    assert described["DatasetType"] == "derivative"


def test_each_column_of_a_table_is_described_beside_it(tmp_path: Path) -> None:
    nwb = written(tmp_path / "set", facts_of(tmp_path))
    stem = str(nwb).removesuffix("ecephys.nwb")
    for name in REQUIRED:
        described = json.loads(Path(f"{stem}{name}.json").read_text())
        assert described.pop("Description")
        assert list(described) == list(table(Path(f"{stem}{name}.tsv"))[0])
        assert all(one["Description"] for one in described.values())


def test_who_experimented_is_an_author_and_those_named_before_stay(tmp_path: Path) -> None:
    dataset = tmp_path / "set"
    written(dataset, facts_of(tmp_path, session=""))
    path = dataset / "dataset_description.json"
    assert "Authors" not in json.loads(path.read_text())
    for people in ('["Doe, Jane"]', '["Roe, Richard", "Doe, Jane"]'):
        written(dataset, facts_of(tmp_path, session=f"experimenter = {people}"))
    assert json.loads(path.read_text())["Authors"] == ["Doe, Jane", "Roe, Richard"]


def test_what_is_not_known_is_said_not_to_be(tmp_path: Path) -> None:
    nwb = written(tmp_path / "set", facts_of(tmp_path), channels=1, probe=False)
    stem = str(nwb).removesuffix("ecephys.nwb")
    (electrode,) = table(Path(f"{stem}electrodes.tsv"))
    assert [electrode[axis] for axis in "xyz"] == ["n/a"] * 3
    assert table(Path(f"{stem}channels.tsv"))[0]["units"] == "n/a"


def test_the_spikes_are_read_back_with_their_bad_stretches(tmp_path: Path) -> None:
    nwb = written(tmp_path / "set", facts_of(tmp_path))
    found = read_labels(nwb)
    assert found == SPIKES
    assert list(found.bad) == list(SPIKES.bad)


def test_subjects_are_added_to_a_dataset_and_replace_only_themselves(tmp_path: Path) -> None:
    dataset = tmp_path / "set"
    for subject in ("M-17", "A1"):
        written(dataset, facts_of(tmp_path, subject=subject))
    lines = (dataset / "participants.tsv").read_text().splitlines()
    (dataset / "participants.tsv").write_text(f"{lines[0]}\tcage\n{lines[1]}\t4\n{lines[2]}\t5\n")
    written(dataset, facts_of(tmp_path, subject="M-17"))
    rows = table(dataset / "participants.tsv")
    assert [row.pop("cage") for row in rows] == ["4", "5"]  # which somebody has added
    assert [row["participant_id"] for row in rows] == ["sub-A1", "sub-M17"]
    assert rows[0] == {
        "participant_id": "sub-A1", "species": "Mus musculus", "age": "0.2464", "sex": "F", "strain": "n/a"
    }  # fmt: skip


def test_the_same_results_are_the_same_bytes(tmp_path: Path) -> None:
    facts = facts_of(tmp_path)
    for name in ("a", "b"):
        written(tmp_path / name, facts)
    for path in (tmp_path / "a").rglob("*"):
        if path.is_file() and path.suffix != ".nwb":  # pynwb writes when the file was made
            assert (tmp_path / "b" / path.relative_to(tmp_path / "a")).read_bytes() == path.read_bytes()


def test_what_would_collide_or_belongs_to_others_is_refused(tmp_path: Path) -> None:
    facts, dataset = facts_of(tmp_path), tmp_path / "set"
    places = {name: BidsPlace.of(dataset, facts, name) for name in ("a-1", "a1")}
    with pytest.raises(InputError, match="would be of both a-1 and a1; rename one of them"):
        check_dataset(dataset, places)
    dataset.mkdir()
    (dataset / "dataset_description.json").write_text('{"Name": "mine", "BIDSVersion": "1.11.1"}')
    with pytest.raises(InputError, match="holds files of another program"):
        check_dataset(dataset, {"a1": places["a1"]})
    with pytest.raises(InputError, match=r"--subject FILE"):
        BidsPlace.of(dataset, SessionFacts(), "a")
    with pytest.raises(InputError, match="has no letters"):
        bids_label("--", "session.id")


@pytest.mark.parametrize(
    ("age", "years"),
    [("P2Y6M", 2.5), ("P12W", 84 / 365.25), ("P1DT12H", 1.5 / 365.25), ("P1D/P3D", None), ("P90Y/", None)],
)
def test_ages_are_told_in_years(age: str, years: float | None) -> None:
    found = _years(Subject(id="a", species="Mus musculus", sex="F", age=age), None)
    assert found == (None if years is None else pytest.approx(years))


def test_an_age_follows_from_date_of_birth_and_session(tmp_path: Path) -> None:
    subject = Subject(id="a", species="Mus musculus", sex="F", date_of_birth=date(2025, 11, 29))
    start = facts_of(tmp_path, session="start = 2026-11-29T10:00:00+00:00").session.start
    assert _years(subject, start) == pytest.approx(365 / 365.25)
    assert _years(subject, None) is None
