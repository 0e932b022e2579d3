"""Other sorters and template matchers on a study's targets, scored generously.

    python benchmarks/others.py STUDY --out FILE.json [--targets D2 D3 ...] [--only NAME ...] [--minutes 5]

Two kinds of rivals, all of them through SpikeInterface (`pip install neural-spike-sorter[compare]`):

- sorters, which start from nothing: `simple`, `spykingcircus2`, `tridesclous2` and MountainSort5;
- template matchers, which are given the average waveforms of D1's labelled spikes: `wobble`, `tdc-peeler`
  and `circus-omp`.

Whatever is ours to choose is chosen in their favour, with the truth at hand: of the settings and bands tried
on a target (see `RIVALS` and `BANDS`) the best counts; a sorter's units get the names that score best, or are
dropped where that scores better; constant time offsets are taken out, since the others report a spike's
trough and we its start; and the matchers are told the target's true gain. No user could do so well.

The score can flatter a sorter that finds few spikes, as its classes are judged among the spikes found: see
`strict` beside it, which is that of the settings that score best, and `best_strict`, the best of them all.
The column `study` is the study's score, a failure counting 0.

A rival that crashes, or that finishes none of its settings in time, is reported as `fails`. Each runs in a
process of its own, on one core. The seconds are those of the settings that scored best, without compilation.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import multiprocessing
import os
import re
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

from raw_results import write_results
from spikesorter import Score, Spikes, read_mat, score, study_score
from spikesorter.core.pairs import pairs_within
from spikesorter.io.mat import read_mat_fs, read_mat_spikes

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float32]
Options = dict[str, Any]
Result = dict[str, Any]

BANDS: dict[str, Options] = {
    "300-6000": {"freq_min": 300.0, "freq_max": 6000.0},  # what most pipelines use
    "150-6000": {"freq_min": 150.0, "freq_max": 6000.0, "ftype": "bessel", "filter_order": 2},
    "50-8000": {
        "freq_min": 50.0,
        "freq_max": 8000.0,
        "ftype": "bessel",
        "filter_order": 2,
    },  # for slow spikes
}
TEMPLATE_MS = (1.0, 3.0)  # before and after the trough
OFFSET_MS = 2.0  # nothing that a sorter calls a spike's time is farther from its start
JITTER_MS = 0.4
NORMAL_MAD = 0.6745  # of a standard normal distribution
SWEEPS = 4
MOST_RENAMED = 20  # units; the others keep the names they start with
WARM_UP_S = 8.0
ONE_CORE = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1"
)
PACKAGES = ("spikeinterface", "mountainsort5", "isosplit6", "hdbscan", "numba", "scikit-learn", "networkx")


@dataclass(frozen=True)
class Rival:
    """How to run a rival: `run(recording, templates, folder, **settings)` gives samples and units."""

    run: Callable[..., tuple[IntArray, IntArray]]
    settings: tuple[Options, ...]
    given_templates: bool = False


# What a rival runs in its own process ------------------------------------------------------------------


def run_sorter(name: str, recording: Any, _: Any, folder: Path, **settings: Any) -> tuple[IntArray, IntArray]:
    """Run one of SpikeInterface's sorters."""
    from spikeinterface.sorters import run_sorter as run

    sorting = run(name, recording, folder=folder, remove_existing_folder=True, raise_error=True, **settings)
    vector = sorting.to_spike_vector()
    return vector["sample_index"].astype(np.int64), vector["unit_index"].astype(np.int64)


def run_matcher(
    name: str, recording: Any, templates: Any, _: Path, **settings: Any
) -> tuple[IntArray, IntArray]:
    """Run one of SpikeInterface's template matchers; its units are classes."""
    from spikeinterface.sortingcomponents.matching import find_spikes_from_templates

    if name == "tdc-peeler":
        settings["noise_levels"] = np.ones(1, np.float32)
    spikes = find_spikes_from_templates(
        recording,
        templates,
        method=name,
        method_kwargs=settings,
        job_kwargs={"n_jobs": 1, "chunk_duration": "100ms" if name == "circus-omp" else "1s"},
    )
    return spikes["sample_index"].astype(np.int64), templates.unit_ids[spikes["cluster_index"]].astype(
        np.int64
    )


