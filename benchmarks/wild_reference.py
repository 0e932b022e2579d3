"""A yardstick for the sorter on `wild` studies: one that learns where nothing is hidden.

    python benchmarks/wild_reference.py STUDY [--maker make_study.py] [--seconds 300] [--out FILE.json]

The sorter, with its defaults, learns from another recording of the same neurons, made as the target is made
(its noise, its gain), five times as long as the labelled recording of the study, and with every true spike
of the labelled neurons as a label. Then it sorts the target as it is. So nothing of what is lost comes from
few or faulty labels, from estimating noise and gain, or from rehearsals. Neurons are of the sizes that they
have in the long recording, as the maker draws bursts and slow changes anew for each. D5 and D6, which change
and go wrong in their own ways, are left out.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from spikeinterface.core import NumpyRecording

from raw_results import write_results
from reference import MAKER, load_maker, read_facts
from spikesorter import Sorter, Spikes, score
from spikesorter.io.mat import read_mat, read_mat_spikes

TARGETS = ("D2", "D3", "D4")
OTHER = 1000  # of the random seed, so that the recording to learn from is none of the study's


def main() -> None:
    """Learn, sort and score."""
    arguments = parse()
    maker, facts = load_maker(arguments.maker), read_facts(arguments.study, family="wild")
    recordings = {}
    for name in TARGETS:
        sorter = learnt(maker, facts["seed"], name, arguments.seconds)
        target, _ = read_mat(arguments.study / f"{name}.mat")
        truth = read_mat_spikes(arguments.study / "truth" / f"{name}.mat")
        recordings[name] = score(truth, sorter.sort(target), fs_hz=sorter.fs_hz).summary()
        print(f"{arguments.study.name} {name}: strict {recordings[name]['strict']:.3f}", flush=True)
    if arguments.out:
        write_results(arguments.out, {"recordings": recordings, "seconds": arguments.seconds})


def learnt(maker: ModuleType, seed: int, name: str, seconds: float) -> Sorter:
    """Return a sorter that learnt from a long recording like the target, with all of its spikes."""
    shapes = maker.WILD_SHAPES * np.random.default_rng([seed, 77]).uniform(
        0.85, 1.15, maker.WILD_SHAPES.shape
    )
    rng = np.random.default_rng([seed, OTHER, int(name[1:])])
    trace, sample, unit, _ = maker.wild_recording(rng, name, seconds, shapes)
    recording = NumpyRecording([trace.astype(np.float32)[:, None]], maker.WILD_FS)
    return Sorter.fit(recording, Spikes.from_arrays(sample, unit))


def parse() -> Any:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("study", type=Path)
    parser.add_argument("--maker", type=Path, default=MAKER)
    parser.add_argument("--seconds", type=float, default=300.0, help="of the recording to learn from")
    parser.add_argument("--out", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    main()
