"""Classifier network: assigns a spike to a unit, from the features around its start."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from scipy.special import softmax

from spikesorter.decoding.nets.training import Weights, run_network_on_each

if TYPE_CHECKING:
    import keras

__all__ = ["ClassifierArchitecture", "classifier_batches", "cut_waveforms", "unit_probabilities"]

FloatArray = npt.NDArray[np.float32]
RUN_BATCH = 1024
BATCH_NORM_MOMENTUM = 0.9  # a few hundred steps suffice to lose the initial statistics


@dataclass(frozen=True)
class ClassifierArchitecture:
    """Convolutions with batch normalisation, global average pooling, and one output for each unit.

    Parameters
    ----------
    inputs : int
        Columns of a waveform: those of the features and the one that `cut_waveforms` adds.
    before, after : int
        Samples of a waveform before and after the spike's start.
    classes : int
        Number of units.
    filters, kernel_samples, layers : int
        Of the convolutions.
    unit_variance : bool
        Whether each waveform is scaled to zero mean and unit variance first (published). This loses its
        amplitude, by which units with similar templates differ.
    """

    inputs: int
    before: int
    after: int
    classes: int
    filters: int
    kernel_samples: int
    layers: int
    unit_variance: bool

    def build(self, seed: int) -> keras.Model:
        """Return the Keras model: (spikes, before + after, inputs) -> logits (spikes, units)."""
        import keras

        initialisers = (keras.initializers.HeNormal(seed=seed + i) for i in range(self.layers + 1))
        x = inputs = keras.Input((self.before + self.after, self.inputs))
        for _ in range(self.layers):
            x = keras.layers.Conv1D(
                self.filters, self.kernel_samples, padding="same", kernel_initializer=next(initialisers)
            )(x)
            x = keras.layers.BatchNormalization(momentum=BATCH_NORM_MOMENTUM)(x)
            x = keras.layers.ReLU()(x)
        x = keras.layers.GlobalAveragePooling1D()(x)
        x = keras.layers.Dense(self.classes, kernel_initializer=next(initialisers))(x)
        return keras.Model(inputs, x)

    def loss(self, outputs: Any, labels: Any) -> Any:
        """Return the cross-entropy; `labels` are units, counted from 0."""
        import jax
        import jax.numpy as jnp

        log_probability = jax.nn.log_softmax(outputs)
        return -jnp.mean(jnp.take_along_axis(log_probability, labels[:, None], axis=1))

    def accuracy(self, outputs: FloatArray, labels: npt.NDArray[np.int64]) -> float:
        """Return the share of spikes whose unit has the largest output."""
        return float(np.mean(outputs.argmax(axis=1) == labels))


def cut_waveforms(
    features: FloatArray, samples: npt.NDArray[np.int64], architecture: ClassifierArchitecture
) -> FloatArray:
    """Cut the features around each spike's start.

    A last column marks the start by a Gaussian bump. With average pooling alone, the network could not tell
    which of two overlapping spikes is meant.

    Parameters
    ----------
    features : ndarray of float32, shape (samples, columns)
        Zero-padded at both ends.
    samples : ndarray of int64, shape (spikes,)
    architecture : ClassifierArchitecture

    Returns
    -------
    ndarray of float32, shape (spikes, before + after, columns + 1)
    """
    before, after = architecture.before, architecture.after
    rows = samples[:, None] + np.arange(-before, after)
    outside = (rows < 0) | (rows >= len(features))
    waveforms = features[np.clip(rows, 0, len(features) - 1)]
    waveforms[outside] = 0
    if architecture.unit_variance:
        mean, sd = waveforms.mean(axis=1, keepdims=True), waveforms.std(axis=1, keepdims=True)
        waveforms = (waveforms - mean) / np.maximum(sd, 1e-6)
    bump = np.exp(-0.5 * (np.arange(-before, after, dtype=np.float32) / 3) ** 2)
    place = np.broadcast_to(bump[:, None], (*waveforms.shape[:2], 1))
    return np.concatenate([waveforms, place], axis=2).astype(np.float32)


def classifier_batches(
    features: FloatArray,
    samples: npt.NDArray[np.int64],
    units: npt.NDArray[np.int64],
    architecture: ClassifierArchitecture,
    *,
    jitter_samples: int,
    batch_waveforms: int,
    rng: np.random.Generator,
) -> Iterator[tuple[FloatArray, npt.NDArray[np.int64]]]:
    """Yield batches of waveforms cut near the starts of a rehearsal's spikes, endlessly.

    Parameters
    ----------
    features : ndarray, shape (samples, columns)
    samples : ndarray of int64, shape (spikes,)
        Starts of the rehearsal's spikes.
    units : ndarray of int64, shape (spikes,)
        Unit of each spike, counted from 0.
    architecture : ClassifierArchitecture
    jitter_samples : int
        Largest random offset of a waveform, as detected starts are inexact.
    batch_waveforms : int
    rng : numpy.random.Generator

    Yields
    ------
    waveforms : ndarray, shape (batch_waveforms, before + after, columns + 1)
    units : ndarray of int64, shape (batch_waveforms,)
    """
    while True:
        chosen = rng.integers(0, len(samples), batch_waveforms)
        jitter = rng.integers(-jitter_samples, jitter_samples, batch_waveforms, endpoint=True)
        starts = np.clip(samples[chosen] + jitter, 0, len(features) - 1)
        yield cut_waveforms(features, starts, architecture), units[chosen]


def unit_probabilities(
    architecture: ClassifierArchitecture,
    weights: Weights,
    features: FloatArray,
    samples: npt.NDArray[np.int64],
) -> FloatArray:
    """Return the probability of each unit for each spike, shape (spikes, units)."""
    probabilities = [np.zeros((0, architecture.classes), np.float32)]
    for first in range(0, len(samples), RUN_BATCH):
        waveforms = cut_waveforms(features, samples[first : first + RUN_BATCH], architecture)
        filled = np.pad(waveforms, ((0, RUN_BATCH - len(waveforms)), (0, 0), (0, 0)))
        logits = run_network_on_each(architecture, weights, filled)[: len(waveforms)]
        probabilities.append(softmax(logits, axis=1))
    return np.concatenate(probabilities)
