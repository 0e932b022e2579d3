"""Explain a trace by units learnt from a labelling of it: one round of discovery."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from spikesorter.core.pairs import pairs_within
from spikesorter.core.settings import Settings
from spikesorter.core.spikes import Spikes
from spikesorter.decoding.candidates import Candidates, pick_candidates
from spikesorter.decoding.pursuit import PursuitDecoder, make_pursuit
from spikesorter.decoding.run import compute_in_spans
from spikesorter.estimation.context import Context
from spikesorter.estimation.estimate import estimate_initially
from spikesorter.estimation.units import Units, learn_units
from spikesorter.signal.filters import filtered_across
from spikesorter.signal.spans import to_samples
from spikesorter.signal.templates import plant

__all__ = [
    "FAR",
    "PICKING_SAMPLES",
    "Explained",
    "Trace",
    "distance",
    "explain",
    "largest_by_themselves",
    "steadied",
]

Trace = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]
PICKING_SAMPLES = 2  # on either side; noise spreads a spike's probability over some samples
LEAST_PROBABILITY = 0.05
FEW_OTHERS = 0.5  # least SD that the median deviation tells of, relative to the SD
NORMAL = 1.4826  # SD of a normal distribution, relative to its median deviation
MOST_SHIFT_MS = 1.0  # between two templates of one unit
FAR = 14.0  # d' of two templates above which they are never one unit
PIECE, PIECE_MS = (
    1 / 3,
    0.4,
)  # d' of a piece of a spike relative to that of the spike's unit, and how near they are


@dataclass(frozen=True, eq=False)
class Explained:
    """A trace, explained by units that were learnt from labels.

    Parameters
    ----------
    trace : ndarray of float32, shape (samples, channels)
        Without offset and hum.
    context : Context
    pursuit : PursuitDecoder
    spikes : Spikes
        One explanation, sampled from the posterior.
    amplitudes : ndarray of float32, shape (spikes,)
        Relative amplitude of each.
    picked : Spikes
        Spikes with their probabilities.
    """

    trace: Trace
    context: Context
    pursuit: PursuitDecoder
    spikes: Spikes
    amplitudes: Trace
    picked: Spikes

    @property
    def units(self) -> Units:
        """The units."""
        return self.context.units

    @property
    def fs_hz(self) -> float:
        """Sampling rate."""
        return self.context.fs_hz

    @cached_property
    def detectability(self) -> Float64Array:
        """D' of each unit."""
        return np.sqrt(self.pursuit.bank.energies)

    @cached_property
    def shapes(self) -> Float64Array:
        """Whitened templates, shape (units, samples, channels)."""
        templates, whitener = self.units.templates, self.pursuit.bank.whitener
        half = len(whitener) // 2
        wide = np.pad(templates.waveforms, ((0, 0), (half, half), (0, 0)))
        return np.stack([filtered_across(one, whitener) for one in wide]).astype(np.float64)

    @property
    def before(self) -> int:
        """Samples of a whitened template before a spike's start."""
        return self.units.templates.before + len(self.pursuit.bank.whitener) // 2

    @cached_property
    def rest(self) -> Trace:
        """What the explanation leaves of the whitened trace."""
        return self._without(np.ones(len(self.spikes), bool))

    @cached_property
    def rest_with_pieces(self) -> Trace:
        """As `rest`, but small spikes upon much larger ones are left in: they may be how these vary."""
        return self._without(~self.pieces)

    @cached_property
    def pieces(self) -> npt.NDArray[np.bool_]:
        """Which spikes lie upon much larger ones, by their peaks."""
        places = {unit: k for k, unit in enumerate(self.units.unit_ids)}
        place = np.array([places[unit] for unit in self.spikes.unit.tolist()], np.int64)
        size, peaks = self.detectability[place], np.array([self.peak_of(k) for k in range(len(self.shapes))])
        at = self.spikes.sample + peaks[place]
        order = np.argsort(at, kind="stable")
        i, j = pairs_within(at[order], at[order], to_samples(PIECE_MS, self.fs_hz))
        upon = size[order[i]] < PIECE * size[order[j]]
        mask = np.zeros(len(at), bool)
        mask[order[i[upon]]] = True
        return mask

    def peak_of(self, unit: int) -> int:
        """Return the sample of the largest deflection of a unit's whitened template after a spike's start."""
        return int(np.abs(self.shapes[unit]).max(axis=1).argmax()) - self.before

    def samples_of(self, unit: int) -> npt.NDArray[np.int64]:
        """Return the samples of the spikes of the unit at this place."""
        return np.asarray(self.spikes.sample[self.spikes.unit == self.units.unit_ids[unit]])

    def cleaned(
        self, unit: int, *, first: int, last: int, with_pieces: bool = False
    ) -> tuple[npt.NDArray[np.bool_], Float64Array]:
        """Return a unit's whitened waveforms, without the other spikes that overlap them.

        Parameters
        ----------
        unit : int
            Place of the unit.
        first, last : int
            Window around a spike's start.
        with_pieces : bool
            Whether small spikes upon much larger ones are left in.

        Returns
        -------
        mask : ndarray of bool, shape (spikes,)
            Spikes of this unit whose window lies inside the trace.
        waveforms : ndarray of float64, shape (spikes of the unit, last - first, channels)
        """
        mask = self.spikes.unit == self.units.unit_ids[unit]
        mask &= (self.spikes.sample + first >= 0) & (self.spikes.sample + last <= len(self.trace))
        rest = self.rest_with_pieces if with_pieces else self.rest
        windows = rest[self.spikes.sample[mask][:, None] + np.arange(first, last)].astype(np.float64)
        own = self.window_of(unit, first, last)
        return mask, windows + self.amplitudes[mask][:, None, None] * own

    def _without(self, mask: npt.NDArray[np.bool_]) -> Trace:
        """Return the whitened trace without some of the spikes."""
        known = plant(len(self.trace), self.spikes.select(mask), self.amplitudes[mask], self.units.templates)
        return filtered_across(self.trace - known, self.pursuit.bank.whitener)

    def window_of(self, unit: int, first: int, last: int) -> Float64Array:
        """Return part of a unit's whitened template, from `first` to before `last` after its start."""
        shape, start = self.shapes[unit], self.before + first
        wide = np.pad(shape, ((max(-start, 0), max(start + last - first - len(shape), 0)), (0, 0)))
        start = max(start, 0)
        return np.asarray(wide[start : start + last - first])


