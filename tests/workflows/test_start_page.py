"""The start page's answers: folders, refusals, progress, and what is left at the end."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spikesorter.core.errors import InputError
from spikesorter.core.settings import Settings
from spikesorter.report.server import LoopbackServer
from spikesorter.workflows import start_page
from spikesorter.workflows.start_page import StartPage, run_start_page
from tests.report.client import Client


@pytest.fixture
def page() -> StartPage:
    return StartPage(Settings())


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "D1.mat"
    path.write_bytes(b"not read here")
    return path


def finished(page: StartPage) -> dict[str, Any]:
    """The state once the work is over, which other threads do."""
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and thread.daemon and thread.name.endswith("(_work)"):
            thread.join(60)
    return page.progress({})


@pytest.fixture
def worked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any]]:
    """Stand-ins for the work, which write down what they were asked for."""
    calls: list[tuple[str, Any]] = []

    def noted(name: str) -> Callable[..., Any]:
        def call(*given: Any, **named: Any) -> Any:
            calls.append((name, given))
            if "progress" in named:
                named["progress"](name, 0.5)
            return ("a session", {}) if name == "result_session" else f"what {name} gave"

        return call

    for name in ("train_model", "sort_files", "load_model", "discover_files", "result_session"):
        monkeypatch.setattr(start_page, name, noted(name))
    monkeypatch.setattr(start_page, "page_routes", lambda session, contents: {("GET", ""): session})
    return calls


def test_a_folder_is_listed_folders_first_and_nothing_hidden(page: StartPage, tmp_path: Path) -> None:
    for name in ("b.mat", "A.csv", ".hidden"):
        (tmp_path / name).touch()
    (tmp_path / "study").mkdir()
    listed = page.folder({"path": str(tmp_path)})
    assert listed == {
        "path": str(tmp_path),
        "above": str(tmp_path.parent),
        "folders": ["study"],
        "files": ["A.csv", "b.mat"],
    }
    assert page.folder({"path": str(tmp_path / "b.mat")}) == listed  # the folder of a file
    assert page.folder({"path": ""})["path"] == str(Path.cwd())


@pytest.mark.parametrize("path", ["~no-such-user", "a\0b", "x" * 5000, "/no/such/folder"])
def test_what_is_no_folder_is_said(page: StartPage, path: str) -> None:
    with pytest.raises(InputError, match="no such folder|cannot be read"):
        page.folder({"path": path})


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"recording": ""}, "recording: choose a file"),
        ({"recording": 3}, "recording: choose a file"),
        ({"recording": "/nowhere/D1.mat"}, "/nowhere/D1.mat: no such file"),
        ({"out": "  "}, "out: choose a folder"),
        ({"labels": "/nowhere/labels.csv"}, "/nowhere/labels.csv: no such file"),
        ({"targets": ["/nowhere/D2.mat"]}, "/nowhere/D2.mat: no such file"),
        ({"targets": "D2.mat"}, "targets must be a list"),
        ({"recording": "x" * 5000}, "recording: xxx.*: cannot be used: .*too long"),
        ({"out": "a\0b"}, "out: a\0b: cannot be used"),
        ({"out": "~no-such-user/out"}, "out: ~no-such-user/out: cannot be used"),
        ({"labels": __file__, "unlabelled": True}, "labels: they are not used if units are to be found"),
    ],
)
def test_what_is_missing_is_said_before_anything_begins(
    page: StartPage, recording: Path, worked: list[tuple[str, Any]], changed: dict[str, Any], words: str
) -> None:
    given = {"recording": str(recording), "out": str(recording.parent / "out")}
    with pytest.raises(InputError, match=words):
        page.begin(given | changed)
    assert worked == []
    assert not page.progress({})["working"]


def test_it_learns_sorts_and_opens_the_results(
    page: StartPage, recording: Path, worked: list[tuple[str, Any]]
) -> None:
    shown: list[Any] = []
    page.on_done = shown.append
    out = recording.parent / "out"
    page.begin({"recording": str(recording), "targets": [str(recording)], "out": str(out)})
    state = finished(page)
    assert (state["done"], state["working"], state["problem"]) == (True, False, "")
    assert [name for name, _ in worked] == ["train_model", "load_model", "sort_files", "result_session"]
    assert worked[0][1][:3] == (recording, [recording], out / "model")
    assert worked[2][1] == ([recording], "what load_model gave", out)
    (routes,) = shown
    assert routes["GET", ""] == "a session"
    assert ("GET", "progress") in routes  # by which the page learns that it is done
    with pytest.raises(InputError, match="under way already"):
        page.begin({"recording": str(recording), "out": str(out)})


def test_channels_and_bad_stretches_are_given_to_the_work(
    page: StartPage, worked: list[tuple[str, Any]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Each step is told to leave out what was marked in its own recordings."""
    for name in ("D1", "D2"):
        np.save(tmp_path / f"{name}.npy", np.arange(80_000).reshape(-1, 2).astype(np.int16) % 9)
    options: dict[str, Any] = {}
    for step in ("train_model", "sort_files"):
        monkeypatch.setattr(
            start_page, step, lambda *_, step=step, **named: options.__setitem__(step, named["options"])
        )
    given = {"recording": str(tmp_path / "D1.npy"), "targets": [str(tmp_path / "D2.npy")]}
    given |= {"out": str(tmp_path / "out"), "channels": ["1"], "reading": {"fs_hz": "20000"}}
    page.begin(given | {"bad": {given["recording"]: [[0.5, 1.0]]}})
    assert finished(page)["done"]
    assert [one.channel for one in options.values()] == [("1",), ("1",)]
    assert options["sort_files"].exclude is None
    left_out = options["train_model"].open(tmp_path / "D1.npy").exclude
    assert (left_out.start.tolist(), left_out.stop.tolist()) == ([10_000], [20_000])


