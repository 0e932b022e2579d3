"""The network decoder: a detector says where, a classifier says who, local rules settle the rest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from spikesorter.config import ClassifierSettings, DetectorSettings
from spikesorter.errors import ModelError
from spikesorter.nets.classifier import (
    ClassifierArchitecture,
    class_probabilities,
    classifier_batches,
)
from spikesorter.nets.detector import (
    DetectorArchitecture,
    detection_curve,
    detector_batches,
    widened_labels,
)
from spikesorter.nets.training import Weights, initial_weights, train
from spikesorter.signal.peaks import enforce_refractory, pick_peaks
from spikesorter.signal.spans import Margin
from spikesorter.spikes import Spikes

__all__ = ["CnnDecoder", "WorkingPoint", "new_cnn", "train_cnn"]

FloatArray = npt.NDArray[np.float32]
PEAK_DISTANCE_SAMPLES = 2  # the detector's labels are that wide: nearer peaks are one spike


@dataclass(frozen=True)
class WorkingPoint:
    """How a curve becomes spikes.

    Parameters
    ----------
    threshold : float
        Least probability of a spike.
    refractory_samples : int
        Least distance of two spikes.
    within_class : bool
        Whether the refractory period holds within a class only.
    """

    threshold: float
    refractory_samples: int
    within_class: bool

    def settle(self, candidates: Spikes) -> Spikes:
        """Return those candidates that hold."""
        return enforce_refractory(
            candidates.select(candidates.probability >= self.threshold),
            refractory_samples=self.refractory_samples,
            within_class=self.within_class,
        )


@dataclass(frozen=True, eq=False)
class CnnDecoder:
    """Detector and classifier with their weights.

    Parameters
    ----------
    labels : tuple of int
        The classes, in the order of the classifier's outputs.
    detector, classifier : architectures
    detector_weights, classifier_weights : tuple of ndarray
    class_counts : bool
        Whether a spike's probability is that it is there *and* of its class, or only that it is there.
    """

    labels: tuple[int, ...]
    detector: DetectorArchitecture
    detector_weights: Weights
    classifier: ClassifierArchitecture
    classifier_weights: Weights
    class_counts: bool

    def __post_init__(self) -> None:
        classes, columns = self.classifier.classes, self.classifier.inputs - 1
        if len(self.labels) != classes or self.detector.inputs != columns:
            raise ModelError(
                f"the networks do not fit together: {len(self.labels)} labels for {classes} classes, "
                f"{self.detector.inputs} features for {columns}"
            )

    def margin(self, point: WorkingPoint) -> Margin:
        """Margin of `decode` in samples of the features."""
        reach = PEAK_DISTANCE_SAMPLES + point.refractory_samples
        waveform = Margin(self.classifier.before, self.classifier.after)
        before = max(self.detector.margin.before, waveform.before)
        after = max(self.detector.margin.after, waveform.after)
        return Margin(before, after) + Margin(reach, reach)

    def curve(self, features: FloatArray) -> FloatArray:
        """Return the probability of a spike's start at each sample, shape (samples,)."""
        return detection_curve(self.detector, self.detector_weights, features)

    def candidates(self, features: FloatArray, curve: FloatArray, *, threshold: float) -> Spikes:
        """Pick the peaks of the curve from `threshold` up and name them, with their probabilities."""
        samples = pick_peaks(curve, threshold=threshold, distance_samples=PEAK_DISTANCE_SAMPLES)
        classes = class_probabilities(self.classifier, self.classifier_weights, features, samples)
        winner = classes.argmax(axis=1)
        probability = curve[samples]
        if self.class_counts:
            probability = probability * classes[np.arange(len(samples)), winner]
        return Spikes.from_arrays(samples, np.array(self.labels)[winner], np.minimum(probability, 1))

    def decode(self, features: FloatArray, point: WorkingPoint) -> Spikes:
        """Return the spikes of a trace's features."""
        return point.settle(self.candidates(features, self.curve(features), threshold=point.threshold))


def new_cnn(
    columns: int,
    labels: tuple[int, ...],
    detector: DetectorSettings,
    classifier: ClassifierSettings,
    *,
    seed: int,
) -> CnnDecoder:
    """Return an untrained decoder for features of so many columns."""
    detector_architecture = DetectorArchitecture(
        columns, detector.filters, detector.kernel_samples, detector.dilations
    )
    classifier_architecture = ClassifierArchitecture(
        inputs=columns + 1,
        before=classifier.before_samples,
        after=classifier.after_samples,
        classes=len(labels),
        filters=classifier.filters,
        kernel_samples=classifier.kernel_samples,
        layers=classifier.layers,
        unit_variance=classifier.unit_variance,
    )
    return CnnDecoder(
        labels=labels,
        detector=detector_architecture,
        detector_weights=initial_weights(detector_architecture, seed=seed),
        classifier=classifier_architecture,
        classifier_weights=initial_weights(classifier_architecture, seed=seed),
        class_counts=detector.probability == "spike_and_class",
    )


def train_cnn(
    decoder: CnnDecoder,
    features: FloatArray,
    spikes: Spikes,
    detector: DetectorSettings,
    classifier: ClassifierSettings,
    *,
    detector_steps: int,
    classifier_steps: int,
    rng: np.random.Generator,
    on_progress: Callable[[float], None],
) -> CnnDecoder:
    """Return the decoder trained further on a rehearsal.

    Parameters
    ----------
    decoder : CnnDecoder
        Where to start; not changed.
    features : ndarray of float32, shape (samples, columns)
        Of the rehearsal.
    spikes : Spikes
        Its truth.
    detector, classifier : settings
    detector_steps, classifier_steps : int
    rng : numpy.random.Generator
        Draws the windows.
    on_progress : callable
        Told the share of the work that is done.

    Returns
    -------
    CnnDecoder
    """
    total = detector_steps + classifier_steps
    detector_weights = train(
        decoder.detector,
        decoder.detector_weights,
        detector_batches(
            features,
            widened_labels(spikes, len(features), label_samples=detector.label_samples),
            window_samples=detector.window_samples,
            margin=decoder.detector.margin,
            batch_windows=detector.batch_windows,
            rng=rng,
        ),
        steps=detector_steps,
        learning_rate=detector.learning_rate,
        on_step=lambda step: on_progress(step / total),
    )
    classifier_weights = train(
        decoder.classifier,
        decoder.classifier_weights,
        classifier_batches(
            features,
            spikes.sample,
            np.searchsorted(decoder.labels, spikes.label),
            decoder.classifier,
            jitter_samples=classifier.jitter_samples,
            batch_waveforms=classifier.batch_waveforms,
            rng=rng,
        ),
        steps=classifier_steps,
        learning_rate=classifier.learning_rate,
        on_step=lambda step: on_progress((detector_steps + step) / total),
    )
    return replace(decoder, detector_weights=detector_weights, classifier_weights=classifier_weights)
