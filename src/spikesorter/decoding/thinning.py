"""Thin a grafted rehearsal so that its units fire as often, relative to each other, as in the target.

A grafted rehearsal has the labelled recording's firing rates, or more where spikes could be planted. If a
unit fires half as often in the target, a false spike is twice as likely there. Spikes of the more frequent
units are therefore left out, together with what a decoder found near them, before it is calibrated, tuned and
judged.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from spikesorter.decoding.candidates import Candidates
from spikesorter.estimation.context import THIN, Context
from spikesorter.estimation.profile import Profile
from spikesorter.estimation.rehearsal import LARGEST_RATIO, Rehearsal

__all__ = ["Thinning", "make_thinning"]

NEAR_MS = 0.4
ALIKE = 1.25  # ratios of firing rates within this factor of 1 need no thinning
AWAY_SAMPLES = 16  # candidates away from all spikes are kept or left out together within this distance
BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Thinning:
    """Which spikes of a rehearsal are kept, and which candidates.

    Parameters
    ----------
    rehearsal : Rehearsal
        Before thinning.
    kept : ndarray of bool, shape (spikes,)
    kept_away : ndarray of bool, shape (samples // AWAY_SAMPLES + 1,)
        Whether candidates away from all spikes are kept.
    reach_samples : int
        Largest distance of a candidate from the spike that it belongs to.
    kept_share : float
        Share of all candidates that is kept, but for what is left out of less frequent units.
    """

    rehearsal: Rehearsal
    kept: BoolArray
    kept_away: BoolArray
    reach_samples: int
    kept_share: float = 1.0

    @property
    def thinned(self) -> Rehearsal:
        """The rehearsal with the kept spikes only."""
        spikes = self.rehearsal.spikes.select(self.kept)
        return replace(self.rehearsal, spikes=spikes, kept_share=self.kept_share)

    def select(self, found: Candidates) -> Candidates:
        """Return the candidates that belong to a kept spike, and those kept away from all spikes."""
        if self.kept.all() and self.kept_away.all():
            return found
        keep = self.kept_away[found.sample // AWAY_SAMPLES]
        spikes = self.rehearsal.spikes.sample
        if len(spikes):
            after = np.clip(np.searchsorted(spikes, found.sample), 0, len(spikes) - 1)
            before = np.maximum(after - 1, 0)
            nearer = np.abs(spikes[before] - found.sample) < np.abs(spikes[after] - found.sample)
            nearest = np.where(nearer, before, after)
            near = np.abs(spikes[nearest] - found.sample) <= self.reach_samples
            keep = np.where(near, self.kept[nearest], keep)
        return found.select(keep)


def make_thinning(rehearsal: Rehearsal, context: Context, profile: Profile) -> Thinning:
    """Return the thinning of a grafted rehearsal to a target's firing rates.

    Parameters
    ----------
    rehearsal : Rehearsal
    context : Context
    profile : Profile
        Of the target.

    Returns
    -------
    Thinning
        Keeps everything if the rates are much the same.
    """
    there = context.units.rates + (np.array(rehearsal.added_rates) if rehearsal.added_rates else 0.0)
    ratios = np.asarray(profile.activity.rates) / np.maximum(there, 1e-30)
    ratios = np.clip(ratios, 1 / LARGEST_RATIO, LARGEST_RATIO)
    known = np.isin(context.units.unit_ids, context.units.known)
    alike = np.all((ratios[known] < ALIKE) & (ratios[known] > 1 / ALIKE))
    spikes, away = rehearsal.spikes, np.ones(len(rehearsal.trace) // AWAY_SAMPLES + 1, bool)
    reach = context.samples(NEAR_MS)
    if alike:
        return Thinning(rehearsal, np.ones(len(spikes), bool), away, reach)
    rng, most = context.rng(*THIN), max(float(ratios[known].max()), 1.0)
    share = ratios[np.searchsorted(context.units.unit_ids, spikes.unit)] / most
    kept = rng.random(len(spikes)) < share
    return Thinning(rehearsal, kept, rng.random(len(away)) < 1 / most, reach, 1 / most)
