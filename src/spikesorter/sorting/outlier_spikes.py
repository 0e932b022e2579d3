"""Find outlier spikes: spikes that no unit's template explains.

A decoder that explains everything by known templates assigns such spikes to some unit, with a large residual.
The usual residual of a unit's own spikes is measured on a rehearsal.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy.ndimage import uniform_filter1d

from spikesorter.core.cores import in_threads
from spikesorter.core.spikes import UNKNOWN, Spikes
from spikesorter.decoding.pursuit import PursuitDecoder
from spikesorter.decoding.run import TraceReader, padded
from spikesorter.signal.filters import filtered_across
from spikesorter.signal.peaks import pick_peaks
from spikesorter.signal.spans import Margin
from spikesorter.signal.templates import Templates, plant

__all__ = ["OutlierRule", "Outliers", "find_outliers", "fit_outlier_rule"]

Trace = npt.NDArray[np.float32]
BLOCKS = 64  # of the pursuit, examined together
KNOWN_MARKED = 0.004  # share of the known spikes of a rehearsal that may be marked
FALSE_EVENTS_PER_S = 0.1
UNSURE = 0.5  # probability given to outliers that were not found as spikes


@dataclass(frozen=True, eq=False)
class Outliers:
    """Residual of part of a recording: energy near each spike, and samples of further events."""

    left: Trace
    alone: npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class OutlierRule:
    """Rule for outlier spikes: how the residual is measured, and its thresholds.

    Parameters
    ----------
    pursuit : PursuitDecoder
        Decoder that explains the trace by known templates.
    templates : Templates
        The same templates at the target's gain, unfiltered.
    lead_samples, window_samples : int
        Start, before a spike's start, and length of the window in which the residual is measured.
    beside : float
        Residual energy near a spike above which the spike is an outlier.
    alone : float
        Residual energy above which a peak away from spikes is an outlier.

    Like a decoder's evidence, the residual is measured in blocks on a fixed grid, so that spans do not
    matter.
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
        """Margin of `examine`, including neighbouring blocks whose spikes extend into a block."""
        around = self._blocks_around * self.pursuit.grid_samples
        return self.pursuit.margin + Margin(around, around)

    def examine(self, trace: Trace, spikes: Spikes) -> Outliers:
        """Measure the residual of a block that known templates do not explain.

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
        """Return the energy of the whitened residual around each sample of a block.

        The samples on either side with which its peaks are compared are included.
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
        """Number of extra blocks on either side, so that edge effects stay outside."""
        filters = self.window_samples + len(self.pursuit.bank.whitener) + self.templates.waveforms.shape[1]
        needed = self._reach + filters + self.pursuit.overlap_samples
        return int(-(-needed // self.pursuit.grid_samples))

    def mark(self, spikes: Spikes, outliers: Outliers) -> Spikes:
        """Mark outliers as unit 0; an outlier that was taken for several spikes is counted once."""
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
        """Return the peaks without a marked spike nearby."""
        before = np.searchsorted(marked, peaks - self.window_samples, "left")
        after = np.searchsorted(marked, peaks + self.window_samples, "right")
        return np.asarray(peaks[before == after])


def find_outliers(
    rule: OutlierRule, read_trace: TraceReader, n_samples: int, spikes: Spikes, *, n_jobs: int
) -> Outliers:
    """Measure the residual of a recording that known templates do not explain.

    Parameters
    ----------
    rule : OutlierRule
    read_trace : TraceReader
    n_samples : int
        Length of the recording.
    spikes : Spikes
        Spikes found in the recording.
    n_jobs : int
        Number of threads; it does not affect the result.

    Returns
    -------
    Outliers
    """
    grid, margin = rule.grid_samples, rule.margin

    def examine(start: int) -> Outliers:
        trace = read_trace(start - margin.before, start + grid + margin.after)
        outliers = rule.examine(trace, spikes.within(start, min(start + grid, n_samples)).shifted(-start))
        alone = outliers.alone + start
        return Outliers(outliers.left, alone[alone < n_samples])

    parts = list(in_threads(examine, list(range(0, n_samples, grid)), n_jobs=n_jobs))
    left, alone = (np.concatenate([getattr(part, name) for part in parts]) for name in ("left", "alone"))
    return Outliers(left, alone)


def fit_outlier_rule(rule: OutlierRule, trace: Trace, found: Spikes, *, fs_hz: float) -> OutlierRule:
    """Set a rule's thresholds on a rehearsal: it has no outliers, so hardly any may be marked.

    Parameters
    ----------
    rule : OutlierRule
    trace : ndarray of float32, shape (samples, channels)
        Of the rehearsal.
    found : Spikes
        Spikes that the decoder finds in it.
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
