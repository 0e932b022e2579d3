"""How a batch scales: 64 one-minute recordings by one worker process and by two, and empty tasks.

`python benchmarks/scaling.py OUT` takes the folder of results of a `spikesorter run` of five targets, whose
recordings are sorted over and over under 64 names.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
import time
from pathlib import Path

from distributed import Client, LocalCluster

from spikesorter.core.progress import Progress, silent
from spikesorter.io.recording import RecordingOptions
from spikesorter.report.kept_results import RUN
from spikesorter.workflows.batch import dask_runner, run_batch
from spikesorter.workflows.manifest import BatchItem, read_batch
from spikesorter.workflows.tasks import Outcome, SortTask

COUNT = 64


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--count", type=int, default=COUNT)
    given = parser.parse_args()
    facts = json.loads((given.out / RUN).read_text())
    files = [Path(facts["study"]) / f"{name}.mat" for name in facts["recordings"]]
    with tempfile.TemporaryDirectory() as folder:
        recordings = Path(folder) / "recordings"
        recordings.mkdir()
        for k in range(given.count):
            (recordings / f"R{k:03d}.mat").symlink_to(files[k % len(files)])
        seconds = {workers: batch_seconds(recordings, given.out, Path(folder), workers) for workers in (1, 2)}
    print("| workers | seconds | a recording | efficiency |\n|---|---|---|---|")
    for workers, took in seconds.items():
        efficiency = seconds[1] / (workers * took)
        print(f"| {workers} | {took:.1f} | {workers * took / given.count:.2f} s | {efficiency:.2f} |")
    print(f"\nempty tasks: {empty_tasks_per_second():.0f} a second")


def empty_tasks_per_second(count: int = 3000) -> float:
    """Return how many tasks that do nothing pass client, scheduler and two processes, all on this machine."""
    options = RecordingOptions()
    tasks = [
        SortTask(
            BatchItem(f"R{k}", Path("recording"), Path("model"), options),
            Path("out"),
            "mat",
            60.0,
            1,
            "digest",
        )
        for k in range(count)
    ]
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        start = time.perf_counter()
        done = list(dask_runner(client)(nothing, tasks))
        return len(done) / (time.perf_counter() - start)


def nothing(task: SortTask, progress: Progress = silent) -> Outcome:
    """Do nothing."""
    return Outcome(name=task.item.name, recording="", state="done")


def batch_seconds(recordings: Path, results: Path, folder: Path, workers: int) -> float:
    """Sort all with so many processes of Dask, which are there already, as in a long batch."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    items = read_batch(recordings, model=results / "model")
    out = folder / f"out{workers}"
    with (
        LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        runner = dask_runner(client)
        run_batch(items[: 2 * workers], out, runner=runner)  # imports and compiled code
        shutil.rmtree(out)
        start = time.perf_counter()
        outcomes = run_batch(items, out, runner=runner)
        took = time.perf_counter() - start
    assert all(outcome.state == "done" for outcome in outcomes)
    return took


if __name__ == "__main__":
    main()
