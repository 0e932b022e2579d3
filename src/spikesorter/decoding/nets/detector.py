"""Detector network: a fully convolutional estimate of the probability that a spike starts at each sample."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from spikesorter.core.spikes import Spikes
from spikesorter.decoding.nets.training import Weights, run_network
from spikesorter.signal.spans import Margin

if TYPE_CHECKING:
    import keras

__all__ = ["DetectorArchitecture", "detection_curve", "detector_batches", "widened_labels"]

FloatArray = npt.NDArray[np.float32]
RARE = -4.0  # log odds of a spike's start in an untrained network


@dataclass(frozen=True)
class DetectorArchitecture:
    """Dilated convolutions that keep the input's length.

    Parameters
    ----------
    inputs : int
        Columns of the features.
    filters, kernel_samples : int
        Of every layer.
    dilations : tuple of int
        One for each layer.
    outputs : int
        Curves: one for each unit, or one for all.
    """

    inputs: int
    filters: int
    kernel_samples: int
    dilations: tuple[int, ...]
    outputs: int = 1

    @property
    def margin(self) -> Margin:
        """Reach of the receptive field."""
        reach = sum(self.kernel_samples // 2 * dilation for dilation in self.dilations)
        return Margin(reach, reach)

    def build(self, seed: int) -> keras.Model:
        """Return the Keras model: (windows, samples, inputs) -> logits (windows, samples, outputs)."""
        import keras

        initialisers = (keras.initializers.HeNormal(seed=seed + i) for i in range(len(self.dilations) + 1))
        x = inputs = keras.Input((None, self.inputs))
        for dilation in self.dilations:
            x = keras.layers.Conv1D(
                self.filters,
                self.kernel_samples,
                padding="same",
                dilation_rate=dilation,
                activation="relu",
                kernel_initializer=next(initialisers),
            )(x)
        x = keras.layers.Conv1D(
            self.outputs,
            1,
            kernel_initializer=next(initialisers),
            bias_initializer=keras.initializers.Constant(RARE),
        )(x)
        return keras.Model(inputs, x)

    def loss(self, outputs: Any, labels: Any) -> Any:
        """Return the binary cross-entropy in the middle of the window, which padding does not affect."""
        import jax.numpy as jnp

        edge = (outputs.shape[1] - labels.shape[1]) // 2
        logits = outputs[:, edge : edge + labels.shape[1]]
        return jnp.mean(jnp.logaddexp(0.0, logits) - labels * logits)

    def accuracy(self, outputs: FloatArray, labels: FloatArray) -> float:
        """Return the F1 value of the samples called a spike's at a probability of 0.5.

        The share of samples that are called rightly would be nearly 1 whatever is learnt, as spikes are rare.
        """
        edge = (outputs.shape[1] - labels.shape[1]) // 2
        called, true = outputs[:, edge : edge + labels.shape[1]] > 0, labels > 0
        either = int(called.sum()) + int(true.sum())
        return 2 * int((called & true).sum()) / either if either else 1.0


def widened_labels(spikes: Spikes, n_samples: int, *, label_samples: int) -> FloatArray:
    """Return 1 at each spike's start and around it, 0 elsewhere, shape (n_samples,)."""
    labels = np.zeros(n_samples, np.float32)
    half = label_samples // 2
    for offset in range(-half, half + 1):
        labels[np.clip(spikes.sample + offset, 0, n_samples - 1)] = 1.0
    return labels


def detector_batches(
    features: FloatArray,
    labels: FloatArray,
    *,
    window_samples: int,
    margin: Margin,
    batch_windows: int,
    rng: np.random.Generator,
) -> Iterator[tuple[FloatArray, FloatArray]]:
    """Yield batches of windows at random positions of a rehearsal, endlessly.

    Each window has the network's margin on both sides, so that its edges are computed as in a long trace.

    Parameters
    ----------
    features : ndarray, shape (samples, columns)
    labels : ndarray, shape (samples, curves)
    window_samples : int
        Labelled samples in a window.
    margin : Margin
        Of the network.
    batch_windows : int
    rng : numpy.random.Generator

    Yields
    ------
    inputs : ndarray, shape (batch_windows, margin + window_samples + margin, columns)
    labels : ndarray, shape (batch_windows, window_samples, curves)
    """
    window = np.arange(window_samples)
    surrounded = np.arange(-margin.before, window_samples + margin.after)
    while True:
        starts = rng.integers(
            margin.before, len(features) - window_samples - margin.after, (batch_windows, 1), endpoint=True
        )
        yield features[starts + surrounded], labels[starts + window]


def detection_curve(architecture: DetectorArchitecture, weights: Weights, features: FloatArray) -> FloatArray:
    """Return the probability of a spike's start at each sample.

    Parameters
    ----------
    architecture : DetectorArchitecture
    weights : tuple of ndarray
    features : ndarray of float32, shape (margin.before + samples + margin.after, columns)
        Including the architecture's margin. The code is compiled once for each length.

    Returns
    -------
    ndarray of float32, shape (samples, curves)
    """
    before, after = architecture.margin.before, architecture.margin.after
    logits = run_network(architecture, weights, features[None])[0, before : len(features) - after]
    return np.asarray(expit(logits), np.float32)
