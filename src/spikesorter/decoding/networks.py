"""Networks with their weights: training, and evaluation from features to candidates."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import numpy.typing as npt
from scipy.ndimage import maximum_filter1d

from spikesorter.core.errors import ModelError
from spikesorter.core.sections import ClassifierSettings, DetectorSettings
from spikesorter.core.spikes import Spikes
from spikesorter.decoding.base import LEAST_PROBABILITY
from spikesorter.decoding.candidates import Candidates
from spikesorter.decoding.nets.classifier import (
    ClassifierArchitecture,
    classifier_batches,
    unit_probabilities,
)
from spikesorter.decoding.nets.detector import (
    DetectorArchitecture,
    detection_curve,
    detector_batches,
    widened_labels,
)
from spikesorter.decoding.nets.learning import Watched, train_watched
from spikesorter.decoding.nets.training import Batch, Weights, initial_weights, run_network
from spikesorter.decoding.training_record import Trained
from spikesorter.signal.peaks import pick_peaks

__all__ = ["HeldOut", "Networks", "new_networks", "train_networks"]

FloatArray = npt.NDArray[np.float32]
JUDGED_BATCHES = 8  # in one, on which a network is judged while it is trained
NO_CONFUSION: npt.NDArray[np.int64] = np.zeros((0, 0), np.int64)
PEAK_DISTANCE_SAMPLES = 2  # the width of the detector's labels; nearer peaks are one spike


@dataclass(frozen=True, eq=False)
class Networks:
    """Networks with their weights.

    Parameters
    ----------
    unit_ids : tuple of int
        In the order of the networks' outputs.
    detector : DetectorArchitecture
        One curve for each unit, or one for all.
    detector_weights : tuple of ndarray
    classifier : ClassifierArchitecture or None
        None if the detector has a curve for each unit.
    classifier_weights : tuple of ndarray
    unit_counts : bool
        Whether thresholds apply to the detector's and classifier's joint probability (published: no).
    """

    unit_ids: tuple[int, ...]
    detector: DetectorArchitecture
    detector_weights: Weights
    classifier: ClassifierArchitecture | None
    classifier_weights: Weights
    unit_counts: bool

    def __post_init__(self) -> None:
        expected = 1 if self.classifier else len(self.unit_ids)
        columns = self.classifier.inputs - 1 if self.classifier else self.detector.inputs
        outputs = self.classifier.classes if self.classifier else len(self.unit_ids)
        fits = self.detector.outputs == expected and outputs == len(self.unit_ids)
        if not fits or self.detector.inputs != columns:
            raise ModelError(
                f"the networks do not fit together: {len(self.unit_ids)} units for {outputs} outputs, "
                f"{self.detector.outputs} curves, {self.detector.inputs} features for {columns}"
            )

    @property
    def pick_reach(self) -> int:
        """Samples on either side of a candidate on whose curves and features it depends."""
        around = max(self.classifier.before, self.classifier.after) if self.classifier else 1
        return PEAK_DISTANCE_SAMPLES + around

    def curves(self, features: FloatArray) -> FloatArray:
        """Return the probability of a spike's start, shape (samples, curves), from features with margin."""
        return detection_curve(self.detector, self.detector_weights, features)

    def pick(self, curves: FloatArray, features: FloatArray) -> Candidates:
        """Return the peaks of the curves, with their units."""
        if self.classifier:
            return self._classified(features, np.ascontiguousarray(curves[:, 0]), self.classifier)
        silent = np.prod(1 - maximum_filter1d(curves, 3, axis=0, mode="nearest"), axis=1)
        parts = []
        for k, unit in enumerate(self.unit_ids):
            own = np.ascontiguousarray(curves[:, k])
            samples = _peaks(own)
            probability = np.maximum(1 - silent[samples], own[samples])
            units = np.full(len(samples), unit, np.int64)
            parts.append(Candidates(samples, units, probability, own[samples] / probability))
        return Candidates.concatenate(parts)

    def _classified(
        self, features: FloatArray, curve: FloatArray, classifier: ClassifierArchitecture
    ) -> Candidates:
        samples = _peaks(curve)
        of_units = unit_probabilities(classifier, self.classifier_weights, features, samples)
        best = of_units.argmax(axis=1)
        chosen = of_units[np.arange(len(samples)), best] if self.unit_counts else np.ones(len(samples))
        return Candidates.from_arrays(
            samples, np.array(self.unit_ids)[best], np.minimum(curve[samples], 1), np.minimum(chosen, 1)
        )


