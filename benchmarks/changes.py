"""Recordings that change and go wrong: what is found outside bad stretches, and how much is called bad.

    python benchmarks/changes.py PART ... --out FOLDER [--seeds 21 22 23 24 25]

Parts: `cases` (the small altered recordings of the cases' maker: taps, pulses, zeros, missing samples, a
unit that fades, noise that trebles, an electrode that is off half-way; as the model is and adapted),
`streams` (the same as streams, which follow changes or do not), `tails` (stimulation pulses that return
slowly, as they are and with their response subtracted), `limit` (the noise that trebles, decoded by
`reference.py`, which is given the truth), `adapting` (time and memory of adapting to them), `wild` (D2, D5
and D6 of wild studies, beside the maker's plain baseline), `clean` (share of the time of clean recordings
that is called bad), `channels` (simulated tetrodes with a broken channel, beside a sorter of the other three
from the start) and `cost` (time to find bad stretches as a share of the time to sort). Each part writes
FOLDER/PART.json; `table` prints what is there.

Scores are of spikes outside the bad stretches of the truth and those that were found.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import scipy.io as sio
from spikeinterface.core import NumpyRecording

from bath import MAKER
from raw_results import write_results
from reference import decode_with_truth, load_maker
from spikesorter import Settings, Sorter, Spikes, read_mat, score
from spikesorter.core.bad_stretches import BadStretches
from spikesorter.io.mat_writing import write_mat_recording
from spikesorter.io.responses import without_responses
from spikesorter.signal.templates import plant
from spikesorter.simulate import SimulatedRecording, simulate_study
from spikesorter.sorting.pulses import find_pulses, subtract_pulses
from spikesorter.sorting.screening import find_bad_stretches
from spikesorter.sorting.screens import screen_for

CASES = MAKER.parent.parent / "cases" / "make_cases.py"
AFTER_MS = 20.0  # after a bad stretch, within which the recall is told too
NEAR = 25  # samples
FAMILIES = ("bath", "cortex", "wild")
ROUNDS = 5
FADING_UNIT = 2
PACKET_SECONDS = 0.1
LEFT_OFF = 0.001  # of a trace, while the electrode is switched off
TREBLED = 3.0  # the cases' white noise, in the second half of one of them
TETRODE_NOISE, TETRODE_SECONDS = 2.0, 30.0
TETRODE_FS_HZ = 25_000.0
BROKEN = 1  # channel of the tetrodes
PULSE_SAMPLES = 2500  # from one to the next
SINCE_MS = (2.0, 5.0, 10.0, 20.0, 100.0)
Row = dict[str, Any]


def main() -> None:
    """Run the parts asked for."""
    arguments = parse()
    arguments.out.mkdir(parents=True, exist_ok=True)
    for part in arguments.parts:
        if part == "table":
            print_table(arguments.out)
            continue
        with tempfile.TemporaryDirectory() as temporary:
            rows = PARTS[part](arguments, Path(temporary))
        write_results(arguments.out / f"{part}.json", rows)


def measure_cases(arguments: argparse.Namespace, folder: Path) -> list[Row]:
    """Sort the cases' altered recordings, and the clean one that they were made from."""
    run(CASES, folder)
    sorter = fitted(folder / "study")
    add_fading(folder, sorter)
    add_off(folder)
    clean = folder / "study" / "D3.mat"
    rows = []
    for path in (clean, *sorted((folder / "change").glob("*.mat"))):
        for adapted in (False, True):
            rows.append(shown(sort_one(sorter, path, adapted=adapted)))
    return rows


def add_fading(folder: Path, sorter: Sorter) -> None:
    """Add a case in which all units fade to half: a growing share of their templates is taken out."""
    target, _ = read_mat(folder / "study" / "D3.mat")
    truth = folder / "study" / "truth" / "D3.mat"
    true, _ = read_truth(truth)
    trace, templates = target.get_traces(), sorter.units.templates
    inside = true.within(templates.before, len(trace) - templates.waveforms.shape[1])
    lost = (-0.5 * inside.sample / len(trace)).astype(np.float32)
    faded = trace + plant(len(trace), inside, lost, templates)
    write_mat_recording(folder / "change" / "all_units_fade_to_half.mat", faded, fs_hz=sorter.fs_hz)
    shutil.copy(truth, folder / "change" / "truth" / "all_units_fade_to_half.mat")


