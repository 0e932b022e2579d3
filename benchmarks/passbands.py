"""Which filtered recordings are told: octaves in which one of two recordings lacks noise that the other has.

`python benchmarks/passbands.py --families bath cortex wild library --seeds 0 1` filters labelled recording
and targets of each study in several ways, or not, and prints for each pair of ways the least and the most
octaves of all targets: those that the target lacks, and those that the labelled recording lacks.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.signal import butter, sosfilt, sosfiltfilt
from spikeinterface.core import BaseRecording, NumpyRecording

from bath import MAKER
from spikesorter import Sorter, Spikes, load_settings, read_mat
from spikesorter.estimation.passband import noise_of_parts, octaves_lacking
from spikesorter.io.samples import read_some_parts

FloatArray = npt.NDArray[np.float64]
HIGHEST = 0.45  # of the sampling rate, for edges above it
WAYS: dict[str, tuple[int, float, float, bool] | None] = {  # order, Hz, Hz, and whether backwards too
    "as it is": None,
    "300-6000": (3, 300.0, 6000.0, False),
    "300-6000 both ways": (3, 300.0, 6000.0, True),
    "500-3000": (3, 500.0, 3000.0, False),
    "250-7500, order 2": (2, 250.0, 7500.0, False),
}


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--families", nargs="+", default=["bath", "cortex", "wild", "library"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1])
    parser.add_argument("--maker", type=Path, default=MAKER)
    given = parser.parse_args()
    found: dict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
    for family, seed in product(given.families, given.seeds):
        with tempfile.TemporaryDirectory() as folder:
            words = [folder, "--family", family, "--seed", str(seed)]
            subprocess.run([sys.executable, str(given.maker), *words], check=True)
            for labelled, target, octaves in measure_study(Path(folder)):
                found[labelled, target].append(octaves)
    print("| labelled | target | target lacks | labelled lacks |\n|---|---|---|---|")
    for (labelled, target), lacking in found.items():
        least, most = np.min(lacking, axis=0), np.max(lacking, axis=0)
        ranges = (f"{low:.1f} to {high:.1f}" for low, high in zip(least, most, strict=True))
        print(f"| {labelled} | {target} | {' | '.join(ranges)} |")


def measure_study(study: Path) -> Iterator[tuple[str, str, tuple[float, float]]]:
    """Yield the way of the labelled recording, that of a target, and how many octaves either lacks."""
    recording, labels = read_mat(study / "D1.mat")
    targets = [read_mat(path)[0] for path in sorted(study.glob("D*.mat")) if path.stem != "D1"]
    for way in WAYS:
        labelled, kernel = learnt(filtered(recording, way), labels)
        for target, other in product(targets, WAYS):
            parts = read_some_parts(filtered(target, other))
            noise = noise_of_parts(parts, kernel, n_fft=2 * (len(labelled) - 1))
            if noise is None:
                raise ValueError(f"{study}: no noise was found in a target filtered {other}")
            lacking = octaves_lacking(noise, labelled, kernel)
            yield way, other, (lacking, octaves_lacking(labelled, noise, kernel))


def learnt(recording: BaseRecording, labels: Spikes | None) -> tuple[FloatArray, FloatArray]:
    """Return the power of a labelled recording's noise and the conditioning filter."""
    settings = load_settings(assignments=["decoder=pursuit"])
    state = Sorter.fit(recording, labels, settings=settings).state
    return state.labelled_noise, state.lessons.context.kernel


def filtered(recording: BaseRecording, way: str) -> NumpyRecording:
    """Return a recording filtered in one of the ways."""
    fs_hz, trace = recording.get_sampling_frequency(), recording.get_traces().astype(np.float64)
    if (band := WAYS[way]) is not None:
        order, low, high, backwards = band
        sections = butter(order, (low, min(high, HIGHEST * fs_hz)), "band", fs=fs_hz, output="sos")
        trace = (sosfiltfilt if backwards else sosfilt)(sections, trace, axis=0)
    return NumpyRecording([trace.astype(np.float32)], fs_hz)


if __name__ == "__main__":
    main()
