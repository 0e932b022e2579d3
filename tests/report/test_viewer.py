from __future__ import annotations

import base64
import hashlib
import http.client
import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import threading
import types
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import numpy as np
import pytest

from spikesorter.core.errors import InputError
from spikesorter.core.spikes import Spikes
from spikesorter.io.labels import read_labels
from spikesorter.report.corrections import Correction, CorrectionLog
from spikesorter.report.server import LoopbackServer
from spikesorter.report.viewer import CORRECTED, Session, run_viewer, serve
from tests.report.viewing import FS_HZ, HOSTILE, N_SAMPLES, SPIKES, fake_contents, fake_result, fake_span

HANGS_S = 120  # guards against hanging only
REJECT = {"r": 0, "sample": 3000, "unit": 1, "action": "reject"}


class Client:
    """A browser at the page, as honest or as dishonest as a test wants it."""

    def __init__(self, url: str) -> None:
        self.place = urlsplit(url)
        self.host = self.place.netloc
        self.origin = f"http://{self.host}"

    def ask(
        self,
        method: str,
        name: str,
        *,
        body: bytes | None = None,
        path: str | None = None,
        **headers: str | None,
    ) -> tuple[int, Any, http.client.HTTPResponse]:
        """Send a request; headers that are None are left out."""
        given = {key.replace("_", "-"): value for key, value in headers.items()}
        connection = http.client.HTTPConnection("127.0.0.1", self.place.port, timeout=HANGS_S)
        connection.putrequest(method, path or f"{self.place.path}{name}", skip_host=True)
        for key, value in ({"Host": self.host} | given).items():
            if value is not None:
                connection.putheader(key, value)
        if body is not None and "Content-Length" not in given:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        response = connection.getresponse()
        text = response.read()
        connection.close()
        is_json = (response.getheader("Content-Type") or "").startswith("application/json")
        return response.status, json.loads(text) if is_json else text.decode(), response

    def get(self, name: str, **query: Any) -> tuple[int, Any]:
        return self.ask("GET", f"{name}?{urlencode(query)}" if query else name)[:2]

    def post(self, name: str, fields: Any, **headers: str | None) -> tuple[int, Any]:
        usual = {"Origin": self.origin, "Content_Type": "application/json", "Sec_Fetch_Site": "same-origin"}
        body = fields if isinstance(fields, bytes) else json.dumps(fields).encode()
        return self.ask("POST", name, body=body, **(usual | headers))[:2]


def make_session(out: Path, names: tuple[str, ...] = (HOSTILE, "D5"), **changes: Any) -> Session:
    results: Any = [fake_result(out, name) for name in names]
    return Session(results, fake_contents(results), out / CORRECTED, **({"span": fake_span} | changes))


@pytest.fixture
def session(tmp_path: Path) -> Session:
    return make_session(tmp_path)


@pytest.fixture
def server(session: Session) -> Iterator[LoopbackServer]:
    with serve(session, "<!doctype html><p>the page") as server:
        yield server


@pytest.fixture
def client(server: LoopbackServer) -> Client:
    return Client(server.url)


def log_of(out: Path, name: str = HOSTILE) -> list[Correction]:
    return CorrectionLog(out / CORRECTED / f"{name}.jsonl").read()


# who is answered


def test_the_page_comes_with_its_token_and_is_hard_to_abuse(client: Client) -> None:
    status, page, response = client.ask("GET", "")
    assert (status, page) == (200, "<!doctype html><p>the page")
    assert response.getheader("X-Content-Type-Options") == "nosniff"
    assert response.getheader("X-Frame-Options") == "DENY"
    assert response.getheader("Referrer-Policy") == "no-referrer"
    assert response.getheader("Cache-Control") == "no-store"
    policy = response.getheader("Content-Security-Policy") or ""
    assert "frame-ancestors 'none'" in policy
    assert "connect-src 'self'" in policy
    assert not [name for name in response.headers if name.lower().startswith("access-control")]
    assert "Python" not in (response.getheader("Server") or "")


