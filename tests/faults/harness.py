"""A batch that is killed, or whose disk fails, again and again: does it end with the undisturbed bytes?

`python -m tests.faults.harness kills|points|full ... --model MODEL --recordings FOLDER --out FOLDER
[--workers 2 ...] [--kills 100] [--seed 0]` prints one JSON object with what each trial found; kills are tried
with each number of workers. It forks: run it in a process of its own, without JAX.

kills   SIGKILL at random moments, to all processes of the batch at once
points  SIGKILL just before each single step that changes the disk, one batch for each
full    the disk is full at each such step, likewise
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import json
import os
import pickle
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from spikesorter.core.errors import InputError
from spikesorter.sorting import model
from spikesorter.sorting.finished_spans import FinishedSpans
from spikesorter.workflows import batch, tasks
from spikesorter.workflows.batch import run_batch
from spikesorter.workflows.manifest import BatchItem, read_batch
from spikesorter.workflows.running import Runner, run_here
from spikesorter.workflows.tasks import Outcome

SPAN_SECONDS = 0.25
STEPS = ((os, "replace"), (os, "fsync"), (tempfile, "mkstemp"), (shutil, "rmtree"))
DONE, REFUSED = 0, 2


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("kills", "points", "full"), nargs="+")
    for name in ("model", "recordings", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--workers", type=int, nargs="+", default=[1])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    items = read_batch(given.recordings, model=given.model)
    choose_at_once()
    load_once()
    wait_for_no_disk()
    run_batch(items, given.out / "compiled", span_seconds=SPAN_SECONDS)  # so that no trial waits for that
    wanted = [
        (what, workers) for what in given.what for workers in (given.workers if what == "kills" else [1])
    ]
    said = {}
    for what, workers in wanted:
        name = f"{what}-{workers}" if what == "kills" else what
        trial = Trial(items, given.out / name, workers)
        said[name] = trial.run(what, kills=given.kills, rng=random.Random(given.seed))
    sys.stdout.write(json.dumps(said))


class Trial:
    """Batches of the same items, each into a folder of its own, compared with an undisturbed one."""

    def __init__(self, items: list[BatchItem], out: Path, workers: int) -> None:
        self.items, self.out, self.workers, self.number = items, out, workers, 0
        self.log, self.reached = out / "spans.log", out / "reached"
        out.mkdir()
        start = time.perf_counter()
        self.end(self.begin(out / "undisturbed"))
        self.seconds = time.perf_counter() - start
        self.expected = bytes_in(out / "undisturbed")

    def run(self, what: str, *, kills: int, rng: random.Random) -> dict[str, Any]:
        start = time.perf_counter()
        if what == "kills":
            said = self.killed_at_random(kills, rng)
        else:
            said = self.stopped_at_each_step(full=what == "full")
        return said | {"seconds": round(time.perf_counter() - start, 1)}

    def killed_at_random(self, kills: int, rng: random.Random) -> dict[str, Any]:
        killed = batches = 0
        while killed < kills:
            place = self.fresh()
            while killed < kills:
                child = self.begin(place)
                time.sleep(rng.uniform(0, self.seconds))
                if os.waitpid(child, os.WNOHANG) != (0, 0):
                    break  # it was quicker
                os.killpg(child, signal.SIGKILL)
                os.waitpid(child, 0)
                killed += 1
            self.finish(place)
            batches += 1
        return {"kills": killed, "batches": batches, "workers": self.workers}

    def stopped_at_each_step(self, *, full: bool) -> dict[str, Any]:
        step = refused = failed = 0
        while True:
            place = self.fresh()
            self.reached.unlink(missing_ok=True)
            code = self.end(self.begin(place, stop_at=step, full=full))
            if not self.reached.exists():
                return {"steps": step, "refused": refused, "recordings_failed": failed}
            assert code in ((DONE, REFUSED) if full else (-signal.SIGKILL,)), (
                f"step {step}: ended with {code}"
            )
            refused += code == REFUSED
            if code == DONE:
                failed += json.loads((place / "batch.json").read_text())["failed"]
            self.finish(place)
            step += 1

    def fresh(self) -> Path:
        self.number += 1
        self.log.unlink(missing_ok=True)
        return self.out / f"batch{self.number}"

    def begin(self, place: Path, *, stop_at: int | None = None, full: bool = False) -> int:
        """Start a batch in a child process, at the head of a process group of its own."""
        child = os.fork()
        if child == 0:
            os.setpgid(0, 0)
            log_spans(self.log)
            if stop_at is not None:
                stop_before(stop_at, self.reached, full=full)
            try:
                run_batch(self.items, place, runner=forked(self.workers), span_seconds=SPAN_SECONDS)
            except InputError:
                os._exit(REFUSED)
            except BaseException as error:
                sys.stderr.write(f"{type(error).__name__}: {error}\n")
                os._exit(3)
            os._exit(DONE)
        with contextlib.suppress(OSError):  # whoever of the two comes first
            os.setpgid(child, child)
        return child

    def end(self, child: int) -> int:
        _, status = os.waitpid(child, 0)
        return os.waitstatus_to_exitcode(status)

    def finish(self, place: Path) -> None:
        """Let a batch run to its end, and look at what it left."""
        assert self.end(self.begin(place)) == DONE
        found = bytes_in(place)
        unlike = [name for name in {*found, *self.expected} if found.get(name) != self.expected.get(name)]
        assert unlike == [], f"{place}: other bytes in {unlike}"
        said = json.loads((place / "batch.json").read_text())
        assert said["failed"] == 0
        assert not list((place / ".spans").iterdir())
        left = [p for folder in ("", "predictions", ".batch") for p in (place / folder).glob(".*.*")]
        assert left == [], f"left behind: {left}"
        finished = self.log.read_text().splitlines() if self.log.exists() else []
        assert len(finished) == len(set(finished)), f"{place}: a finished span was sorted again"
        shutil.rmtree(place)


def bytes_in(place: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (place / "predictions").iterdir()}


def forked(workers: int) -> Runner:
    """Share tasks out to forked processes: what Dask's do, without its seconds to start."""
    if workers == 1:
        return run_here

    def run(work: Callable[[Any], Outcome], tasks: list[Any]) -> Iterator[Outcome]:
        reading, writing = os.pipe()
        for k in range(workers):
            if os.fork() == 0:
                for task in tasks[k::workers]:
                    os.write(writing, pickle.dumps(work(task)))  # shorter than a pipe takes at once
                os._exit(0)
        os.close(writing)
        with os.fdopen(reading, "rb") as results:
            for _ in tasks:
                yield pickle.load(results)
        for _ in range(workers):
            os.wait()

    return run


