"""Recordings of SpikeInterface's own generators, sorted from labels of their first third, beside its sorters.

    python benchmarks/spikeinterface_gt.py PART ... --out FOLDER [--seeds 0 1 2] [--noise 15 40] [--tuned]

Parts: `one` (`generate_ground_truth_recording`, one channel), `four` (a tetrode), `correlated` (a tetrode
whose noise is shared between near contacts), `hybrid` (`generate_hybrid_recording`: units of varying
amplitude and sub-sample jitter, injected into the activity of many distant ones, on a tetrode), `mearec`
and `mearec_one` (MEArec's recordings, with its default settings but for distances, of a tetrode and of its
loudest contact; `mearec_raw`: without its band-pass filter; from --templates, which `mearec_templates.py`
makes), `channels` (the tetrodes of `four` sorted jointly, and each channel alone), `labels` (the tetrodes
of `four`, ours learning from what each of the others made of the first third instead of from the truth).
`table` prints what is in FOLDER; what is there is not run again.

Each recording has five units and white noise, of which the units' peaks are some 15 to 300 units tall (of
MEArec's 50 to 300 on the tetrode's largest contact, and the noise is filtered with the spikes). The
first third, labelled by the ground truth, is what our sorter is fitted to; it is then adapted to the rest,
without labels, and sorts that. The others, which learn from no labels, sort the same rest: SpikeInterface's
`simple`, `spykingcircus2`, `tridesclous2` and `lupin`, and MountainSort5 (`pip install
neural-spike-sorter[compare]`), Kilosort4, dartsort and SpikeSift where they are installed, with settings as
they come (`AS_THEY_COME`: nothing is changed but seeds, threads, the processor, and steps that need many
channels); or, with --tuned, with those of `others.py` too,
the best of them chosen with the truth at hand. Ours has no such choice.

Accuracy is that of SpikeInterface's `compare_sorter_to_ground_truth` (0.4 ms, Hungarian), mean over units;
in brackets how many units are found well (0.8 or more). A sorter that crashes or is not done in time found
nothing. Each runs in a process of its own, on one core.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from others import ONE_CORE, RIVALS, noise_sd, reason, run_sorter
from raw_results import write_results
from spikesorter import Sorter, Spikes, load_settings
from spikesorter.core.comparison import Comparison, compare_sortings

IntArray = npt.NDArray[np.int64]
Options = dict[str, Any]
Result = dict[str, Any]
Facts = tuple[str, float, int, float]  # part, noise, seed, seconds

FS_HZ = 30_000.0
SECONDS = 150.0
UNITS = 5
PLACES = {"margin_um": 10.0, "minimum_z": 5.0, "maximum_z": 30.0, "minimum_distance": 10.0}
RATES_HZ = (2.0, 15.0)
TETRODE_RADIUS_UM = 15.0
DECAY_UM = 30.0  # over which noise is shared
DISTANT = {"margin_um": 60.0, "minimum_z": 50.0, "maximum_z": 120.0, "minimum_distance": 5.0}
DISTANT_UNITS = 40
JITTER = 8  # positions within a sample
WELL = 0.8  # SpikeInterface's own `well_detected_score`
MEAREC = ("mearec", "mearec_one", "mearec_raw")
GENERATED = ("one", "four", "correlated", "hybrid", *MEAREC)
ONE_JOB = {"job_kwargs": {"n_jobs": 1, "progress_bar": False}}
AS_THEY_COME: dict[str, Options] = {
    "simple": {"seed": 0, **ONE_JOB},
    "spykingcircus2": {"seed": 0, "apply_motion_correction": False, **ONE_JOB},
    "tridesclous2": {"seed": 0, "save_array": False, **ONE_JOB},
    "lupin": {"seed": 0, "save_array": False, **ONE_JOB},
    "mountainsort5": {"n_jobs": 1, "progress_bar": False},
    "kilosort4": {
        "do_CAR": False,  # the median of one channel is the channel
        "do_correction": False,  # drift along a probe
        "torch_device": "cpu",
        "n_jobs": 1,
        "progress_bar": False,
    },
    "dartsort": {"do_motion_estimation": False, "device": "cpu"},
    "spikesift": {},
}
OWN_INTERFACE = ("spikesift",)  # not run by SpikeInterface
RELEASES = ("spikeinterface", "mountainsort5", "kilosort", "dartsort", "spikesift", "torch", "MEArec")
MEAREC_CELLS = {"n_exc": 3, "n_inh": 2}
MEAREC_DISTANCE_UM = 5.0  # between cells at least; of five near a tetrode, no pair is 25 apart, the default
TEMPLATES = "MEAREC_TEMPLATES"  # the environment's variable that tells each process where they are


@dataclass(frozen=True)
class Case:
    """A generated recording, cut into a labelled first third and the rest."""

    labelled: Any
    labels: Spikes
    rest: Any
    truth: Spikes

    def of(self, channel: Any) -> Case:
        """Return one channel of it."""
        first, rest = (part.select_channels([channel]) for part in (self.labelled, self.rest))
        return Case(first, self.labels, rest, self.truth)


# Recordings ----------------------------------------------------------------------------------------------


def make_case(part: str, noise: float, seed: int, seconds: float) -> Case:
    """Generate a recording and cut it."""
    from spikeinterface.core import NumpyRecording

    makers = {"hybrid": make_hybrid, **dict.fromkeys(MEAREC, make_mearec)}
    recording, sorting = makers.get(part, make_plain)(part, noise, seed, seconds)
    fs_hz = recording.get_sampling_frequency()
    traces = NumpyRecording([recording.get_traces()], fs_hz, channel_ids=recording.channel_ids)
    traces.set_probe(recording.get_probe())
    truth = Spikes.from_spikeinterface(sorting)
    cut, end = recording.get_num_frames() // 3, recording.get_num_frames()
    return Case(
        traces.frame_slice(0, cut),
        truth.within(0, cut),
        traces.frame_slice(cut, end),
        truth.within(cut, end).shifted(-cut),
    )


def make_plain(part: str, noise: float, seed: int, seconds: float, **units: Any) -> tuple[Any, Any]:
    """Units near one contact or a tetrode, in noise; `units` says how many and where, if not as usual."""
    from spikeinterface.core import generate_ground_truth_recording

    recording, sorting = generate_ground_truth_recording(
        durations=[seconds],
        sampling_frequency=FS_HZ,
        probe=make_probe(part),
        generate_sorting_kwargs={"firing_rates": RATES_HZ, "refractory_period_ms": 2.0},
        noise_kwargs=make_noise(part, noise),
        seed=seed,
        **{"num_units": UNITS, "generate_unit_locations_kwargs": PLACES, **units},
    )
    return recording, sorting


def make_hybrid(part: str, noise: float, seed: int, seconds: float) -> tuple[Any, Any]:
    """Units injected into a recording of many distant ones."""
    from spikeinterface.generation import generate_hybrid_recording

    distant = {"num_units": DISTANT_UNITS, "generate_unit_locations_kwargs": DISTANT}
    background, _ = make_plain("correlated", noise, seed + 1000, seconds, **distant)
    recording, sorting = generate_hybrid_recording(
        background,
        upsample_factor=JITTER,
        generate_sorting_kwargs={
            "num_units": UNITS,
            "firing_rates": RATES_HZ,
            "refractory_period_ms": 2.0,
        },
        generate_unit_locations_kwargs={**PLACES, "seed": seed},
        seed=seed,
    )
    return recording, sorting


def make_mearec(part: str, noise: float, seed: int, seconds: float) -> tuple[Any, Any]:
    """Recordings of MEArec with its default settings, as SpikeInterface reads them."""
    import MEArec
    from spikeinterface.core import NumpyRecording, NumpySorting
    from spikeinterface.extractors import read_mearec

    settings = MEArec.get_default_recordings_params()
    settings["spiketrains"] |= {**MEAREC_CELLS, "duration": seconds}
    settings["templates"]["min_dist"] = MEAREC_DISTANCE_UM
    settings["recordings"]["noise_level"] = noise
    settings["recordings"]["filter"] = part != "mearec_raw"
    settings["seeds"] = dict.fromkeys(settings["seeds"], seed)
    made = MEArec.gen_recordings(settings, templates=os.environ[TEMPLATES], n_jobs=1, verbose=False)
    with tempfile.TemporaryDirectory() as folder:
        MEArec.save_recording_generator(made, Path(folder) / "recording.h5")
        recording, sorting = read_mearec(Path(folder) / "recording.h5")
        samples = recording.get_traces().copy()  # the file is gone when they are used
        spikes = NumpySorting.from_sorting(sorting)
    loaded = NumpyRecording([samples], recording.get_sampling_frequency(), channel_ids=recording.channel_ids)
    loaded.set_probe(recording.get_probe())
    loudest = loaded.channel_ids[[int(samples.std(axis=0).argmax())]]
    return (loaded.select_channels(loudest) if part == "mearec_one" else loaded), spikes


def make_probe(part: str) -> Any:
    """One contact, or a tetrode."""
    from probeinterface import Probe, generate_tetrode

    if part != "one":
        probe = generate_tetrode(r=TETRODE_RADIUS_UM)
    else:
        probe = Probe(ndim=2, si_units="um")
        probe.set_contacts(np.zeros((1, 2)), shapes="circle", shape_params={"radius": 6})
    probe.set_device_channel_indices(np.arange(probe.get_contact_count()))
    return probe


def make_noise(part: str, noise: float) -> Options:
    """White noise, of its own on each channel or shared between near ones."""
    options: Options = {"noise_levels": noise, "strategy": "on_the_fly"}
    if part != "correlated":
        return options
    places = make_probe(part).contact_positions
    distances = np.linalg.norm(places[:, None] - places[None], axis=2)
    return {**options, "cov_matrix": np.exp(-distances / DECAY_UM)}


# Sorters, each in a process of its own -------------------------------------------------------------------


def sort_ours(case: Case, assignments: list[str]) -> Spikes:
    """Fit to the labelled part, adapt to the rest, sort it."""
    fitted = Sorter.fit(case.labelled, case.labels, settings=load_settings(assignments=assignments), n_jobs=1)
    return fitted.adapt(case.rest, n_jobs=1).sort(case.rest, n_jobs=1)


def sort_after(
    case: Case, name: str, settings: Options, band: bool, assignments: list[str], folder: Path
) -> Spikes:
    """Let another sorter sort the labelled part, learn from its result, sort the rest."""
    first = Case(case.labelled, case.labels, case.labelled, case.labels)
    labels = sort_theirs(first, name, settings, band, folder)
    return sort_ours(Case(case.labelled, labels, case.rest, case.truth), assignments)


def sort_theirs(case: Case, name: str, settings: Options, band: bool, folder: Path) -> Spikes:
    """Run one of SpikeInterface's sorters."""
    from spikeinterface.core import load

    saved = banded(case.rest) if band else case.rest
    saved.save(folder=folder / "recording", n_jobs=1, verbose=False, progress_bar=False)
    run = run_spikesift if name in OWN_INTERFACE else partial(run_sorter, name)
    samples, units = run(load(folder / "recording"), None, folder / "sorter", **settings)
    return Spikes.from_arrays(samples, units + 1, fs_hz=saved.get_sampling_frequency())


