"""Events from the digital lines of recording systems, in files as these write them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from spikesorter.core.errors import InputError
from spikesorter.io.digital_lines import LINES_READ, has_lines
from spikesorter.io.events import Clock, Events, events_by_name, read_events
from tests.io.makers import write_blackrock, write_intan, write_neuralynx, write_open_ephys, write_spikeglx

FS_HZ = 30_000
SAMPLES = 6000
TRACE = np.zeros((SAMPLES, 2), np.int16)


def read(path: Path) -> Events:
    return read_events(path, fs_hz=float(FS_HZ))


def add_ttl(folder: Path, stream: str, edges: dict[int, int], *, first: int = 0, new: bool = True) -> None:
    """Add edges (sample: line, negative if it falls) to an Open Ephys recording that starts at a sample."""
    recording = folder / "Record Node 101" / "experiment1" / "recording1"
    place = recording / "events" / f"Source-100.{stream}" / "TTL"
    place.mkdir(parents=True)
    numbers, states = np.array(list(edges)), np.array(list(edges.values()), np.int16)
    samples = np.arange(first, first + SAMPLES)
    continuous = recording / "continuous" / f"Source-100.{stream}"
    if new:
        np.save(place / "sample_numbers.npy", numbers)
        np.save(place / "timestamps.npy", 99.0 + numbers / FS_HZ)  # of another clock
        np.save(place / "states.npy", states)
        np.save(continuous / "sample_numbers.npy", samples)
    else:
        np.save(place / "timestamps.npy", numbers)
        np.save(place / "channel_states.npy", states)
        (continuous / "sample_numbers.npy").unlink()
        np.save(continuous / "timestamps.npy", samples)
    described = json.loads((recording / "structure.oebin").read_text())
    described["events"].append({"folder_name": f"Source-100.{stream}/TTL/", "channel_name": stream})
    (recording / "structure.oebin").write_text(json.dumps(described))


@pytest.mark.parametrize("new", [True, False], ids=["0.6", "0.5"])
def test_open_ephys_lines_are_counted_from_the_recordings_first_sample(tmp_path: Path, new: bool) -> None:
    folder = write_open_ephys(tmp_path / "session", {"Probe": TRACE})
    edges = {10_300: 1, 10_600: -1, 12_000: 3, 12_100: 1}  # the last line never falls
    add_ttl(folder, "Probe", edges, first=10_000, new=new)
    events = read(folder)
    np.testing.assert_allclose(events.time_s * FS_HZ, [300, 2000, 2100], atol=1e-6)
    assert events.condition == ("line 1", "line 3", "line 1")


def test_lines_of_several_open_ephys_streams_say_which(tmp_path: Path) -> None:
    folder = write_open_ephys(tmp_path / "session", {"A": TRACE, "B": TRACE})
    add_ttl(folder, "A", {600: 1}, first=300)
    add_ttl(folder, "B", {200: 2}, first=100)
    events = read(folder / "Record Node 101" / "experiment1" / "recording1" / "structure.oebin")
    assert dict(zip(events.condition, (events.time_s * FS_HZ).round().tolist(), strict=True)) == {
        "Source-100.A line 1": 300,
        "Source-100.B line 2": 100,
    }


def test_an_open_ephys_recording_without_lines_is_refused(tmp_path: Path) -> None:
    folder = write_open_ephys(tmp_path / "session", {"Probe": TRACE})
    with pytest.raises(InputError, match=r"session: has no events of digital lines \(TTL\)"):
        read(folder)
    (folder / "Record Node 101" / "experiment2" / "recording1").mkdir(parents=True)
    described = folder / "Record Node 101" / "experiment1" / "recording1" / "structure.oebin"
    other = folder / "Record Node 101" / "experiment2" / "recording1" / "structure.oebin"
    other.write_text(described.read_text())
    with pytest.raises(InputError, match="has 2 recordings .*give the folder of one of them"):
        read(folder)


def write_nev(path: Path, words: dict[int, tuple[int, int]]) -> Path:
    """A .nev file of specification 2.3 with (reason, word) at timestamps of 30 kHz."""
    basic = np.zeros(1, [("id", "S8"), ("version", "u1", 2), ("flags", "<u2"), ("header_bytes", "<u4"),
                         ("packet_bytes", "<u4"), ("resolution", "<u4"), ("sample_hz", "<u4"),
                         ("date", "<u2", 8), ("program", "S32"), ("comment", "S256"),
                         ("extended", "<u4")])  # fmt: skip
    basic["id"], basic["version"], basic["date"] = b"NEURALEV", (2, 3), (2026, 1, 0, 5, 12, 0, 0, 0)
    wave = np.zeros(1, [("id", "S8"), ("electrode", "<u2"), ("rest", "V22")])
    wave["id"], wave["electrode"] = b"NEUEVWAV", 1
    basic["flags"], basic["extended"] = 1, 1  # waveforms have 16 bits
    basic["header_bytes"], basic["packet_bytes"] = basic.nbytes + wave.nbytes, 104
    basic["resolution"] = basic["sample_hz"] = 30_000
    packets = np.zeros(len(words), [("time", "<u4"), ("id", "<u2"), ("reason", "u1"), ("reserved", "u1"),
                                    ("word", "<u2"), ("rest", "V94")])  # fmt: skip
    packets["time"] = list(words)
    packets["reason"], packets["word"] = np.array(list(words.values())).T
    path.write_bytes(basic.tobytes() + wave.tobytes() + packets.tobytes())
    return path


@pytest.mark.parametrize("given", ["a.nev", "a.ns5"])
def test_blackrock_words_are_conditions(tmp_path: Path, given: str) -> None:
    write_blackrock(tmp_path / "a.ns5", TRACE)
    write_nev(tmp_path / "a.nev", {300: (1, 5), 450: (1, 0), 1500: (1, 7), 1800: (129, 65)})
    events = read(tmp_path / given)
    np.testing.assert_allclose(events.time_s, [0.01, 0.05, 0.06])
    assert events.condition == ("digital 5", "digital 7", "serial 65")


def test_blackrock_samples_without_their_events_are_refused(tmp_path: Path) -> None:
    path = write_blackrock(tmp_path / "a.ns5", TRACE)
    with pytest.raises(InputError, match=r"a\.ns5: has no \.nev file beside it"):
        read(path)


def test_blackrock_events_of_a_recording_with_pauses_are_refused(tmp_path: Path) -> None:
    path = write_blackrock(tmp_path / "a.ns5", TRACE, pause_after=1000)
    write_nev(tmp_path / "a.nev", {300: (1, 5), 32_000: (1, 6)})
    with pytest.raises(InputError, match=r"a\.ns5: the recording has pauses"):
        read(path)


def test_intan_inputs_are_events_where_they_rise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = np.zeros((SAMPLES, 2), bool)
    lines[0:40, 0] = lines[200:230, 0] = lines[3000:3001, 1] = True  # high at the first sample: no event
    path = write_intan(tmp_path / "a.rhd", TRACE, lines=lines)
    events = read(path)
    np.testing.assert_allclose(events.time_s * FS_HZ, [200, 3000])
    assert events.condition == ("DIGITAL-IN-00", "DIGITAL-IN-01")
    monkeypatch.setattr("spikesorter.io.digital_lines.PIECE_SAMPLES", 200)  # an edge between two pieces
    assert read(path).time_s.tolist() == events.time_s.tolist()


def test_an_intan_recording_without_inputs_is_refused(tmp_path: Path) -> None:
    path = write_intan(tmp_path / "a.rhd", TRACE)
    with pytest.raises(InputError, match="was recorded without digital inputs; there are RHD2000 amplifier"):
        read(path)


def test_spikeglx_lines_are_those_of_the_nidq(tmp_path: Path) -> None:
    words = np.zeros((SAMPLES, 1), np.int16)
    words[1500:1800] = 1  # line 0
    words[2000:2100] = 4  # line 2
    path = write_spikeglx(tmp_path / "run", np.concatenate([TRACE, words], axis=1), lines=8)
    events = read(path)
    np.testing.assert_allclose(events.time_s * FS_HZ, [1500, 2000])
    assert events.condition == ("XD0", "XD2")


def test_other_formats_are_refused_in_words(tmp_path: Path) -> None:
    folder = write_neuralynx(tmp_path / "lynx", TRACE)
    with pytest.raises(InputError, match=r"lynx: events are read from \.csv.* digital lines of Open Ephys "):
        read(folder)
    assert not has_lines(folder)
    assert not has_lines(tmp_path / "nowhere.nev")
    damaged = tmp_path / "a.nev"
    damaged.write_bytes(b"NEURALEV")
    with pytest.raises(InputError, match=r"a\.nev: cannot be read as digital lines of Blackrock"):
        read(damaged)


def test_edges_after_the_recordings_end_are_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = write_open_ephys(tmp_path / "session", {"Probe": TRACE})
    add_ttl(folder, "Probe", {600: 1, 5000: 1, 9000: 2})
    events = events_by_name(folder, {"session": Clock(float(FS_HZ), SAMPLES / FS_HZ)})["session"]
    assert (events.time_s * FS_HZ).round().tolist() == [600, 5000]
    assert events.condition == ("line 1", "line 1")
    assert "1 of 3 events are outside the recording" in caplog.text
    with pytest.raises(InputError, match="3 of 3 events are outside the recording"):
        events_by_name(folder, {"session": Clock(float(FS_HZ), 0.001)})


def test_every_format_is_tried_here() -> None:
    assert set(LINES_READ) == {"openephysbinary", "blackrock", "intan", "spikeglx"}
