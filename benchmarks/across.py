"""How much results differ between versions of the libraries, and between processors.

`python benchmarks/across.py STUDY --out FOLDER` runs the study here; as a processor without AVX would, by
telling NumPy, OpenBLAS, Numba and XLA not to use it; and, if `make oldest` has made `.venv-oldest`, with the
oldest versions of all libraries. Each of them also sorts with the model that was learnt here. What a table
says is the share of spikes that differ: those of either result that the other has not, at the same sample
and of the same class, among all.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from spikesorter import read_labels

ROOT = Path(__file__).resolve().parents[1]
OLDEST = ROOT / ".venv-oldest" / "bin" / "python"
CODE = "import sys; from spikesorter.cli import main; sys.argv[0] = 'spikesorter'; main()"


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("study", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--set", dest="assignments", action="append", default=[])
    given = parser.parse_args()
    places = {"here": (sys.executable, {}), "no AVX": (sys.executable, without_avx())}
    if OLDEST.exists():
        places["oldest versions"] = (str(OLDEST), {})
    targets = sorted(path for path in given.study.glob("D*.mat") if path.stem != "D1")
    for name, (python, environment) in places.items():
        own = given.out / name.replace(" ", "_")
        words = [word for one in given.assignments for word in ("--set", one)]
        spikesorter(python, environment, "run", given.study, "--out", own, "--no-report", "-q", *words)
        model = given.out / "here" / "model"
        sorted_ = own / "sorted"
        spikesorter(
            python, environment, "sort", *targets, "--model", model, "--out", sorted_, "--no-report", "-q"
        )
    names = [path.stem for path in targets]
    print("| | " + " | ".join(names) + " |\n|---" + "|---" * len(names) + "|")
    for name in list(places)[1:]:
        for what, folder in (("sorted with the same model", "sorted"), ("learnt anew", "predictions")):
            own, here = (given.out / place.replace(" ", "_") / folder for place in (name, "here"))
            shares = [differing(own / f"{target}.mat", here / f"{target}.mat") for target in names]
            print(f"| {name}, {what} | " + " | ".join(f"{100 * share:.2f} %" for share in shares) + " |")


def without_avx() -> dict[str, str]:
    """Return the environment in which the libraries compute as on a processor of 2009."""
    found: Sequence[str] = np.show_config(mode="dicts")["SIMD Extensions"].get("found", [])
    return {
        "NPY_DISABLE_CPU_FEATURES": " ".join(found),
        "OPENBLAS_CORETYPE": "Nehalem",
        "NUMBA_CPU_NAME": "nehalem",
        "NUMBA_CPU_FEATURES": "",
        "XLA_FLAGS": "--xla_cpu_max_isa=SSE4_2",
    }


def spikesorter(python: str, environment: Mapping[str, str], *words: object) -> None:
    """Run a command of the program in another environment."""
    command = [python, "-c", CODE, *map(str, words)]
    subprocess.run(command, check=True, env={**os.environ, **environment})


def differing(a: Path, b: Path) -> float:
    """Return the share of spikes that only one of two results has."""
    spikes = [read_labels(path) for path in (a, b)]
    one, other = (set(zip(s.sample.tolist(), s.unit.tolist(), strict=True)) for s in spikes)
    return len(one ^ other) / max(len(one | other), 1)


if __name__ == "__main__":
    main()
