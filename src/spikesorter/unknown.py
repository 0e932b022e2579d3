"""Spikes of neurons that the labelled recording does not hold: what no known shape explains.

A decoder that must explain everything by known shapes forces a stranger's spikes into them, and leaves much
unexplained beside. How much is left beside a known neuron's spike, a rehearsal tells.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy.ndimage import uniform_filter1d

from spikesorter.decoders.pursuit import PursuitDecoder
from spikesorter.signal.filters import fir_filter
from spikesorter.signal.peaks import pick_peaks
from spikesorter.signal.spans import Margin
from spikesorter.signal.templates import Templates, plant
from spikesorter.spikes import UNKNOWN, Spikes

__all__ = ["Strangers", "UnknownRule", "fit_unknown_rule"]

Trace = npt.NDArray[np.float32]
KNOWN_MARKED = 0.004  # share of the known spikes of a rehearsal that may be marked
FALSE_EVENTS_PER_S = 0.1
UNSURE = 0.5  # probability of a spike that is there for want of a better explanation


@dataclass(frozen=True, eq=False)
class Strangers:
    """What was found in a stretch: what is left beside each spike, and events beside no spike so marked."""

    left: Trace
    alone: npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class UnknownRule:
    """What is left unexplained, and how much of it is too much.

    Parameters
    ----------
    pursuit : PursuitDecoder
        Explains what can be explained by known shapes.
    templates : Templates
        Those shapes at the target's gain, as they look in the unfiltered trace.
    lead_samples, window_samples : int
        What is left is measured in a window that begins `lead_samples` before a spike's start.
    beside : float
        Energy left beside a spike above which it is none of its class.
    alone : float
        Energy that is an event of its own.
    """

    pursuit: PursuitDecoder
    templates: Templates
    lead_samples: int
    window_samples: int
    beside: float
    alone: float

    @property
    def margin(self) -> Margin:
        """Margin of `examine`: what reaches into a stretch is explained too."""
        block = self.pursuit.grid_samples
        return self.pursuit.margin + Margin(block, block)

    def examine(self, trace: Trace, spikes: Spikes) -> Strangers:
        """Measure what known shapes leave of a trace.

        Parameters
        ----------
        trace : ndarray of float32, shape (margin.before + samples + margin.after, channels)
            Less its offset.
        spikes : Spikes
            Those that were found in the middle, counted from its first sample.

        Returns
        -------
        Strangers
        """
        energy = self.left_over(trace)
        peaks = pick_peaks(energy, threshold=self.alone, distance_samples=self.window_samples)
        left = energy[spikes.sample]
        marked = spikes.sample[left > self.beside]
        near = np.searchsorted(marked, peaks + self.window_samples, "right") > np.searchsorted(
            marked, peaks - self.window_samples, "left"
        )
        return Strangers(left, peaks[~near])

    def left_over(self, trace: Trace) -> Trace:
        """Return the energy of the whitened rest in the window of a start at each sample of the middle."""
        draw = self.pursuit.draw(trace)
        block, margin = self.pursuit.grid_samples, self.pursuit.margin
        known = trace[margin.before : len(trace) - margin.after]
        rest = known - plant(len(known), draw.spikes, draw.sizes, self.templates)
        whitener = self.pursuit.bank.whitener
        white = np.column_stack([fir_filter(rest[:, [c]], whitener[:, c]) for c in range(rest.shape[1])])
        power = (white.astype(np.float64) ** 2).sum(axis=1)
        shift = self.lead_samples - self.window_samples // 2
        mean = uniform_filter1d(power, self.window_samples, mode="constant", origin=shift)
        return np.asarray(self.window_samples * mean[block : len(mean) - block], np.float32)

    def mark(self, spikes: Spikes, strangers: Strangers) -> Spikes:
        """Return the spikes with strangers as class 0; a stranger that was taken for several counts once."""
        unknown = strangers.left > self.beside
        gaps = np.diff(spikes.sample[unknown], prepend=-self.window_samples - 1)
        first_of_each = np.zeros(len(spikes), bool)
        first_of_each[np.flatnonzero(unknown)[gaps > self.window_samples]] = True
        samples = np.concatenate([spikes.sample[first_of_each], strangers.alone])
        marked = Spikes.from_arrays(
            samples,
            np.full(len(samples), UNKNOWN),
            np.concatenate([spikes.probability[first_of_each], np.full(len(strangers.alone), UNSURE)]),
        )
        return Spikes.concatenate([spikes.select(~unknown), marked])


def fit_unknown_rule(rule: UnknownRule, trace: Trace, found: Spikes, *, fs_hz: float) -> UnknownRule:
    """Set a rule's thresholds so that a rehearsal, which holds no strangers, has next to none marked.

    Parameters
    ----------
    rule : UnknownRule
    trace : ndarray of float32, shape (margin.before + samples + margin.after, channels)
        Of the rehearsal, with the rule's margin.
    found : Spikes
        What the decoder finds there, counted from the end of the margin.
    fs_hz : float

    Returns
    -------
    UnknownRule
    """
    energy = rule.left_over(trace)
    peaks = energy[pick_peaks(energy, threshold=0.0, distance_samples=rule.window_samples)]
    allowed = max(int(FALSE_EVENTS_PER_S * len(energy) / fs_hz), 1)
    alone = float(np.sort(peaks)[-min(allowed, len(peaks))])
    beside = float(np.quantile(energy[found.sample], 1 - KNOWN_MARKED)) if len(found) else alone
    return replace(rule, beside=beside, alone=alone)