def run_spikesift(recording: Any, _: Any, folder: Path, **settings: Any) -> tuple[IntArray, IntArray]:
    """Run SpikeSift, which SpikeInterface has no wrapper for, on the binary file of a saved recording."""
    import spikesift

    (description,) = recording.get_binary_description()["file_paths"]
    given = spikesift.Recording(
        binary_file=str(description),
        data_type=recording.get_dtype(),
        probe_geometry=recording.get_channel_locations(),
        sampling_frequency=recording.get_sampling_frequency(),
    )
    found = spikesift.perform_spike_sorting(given, verbose=False, **settings)
    trains = [np.asarray(found.spikes(unit), np.int64) for unit in sorted(found.cluster_ids())]
    units = np.repeat(np.arange(len(trains)), [len(train) for train in trains])
    samples = np.concatenate([np.zeros(0, np.int64), *trains])
    order = np.argsort(samples, kind="stable")
    return samples[order], units[order]


def banded(recording: Any) -> Any:
    """Return a recording as `others.py` prepares it: band-passed, the noise of each channel of SD 1."""
    from spikeinterface.core import NumpyRecording
    from spikeinterface.preprocessing import bandpass_filter

    traces = bandpass_filter(recording, freq_min=300.0, freq_max=6000.0, dtype="float32").get_traces()
    scale = [noise_sd(channel) for channel in traces.T]
    scaled = NumpyRecording(
        [(traces / scale).astype(np.float32)],
        recording.get_sampling_frequency(),
        channel_ids=recording.channel_ids,
    )
    scaled.set_probe(recording.get_probe())
    scaled.annotate(is_filtered=True)
    return scaled


