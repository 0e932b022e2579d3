"""Print the figures that the parts of `accuracy.py` have left, and what they say together."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterator
from typing import Any

import numpy as np

FAMILIES = ("bath_", "cortex_", "reference_", "wild_", "library_", "hc1")
KINDS = ("missed", "false", "wrong", "errors")
WITHIN = 0.03


def print_table(arguments: argparse.Namespace) -> None:
    """Print every figure that the parts have left."""
    results = {path.stem: json.loads(path.read_text()) for path in sorted(arguments.out.glob("*.json"))}
    for name, part in results.items():
        if name.startswith(FAMILIES) and "study" in part:
            figures = part["recordings"].values()
            cells = " ".join(f"{figure['score']:.3f}" for figure in figures)
            strict = np.mean([figure["strict"] for figure in figures])
            print(f"| {name} | {cells} | study {part['study']:.3f} | strict {strict:.3f} |")
        elif not name.startswith("others"):
            print(f"| {name} | {json.dumps(part)} |")
    summarise_seeds(results)
    summarise_library(results)
    summarise_wild(results)
    summarise_gains(results)
    summarise_adapting(results)
    summarise_trust(results)


def summarise_seeds(results: dict[str, Any]) -> None:
    """Mean of the seeds that both the sorter and the reference have, with the interval of the difference."""
    seeds = [s for s in range(1, 100) if {f"bath_{s}", f"reference_{s}"} <= set(results)]
    if len(seeds) > 1:
        ours, theirs = (
            np.array([results[f"{who}_{s}"]["study"] for s in seeds]) for who in ("bath", "reference")
        )
        error = 1.96 * np.std(ours - theirs, ddof=1) / np.sqrt(len(seeds))
        print(f"| bath seeds {seeds[0]}-{seeds[-1]} | mean {ours.mean():.3f}, given the truth "
              f"{theirs.mean():.3f}, difference {np.mean(ours - theirs):+.3f} +- {error:.3f} |")  # fmt: skip


def summarise_library(results: dict[str, Any]) -> None:
    """Mean errors of each kind on library studies, target by target, and the reference's."""
    for who in ("library", "library_reference"):
        parts = {name: part for name, part in results.items() if re.fullmatch(rf"{who}_\d+", name)}
        kept = [part["recordings"] for part in parts.values() if "errors" in part["recordings"]["D2"]]
        for name in kept[0] if kept else ():
            means = [np.mean([one[name][kind] for one in kept]) for kind in KINDS]
            cells = " | ".join(f"{mean:.0f}" for mean in means)
            print(f"| {who} {name}, mean of {len(kept)} seeds: {', '.join(KINDS)} | {cells} |")


def summarise_wild(results: dict[str, Any]) -> None:
    """How far the strict scores lie above those of the plain pipeline on the same files, target by target."""
    both = [part for name, part in results.items() if re.fullmatch(r"wild_\d+", name)]
    above: dict[str, list[float]] = {}
    for part in both:
        for name, theirs in part["baseline"].items():
            above.setdefault(name, []).append(part["recordings"][name]["strict"] - theirs["strict"])
    if both:
        cells = ", ".join(f"{name} {np.mean(values):+.3f}" for name, values in above.items())
        print(f"| wild, strict above the plain pipeline, {len(both)} seeds | {cells} |")
    given = [part["recordings"] for name, part in results.items() if name.startswith("wild_reference_")]
    for name in given[0] if given else ():
        mean = np.mean([one[name]["strict"] for one in given])
        print(
            f"| wild {name}, learnt from all true spikes, mean of {len(given)} seeds, strict | {mean:.3f} |"
        )


def summarise_gains(results: dict[str, Any]) -> None:
    """Worst error of the gain and worst strict score of the last targets of cortex studies."""
    last = [part["recordings"].get("D5") for name, part in results.items() if name.startswith("cortex_seeds")]
    known = [one for one in last if one]
    if known:
        gain, strict = max(abs(one["gain_error"]) for one in known), min(one["strict"] for one in known)
        print(f"| cortex D5, {len(known)} seeds | worst gain error {gain:.1%}, worst strict {strict:.3f} |")


def summarise_adapting(results: dict[str, Any]) -> None:
    """How much adapting helps, and the most that it costs."""
    both = [one for one in all_outcomes(results) if "not adapted" in one]
    if both:
        gains = np.array([one["strict"] - one["not adapted"]["strict"] for one in both])
        print(f"| strict of adapted above not adapted | {len(gains)} recordings: mean {gains.mean():+.3f}, "
              f"least {gains.min():+.3f}, worse by more than .005: {np.sum(gains < -0.005)} |")  # fmt: skip


def summarise_trust(results: dict[str, Any]) -> None:
    """How far forecasts and probabilities can be trusted, over all recordings sorted."""
    outcomes = list(all_outcomes(results))
    if outcomes:
        off = np.array([abs(one["score"] - one["forecast"]["score"]) for one in outcomes])
        inside = [one["forecast"]["low"] <= one["score"] <= one["forecast"]["high"] for one in outcomes]
        print(f"| forecast | {len(off)} recordings: within {WITHIN}: {np.mean(off <= WITHIN):.0%}, "
              f"inside the interval: {np.mean(inside):.0%}, mean distance {off.mean():.3f} |")  # fmt: skip
        for which in ("spike", "class"):
            errors = [one[f"ece_{which}"] for one in outcomes]
            print(f"| calibration error of P({which}) | mean {np.mean(errors):.3f}, "
                  f"median {np.median(errors):.3f}, worst {np.max(errors):.3f} |")  # fmt: skip


def all_outcomes(value: Any) -> Iterator[dict[str, Any]]:
    """Yield everything that `outcome` made, however deep."""
    if isinstance(value, dict):
        if "ece_spike" in value:
            yield value
        else:
            for part in value.values():
                yield from all_outcomes(part)
