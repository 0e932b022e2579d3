from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import types
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

import numpy as np
import pytest

from spikesorter.core.errors import InputError
from spikesorter.core.spikes import Spikes
from spikesorter.io.labels import read_labels
from spikesorter.report.corrections import Correction
from spikesorter.report.server import LoopbackServer
from spikesorter.report.session import Session
from spikesorter.report.viewer import CORRECTED, run_viewer, serve
from spikesorter.sorting.placing import Placement
from tests.cli.test_cli import spikesorter
from tests.report.client import HANGS_S, REJECT, Client, log_of, make_session
from tests.report.viewing import FS_HZ, HOSTILE, N_SAMPLES, SPIKES, fake_contents, fake_result, fake_span

# what it answers


def test_a_span_is_what_lies_there(client: Client) -> None:
    status, span = client.get("span", r=0, start=2_000, stop=12_000)
    assert status == 200
    assert (span["start"], span["stop"], span["trace"]["shape"]) == (2_000, 12_000, [10_000, 1])
    assert client.get("span", r=0, start=N_SAMPLES - 1, stop=N_SAMPLES)[0] == 200


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({"r": 0, "start": 0, "stop": N_SAMPLES + 1}, "not inside"),
        ({"r": 0, "start": 5, "stop": 5}, "not inside"),
        ({"r": 0, "start": 9, "stop": 5}, "not inside"),
        ({"r": 0, "start": -5, "stop": 5}, "start must be a whole number"),
        ({"r": 0, "start": 0, "stop": int(10 * FS_HZ) + 1}, "too many for one request"),
        ({"r": 2, "start": 0, "stop": 5}, "no recording 2"),
        ({"r": -1, "start": 0, "stop": 5}, "r must be"),
        ({"r": "../../etc/passwd", "start": 0, "stop": 5}, "r must be"),
        ({"r": 0, "start": "1e3", "stop": 5}, "start must be"),
        ({"r": 0, "start": "\u0663", "stop": 5}, "start must be"),
        ({"r": 0, "start": 0, "stop": "9" * 5000}, "stop must be"),
        ({"r": 0, "start": 0}, "stop must be"),
        ({}, "r must be"),
    ],
)
def test_a_span_beyond_the_bounds_is_refused_in_words(
    client: Client, query: dict[str, Any], words: str
) -> None:
    status, answer = client.get("span", **query)
    assert status == 400
    assert words in answer["error"]


def test_only_the_span_that_is_asked_for_is_read(tmp_path: Path) -> None:
    seen = []

    def spying(result: Any, start: int, stop: int) -> dict[str, Any]:
        seen.append((start, stop))
        return fake_span(result, start, stop)

    session = make_session(tmp_path, span=spying)
    assert seen == []
    session.span({"r": "1", "start": "100", "stop": "200"})
    assert seen == [(100, 200)]


