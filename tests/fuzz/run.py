"""Fuzz one reader, led by coverage: `python -m tests.fuzz.run TARGET --runs N --seed S` (extra `fuzz`).

Stops at the first defect: anything but a `SpikeSorterError`, a read of over two seconds, or memory that grows
by over 500 MB. The input lies in ARTIFACTS then; mend the defect and keep the input in tests/fuzz/corpus.
Other options go to libFuzzer, such as -only_ascii=1.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

CORPUS = Path(__file__).parent / "corpus"
TIMEOUT_S, GROWTH_MB = 2, 500
LONGEST = 16_384
INSTRUMENTED = (
    "spikesorter.core", "spikesorter.io", "spikesorter.estimation", "spikesorter.sorting",
    "spikesorter.workflows.manifest",
    "scipy.io.matlab", "scipy.io.wavfile", "tomllib", "csv", "zipfile", "json",
)  # fmt: skip


def peak_mb() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10


def counted(target: Callable[[bytes], None], name: str, runs: int) -> Callable[[bytes], None]:
    """Say at the last run how long the slowest took and by how much memory has grown."""
    before = peak_mb()
    began = time.perf_counter()
    count, slowest = 0, 0.0

    def run(data: bytes) -> None:
        nonlocal count, slowest
        start = time.perf_counter()
        target(data)
        now = time.perf_counter()
        count, slowest = count + 1, max(slowest, now - start)
        if count == runs:
            print(  # noqa: T201
                f"{name}: {runs} runs in {now - began:.0f} s, slowest {slowest * 1000:.0f} ms, "
                f"memory grew from {before} to {peak_mb()} MB",
                flush=True,
            )

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target")
    parser.add_argument("--runs", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--artifacts", type=Path, default=Path(tempfile.gettempdir()) / "spikesorter-fuzz")
    options, more = parser.parse_known_args()

    import atheris  # tests are collected where it is not installed

    with atheris.instrument_imports(include=list(INSTRUMENTED)):
        from tests.fuzz.targets import TARGETS
    target = TARGETS[options.target]
    kept = CORPUS / options.target
    for path in sorted(kept.iterdir()):  # loads what readers load only when they need it
        target(path.read_bytes())
    warnings.simplefilter("error", RuntimeWarning)
    warnings.simplefilter("error", UserWarning)
    found = options.artifacts / options.target
    found.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as grown:
        arguments = [
            sys.argv[0],
            f"-runs={options.runs}",
            f"-seed={options.seed}",
            f"-max_len={LONGEST}",
            f"-timeout={TIMEOUT_S}",
            f"-rss_limit_mb={peak_mb() + GROWTH_MB}",
            f"-artifact_prefix={found}/",
            "-verbosity=0",
            *more,
            grown,
            str(kept),
        ]
        atheris.Setup(arguments, counted(target, options.target, options.runs))
        atheris.Fuzz()


if __name__ == "__main__":
    main()