def explain(
    trace: Trace,
    labels: Spikes,
    settings: Settings,
    *,
    kernel: Float64Array,
    fs_hz: float,
    n_jobs: int,
) -> Explained:
    """Learn units from labels, and explain the trace by them.

    Parameters
    ----------
    trace : ndarray of float32, shape (samples, channels)
        Without offset and hum.
    labels : Spikes
    settings : Settings
    kernel : ndarray of float64, shape (taps,)
        Conditioning filter.
    fs_hz : float
    n_jobs : int
        Number of threads; it does not affect the result.

    Returns
    -------
    Explained
    """
    units = _steadied(learn_units(trace, labels, settings.templates, kernel=kernel, fs_hz=fs_hz))
    context = Context(settings, fs_hz, units, kernel)
    profile = estimate_initially(trace, context).profile
    counted = replace(profile.activity, gain=1.0, rates=tuple(units.rates))
    pursuit = make_pursuit(context, replace(profile, activity=counted))
    output = compute_in_spans(pursuit, pursuit.explain, trace, n_jobs=n_jobs)
    sampled = pursuit.to_explanation(output)
    picked = pick_candidates(
        output[:, : len(pursuit.unit_ids)],
        pursuit.unit_ids,
        smoothing_samples=PICKING_SAMPLES,
        least=LEAST_PROBABILITY,
    )
    sizes = np.sqrt(pursuit.bank.energies)
    spikes = largest_by_themselves(picked, output[:, : len(sizes)], pursuit.unit_ids, sizes)
    return Explained(trace, context, pursuit, sampled.spikes, sampled.amplitudes, spikes)


