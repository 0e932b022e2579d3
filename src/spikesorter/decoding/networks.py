"""Networks with their weights: training, and evaluation from features to candidates."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

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
from spikesorter.decoding.nets.training import Weights, initial_weights, train
from spikesorter.signal.peaks import pick_peaks

__all__ = ["Networks", "new_networks", "train_networks"]

FloatArray = npt.NDArray[np.float32]
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
) -> Networks:
    """Return the networks trained further on a rehearsal.

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

    Returns
    -------
    Networks
    """
    total = detector_steps + (classifier_steps if networks.classifier else 0)
    trains = [spikes] if networks.classifier else [spikes.of(unit) for unit in networks.unit_ids]
    wanted = [widened_labels(train, len(features), label_samples=detector.label_samples) for train in trains]
    detector_weights = train(
        networks.detector,
        networks.detector_weights,
        detector_batches(
            features,
            np.stack(wanted, axis=1),
            window_samples=detector.window_samples,
            margin=networks.detector.margin,
            batch_windows=detector.batch_windows,
            rng=rng,
        ),
        steps=detector_steps,
        learning_rate=detector.learning_rate,
        on_step=lambda step: on_progress(step / total),
    )
    networks = replace(networks, detector_weights=detector_weights)
    if networks.classifier is None:
        return networks
    classifier_weights = train(
        networks.classifier,
        networks.classifier_weights,
        classifier_batches(
            features,
            spikes.sample,
            np.searchsorted(networks.unit_ids, spikes.unit),
            networks.classifier,
            jitter_samples=classifier.jitter_samples,
            batch_waveforms=classifier.batch_waveforms,
            rng=rng,
        ),
        steps=classifier_steps,
        learning_rate=classifier.learning_rate,
        on_step=lambda step: on_progress((detector_steps + step) / total),
    )
    return replace(networks, classifier_weights=classifier_weights)


def _peaks(curve: FloatArray) -> npt.NDArray[np.int64]:
    return pick_peaks(curve, threshold=LEAST_PROBABILITY, distance_samples=PEAK_DISTANCE_SAMPLES)