def choose_at_once() -> None:
    """Take the first sorter: to estimate which is nearest takes most of the time, and changes no file."""
    model.nearest_sorter = lambda sorters, *_, **__: (next(iter(sorters)), "")  # in this process alone


def load_once() -> None:
    """Load each model before the trials fork: to load it takes half of a trial, and changes no file."""
    batch.load_model = tasks.load_model = cache(model.load_model)  # in this process and its children


def wait_for_no_disk() -> None:
    """Leave out to wait for the disk, half of a trial: what a process wrote outlives it without."""
    os.fsync = lambda *_: None  # in this process and its children; still one of the steps


def log_spans(log: Path) -> None:
    """Write down each span that is on disk."""
    write = FinishedSpans.write

    def logged(self: FinishedSpans, start: int, stop: int, spikes: Any) -> None:
        write(self, start, stop, spikes)
        with log.open("a") as file:
            file.write(f"{self.folder.parent.parent.name} {self.folder.name} {start}\n")

    FinishedSpans.write = logged  # type: ignore[method-assign]  # in this process alone


def stop_before(step: int, reached: Path, *, full: bool) -> None:
    """Die, or find the disk full, just before the so-manieth step that changes the disk."""
    left = [step]

    def watched(original: Callable[..., Any]) -> Callable[..., Any]:
        def stopping(*args: Any, **kwargs: Any) -> Any:
            left[0] -= 1
            if left[0] == -1:
                reached.touch()
                if not full:
                    os.kill(os.getpid(), signal.SIGKILL)
                if kwargs.get("ignore_errors"):
                    return None
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return original(*args, **kwargs)

        return stopping

    for module, name in STEPS:
        setattr(module, name, watched(getattr(module, name)))


if __name__ == "__main__":
    main()
