from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from spikesorter.report.server import LoopbackServer
from spikesorter.report.session import Session
from spikesorter.report.viewer import serve
from tests.report.client import Client, make_session


@pytest.fixture
def session(tmp_path: Path) -> Session:
    return make_session(tmp_path)


@pytest.fixture(autouse=True)
def _stops_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spikesorter.report.server.POLL_S", 0.002)


@pytest.fixture
def server(session: Session) -> Iterator[LoopbackServer]:
    with serve(session, "<!doctype html><p>the page") as server:
        yield server


@pytest.fixture
def client(server: LoopbackServer) -> Client:
    return Client(server.url)
