"""How fast: sorting beside a floor measured in the same run, adapting, training, streams, threads, start-up.

    python benchmarks/speed.py PART ... --out FOLDER [--maker .../make_study.py] [--targets D2 D4 D6]

Parts: adapt (fit and adapt, all cores; first, the others need its sorters), sort (one core, against five
blocked-FFT template correlations), cnn (all of that for networks, one target), run (`spikesorter run`,
defaults, one target and two at once), others (SpikeInterface's sorters, one core, warm; needs the extra
`compare`), workers (eight recordings, one and two threads), many (one electrode, a tetrode, 96 tetrodes),
stream (10 ms packets, one core; delay; what `low_latency` loses), start (imports), compile (processor seconds
at the first use), gpu (networks there and here; after cnn). `table` prints what was measured as a table.

Seconds are the least of several runs; compare ratios, which do not depend on the machine.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

ROOT = Path(__file__).resolve().parent.parent
PROGRAM = Path(sys.executable).parent / "spikesorter"
MAKER = ROOT.parent / "shared" / "studies" / "make_study.py"
TEMPLATES, TAPS, BLOCK = 5, 64, 8192  # of the floor
REPEATS = 5
PACKET_MS = 10.0
RIVALS = ("simple", "spykingcircus2", "tridesclous2", "mountainsort5")
Figures = dict[str, Any]


def main() -> None:
    """Measure the parts asked for; each leaves a JSON file."""
    arguments = parse()
    for part in arguments.parts:
        if part == "table":
            print_table(arguments.out)
            continue
        from raw_results import write_results

        figures = PARTS[part](arguments)
        write_results(arguments.out / f"speed_{part}.json", figures)
        print(part, json.dumps(figures), flush=True)


def measure_adapt(arguments: argparse.Namespace) -> Figures:
    """Fit to D1 and adapt to targets with the defaults; the sorters are kept for the other parts."""
    from spikesorter import Sorter, read_mat, score
    from spikesorter.io.mat import read_mat_spikes

    warm_up(arguments)
    study = made_study(arguments)
    recording, truth = read_labelled(study)
    seconds, fitted = timed(lambda: Sorter.fit(recording, truth), repeats=1)
    figures: Figures = {"fit": {"seconds": seconds}}
    for name in arguments.targets:
        target, _ = read_mat(study / f"{name}.mat")
        seconds, sorter = timed(partial(fitted.adapt, target), repeats=1)
        sorter.save(models(arguments) / name)
        found = sorter.sort(target)
        result = score(read_mat_spikes(study / "truth" / f"{name}.mat"), found)
        figures[name] = {"seconds": seconds, "decoder": sorter.decoder, "score": result.score}
    return figures


def measure_sort(arguments: argparse.Namespace) -> Figures:
    """Sort on one core, beside the floor."""
    return {name: on_one_core("sort", arguments, name) for name in arguments.targets}


def measure_cnn(arguments: argparse.Namespace) -> Figures:
    """Fit, adapt and sort with networks alone."""
    from spikesorter import Sorter, load_settings, read_mat

    study, name = made_study(arguments), arguments.targets[0]
    recording, truth = read_labelled(study)
    target, _ = read_mat(study / f"{name}.mat")
    settings = load_settings(assignments=["decoder=cnn"])
    fit_s, fitted = timed(lambda: Sorter.fit(recording, truth, settings=settings), repeats=1)
    adapt_s, sorter = timed(lambda: fitted.adapt(target), repeats=1)
    sorter.save(models(arguments) / f"cnn_{name}")
    figures = {"target": name, "fit_s": fit_s, "adapt_s": adapt_s}
    return figures | on_one_core("sort", arguments, f"cnn_{name}")


def measure_run(arguments: argparse.Namespace) -> Figures:
    """The whole command with its report, in a process of its own: one target after another, then two at once.

    Processor seconds are those of all its processes: they mean something while other work runs, too.
    """
    study, out = made_study(arguments), arguments.out / "run"
    figures: Figures = {}
    for n_jobs in ("1", "2"):
        shutil.rmtree(out, ignore_errors=True)
        command = [str(PROGRAM), "run", str(study), "--out", str(out), "--quiet", "--n-jobs", n_jobs]
        before = os.times()
        seconds, _ = timed(partial(subprocess.run, command, check=True), repeats=1)
        after = os.times()
        spent = after.children_user + after.children_system - before.children_user - before.children_system
        figures[f"{n_jobs} jobs"] = {"seconds": seconds, "processor_s": spent}
    return figures | {"study": json.loads((out / "scores.json").read_text())["study"]}


def measure_others(arguments: argparse.Namespace) -> Figures:
    """SpikeInterface's sorters with their settings as they come, warm, on one core, beside ours."""
    return {name: on_one_core("others", arguments, name) for name in arguments.targets[:2]}