def test_what_is_shown_of_a_recording_is_asked_for_by_its_path(page: StartPage, tmp_path: Path) -> None:
    np.save(tmp_path / "D1.npy", np.arange(80_000).reshape(-1, 2).astype(np.int16) % 9)
    asked = {"recording": str(tmp_path / "D1.npy"), "reading": {"fs_hz": "20000"}}
    assert page.describe(asked)["seconds"] == 2.0
    piece = asked | {"start_s": 0.5, "seconds": "1", "shown": [1], "columns": 10, "flat": True}
    shown = page.strip(piece)
    assert (shown["start_s"], shown["stop_s"], len(shown["low"]), len(shown["low"][0])) == (0.5, 1.5, 1, 10)
    with pytest.raises(InputError, match="choose from 2 channels"):
        page.strip(piece | {"shown": "1"})
    with pytest.raises(InputError, match="start_s: expected a number"):
        page.strip(piece | {"start_s": None})
    with pytest.raises(InputError, match="does not state its sampling rate"):
        page.describe({"recording": asked["recording"]})


def test_without_targets_the_recording_itself_is_sorted(
    page: StartPage, recording: Path, worked: list[tuple[str, Any]]
) -> None:
    page.begin({"recording": str(recording), "out": str(recording.parent / "out")})
    finished(page)
    assert worked[2][1][0] == [recording]


def test_without_labels_units_are_found(
    page: StartPage, recording: Path, worked: list[tuple[str, Any]]
) -> None:
    out = recording.parent / "out"
    page.begin({"recording": str(recording), "out": str(out), "unlabelled": True})
    assert finished(page)["done"]
    name, given = worked[0]
    assert (name, given[:2], given[2].decoder) == ("discover_files", ([recording], out), "pursuit")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (InputError("D1.mat: has no labels"), "D1.mat: has no labels"),
        (ValueError("x"), "something went wrong"),
    ],
)
def test_what_goes_wrong_is_said_and_one_can_begin_again(
    page: StartPage,
    recording: Path,
    worked: list[tuple[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    words: str,
) -> None:
    given = {"recording": str(recording), "out": str(recording.parent / "out")}

    def fail(*_: Any, **__: Any) -> None:
        raise error

    learn = start_page.train_model
    monkeypatch.setattr(start_page, "train_model", fail)
    page.begin(given)
    state = finished(page)
    assert (words in state["problem"], state["done"]) == (True, False)
    monkeypatch.setattr(start_page, "train_model", learn)
    page.begin(given)
    assert finished(page)["done"]


def test_the_page_is_served_and_may_run_its_own_script_only(page: StartPage) -> None:
    with LoopbackServer(page.routes()) as server:
        client = Client(server.url)
        status, html, response = client.ask("GET", "")
        assert (status, "Sort a recording" in html) == (200, True)
        assert "script-src 'sha256-" in (response.getheader("Content-Security-Policy") or "")
        assert client.post("begin", {"recording": "/nowhere"})[0] == 400
        assert client.post("begin", {}, Origin="http://elsewhere")[0] == 403
        server.replace({("GET", "new"): page.routes()["GET", "progress"]})
        assert client.get("new")[1]["done"] is False
        assert client.ask("GET", "")[0] == 404


def test_stopping_it_before_anything_was_sorted_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    urls: list[str] = []
    monkeypatch.setattr(LoopbackServer, "wait", lambda server: None)
    assert run_start_page(Settings(), on_ready=urls.append) == {}
    assert len(urls) == 1