def thresholds(values: tuple[float, ...], **others: Any) -> tuple[Options, ...]:
    """Settings that differ in the detection threshold, in units of the noise's standard deviation."""
    return tuple({"detect_threshold": value, **others} for value in values)


def circus2_settings() -> tuple[Options, ...]:
    """Settings of spykingcircus2.

    The default demands a signal-to-noise ratio of 5 of each unit, and joins units that differ only in
    amplitude; so it is also run with less of both.
    """
    similar: Options = {"merge_from_templates": None}
    return tuple(
        {
            "apply_preprocessing": False,
            "apply_whitening": False,
            "apply_motion_correction": False,
            "detection": {
                "method": "matched_filtering",
                "method_kwargs": {"peak_sign": "neg", "detect_threshold": threshold},
                "pipeline_kwargs": {},
            },
            "clustering": {"method": "iterative-hdbscan", "method_kwargs": {} if merge else similar},
            "cleaning": {"min_snr": min_snr, "max_jitter_ms": 0.2, "mean_sd_ratio_threshold": 3},
            "merging": {"max_distance_um": 50} | ({} if merge else {"template_diff_thresh": [0.05]}),
            "job_kwargs": {"n_jobs": 1},
        }
        for merge in (True, False)
        for threshold, min_snr in ((5, 5), (3.5, 1.5))
    )


SIMPLE = {"apply_preprocessing": False, "seed": 0, "job_kwargs": {"n_jobs": 1}}
TRIDESCLOUS2 = {
    "apply_preprocessing": False,
    "save_array": False,
    "seed": 0,
    "job_kwargs": {"n_jobs": 1},
}
MOUNTAINSORT5 = {"filter": False, "whiten": False}  # the recording is filtered and of unit noise already
RIVALS: dict[str, Rival] = {
    "simple": Rival(
        partial(run_sorter, "simple"),
        thresholds((5.0, 4.0, 3.0), **SIMPLE)
        + thresholds((4.0, 3.0), clusterer_kwargs={"min_cluster_size": 30}, **SIMPLE)
        + thresholds(
            (4.0, 3.0),
            clusterer="gaussian_mixture",
            clusterer_kwargs={"n_components": 6, "random_state": 0},
            **SIMPLE,
        ),
    ),
    "spykingcircus2": Rival(partial(run_sorter, "spykingcircus2"), circus2_settings()),
    "tridesclous2": Rival(
        partial(run_sorter, "tridesclous2"),
        thresholds((5.0, 4.0, 3.0), **TRIDESCLOUS2)
        + thresholds((3.0,), template_min_snr_ptp=1.0, **TRIDESCLOUS2),
    ),
    "mountainsort5": Rival(
        partial(run_sorter, "mountainsort5"),
        thresholds((5.5, 4.5, 3.5, 3.0, 2.5), **MOUNTAINSORT5),
    ),
    "wobble": Rival(
        partial(run_matcher, "wobble"),
        tuple(
            {"parameters": {"threshold": threshold}}
            for threshold in (8.0, 10.0, 13.0, 17.0, 22.0, 30.0, 50.0, 80.0, 120.0, 180.0)
        ),
        given_templates=True,
    ),
    "tdc-peeler": Rival(
        partial(run_matcher, "tdc-peeler"),
        thresholds((5.0, 4.0, 3.0, 2.5)),
        given_templates=True,
    ),
    "circus-omp": Rival(
        partial(run_matcher, "circus-omp"),
        tuple({"amplitudes": [least, 2.0]} for least in (0.6, 0.7, 0.8, 0.9)),
        given_templates=True,
    ),
}