@dataclass(frozen=True, eq=False)
class HeldOut:
    """A recording with known spikes that networks are judged on, and not trained on.

    Parameters
    ----------
    features : ndarray of float32, shape (samples, columns)
    spikes : Spikes
    rng : numpy.random.Generator
        For drawing what they are judged on; another than that for training.
    """

    features: FloatArray
    spikes: Spikes
    rng: np.random.Generator


def new_networks(
    columns: int,
    unit_ids: tuple[int, ...],
    detector: DetectorSettings,
    classifier: ClassifierSettings,
    *,
    seed: int,
) -> Networks:
    """Return untrained networks for features with this number of columns."""
    per_unit = detector.curves == "per_unit"
    detector_architecture = DetectorArchitecture(
        columns,
        detector.filters,
        detector.kernel_samples,
        detector.dilations,
        outputs=len(unit_ids) if per_unit else 1,
    )
    classifier_architecture = None if per_unit else ClassifierArchitecture(
        inputs=columns + 1,
        before=classifier.before_samples,
        after=classifier.after_samples,
        classes=len(unit_ids),
        filters=classifier.filters,
        kernel_samples=classifier.kernel_samples,
        layers=classifier.layers,
        unit_variance=classifier.unit_variance,
    )  # fmt: skip
    return Networks(
        unit_ids=unit_ids,
        detector=detector_architecture,
        detector_weights=initial_weights(detector_architecture, seed=seed),
        classifier=classifier_architecture,
        classifier_weights=initial_weights(classifier_architecture, seed=seed)
        if classifier_architecture
        else (),
        unit_counts=detector.probability == "spike_and_unit",
    )


def train_networks(
    networks: Networks,
    features: FloatArray,
    spikes: Spikes,
    detector: DetectorSettings,
    classifier: ClassifierSettings,
    *,
    detector_steps: int,
    classifier_steps: int,
    rng: np.random.Generator,
    on_progress: Callable[[float], None],
    held_out: HeldOut | None = None,
) -> tuple[Networks, Trained]:
    """Train networks further on a rehearsal.

    Parameters
    ----------
    networks : Networks
        Networks to start from; not changed.
    features : ndarray of float32, shape (samples, columns)
        Of the rehearsal.
    spikes : Spikes
        Spikes of the rehearsal.
    detector, classifier : settings
    detector_steps, classifier_steps : int
    rng : numpy.random.Generator
        For drawing windows from the rehearsal.
    on_progress : callable
        Called with the share of the work done.
    held_out : HeldOut or None
        What to judge the networks on while they are trained. The networks are the same without it.

    Returns
    -------
    networks : Networks
    trained : Trained
        Their learning curves and confusions; empty without `held_out`.
    """
    total = detector_steps + (classifier_steps if networks.classifier else 0)
    draw = _DetectorWindows(networks, detector)
    detector_weights, curve = train_watched(
        networks.detector,
        networks.detector_weights,
        draw.batches(features, spikes, detector.batch_windows, rng),
        watched=_watched("detector", draw, features, spikes, held_out, detector.batch_windows),
        steps=detector_steps,
        learning_rate=detector.learning_rate,
        on_step=lambda step: on_progress(step / total),
    )
    networks = replace(networks, detector_weights=detector_weights)
    curves = (curve,) if curve else ()
    if networks.classifier is None:
        return networks, Trained(curves, NO_CONFUSION)
    cut = _ClassifierWaveforms(networks.unit_ids, networks.classifier, classifier)
    watched = _watched("classifier", cut, features, spikes, held_out, classifier.batch_waveforms)
    classifier_weights, curve = train_watched(
        networks.classifier,
        networks.classifier_weights,
        cut.batches(features, spikes, classifier.batch_waveforms, rng),
        watched=watched,
        steps=classifier_steps,
        learning_rate=classifier.learning_rate,
        on_step=lambda step: on_progress((detector_steps + step) / total),
    )
    networks = replace(networks, classifier_weights=classifier_weights)
    if curve is None or watched is None:
        return networks, Trained(curves, NO_CONFUSION)
    inputs, true = watched.held_out
    named = run_network(cut.architecture, classifier_weights, inputs).argmax(axis=1)
    units = len(networks.unit_ids)
    confusion = np.bincount(true * units + named, minlength=units**2).reshape(units, units)
    return networks, Trained((*curves, curve), confusion.astype(np.int64))


