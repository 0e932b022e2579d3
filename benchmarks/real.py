"""Real recordings from public repositories: the first part of each is learnt from, the rest is sorted.

    python benchmarks/real.py --emg FOLDER --complex-spikes FILE.mat ... --starling FOLDER --out FOLDER
    python benchmarks/real.py --emg FOLDER --complex-spikes FILE.mat ... --starling FOLDER --whole STUDIES
    python benchmarks/discover.py STUDIES/*.mat --learnt --rivals ... --out FILE

`--emg`: a folder with a record of EMGlab, `R00108.dat` and `.eaf` (10 s of a muscle, one needle, eight motor
units labelled by hand; "sample data" of the repository smetanadvorak/EMGlab on GitHub). `--complex-spikes`:
recordings of Purkinje cells (Data/Training_set of LeFalko/detect_CS), of which simple spikes were found by
the laboratory's sorter and complex spikes labelled by hand.
`--starling`: a folder with `st11_1_2_A8_1.wav` to `_5.wav` (five trials of 13 s of one electrode in a
songbird's auditory forebrain) and `st11_1_2_1_A8.txt` (spikes of the neuron that was sorted from it by hand),
both in the folder `data` of melizalab/comp-neurosci on GitHub.

Each is sorted as it was recorded (D2) and with noise of its own spectrum added to it. The maker's plain
supervised pipeline (`baseline.py`) runs on the same files. With `--whole`, the whole recordings are written
as the maker writes them instead, to find their units without labels. The repositories have licences of
their own; no part of them is kept here.
"""

from __future__ import annotations

import argparse
import json
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.io import loadmat, savemat, wavfile
from scipy.signal import welch

from accuracy import baseline, sort_study, write
from accuracy_table import summarise_adapting, summarise_trust
from bath import MAKER
from spikesorter import Spikes
from spikesorter.signal.noise import NoiseSpectrum, synthesise_noise
from spikesorter.signal.templates import estimate_templates, plant

RECORD = "R00108"
EMG_HZ, CEREBELLUM_HZ, TRAIN_HZ = 10_000.0, 25_000.0, 1000.0
EMG_LABELLED_SECONDS = 4.5
EMG_LEVELS, CLEAR_LEVELS = (0.0, 1.0, 2.0), (0.0, 2.0, 4.0, 7.0)  # of the recording's own noise
SIMPLE, COMPLEX = 1, 2
STARLING = "st11_1_2_A8_{}.wav", "st11_1_2_1_A8.txt"
TRIALS, LABELLED_TRIALS, ONSET_SECONDS = 5, 3, 2.0  # of the stimulus, from which times of spikes are counted
N_FFT = 512


@dataclass(frozen=True, eq=False)
class Recorded:
    """A real recording of one channel and its labels."""

    name: str
    trace: npt.NDArray[np.float64]
    spikes: Spikes
    fs_hz: float
    labelled_samples: int
    levels: tuple[float, ...]


def main() -> None:
    """Sort every recording given, and print what came of it."""
    arguments = parse()
    if arguments.whole:
        for recorded in read_all(arguments):
            write_whole(arguments.whole, recorded)
        return
    arguments.out.mkdir(parents=True, exist_ok=True)
    every = {}
    for recorded in read_all(arguments):
        with tempfile.TemporaryDirectory() as folder:
            write_study(Path(folder), recorded)
            results = sort_study(Path(folder), arguments.set)
            every[recorded.name] = {**results, "baseline": baseline(arguments, Path(folder))}
        write(arguments, recorded.name, every[recorded.name])
        print_rows(recorded, every[recorded.name])
    summarise_adapting(every)
    summarise_trust(every)


def read_all(arguments: argparse.Namespace) -> Iterator[Recorded]:
    """Read the recordings that the command line names."""
    if arguments.emg:
        yield read_emg(arguments.emg)
    for path in arguments.complex_spikes:
        yield read_complex_spikes(path)
    if arguments.starling:
        yield read_starling(arguments.starling)


def read_emg(folder: Path) -> Recorded:
    """Read a record of EMGlab: samples of 16 bits, the first byte highest, and labels in seconds."""
    trace = np.fromfile(folder / f"{RECORD}.dat", ">i2").astype(np.float64)
    labels = re.findall(r"^\s*([\d.]+)\s+(\d+)\s+1\s*$", (folder / f"{RECORD}.eaf").read_text(), re.MULTILINE)
    seconds, units = np.array(labels, np.float64).T
    spikes = Spikes.from_arrays(np.round(seconds * EMG_HZ).astype(int), units.astype(int))
    return Recorded("muscle", trace, spikes, EMG_HZ, int(EMG_LABELLED_SECONDS * EMG_HZ), EMG_LEVELS)