def work(name: str, prepared: list[Path], out: Path) -> None:
    """Run a rival with each of its settings and leave the spikes, or why there are none, in `out`.

    The truth is not here: the caller scores what is left, also if this process crashes or is ended.
    """
    log = (out / "log.txt").open("w")
    os.dup2(log.fileno(), sys.stdout.fileno())  # sorters print, some of them from C
    os.dup2(log.fileno(), sys.stderr.fileno())

    import spikeinterface as si

    for i, (settings, folder) in enumerate(product(RIVALS[name].settings, prepared)):
        recording = si.load(folder / "recording")
        if i == 0:  # compile, so that the seconds are the rival's own
            short = recording.frame_slice(0, int(WARM_UP_S * recording.sampling_frequency))
            attempt(name, short.save(folder=out / "short"), folder, out / "warm-up", settings)
        attempt(name, recording, folder, out / f"run{i:02d}", settings)


def attempt(name: str, recording: Any, prepared: Path, out: Path, settings: Options) -> None:
    """Run a rival once; write `out`.npz, or `out`.txt that says why not."""
    start = time.perf_counter()
    try:
        run = RIVALS[name].run
        samples, units = run(recording, load_templates(prepared, recording), out / "sorter", **settings)
    except Exception as error:  # a rival may raise whatever it likes
        out.with_suffix(".txt").write_text(f"{type(error).__name__}: {error}")
        return
    seconds = time.perf_counter() - start
    partial_file = out.with_suffix(".part.npz")
    used = json.dumps({"band": prepared.name, **settings})
    np.savez(partial_file, samples=samples, units=units, seconds=seconds, settings=used)
    partial_file.rename(out.with_suffix(".npz"))


def load_templates(prepared: Path, recording: Any) -> Any:
    """Return D1's average waveforms as SpikeInterface has them."""
    from spikeinterface.core import Templates

    saved = np.load(prepared / "templates.npz")
    return Templates(
        templates_array=saved["waveforms"][:, :, None],
        sampling_frequency=recording.sampling_frequency,
        nbefore=int(saved["before"]),
        is_in_uV=False,
        channel_ids=recording.channel_ids,
        unit_ids=saved["classes"],
        probe=recording.get_probe(),
        sparsity_mask=np.ones((len(saved["classes"]), 1), bool),
    )


# Preparing the recordings ------------------------------------------------------------------------------


def prepare(study: Path, target: str, truth: Spikes, folder: Path) -> list[Path]:
    """Save the target as every rival gets it, and D1's templates to match, once for each band.

    Band-passed, turned so that spikes point down (where the others look for them), in units of the noise.
    The matchers are told the target's true gain: D1's templates are scaled by it.
    """
    folders = []
    for band, options in BANDS.items():
        labelled, fs_hz, labels = filtered(study / "D1.mat", options)
        trace, _, _ = filtered(study / f"{target}.mat", options)
        assert labels is not None
        scale = downwards(labelled, labels, fs_hz) / noise_sd(trace)
        trough = troughs(labelled * scale, labels, fs_hz)
        waveforms = templates(labelled * scale, labels, trough, fs_hz)
        waveforms *= gain(waveforms, templates(trace * scale, truth, trough, fs_hz))
        (folder / band).mkdir(parents=True)
        before = -window(-TEMPLATE_MS[0], 0.0, fs_hz)[0]
        classes = np.array(list(trough))
        np.savez(folder / band / "templates.npz", classes=classes, waveforms=waveforms, before=before)
        save_recording(trace * scale, fs_hz, folder / band / "recording")
        folders.append(folder / band)
    return folders


def filtered(path: Path, options: Options) -> tuple[FloatArray, float, Spikes | None]:
    """Return a file's band-passed trace, its sampling rate and its labels."""
    from spikeinterface.preprocessing import bandpass_filter

    recording, labels = read_mat(path)
    trace = bandpass_filter(
        recording,
        dtype="float32",
        ignore_low_freq_error=True,  # which is about filtering in chunks; here the trace is filtered whole
        **options,
    ).get_traces()[:, 0]
    return trace, float(recording.sampling_frequency), labels