class _Examples(Protocol):
    """Draws examples for one network from a recording with known spikes."""

    def fits(self, features: FloatArray, spikes: Spikes) -> bool: ...

    def batches(
        self, features: FloatArray, spikes: Spikes, size: int, rng: np.random.Generator
    ) -> Iterator[Batch]: ...

    def epoch_steps(self, features: FloatArray, spikes: Spikes, size: int) -> float: ...


@dataclass(frozen=True, eq=False)
class _DetectorWindows:
    networks: Networks
    settings: DetectorSettings

    def fits(self, features: FloatArray, spikes: Spikes) -> bool:
        del spikes
        margin = self.networks.detector.margin
        return len(features) >= self.settings.window_samples + margin.before + margin.after

    def batches(
        self, features: FloatArray, spikes: Spikes, size: int, rng: np.random.Generator
    ) -> Iterator[Batch]:
        of_units = [spikes.of(unit) for unit in self.networks.unit_ids]
        trains = [spikes] if self.networks.classifier else of_units
        width = self.settings.label_samples
        wanted = [widened_labels(train, len(features), label_samples=width) for train in trains]
        return detector_batches(
            features,
            np.stack(wanted, axis=1),
            window_samples=self.settings.window_samples,
            margin=self.networks.detector.margin,
            batch_windows=size,
            rng=rng,
        )

    def epoch_steps(self, features: FloatArray, spikes: Spikes, size: int) -> float:
        del spikes
        return len(features) / (size * self.settings.window_samples)


@dataclass(frozen=True, eq=False)
class _ClassifierWaveforms:
    unit_ids: tuple[int, ...]
    architecture: ClassifierArchitecture
    settings: ClassifierSettings

    def fits(self, features: FloatArray, spikes: Spikes) -> bool:
        return len(features) > 0 and len(spikes) > 0

    def batches(
        self, features: FloatArray, spikes: Spikes, size: int, rng: np.random.Generator
    ) -> Iterator[Batch]:
        return classifier_batches(
            features,
            spikes.sample,
            np.searchsorted(self.unit_ids, spikes.unit),
            self.architecture,
            jitter_samples=self.settings.jitter_samples,
            batch_waveforms=size,
            rng=rng,
        )

    def epoch_steps(self, features: FloatArray, spikes: Spikes, size: int) -> float:
        del features
        return max(len(spikes), 1) / size


def _watched(
    network: str, draw: _Examples, features: FloatArray, spikes: Spikes, held_out: HeldOut | None, size: int
) -> Watched | None:
    """Draw what a network is judged on; None if it is not to be judged, or on too little."""
    if held_out is None or not draw.fits(held_out.features, held_out.spikes):
        return None
    many = JUDGED_BATCHES * size
    return Watched(
        network,
        next(iter(draw.batches(features, spikes, many, held_out.rng))),
        next(iter(draw.batches(held_out.features, held_out.spikes, many, held_out.rng))),
        draw.epoch_steps(features, spikes, size),
    )


def _peaks(curve: FloatArray) -> npt.NDArray[np.int64]:
    return pick_peaks(curve, threshold=LEAST_PROBABILITY, distance_samples=PEAK_DISTANCE_SAMPLES)
