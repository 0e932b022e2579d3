"""Find unlabelled units whose spikes could be mistaken for those of labelled units.

Labels often cover only the clearest units. A decoder with only the labelled templates therefore finds spikes
in the labelled recording that have no label. These spikes are grouped and their templates learnt, unless the
templates match a labelled unit's. The decoder then assigns such spikes to unlabelled units. Rehearsals
include these units; results leave them out.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from spikesorter.core.spikes import Spikes
from spikesorter.decoding.pursuit import make_pursuit, sample_explanation
from spikesorter.estimation.context import Context
from spikesorter.estimation.profile import Profile
from spikesorter.estimation.units import FEW_SPIKES, Units, learn_units
from spikesorter.signal.bank import Bank

__all__ = ["find_unlabelled"]

logger = logging.getLogger(__name__)
ROUNDS = 3
AWAY_MS = 1.5  # from any labelled spike; nearer spikes may be part of that spike
MOST_UNLABELLED = (
    10.0  # unlabelled spikes per labelled spike; if there are more, the labels do not fit the recording
)
LEAST_SHARE = 0.02  # of the labelled spikes of the unit that they were assigned to
DISTINCT = 3.0  # d' between two templates below which they belong to one unit
MOST_SHIFT_MS = 0.3


def find_unlabelled(
    trace: npt.NDArray[np.float32], labels: Spikes, context: Context, profile: Profile, *, n_jobs: int
) -> Spikes:
    """Find spikes of unlabelled units that are easily mistaken for labelled units.

    Parameters
    ----------
    trace : ndarray of float32, shape (samples, channels)
        Labelled recording, without its median.
    labels : Spikes
        Its labels.
    context : Context
        With units learnt from these labels.
    profile : Profile
        Of the labelled recording.
    n_jobs : int
        Number of threads; it does not affect the result.

    Returns
    -------
    Spikes
        Spikes of unlabelled units, away from labelled spikes. Their unit ids follow those in `labels`.
    """
    search = _Search(trace, labels, context, profile, n_jobs)
    found = Spikes.empty()
    for _ in range(ROUNDS):
        spikes = search.unexplained(found)
        if spikes is None:
            return Spikes.empty()
        grouped = search.grouped(spikes, found.unit_ids)
        if grouped.unit_ids == found.unit_ids:
            break
        grouped = search.distinct(grouped)
        if grouped.unit_ids == found.unit_ids:
            break
        found = grouped
    if len(found):
        logger.info("%d unlabelled units that resemble labelled ones are learnt too", len(found.unit_ids))
    return found


@dataclass(frozen=True, eq=False)
class _Search:
    """Search of a labelled recording for unlabelled units."""

    trace: npt.NDArray[np.float32]
    labels: Spikes
    context: Context
    profile: Profile
    n_jobs: int

    def unexplained(self, unlabelled: Spikes) -> Spikes | None:
        """Return spikes away from any label; None if there are far too many."""
        units = self._learn(unlabelled) if len(unlabelled) else self.context.units
        pursuit = make_pursuit(replace(self.context, units=units), self._counted(units))
        sampled = sample_explanation(pursuit, self.trace, n_jobs=self.n_jobs).spikes
        reach = self.context.samples(AWAY_MS)
        away = sampled.select(_is_away(sampled.sample, self.labels.sample, reach))
        if len(away) <= MOST_UNLABELLED * len(self.labels):
            return away
        logger.warning(
            "the labelled recording seems to have %.0f times as many spikes as labels: do the labels belong "
            "to it, and have its sampling rate?",
            len(sampled) / len(self.labels),
        )
        return None

    def grouped(self, spikes: Spikes, unlabelled_ids: tuple[int, ...]) -> Spikes:
        """Group spikes by the labelled unit that they were assigned to, each group with a new unit id."""
        known, counts = self.context.units.unit_ids, self.labels.counts()
        following = max((*known, *unlabelled_ids)) + 1
        parts = [spikes.of(unit) for unit in unlabelled_ids]
        for unit in known:
            assigned = spikes.of(unit)
            if len(assigned) >= max(FEW_SPIKES, LEAST_SHARE * counts[unit]):
                parts.append(replace(assigned, unit=np.full(len(assigned), following)))
                following += 1
        return Spikes.concatenate([part for part in parts if len(part) >= FEW_SPIKES])

    def distinct(self, unlabelled: Spikes) -> Spikes:
        """Return the spikes of unlabelled units whose templates match no other unit's."""
        trial = self._learn(unlabelled)
        bank = replace(self.context, units=trial).bank(self._counted(trial))
        kept = _distinct_units(bank, trial, self.context.samples(MOST_SHIFT_MS))
        return unlabelled.select(np.isin(unlabelled.unit, kept))

    def _learn(self, unlabelled: Spikes) -> Units:
        return learn_units(
            self.trace,
            Spikes.concatenate([self.labels, unlabelled]),
            self.context.settings.templates,
            kernel=self.context.kernel,
            fs_hz=self.context.fs_hz,
            unlabelled_ids=unlabelled.unit_ids,
        )

    def _counted(self, units: Units) -> Profile:
        """Return the recording's profile with the rates of these units, counted in it."""
        return replace(self.profile, activity=replace(self.profile.activity, rates=tuple(units.rates)))


def _is_away(
    samples: npt.NDArray[np.int64], others: npt.NDArray[np.int64], reach: int
) -> npt.NDArray[np.bool_]:
    first, last = np.searchsorted(others, samples - reach), np.searchsorted(others, samples + reach, "right")
    return np.asarray(first == last)


def _distinct_units(bank: Bank, units: Units, shift: int) -> list[int]:
    """Return the units without unlabelled ones whose template matches an earlier unit's."""
    overlaps, middle = bank.overlaps, bank.overlaps.shape[1] // 2
    near = overlaps[:, middle - shift : middle + shift + 1].max(axis=1)
    energies = np.diagonal(overlaps[:, middle]).astype(np.float64)
    distances = energies[:, None] + energies - 2 * near
    kept = [k for k, unit in enumerate(units.unit_ids) if unit not in units.unlabelled_ids]
    for k, unit in enumerate(units.unit_ids):
        if unit in units.unlabelled_ids and np.all(distances[k, kept] > DISTINCT**2):
            kept.append(k)
    return [units.unit_ids[k] for k in kept]
