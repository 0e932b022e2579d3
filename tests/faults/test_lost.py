"""Workers that die and disks that are full."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from spikesorter.core.errors import InputError
from spikesorter.io.mat import read_mat
from spikesorter.io.mat_writing import write_mat_recording
from spikesorter.workflows.batch import dask_runner, run_batch
from spikesorter.workflows.manifest import BatchItem, read_batch
from spikesorter.workflows.tasks import Outcome

pytestmark = pytest.mark.slow


@pytest.fixture
def items(study_folder: Path, sorted_study: Path, tmp_path: Path) -> list[BatchItem]:
    folder = tmp_path / "recordings"
    folder.mkdir()
    trace = read_mat(study_folder / "D3.mat")[0].get_traces()
    for k in range(6):
        write_mat_recording(folder / f"R{k}.mat", trace[k * 25_000 : (k + 6) * 25_000], fs_hz=25_000.0)
    return read_batch(folder, model=sorted_study / "model")


def bytes_of(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (out / "predictions").iterdir()}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_worker_of_dask_that_is_killed_takes_no_recording_with_it(
    items: list[BatchItem], tmp_path: Path
) -> None:
    from distributed import Client, LocalCluster

    run_batch(items, tmp_path / "here")
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster,
        Client(cluster) as client,
    ):
        victims = list(client.run(os.getpid).values())[:1]

        def kill_one(_: Outcome) -> None:
            if victims:
                os.kill(victims.pop(), signal.SIGKILL)

        outcomes = run_batch(items, tmp_path / "there", runner=dask_runner(client), on_outcome=kill_one)
    # What the worker finished just before it was killed is found finished when another is given the same.
    assert {outcome.state for outcome in outcomes} <= {"done", "kept"}
    assert victims == []
    there = bytes_of(tmp_path / "there")
    left_half_written = [name for name in there if Path(name).name.startswith(".")]  # by the killed one; once
    assert len(left_half_written) <= 1
    assert {name: there[name] for name in there if name not in left_half_written} == bytes_of(
        tmp_path / "here"
    )


@contextmanager
def mounted(place: Path, options: str) -> Iterator[Path]:
    place.mkdir()
    done = shutil.which("mount") and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)], capture_output=True
    )
    if not done or done.returncode:
        pytest.skip("a disk can be mounted by root only")
    yield place
    subprocess.run(["umount", str(place)], check=True)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    with mounted(tmp_path / "disk", "size=64k") as place:
        yield place


def test_a_full_disk_is_said_and_more_room_is_enough_to_go_on(
    items: list[BatchItem], small_disk: Path, tmp_path: Path
) -> None:
    run_batch(items, tmp_path / "there")
    (small_disk / "ballast").write_bytes(b"x" * 40_000)
    told: list[Outcome] = []
    with pytest.raises(InputError, match=r"json: cannot be written: No space left on device"):
        run_batch(items, small_disk / "out", on_outcome=told.append)  # there is no room for a summary either
    assert len(told) == len(items)
    failed = [outcome for outcome in told if outcome.state == "failed"]
    assert failed
    assert all("No space left on device" in outcome.reason for outcome in failed)
    whole = {name: bytes_of(tmp_path / "there")[name] for name in bytes_of(small_disk / "out")}
    assert bytes_of(small_disk / "out") == whole
    (small_disk / "ballast").unlink()
    assert {outcome.state for outcome in run_batch(items, small_disk / "out")} <= {"done", "kept"}
    assert bytes_of(small_disk / "out") == bytes_of(tmp_path / "there")


def test_a_disk_that_is_read_only_is_read_and_not_written_to(items: list[BatchItem], tmp_path: Path) -> None:
    with mounted(tmp_path / "disk", "size=8m") as disk:
        shutil.copytree(items[0].recording.parent, disk / "recordings")
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        there = read_batch(disk / "recordings", model=items[0].model)
        assert {outcome.state for outcome in run_batch(there, tmp_path / "out")} == {"done"}
        with pytest.raises(InputError, match=r"disk/out.*[Rr]ead-only file system"):
            run_batch(there, disk / "out")


AS_SOMEBODY_ELSE = """
import os, sys
from pathlib import Path
from spikesorter.workflows.batch import run_batch
from spikesorter.core.errors import InputError
from spikesorter.workflows.manifest import read_batch

place = Path(sys.argv[1])
items = read_batch(place / "recordings", model=place / "model")
run_batch(items, place / "before")  # loads all libraries, which may lie where only root may look
os.setuid(65534)
said = [one.reason for one in run_batch(items, place / "mine" / "out") if one.state == "failed"]
try:
    run_batch(items, place / "out")
except InputError as error:
    said.append(str(error))
(place / "mine" / "said.txt").write_text(chr(10).join(said))
"""


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="changes who it is")
def test_what_may_not_be_read_or_written_is_said(items: list[BatchItem]) -> None:
    """As somebody else, in a process of its own: nothing is forbidden to root."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        place = Path(folder)
        place.chmod(0o755)
        shutil.copytree(items[0].model, place / "model")
        shutil.copytree(items[0].recording.parent, place / "recordings")
        (place / "recordings" / "R1.mat").chmod(0)
        (place / "mine").mkdir()
        (place / "mine").chmod(0o777)
        subprocess.run([sys.executable, "-c", AS_SOMEBODY_ELSE, str(place)], check=True)
        recording, out = (place / "mine" / "said.txt").read_text().splitlines()
        assert recording == f"{place / 'recordings' / 'R1.mat'}: cannot be read: Permission denied"
        assert out == f"{place / 'out'}: cannot be written to: Permission denied"