def test_readers_are_used_by_one_thread_at_a_time(tmp_path: Path) -> None:
    inside, most = [], []

    def slow(result: Any, start: int, stop: int) -> dict[str, Any]:
        inside.append(1)
        most.append(len(inside))
        answer = fake_span(result, start, stop)
        inside.pop()
        return answer

    with serve(make_session(tmp_path, span=slow), "") as server:
        client = Client(server.url)
        threads = [
            threading.Thread(
                target=client.get, args=("span",), kwargs={"r": k % 2, "start": 0, "stop": 50_000}
            )
            for k in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert (len(most), max(most)) == (8, 1)


def test_the_spikes_that_tell_most_come_next(client: Client) -> None:
    status, state = client.get("corrections", r=0)
    assert status == 200
    assert [entry[0] for entry in state["next"]] == [3_000, 15_000, 400_000, 21_000]
    assert (state["doubtful"], state["reviewed"], state["changed"]) == (4, 0, 0)


# what it keeps


def test_a_correction_that_could_not_be_kept_is_not_acknowledged(client: Client, tmp_path: Path) -> None:
    (tmp_path / CORRECTED).write_text("a file in the way")
    status, answer = client.post("correct", REJECT)
    assert status == 400
    assert "is a file, but a folder is needed" in answer["error"]


def test_labels_are_saved_for_the_next_fit(client: Client, tmp_path: Path) -> None:
    client.post("correct", REJECT)
    client.post("correct", {"r": 0, "sample": 9000, "unit": 2, "action": "rename", "to": 1})
    status, saved = client.post("save", {"r": 0})
    assert status == 200
    place = tmp_path / CORRECTED / f"{HOSTILE}.csv"
    assert (saved["file"], saved["spikes"], saved["ignored"]) == (str(place), 5, 0)
    assert shlex.split(saved["command"])[:5] == ["spikesorter", "train", "RECORDING", "--labels", str(place)]
    export = ["spikesorter", "export", str(place.parent.parent), "--corrected"]
    assert shlex.split(saved["export"])[:4] == export
    labels = read_labels(saved["file"])
    assert labels.sample.tolist() == [9_000, 15_000, 21_000, 27_000, 400_000]
    assert [labels.name_of(unit) for unit in labels.unit[:2]] == ["1", "1"]


def test_labels_of_groups_of_channels_are_of_the_whole_recording(tmp_path: Path) -> None:
    first = fake_result(tmp_path, "tetrodes", SPIKES.select(SPIKES.unit == 1))
    second = fake_result(tmp_path, "tetrodes", SPIKES.select(SPIKES.unit != 1))
    both: Any = [first, second]
    session = Session(both, fake_contents(both), tmp_path / CORRECTED, span=fake_span)
    session.correct(REJECT)
    session.correct({"r": 1, "sample": 9000, "unit": 2, "action": "reject"})
    assert session.corrections({"r": 0})["changed"] == 1
    saved = session.save({"r": 1})
    assert read_labels(saved["file"]).sample.tolist() == [15_000, 21_000, 27_000, 400_000]
    assert saved["ignored"] == 0


def test_corrections_of_spikes_that_are_gone_are_ignored_and_counted(tmp_path: Path) -> None:
    make_session(tmp_path).correct(REJECT)
    later: Any = [fake_result(tmp_path, HOSTILE, SPIKES.select(SPIKES.sample != 3000))]
    session = Session(later, fake_contents(later), tmp_path / CORRECTED, span=fake_span)
    assert session.corrections({"r": 0})["changed"] == 0
    assert session.save({"r": 0})["ignored"] == 1


def test_a_result_without_spikes_is_one(tmp_path: Path) -> None:
    nothing: Any = [fake_result(tmp_path, "D5", Spikes.empty())]
    session = Session(nothing, fake_contents(nothing), tmp_path / CORRECTED, span=fake_span)
    state = session.corrections({"r": 0})
    assert (state["changed"], state["doubtful"], state["next"], state["undo"]) == (0, 0, [], None)
    assert session.save({"r": 0})["spikes"] == 0


def test_at_the_end_labels_are_written_where_corrections_came_since(tmp_path: Path) -> None:
    session = make_session(tmp_path)
    assert session.save_pending() == {}
    session.correct(REJECT)
    session.correct(REJECT | {"r": 1})
    saved = Path(session.save({"r": 1})["file"])
    os.utime(saved, ns=(2**62, 2**62))  # clocks are coarse
    pending = session.save_pending()
    assert [path.name for path in pending] == [f"{HOSTILE}.csv"]
    assert np.array_equal(read_labels(*pending).sample, SPIKES.sample[1:])


SERVER = """
import signal
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
signal.signal(signal.SIGINT, signal.default_int_handler)  # programs run in the background ignore it
from spikesorter.report.session import Session
from spikesorter.report.viewer import CORRECTED, run_viewer, serve
from spikesorter.sorting.placing import Placement
from tests.report.viewing import fake_contents, fake_result, fake_span
out = Path(sys.argv[1])
results = [fake_result(out, "D5")]
session = Session(results, fake_contents(results), out / CORRECTED, span=fake_span)
with serve(session, "the page") as server:
    sys.stdout.write(server.url + "\\n")
    sys.stdout.flush()
    server.wait()
sys.stdout.write(f"ended {len(session.save_pending())}\\n")
"""


@contextmanager
def started(out: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", SERVER, str(out), str(Path(__file__).parents[2])]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()  # where something has failed; otherwise it has ended


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="Windows kills otherwise")
def test_acknowledged_corrections_survive_a_kill_of_the_server(tmp_path: Path) -> None:
    with started(tmp_path) as process:
        assert process.stdout is not None
        client = Client(process.stdout.readline().strip())
        assert client.post("correct", REJECT)[0] == 200
        process.send_signal(signal.SIGKILL)
    assert log_of(tmp_path, "D5") == [Correction(3000, 1, "reject")]
    with started(tmp_path) as process:
        assert process.stdout is not None
        client = Client(process.stdout.readline().strip())
        assert client.get("corrections", r=0)[1]["reviewed"] == 1
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate(timeout=HANGS_S)
    assert (rest, errors, process.returncode) == ("ended 1\n", "", 0)
    assert read_labels(tmp_path / CORRECTED / "D5.csv").sample.tolist() == SPIKES.sample[1:].tolist()


def test_a_folder_of_results_is_viewed_until_interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the address that is told to the labels that are left; page and results are stand-ins."""
    from spikesorter.report import contents, results

    page = types.ModuleType("spikesorter.report.page")
    page.page_html = lambda contents, scripts: json.dumps(contents) + "".join(scripts)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "spikesorter.report.page", page)
    monkeypatch.setattr(results, "open_results", lambda out: [fake_result(out, "D5")])
    monkeypatch.setattr(contents, "viewer_contents", lambda title, results, *, events: fake_contents(results))
    monkeypatch.setattr(contents, "span_contents", fake_span)
    addresses: list[str] = []

    def use(server: LoopbackServer) -> None:
        client = Client(server.url)
        assert addresses == [server.url]
        assert "spikesorter.source" in client.ask("GET", "")[1]
        assert client.get("span", r=0, start=0, stop=100)[0] == 200
        assert client.post("correct", REJECT)[0] == 200

    monkeypatch.setattr(LoopbackServer, "wait", use)
    written = run_viewer(tmp_path, on_ready=addresses.append)
    assert list(written) == [tmp_path / CORRECTED / "D5.csv"]
    assert len(read_labels(tmp_path / CORRECTED / "D5.csv")) == len(SPIKES) - 1
    with pytest.raises(ConnectionRefusedError):
        Client(addresses[0]).ask("GET", "")


# where it writes


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
@pytest.mark.parametrize("name", ["", "D5.jsonl", "D5.csv"])
def test_nothing_is_written_through_links(tmp_path: Path, name: str) -> None:
    out, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    place = out / CORRECTED / name
    place.parent.mkdir(parents=True)
    if name:
        elsewhere.write_bytes(b"")
    else:
        elsewhere.mkdir()
    place.symlink_to(elsewhere)
    with pytest.raises(InputError, match=r"is a link; corrections are written inside the folder of results"):
        make_session(out, ("D5",))
    place.unlink()
    session = make_session(out, ("D5",))
    place.symlink_to(elsewhere)  # after the start
    if name != "D5.csv":
        with pytest.raises(InputError, match="is a link"):
            session.correct(REJECT)
    with pytest.raises(InputError, match="is a link"):
        session.save({"r": 0})
    assert (list(elsewhere.iterdir()) == []) if elsewhere.is_dir() else (elsewhere.read_bytes() == b"")


def test_the_words_that_start_the_browser_do_not_have_the_token(
    results: list[Any], sorted_study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Path] = []

    def look(uri: str) -> bool:
        path = Path(url2pathname(urlsplit(uri).path))
        opened.append(path)
        token = re.search(r'href="http://127\.0\.0\.1:\d+/([^/"]+)/"', path.read_text())
        assert token is not None
        assert len(token[1]) > 40
        assert token[1] not in uri
        if os.name != "nt":
            assert path.stat().st_mode & 0o077 == 0
            assert path.parent.stat().st_mode & 0o077 == 0
        return True

    monkeypatch.setattr("webbrowser.open", look)
    monkeypatch.setattr(LoopbackServer, "wait", lambda server: None)
    spikesorter("view", sorted_study)
    assert len(opened) == 1
    assert not opened[0].exists()


# units, many spikes, steps back and forth


def test_units_are_merged_split_and_what_was_done_is_undone_after_a_restart(tmp_path: Path) -> None:
    session = make_session(tmp_path)
    split = session.edit({"r": 0, "action": "rename", "spikes": [[3000, 1], [15000, 1]], "to": -1})
    assert split["unit"] == 4
    assert {one["unit"]: one["spikes"] for one in split["units"]} == {1: 1, 2: 2, 3: 1, 4: 2}
    merged = session.edit({"r": 0, "action": "merge", "unit": 3, "to": 4})
    assert merged["undo"] == "unit 3 is merged into unit 4"
    again = make_session(tmp_path)
    assert [one["unit"] for one in again.spikes({"r": 0, "start": 0, "stop": 30_000})] == [4, 2, 4, 4, 2]
    again.edit({"r": 0, "action": "undo"})
    state = again.edit({"r": 0, "action": "undo"})
    assert (state["undo"], state["redo"]) == (None, "2 spikes (2 of unit 1) are of unit 4")
    assert len(state["units"]) == 3
    another = again.edit({"r": 0, "action": "rename", "spikes": [[9000, 2]], "to": -1})
    assert another["unit"] == 5  # 4 had been another unit


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"action": "undo"}, "nothing to undo"),
        ({"action": "redo"}, "nothing to make again"),
        ({"action": "merge", "unit": 9, "to": 1}, "no unit 9"),
        ({"action": "merge", "unit": 1, "to": 9}, "no unit 9"),
        ({"action": "reject", "spikes": [[3000, 1], [3001, 1]]}, "not in the results"),
        ({"action": "reject", "spikes": "all"}, "must be a list"),
        ({"action": "reject", "spikes": [[3000]]}, "a pair of sample and unit"),
        ({"action": "rename", "spikes": [[3000, 1]], "to": 9}, "no unit 9"),
        ({"action": "burn"}, "action must be one of"),
    ],
)
def test_edits_that_make_no_sense_are_refused_and_nothing_is_kept(
    client: Client, tmp_path: Path, fields: dict[str, Any], words: str
) -> None:
    status, answer = client.post("edit", {"r": 0, **fields})
    assert (status, words in answer["error"]) == (400, True), answer
    assert log_of(tmp_path) == []


def test_a_spike_is_put_where_it_fits_best(tmp_path: Path) -> None:
    asked: list[tuple[int, int | None, int]] = []

    def place(result: Any, others: Spikes, sample: int, unit: int | None) -> Placement | None:
        asked.append((sample, unit, len(others)))
        return Placement(sample - 4, unit or 2, 1.5) if unit != 3 else None

    session = make_session(tmp_path, place=place)
    added = session.place({"r": 0, "sample": 5000, "unit": None})
    assert added["placed"] == {"sample": 4996, "unit": 2, "was": [4996, 2], "log_odds": 1.5}
    moved = session.place({"r": 0, "sample": 9100, "moved": [9000, 2]})
    assert moved["placed"]["sample"] == 9096
    assert session.spike({"r": 0, "sample": 9000, "unit": 2})["was"] == [9000, 2]  # type: ignore[index]
    by_hand = session.place({"r": 0, "sample": 6000, "unit": 3})
    assert (by_hand["placed"]["sample"], by_hand["placed"]["log_odds"]) == (6000, None)
    assert asked == [(5000, None, 6), (9100, 2, 6), (6000, 3, 7)]
    with pytest.raises(InputError, match="there is a spike of unit 2 at sample 4996"):
        session.place({"r": 0, "sample": 5000, "unit": 2})
    with pytest.raises(InputError, match="beyond the end"):
        session.place({"r": 0, "sample": N_SAMPLES + 9, "unit": 3})
    assert session.save({"r": 0})["spikes"] == len(SPIKES) + 2
    assert "is moved to 0.3638 s" in (tmp_path / CORRECTED / f"{HOSTILE}-journal.txt").read_text()


def test_a_rejected_spike_that_is_added_again_is_that_spike(tmp_path: Path) -> None:
    session = make_session(tmp_path)
    session.correct(REJECT)
    session.place({"r": 0, "sample": 3000, "unit": 1})
    assert session.spike({"r": 0, "sample": 3000, "unit": 1})["decision"] == "accepted"  # type: ignore[index]
    assert session.save({"r": 0})["spikes"] == len(SPIKES)