def test_a_page_runs_the_scripts_that_it_was_made_with_and_no_others(session: Session) -> None:
    script = "document.title = 1;\n"
    with serve(
        session, f"<p onclick=alert(1)><script>{script}</script><SCRIPT type='x'>2</SCRIPT>"
    ) as server:
        policy = Client(server.url).ask("GET", "")[2].getheader("Content-Security-Policy") or ""
    digests = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (script, "2")]
    assert f"script-src 'sha256-{digests[0]}' 'sha256-{digests[1]}';" in policy
    assert "unsafe-eval" not in policy
    assert policy.count("unsafe-inline") == 1  # of style alone


def test_each_server_has_another_token_and_listens_on_the_loopback_address_alone(
    session: Session, server: LoopbackServer
) -> None:
    with serve(session, "") as other:
        assert urlsplit(other.url).path != urlsplit(server.url).path
        assert len(urlsplit(other.url).path) > 40
    assert server._server.server_address[0] == "127.0.0.1"


@pytest.mark.parametrize("name", ["", "span?r=0&start=0&stop=10", "corrections?r=0", "nonsense"])
@pytest.mark.parametrize("token", ["", "/", "/wrong/", "/%00/", "//", "/../"])
def test_without_the_token_nothing_is_told(client: Client, token: str, name: str) -> None:
    path = (token + name) or "/"
    assert client.ask("GET", "", path=path)[0] == 403


def test_half_a_token_is_none(client: Client) -> None:
    assert client.ask("GET", "", path=client.place.path[:-2] + "/")[0] == 403
    assert client.ask("GET", "", path=f"/?token={client.place.path.strip('/')}")[0] == 403


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{port}", "127.0.0.1", "[::1]:{port}", "", None]
)
def test_a_foreign_name_that_points_here_is_refused(client: Client, host: str | None) -> None:
    named = host.format(port=client.place.port) if host is not None else None
    assert client.ask("GET", "", Host=named)[0] in (400, 403)
    assert client.ask("GET", "corrections?r=0", Host=named)[0] in (400, 403)


def test_localhost_is_this_machine_too(client: Client) -> None:
    assert client.ask("GET", "corrections?r=0", Host=f"localhost:{client.place.port}")[0] == 200


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "https://127.0.0.1:{port}"},
        {"Origin": "http://localhost:{port}"},  # while the page is at 127.0.0.1
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
    ],
)
def test_no_other_origin_is_answered(
    client: Client, tmp_path: Path, method: str, headers: dict[str, str]
) -> None:
    foreign = {name: value.format(port=client.place.port) for name, value in headers.items()}
    if method == "GET":
        assert client.ask("GET", "corrections?r=0", **foreign)[0] == 403
    else:
        assert client.post("correct", REJECT, **foreign)[0] == 403
        assert log_of(tmp_path) == []


def test_a_change_must_say_where_it_comes_from(client: Client, tmp_path: Path) -> None:
    assert client.post("correct", REJECT, Origin=None, Sec_Fetch_Site=None)[0] == 403
    assert client.post("correct", REJECT, Origin=None, Sec_Fetch_Site="none")[0] == 403
    assert log_of(tmp_path) == []
    assert client.post("correct", REJECT, Origin=None)[0] == 200
    assert client.post("correct", REJECT, Sec_Fetch_Site=None)[0] == 200


def test_a_link_from_elsewhere_opens_the_page_but_no_data(client: Client) -> None:
    followed = {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate", "Sec_Fetch_Dest": "document"}
    assert client.ask("GET", "", **followed)[0] == 200
    assert client.ask("GET", "corrections?r=0", **followed)[0] == 403
    assert client.ask("GET", "", **(followed | {"Sec_Fetch_Dest": "iframe"}))[0] == 403


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "", None])
def test_what_a_form_could_send_is_refused(client: Client, tmp_path: Path, kind: str | None) -> None:
    assert client.post("correct", REJECT, Content_Type=kind)[0] == 415
    assert log_of(tmp_path) == []


# what is told


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
        ({"r": 0, "start": 0, "stop": int(10 * FS_HZ) + 1}, "too many at once"),
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


