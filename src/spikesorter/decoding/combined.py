"""Combined decoder: the pursuit's candidates, with probabilities from pursuit and networks.

The pursuit has an exact model of templates, Gaussian noise and firing rates, and of nothing else. The
networks are trained on rehearsals with everything that is known of the target, such as background spikes, but
they are only approximate.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy.ndimage import maximum_filter1d
from scipy.special import expit, logit

from spikesorter.core.settings import Settings
from spikesorter.core.spikes import Spikes
from spikesorter.decoding.bench import Bench, DecoderKind, Trial
from spikesorter.decoding.calibration import LEAST, MOST, fit_log_odds, judge_events
from spikesorter.decoding.candidates import Candidates
from spikesorter.decoding.cnn import CnnDecoder
from spikesorter.decoding.in_parts import InParts
from spikesorter.decoding.pursuit import PursuitDecoder
from spikesorter.signal.spans import Margin

__all__ = ["CombinedDecoder", "combine_decoders", "make_combined"]

FloatArray = npt.NDArray[np.float32]
NEAR_SAMPLES = 2  # by which a network's peak may be off


@dataclass(frozen=True, eq=False)
class CombinedDecoder:
    """The pursuit's candidates, with a probability from both decoders.

    Parameters
    ----------
    pursuit : PursuitDecoder
    cnn : CnnDecoder
        With a curve for each unit.
    weights : tuple of tuple of float
        For each unit: constant, weight of the pursuit's log odds, weight of the network's.
    """

    pursuit: PursuitDecoder
    cnn: CnnDecoder
    weights: tuple[tuple[float, ...], ...]

    @property
    def unit_ids(self) -> tuple[int, ...]:
        """Units that the decoder finds, in order."""
        return self.pursuit.unit_ids

    @property
    def grid_samples(self) -> int:
        """Length of a block: the least common multiple of both decoders' blocks."""
        return math.lcm(self.pursuit.grid_samples, self.cnn.grid_samples)

    @property
    def margin(self) -> Margin:
        """The wider of the two margins."""
        one, other = self.pursuit.margin, self.cnn.margin
        return Margin(max(one.before, other.before), max(one.after, other.after))

    @property
    def overlap_samples(self) -> int:
        """Overlap of the pursuit's blocks."""
        return self.pursuit.overlap_samples

    @property
    def pick_reach(self) -> int:
        """Reach of the pursuit's picking plus the search for network peaks nearby."""
        return self.pursuit.pick_reach + NEAR_SAMPLES

    def evidence(self, trace: FloatArray) -> FloatArray:
        """Return the pursuit's evidence followed by the network's curves, column by column."""
        explained, curves = (
            one.evidence(_cut(trace, self.margin, one.margin)) for one in (self.pursuit, self.cnn)
        )
        overlap = self.overlap_samples
        return np.concatenate([explained, np.pad(curves, ((overlap, overlap), (0, 0)))], axis=1)

    def curves(self, evidence: FloatArray) -> FloatArray:
        """Return the pursuit's curves."""
        return evidence[:, : len(self.unit_ids)]

    def pick(self, evidence: FloatArray) -> Candidates:
        """Return the candidates: samples at which spikes may start."""
        found = self.pursuit.pick(self.curves(evidence)[NEAR_SAMPLES : len(evidence) - NEAR_SAMPLES])
        return self._weighed(found, self.network_near(evidence))

    def variants(self) -> list[CombinedDecoder]:
        """Return this decoder alone; the pursuit's variant was chosen before."""
        return [self]

    def network_near(self, evidence: FloatArray) -> FloatArray:
        """Return the network's largest output near each sample at which candidates are picked."""
        curves = evidence[:, len(self.unit_ids) :]
        highest = maximum_filter1d(curves, 2 * NEAR_SAMPLES + 1, axis=0, mode="nearest")
        return np.asarray(highest[self.pick_reach : len(highest) - self.pick_reach])

    def _weighed(self, found: Candidates, network: FloatArray) -> Candidates:
        terms = _terms(found, network, self.unit_ids)
        of = np.searchsorted(self.unit_ids, found.unit)
        joint = expit((terms * np.asarray(self.weights)[of]).sum(axis=1))
        change = logit(joint.clip(LEAST, MOST)) - logit(found.joint.astype(float).clip(LEAST, MOST))
        probability = expit(logit(found.probability.astype(float).clip(LEAST, MOST)) + change)
        probability = np.maximum(probability, joint).astype(np.float32)
        unit_probability = (joint / probability).astype(np.float32).clip(0, 1)
        return replace(found, probability=probability, unit_probability=unit_probability)


