"""The main job, timed and scored: `spikesorter run` on a study, with the defaults and as published.

    python benchmarks/bath.py [--study FOLDER] [--family bath|cortex] [--seed N] [--twice] [--out FOLDER]

Without --study, the study is made by the maker that everybody measures with (--maker, by default the
one in ../shared/studies). Accuracy in all its parts is measured by
accuracy.py. Peak memory is that of the
process, read when it ends (Linux).
"""

from __future__ import annotations

import argparse
import filecmp
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MAKER = ROOT.parent / "shared" / "studies" / "make_study.py"
FIGURES = ("score", "f_det", "f_cls", "strict")
KILOBYTES_PER_GB = 1e6


def main() -> None:
    """Run the benchmark and print its table."""
    arguments = parse()
    with tempfile.TemporaryDirectory() as temporary:
        study = arguments.study or make_study(arguments, Path(temporary) / "study")
        out = arguments.out or Path(temporary) / "out"
        print("| settings | figure | " + " | ".join(targets(study)) + " | study | run | peak memory |")
        print("|---|---|" + "---|" * (len(targets(study)) + 3))
        for preset in arguments.presets:
            report(preset, study, out / preset)
        if arguments.twice:
            compare(study, out / arguments.presets[0], out / "again", arguments.presets[0])


def report(preset: str, study: Path, out: Path) -> None:
    """Run one preset and print its rows."""
    seconds, peak_gb = run(preset, study, out)
    scores = json.loads((out / "scores.json").read_text())
    for figure in FIGURES:
        cells = [f"{scores['recordings'][name][figure]:.3f}" for name in targets(study)]
        ends = [f"**{scores['study']:.3f}**", f"{seconds:.0f} s", f"{peak_gb:.2f} GB"]
        ends = ends if figure == "score" else ["", "", ""]
        print(f"| {preset} | {figure} | " + " | ".join(cells + ends) + " |", flush=True)


def compare(study: Path, first: Path, second: Path, preset: str) -> None:
    """Run once more and say whether all predictions are the same bytes."""
    run(preset, study, second)
    names = [f"{name}.mat" for name in targets(study)]
    _, different, missing = filecmp.cmpfiles(
        first / "predictions", second / "predictions", names, shallow=False
    )
    same = not different and not missing
    print(f"\nThe same run twice: {'identical prediction files' if same else f'DIFFERENT: {different}'}")
    if not same:
        sys.exit(1)


def run(preset: str, study: Path, out: Path) -> tuple[float, float]:
    """Run the command line as a user would; return seconds and peak memory in GB."""
    program = Path(sys.executable).parent / "spikesorter"
    start = time.perf_counter()
    process = subprocess.Popen([program, "run", study, "--out", out, "--preset", preset, "--quiet"])
    _, status, used = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"spikesorter run failed with {os.waitstatus_to_exitcode(status)}")
    return time.perf_counter() - start, used.ru_maxrss / KILOBYTES_PER_GB


def targets(study: Path) -> list[str]:
    """Names of the targets."""
    return sorted(path.stem for path in study.glob("D*.mat") if path.stem != "D1")


def make_study(arguments: argparse.Namespace, folder: Path) -> Path:
    """Make the study that everybody measures on."""
    if not arguments.maker.is_file():
        sys.exit(f"{arguments.maker}: no such study maker; give --maker, or a finished study by --study")
    options = ["--family", arguments.family, "--seed", str(arguments.seed)]
    subprocess.run([sys.executable, str(arguments.maker), str(folder), *options], check=True)
    return folder


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--study", type=Path, help="a finished study with truth/")
    parser.add_argument("--maker", type=Path, default=MAKER)
    parser.add_argument("--family", default="bath", choices=["bath", "cortex"])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--presets", nargs="+", default=["default", "published"])
    parser.add_argument(
        "--twice", action="store_true", help="also check that a second run gives the same bytes"
    )
    parser.add_argument("--out", type=Path, help="keep the results here")
    return parser.parse_args()


if __name__ == "__main__":
    main()
