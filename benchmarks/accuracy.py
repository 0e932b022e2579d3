"""How accurate the sorter is: every figure of the README's table, part by part.

    python benchmarks/accuracy.py PART ... --out FOLDER [--seeds 0 1 2 ...]

Parts: `bath` and `cortex` (studies of the maker that everybody measures with), `reference` (the same bath
studies decoded by `reference.py`, which is given the truth), `others` (other sorters and template matchers,
needs the extra `compare`), `pairs` (spikes 3 to 20 samples apart), `gain` (gains and slow change), `noise`
(colours of noise, against linear discriminants), `unknown` (a neuron that D1 does not hold), `wild` (spikes
that vary, beside the maker's `baseline.py`, which needs scikit-learn), `wild_reference` (the same, learnt
from five minutes of the same neurons with all true spikes), `library` (a background of spikes),
`library_reference` (the same, decoded by `library_reference.py`, which is given the truth), `cortex_seeds`
(gains too) and `hc1` (a real tetrode recording with intracellular truth; its best channel).
Each part writes FOLDER/PART....json; `table` prints what is there.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from ast import literal_eval
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.signal import butter, sosfilt, sosfiltfilt
from spikeinterface.core import BaseRecording, NumpyRecording

from accuracy_table import print_table
from bath import MAKER
from library_reference import errors
from raw_results import write_results
from spikesorter import Sorter, Spikes, load_settings, read_mat, score, study_score
from spikesorter.core.score import match_spikes
from spikesorter.decoding.calibration import expected_calibration_error, judge_events
from spikesorter.io.mat import read_mat_spikes
from spikesorter.signal.bank import make_bank
from spikesorter.signal.noise import NoiseSpectrum, synthesise_noise
from spikesorter.signal.templates import Templates, estimate_templates, plant
from spikesorter.simulate import simulate_study

FloatArray = npt.NDArray[np.float32]
FS_HZ = 25_000.0
CLOSE, FAR = 3, 20  # samples between two spikes of a pair
DETECTABILITIES = (3.0, 5.0, 8.0, 12.0)
COLOURS = ("white", "1/f", "AR(1) 0.8")
HUM_HZ, HUM = 50.0, 0.5  # of the noise's SD
SECONDS = 40.0
CORTEX_GAINS = (0.8, 1.25)
FILTERS = {  # band in Hz, and whether it is applied backwards too
    "as it is": None,
    "300 to 6000 Hz, forwards": ((300.0, 6000.0), False),
    "300 to 6000 Hz, both ways": ((300.0, 6000.0), True),
    "300 to 3000 Hz, both ways": ((300.0, 3000.0), True),
}


def main() -> None:
    """Run the parts asked for."""
    arguments = parse()
    arguments.out.mkdir(parents=True, exist_ok=True)
    for part in arguments.parts:
        PARTS[part](arguments)


def measure_family(family: str, arguments: argparse.Namespace) -> None:
    """Sort studies of a family of several seeds."""
    for seed in arguments.seeds:
        with made_study(arguments, family, seed) as study:
            write(arguments, f"{family}_{seed}", sort_study(study, arguments.set, arguments.targets))


def measure_wild(arguments: argparse.Namespace) -> None:
    """Sort wild studies of several seeds; run a plain supervised pipeline on the same files."""
    for seed in arguments.seeds:
        with made_study(arguments, "wild", seed) as study:
            results = sort_study(study, arguments.set, arguments.targets)
            write(arguments, f"wild_{seed}", {**results, "baseline": baseline(arguments, study)})


def measure_cortex_seeds(arguments: argparse.Namespace) -> None:
    """Sort cortex studies of several seeds; how far each gain is off is kept too."""
    for seed in arguments.seeds:
        with made_study(arguments, "cortex", seed) as study:
            results = sort_study(study, arguments.set, arguments.targets)
            for name, one in results["recordings"].items():
                number = int(name[1:]) - 1
                true = np.random.default_rng([seed, number]).uniform(*CORTEX_GAINS)  # as the maker draws it
                one["gain_error"] = one["gain"] / true - 1
            write(arguments, f"cortex_seeds_{seed}", results)


def measure_hc1(arguments: argparse.Namespace) -> None:
    """Sort a real recording with intracellular truth: a tetrode, and its best channel."""
    with tempfile.TemporaryDirectory() as folder:
        study = Path(folder) / "hc1"
        subprocess.run(
            [sys.executable, str(arguments.maker.with_name("make_hc1.py")), str(study)], check=True
        )
        for name in ("hc1", "hc1-one"):
            write(
                arguments,
                name.replace("-", "_"),
                sort_study(study.with_name(name), arguments.set, arguments.targets),
            )


def measure_reference(arguments: argparse.Namespace) -> None:
    """Decode bath studies with the truth given."""
    for seed in arguments.seeds:
        with made_study(arguments, "bath", seed) as study:
            run("reference.py", study, "--maker", arguments.maker, "--out",
                arguments.out / f"reference_{seed}.json")  # fmt: skip


def measure_wild_reference(arguments: argparse.Namespace) -> None:
    """Sort wild studies after learning where nothing is hidden."""
    for seed in arguments.seeds:
        with made_study(arguments, "wild", seed) as study:
            run("wild_reference.py", study, "--maker", arguments.maker, "--out",
                arguments.out / f"wild_reference_{seed}.json")  # fmt: skip


def measure_library_reference(arguments: argparse.Namespace) -> None:
    """Decode library studies with the truth given."""
    for seed in arguments.seeds:
        with made_study(arguments, "library", seed) as study:
            run("library_reference.py", study, "--maker", arguments.maker, "--out",
                arguments.out / f"library_reference_{seed}.json")  # fmt: skip


def measure_others(arguments: argparse.Namespace) -> None:
    """Run the rivals on the studies of seed 0."""
    for family in ("cortex", "bath"):
        with made_study(arguments, family, 0) as study:
            run("others.py", study, "--out", arguments.out / f"others_{family}.json")


def measure_pairs(arguments: argparse.Namespace) -> None:
    """Count the pairs of near spikes in bath D2 of which both were found and rightly named."""
    with made_study(arguments, "bath", 0) as study:
        sorter = fit(study, arguments.set)
        target, truth = read_target(study, "D2")
        found = sorter.adapt(target).sort(target)
    distance = np.diff(truth.sample)
    first = np.flatnonzero((distance >= CLOSE) & (distance <= FAR))
    right = rightly_named(found, truth)
    both = right[first] & right[first + 1]
    same = truth.unit[first] == truth.unit[first + 1]
    write(
        arguments,
        "pairs",
        {"pairs": len(first), "both": both.mean(), "same class": both[same].mean(),
         "other class": both[~same].mean()},
    )  # fmt: skip


def measure_gain(arguments: argparse.Namespace) -> None:
    """Sort bath D4 as it is, at other gains, of turned polarity, and with amplitudes that wander by 15 %."""
    with made_study(arguments, "bath", 0) as study:
        sorter = fit(study, arguments.set)
        raw, truth = read_target(study, "D4")
        labelled, unit_ids = read_mat(study / "D1.mat")
        assert unit_ids is not None
        trace = raw.get_traces()
        templates = estimate_templates(
            labelled.get_traces().astype(np.float32), unit_ids, before=20, after=140, kernel=np.ones(1)
        )
        noise_kept = {
            "as it is": trace,
            "half the gain": trace - 0.5 * planted(trace, truth, templates, 1.0),
            "twice the gain": trace + planted(trace, truth, templates, 1.0),
            "turned": -trace,
            "wandering by 15 %": trace
            + planted(trace, truth, templates, 0.15 * np.sin(3 * np.pi * truth.sample / len(trace))),
        }
        results = {}
        for name, changed in noise_kept.items():
            target = NumpyRecording([np.asarray(changed, np.float32)], FS_HZ)
            results[name] = outcome(sorter.adapt(target), target, truth)
        scaled = NumpyRecording([np.asarray(0.5 * trace, np.float32)], FS_HZ)
        results["all of it halved"] = outcome(sorter.adapt(scaled), scaled, truth)
    write(arguments, "gain", results)


def measure_filtered(arguments: argparse.Namespace) -> None:
    """Sort recordings that were band-pass filtered before, as most are."""
    results, settings = {}, load_settings(assignments=arguments.set)
    for family in ("bath", "cortex"):
        for seed in arguments.seeds:
            with made_study(arguments, family, seed) as study:
                recording, labels = read_mat(study / "D1.mat")
                assert labels is not None
                target, truth = read_target(study, "D3")
                for name, band in FILTERS.items():
                    sorter = Sorter.fit(filtered(recording, band), labels, settings=settings)
                    passed = filtered(target, band)
                    results[f"{family} {seed}, {name}"] = {
                        **outcome(sorter.adapt(passed), passed, truth),
                        "whitening_reach_ms": sorter.settings.matched_filter.whitening_reach_ms,
                    }
    write(arguments, "filtered", results)


def filtered(recording: BaseRecording, band: tuple[tuple[float, float], bool] | None) -> NumpyRecording:
    """Return a recording after a Butterworth filter of third order, forwards or both ways."""
    trace, fs_hz = recording.get_traces().astype(np.float64), recording.get_sampling_frequency()
    if band is not None:
        sections = butter(3, band[0], "band", fs=fs_hz, output="sos")
        trace = (sosfiltfilt if band[1] else sosfilt)(sections, trace, axis=0)
    return NumpyRecording([trace.astype(np.float32)], fs_hz)


def measure_noise(arguments: argparse.Namespace) -> None:
    """Sort spikes in noise of several colours, with hum, at several d': pursuit and linear discriminants."""
    labelled, _ = simulate_study(units=4, seconds=60, noise_levels=(1.0,), seed=100)
    templates = estimate_templates(labelled.trace, labelled.spikes, before=20, after=140, kernel=np.ones(1))
    recording = NumpyRecording([labelled.trace], FS_HZ)
    sorters = {
        decoder: Sorter.fit(
            recording, labelled.spikes, settings=load_settings(assignments=[f"decoder={decoder}"])
        )
        for decoder in ("pursuit", "botm")  # auto would take the better one, or do better by networks
    }
    results: dict[str, Any] = {}
    for number, colour in enumerate(COLOURS):
        for wanted in DETECTABILITIES:
            target, truth = noisy_target(templates, colour, wanted, seed=200 + number)
            results[f"{colour}, d' {wanted:g}"] = {
                decoder: outcome(sorter.adapt(target), target, truth) for decoder, sorter in sorters.items()
            }
    write(arguments, "noise", results)


