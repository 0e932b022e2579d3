"""Find outlier spikes: spikes that no unit's template explains.

A decoder that must explain everything by known templates assigns such spikes to some unit, and leaves much of
them unexplained. How much is left beside a unit's own spikes is known from a rehearsal.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy.ndimage import uniform_filter1d

from spikesorter.core.spikes import UNKNOWN, Spikes
from spikesorter.decoding.pursuit import PursuitDecoder
from spikesorter.decoding.run import TraceReader, in_threads, padded
from spikesorter.signal.filters import filtered_across
from spikesorter.signal.peaks import pick_peaks
from spikesorter.signal.spans import Margin
from spikesorter.signal.templates import Templates, plant

__all__ = ["OutlierRule", "Outliers", "find_outliers", "fit_outlier_rule"]

Trace = npt.NDArray[np.float32]
BLOCKS = 64  # of the pursuit, examined at once
KNOWN_MARKED = 0.004  # share of the known spikes of a rehearsal that may be marked
FALSE_EVENTS_PER_S = 0.1
UNSURE = 0.5  # probability that is given to events of their own


@dataclass(frozen=True, eq=False)
class Outliers:
    """What is left in part of a recording: energy beside each spike, and samples of events of their own."""

    left: Trace
    alone: npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class OutlierRule:
    """How much may be left unexplained, and how it is measured.

    Parameters
    ----------
    pursuit : PursuitDecoder
        Explains the trace by known templates.
    templates : Templates
        The same, at the target's gain, unfiltered.
    lead_samples, window_samples : int
        Window in which the rest is measured, and how long before a spike's start it begins.
    beside : float
        Energy left beside a spike above which it is an outlier.
    alone : float
        Energy that is an event of its own.

    The rest is measured in blocks on a fixed grid, like a decoder's evidence and for the same reason.
    """

    pursuit: PursuitDecoder
    templates: Templates
    lead_samples: int
    window_samples: int
    beside: float
    alone: float

    @property
    def grid_samples(self) -> int:
        """Length of the blocks in which a trace is examined."""
        return BLOCKS * self.pursuit.grid_samples

    @property
    def margin(self) -> Margin:
        """Margin of `examine`, which also explains what extends into a block."""
        around = self._blocks_around * self.pursuit.grid_samples
        return self.pursuit.margin + Margin(around, around)

    def examine(self, trace: Trace, spikes: Spikes) -> Outliers:
        """Measure what known templates leave unexplained in a block.

        Parameters
        ----------
        trace : ndarray of float32, shape (margin.before + grid_samples + margin.after, channels)
            Without its offset.
        spikes : Spikes
            Found in the block, counted from its first sample.

        Returns
        -------
        Outliers
        """
        energy, reach = self.left_over(trace), self._reach
        peaks = pick_peaks(energy, threshold=self.alone, distance_samples=self.window_samples) - reach
        return Outliers(energy[spikes.sample + reach], peaks[(peaks >= 0) & (peaks < self.grid_samples)])

    def left_over(self, trace: Trace) -> Trace:
        """Return the energy of the whitened rest around each sample of a block.

        Samples before and after the block with which its peaks are compared are included.
        """
        overlap, margin = self.pursuit.overlap_samples, self.pursuit.margin
        explanation = self.pursuit.to_explanation(self.pursuit.explain(trace)[overlap:-overlap])
        known = trace[margin.before : len(trace) - margin.after]
        rest = known - plant(len(known), explanation.spikes, explanation.amplitudes, self.templates)
        white = filtered_across(rest, self.pursuit.bank.whitener)
        power = (white.astype(np.float64) ** 2).sum(axis=1)
        shift = self.lead_samples - self.window_samples // 2
        mean = uniform_filter1d(power, self.window_samples, mode="constant", origin=shift)
        outside = self.pursuit.grid_samples * self._blocks_around - self._reach
        return np.asarray(self.window_samples * mean[outside : len(mean) - outside], np.float32)

    @property
    def _reach(self) -> int:
        return self.window_samples

    @property
    def _blocks_around(self) -> int:
        """Blocks of the pursuit on either side of those examined, so that the ends do no harm."""
        filters = self.window_samples + len(self.pursuit.bank.whitener) + self.templates.waveforms.shape[1]
        needed = self._reach + filters + self.pursuit.overlap_samples
        return int(-(-needed // self.pursuit.grid_samples))

    def mark(self, spikes: Spikes, outliers: Outliers) -> Spikes:
        """Mark outliers as unit 0; one that was taken for several spikes counts once."""
        unknown = outliers.left > self.beside
        gaps = np.diff(spikes.sample[unknown], prepend=-self.window_samples - 1)
        first_of_each = np.zeros(len(spikes), bool)
        first_of_each[np.flatnonzero(unknown)[gaps > self.window_samples]] = True
        away = self._away(outliers.alone, spikes.sample[unknown])
        samples = np.concatenate([spikes.sample[first_of_each], away])
        marked = Spikes.from_arrays(
            samples,
            np.full(len(samples), UNKNOWN),
            np.concatenate([spikes.probability[first_of_each], np.full(len(away), UNSURE)]),
        )
        return Spikes.concatenate([spikes.select(~unknown), marked])

    def _away(self, peaks: npt.NDArray[np.int64], marked: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return the peaks that have no marked spike near them."""
        before = np.searchsorted(marked, peaks - self.window_samples, "left")
        after = np.searchsorted(marked, peaks + self.window_samples, "right")
        return np.asarray(peaks[before == after])


