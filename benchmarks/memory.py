"""How much memory: sorting an hour and ten hours from a file of 16-bit samples.

    python benchmarks/memory.py --out FOLDER [--hours 1 10] [--n-jobs N]

A simulated minute is written again and again until the file is as long as wanted; it is sorted in a
process of its own, through SpikeInterface's reader of raw binary files. Peak memory is the largest resident
set of that process (Linux counts pages of the file that are mapped into it too).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

SECONDS, NOISE, COUNTS = 60, 1.0, 100  # of the simulated minute; counts a unit
KILOBYTES_PER_GB = 1e6


def main() -> None:
    """Measure each length and leave a JSON file."""
    arguments = parse()
    arguments.out.mkdir(parents=True, exist_ok=True)
    model, minute = arguments.out / "model", arguments.out / "minute.raw"
    fs_hz = prepare(model, minute)
    figures = {}
    for hours in arguments.hours:
        path = arguments.out / f"{hours:g}h.raw"
        write_long(minute, path, round(hours * 3600 / SECONDS))
        command = [
            sys.executable,
            __file__,
            "--child",
            str(model),
            str(path),
            str(fs_hz),
            str(arguments.n_jobs),
        ]
        output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        figures[f"{hours:g} h"] = json.loads(output)
        print(f"{hours:g} h", figures[f"{hours:g} h"], flush=True)
        path.unlink()
    from raw_results import write_results

    write_results(arguments.out / "memory.json", figures)


def prepare(model: Path, minute: Path) -> float:
    """Train on a simulated study and write its target as 16-bit samples; return the sampling rate."""
    from spikeinterface.core import NumpyRecording

    from spikesorter import Sorter, load_settings
    from spikesorter.simulate import simulate_study

    labelled, target = simulate_study(seconds=SECONDS, noise_levels=(NOISE,))
    fs_hz = 25_000.0
    recordings = [NumpyRecording([to_counts(one.trace)], fs_hz) for one in (labelled, target)]
    settings = load_settings(assignments=["decoder=pursuit"])
    fitted = Sorter.fit(recordings[0], labelled.spikes, settings=settings)
    fitted.adapt(recordings[1]).save(model)
    minute.write_bytes(to_counts(target.trace).tobytes())
    return fs_hz


def to_counts(trace: np.ndarray) -> np.ndarray:
    """Return a trace in 16 bits."""
    return np.round(COUNTS * trace).astype(np.int16)


def write_long(minute: Path, path: Path, times: int) -> None:
    """Write a minute again and again."""
    contents = minute.read_bytes()
    with path.open("wb") as file:
        for _ in range(times):
            file.write(contents)


def sort(model: Path, path: Path, fs_hz: float, n_jobs: int) -> dict[str, float]:
    """Sort a raw file; return seconds, peak memory and what was found."""
    from spikeinterface.core import read_binary

    from spikesorter import Sorter

    sorter = Sorter.load(model)
    recording = read_binary(path, sampling_frequency=fs_hz, dtype="int16", num_channels=1)
    before = peak_gb()
    began = time.perf_counter()
    spikes = sorter.sort(recording, n_jobs=n_jobs)
    seconds = time.perf_counter() - began
    return {
        "samples": recording.get_num_frames(),
        "spikes": len(spikes),
        "seconds": round(seconds, 1),
        "times_real_time": round(recording.get_num_frames() / fs_hz / seconds, 1),
        "before_gb": before,
        "peak_gb": peak_gb(),
    }


def peak_gb() -> float:
    """Return this process's largest resident set so far (`getrusage` would count its parent's, too)."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / KILOBYTES_PER_GB


def parse() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--hours", type=float, nargs="+", default=[1.0, 10.0])
    parser.add_argument("--n-jobs", type=int, default=2)
    return parser.parse_args()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        outcome = sort(Path(sys.argv[2]), Path(sys.argv[3]), float(sys.argv[4]), int(sys.argv[5]))
        sys.stdout.write(json.dumps(outcome) + "\n")
    else:
        main()