def read_complex_spikes(path: Path) -> Recorded:
    """Read a recording of a Purkinje cell; half of it is labelled.

    Simple spikes have times in milliseconds. Each is moved to the largest deflection near.
    """
    stored = loadmat(path, squeeze_me=True)
    trace = stored["HIGH"].astype(np.float64)
    rough = np.flatnonzero(stored["SS_train"]) * round(CEREBELLUM_HZ / TRAIN_HZ)
    rough = rough[(rough > 100) & (rough < len(trace) - 200)]
    around = np.arange(-25, 75)
    mean = trace[rough[:, None] + around].mean(axis=0)
    largest = int(np.abs(mean).argmax())
    near = rough[:, None] + around[largest] + np.arange(-20, 21)
    simple = near[np.arange(len(rough)), (np.sign(mean[largest]) * trace[near]).argmax(axis=1)]
    simple = np.unique(simple)
    simple = simple[np.diff(simple, prepend=-100) > TRAIN_HZ / 40]  # two times may be of one spike
    complex_ = np.flatnonzero(np.diff(stored["Labels"].astype(int)) > 0) + 1
    spikes = Spikes.from_arrays(
        np.concatenate([simple, complex_]),
        np.repeat([SIMPLE, COMPLEX], [len(simple), len(complex_)]),
    )
    name = f"cerebellum-{path.stem}"
    return Recorded(name, trace, spikes, CEREBELLUM_HZ, len(trace) // 2, CLEAR_LEVELS)


def read_starling(folder: Path) -> Recorded:
    """Read the trials of a bursting neuron, end to end; each line of the text has the spikes of one."""
    wave, text = STARLING
    read = [wavfile.read(folder / wave.format(trial + 1)) for trial in range(TRIALS)]
    rates, traces = zip(*read, strict=True)
    ends = np.cumsum([0, *map(len, traces)])
    seconds = [np.array(line.split(), np.float64) for line in (folder / text).read_text().splitlines()]
    fs_hz = float(rates[0])
    samples = [
        end + np.round((own + ONSET_SECONDS) * fs_hz).astype(int)
        for end, own in zip(ends[:-1], seconds, strict=True)
    ]
    found = np.concatenate(samples)
    spikes = Spikes.from_arrays(found, np.ones(len(found), int))
    trace = np.concatenate(traces).astype(np.float64)
    return Recorded("starling", trace, spikes, fs_hz, int(ends[LABELLED_TRIALS]), CLEAR_LEVELS)


def write_study(folder: Path, recorded: Recorded) -> None:
    """Write a study as the maker does: D1 with labels, the rest with more and more noise."""
    (folder / "truth").mkdir(parents=True)
    cut, fs_hz, trace = recorded.labelled_samples, recorded.fs_hz, recorded.trace
    whole = recorded.spikes
    first, later = whole.within(0, cut), whole.within(cut, len(trace)).shifted(-cut)
    noise = noise_like(recorded)
    savemat(folder / "D1.mat", {"d": trace[:cut], "fs": fs_hz, "Index": first.sample, "Class": first.unit})
    for number, level in enumerate(recorded.levels, start=2):
        savemat(folder / f"D{number}.mat", {"d": trace[cut:] + level * noise[cut:], "fs": fs_hz})
        savemat(folder / "truth" / f"D{number}.mat", {"Index": later.sample, "Class": later.unit})
    facts = {"family": "real", "fs": fs_hz, "classes": len(whole.unit_ids)}
    (folder / "study.json").write_text(json.dumps(facts))


def write_whole(folder: Path, recorded: Recorded) -> None:
    """Write a whole recording, and its true spikes in the folder `truth`."""
    (folder / "truth").mkdir(parents=True, exist_ok=True)
    spikes = recorded.spikes
    savemat(folder / f"{recorded.name}.mat", {"d": recorded.trace, "fs": recorded.fs_hz})
    savemat(folder / "truth" / f"{recorded.name}.mat", {"Index": spikes.sample, "Class": spikes.unit})


def noise_like(recorded: Recorded) -> npt.NDArray[np.float64]:
    """Return noise with the spectrum of what mean waveforms leave of a recording; the median over time."""
    before, after = (round(recorded.fs_hz * seconds) for seconds in (0.005, 0.012))
    column = recorded.trace[:, None].astype(np.float32)
    inside = recorded.spikes.within(before, len(column) - after)
    templates = estimate_templates(column, inside, before=before, after=after, kernel=np.ones(1))
    left = column - plant(len(column), inside, np.ones(len(inside), np.float32), templates)
    _, density = welch(left[:, 0], recorded.fs_hz, nperseg=N_FFT, average="median")
    spectrum = NoiseSpectrum.independent(density[:, None] * recorded.fs_hz / 2)
    made = synthesise_noise(spectrum, len(column), np.random.default_rng(0))
    return np.asarray(made[:, 0], np.float64)


def print_rows(recorded: Recorded, results: dict[str, Any]) -> None:
    """Print a row for each target: strict score, score and its forecast, not adapted, plain pipeline."""
    for (name, one), level in zip(results["recordings"].items(), recorded.levels, strict=True):
        forecast, plain = one["forecast"], results["baseline"][name]
        print(
            f"| {recorded.name}, noise + {level:g} | {one['strict']:.3f} | {one['score']:.3f} "
            f"({forecast['low']:.3f} to {forecast['high']:.3f}) | {one['not adapted']['strict']:.3f} "
            f"({one['not adapted']['score']:.3f}) | {plain['strict']:.3f} ({plain['score']:.3f}) |",
            flush=True,
        )


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--emg", type=Path, help="folder with EMGlab's R00108")
    parser.add_argument("--complex-spikes", type=Path, nargs="*", default=[], help="recordings (.mat)")
    parser.add_argument("--starling", type=Path, help="folder with trials (.wav) and times of spikes (.txt)")
    parser.add_argument("--maker", type=Path, default=MAKER, help="the study maker, for its baseline.py")
    parser.add_argument("--whole", type=Path, help="write whole recordings to this folder, and no more")
    parser.add_argument("--set", action="append", default=[], help="setting, as on the command line")
    parser.add_argument("--out", type=Path, default=Path("real"), help="folder for the results")
    return parser.parse_args()


if __name__ == "__main__":
    main()