def work(run: Callable[..., Spikes], case: Facts, channel: int | None,
         options: Options, out: Path) -> None:  # fmt: skip
    """Leave a verdict in `out`.json, or why there is none in `out`.txt."""
    log = out.with_suffix(".log").open("w")
    os.dup2(log.fileno(), sys.stdout.fileno())  # sorters print, some of them from C
    os.dup2(log.fileno(), sys.stderr.fileno())
    made = make_case(*case)
    made = made if channel is None else made.of(made.rest.channel_ids[channel])
    start = time.perf_counter()
    try:
        found = run(made, **options)
    except Exception as error:  # a rival may raise whatever it likes
        out.with_suffix(".txt").write_text(f"{type(error).__name__}: {error}")
        return
    seconds = round(time.perf_counter() - start, 2)
    fs_hz = made.rest.get_sampling_frequency()
    write_results(out.with_suffix(".json"), {**judged(found, made.truth, fs_hz), "seconds": seconds})


def judged(found: Spikes, truth: Spikes, fs_hz: float) -> Result:
    """Return the referee's verdict in a form to be written."""
    verdict: Comparison = compare_sortings(truth, found, fs_hz=fs_hz)
    return verdict.summary()


def attempt(run: Callable[..., Spikes], case: Facts, options: Options,
            limit_s: float, channel: int | None = None) -> Result:  # fmt: skip
    """Run a sorter in a process of its own; a failure is a result too."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "result"
        kept = options | ({} if run is sort_ours else {"folder": Path(folder)})
        process = multiprocessing.get_context("spawn").Process(
            target=work, args=(run, case, channel, kept, out)
        )
        process.start()
        process.join(limit_s)
        timed_out = process.is_alive()
        process.kill()
        process.join()
        if out.with_suffix(".json").is_file():
            result: Result = json.loads(out.with_suffix(".json").read_text())
            return result
        said = out.with_suffix(".txt")
        why = reason(said.read_text()) if said.is_file() else f"process ended with {process.exitcode}"
        made = make_case(*case)
        nothing = judged(Spikes.empty(), made.truth, made.rest.get_sampling_frequency())
        return {**nothing, "failed": f"not finished after {limit_s:.0f} s" if timed_out else why}


# Parts ---------------------------------------------------------------------------------------------------


def measure_generated(part: str, arguments: argparse.Namespace) -> None:
    """Sort a part's recordings with ours and with theirs."""
    for case in cases(part, arguments):
        for decoder in arguments.decoders:
            run = partial(attempt, sort_ours, case, ours(decoder, arguments), arguments.minutes * 60)
            once(arguments, case, f"spikesorter-{decoder}", run)
        for name in installed() if arguments.only is None else arguments.only:
            once(arguments, case, name, partial(best_of, name, case, arguments))