def measure_workers(arguments: argparse.Namespace) -> Figures:
    """Sort eight recordings with one thread and with two, in turns."""
    from spikesorter.sorting.model import Model
    from spikesorter.sorting.sorter import Sorter
    from spikesorter.workflows.files import sort_files

    study, out = made_study(arguments), arguments.out / "workers"
    folder = models(arguments)
    model = Model({"": {name: Sorter.load(folder / name) for name in arguments.targets}}, folder)
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    files = []
    for i in range(8):
        files.append(out / f"R{i}.mat")
        files[-1].symlink_to(study / f"{arguments.targets[i % len(arguments.targets)]}.mat")
    times: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(3):
        for n_jobs in times:
            work = partial(sort_files, files, model, out / f"by_{n_jobs}", n_jobs=n_jobs, report=False)
            times[n_jobs].append(timed(work, repeats=1)[0])
    one, two = min(times[1]), min(times[2])
    same = all((out / "by_1" / f.name).read_bytes() == (out / "by_2" / f.name).read_bytes() for f in files)
    return {"one_s": one, "two_s": two, "times": one / two, "same_bytes": same}


def measure_many(arguments: argparse.Namespace) -> Figures:
    """One electrode, a tetrode and 96 tetrodes, simulated: seconds a channel-hour, and memory."""
    import many

    return many.measure(arguments.out / "many", tetrodes=96, seconds=30.0)


def measure_stream(arguments: argparse.Namespace) -> Figures:
    """Packets of 10 ms on one core, exact and with low latency."""
    return {name: on_one_core("stream", arguments, name) for name in arguments.targets}


def measure_gpu(arguments: argparse.Namespace) -> Figures:
    """Sort by networks on the processor and on a GPU, if there is one; the share of spikes that differ."""
    import jax

    from spikesorter import Sorter, read_mat

    try:
        devices = {"cpu": jax.devices("cpu")[0], "gpu": jax.devices("gpu")[0]}
    except RuntimeError:
        return {"gpu": "none at hand"}
    name = arguments.targets[0]
    sorter = Sorter.load(models(arguments) / f"cnn_{name}")
    target, _ = read_mat(made_study(arguments) / f"{name}.mat")
    figures: Figures = {}
    found: dict[str, set[tuple[int, int]]] = {}
    for kind, device in devices.items():
        with jax.default_device(device):
            sorter.sort(target.frame_slice(0, 100_000))  # compiles
            figures[f"{kind}_s"], spikes = timed(partial(sorter.sort, target), repeats=3)
        found[kind] = set(zip(spikes.sample.tolist(), spikes.unit.tolist(), strict=True))
    differing = len(found["cpu"] ^ found["gpu"]) / max(len(found["cpu"] | found["gpu"]), 1)
    return figures | {"differing": differing}


