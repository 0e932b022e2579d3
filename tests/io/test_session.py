"""Subject, session and electrodes of NWB files, as archives require them."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pytest
from pynwb import NWBHDF5IO, validate
from spikeinterface.core import NumpyRecording

from spikesorter import InputError, Spikes, write_spikes
from spikesorter.io.session import SessionFacts, read_session

SUBJECT = Path(__file__).with_name("subject.toml")
FS_HZ = 25_000.0
SPIKES = Spikes.from_arrays([500, 900, 1500], [1, 2, 1], fs_hz=FS_HZ)
LEAST = {"id": '"M17"', "species": '"Mus musculus"', "sex": '"F"', "age": '"P90D"'}


@pytest.fixture
def recording() -> NumpyRecording:
    noise = np.random.default_rng(0).standard_normal((30_000, 2))
    return NumpyRecording([noise.astype(np.float32)], FS_HZ)


def file_of(folder: Path, more: str = "", **changed: str | None) -> Path:
    fields = {**LEAST, **changed}
    text = "\n".join(f"{name} = {value}" for name, value in fields.items() if value is not None)
    path = folder / "subject.toml"
    path.write_text(f"[subject]\n{text}\n{more}", encoding="utf-8")
    return path


def test_what_is_stated_is_in_the_file(recording: NumpyRecording, tmp_path: Path) -> None:
    path = tmp_path / "a.nwb"
    write_spikes(path, SPIKES, recording=recording, subject=SUBJECT)
    assert validate(path=path) == []
    with NWBHDF5IO(path, "r") as source:
        file = source.read()
        subject = file.subject
        assert (subject.subject_id, subject.species, subject.sex, subject.age) == (
            "M17", "Mus musculus", "F", "P90D",
        )  # fmt: skip
        assert file.session_start_time == datetime(2026, 11, 29, 10, tzinfo=UTC)
        assert tuple(file.experimenter) == ("Doe, Jane", "Roe, Richard")
        assert (file.institution, file.lab) == ("University of Examples", "Laboratory of Examples")
        assert list(file.keywords) == ["spike sorting", "simulation"]
        assert file.session_description == "one electrode in simulated tissue"
        assert file.experiment_description == "noise rises from recording to recording"
        electrodes = file.electrodes.to_dataframe()
        assert electrodes["location"].tolist() == ["CA1", "CA1"]
        assert [group.description for group in electrodes["group"]] == ["one electrode"] * 2
        assert file.devices["electrode"].description == "tungsten electrode"
        assert file.electrode_groups["channels"].description == "one electrode"


def test_a_manufacturer_is_that_of_the_devices_model(recording: NumpyRecording, tmp_path: Path) -> None:
    subject = file_of(tmp_path, '[electrodes]\nmanufacturer = "Acme"')
    write_spikes(tmp_path / "a.nwb", SPIKES, recording=recording, subject=subject)
    assert validate(path=tmp_path / "a.nwb") == []
    with NWBHDF5IO(tmp_path / "a.nwb", "r") as source:
        device = source.read().devices["electrode"]
        described = getattr(device, "model", device)  # pynwb before 3.1 has no models of devices
        assert described.manufacturer == "Acme"


def test_waveforms_have_means_and_deviations_of_the_same_spikes(
    recording: NumpyRecording, tmp_path: Path
) -> None:
    write_spikes(tmp_path / "a.nwb", SPIKES, recording=recording)
    with NWBHDF5IO(tmp_path / "a.nwb", "r") as source:
        units = source.read().units.to_dataframe()
    trace = recording.get_traces()
    snippets = np.stack([trace[at - 25 : at + 62] for at in (500, 1500)])
    np.testing.assert_allclose(units["waveform_mean"][1], snippets.mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(units["waveform_sd"][1], snippets.std(axis=0), atol=1e-6)


def test_channels_of_several_groups_have_each_their_group_and_place(tmp_path: Path) -> None:
    from probeinterface import generate_linear_probe

    probe = generate_linear_probe(2, ypitch=20.0)
    probe.set_device_channel_indices([0, 1])
    recording = NumpyRecording([np.zeros((30_000, 2), np.float32)], FS_HZ)
    recording.set_probe(probe)
    recording.set_property("group", np.array(["a", "b"]))
    write_spikes(tmp_path / "a.nwb", SPIKES, recording=recording)
    with NWBHDF5IO(tmp_path / "a.nwb", "r") as source:
        electrodes = source.read().electrodes.to_dataframe()
    assert electrodes["group_name"].tolist() == ["group a", "group b"]
    assert electrodes["rel_y"].tolist() == [0.0, 20.0]


def test_a_start_that_the_recording_contradicts_is_refused(recording: NumpyRecording, tmp_path: Path) -> None:
    other = datetime(2026, 1, 5, tzinfo=UTC)
    with pytest.raises(InputError, match="session.start is 2026-11-29T10:00:00.00:00, but the recording"):
        write_spikes(tmp_path / "a.nwb", SPIKES, recording=recording, subject=SUBJECT, session_start=other)
    assert not (tmp_path / "a.nwb").exists()


def test_only_nwb_stores_a_subject(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="stored in NWB files only; write nwb, not csv"):
        write_spikes(tmp_path / "a.csv", SPIKES, subject=SUBJECT)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"id": None}, "subject.id is missing"),
        ({"id": '"a/b"'}, "subject.id: expected a name without slashes"),
        ({"species": '"mouse"'}, "subject.species: expected the Latin name, such as Mus musculus"),
        ({"sex": '"female"'}, "subject.sex: Input should be 'M', 'F', 'O' or 'U'"),
        ({"age": '"90"'}, "subject.age: expected an ISO 8601 duration, such as P90D"),
        ({"age": '"P"'}, "subject.age: expected an ISO 8601 duration"),
        ({"age": None}, "subject: give age, such as P90D, or date_of_birth"),
        ({"colour": '"black"'}, "subject.colour is not known; known are id, species, sex, age, "),
        ({"more": "[session]\nroom = 2"}, "session.room is not known; known are start, experimenter,"),
        ({"more": "[animal]\nid = 2"}, "animal is not known; known are subject, session, electrodes"),
        ({"more": '[session]\nexperimenter = "Jane Doe"'}, "session.experimenter: expected names as"),
        ({"more": "[session]\nstart = 2026-11-29T10:00:00"}, "session.start: expected a time with its"),
    ],
)  # fmt: skip
def test_what_archives_would_refuse_is_refused(
    changed: dict[str, str | None], message: str, tmp_path: Path
) -> None:
    path = file_of(tmp_path, changed.pop("more", None) or "", **changed)
    with pytest.raises(InputError) as raised:
        read_session(path)
    assert str(raised.value).startswith(f"{path}: {message}")


@pytest.mark.parametrize("age", ["P90D", "P12W", "P1Y6M", "P1DT12H", "P1D/P3D", "P90Y/"])
def test_ages_that_are_allowed(age: str, tmp_path: Path) -> None:
    subject = read_session(file_of(tmp_path, age=f'"{age}"')).subject
    assert subject is not None
    assert subject.age == age


def test_a_date_of_birth_and_a_taxonomic_address_do_as_well(tmp_path: Path) -> None:
    taxon = "http://purl.obolibrary.org/obo/NCBITaxon_10090"
    facts = read_session(file_of(tmp_path, age=None, date_of_birth="2026-08-01", species=f'"{taxon}"'))
    assert facts.subject is not None
    assert facts.subject.date_of_birth == date(2026, 8, 1)
    write_spikes(tmp_path / "a.nwb", SPIKES, subject=facts)
    with NWBHDF5IO(tmp_path / "a.nwb", "r") as source:
        assert source.read().subject.date_of_birth == datetime(2026, 8, 1, tzinfo=UTC)


def test_yaml_says_the_same_as_toml(tmp_path: Path) -> None:
    path = tmp_path / "subject.yaml"
    path.write_text(
        """
