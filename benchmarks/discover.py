"""How well units are found without labels: `Sorter.discover` on studies with known spikes.

    python benchmarks/discover.py STUDY/D2.mat STUDY/D3.mat ... --out FILE.json [--learnt] [--rivals NAME ...]

The studies are those of the maker that everybody measures with (`make_study.py OUT --family bath --seed 51`),
with the true spikes in STUDY/truth. Which point of a spike is marked is a convention, so each found unit is
first moved by one lag. Then SpikeInterface's `compare_sorter_to_ground_truth` (0.4 ms) pairs units. Printed
are the mean accuracy over the true units, strict (mean F1 after pairing), how many units are called single
though their accuracy is under 0.5, and the mean error of the expected shares of false and missed spikes.
`--rivals simple ...`: beside it, sorters of SpikeInterface on the same file, band-passed and turned so that
spikes point down: the mean accuracy at their first settings, and at the best of all bands and settings of
`benchmarks/others.py`, chosen with the truth.
`--learnt`: beside it, the mean accuracy of a sorter that learnt from the true labels of the first third.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import warnings
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from spikeinterface.comparison import compare_sorter_to_ground_truth
from spikeinterface.core import BaseRecording, load

from others import BANDS, RIVALS, downwards, filtered, noise_sd, save_recording
from raw_results import write_results
from spikesorter import Settings, Sorter, Spikes, read_mat
from spikesorter.core.pairs import pairs_within
from spikesorter.io.mat import read_mat_spikes

MOST_LAG_MS = 2.0
AROUND = 4  # samples on either side over which lags are counted together
SAME_UNIT = 0.5
SORTERS = tuple(name for name, rival in RIVALS.items() if not rival.given_templates)


def main() -> None:
    """Measure the recordings asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recordings", nargs="+", type=Path, metavar="STUDY/NAME.mat")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--learnt", action="store_true", help="also learn from the true labels of a third")
    parser.add_argument("--rivals", nargs="*", default=[], choices=SORTERS, help="sorters to compare with")
    parser.add_argument("--n-jobs", type=int, default=1)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    rows = []
    for path in arguments.recordings:
        recording, _ = read_mat(path)
        truth = read_mat_spikes(path.parent / "truth" / path.name)
        row = measured(path, recording, truth, arguments.n_jobs)
        if arguments.learnt:
            row["learnt"] = learnt_from_a_third(recording, truth, arguments.n_jobs)
        if arguments.rivals:
            row["rivals"] = measured_rivals(path, truth, arguments.rivals)
        rows.append(row)
        print({key: value for key, value in row.items() if key != "units"}, flush=True)
        for unit in row["units"]:
            print("   ", unit, flush=True)
        write_results(arguments.out, rows)
    for key in ("accuracy", "strict"):
        print(key, round(float(np.mean([row[key] for row in rows])), 3))


def measured(path: Path, recording: BaseRecording, truth: Spikes, n_jobs: int) -> dict[str, Any]:
    """Return what is found in a recording, compared with the truth."""
    started = time.perf_counter()
    found = Sorter.discover(recording, n_jobs=n_jobs)
    seconds = time.perf_counter() - started
    fs_hz = float(recording.get_sampling_frequency())
    performance, paired = compared(truth, found.spikes, fs_hz)
    units = []
    for unit in found.units:
        true = paired.get(unit.unit)
        figures = performance.loc[true] if true is not None else None
        units.append(
            unit.row()
            | {
                "true": true,
                "accuracy": 0.0 if figures is None else round(float(figures["accuracy"]), 3),
                "true_false": None if figures is None else round(1 - float(figures["precision"]), 3),
                "true_missed": None if figures is None else round(1 - float(figures["recall"]), 3),
            }
        )
    known = [unit for unit in units if unit["true"] is not None]
    errors = [
        abs(unit[f"{kind}_share"] - unit[f"true_{kind}"]) for unit in known for kind in ("false", "missed")
    ]
    return {
        "recording": f"{path.parent.name}/{path.stem}",
        "accuracy": round(float(performance["accuracy"].mean()), 3),
        "strict": round(strict(performance), 3),
        "single_but_wrong": sum(u["verdict"] == "single" and u["accuracy"] < SAME_UNIT for u in units),
        "expected_off_by": round(float(np.mean(errors)), 3) if errors else None,
        "seconds": round(seconds, 1),
        "units": units,
    }