def installed() -> list[str]:
    """Return the others that can be run here."""
    from spikeinterface.sorters import installed_sorters

    others = [name for name in OWN_INTERFACE if find_spec(name)]
    return [name for name in AS_THEY_COME if name in (*installed_sorters(), *others)]


def releases() -> dict[str, str]:
    """Return the versions of all that is compared, as far as they are installed."""
    return {name: version(name) for name in RELEASES if find_spec(name)}


def cases(part: str, arguments: argparse.Namespace) -> list[Facts]:
    """Return what says which recordings a part has."""
    return [(part, noise, seed, arguments.seconds) for noise in arguments.noise for seed in arguments.seeds]


def ours(decoder: str, arguments: argparse.Namespace) -> Options:
    """Return the options of `sort_ours`."""
    return {"assignments": [f"decoder={decoder}", *arguments.set]}


def best_of(name: str, case: Facts, arguments: argparse.Namespace) -> Result:
    """Run a rival with its settings as they come; or with more, of which the best one counts."""
    tries = [(AS_THEY_COME[name], False)]
    if arguments.tuned and name in RIVALS:
        tries += [(settings, True) for settings in RIVALS[name].settings]
    results = []
    for settings, band in tries:
        options = {"name": name, "settings": settings, "band": band}
        result = attempt(sort_theirs, case, options, arguments.minutes * 60)
        results.append({**result, "settings": settings, "as they come": not band})
    return max(results, key=lambda result: float(result["accuracy"]))


def measure_channels(arguments: argparse.Namespace) -> None:
    """Sort tetrodes jointly, and each of their channels alone."""
    for case, decoder in product(cases("four", arguments), arguments.decoders):
        for channel in (None, 0, 1, 2, 3):
            name = f"{decoder}-jointly" if channel is None else f"{decoder}-channel{channel}"
            options, limit_s = ours(decoder, arguments), arguments.minutes * 60
            run = partial(attempt, sort_ours, case, options, limit_s, channel)
            once(arguments, ("channels", *case[1:]), name, run)