def test_the_most_doubtful_spikes_come_next(client: Client) -> None:
    status, state = client.get("corrections", r=0)
    assert status == 200
    assert [entry[0] for entry in state["next"]] == [400_000, 3_000, 15_000, 21_000]
    assert (state["doubtful"], state["reviewed"], state["corrections"]) == (4, 0, [])


# what is kept


def test_corrections_are_kept_counted_and_told_again(client: Client, tmp_path: Path) -> None:
    status, state = client.post("correct", REJECT)
    assert status == 200
    assert state == client.get("corrections", r=0)[1]
    assert (state["doubtful"], state["reviewed"]) == (4, 1)
    assert [entry[0] for entry in state["next"]] == [400_000, 15_000, 21_000]
    assert state["corrections"] == [{"sample": 3000, "unit": 1, "action": "reject", "to": None}]
    assert log_of(tmp_path) == [Correction(3000, 1, "reject")]
    assert client.get("corrections", r=1)[1]["corrections"] == []
    rename = {"r": 1, "sample": 9000, "unit": 2, "action": "rename", "to": 3}
    assert client.post("correct", rename)[1]["reviewed"] == 0  # it was not doubtful
    assert log_of(tmp_path, "D5") == [Correction(9000, 2, "rename", 3)]


def test_undo_takes_back(client: Client) -> None:
    client.post("correct", REJECT)
    state = client.post("correct", REJECT | {"action": "undo"})[1]
    assert (state["reviewed"], state["corrections"]) == (0, [])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"sample": 3001}, "no spike of unit 1 was found at sample 3001"),
        ({"unit": 2}, "no spike of unit 2"),
        ({"sample": "3000"}, "sample must be a whole number"),
        ({"sample": True}, "sample must be"),
        ({"sample": 1e300}, "sample must be"),
        ({"sample": 10**30}, "sample must be"),
        ({"action": "explode"}, "action must be one of"),
        ({"action": None}, "action must be one of"),
        ({"action": ["reject"]}, "action must be one of"),
        ({"action": "rename"}, "new unit"),
        ({"action": "rename", "to": 4}, "there is no unit 4"),
        ({"action": "rename", "to": "<b>"}, "new unit"),
        ({"to": 2}, "takes no `to`"),
        ({"r": 7}, "no recording 7"),
        ({"r": None}, "r must be"),
    ],
)
def test_corrections_that_make_no_sense_are_refused_in_words(
    client: Client, tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    status, answer = client.post("correct", REJECT | change)
    assert status == 400
    assert words in answer["error"]
    assert log_of(tmp_path) == []


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"1", b'"text"', b"\xff", b"[" * 4000, b"9" * 4090, b'{"r": NaN}', b'{"r":1e999}'],
)
def test_bodies_that_are_no_correction_are_refused(client: Client, body: bytes) -> None:
    status, answer = client.post("correct", body)
    assert status == 400
    assert isinstance(answer["error"], str)
    assert client.get("corrections", r=0)[0] == 200


def test_long_bodies_are_not_read(client: Client) -> None:
    assert client.post("correct", b" " * 5000)[0] == 413
    assert client.post("correct", b"{}", Content_Length="1000000000000000")[0] == 411
    assert client.post("correct", b"{}", Content_Length="-1")[0] == 411
    assert client.post("correct", b"2\r\n{}\r\n0\r\n\r\n", Transfer_Encoding="chunked")[0] == 411


def test_only_what_is_there_is_answered(client: Client) -> None:
    for name in ("etc/passwd", "../../etc/passwd", "%2e%2e/pyproject.toml", "page/", "span/"):
        assert client.ask("GET", name)[0] == 404
    assert client.ask("GET", "correct")[0] == 405
    assert client.post("span", {})[0] == 405
    assert client.ask("DELETE", "correct")[0] == 501
    assert client.ask("OPTIONS", "correct")[0] == 501