def measure_unknown(arguments: argparse.Namespace) -> None:
    """Add a neuron of distinct shape to bath targets; count how many of its spikes are marked as unknown."""
    with made_study(arguments, "bath", 0) as study:
        sorter = fit(study, [*arguments.set, "outliers.mark=true"])
        results = {}
        for name in ("D2", "D3", "D4"):
            raw, truth = read_target(study, name)
            trace = raw.get_traces()
            rng = np.random.default_rng(7)
            stranger = Spikes.from_arrays(np.sort(rng.integers(500, len(trace) - 500, 500)), np.full(500, 9))
            added = plant(len(trace), stranger, np.ones(500, np.float32), distinct_shape())
            target = NumpyRecording([np.asarray(trace + added, np.float32)], FS_HZ)
            found = sorter.adapt(target).sort(target)
            results[name] = unknown_figures(found, truth, stranger)
    write(arguments, "unknown", results)


def sort_study(study: Path, assignments: list[str], targets: list[str] | None = None) -> dict[str, Any]:
    """Fit, adapt, sort and score a whole study, or some of its targets."""
    began = time.perf_counter()
    sorter = fit(study, assignments)
    recordings = {}
    for path in sorted((study / "truth").glob("*.mat")):
        if path.stem != "D1" and path.stem in (targets or [path.stem]):
            target, truth = read_target(study, path.stem)
            recordings[path.stem] = {
                **outcome(sorter.adapt(target), target, truth),
                "not adapted": score(truth, sorter.sort(target), fs_hz=sorter.fs_hz).summary(),
            }
    return {
        "recordings": recordings,
        "study": study_score({name: one["score"] for name, one in recordings.items()}),
        "seconds": time.perf_counter() - began,
    }


