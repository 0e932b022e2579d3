"""What each part of the published pipeline is worth: each switched off, or exchanged, on one small study.

    python benchmarks/ablation.py --out FOLDER [--study STUDY] [--only NAME ...]

Without --study, one is simulated (five units, 20 s, one target, seed 0), so nothing but the installed
package is needed. Each variant is one `spikesorter run`; its results stay in FOLDER/NAME, and those that are
there already are not run again. FOLDER/ablation.json keeps the figures, and the table is printed.

Networks are trained in fewer steps than in the preset (`QUICKER`), so that a variant takes a minute or two on
one core. The score is the study's (docs/concepts.md).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raw_results import write_results
from spikesorter.core.versions import versions

SIMULATE = ("--units", "5", "--seconds", "20", "--noise", "1.2")
QUICKER = (
    "detector.base_steps=400",
    "detector.steps=200",
    "classifier.base_steps=200",
    "classifier.steps=200",
    "rehearsal.training_seconds=30",
    "rehearsal.tuning_seconds=30",
)
LENIENT = (
    "tuning.on=rehearsal",
    "output.threshold_grid=[0.02,0.05,0.1,0.2,0.3,0.4,0.5,0.6,0.7,0.8,0.9,0.95]",
)


@dataclass(frozen=True)
class Variant:
    """A run: what differs from the published pipeline."""

    name: str
    meaning: str
    changes: tuple[str, ...] = ()
    preset: str = "published"


VARIANTS = (
    Variant("published", "the published pipeline"),
    Variant("no-filter", "1. no drift removal, no band-pass",
            ("conditioning.drift_window_ms=0", "conditioning.high_hz=0")),
    Variant("no-denoising", "2. no wavelet denoising", ("denoise.strength=0",)),
    Variant("no-matched-filter", "3. no matched filter", ("matched_filter.kind=off",)),
    Variant("whitened-filters", "3. a whitened matched filter for each unit",
            ("matched_filter.kind=per_unit",)),
    Variant("no-training-on-target", "4. networks not trained further in the target's noise",
            ("detector.steps=1", "classifier.steps=1")),
    Variant("detector-amplitude", "5. the detector keeps the amplitude", ("detector.unit_variance=false",)),
    Variant("classifier-amplitude", "6. the classifier keeps the amplitude",
            ("classifier.unit_variance=false",)),
    Variant("tuned-on-rehearsal", "7. thresholds tuned on the rehearsal, from a wider grid", LENIENT),
    Variant("no-refractory-period", "7. no refractory period", ("output.refractory_grid_ms=[0]",)),
    Variant("networks", "networks with the default settings of all parts", ("decoder=cnn",), "default"),
    Variant("default", "the default: templates in known noise (pursuit)", ("decoder=pursuit",), "default"),
)  # fmt: skip


def main() -> None:
    """Run the variants and print their table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--study", type=Path)
    parser.add_argument("--only", nargs="+", choices=[one.name for one in VARIANTS])
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    study = arguments.study or simulated(arguments.out / "study")
    known = {one.name: one for one in VARIANTS}
    chosen = [known[name] for name in arguments.only or known]
    results: dict[str, Any] = {}
    for one in chosen:
        results[one.name] = measured(one, study, arguments.out)
        kept = {"study": study.name, "versions": versions(), "variants": results}
        write_results(arguments.out / "ablation.json", kept)
    print(table(results))


def simulated(study: Path) -> Path:
    """Simulate the study, unless it is there."""
    if not study.exists():
        run("simulate", study, *SIMULATE)
    return study


def measured(variant: Variant, study: Path, out: Path) -> dict[str, Any]:
    """Run a variant, unless its results are there; return its scores and how long it took."""
    folder = out / variant.name
    figures = folder / "figures.json"
    if not figures.is_file():
        assignments = [word for one in (*QUICKER, *variant.changes) for word in ("--set", one)]
        began = time.perf_counter()
        run("run", study, "--out", folder, "--preset", variant.preset, "--no-report", "--quiet", *assignments)
        seconds = time.perf_counter() - began
        scores = json.loads((folder / "scores.json").read_text("utf-8"))
        figures.write_text(json.dumps({"scores": scores, "seconds": seconds}), encoding="utf-8")
    kept: dict[str, Any] = json.loads(figures.read_text("utf-8"))
    return kept


def run(*words: object) -> None:
    """Run the program of this environment; its failure is ours."""
    subprocess.run([str(Path(sys.executable).with_name("spikesorter")), *map(str, words)], check=True)


def table(results: dict[str, Any]) -> str:
    """Return the scores as a table, a row for each variant."""
    meaning = {one.name: one.meaning for one in VARIANTS}
    targets = sorted(next(iter(results.values()))["scores"]["recordings"])
    rows = ["| | " + " | ".join(targets) + " | study |", "|---|" + "---|" * (len(targets) + 1)]
    for name, one in results.items():
        scores = one["scores"]
        figures = [scores["recordings"][target]["score"] for target in targets] + [scores["study"]]
        rows.append(f"| {meaning[name]} | " + " | ".join(f"{figure:.3f}" for figure in figures) + " |")
    return "\n".join(rows)


if __name__ == "__main__":
    main()