def measure_start(arguments: argparse.Namespace) -> Figures:
    """Import and --help, beside a Python that does nothing."""
    commands = {
        "python": [sys.executable, "-c", "pass"],
        "import": [sys.executable, "-c", "import spikesorter"],
        "help": [str(PROGRAM), "--help"],
    }
    runs = {name: partial(subprocess.run, c, check=True, stdout=subprocess.DEVNULL)
            for name, c in commands.items()}  # fmt: skip
    return {name: timed(run, repeats=REPEATS)[0] for name, run in runs.items()}


def measure_compile(arguments: argparse.Namespace) -> Figures:
    """Processor seconds to compile the sampler at the first use, and what low latency adds."""
    with tempfile.TemporaryDirectory() as empty:
        command = [sys.executable, __file__, "--child", "compile", "", "", ""]
        environment = os.environ | {"NUMBA_CACHE_DIR": empty}
        done = subprocess.run(command, check=True, env=environment, stdout=subprocess.PIPE, text=True)
    figures: Figures = json.loads(done.stdout.splitlines()[-1])
    return figures


# What runs on one core, in a process of its own ---------------------------------------------------------


def sort_on_one_core(study: Path, model: Path, name: str) -> Figures:
    """The least time of sorting and of the floor, taken in turns."""
    from spikesorter import Sorter, read_mat

    sorter = Sorter.load(model / name)
    target, _ = read_mat(study / f"{name.removeprefix('cnn_')}.mat")
    trace = target.get_traces()[:, 0].astype(np.float32)
    templates = np.random.default_rng(0).standard_normal((TEMPLATES, TAPS)).astype(np.float32)
    sorter.sort(target.frame_slice(0, 100_000), n_jobs=1)  # compiles
    sorting, flooring = [], []
    for _ in range(REPEATS):
        flooring.append(timed(lambda: correlate_in_blocks(trace, templates), repeats=1)[0])
        sorting.append(timed(lambda: sorter.sort(target, n_jobs=1), repeats=1)[0])
    seconds, floor = min(sorting), min(flooring)
    duration = len(trace) / sorter.fs_hz
    return {
        "seconds": seconds,
        "floor_s": floor,
        "floors": seconds / floor,
        "times_real_time": duration / seconds,
    }


def compile_on_one_core(study: Path, model: Path, name: str) -> Figures:
    """Explain a little noise with two units, twice, first as exact and then as low latency."""
    from spikesorter.decoding import gibbs

    rng, units = np.random.default_rng(0), 2
    outputs = rng.normal(0, 5, (1000, units)).astype(np.float32)
    overlaps = np.zeros((1, units, 161, units), np.float32)
    seconds = []
    for lengths in ((336, 128, 128, 48), (24, 96, 68, 0)):
        priors = gibbs.priors_at(
            1.0,
            np.full((1, units), 25.0),
            np.full(units, 0.1),
            np.full(units, -7.0),
            samples=sum(lengths[:3]),
        )
        rows = np.array([(0, 16, 1, 1), (0, 14, 2, 2), (0, 16, 3, 1)], np.int64)
        plan = gibbs.Plan(gibbs.stack_priors([priors]), rows, 1, 1)
        began = time.process_time()
        if lengths[3]:
            gibbs.explain_blocks(outputs, overlaps, plan, lengths, lengths[0], 0)
        else:
            shapes = np.zeros((units, 1, 80), np.float32)
            gibbs.explain_causally(outputs[:, 0][None].copy(), shapes, 8, overlaps, plan, lengths, 0)
        seconds.append(time.process_time() - began)
    return {"exact_s": seconds[0], "low_latency_s": seconds[1]}


def correlate_in_blocks(trace: npt.NDArray[np.float32], templates: npt.NDArray[np.float32]) -> None:
    """The floor: correlate with templates by FFT in blocks, overlap-save, and do nothing with the result."""
    from scipy import fft

    spectra = fft.rfft(templates, BLOCK, axis=1).conj()
    for start in range(0, len(trace) - BLOCK + 1, BLOCK - TAPS + 1):
        fft.irfft(fft.rfft(trace[start : start + BLOCK]) * spectra, BLOCK, axis=1)


