"""Find units that the labels leave out, where their spikes could be taken for a labelled unit's.

Labels often name only the clearest units. The others fire in the labelled recording too, so it shows where a
decoder that knows only labelled templates would go wrong: where it finds spikes that have no label. Such
spikes are grouped, and their templates learnt, unless they match a labelled unit's. The decoder then explains
them by units of their own. Rehearsals include these units; results leave them out.
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
AWAY_MS = 1.5  # from any labelled spike; nearer ones may be remains of that one
MOST_UNLABELLED = 10.0  # spikes per labelled one; if there are more, the labels do not fit the recording
LEAST_SHARE = 0.02  # of the labelled spikes of the unit that they were taken for
DISTINCT = 3.0  # d' between two templates below which they belong to one unit
MOST_SHIFT_MS = 0.3


def find_unlabelled(
    trace: npt.NDArray[np.float32], labels: Spikes, context: Context, profile: Profile, *, n_jobs: int
) -> Spikes:
    """Find spikes of unlabelled units that are easily taken for labelled ones.

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
        Threads; they change no result.

    Returns
    -------
    Spikes
        Of unlabelled units, away from labelled spikes. Their unit ids follow those in `labels`.
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
    """A labelled recording in which unlabelled units are looked for."""

    trace: npt.NDArray[np.float32]
    labels: Spikes
    context: Context
    profile: Profile
    n_jobs: int

    def unexplained(self, unlabelled: Spikes) -> Spikes | None:
        """Return spikes that lie away from any label; None if there are far too many."""
        units = self._learn(unlabelled) if len(unlabelled) else self.context.units
        pursuit = make_pursuit(replace(self.context, units=units), self._counted(units))
        sampled = sample_explanation(pursuit, self.trace, n_jobs=self.n_jobs).spikes
        reach = self.context.samples(AWAY_MS)
        away = sampled.select(_is_away(sampled.sample, self.labels.sample, reach))
        if len(away) <= MOST_UNLABELLED * len(self.labels):
            return away
        logger.warning(
            "the labelled recording seems to hold %.0f times as many spikes as were labelled: do the "
            "labels belong to it, and count at its sampling rate?",
            len(sampled) / len(self.labels),
        )
        return None

    def grouped(self, spikes: Spikes, unlabelled_ids: tuple[int, ...]) -> Spikes:
        """Group spikes by the unit they were taken for; a new unit id for each labelled one."""
        known, counts = self.context.units.unit_ids, self.labels.counts()
        following = max((*known, *unlabelled_ids)) + 1
        parts = [spikes.of(unit) for unit in unlabelled_ids]
        for unit in known:
            taken = spikes.of(unit)
            if len(taken) >= max(FEW_SPIKES, LEAST_SHARE * counts[unit]):
                parts.append(replace(taken, unit=np.full(len(taken), following)))
                following += 1
        return Spikes.concatenate([part for part in parts if len(part) >= FEW_SPIKES])

    def distinct(self, unlabelled: Spikes) -> Spikes:
        """Leave out unlabelled units whose templates match another unit's."""
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
        """Return the recording's profile with the rates at which these units fire in it."""
        return replace(self.profile, activity=replace(self.profile.activity, rates=tuple(units.rates)))


def _is_away(
    samples: npt.NDArray[np.int64], others: npt.NDArray[np.int64], reach: int
) -> npt.NDArray[np.bool_]:
    first, last = np.searchsorted(others, samples - reach), np.searchsorted(others, samples + reach, "right")
    return np.asarray(first == last)


def _distinct_units(bank: Bank, units: Units, shift: int) -> list[int]:
    """Return unlabelled units whose templates match no other unit's; of two alike, the first."""
    overlaps, middle = bank.overlaps, bank.overlaps.shape[1] // 2
    near = overlaps[:, middle - shift : middle + shift + 1].max(axis=1)
    energies = np.diagonal(overlaps[:, middle]).astype(np.float64)
    distances = energies[:, None] + energies - 2 * near
    kept = [k for k, unit in enumerate(units.unit_ids) if unit not in units.unlabelled_ids]
    for k, unit in enumerate(units.unit_ids):
        if unit in units.unlabelled_ids and np.all(distances[k, kept] > DISTINCT**2):
            kept.append(k)
    return [units.unit_ids[k] for k in kept]