def measure_labels(arguments: argparse.Namespace) -> None:
    """Learn from other sorters' labels."""
    for case, decoder in product(cases("four", arguments), arguments.decoders):
        for name in installed() if arguments.only is None else arguments.only:
            options = {
                "name": name,
                "settings": AS_THEY_COME[name],
                "band": False,
                **ours(decoder, arguments),
            }
            run = partial(attempt, sort_after, case, options, arguments.minutes * 60)
            once(arguments, ("labels", *case[1:]), f"spikesorter-{decoder} after {name}", run)


def once(arguments: argparse.Namespace, case: Facts, sorter: str,
         measure: Callable[[], Result]) -> None:  # fmt: skip
    """Measure, unless it was measured before."""
    part, noise, seed, seconds = case
    path = arguments.out / f"{part}_{noise:g}_{seed}_{sorter}.json"
    if path.is_file() and json.loads(path.read_text())["length_s"] == seconds:
        return
    result = measure()
    facts = {"part": part, "noise": noise, "seed": seed, "sorter": sorter, "length_s": seconds}
    write_results(path, facts | result | {"versions": releases()})
    print(f"{path.stem}: {result['accuracy']:.3f} {result.get('failed', '')}", flush=True)


# The table -----------------------------------------------------------------------------------------------


def print_table(folder: Path) -> None:
    """Print one row for each sorter, one column for each part and noise."""
    results = [json.loads(path.read_text()) for path in sorted(folder.glob("*_*_*_*.json"))]
    results += best_channels(results)
    columns = sorted({(r["part"], r["noise"]) for r in results}, key=lambda c: (PARTS.index(c[0]), c[1]))
    print("| accuracy | " + " | ".join(f"{part}, noise {noise:g}" for part, noise in columns) + " |")
    print("|---" * (len(columns) + 1) + "|")
    for sorter in sorted(
        {r["sorter"] for r in results}, key=lambda name: (not name.startswith("spikes"), name)
    ):
        cells = [cell([r for r in results if (r["part"], r["noise"], r["sorter"]) == (*column, sorter)])
                 for column in columns]  # fmt: skip
        print(f"| {sorter} | " + " | ".join(cells) + " |")


def best_channels(results: list[Result]) -> list[Result]:
    """For each tetrode the channel that alone does best, chosen with the truth at hand."""
    alone: dict[tuple[Any, ...], list[Result]] = {}
    for result in results:
        decoder, _, which = result["sorter"].partition("-")
        if which.startswith("channel"):
            alone.setdefault((result["noise"], result["seed"], decoder), []).append(result)
    best = {key: max(each, key=lambda r: float(r["accuracy"])) for key, each in alone.items()}
    return [{**result, "sorter": f"{key[2]}-best channel alone"} for key, result in best.items()]


def cell(results: list[Result]) -> str:
    """Mean accuracy over all units of all seeds, and how many are found well."""
    accuracies: npt.NDArray[np.float64] = np.array([u["accuracy"] for r in results for u in r["units"]])
    if not len(accuracies):
        return ""
    failed = sum("failed" in r for r in results)
    crashes = f", fails on {failed} of {len(results)}" if failed else ""
    return f"{accuracies.mean():.3f} ({np.sum(accuracies >= WELL)}/{len(accuracies)}{crashes})"


def main() -> None:
    """Run the parts asked for, then print the table."""
    arguments = parse()
    arguments.out.mkdir(parents=True, exist_ok=True)
    os.environ.update(ONE_CORE)
    if arguments.templates:
        os.environ[TEMPLATES] = str(arguments.templates.resolve())
    for part in arguments.parts:
        if part in GENERATED:
            measure_generated(part, arguments)
        elif part == "channels":
            measure_channels(arguments)
        elif part == "labels":
            measure_labels(arguments)
    print_table(arguments.out)


PARTS = (*GENERATED, "channels", "labels", "table")


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("parts", nargs="+", choices=PARTS)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--noise", nargs="+", type=float, default=[15.0, 40.0], help="SD of the noise")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="length of a recording")
    parser.add_argument("--decoders", nargs="*", default=["auto", "pursuit"], help="of our sorter")
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help="further settings of ours")
    parser.add_argument("--only", nargs="*", metavar="NAME", help="others to run; [all that are installed]")
    parser.add_argument("--tuned", action="store_true", help="also try the settings of others.py")
    parser.add_argument("--minutes", type=float, default=20.0, help="limit of each run")
    parser.add_argument("--templates", type=Path, help="MEArec's templates, for MEArec's parts")
    arguments = parser.parse_args()
    if set(MEAREC) & set(arguments.parts) and not arguments.templates:
        parser.error("MEArec's recordings need --templates (benchmarks/mearec_templates.py makes them)")
    return arguments


if __name__ == "__main__":
    main()