def save_recording(trace: FloatArray, fs_hz: float, folder: Path) -> None:
    """Save a recording with a dummy probe: without both `run_sorter` refuses it."""
    from spikeinterface.core import NumpyRecording

    recording = NumpyRecording([trace.astype(np.float32)[:, None]], fs_hz)
    recording.set_dummy_probe_from_locations(np.zeros((1, 2)))
    recording.annotate(is_filtered=True)
    recording.save(folder=folder, n_jobs=1, verbose=False, progress_bar=False)


def noise_sd(trace: FloatArray) -> float:
    """Estimate the noise's standard deviation in spite of spikes."""
    return float(np.median(np.abs(trace - np.median(trace))) / NORMAL_MAD)


def downwards(trace: FloatArray, labels: Spikes, fs_hz: float) -> int:
    """Return -1 if the labelled spikes point upwards, 1 if they point downwards."""
    means = [average(trace, labels.of(k).sample, window(0.0, TEMPLATE_MS[1], fs_hz)) for k in labels.unit_ids]
    return -1 if np.mean([mean.max() + mean.min() for mean in means]) > 0 else 1


def troughs(trace: FloatArray, labels: Spikes, fs_hz: float) -> dict[int, int]:
    """Return how many samples after its start each class's median waveform has its trough."""
    wide = window(0.0, OFFSET_MS, fs_hz)
    return {k: int(np.argmin(average(trace, labels.of(k).sample, wide))) for k in labels.unit_ids}


def templates(trace: FloatArray, spikes: Spikes, after: dict[int, int], fs_hz: float) -> FloatArray:
    """Return each class's median waveform about the trough, which lies so many samples after the start.

    The median, because other spikes overlap with many of a class's.
    """
    about = window(-TEMPLATE_MS[0], TEMPLATE_MS[1], fs_hz)
    waveforms = [average(trace, spikes.of(k).sample + trough, about) for k, trough in after.items()]
    return np.array(waveforms, np.float32)


def gain(waveforms: FloatArray, target_waveforms: FloatArray) -> float:
    """Return the factor that brings D1's waveforms closest to the target's."""
    known = np.isfinite(target_waveforms)  # which they are not for a class that the target lacks
    return float(np.sum((waveforms * target_waveforms)[known]) / np.sum(waveforms[known] ** 2))


def average(trace: FloatArray, samples: IntArray, offsets: IntArray) -> FloatArray:
    """Return the median waveform about the samples."""
    inside = (samples + offsets[0] >= 0) & (samples + offsets[-1] < len(trace))
    return np.asarray(np.median(trace[samples[inside, None] + offsets], axis=0), np.float32)


def window(start_ms: float, stop_ms: float, fs_hz: float) -> IntArray:
    """Offsets from a sample."""
    return np.arange(round(start_ms * fs_hz / 1000), round(stop_ms * fs_hz / 1000), dtype=np.int64)


# Giving the best names -----------------------------------------------------------------------------------


def best_score(samples: IntArray, units: IntArray, truth: Spikes, fs_hz: float, *, named: bool) -> Score:
    """Score what a rival found, with the offsets and names (unless they are given) that score best."""
    trains = {int(u): np.sort(samples[units == u]) for u in np.unique(units)}
    if named:
        return score_named(trains, truth, fs_hz)
    return score_unnamed(list(trains.values()), truth, fs_hz)


def score_named(trains: dict[int, IntArray], truth: Spikes, fs_hz: float) -> Score:
    """Score classes whose constant offset is taken out where that helps."""
    moved = [train - offset(train, truth.of(k).sample, fs_hz)[0] for k, train in trains.items()]
    candidates = [list(trains.values()), moved]
    results = [score(truth, to_spikes(parts, list(trains)), fs_hz=fs_hz) for parts in candidates]
    return max(results, key=lambda result: result.score)


