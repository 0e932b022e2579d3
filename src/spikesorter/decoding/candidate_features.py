"""Candidates of linear discriminants, and what trees look at to name them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from spikesorter.decoding.botm import BotmDecoder
from spikesorter.decoding.candidates import Candidates
from spikesorter.decoding.pursuit import PursuitDecoder
from spikesorter.signal.correlate import correlate
from spikesorter.signal.filters import band_pass_kernel
from spikesorter.signal.spans import Margin, to_samples

__all__ = ["CandidateFeatures"]

Trace = npt.NDArray[np.float32]
PURSUIT_BLOCKS = 12  # in one block of features; one more is explained on either side
LOW_HZ, HIGH_HZ, TAPS = 200.0, 6000.0, 201  # of the band in which waveforms are seen
WINDOW_MS = (0.8, 2.4)  # before and after a candidate
LAG_MS, LAG_STEP = 1.0, 2  # at which the discriminants' filters are seen, in samples between two lags
GAP_MS = 10.0  # between candidates, beyond which it does not matter how far they are apart
HERE_MS, NEAR_MS, FAR_MS = 0.13, 0.4, 1.35  # reaches over which the pursuit's expected spikes are summed


@dataclass(frozen=True, eq=False)
class CandidateFeatures:
    """Maker of candidates and their features.

    Of each candidate are seen: the waveform in a band, the outputs of the discriminants' filters around it,
    what the discriminants think of it, how far the next candidates are, the spikes that the pursuit expects
    there and beside it, and what is known of that part of the recording.

    Parameters
    ----------
    discriminants : BotmDecoder
    pursuit : PursuitDecoder
    fs_hz : float
    change : tuple of float
        Sizes of the units and level of the noise in the part of the recording that this is for. Empty for a
        recording that does not change.
    """

    discriminants: BotmDecoder
    pursuit: PursuitDecoder
    fs_hz: float
    change: tuple[float, ...] = ()

    @property
    def grid_samples(self) -> int:
        """Length of a block."""
        return PURSUIT_BLOCKS * self.pursuit.grid_samples

    @cached_property
    def margin(self) -> Margin:
        """Samples around a block on which its features depend."""
        reach = self.discriminants.pick_reach + self._samples(GAP_MS)
        waveform = TAPS + max(map(self._samples, WINDOW_MS))
        beside = Margin(waveform, waveform)
        beyond = self.pursuit.grid_samples
        margins = (
            beside,
            self.discriminants.margin + Margin(reach, reach),
            self.pursuit.margin + Margin(beyond, beyond),
        )
        return Margin(max(one.before for one in margins), max(one.after for one in margins))

    def see(self, trace: Trace) -> tuple[Candidates, Trace]:
        """Return the candidates of some blocks, counted from the first sample, and the features of each.

        They are the same, to the last bit, whatever number of blocks is looked at.

        Parameters
        ----------
        trace : ndarray of float32, shape (margin.before + blocks * grid_samples + margin.after, channels)
        """
        outputs, zero = self._outputs(trace)
        found, gaps = self._candidates(outputs, zero, self._inside(trace))
        at = found.sample[:, None]
        lag = self._samples(LAG_MS)
        lags = np.arange(-lag, lag + 1, LAG_STEP)
        features = [
            self._waveforms(trace, at),
            outputs[zero + at + lags].reshape(len(found), len(lags) * outputs.shape[1]),
            found.joint[:, None],
            found.unit[:, None],
            gaps,
            self._expected_spikes(trace, found.sample),
            np.broadcast_to(np.asarray(self.change, np.float32), (len(found), len(self.change))),
        ]
        return found, np.concatenate(features, axis=1).astype(np.float32)

    def _outputs(self, trace: Trace) -> tuple[Trace, int]:
        """Return the outputs of the discriminants' filters, and where the blocks begin in them."""
        return self.discriminants.evidence(trace), self.margin.before - self.discriminants.margin.before

    def _inside(self, trace: Trace) -> int:
        """Return the samples of the blocks in a trace with margins."""
        return len(trace) - self.margin.before - self.margin.after

    def _candidates(
        self, outputs: Trace, zero: int, n_samples: int
    ) -> tuple[Candidates, npt.NDArray[np.int64]]:
        """Return the blocks' candidates, and the samples to the one before and after each."""
        gap = self._samples(GAP_MS)
        reach = self.discriminants.pick_reach + gap
        near = self.discriminants.pick(outputs[zero - reach : zero + n_samples + reach]).shifted(-gap)
        gaps = np.diff(near.sample, prepend=-2 * gap, append=n_samples + 2 * gap)
        inside = (near.sample >= 0) & (near.sample < n_samples)
        return near.select(inside), np.stack([gaps[:-1], gaps[1:]], axis=1).clip(0, gap)[inside]

    def _waveforms(self, trace: Trace, at: npt.NDArray[np.int64]) -> Trace:
        """Return the filtered trace around samples of the blocks, all channels."""
        before, after = map(self._samples, WINDOW_MS)
        low_hz, high_hz = min(LOW_HZ, 0.05 * self.fs_hz), min(HIGH_HZ, 0.45 * self.fs_hz)
        kernel = band_pass_kernel(low_hz=low_hz, high_hz=high_hz, taps=TAPS, fs_hz=self.fs_hz)
        first = self.margin.before - before - TAPS // 2
        band = trace[first : self.margin.before + self._inside(trace) + after + TAPS // 2]
        seen = np.zeros((trace.shape[1], len(band) - TAPS + 1), np.float32)
        for channel, output in zip(band.T, seen, strict=True):  # not an FFT: its rounding is not local
            correlate(np.ascontiguousarray(channel), kernel[::-1].astype(np.float32), output)
        cut: Trace = seen.T[at + np.arange(before + after)]
        return cut.reshape(len(at), (before + after) * len(seen))

    def _expected_spikes(self, trace: Trace, samples: npt.NDArray[np.int64]) -> Trace:
        """Return the spikes of each unit that the pursuit expects at some samples and beside them."""
        margin, own, beyond = self.margin, self.pursuit.margin, self.pursuit.grid_samples
        first, last = margin.before - beyond, margin.before + self._inside(trace) + beyond
        expected = self.pursuit.evidence(trace[first - own.before : last + own.after])
        zero = self.pursuit.overlap_samples + beyond
        explained = beyond - self.pursuit.overlap_samples  # beside the blocks; farther, half is missing
        here, near, far = (min(self._samples(ms), explained) for ms in (HERE_MS, NEAR_MS, FAR_MS))
        reaches = ((-here, here + 1), (-near, near + 1), (-far, -near), (near + 1, far + 1))
        found = np.zeros((len(reaches), len(samples), expected.shape[1]), np.float32)
        for sums, reach in zip(found, reaches, strict=True):
            for shift in range(
                *reach
            ):  # in this order wherever the blocks begin, so that rounding is the same
                sums += expected[zero + samples + shift]
        return np.concatenate(list(found), axis=1)

    def _samples(self, duration_ms: float) -> int:
        return to_samples(duration_ms, self.fs_hz)