def outcome(sorter: Sorter, target: Any, truth: Spikes) -> dict[str, Any]:
    """Sort and score one recording; compare with what was forecast and with the stated probabilities."""
    found = sorter.sort(target)
    there, right = judge_events(found.sample, found.unit, truth, fs_hz=sorter.fs_hz)
    scored = score(truth, found, fs_hz=sorter.fs_hz)
    return {
        **scored.summary(),
        **errors(scored),
        "decoder": sorter.decoder,
        "gain": sorter.profile.activity.gain,
        "forecast": sorter.forecast.summary(),
        "ece_spike": expected_calibration_error(found.probability, there),
        "ece_spike_by_chance": calibration_error_by_chance(found.probability),
        "ece_class": expected_calibration_error(found.unit_probability[there], right[there]),
    }


def calibration_error_by_chance(probability: npt.NDArray[np.float32], *, draws: int = 200) -> float:
    """Return the mean calibration error of probabilities that are right, as the spikes are so few."""
    rng = np.random.default_rng(0)
    stated = np.asarray(probability, np.float64)
    return float(
        np.mean([expected_calibration_error(stated, rng.random(len(stated)) < stated) for _ in range(draws)])
    )


def fit(study: Path, assignments: list[str]) -> Sorter:
    """Fit to a study's D1."""
    recording, unit_ids = read_mat(study / "D1.mat")
    assert unit_ids is not None
    return Sorter.fit(recording, unit_ids, settings=load_settings(assignments=assignments))