def score_unnamed(trains: list[IntArray], truth: Spikes, fs_hz: float) -> Score:
    """Give each unit the class that scores best, or none.

    Starts from the best of several namings and changes one unit's name at a time as long as the score rises.
    """
    classes = truth.unit_ids
    matches = [[offset(train, truth.of(k).sample, fs_hz) for k in classes] for train in trains]
    agreement = np.array([[n for _, n in row] for row in matches]).reshape(len(trains), len(classes))

    def scored(names: tuple[int, ...]) -> Score:
        parts = [train - matches[u][names[u]][0] for u, train in enumerate(trains) if names[u] >= 0]
        return score(truth, to_spikes(parts, [classes[k] for k in names if k >= 0]), fs_hz=fs_hz)

    names = max(starting_names(agreement), key=lambda names: scored(names).score)
    best = scored(names)
    largest = np.argsort(-agreement.max(1, initial=0))[:MOST_RENAMED].tolist()
    for _ in range(SWEEPS):
        before = best.score
        for unit in largest:
            for name in range(-1, len(classes)):
                other = (*names[:unit], name, *names[unit + 1 :])
                if other != names and (result := scored(other)).score > best.score:
                    names, best = other, result
        if best.score == before:
            break
    return best


def starting_names(agreement: IntArray) -> list[tuple[int, ...]]:
    """Return the namings from which the search may start; -1 is a dropped unit.

    For each unit the class with which it agrees most; the one-to-one naming that agrees most, with the other
    units named as in the first, or dropped.
    """
    most = agreement.argmax(1)
    one_to_one = np.full(len(agreement), -1)
    rows, columns = linear_sum_assignment(-agreement)
    one_to_one[rows] = columns
    starts = [most, np.where(one_to_one < 0, most, one_to_one), one_to_one]
    return [tuple(names.tolist()) for names in starts]


def offset(found: IntArray, true: IntArray, fs_hz: float) -> tuple[int, int]:
    """Return by how many samples what was found lies after the truth, and how many spikes agree then.

    The median of the lags about the commonest one: the median of all lags would be drawn towards 0 by
    spikes that meet by chance.
    """
    reach, jitter = round(OFFSET_MS * fs_hz / 1000), round(JITTER_MS * fs_hz / 1000)
    i, j = pairs_within(true, found, reach)
    if not len(i):
        return 0, 0
    lags = found[j] - true[i]
    counts = np.convolve(np.bincount(lags + reach, minlength=2 * reach + 1), np.ones(jitter), "same")
    near = np.abs(lags - (counts.argmax() - reach)) <= jitter
    agreeing = min(len(np.unique(i[near])), len(np.unique(j[near])))
    return int(np.median(lags[near])), agreeing


def to_spikes(parts: list[IntArray], labels: list[int]) -> Spikes:
    """Join the spikes of several units, less those moved to before the recording's beginning."""
    samples = np.concatenate([np.zeros(0, np.int64), *parts])
    label = np.repeat(np.array(labels, np.int64), [len(part) for part in parts])
    return Spikes.from_arrays(samples[samples >= 0], label[samples >= 0])


# The benchmark -----------------------------------------------------------------------------------------


def judge(name: str, prepared: list[Path], truth: Spikes, fs_hz: float, out: Path, limit_s: float) -> Result:
    """Run a rival in a process of its own and score the best of what it left."""
    out.mkdir()
    process = multiprocessing.get_context("spawn").Process(target=work, args=(name, prepared, out))
    process.start()
    process.join(limit_s)
    timed_out = process.is_alive()
    process.kill()
    process.join()
    tries = [tried(path, name, truth, fs_hz) for path in sorted(out.glob("run??.npz"))]
    reasons = [reason(path.read_text()) for path in sorted(out.glob("run??.txt"))]
    if timed_out:
        reasons.append(f"not finished after {limit_s:.0f} s")
    elif process.exitcode:
        reasons.append(f"process ended with {process.exitcode}")
    counts = {"finished": len(tries), "of": len(BANDS) * len(RIVALS[name].settings)}
    if not tries:
        return {"failed": reasons[-1] if reasons else "no result", **counts}
    best = max(tries, key=lambda result: result["score"])
    best_strict = max(result["strict"] for result in tries)
    return best | {"best_strict": best_strict, **counts, "failures": sorted(set(reasons)), "tries": tries}