@pytest.mark.parametrize(
    "sent",
    [b"\r\n\r\n", b"nonsense\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\x16\x03\x01\x00", b"",
     b"GET /\xe4/ HTTP/1.1\r\nHost: \xe4\r\n\r\n",
     b"GET " + b"/" * 70_000 + b" HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 200 + b"\r\n",
     b"GET http://[ HTTP/1.1\r\nHost: x\r\n\r\n"],
)  # fmt: skip
def test_no_request_ends_the_server(client: Client, sent: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    with socket.create_connection(("127.0.0.1", client.place.port or 0), timeout=HANGS_S) as connection:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert b"Traceback" not in answer
    assert b" 200 " not in answer
    assert client.get("corrections", r=0)[0] == 200
    assert capfd.readouterr() == ("", "")


def test_a_fault_is_told_without_its_insides(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    def broken(result: Any, start: int, stop: int) -> dict[str, Any]:
        raise RuntimeError("secret insides")

    with serve(make_session(tmp_path, span=broken), "") as server:
        client = Client(server.url)
        status, answer = client.get("span", r=0, start=0, stop=10)
        assert (status, set(answer)) == (500, {"error"})
        assert "secret" not in answer["error"]
        assert client.get("corrections", r=0)[0] == 200
    assert "secret insides" in caplog.text
    assert server.url.split("/")[3] not in caplog.text


def test_a_correction_that_could_not_be_kept_is_not_acknowledged(client: Client, tmp_path: Path) -> None:
    (tmp_path / CORRECTED).write_text("a file in the way")
    status, answer = client.post("correct", REJECT)
    assert status == 400
    assert "a file stands where a folder is needed" in answer["error"]


def test_labels_are_saved_for_the_next_fit(client: Client, tmp_path: Path) -> None:
    client.post("correct", REJECT)
    client.post("correct", {"r": 0, "sample": 9000, "unit": 2, "action": "rename", "to": 1})
    status, saved = client.post("save", {"r": 0})
    assert status == 200
    place = tmp_path / CORRECTED / f"{HOSTILE}.csv"
    assert (saved["file"], saved["spikes"], saved["ignored"]) == (str(place), 5, 0)
    assert shlex.split(saved["command"])[:5] == ["spikesorter", "train", "RECORDING", "--labels", str(place)]
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
    assert session.corrections({"r": 0})["corrections"] == [
        {"sample": 3000, "unit": 1, "action": "reject", "to": None}
    ]
    saved = session.save({"r": 1})
    assert read_labels(saved["file"]).sample.tolist() == [15_000, 21_000, 27_000, 400_000]
    assert saved["ignored"] == 0


def test_corrections_of_spikes_that_are_gone_are_ignored_and_counted(tmp_path: Path) -> None:
    make_session(tmp_path).correct(REJECT)
    later: Any = [fake_result(tmp_path, HOSTILE, SPIKES.select(SPIKES.sample != 3000))]
    session = Session(later, fake_contents(later), tmp_path / CORRECTED, span=fake_span)
    assert session.corrections({"r": 0})["corrections"] == []
    assert session.save({"r": 0})["ignored"] == 1


def test_a_result_without_spikes_is_one(tmp_path: Path) -> None:
    nothing: Any = [fake_result(tmp_path, "D5", Spikes.empty())]
    session = Session(nothing, fake_contents(nothing), tmp_path / CORRECTED, span=fake_span)
    assert session.corrections({"r": 0}) == {"corrections": [], "doubtful": 0, "reviewed": 0, "next": []}
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


def test_a_broken_log_is_said_before_anything_is_shown(tmp_path: Path) -> None:
    (tmp_path / CORRECTED).mkdir()
    (tmp_path / CORRECTED / "D5.jsonl").write_text("nonsense\n")
    with pytest.raises(InputError, match=r"D5\.jsonl: line 1: is not a correction"):
        make_session(tmp_path)


def test_a_port_that_is_taken_or_none_is_said(session: Session, server: LoopbackServer) -> None:
    with pytest.raises(InputError, match=rf"port {server.port}: cannot be used"):
        serve(session, "", port=server.port)
    with pytest.raises(InputError, match="port must lie between"):
        serve(session, "", port=70_000)


SERVER = """
import signal
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
signal.signal(signal.SIGINT, signal.default_int_handler)  # programs run in the background ignore it
from spikesorter.report.viewer import CORRECTED, Session, run_viewer, serve
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
    monkeypatch.setattr(contents, "viewer_contents", lambda title, results: fake_contents(results))
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
