"""Say what units that were found without labels are worth."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

from spikesorter.core.spikes import Spikes
from spikesorter.signal.spans import to_samples
from spikesorter.sorting.fading import Quarters
from spikesorter.sorting.state import SorterState

__all__ = ["DiscoveredUnit", "describe_units"]

Int64Array = npt.NDArray[np.int64]
Float64Array = npt.NDArray[np.float64]
REFRACTORY_MS = 1.5
# d', share of false, missed or mixed spikes, and d' to others of a single unit. Far neurons' spikes reach
# a d' of 5, and together look like those of one neuron that never pauses.
CLEAR, FEW_ERRORS, APART = 6.0, 0.2, 3.0
OFTEN, TOLD = (
    0.5,
    4.0,
)  # short intervals of two equal units, relative to those by chance; how many by chance tell
VARIED = 1.0  # variation of a unit of several templates; they differ by twice as much
PAUSES = (
    3.0  # SD by which fewer intervals are short than by chance, if a neuron that pauses is among its spikes
)
SEVERAL = "short intervals"  # the reason that makes a unit multi-unit; any other makes it doubtful
Verdict = Literal["single", "doubtful", "multi-unit"]


@dataclass(frozen=True)
class DiscoveredUnit:
    """What is known of a unit that was found without labels.

    Parameters
    ----------
    unit : int
    spikes : int
    rate_hz : float
        Over the parts of the recording that are not bad.
    detectability : float
        d' of its template in the recording's noise.
    false_share : float
        Expected share of its spikes that are not its own, from their probabilities.
    missed_share : float
        Expected share of its spikes that were not found, from the rehearsal.
    violations : float
        Share of its intervals that are shorter than 1.5 ms.
    contamination : float
        Share of its spikes that are other neurons', if its own neuron is silent for 1.5 ms after each spike
        and theirs fire independently. 1: as many short intervals as by chance.
    variation : float
        SD of its spikes along its template, beyond the noise's, in SD of the noise.
    nearest : int or None
        Unit whose template is most like its own; None if it is the only one.
    nearest_detectability : float
        d' of the difference of the two templates; infinite if it is the only unit.
    mixed_share : float
        How many spikes of other units are expected to be nearer to it than to their own, relative to its
        spikes, by the distances of the templates and the variation of both.
    least_size : float
        Median size of its spikes in the quarter of the recording where they are smallest, relative to that
        where they are largest; NaN if the recording or the unit's spikes are too few to tell.
    least_rate : float
        Number of its spikes in the quarter with fewest, relative to that with most; NaN as above.
    reasons : tuple of str
        Why it may not be a single unit, in short; empty if nothing speaks against it. "short intervals": they
        are as short as those of two equal units, and its spikes vary as if they were of several. "d' below
        6": hard to tell from the noise. "near another": d' of the difference is below 3. "many false", "many
        missed", "many mixed" (`mixed_share`): more than a fifth. "contaminated": more than a fifth of its
        spikes are others', by its intervals, and these are not all at random, or its spikes vary.
    """

    unit: int
    spikes: int
    rate_hz: float
    detectability: float
    false_share: float
    missed_share: float
    violations: float
    contamination: float
    variation: float
    nearest: int | None
    nearest_detectability: float
    mixed_share: float
    least_size: float
    least_rate: float
    reasons: tuple[str, ...] = ()

    @property
    def verdict(self) -> Verdict:
        """What follows from the reasons: "single" without any, else "multi-unit" or "doubtful"."""
        if SEVERAL in self.reasons:
            return "multi-unit"
        return "doubtful" if self.reasons else "single"

    @classmethod
    def columns(cls) -> list[str]:
        """Return the names of the values in a row."""
        return [*(field.name for field in fields(cls) if field.name != "reasons"), "verdict", "reasons"]

    def row(self) -> dict[str, Any]:
        """Return the values by name, rounded, for tables and JSON; None where there is none."""
        values = asdict(self) | {"verdict": self.verdict, "reasons": list(self.reasons)}
        return {name: _rounded(values[name]) for name in self.columns()}


def describe_units(
    state: SorterState, spikes: Spikes, n_samples: int, quarters: Quarters | None = None
) -> tuple[DiscoveredUnit, ...]:
    """Describe the units of a sorter by what it found in a recording.

    Parameters
    ----------
    state : SorterState
    spikes : Spikes
        Found by it.
    n_samples : int
        Length of the recording.
    quarters : Quarters, optional
        Sizes and numbers of the spikes in its quarters, if they were measured.

    Returns
    -------
    tuple of DiscoveredUnit
        In the order of the sorter's units.
    """
    bank = state.lessons.context.bank(state.profile)
    middle, unit_ids = bank.overlaps.shape[1] // 2, state.units.known
    near = bank.overlaps.max(axis=1).astype(np.float64)
    energies = np.diagonal(bank.overlaps[:, middle]).astype(np.float64)
    distances = np.sqrt(np.maximum(energies[:, None] + energies - 2 * near, 0.0))
    np.fill_diagonal(distances, np.inf)
    recall = _recall(state)
    good_samples = max(n_samples - spikes.bad.samples, 1)
    refractory = to_samples(REFRACTORY_MS, state.fs_hz)
    variations = np.array([np.std(state.units.amplitudes[k]) for k in range(len(unit_ids))])
    variations *= np.sqrt(energies[: len(unit_ids)])
    mixed = _mixed_shares(
        distances[: len(unit_ids), : len(unit_ids)],
        variations,
        np.array([len(spikes.of(unit)) for unit in unit_ids]),
    )
    described = []
    for k, unit in enumerate(unit_ids):
        own = spikes.of(unit)
        short = int((np.diff(own.sample) < refractory).sum())
        closest = int(distances[k, : len(unit_ids)].argmin())
        values = {
            "detectability": float(np.sqrt(energies[k])),
            "false_share": float(1 - own.joint.mean()) if len(own) else 1.0,
            "missed_share": float(1 - recall.get(unit, 0.0)),
            "nearest_detectability": float(distances[k, closest]),
            "mixed_share": float(mixed[k]),
        }
        by_chance = refractory * len(own) ** 2 / good_samples
        variation = float(variations[k])
        told = by_chance >= TOLD and variation >= VARIED
        contamination = _contamination(short, by_chance)
        described.append(
            DiscoveredUnit(
                unit=unit,
                spikes=len(own),
                rate_hz=len(own) * state.fs_hz / good_samples,
                violations=short / max(len(own) - 1, 1),
                contamination=contamination,
                variation=variation,
                nearest=unit_ids[closest] if len(unit_ids) > 1 else None,
                least_size=quarters.least_size(unit) if quarters else float("nan"),
                least_rate=quarters.least_rate(unit) if quarters else float("nan"),
                reasons=_reasons(
                    **values,
                    several=told and short > OFTEN * by_chance,
                    mixed=(told or _pauses(short, by_chance)) and contamination > FEW_ERRORS,
                ),
                **values,
            )
        )
    return tuple(described)


def _reasons(
    *,
    detectability: float,
    false_share: float,
    missed_share: float,
    nearest_detectability: float,
    mixed_share: float,
    several: bool,
    mixed: bool,
) -> tuple[str, ...]:
    """Return why a unit may not be single; its verdict follows from this alone."""
    against = {
        SEVERAL: several,
        f"d' below {CLEAR:g}": detectability < CLEAR,
        "near another": nearest_detectability < APART,
        "many false": false_share > FEW_ERRORS,
        "many missed": missed_share > FEW_ERRORS,
        "many mixed": mixed_share > FEW_ERRORS,
        "contaminated": mixed and not several,
    }
    return tuple(words for words, holds in against.items() if holds)


def _rounded(value: Any) -> Any:
    """Return a number with four digits after the point, None for NaN and infinity; others as they are."""
    if not isinstance(value, float):
        return value
    return round(value, 4) if np.isfinite(value) else None


def _mixed_shares(distances: Float64Array, variations: Float64Array, counts: Int64Array) -> Float64Array:
    """Return how many spikes of others lie on a unit's side of the middle between both, for each of its own.

    A unit's spikes are taken to vary as much towards another as they do in size.
    """
    spreads = np.hypot(1.0, variations)
    beyond = ndtr(-distances / (spreads[:, None] + spreads))
    np.fill_diagonal(beyond, 0.0)
    return np.asarray(beyond @ counts / np.maximum(counts, 1))


def _contamination(short: int, by_chance: float) -> float:
    """Return the share c of other spikes that makes so many intervals short: c (2 - c) of those by chance."""
    return 1 - float(np.sqrt(max(1 - short / by_chance, 0.0))) if by_chance > 0 else 0.0


def _pauses(short: int, by_chance: float) -> bool:
    """Return whether fewer intervals are short than by chance.

    If they are not, either all of its spikes are several neurons', or its neuron has no refractory period, as
    in some simulations.
    """
    return bool(short < by_chance - PAUSES * np.sqrt(by_chance))


def _recall(state: SorterState) -> dict[int, float]:
    """Return the share of each unit's spikes that were found in the rehearsal, by unit id."""
    confusion = state.diagnostics.confusion
    true = np.maximum(confusion.sum(axis=1), 1)
    return {unit: float(confusion[k, k] / true[k]) for k, unit in enumerate(state.diagnostics.unit_ids)}
