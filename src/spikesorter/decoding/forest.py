"""Extremely randomised trees (P. Geurts et al., 2006, doi 10.1007/s10994-006-6226-1) as plain arrays.

Scikit-learn fits them; model files hold no pickles, so they are stored and applied here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Forest", "fit_forest", "nothing_known"]

Trace = npt.NDArray[np.float32]
TREES, LEAST_IN_LEAF = 100, 3


@dataclass(frozen=True, eq=False)
class Forest:
    """Decision trees, stored node by node.

    Parameters
    ----------
    roots : ndarray of int32, shape (trees,)
    feature : ndarray of int32, shape (nodes,)
        The feature that a node looks at; -1 for a leaf.
    threshold : ndarray of float32, shape (nodes,)
        Up to which the left branch is taken.
    left, right : ndarray of int32, shape (nodes,)
    value : ndarray of float32, shape (nodes, units)
        Probability of each unit, at a leaf.
    """

    roots: npt.NDArray[np.int32]
    feature: npt.NDArray[np.int32]
    threshold: Trace
    left: npt.NDArray[np.int32]
    right: npt.NDArray[np.int32]
    value: Trace

    def probabilities(self, features: Trace) -> Trace:
        """Return the mean probability of each unit over all trees.

        Parameters
        ----------
        features : ndarray of float32, shape (candidates, features)

        Returns
        -------
        ndarray of float32, shape (candidates, units)

        Examples
        --------
        >>> leaf = np.float32([[0], [0.1], [0.9]])
        >>> forest = Forest(*map(np.array, ([0], [0, -1, -1], [5.0, 0.0, 0.0], [1, 0, 0], [2, 0, 0])), leaf)
        >>> forest.probabilities(np.float32([[4], [6]]))[:, 0]
        array([0.1, 0.9], dtype=float32)
        """
        every = np.arange(len(features))
        total = np.zeros((len(features), self.value.shape[1]))
        for root in self.roots.tolist():  # tree by tree, so that no rounding depends on other candidates
            node = np.full(len(features), root, np.int32)
            rows = every if self.feature[root] >= 0 else every[:0]
            while len(rows):  # those that are not at a leaf yet
                at = node[rows]
                goes_left = features[rows, self.feature[at]] <= self.threshold[at]
                node[rows] = at = np.where(goes_left, self.left[at], self.right[at])
                rows = rows[self.feature[at] >= 0]
            total += self.value[node]
        return (total / len(self.roots)).astype(np.float32)


def fit_forest(
    features: Trace, unit: npt.NDArray[np.int64], known: tuple[int, ...], *, seed: int, n_jobs: int
) -> Forest:
    """Fit trees that tell candidates of known units from each other and from all else (unit 0).

    Parameters
    ----------
    features : ndarray of float32, shape (candidates, features)
    unit : ndarray of int64, shape (candidates,)
    known : tuple of int
    seed, n_jobs : int
        The number of threads does not affect the result.

    Returns
    -------
    Forest
    """
    if not len(features):
        return nothing_known(len(known))
    from sklearn.ensemble import ExtraTreesClassifier

    trees = ExtraTreesClassifier(TREES, min_samples_leaf=LEAST_IN_LEAF, random_state=seed, n_jobs=n_jobs)
    trees.fit(features, unit)
    fitted = [one.tree_ for one in trees.estimators_]
    roots = np.cumsum([0, *(tree.node_count for tree in fitted)])[:-1]
    leaf = np.concatenate([tree.children_left < 0 for tree in fitted])

    def joined(parts: list[npt.NDArray[Any]], at_leaf: int) -> npt.NDArray[np.int32]:
        return np.where(leaf, at_leaf, np.concatenate(parts)).astype(np.int32)

    shares = np.concatenate([tree.value[:, 0] for tree in fitted])
    shares = shares / shares.sum(axis=1, keepdims=True)
    classes = trees.classes_.tolist()
    absent = np.zeros(len(shares))
    return Forest(
        roots.astype(np.int32),
        joined([tree.feature for tree in fitted], -1),
        rounded_down(np.concatenate([tree.threshold for tree in fitted])),
        joined([tree.children_left + root for tree, root in zip(fitted, roots, strict=True)], 0),
        joined([tree.children_right + root for tree, root in zip(fitted, roots, strict=True)], 0),
        np.stack([shares[:, classes.index(k)] if k in classes else absent for k in known], axis=1).astype(
            np.float32
        ),
    )


def nothing_known(units: int) -> Forest:
    """Return a forest of one leaf, to which no candidate is a spike."""
    root, leaf = np.zeros(1, np.int32), np.full(1, -1, np.int32)
    return Forest(root, leaf, np.zeros(1, np.float32), root, root, np.zeros((1, units), np.float32))


def rounded_down(values: npt.NDArray[np.float64]) -> Trace:
    """Return the next smaller float32 of each value: float32 features are on the same side of it."""
    rounded = values.astype(np.float32)
    return np.where(rounded > values, np.nextafter(rounded, np.float32(-np.inf)), rounded)