def largest_by_themselves(
    picked: Candidates, curves: Trace, unit_ids: tuple[int, ...], sizes: Float64Array
) -> Spikes:
    """Return picked spikes, of those at one place the largest as probable as it is by itself.

    What is expected of all units at a place is shared among them, as if a spike were of one of them. Where a
    small spike lies upon a large one, both would have half the probability. The small one keeps it, as it
    may be how the large one varies.

    Parameters
    ----------
    picked : Candidates
    curves : ndarray of float32, shape (samples, units)
        Expected spikes, from which they were picked.
    unit_ids : tuple of int
        Of the curves, in ascending order.
    sizes : ndarray of float64, shape (units,)
        D' of each.

    Returns
    -------
    Spikes

    Examples
    --------
    >>> curves = np.zeros((100, 2), np.float32)
    >>> curves[50:52] = 0.5  # a spike of either unit at one place, each for certain
    >>> picked = Candidates.from_arrays([50, 50], [1, 2], [1.0, 1.0], [0.5, 0.5])
    >>> largest_by_themselves(picked, curves, (1, 2), np.array([20.0, 4.0])).joint
    array([1. , 0.5], dtype=float32)
    """
    column = np.searchsorted(unit_ids, picked.unit)
    around = picked.sample[:, None] + np.arange(-PICKING_SAMPLES, PICKING_SAMPLES + 1)
    inside = (around >= 0) & (around < len(curves))
    expected = (curves[np.clip(around, 0, len(curves) - 1), column[:, None]] * inside).sum(axis=1)
    i, j = pairs_within(picked.sample, picked.sample, PICKING_SAMPLES)
    largest = np.ones(len(column), bool)
    largest[i[sizes[column[j]] > sizes[column[i]]]] = False
    alone = np.minimum(expected, 1) / np.maximum(picked.probability, LEAST_PROBABILITY)
    named = np.where(largest, np.clip(alone, picked.unit_probability, 1), picked.unit_probability)
    return Spikes.from_arrays(picked.sample, picked.unit, picked.probability, named)


def _steadied(units: Units) -> Units:
    """Return units whose sizes spread no more than the middle half of them tells.

    A few spikes of smaller neurons widen a unit's spread, so that it takes in more of them in each round.
    """
    return replace(units, amplitudes=tuple(steadied(sizes) for sizes in units.amplitudes))


def steadied(sizes: Trace) -> Trace:
    """Return sizes drawn towards their median, so that their SD is what their median deviation tells.

    They stay if it tells of less than half: then a unit is missing, whose spikes are among these.

    Parameters
    ----------
    sizes : ndarray of float32, shape (spikes,)

    Examples
    --------
    >>> steadied(np.float32([0.8, 0.9, 1.0, 1.1, 1.5])).round(2)
    array([0.88, 0.94, 1.  , 1.06, 1.31], dtype=float32)
    """
    middle = np.median(sizes)
    spread = NORMAL * float(np.median(np.abs(sizes - middle)))
    factor = min(1.0, spread / max(float(np.std(sizes)), 1e-9))
    if factor < FEW_OTHERS:
        return sizes
    return np.asarray(middle + (sizes - middle) * factor, np.float32)


def distance(explained: Explained, i: int, j: int) -> tuple[float, int]:
    """Return d' of the difference of two templates, and the lag of j behind i at which it is least."""
    overlaps = explained.pursuit.bank.overlaps
    reach = overlaps.shape[1] // 2
    shift = to_samples(MOST_SHIFT_MS, explained.fs_hz)
    energies = float(overlaps[i, reach, i]) + float(overlaps[j, reach, j])
    near = overlaps[i, reach - shift : reach + shift + 1, j].astype(np.float64)
    best = int(near.argmax())
    most = near[best]
    if 0 < best < len(near) - 1:  # between samples, by a parabola
        left, right = near[best - 1], near[best + 1]
        most += (left - right) ** 2 / (8 * max(2 * most - left - right, 1e-9))
    return float(np.sqrt(max(energies - 2 * most, 0.0))), best - shift
