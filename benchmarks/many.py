"""How long for many channels: one electrode, a tetrode, and 96 tetrodes, all simulated, on one core.

    python benchmarks/many.py --out FOLDER [--tetrodes 96] [--seconds 30]

A tetrode's sorter is adapted to its own target. The many are that target, each time delayed by another number
of samples, as one file of 16-bit samples; each is sorted by a sorter loaded for it. Every kind is sorted in a
process of its own, whose largest resident set is its memory (Linux counts the pages of the file too).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from memory import peak_gb, to_counts

FS_HZ = 25_000.0
NOISE, CHANNELS = 1.0, 4
KINDS = {"one electrode": (1, 1), "a tetrode": (1, CHANNELS)}  # groups and channels of each
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
Counts = npt.NDArray[np.int16]


def main() -> None:
    """Measure each kind and leave a JSON file."""
    arguments = parse()
    figures = measure(arguments.out, tetrodes=arguments.tetrodes, seconds=arguments.seconds)
    (arguments.out / "many.json").write_text(json.dumps(figures, indent=2) + "\n")


def measure(out: Path, *, tetrodes: int, seconds: float) -> dict[str, Any]:
    """Return seconds a channel-hour and memory for each kind."""
    out.mkdir(parents=True, exist_ok=True)
    targets = {channels: prepared(out, channels, seconds) for channels in (1, CHANNELS)}
    figures = {}
    for name, (groups, channels) in (KINDS | {f"{tetrodes} tetrodes": (tetrodes, CHANNELS)}).items():
        path = out / "many.raw"
        write_groups(path, targets[channels], groups)
        command = [sys.executable, __file__, "--child", str(path), str(out / f"model{channels}"), str(groups)]
        printed = subprocess.run(
            [*command, str(channels)],
            check=True,
            env=os.environ | ONE_THREAD,
            stdout=subprocess.PIPE,
            text=True,
        ).stdout
        figures[name] = json.loads(printed.splitlines()[-1])
        print(name, figures[name], flush=True)
        path.unlink()
    return figures


def prepared(out: Path, channels: int, seconds: float) -> Counts:
    """Fit and adapt a sorter to a simulated study, and return its target, shape (samples, channels)."""
    from spikeinterface.core import NumpyRecording

    from spikesorter import Sorter
    from spikesorter.simulate import simulate_study

    labelled, target = simulate_study(seconds=seconds, noise_levels=(NOISE,), channels=channels)
    recordings = [NumpyRecording([to_counts(one.trace)], FS_HZ) for one in (labelled, target)]
    Sorter.fit(recordings[0], labelled.spikes).adapt(recordings[1]).save(out / f"model{channels}")
    return to_counts(target.trace)


def write_groups(path: Path, target: Counts, groups: int) -> None:
    """Write a target once for each group, each time delayed by another number of samples."""
    delay = len(target) // groups
    file = np.memmap(path, np.int16, "w+", shape=(len(target), groups * target.shape[1]))
    for group in range(groups):
        columns = slice(group * target.shape[1], (group + 1) * target.shape[1])
        file[:, columns] = np.roll(target, group * delay, axis=0)
    file.flush()


def sort(path: Path, model: Path, groups: int, channels: int) -> dict[str, float]:
    """Sort a file group by group; return processor seconds a channel-hour and peak memory."""
    from spikeinterface.core import read_binary

    from spikesorter import Sorter, sort_groups

    every = read_binary(path, sampling_frequency=FS_HZ, dtype="int16", num_channels=groups * channels)
    names = [str(group) for group in range(groups)]
    every.set_property("group", np.repeat(names, channels))
    sorters = {name: Sorter.load(model) for name in names}
    sort_groups(sorters, every.frame_slice(0, 50_000), n_jobs=1)  # compiles
    began, processor = time.perf_counter(), time.process_time()
    found = sort_groups(sorters, every, n_jobs=1)
    seconds, processor = time.perf_counter() - began, time.process_time() - processor
    channel_hours = groups * channels * every.get_num_frames() / FS_HZ / 3600
    return {
        "spikes": len(found),
        "wall_s_per_channel_hour": round(seconds / channel_hours, 2),
        "processor_s_per_channel_hour": round(processor / channel_hours, 2),
        "times_real_time": round(every.get_num_frames() / FS_HZ / processor, 2),
        "peak_gb": peak_gb(),
    }


def parse() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--tetrodes", type=int, default=96)
    parser.add_argument("--seconds", type=float, default=30.0)
    return parser.parse_args()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        outcome = sort(Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5]))
        sys.stdout.write(json.dumps(outcome) + "\n")
    else:
        main()
