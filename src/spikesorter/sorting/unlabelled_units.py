"""Neurons that the labels leave out: those of them that could be taken for a labelled one are learnt too.

Labels often name the clear neurons alone. What the others fire is in the labelled recording as well, so it
is known where a decoder that knows labelled shapes only would go wrong: where it finds spikes that nobody
labelled. Their shapes, unless they are a labelled neuron's after all, become classes that explain such spikes
and are rehearsed like any other, but are left out of every result.
"""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from spikesorter.core.settings import Settings
from spikesorter.core.spikes import Spikes
from spikesorter.decoding.making import make_pursuit
from spikesorter.decoding.run import sample_explanation
from spikesorter.estimation.profile import Profile, conditioning_kernel
from spikesorter.estimation.units import FEW_SPIKES, Units, learn_units
from spikesorter.signal.bank import Bank, CausalBank
from spikesorter.signal.spans import to_samples

__all__ = ["find_unlabelled"]

logger = logging.getLogger(__name__)
ROUNDS = 3
AWAY_MS = 1.5  # from any labelled spike: nearer ones may be what is left of that one
MOST_UNLABELLED = 10.0  # spikes for a labelled one; more of them explain something else than neurons
LEAST_SHARE = 0.02  # of the labelled spikes of the class that they were taken for
DISTINCT = 3.0  # d' between two shapes below which they are one neuron's
MOST_SHIFT_MS = 0.3


def find_unlabelled(
    trace: npt.NDArray[np.float32],
    truth: Spikes,
    units: Units,
    profile: Profile,
    settings: Settings,
    *,
    fs_hz: float,
    n_jobs: int,
) -> Spikes:
    """Find spikes of unlabelled neurons that are easily taken for labelled ones.

    Parameters
    ----------
    trace : ndarray of float32, shape (samples, channels)
        Labelled recording, less its median.
    truth : Spikes
        Its labels.
    units : Units
        Learnt from them.
    profile : Profile
        Of the labelled recording.
    settings : Settings
    fs_hz : float
    n_jobs : int
        Threads; they change no result.

    Returns
    -------
    Spikes
        Those well away from labelled ones; labels above all that are in `truth`, one for each neuron.
    """
    kernel, found = conditioning_kernel(settings.conditioning, fs_hz), Spikes.empty()
    known = units.unit_ids

    def learnt(unlabelled_ids: Spikes) -> Units:
        every = Spikes.concatenate([truth, unlabelled_ids])
        unit_ids = unlabelled_ids.unit_ids
        return learn_units(
            trace, every, settings.templates, kernel=kernel, fs_hz=fs_hz, unlabelled_ids=unit_ids
        )

    def counted(units: Units) -> Profile:
        return replace(profile, activity=replace(profile.activity, rates=tuple(units.rates)))

    for _ in range(ROUNDS):
        pursuit = make_pursuit(units, counted(units), settings, fs_hz=fs_hz)
        drawn = sample_explanation(pursuit, trace, n_jobs=n_jobs).spikes
        alone = drawn.select(_away(drawn.sample, truth.sample, to_samples(AWAY_MS, fs_hz)))
        if len(alone) > MOST_UNLABELLED * len(truth):
            logger.warning(
                "the labelled recording seems to hold %.0f times as many spikes as were labelled: do the "
                "labels belong to it, and count at its sampling rate?",
                len(drawn) / len(truth),
            )
            return Spikes.empty()
        groups = _grouped(alone, truth, known, units.unlabelled_ids)
        if groups.unit_ids == found.unit_ids:
            break
        trial = learnt(groups)
        bank = make_pursuit(trial, counted(trial), settings, fs_hz=fs_hz).bank
        new = _distinct(bank, trial, to_samples(MOST_SHIFT_MS, fs_hz))
        groups = groups.select(np.isin(groups.unit, new))
        if groups.unit_ids == found.unit_ids:
            break
        found = groups
        units = learnt(found)
    if len(found):
        logger.info(
            "%d unlabelled neurons are learnt too, as they resemble labelled ones", len(found.unit_ids)
        )
    return found


def _away(samples: npt.NDArray[np.int64], others: npt.NDArray[np.int64], reach: int) -> npt.NDArray[np.bool_]:
    first, last = np.searchsorted(others, samples - reach), np.searchsorted(others, samples + reach, "right")
    return np.asarray(first == last)


def _grouped(alone: Spikes, truth: Spikes, known: tuple[int, ...], unlabelled_ids: tuple[int, ...]) -> Spikes:
    """Give spikes that were taken for a labelled class a new label, those of strangers keep theirs."""
    counts, following = truth.counts(), max((*known, *unlabelled_ids)) + 1
    parts = [alone.of(unit) for unit in unlabelled_ids]
    for unit in known:
        taken = alone.of(unit)
        if len(taken) >= max(FEW_SPIKES, LEAST_SHARE * counts[unit]):
            parts.append(replace(taken, unit=np.full(len(taken), following)))
            following += 1
    return Spikes.concatenate([part for part in parts if len(part) >= FEW_SPIKES])


def _distinct(bank: Bank | CausalBank, units: Units, shift: int) -> list[int]:
    """Return the strangers whose shapes are no other class's, of two alike the first."""
    overlaps, middle = bank.overlaps, bank.overlaps.shape[1] // 2
    near = overlaps[:, middle - shift : middle + shift + 1].max(axis=1)
    energies = np.diagonal(overlaps[:, middle]).astype(np.float64)
    distances = energies[:, None] + energies - 2 * near
    kept = [k for k, unit in enumerate(units.unit_ids) if unit not in units.unlabelled_ids]
    for k, unit in enumerate(units.unit_ids):
        if unit in units.unlabelled_ids and np.all(distances[k, kept] > DISTINCT**2):
            kept.append(k)
    return [units.unit_ids[k] for k in kept]