def others_on_one_core(study: Path, model: Path, name: str) -> Figures:
    """Time each rival and the sorter on the same file; scores with the best names that the truth allows."""
    import spikeinterface as si

    import others
    from spikesorter import Sorter, read_mat, score
    from spikesorter.io.mat import read_mat_spikes

    truth = read_mat_spikes(study / "truth" / f"{name}.mat")
    target, _ = read_mat(study / f"{name}.mat")
    sorter = Sorter.load(model / name)
    figures: Figures = {}
    sorter.sort(target.frame_slice(0, 100_000), n_jobs=1)
    seconds, found = timed(lambda: sorter.sort(target, n_jobs=1), repeats=3)
    figures["spikesorter"] = {"seconds": seconds, "score": score(truth, found).score}
    with tempfile.TemporaryDirectory() as temporary:
        tuned = others.prepare(study, name, truth, Path(temporary))[0]
        recording = si.load(tuned / "recording")
        for rival in RIVALS:
            kind = others.RIVALS[rival]
            run = partial(kind.run, recording, None, Path(temporary) / rival, **kind.settings[0])
            try:
                run()  # compiles
                seconds, (samples, units) = timed(run, repeats=2)
            except Exception as error:  # a rival may raise whatever it likes
                figures[rival] = {"failed": f"{type(error).__name__}: {error}"[:200]}
                continue
            best = others.best_score(samples, units, truth, sorter.fs_hz, named=False)
            figures[rival] = {"seconds": seconds, "score": best.score}
    return figures


def stream_on_one_core(study: Path, model: Path, name: str) -> Figures:
    """Time for each packet, delay of lone spikes with packets of 1 ms, and the score."""
    from spikesorter import Sorter, read_mat, score
    from spikesorter.io.mat import read_mat_spikes

    target, _ = read_mat(study / f"{name}.mat")
    truth = read_mat_spikes(study / "truth" / f"{name}.mat")
    samples, figures = target.get_traces(), {}
    exact = Sorter.load(model / name)
    for mode, sorter in (("exact", exact), ("low_latency", exact.low_latency(n_jobs=1))):
        fs_hz = sorter.fs_hz
        push_all(sorter, samples[:50_000], round(PACKET_MS * fs_hz / 1000))  # compiles
        found, seconds, _ = push_all(sorter, samples, round(PACKET_MS * fs_hz / 1000))
        _, _, delays = push_all(sorter, samples[: int(20 * fs_hz)], round(fs_hz / 1000))
        figures[mode] = {
            "median_ms": 1000 * float(np.median(seconds)),
            "p99_ms": 1000 * float(np.quantile(seconds, 0.99)),
            "delay_median_ms": 1000 * float(np.median(delays)) / fs_hz,
            "delay_most_ms": 1000 * float(np.max(delays)) / fs_hz,
            "score": score(truth, found).score,
        }
    same = Sorter.load(model / name).sort(target)
    figures["exact"]["same_as_file"] = bool(
        np.array_equal(same.sample, push_all(exact, samples, 999)[0].sample)
    )
    return figures


def push_all(sorter: Any, samples: npt.NDArray[Any], packet: int) -> tuple[Any, list[float], list[int]]:
    """Return the spikes, the seconds of each push, and each lone spike's delay in samples."""
    from spikesorter import Spikes

    stream, parts, seconds, delays = sorter.stream(sorter.fs_hz), [], [], []
    for first in range(0, len(samples), packet):
        began = time.perf_counter()
        spikes = stream.push(samples[first : first + packet])
        seconds.append(time.perf_counter() - began)
        parts.append(spikes)
        delays += (stream.received_samples - spikes.sample).tolist()
    parts.append(stream.flush())
    found = Spikes.concatenate(parts)
    gaps = np.diff(found.sample, prepend=-(10**9), append=10**12)
    lone = np.minimum(gaps[:-1], gaps[1:])[: len(delays)] > LONE_MS * sorter.fs_hz / 1000
    return found, seconds, np.array(delays)[lone].tolist()


