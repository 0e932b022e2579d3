"""A browser for tests of the viewer's server, and a session to answer it."""

from __future__ import annotations

import http.client
import json
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from spikesorter.report.correction_log import CorrectionLog
from spikesorter.report.corrections import Change
from spikesorter.report.session import Session
from spikesorter.report.viewer import CORRECTED
from tests.report.viewing import HOSTILE, fake_contents, fake_result, fake_span

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


def log_of(out: Path, name: str = HOSTILE) -> list[Change]:
    return CorrectionLog(out / CORRECTED / f"{name}.jsonl").read()