def find_outliers(
    rule: OutlierRule, read_trace: TraceReader, n_samples: int, spikes: Spikes, *, n_jobs: int
) -> Outliers:
    """Measure what known templates leave unexplained in a recording.

    Parameters
    ----------
    rule : OutlierRule
    read_trace : TraceReader
    n_samples : int
        Length of the recording.
    spikes : Spikes
        Found in it.
    n_jobs : int
        Threads; they change no result.

    Returns
    -------
    Outliers
    """
    grid, margin = rule.grid_samples, rule.margin

    def examine(start: int) -> Outliers:
        trace = read_trace(start - margin.before, start + grid + margin.after)
        seen = rule.examine(trace, spikes.within(start, min(start + grid, n_samples)).shifted(-start))
        alone = seen.alone + start
        return Outliers(seen.left, alone[alone < n_samples])

    parts = list(in_threads(examine, list(range(0, n_samples, grid)), n_jobs=n_jobs))
    left, alone = (np.concatenate([getattr(part, name) for part in parts]) for name in ("left", "alone"))
    return Outliers(left, alone)


def fit_outlier_rule(rule: OutlierRule, trace: Trace, found: Spikes, *, fs_hz: float) -> OutlierRule:
    """Set a rule's thresholds by a rehearsal: as it has no outliers, hardly any may be marked.

    Parameters
    ----------
    rule : OutlierRule
    trace : ndarray of float32, shape (samples, channels)
        Of the rehearsal.
    found : Spikes
        What the decoder finds in it.
    fs_hz : float

    Returns
    -------
    OutlierRule
    """
    read_trace, margin, grid = padded(trace), rule.margin, rule.grid_samples
    whole = [rule.left_over(read_trace(start - margin.before, start + grid + margin.after))
             for start in range(0, len(trace), grid)]  # fmt: skip
    around = (len(whole[0]) - grid) // 2
    energy = np.concatenate([part[around : around + grid] for part in whole])[: len(trace)]
    peaks = energy[pick_peaks(energy, threshold=0.0, distance_samples=rule.window_samples)]
    allowed = max(int(FALSE_EVENTS_PER_S * len(energy) / fs_hz), 1)
    alone = float(np.sort(peaks)[-min(allowed, len(peaks))])
    beside = float(np.quantile(energy[found.sample], 1 - KNOWN_MARKED)) if len(found) else alone
    return replace(rule, beside=beside, alone=alone)
