"""Another user of the machine cannot reach the processes of a batch or the viewer, nor read its token."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from spikesorter.core.progress import Progress, silent
from spikesorter.io.recording import RecordingOptions
from spikesorter.report.server import LoopbackServer, Reply, redirecting_file
from spikesorter.workflows.manifest import BatchItem
from spikesorter.workflows.processes import processes
from spikesorter.workflows.tasks import Outcome, SortTask

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux") or os.geteuid() != 0, reason="changes who it is"
)

AS_SOMEBODY_ELSE = """
import encodings.idna, http.client, os, socket, sys, urllib.error, urllib.request
urllib.request.build_opener()  # loads what may lie where only root may look
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
said = []
def attempt(what):
    try:
        said.append(f"{what()!r}")
    except OSError as error:
        said.append(str(getattr(error, "code", None) or type(error).__name__))
"""


def somebody_else(program: str, *words: object) -> list[str]:
    """Run attempts as the user `nobody`; return what each got, or how it failed."""
    ending = "\nprint(chr(10).join(said))"
    done = subprocess.run(
        [sys.executable, "-c", AS_SOMEBODY_ELSE + program + ending, *map(str, words)],
        check=True,
        capture_output=True,
        text=True,
        env={},
    )
    return done.stdout.splitlines()


LOOK_INTO = """
for pid in sys.argv[1:]:
    attempt(lambda: os.listdir(f"/proc/{pid}/fd"))
    attempt(lambda: open(f"/proc/{pid}/environ").read())
    attempt(lambda: open(f"/proc/{pid}/mem", "r+b"))
    attempt(lambda: os.kill(int(pid), 0))
"""
CONNECT = """
for place in sys.argv[1:]:
    attempt(lambda: socket.create_connection(("127.0.0.1", int(place)), timeout=5).close())
"""


def be_looked_into(task: SortTask, progress: Progress = silent) -> Outcome:
    """Return what somebody else gets from this process and the one that started it."""
    family = [os.getpid(), os.getppid()]
    ports = [
        one.laddr.port
        for one in psutil.net_connections("inet")
        if one.pid in family and one.status == psutil.CONN_LISTEN
    ]
    got = somebody_else(LOOK_INTO, *family) + somebody_else(CONNECT, *ports)
    return Outcome(task.item.name, "a.npy", "done", reason=" ".join(got))


@pytest.mark.slow
def test_the_processes_of_a_batch_give_nothing_away() -> None:
    item = BatchItem("a", Path("a.npy"), Path("model"), RecordingOptions())
    task = SortTask(item, Path("out"), to="mat", span_seconds=60.0, n_jobs=1, model_digest="")
    with processes(1) as runner:
        (found,) = runner(be_looked_into, [task])
    assert found.reason.split() == ["PermissionError"] * 8  # and no port to connect to


@pytest.fixture
def server() -> Iterator[LoopbackServer]:
    with LoopbackServer({("GET", ""): lambda fields: Reply(b"results", "text/plain")}) as running:
        yield running


def test_the_viewer_needs_its_token_and_the_token_is_not_to_be_seen(server: LoopbackServer) -> None:
    open_addresses = """
for address in sys.argv[1:]:
    attempt(lambda: urllib.request.urlopen(address, timeout=5).read())
"""
    read_files = """
for path in sys.argv[1:]:
    attempt(lambda: open(path).read())
    attempt(lambda: os.listdir(os.path.dirname(path)))
"""
    bare = f"http://127.0.0.1:{server.port}/"
    guessed = bare + "A" * 43 + "/"
    assert somebody_else(open_addresses, bare, guessed, server.url) == ["403", "403", "b'results'"]
    with redirecting_file(server.url) as path:
        browser = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", str(path)])
        try:
            read = "attempt(lambda: open(f'/proc/{sys.argv[1]}/cmdline').read())"
            (words,) = somebody_else(read, browser.pid)
            assert str(path) in words
            assert server.url.split("/")[-2] not in words
            assert somebody_else(read_files, path) == ["PermissionError", "PermissionError"]
        finally:
            browser.kill()
            browser.wait()