def tried(path: Path, name: str, truth: Spikes, fs_hz: float) -> Result:
    """Score what a rival found with one of its settings."""
    run = np.load(path)
    best = best_score(run["samples"], run["units"], truth, fs_hz, named=RIVALS[name].given_templates)
    figures = {figure: round(value, 4) for figure, value in best.summary().items()}
    settings = json.loads(str(run["settings"]))
    return {**figures, "seconds": round(float(run["seconds"]), 2), "settings": settings}


def reason(report: str) -> str:
    """Return the line of a report, which may hold a whole traceback, that says what was wrong."""
    lines = [line.strip() for line in report.splitlines() if line.strip()]
    errors = [line for line in lines if re.match(r"[\w.]*(Error|Exception)\b", line)]
    return (errors or lines or ["unknown"])[-1]


def main() -> None:
    """Run the benchmark, write its figures and print a table."""
    arguments = parse()
    os.environ.update(ONE_CORE)
    names = arguments.only or list(RIVALS)
    targets = arguments.targets or sorted(p.stem for p in (arguments.study / "truth").glob("D*.mat"))
    targets = [target for target in targets if target != "D1"]
    results: dict[str, dict[str, Result]] = {target: {} for target in targets}
    for target in targets:
        truth = read_mat_spikes(arguments.study / "truth" / f"{target}.mat")
        with tempfile.TemporaryDirectory() as temporary:
            prepared = prepare(arguments.study, target, truth, Path(temporary) / "prepared")
            fs_hz = read_mat_fs(arguments.study / f"{target}.mat")
            for name in names:
                out = Path(temporary) / name
                result = judge(name, prepared, truth, fs_hz, out, 60 * arguments.minutes)
                results[target][name] = result
                print(f"{target} {name}: {cell(result)}", file=sys.stderr, flush=True)
                write(arguments.out, arguments.study, results)
    print(table(results, names))


def write(out: Path, study: Path, results: dict[str, dict[str, Result]]) -> None:
    """Write what is known so far."""
    versions = {package: version_of(package) for package in PACKAGES}
    facts = {"study": study.name, "targets": results, "versions": versions}
    write_results(out, facts)


def version_of(package: str) -> str | None:
    """Return a package's version; None if it is not installed, as for rivals that are not run."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def table(results: dict[str, dict[str, Result]], names: list[str]) -> str:
    """Return the figures of each rival on each target."""
    lines = ["| | | " + " | ".join([*results, "study"]) + " |", "|---|---|" + "---|" * (len(results) + 1)]
    for name in names:
        for figure in ("score", "strict", "best_strict", "seconds"):
            cells = [cell(result[name], figure) for result in results.values()]
            scores = {target: float(result[name].get("score", 0)) for target, result in results.items()}
            cells.append(f"{study_score(scores):.3f}" if figure == "score" else "")
            lines.append(f"| {name if figure == 'score' else ''} | {figure} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def cell(result: Result, figure: str = "score") -> str:
    """Return one figure as the table shows it."""
    if "failed" in result:
        return "fails"
    return f"{result[figure]:.1f}" if figure == "seconds" else f"{result[figure]:.3f}"


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("study", type=Path, help="a study's folder, with truth/")
    parser.add_argument("--out", type=Path, required=True, help="write the figures to this JSON file")
    parser.add_argument("--targets", nargs="+", help="only these recordings")
    parser.add_argument("--only", nargs="+", choices=list(RIVALS), help="only these rivals")
    parser.add_argument("--minutes", type=float, default=5.0, help="time for a rival on a target (default 5)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