def combine_decoders(
    pursuit: PursuitDecoder, cnn: CnnDecoder, evidence: FloatArray, truth: Spikes, *, fs_hz: float
) -> CombinedDecoder:
    """Combine two decoders with weights fitted on a rehearsal.

    Parameters
    ----------
    pursuit : PursuitDecoder
    cnn : CnnDecoder
    evidence : ndarray of float32, shape (samples, columns)
        Of both decoders, column by column, for the whole rehearsal.
    truth : Spikes
        Its spikes.
    fs_hz : float

    Returns
    -------
    CombinedDecoder
    """
    plain = CombinedDecoder(pursuit, cnn, ())
    around = np.pad(evidence, ((plain.pick_reach, plain.pick_reach), (0, 0)))
    found = pursuit.pick(plain.curves(around)[NEAR_SAMPLES : len(around) - NEAR_SAMPLES])
    terms = _terms(found, plain.network_near(around), pursuit.unit_ids)
    _, right = judge_events(found.sample, found.unit, truth, fs_hz=fs_hz)
    usual = np.array([0.0, 1.0, 0.0])
    fits = (fit_log_odds(terms[own], right[own], usual) for own in
            (found.unit == unit for unit in pursuit.unit_ids))  # fmt: skip
    return replace(plain, weights=tuple(fits))


def _terms(found: Candidates, network: FloatArray, unit_ids: tuple[int, ...]) -> npt.NDArray[np.float64]:
    from_network = network[found.sample, np.searchsorted(unit_ids, found.unit)]
    one, other = (logit(p.astype(float).clip(LEAST, MOST)) for p in (found.joint, from_network))
    return np.stack([np.ones_like(one), one, other], axis=1)


def _cut(trace: FloatArray, given: Margin, wanted: Margin) -> FloatArray:
    return trace[given.before - wanted.before : len(trace) - given.after + wanted.after]


def _whole(trial: Trial, bench: Bench) -> Trial:
    """Return the trial of the decoder for the whole recording, if it has others for parts."""
    return bench.trial(trial.decoder.whole) if isinstance(trial.decoder, InParts) else trial


def make_combined(bench: Bench, tried: Mapping[str, Trial]) -> Trial:
    """Combine the tuned pursuit with the networks, reusing their evidence."""
    trials = [_whole(tried[name], bench) for name in ("pursuit", "cnn")]
    pursuit, cnn = (trial.decoder for trial in trials)
    if not isinstance(pursuit, PursuitDecoder) or not isinstance(cnn, CnnDecoder):
        raise TypeError("decoder combined: needs a pursuit and networks")
    evidence = np.concatenate([trial.evidence for trial in trials], axis=1)
    spikes, fs_hz = bench.rehearsal.spikes, bench.context.fs_hz
    combined = combine_decoders(pursuit, cnn, evidence, spikes, fs_hz=fs_hz)
    return Trial(combined, evidence, tried["cnn"].record)


def _curve_for_each_unit(settings: Settings) -> bool:
    return settings.detector.curves == "per_unit"


KIND = DecoderKind(
    "combined",
    CombinedDecoder,
    make_combined,
    rank=40,
    in_auto=True,
    uses_networks=True,
    needs=("pursuit", "cnn"),
    fits=_curve_for_each_unit,
)
"""Entry of the registry of decoders."""
