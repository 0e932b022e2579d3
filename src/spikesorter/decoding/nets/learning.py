"""Learning curves: loss and accuracy of a network while it is trained, on what it is trained on and on more.

Both are measured by the network as it stands after some steps, on examples drawn once and by random numbers
of their own. So training itself is the same whether it is watched or not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from spikesorter.decoding.nets.training import Architecture, Batch, Weights, run_network, train

__all__ = [
    "LearningCurve",
    "Watched",
    "WatchedArchitecture",
    "joined_curves",
    "train_watched",
    "watched_steps",
]

MOST_LOOKS, STEPS_APART = 20, 50  # a look runs the network on as much as some steps of training do
FloatArray = npt.NDArray[np.float32]


class WatchedArchitecture(Architecture, Protocol):
    """An architecture whose outputs can be judged right or wrong."""

    def accuracy(self, outputs: FloatArray, labels: npt.NDArray[Any]) -> float:
        """Return how right the outputs (logits) are, 0 to 1."""
        ...


@dataclass(frozen=True, eq=False)
class LearningCurve:
    """Loss and accuracy of a network at some steps of its training.

    Parameters
    ----------
    network : str
        "detector" or "classifier".
    step : ndarray of int64, shape (looks,)
        Steps done; the first is 0.
    epoch_steps : float
        Steps in which as much is drawn as the training recording has.
    loss : ndarray of float32, shape (looks, 2)
        Cross-entropy on what the network is trained on, and on what it is not.
    accuracy : ndarray of float32, shape (looks, 2)
        Likewise. Of a detector, the F1 value of its samples at a probability of 0.5; of a classifier, the
        share of spikes whose unit it names.
    """

    network: str
    step: npt.NDArray[np.int64]
    epoch_steps: float
    loss: FloatArray
    accuracy: FloatArray

    @property
    def epoch(self) -> npt.NDArray[np.float64]:
        """Epochs done at each step: how often the training recording was drawn."""
        return self.step / self.epoch_steps


@dataclass(frozen=True, eq=False)
class Watched:
    """Examples by which a network is judged while it is trained.

    Parameters
    ----------
    network : str
        Its name in the curve.
    trained_on, held_out : (inputs, labels)
        Of one shape, so that the network is compiled once for both.
    epoch_steps : float
        As for `LearningCurve`.
    """

    network: str
    trained_on: Batch
    held_out: Batch
    epoch_steps: float


@dataclass(frozen=True, eq=False)
class _Looks:
    """What was seen so far; it grows with each look."""

    architecture: WatchedArchitecture
    watched: Watched
    step: list[int] = field(default_factory=list)
    loss: list[list[float]] = field(default_factory=list)
    accuracy: list[list[float]] = field(default_factory=list)

    def look(self, step: int, weights: Weights) -> None:
        judged = [
            self._judge(weights, inputs, labels)
            for inputs, labels in (self.watched.trained_on, self.watched.held_out)
        ]
        self.step.append(step)
        self.loss.append([loss for loss, _ in judged])
        self.accuracy.append([accuracy for _, accuracy in judged])

    def _judge(self, weights: Weights, inputs: FloatArray, labels: npt.NDArray[Any]) -> tuple[float, float]:
        outputs = run_network(self.architecture, weights, inputs)
        return float(self.architecture.loss(outputs, labels)), self.architecture.accuracy(outputs, labels)

    def curve(self) -> LearningCurve:
        return LearningCurve(
            self.watched.network,
            np.array(self.step, np.int64),
            self.watched.epoch_steps,
            np.array(self.loss, np.float32),
            np.array(self.accuracy, np.float32),
        )


def watched_steps(steps: int) -> list[int]:
    """Return the steps after which a network is looked at: spread evenly, with the first and the last.

    Examples
    --------
    >>> watched_steps(200), len(watched_steps(6000))
    ([0, 50, 100, 150, 200], 21)
    >>> watched_steps(1)
    [0, 1]
    """
    looks = min(max(steps // STEPS_APART, 2), MOST_LOOKS)
    return sorted({round(k * steps / looks) for k in range(looks + 1)})


def train_watched(
    architecture: WatchedArchitecture,
    weights: Weights,
    batches: Any,
    *,
    watched: Watched | None,
    steps: int,
    learning_rate: float,
    on_step: Callable[[int], None],
) -> tuple[Weights, LearningCurve | None]:
    """Train a network as `train` does, and return its learning curve with the weights.

    Parameters
    ----------
    architecture, weights, batches, steps, learning_rate, on_step
        As for `train`.
    watched : Watched or None
        None: the network is not looked at.

    Returns
    -------
    weights : tuple of ndarray of float32
    curve : LearningCurve or None
        None if it was not looked at.
    """
    if watched is None:
        trained = train(
            architecture, weights, batches, steps=steps, learning_rate=learning_rate, on_step=on_step
        )
        return trained, None
    looks = _Looks(architecture, watched)
    looks.look(0, weights)
    trained = train(
        architecture, weights, batches, steps=steps, learning_rate=learning_rate, on_step=on_step,
        look_at=frozenset(watched_steps(steps)), look=looks.look,
    )  # fmt: skip
    return trained, looks.curve()


def joined_curves(curves: list[LearningCurve]) -> tuple[LearningCurve, ...]:
    """Return the mean curve of each kind of network, trained in the same way on different parts.

    Parameters
    ----------
    curves : list of LearningCurve
        Those of one kind have the same steps.
    """
    kinds: dict[str, list[LearningCurve]] = {}
    for one in curves:
        kinds.setdefault(one.network, []).append(one)
    return tuple(
        LearningCurve(
            network,
            alike[0].step,
            float(np.mean([each.epoch_steps for each in alike])),
            np.mean([each.loss for each in alike], axis=0, dtype=np.float32),
            np.mean([each.accuracy for each in alike], axis=0, dtype=np.float32),
        )
        for network, alike in kinds.items()
    )
