from __future__ import annotations

import base64
import hashlib
import socket
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from spikesorter.core.errors import InputError
from spikesorter.report.corrections import Correction
from spikesorter.report.server import BODY_BYTES, LoopbackServer
from spikesorter.report.viewer import CORRECTED, Session, serve
from tests.report.client import HANGS_S, REJECT, Client, log_of, make_session

# who gets an answer


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


# requests that nobody should send


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"1", b'"text"', b"\xff", b"[" * 4000, b"9" * 4090, b'{"r": NaN}', b'{"r":1e999}'],
)
def test_bodies_that_are_no_correction_are_refused(client: Client, body: bytes) -> None:
    status, answer = client.post("correct", body)
    assert status == 400
    assert isinstance(answer["error"], str)
    assert client.get("corrections", r=0)[0] == 200


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
        ({"to": 2}, "for rename and move only"),
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


def test_long_bodies_are_not_read(client: Client) -> None:
    assert client.post("correct", b"{}", Content_Length=str(BODY_BYTES + 1))[0] == 413
    assert client.post("correct", b"{}", Content_Length="1000000000000000")[0] == 411
    assert client.post("correct", b"{}", Content_Length="-1")[0] == 411
    assert client.post("correct", b"2\r\n{}\r\n0\r\n\r\n", Transfer_Encoding="chunked")[0] == 411


def test_undo_takes_back(client: Client) -> None:
    client.post("correct", REJECT)
    state = client.post("correct", REJECT | {"action": "undo"})[1]
    assert (state["reviewed"], state["changed"]) == (0, 0)


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


def test_corrections_are_kept_counted_and_told_again(client: Client, tmp_path: Path) -> None:
    status, state = client.post("correct", REJECT)
    assert status == 200
    assert state == client.get("corrections", r=0)[1]
    assert (state["doubtful"], state["reviewed"]) == (4, 1)
    assert [entry[0] for entry in state["next"]] == [21_000, 400_000, 15_000]
    assert (state["changed"], state["undo"]) == (1, "the spike of unit 1 at 0.1200 s is rejected")
    assert log_of(tmp_path) == [Correction(3000, 1, "reject")]
    assert client.get("corrections", r=1)[1]["changed"] == 0
    rename = {"r": 1, "sample": 9000, "unit": 2, "action": "rename", "to": 3}
    assert client.post("correct", rename)[1]["reviewed"] == 0  # it was not doubtful
    assert log_of(tmp_path, "D5") == [Correction(9000, 2, "rename", 3)]


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


def test_a_broken_log_is_said_before_anything_is_shown(tmp_path: Path) -> None:
    (tmp_path / CORRECTED).mkdir()
    (tmp_path / CORRECTED / "D5.jsonl").write_text("nonsense\n")
    with pytest.raises(InputError, match=r"D5\.jsonl: line 1: is not a correction"):
        make_session(tmp_path)


def test_a_port_that_is_taken_or_none_is_said(session: Session, server: LoopbackServer) -> None:
    with pytest.raises(InputError, match=rf"port {server.port}: cannot be used"):
        serve(session, "", port=server.port)
    with pytest.raises(InputError, match="port must be between"):
        serve(session, "", port=70_000)