def add_off(folder: Path) -> None:
    """Add a case in which the electrode is switched off half-way: a thousandth of the trace is left."""
    target, _ = read_mat(folder / "study" / "D3.mat")
    trace = target.get_traces().copy()
    middle = len(trace) // 2
    trace[middle:] *= LEFT_OFF
    true, _ = read_truth(folder / "study" / "truth" / "D3.mat")
    write_mat_recording(folder / "change" / "off_half_way.mat", trace, fs_hz=target.get_sampling_frequency())
    kept = true.within(0, middle)
    truth = {"Index": kept.sample, "Class": kept.unit, "Bad": [[middle, len(trace)]]}
    sio.savemat(folder / "change" / "truth" / "off_half_way.mat", truth)


def measure_streams(arguments: argparse.Namespace, folder: Path) -> list[Row]:
    """Sort the cases as streams with the labelled recording's sorter, as it is and following changes."""
    run(CASES, folder)
    sorter = fitted(folder / "study", decoder="pursuit")
    add_fading(folder, sorter)
    add_off(folder)
    rows = []
    for path in (folder / "study" / "D3.mat", *sorted((folder / "change").glob("*.mat"))):
        target, _ = read_mat(path)
        trace, fs_hz = target.get_traces(), float(target.get_sampling_frequency())
        true, true_bad = read_truth(path.parent / "truth" / path.name)
        for follow in (False, True):
            stream = sorter.stream(fs_hz, follow=follow)
            packets = np.array_split(trace, max(len(trace) // round(PACKET_SECONDS * fs_hz), 1))
            found = Spikes.concatenate([*map(stream.push, packets), stream.flush()])
            bad = stream.bad.joined(true_bad)
            good = score(true.outside(bad), found.outside(bad), fs_hz=fs_hz)
            row = {"recording": path.stem, "follow": follow, "score": good.score, "strict": good.strict}
            rows.append(shown(row))
    return rows


def measure_wild(arguments: argparse.Namespace, folder: Path) -> list[Row]:
    """Sort D2, D5 and D6 of wild studies, and run the maker's baseline on them."""
    rows = []
    for seed in arguments.seeds:
        study = made(folder, "wild", seed)
        plain = run(MAKER.with_name("baseline.py"), study)
        sorter = fitted(study)
        for name in ("D2", "D5", "D6"):
            row = sort_one(sorter, study / f"{name}.mat", adapted=True)
            rows.append(shown({**row, "seed": seed, "baseline": baseline_of(plain, name)}))
    return rows


def measure_clean(arguments: argparse.Namespace, folder: Path) -> list[Row]:
    """Screen clean recordings, with the model's screen and with the target's own."""
    rows = []
    for family in FAMILIES:
        for seed in arguments.seeds:
            study = made(folder, family, seed)
            sorter = fitted(study, decoder="botm")
            screen = sorter.state.screen
            assert screen is not None
            for path in sorted(study.glob("D[2-5].mat")):
                target, _ = read_mat(path)
                n_samples = target.get_num_frames()
                shares = {
                    name: find_bad_stretches(target, one, n_jobs=1).samples / n_samples
                    for name, one in (("as_model", screen), ("adapted", screen_for(target, screen)))
                }
                rows.append(shown({"family": family, "seed": seed, "recording": path.stem, **shares}))
    return rows


def measure_cost(arguments: argparse.Namespace, folder: Path) -> list[Row]:
    """Time finding bad stretches beside sorting, in turns, on one core."""
    sorter = fitted(made(folder, "bath", arguments.seeds[0]))
    target, _ = read_mat(folder / f"bath{arguments.seeds[0]}" / "D2.mat")
    screen = sorter.state.screen
    assert screen is not None
    ratios = []
    for _ in range(ROUNDS):
        begin = time.perf_counter()
        find_bad_stretches(target, screen, n_jobs=1)
        between = time.perf_counter()
        sorter.sort(target, n_jobs=1)
        ratios.append((between - begin) / (time.perf_counter() - between))
    return [shown({"recording": "bath D2", "share_of_sorting": float(np.median(ratios))})]


def measure_tails(arguments: argparse.Namespace, folder: Path) -> list[Row]:
    """Sort a recording with pulses that return slowly, as it is and with their response subtracted.

    They are subtracted at the given times, and at those at which they are found in the recording.

    Pulses vary by a tenth. Precision and recall are of spikes outside bad stretches, by time after a pulse.
    """
    run(CASES, folder)
    sorter = fitted(folder / "study", decoder="pursuit")
    target, true = (
        read_mat(folder / "study" / "D3.mat")[0],
        read_truth(folder / "study" / "truth" / "D3.mat")[0],
    )
    trace, fs_hz = target.get_traces().astype(np.float32), float(target.get_sampling_frequency())
    events = np.arange(PULSE_SAMPLES, len(trace) - PULSE_SAMPLES, PULSE_SAMPLES)
    blanked = BadStretches.of([(int(at) - 12, int(at) + 50, "given") for at in events])
    rows = []
    for times, decay_ms in ((0, 1.0), (20, 2.0), (20, 10.0), (50, 5.0), (50, 10.0)):
        pulsed = NumpyRecording([trace + pulses(sorter, events, len(trace), times, decay_ms, fs_hz)], fs_hz)
        quiet = without_responses(pulsed, events, before_ms=0.5, after_ms=80.0, blank_ms=2.0)
        seen = find_pulses(pulsed, sorter.state.own_screen, fs_hz=fs_hz)
        alone = subtract_pulses(pulsed, [seen], subtract_ms=80.0, window_ms=(-0.5, 2.0), fs_hz=fs_hz)
        for subtracted, recording, exclude in (
            ("no", pulsed, None),
            ("at given times", quiet, blanked),
            ("at found times", *alone),
        ):
            found = sorter.sort(recording, exclude=exclude)
            row: Row = {"times_the_spikes": times, "decay_ms": decay_ms, "subtracted": subtracted}
            row["pulses"], row["pulses_found"] = len(events), len(seen)
            row["bad_share"] = found.bad.samples / len(trace)
            for low, high in pairwise(SINCE_MS):
                good = [since(one.outside(found.bad), events, low, high, fs_hz) for one in (true, found)]
                one = score(*good, fs_hz=fs_hz)
                row[f"{low:g}-{high:g} ms"] = f"{one.recall:.3f} {one.precision:.3f}"
            rows.append(shown(row))
    return rows


def measure_channels(arguments: argparse.Namespace, folder: Path) -> list[Row]:
    """Sort tetrodes with a broken channel: adapted to them, and with the sorter of the whole tetrode."""
    rows = []
    for seed in arguments.seeds:
        labelled, target = simulate_study(
            channels=4, seconds=TETRODE_SECONDS, noise_levels=(TETRODE_NOISE,), seed=seed
        )
        for name, adapted, sorter, trace in tetrode_trials(labelled, target.trace, seed):
            row = {"seed": seed, "recording": name, "adapted": adapted}
            rows.append(shown(row | sorted_tetrode(sorter, trace, target.spikes)))
    return rows


def tetrode_trials(
    labelled: SimulatedRecording, target: np.ndarray, seed: int
) -> Iterator[tuple[str, bool, Sorter, np.ndarray]]:
    """Yield the name of each case, whether its sorter was adapted to it, the sorter and the trace."""
    others = [k for k in range(4) if k != BROKEN]
    sorter = fitted_to(labelled.trace, labelled.spikes)
    whole = sorter.adapt(tetrode(target))
    yield "whole", True, whole, target
    of_three = fitted_to(labelled.trace[:, others], labelled.spikes)
    yield "three from the start", True, of_three.adapt(tetrode(target[:, others])), target[:, others]
    for name, trace in broken_tetrodes(target, seed).items():
        yield name, False, whole, trace
        yield name, True, sorter.adapt(tetrode(trace)), trace
    for name, trace in broken_tetrodes(labelled.trace, seed).items():
        if name in ("dead", "missing"):
            one = fitted_to(trace, labelled.spikes)
            yield f"labelled {name}", True, one.adapt(tetrode(target)), target


def fitted_to(trace: np.ndarray, labels: Spikes) -> Sorter:
    """Fit a sorter with the pursuit to the channels of a tetrode."""
    return Sorter.fit(tetrode(trace), labels, settings=Settings(decoder="pursuit"))


def sorted_tetrode(sorter: Sorter, trace: np.ndarray, true: Spikes) -> Row:
    """Sort a tetrode, and compare with its truth and the forecast."""
    found, suited = sorter.sort(tetrode(trace)), sorter.suited_to(tetrode(trace))
    result, forecast = score(true, found, fs_hz=TETRODE_FS_HZ), suited.forecast
    return {
        "used": list(suited.used_channels),
        "score": result.score,
        "strict": result.strict,
        "forecast": forecast.score,
        "low": forecast.low,
        "high": forecast.high,
        "bad_share": found.bad.samples / len(trace),
    }


def tetrode(trace: np.ndarray) -> NumpyRecording:
    """Return the channels of a tetrode as a recording."""
    return NumpyRecording([np.ascontiguousarray(trace)], TETRODE_FS_HZ)


def broken_tetrodes(trace: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    """Return a tetrode's trace with one channel broken in several ways."""
    rng, n_samples = np.random.default_rng([seed, BROKEN]), len(trace)
    own = trace[:, BROKEN]
    noise = rng.standard_normal(n_samples).astype(np.float32)
    later = np.arange(n_samples)
    channels = {
        "dead": np.zeros(n_samples),
        "missing": np.full(n_samples, np.nan),
        "a tenth of the noise": 0.1 * TETRODE_NOISE * noise,
        "dead for half": np.where(later < n_samples / 2, own, 0.0),
        "dead for a tenth": np.where(later < 0.9 * n_samples, own, 0.0),
        "20 times the noise": own + 20 * TETRODE_NOISE * noise,
    }
    parts = {}
    for name, channel in channels.items():
        parts[name] = trace.copy()
        parts[name][:, BROKEN] = channel
    return parts


def pulses(
    sorter: Sorter, events: np.ndarray, n_samples: int, times: float, decay_ms: float, fs_hz: float
) -> np.ndarray:
    """Return pulses so many times as large as the largest spike, with an onset and a slow return."""
    largest = float(np.ptp(sorter.units.templates.waveforms, axis=1).max())
    after_ms = np.arange(round(0.08 * fs_hz)) / fs_hz * 1000
    shape = np.exp(-after_ms / decay_ms) - 1.3 * np.exp(-after_ms / 0.3)
    shape[:5] = (4, 4, -4, -4, 0)
    added = np.zeros((n_samples, 1), np.float32)
    for at, size in zip(events, 1 + 0.1 * np.random.default_rng(1).standard_normal(len(events)), strict=True):
        added[at : at + len(shape), 0] += times * largest * size * shape
    return added


def since(spikes: Spikes, events: np.ndarray, low_ms: float, high_ms: float, fs_hz: float) -> Spikes:
    """Return the spikes between two times after the event before them."""
    latest = events[np.maximum(np.searchsorted(events, spikes.sample, "right") - 1, 0)]
    ms = (spikes.sample - latest) / fs_hz * 1000
    return spikes.select((ms >= low_ms) & (ms < high_ms))


def measure_limit(arguments: argparse.Namespace, folder: Path) -> list[Row]:
    """Decode the clean recording and the one whose noise trebles half-way, given the truth of each half."""
    run(CASES, folder)
    maker = load_maker(MAKER)
    usual = maker.BATH_WHITE["D3"]
    rows = []
    for path in (folder / "study" / "D3.mat", folder / "change" / "noise_trebles_half_way.mat"):
        target, _ = read_mat(path)
        trace, fs_hz = target.get_traces(), float(target.get_sampling_frequency())
        true, _ = read_truth(path.parent / "truth" / path.name)
        middle, found = len(trace) // 2, []
        for start, stop in ((0, middle), (middle, len(trace))):
            half = folder / f"{path.stem}_{start}"
            write_half(
                half, folder / "study", trace[start:stop], true.within(start, stop).shifted(-start), fs_hz
            )
            maker.BATH_WHITE["D3"] = usual if start == 0 or path.stem == "D3" else TREBLED * usual
            found.append(decode_with_truth(half, "D3", maker).shifted(start))
        halves = [score(true.within(*ends), one, fs_hz=fs_hz).score
                  for ends, one in zip(((0, middle), (middle, len(trace))), found, strict=True)]  # fmt: skip
        whole = score(true, Spikes.concatenate(found), fs_hz=fs_hz)
        rows.append(shown({"recording": path.stem, "score": whole.score, "score_by_half": halves}))
    return rows


def write_half(half: Path, study: Path, trace: np.ndarray, true: Spikes, fs_hz: float) -> None:
    """Write part of a recording as a study's D3, with its truth."""
    (half / "truth").mkdir(parents=True)
    shutil.copy(study / "study.json", half / "study.json")
    write_mat_recording(half / "D3.mat", trace, fs_hz=fs_hz)
    sio.savemat(half / "truth" / "D3.mat", {"Index": true.sample, "Class": true.unit})


def measure_adapting(arguments: argparse.Namespace, folder: Path) -> list[Row]:
    """Measure processor time and memory of adapting to the cases, and to the clean one twenty times over."""
    run(CASES, folder)
    model = folder / "model"
    fitted(folder / "study").save(model)
    clean = folder / "study" / "D3.mat"
    rows: list[Row] = []
    for path, times in (
        (clean, 1),
        *((one, 1) for one in sorted((folder / "change").glob("*.mat"))),
        (clean, 20),
    ):
        with ProcessPoolExecutor(1, get_context("spawn")) as process:  # its peak is of this one alone
            seconds, peak_mb = process.submit(adapt_once, model, path, times).result()
        name = path.stem if times == 1 else f"{path.stem} {times} times over"
        ratio = seconds / rows[0]["seconds"] if rows else 1.0
        rows.append(shown({"recording": name, "seconds": seconds, "of_clean": ratio, "peak_mb": peak_mb}))
    return rows


def adapt_once(model: Path, path: Path, times: int) -> tuple[float, float]:
    """Return processor time (s) and the peak of this process's memory (MB)."""
    sorter = Sorter.load(model)
    trace = read_mat(path)[0].get_traces()
    target = NumpyRecording([np.concatenate([trace] * times)], sorter.fs_hz)
    start = time.process_time()
    sorter.adapt(target, n_jobs=1)
    seconds = time.process_time() - start
    status = Path("/proc/self/status").read_text(encoding="ascii")  # getrusage counts the parent's peak
    return seconds, int(status.partition("VmHWM:")[2].split()[0]) / 1024


PARTS = {
    "cases": measure_cases,
    "wild": measure_wild,
    "clean": measure_clean,
    "channels": measure_channels,
    "cost": measure_cost,
    "adapting": measure_adapting,
    "streams": measure_streams,
    "tails": measure_tails,
    "limit": measure_limit,
}


def sort_one(sorter: Sorter, path: Path, *, adapted: bool) -> Row:
    """Sort one recording, and compare with its truth."""
    target, _ = read_mat(path)
    fs_hz, n_samples = float(target.get_sampling_frequency()), target.get_num_frames()
    true, true_bad = read_truth(path.parent / "truth" / path.name)
    used = sorter.adapt(target) if adapted else sorter
    found = used.sort(target)
    bad = found.bad.joined(true_bad)
    good = score(true.outside(bad), found.outside(bad), fs_hz=fs_hz)
    forecast = used.forecast
    return {
        "recording": path.stem,
        "adapted": adapted,
        "score": good.score,
        "strict": good.strict,
        "forecast": forecast.score,
        "low": forecast.low,
        "high": forecast.high,
        "forecast_strict": forecast.strict,
        "bad_seconds": found.bad.samples / fs_hz,
        "found_inside": int(true_bad.contain(found.sample).sum()),
        "found": len(found),
        "doubts": list(found.doubts),
        "recall_after": recall_after(true, found, true_bad, fs_hz),
        "fading_f1_by_quarter": [
            unit_f1(true, found, n_samples * k // 4, n_samples * (k + 1) // 4, fs_hz) for k in range(4)
        ],
        "score_by_half": [
            score(true.within(a, b).outside(bad), found.within(a, b).outside(bad), fs_hz=fs_hz).score
            for a, b in ((0, n_samples // 2), (n_samples // 2, n_samples))
        ],
    }


def recall_after(true: Spikes, found: Spikes, bad: BadStretches, fs_hz: float) -> float:
    """Return the share of the spikes soon after a stretch that are found, of the right unit."""
    soon = true
    if len(bad):
        latest = np.maximum(np.searchsorted(bad.stop, true.sample, "right") - 1, 0)
        since = true.sample - bad.stop[latest]
        soon = true.select((since >= 0) & (since < AFTER_MS * fs_hz / 1000))
    right = [
        np.abs(found.of(spike.unit).sample - spike.sample).min(initial=NEAR + 1) <= NEAR for spike in soon
    ]
    return float(np.mean(right)) if right else float("nan")


def unit_f1(true: Spikes, found: Spikes, start: int, stop: int, fs_hz: float) -> float:
    """Return the F1 of the unit that fades in the cases, in part of a recording."""
    one, other = (spikes.within(start, stop).of(FADING_UNIT) for spikes in (true, found))
    return score(one, other, fs_hz=fs_hz).strict if len(one) else float("nan")


def read_truth(path: Path) -> tuple[Spikes, BadStretches]:
    """Read the spikes and bad stretches of a truth file."""
    stored = sio.loadmat(path, squeeze_me=True)
    bad = np.reshape(stored.get("Bad", []), (-1, 2)).astype(int).tolist()
    spikes = Spikes.from_arrays(stored["Index"], stored["Class"])
    return spikes, BadStretches.of([(start, stop, "given") for start, stop in bad])


def made(folder: Path, family: str, seed: int) -> Path:
    """Make a study."""
    run(MAKER, folder / f"{family}{seed}", "--family", family, "--seed", str(seed))
    return folder / f"{family}{seed}"


def fitted(study: Path, *, decoder: str = "auto") -> Sorter:
    """Fit a sorter to a study's labelled recording."""
    recording, labels = read_mat(study / "D1.mat")
    assert labels is not None
    return Sorter.fit(recording, labels, settings=Settings(decoder=decoder))


def run(script: Path, *words: object) -> str:
    """Run one of the makers."""
    command = [sys.executable, str(script), *map(str, words)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def baseline_of(printed: str, name: str) -> str:
    """Return the baseline's line for a target."""
    return next((line.strip() for line in printed.splitlines() if line.strip().startswith(name)), "")


def shown(row: Row) -> Row:
    """Print a row as it is measured."""
    print(json.dumps({k: round(v, 4) if isinstance(v, float) else v for k, v in row.items()}), flush=True)
    return row


def print_table(out: Path) -> None:
    """Print the figures that were measured, a line each."""
    for path in sorted(out.glob("*.json")):
        print(f"## {path.stem}")
        for row in json.loads(path.read_text(encoding="utf-8")):
            print("; ".join(f"{k} {round(v, 3) if isinstance(v, float) else v}" for k, v in row.items()))


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="+", choices=(*PARTS, "table"), metavar="PART")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[21, 22, 23, 24, 25])
    return parser.parse_args()


if __name__ == "__main__":
    main()