subject: {id: M17, species: Mus musculus, sex: F, age: P90D, weight_kg: 0.02}
session:
  start: 2026-11-29T10:00:00+00:00
  experimenter: [ "Doe, Jane" ]
  keywords: spike sorting
electrodes:
  location: CA1
"""
    )
    read = read_session(path)
    more = '''[session]
start = 2026-11-29T10:00:00+00:00
experimenter = ["Doe, Jane"]
keywords = "spike sorting"
[electrodes]
location = "CA1"'''
    assert read.facts() == read_session(file_of(tmp_path, more, weight_kg="0.02")).facts()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("subject: [", "invalid YAML"),
        ("just words", "expected the tables subject, session and electrodes"),
        ("subject: !!python/object/apply:os.getcwd []", "subject: "),
        ("subject: {id: M17}\nsubject: {id: M18}", "invalid YAML"),
        ("[" * 5000, "nested too deeply|invalid YAML"),
        ("subject: {id: M17, species: Mus musculus, sex: F, age: 90}", "age: expected an ISO 8601 duration"),
        ("x: 1", "subject is missing; x is not known"),
    ],
)
def test_yaml_that_cannot_be_used_is_refused(text: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "subject.yml"
    path.write_text(text)
    with pytest.raises(InputError, match=words):
        read_session(path)
    with pytest.raises(InputError, match="no such file"):
        read_session(tmp_path / "b.yaml")


def test_without_a_file_nothing_is_claimed() -> None:
    assert SessionFacts().fields() == {}
    assert SessionFacts().start(None) is None
