"""Train and run networks, with one seeded training loop for all."""

from __future__ import annotations

from collections.abc import Callable, Container, Hashable, Iterable
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from spikesorter.core.errors import SettingsError

if TYPE_CHECKING:
    import keras

__all__ = [
    "Architecture",
    "Batch",
    "Weights",
    "initial_weights",
    "run_network",
    "run_network_on_each",
    "train",
]

FloatArray = npt.NDArray[np.float32]
Weights = tuple[FloatArray, ...]
Batch = tuple[FloatArray, npt.NDArray[Any]]


class Architecture(Hashable, Protocol):
    """A frozen, hashable description of a network."""

    def build(self, seed: int) -> keras.Model:
        """Return a new Keras model; its initial weights depend on the seed alone."""
        ...

    def loss(self, outputs: Any, labels: Any) -> Any:
        """Return the mean loss (a JAX scalar) of the network's outputs (logits)."""
        ...


def initial_weights(architecture: Architecture, *, seed: int) -> Weights:
    """Return random weights.

    Parameters
    ----------
    architecture : Architecture
    seed : int

    Returns
    -------
    tuple of ndarray of float32
        In the order of the model's variables.
    """
    return tuple(np.asarray(v.value, np.float32) for v in architecture.build(seed).variables)


def train(
    architecture: Architecture,
    weights: Weights,
    batches: Iterable[Batch],
    *,
    steps: int,
    learning_rate: float,
    on_step: Callable[[int], None] = lambda step: None,
    look_at: Container[int] = (),
    look: Callable[[int, Weights], None] = lambda step, weights: None,
) -> Weights:
    """Train a network by Adam with a learning rate that decays to zero along a cosine.

    Parameters
    ----------
    architecture : Architecture
    weights : tuple of ndarray
        Initial weights; not changed.
    batches : iterable of (inputs, labels)
        At least `steps` of them, all of the same shape.
    steps : int
        Number of updates.
    learning_rate : float
        Learning rate of the first update.
    on_step : callable, optional
        Called with the number of updates done, after each.
    look_at : container of int, optional
        Numbers of updates after which `look` is called.
    look : callable, optional
        Called with the number of updates done and the weights as they are then.

    Returns
    -------
    tuple of ndarray of float32
    """
    model, optimizer, update = _compiled_update(architecture, steps, learning_rate)
    trainable, fixed = _split(model, weights)
    state = [np.zeros(v.shape, v.dtype) for v in optimizer.variables]
    for step, (inputs, labels) in zip(range(steps), batches, strict=False):
        trainable, fixed, state = update(trainable, fixed, state, inputs, labels)
        on_step(step + 1)
        if step + 1 in look_at:
            look(step + 1, _join(model, trainable, fixed))
    return _join(model, trainable, fixed)


def run_network(architecture: Architecture, weights: Weights, inputs: FloatArray) -> FloatArray:
    """Return a network's outputs (logits) for one batch; compiled once for each shape of input."""
    model, forward = _compiled_forward(architecture)
    return np.asarray(forward(*_split(model, weights), inputs))


def run_network_on_each(architecture: Architecture, weights: Weights, inputs: FloatArray) -> FloatArray:
    """Return a network's outputs for each input alone, so that rounding does not depend on the batch."""
    model, forward = _compiled_forward(architecture)
    return np.asarray(_on_each(forward)(*_split(model, weights), inputs))


@lru_cache(maxsize=16)
def _on_each(forward: Any) -> Any:
    import jax

    def on_each(trainable: Any, fixed: Any, inputs: Any) -> Any:
        return jax.lax.map(lambda one: forward(trainable, fixed, one[None])[0], inputs)

    return jax.jit(on_each)


@lru_cache(maxsize=16)
def _compiled_forward(architecture: Architecture) -> tuple[keras.Model, Any]:
    import jax

    model = architecture.build(0)

    def forward(trainable: Any, fixed: Any, inputs: Any) -> Any:
        return model.stateless_call(trainable, fixed, inputs, training=False)[0]

    return model, jax.jit(forward)


@lru_cache(maxsize=16)
def _compiled_update(architecture: Architecture, steps: int, learning_rate: float) -> tuple[Any, Any, Any]:
    import jax
    import keras

    model = architecture.build(0)
    schedule = keras.optimizers.schedules.CosineDecay(learning_rate, decay_steps=steps)
    optimizer = keras.optimizers.Adam(schedule)
    optimizer.build(model.trainable_variables)

    def loss(trainable: Any, fixed: Any, inputs: Any, labels: Any) -> Any:
        outputs, fixed = model.stateless_call(trainable, fixed, inputs, training=True)
        return architecture.loss(outputs, labels), fixed

    def update(trainable: Any, fixed: Any, state: Any, inputs: Any, labels: Any) -> Any:
        (_, fixed), gradients = jax.value_and_grad(loss, has_aux=True)(trainable, fixed, inputs, labels)
        trainable, state = optimizer.stateless_apply(state, gradients, trainable)
        return trainable, fixed, state

    return model, optimizer, jax.jit(update)


def _split(model: keras.Model, weights: Weights) -> tuple[list[FloatArray], list[FloatArray]]:
    """Split weights, in the order of `model.variables`, into trainable ones and others."""
    if [tuple(v.shape) for v in model.variables] != [w.shape for w in weights]:
        raise SettingsError("network: these weights belong to a network of another shape")
    by_path = {v.path: w for v, w in zip(model.variables, weights, strict=True)}
    return (
        [by_path[v.path] for v in model.trainable_variables],
        [by_path[v.path] for v in model.non_trainable_variables],
    )


def _join(model: keras.Model, trainable: Any, fixed: Any) -> Weights:
    by_path = {v.path: w for v, w in zip(model.trainable_variables, trainable, strict=True)}
    by_path |= {v.path: w for v, w in zip(model.non_trainable_variables, fixed, strict=True)}
    return tuple(np.asarray(by_path[v.path], np.float32) for v in model.variables)