def learnt_from_a_third(recording: BaseRecording, truth: Spikes, n_jobs: int) -> float:
    """Return the mean accuracy of a sorter that learnt from the true labels of the first third."""
    third = recording.get_num_frames() // 3
    labels = truth.within(0, third)
    settings = Settings(decoder="pursuit")
    sorter = Sorter.fit(recording.frame_slice(0, third), labels, settings=settings, n_jobs=n_jobs)
    spikes = sorter.adapt(recording, n_jobs=n_jobs).sort(recording, n_jobs=n_jobs)
    performance, _ = compared(truth, spikes, float(recording.get_sampling_frequency()))
    return round(float(performance["accuracy"].mean()), 3)


def measured_rivals(path: Path, truth: Spikes, names: list[str]) -> dict[str, dict[str, float | int]]:
    """Return the mean accuracy of other sorters: at their first settings, and at the best ones.

    A sorter that fails has accuracy 0.
    """
    recordings: list[BaseRecording] = []
    figures: dict[str, dict[str, float | int]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for band, options in BANDS.items():
            trace, fs_hz, _ = filtered(path, options)
            scale = downwards(trace, truth, fs_hz) / noise_sd(trace)
            save_recording(trace * scale, fs_hz, Path(folder) / band)
            recordings.append(load(Path(folder) / band))
        for name in names:
            found = [
                accuracy_of(name, recording, settings, truth, Path(folder) / "sorter")
                for recording, settings in product(recordings, RIVALS[name].settings)
            ]
            figures[name] = {"first": found[0], "best": max(found), "failed": sum(one == 0 for one in found)}
    return figures


def accuracy_of(
    name: str, recording: BaseRecording, settings: dict[str, Any], truth: Spikes, folder: Path
) -> float:
    """Return the mean accuracy of a rival with some settings; 0 if it fails or finds nothing."""
    try:
        samples, units = RIVALS[name].run(recording, None, folder, **settings)
    except Exception as error:  # a rival may raise whatever it likes
        print(f"    {name} failed: {type(error).__name__}: {error}", flush=True)
        return 0.0
    if len(samples) == 0:
        return 0.0
    performance, _ = compared(truth, Spikes.from_arrays(samples, units + 1), recording.sampling_frequency)
    return round(float(performance["accuracy"].mean()), 3)


def compared(truth: Spikes, found: Spikes, fs_hz: float) -> tuple[Any, dict[int, int]]:
    """Return SpikeInterface's figures by true unit, and the true unit of each found one."""
    if len(found) == 0:
        raise SystemExit("no unit was found")
    moved = Spikes.concatenate([_moved(truth, found.of(unit), fs_hz) for unit in found.unit_ids])
    comparison = compare_sorter_to_ground_truth(
        truth.to_spikeinterface(fs_hz), moved.to_spikeinterface(fs_hz), exhaustive_gt=True
    )
    pairs = comparison.hungarian_match_12.items()
    by_name = {str(unit): unit for unit in found.unit_ids}
    paired = {by_name[str(two)]: one for one, two in pairs if str(two) in by_name}
    return comparison.get_performance().astype(float), paired


def strict(performance: Any) -> float:
    """Return the mean F1 over the true units."""
    precision, recall = performance["precision"], performance["recall"]
    both = 2 * precision * recall / np.maximum(precision + recall, 1e-9)
    return float(both.fillna(0).mean())


def _moved(truth: Spikes, own: Spikes, fs_hz: float) -> Spikes:
    """Move a found unit by the lag at which it agrees best with any true unit."""
    reach = round(MOST_LAG_MS * fs_hz / 1000)
    best, lag = 0.0, 0
    for unit in truth.unit_ids:
        true = truth.of(unit).sample
        i, j = pairs_within(own.sample, true, reach)
        counts = np.bincount(true[j] - own.sample[i] + reach, minlength=2 * reach + 1)
        near = np.convolve(counts, np.ones(2 * AROUND + 1), "same")
        if near.max() > best:
            best, lag = float(near.max()), int(near.argmax()) - reach
    return Spikes.from_arrays(np.maximum(own.sample + lag, 0), own.unit, own.probability)


if __name__ == "__main__":
    main()