def read_target(study: Path, name: str) -> tuple[Any, Spikes]:
    """Read a target and its truth."""
    return read_mat(study / f"{name}.mat")[0], read_mat_spikes(study / "truth" / f"{name}.mat")


def rightly_named(found: Spikes, truth: Spikes) -> npt.NDArray[np.bool_]:
    """Say of each true spike whether one of its class was found at most 0.4 ms from it."""
    right = np.zeros(len(truth), bool)
    for unit in truth.unit_ids:
        own = np.flatnonzero(truth.unit == unit)
        paired, _ = match_spikes(truth.sample[own], found.of(unit).sample, tolerance_samples=10)
        right[own[paired]] = True
    return right


def planted(trace: FloatArray, spikes: Spikes, templates: Templates, amplitudes: Any) -> FloatArray:
    """The spikes' share of a trace, each of a given size."""
    return plant(len(trace), spikes, np.broadcast_to(np.float32(amplitudes), len(spikes)).copy(), templates)


def noisy_target(
    templates: Templates, colour: str, wanted: float, *, seed: int
) -> tuple[NumpyRecording, Spikes]:
    """Make a target whose middling neuron has the detectability wanted."""
    rng = np.random.default_rng([seed, int(10 * wanted)])
    n_samples = int(SECONDS * FS_HZ)
    spectrum = coloured(colour)
    own = np.sqrt(np.median(make_bank(templates, spectrum, kernel=np.ones(1), reach=150).energies))
    noise = synthesise_noise(spectrum, n_samples, rng) * np.float32(own / wanted)
    hum = HUM * noise.std() * np.sin(2 * np.pi * HUM_HZ * np.arange(n_samples) / FS_HZ)
    count = int(12 * SECONDS * len(templates.unit_ids))
    samples = np.sort(rng.integers(100, n_samples - 200, count))
    spikes = Spikes.from_arrays(samples, rng.choice(templates.unit_ids, count))
    trace = planted(noise, spikes, templates, 1.0) + noise + hum[:, None].astype(np.float32)
    return NumpyRecording([trace], FS_HZ), spikes


