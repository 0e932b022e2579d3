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
from spikesorter.decoding.run import draw_explanation
from spikesorter.estimation.profile import Profile, conditioning_kernel
from spikesorter.estimation.units import FEW_SPIKES, Repertoire, learn_repertoire
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
    repertoire: Repertoire,
    profile: Profile,
    settings: Settings,
    *,
    fs_hz: float,
    jobs: int,
) -> Spikes:
    """Find spikes of unlabelled neurons that are easily taken for labelled ones.

    Parameters
    ----------
    trace : ndarray of float32, shape (samples, channels)
        Labelled recording, less its median.
    truth : Spikes
        Its labels.
    repertoire : Repertoire
        Learnt from them.
    profile : Profile
        Of the labelled recording.
    settings : Settings
    fs_hz : float
    jobs : int
        Threads; they change no result.

    Returns
    -------
    Spikes
        Those well away from labelled ones; labels above all that are in `truth`, one for each neuron.
    """
    kernel, found = conditioning_kernel(settings.conditioning, fs_hz), Spikes.empty()
    known = repertoire.labels

    def learnt(strangers: Spikes) -> Repertoire:
        every = Spikes.concatenate([truth, strangers])
        labels = strangers.labels
        return learn_repertoire(
            trace, every, settings.templates, kernel=kernel, fs_hz=fs_hz, strangers=labels
        )

    def counted(repertoire: Repertoire) -> Profile:
        return replace(profile, activity=replace(profile.activity, rates=tuple(repertoire.rates)))

    for _ in range(ROUNDS):
        pursuit = make_pursuit(repertoire, counted(repertoire), settings, fs_hz=fs_hz)
        drawn = draw_explanation(pursuit, trace, jobs=jobs).spikes
        alone = drawn.select(_away(drawn.sample, truth.sample, to_samples(AWAY_MS, fs_hz)))
        if len(alone) > MOST_UNLABELLED * len(truth):
            logger.warning(
                "the labelled recording seems to hold %.0f times as many spikes as were labelled: do the "
                "labels belong to it, and count at its sampling rate?",
                len(drawn) / len(truth),
            )
            return Spikes.empty()
        groups = _grouped(alone, truth, known, repertoire.strangers)
        if groups.labels == found.labels:
            break
        trial = learnt(groups)
        bank = make_pursuit(trial, counted(trial), settings, fs_hz=fs_hz).bank
        new = _distinct(bank, trial, to_samples(MOST_SHIFT_MS, fs_hz))
        groups = groups.select(np.isin(groups.label, new))
        if groups.labels == found.labels:
            break
        found = groups
        repertoire = learnt(found)
    if len(found):
        logger.info("%d unlabelled neurons are learnt too, as they resemble labelled ones", len(found.labels))
    return found


def _away(samples: npt.NDArray[np.int64], others: npt.NDArray[np.int64], reach: int) -> npt.NDArray[np.bool_]:
    first, last = np.searchsorted(others, samples - reach), np.searchsorted(others, samples + reach, "right")
    return np.asarray(first == last)


def _grouped(alone: Spikes, truth: Spikes, known: tuple[int, ...], strangers: tuple[int, ...]) -> Spikes:
    """Give spikes that were taken for a labelled class a new label, those of strangers keep theirs."""
    counts, following = truth.counts(), max((*known, *strangers)) + 1
    parts = [alone.of(label) for label in strangers]
    for label in known:
        taken = alone.of(label)
        if len(taken) >= max(FEW_SPIKES, LEAST_SHARE * counts[label]):
            parts.append(replace(taken, label=np.full(len(taken), following)))
            following += 1
    return Spikes.concatenate([part for part in parts if len(part) >= FEW_SPIKES])


def _distinct(bank: Bank | CausalBank, repertoire: Repertoire, shift: int) -> list[int]:
    """Return the strangers whose shapes are no other class's, of two alike the first."""
    overlaps, middle = bank.overlaps, bank.overlaps.shape[1] // 2
    near = overlaps[:, middle - shift : middle + shift + 1].max(axis=1)
    energies = np.diagonal(overlaps[:, middle]).astype(np.float64)
    distances = energies[:, None] + energies - 2 * near
    kept = [k for k, label in enumerate(repertoire.labels) if label not in repertoire.strangers]
    for k, label in enumerate(repertoire.labels):
        if label in repertoire.strangers and np.all(distances[k, kept] > DISTINCT**2):
            kept.append(k)
    return [repertoire.labels[k] for k in kept]