LONE_MS = 5.0
ON_ONE_CORE: dict[str, Callable[[Path, Path, str], Figures]] = {
    "sort": sort_on_one_core,
    "others": others_on_one_core,
    "stream": stream_on_one_core,
    "compile": compile_on_one_core,
}
PARTS: dict[str, Callable[[argparse.Namespace], Figures]] = {
    "adapt": measure_adapt,
    "sort": measure_sort,
    "cnn": measure_cnn,
    "run": measure_run,
    "others": measure_others,
    "workers": measure_workers,
    "many": measure_many,
    "stream": measure_stream,
    "gpu": measure_gpu,
    "start": measure_start,
    "compile": measure_compile,
}


def on_one_core(part: str, arguments: argparse.Namespace, name: str) -> Figures:
    """Run a part in a process that may use one core and whose libraries use one thread."""
    study, model = made_study(arguments), models(arguments)
    command = [sys.executable, __file__, "--child", part, str(study), str(model), name]
    environment = os.environ | {
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "NUMBA_NUM_THREADS": "1",
        "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
    }
    output = subprocess.run(
        command,
        check=True,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout
    figures: Figures = json.loads(output.splitlines()[-1])
    return figures


def timed(work: Callable[[], Any], *, repeats: int) -> tuple[float, Any]:
    """Return the least time of several runs, and the last result."""
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        result = work()
        times.append(time.perf_counter() - began)
    return min(times), result


def read_labelled(study: Path) -> tuple[Any, Any]:
    """Return D1 and its labels."""
    from spikesorter import read_mat

    return read_mat(study / "D1.mat")


def warm_up(arguments: argparse.Namespace) -> None:
    """Import and compile."""
    from spikesorter import Sorter, load_settings

    study = made_study(arguments)
    recording, truth = read_labelled(study)
    short = int(12 * recording.get_sampling_frequency())
    settings = load_settings(assignments=["decoder=pursuit", "rehearsal.tuning_seconds=5"])
    part = recording.frame_slice(0, short)
    Sorter.fit(part, truth.within(0, short), settings=settings).adapt(part)


def made_study(arguments: argparse.Namespace) -> Path:
    """Make the `bath` study of seed 0, once."""
    study: Path = arguments.out / "study"
    if not (study / "D1.mat").is_file():
        study.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run([sys.executable, str(arguments.maker), str(study)], check=True, stdout=sys.stderr)
    return study


def models(arguments: argparse.Namespace) -> Path:
    """Where the part `adapt` leaves its sorters for the others."""
    folder: Path = arguments.out / "models"
    return folder


def print_table(out: Path) -> None:
    """Print all that was measured."""
    print("| what | figure |\n|---|---|")
    for part, path in ((part, out / f"speed_{part}.json") for part in PARTS):
        if path.is_file():
            for name, value in flat(json.loads(path.read_text())):
                shown = f"{value:.3f}" if isinstance(value, float) else value
                print(f"| {part} {name} | {shown} |")


def flat(figures: Figures, before: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (path, value) of nested figures."""
    for name, value in figures.items():
        if isinstance(value, dict):
            yield from flat(value, f"{before}{name} ")
        else:
            yield f"{before}{name}", value


@contextmanager
def quiet() -> Iterator[None]:
    """Send what rivals print to standard error: the last line of standard output is the result."""
    saved = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        os.dup2(saved, 1)


def parse() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("parts", nargs="+", choices=[*PARTS, "table"], metavar="PART")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--maker", type=Path, default=MAKER)
    parser.add_argument("--targets", nargs="+", default=["D2", "D3", "D4", "D5", "D6"])
    return parser.parse_args()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
        with quiet():
            outcome = ON_ONE_CORE[sys.argv[2]](Path(sys.argv[3]), Path(sys.argv[4]), sys.argv[5])
        sys.stdout.write(json.dumps(outcome) + "\n")
    else:
        main()