def coloured(colour: str) -> NoiseSpectrum:
    """Spectrum of noise of variance 1."""
    f = np.fft.rfftfreq(4096)
    power = {
        "white": np.ones_like(f),
        "1/f": 1 / np.maximum(f, 20 / FS_HZ),
        "AR(1) 0.8": 1 / np.abs(1 - 0.8 * np.exp(-2j * np.pi * f)) ** 2,
    }[colour]
    spectrum = NoiseSpectrum.independent(power[:, None])
    return spectrum.scaled(1 / float(spectrum.variance[0]))


def distinct_shape() -> Templates:
    """A neuron unlike those of `bath`: negative first, then positive, quick."""
    t = np.arange(60.0)
    shape = -7 * np.exp(-0.5 * ((t - 8) / 2.5) ** 2) + 4 * np.exp(-0.5 * ((t - 17) / 5) ** 2)
    return Templates((9,), shape[None, :, None].astype(np.float32), 0)


def unknown_figures(found: Spikes, truth: Spikes, stranger: Spikes) -> dict[str, float]:
    """Share of the stranger's spikes marked, and of the known ones wrongly marked."""
    marked = found.of(0).sample
    hit, _ = match_spikes(stranger.sample, marked, tolerance_samples=25)
    alone = np.abs(truth.sample[:, None] - stranger.sample[None]).min(axis=1) > 100
    wrong, _ = match_spikes(truth.sample[alone], marked, tolerance_samples=10)
    return {
        "marked": len(hit) / len(stranger),
        "known wrongly marked": len(wrong) / alone.sum(),
        "score of the known": score(truth, found.select(found.unit > 0)).score,
    }


def baseline(arguments: argparse.Namespace, study: Path) -> dict[str, dict[str, Any]]:
    """Run the maker's plain supervised pipeline on a study; its figures by target."""
    script = arguments.maker.with_name("baseline.py")
    said = subprocess.run(
        [sys.executable, script.name, str(study)],
        cwd=script.parent,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return {
        name: literal_eval(figures) for name, figures in (line.split(" ", 1) for line in said.splitlines())
    }


@contextmanager
def made_study(arguments: argparse.Namespace, family: str, seed: int) -> Iterator[Path]:
    """Make a study of the maker, and remove it afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        options = ["--family", family, "--seed", str(seed)]
        subprocess.run([sys.executable, str(arguments.maker), folder, *options], check=True)
        yield Path(folder)


def run(script: str, *words: object) -> None:
    """Run another benchmark."""
    subprocess.run([sys.executable, Path(__file__).parent / script, *map(str, words)], check=True)


def write(arguments: argparse.Namespace, name: str, results: dict[str, Any]) -> None:
    """Keep a part's results."""
    rounded = json.loads(json.dumps(results, default=float), parse_float=lambda x: round(float(x), 4))
    write_results(arguments.out / f"{name}.json", rounded)
    print(f"{name}: done", flush=True)


PARTS: dict[str, Callable[[argparse.Namespace], None]] = {
    "bath": partial(measure_family, "bath"),
    "wild": measure_wild,
    "wild_reference": measure_wild_reference,
    "library": partial(measure_family, "library"),
    "library_reference": measure_library_reference,
    "cortex_seeds": measure_cortex_seeds,
    "hc1": measure_hc1,
    "cortex": partial(measure_family, "cortex"),
    "reference": measure_reference,
    "others": measure_others,
    "pairs": measure_pairs,
    "gain": measure_gain,
    "filtered": measure_filtered,
    "noise": measure_noise,
    "unknown": measure_unknown,
    "table": print_table,
}


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("parts", nargs="+", choices=PARTS)
    parser.add_argument("--out", type=Path, default=Path("accuracy"), help="folder for the results")
    parser.add_argument("--maker", type=Path, default=MAKER)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--targets", nargs="+", metavar="NAME", help="only these, as D5")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="settings, as in --set")
    return parser.parse_args()


if __name__ == "__main__":
    main()
