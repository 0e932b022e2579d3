"""How much nearer to the truth the forecast comes by judging spikes in the viewer's order, and in others.

`python benchmarks/judging.py OUT...` takes folders of results of `spikesorter run` whose true spikes are
known. The user is simulated: a spike is accepted if a true spike of its unit starts within 0.4 ms of it, and
rejected otherwise.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np

from spikesorter.core.score import match_spikes
from spikesorter.core.spikes import UNKNOWN, Spikes
from spikesorter.report.correcting import Corrected, correct
from spikesorter.report.corrections import Change, Correction, doubtful
from spikesorter.report.judging import TOLERANCE_MS
from spikesorter.report.results import Result, open_results
from spikesorter.report.revision import Judging
from spikesorter.report.verdict import expected_units

COUNTS = (0, 20, 60)
Choose = Callable[[Judging, Corrected, Spikes], int]


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path, nargs="+")
    results = [
        result for out in parser.parse_args().out for result in open_results(out) if result.truth is not None
    ]
    print("| order | judged | error of a unit's precision | of the whole | true one in the interval |")
    print("|---|---|---|---|---|")
    for name, choose in ORDERS.items():
        rows = np.array([errors for result in results for errors in follow(result, choose)])
        for count in COUNTS:
            units = rows[(rows[:, 0] == count) & (rows[:, 1] > 0)]
            whole = rows[(rows[:, 0] == count) & (rows[:, 1] == 0)]
            inside = f"{units[:, 3].mean():.2f} of {len(units)} units"
            print(f"| {name} | {count} | {units[:, 2].mean():.4f} | {whole[:, 2].mean():.4f} | {inside} |")


def follow(result: Result, choose: Choose) -> list[tuple[float, float, float, float]]:
    """Judge one spike after the other; return count, unit (0: all), error of the precision, inside or not."""
    spikes = result.spikes.select(result.spikes.unit != UNKNOWN)
    right, rows = which_are_right(result, spikes), list[tuple[float, float, float, float]]()
    judging = Judging(
        spikes, n_samples=result.n_samples, fs_hz=result.sorter.fs_hz, expected=expected_units(result)
    )
    changes: list[Change] = []
    for count in range(max(COUNTS) + 1):
        now = correct(spikes, changes)
        if count in COUNTS:
            revision = judging.revision(now)
            true = {unit: float(right[spikes.unit == unit].mean()) for unit in spikes.unit_ids}
            for unit, one in ((0, revision.whole), *revision.units.items()):
                wanted = float(right.mean()) if unit == 0 else true[unit]
                precision = one.after.precision or 0.0
                rows.append((count, unit, abs(precision - wanted), float(one.low <= wanted <= one.high)))
        if len(changes) < len(judging.strata.queue):
            k = choose(judging, now, spikes)
            action = "accept" if right[k] else "reject"
            changes.append(Correction(int(spikes.sample[k]), int(spikes.unit[k]), action))  # type: ignore[arg-type]
    return rows


def which_are_right(result: Result, spikes: Spikes) -> np.ndarray:
    """Return which spikes match a true one of their unit."""
    assert result.truth is not None
    reach = TOLERANCE_MS * result.sorter.fs_hz / 1000
    right = np.zeros(len(spikes), bool)
    for unit in spikes.unit_ids:
        own = np.flatnonzero(spikes.unit == unit)
        _, j = match_spikes(result.truth.of(unit).sample, spikes.sample[own], tolerance_samples=reach)
        right[own[j]] = True
    return right


def in_our_order(judging: Judging, now: Corrected, spikes: Spikes) -> int:
    """Choose the spike that tells most."""
    return int(judging.following(now, most=1)[0])


def by_doubt(judging: Judging, now: Corrected, spikes: Spikes) -> int:
    """Choose the spike whose probability is nearest to one half."""
    queue = doubtful(spikes)
    return int(queue[now.decision[queue] == 0][0])


def at_random(judging: Judging, now: Corrected, spikes: Spikes) -> int:
    """Choose any doubtful spike."""
    rng = np.random.default_rng(int(now.decision.sum()))
    queue = judging.strata.queue
    return int(rng.choice(queue[now.decision[queue] == 0]))


ORDERS: dict[str, Choose] = {"that tells most": in_our_order, "by doubt": by_doubt, "at random": at_random}


if __name__ == "__main__":
    main()
