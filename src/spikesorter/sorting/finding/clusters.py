"""Group events by their waveforms: Gaussian mixtures, whose parts are joined where there is no gap.

A Gaussian mixture needs several parts for a unit whose spikes vary. Two parts are parts of one group if the
density of events has no valley between them.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter1d

if TYPE_CHECKING:
    from sklearn.mixture import GaussianMixture

__all__ = ["Form", "group_waveforms", "principal_components", "valley"]

Float64Array = npt.NDArray[np.float64]
Form = Literal["diag", "full"]
MOST_PARTS = 12
MOST_FITTED = 6000  # events that a mixture is fitted to; all are assigned
NOISE_IN_FEATURES = 0.3  # least variance of a part, relative to the noise
IN_VAIN = 2  # numbers of parts that fit worse, after which no more are tried
SMOOTHING, BINS = 0.35, 128
GAP = 0.75  # density between two parts, relative to that of the lower one


def principal_components(
    waveforms: npt.NDArray[np.floating[Any]], number: int, *, most_fitted: int | None = None
) -> Float64Array:
    """Return the leading principal components of waveforms.

    Each axis points to where its largest weight is positive.

    Parameters
    ----------
    waveforms : ndarray of float, shape (events, ...)
        At least one.
    number : int
    most_fitted : int, optional
        Number of waveforms, spread evenly over all, from which the components are learnt; all if not given.

    Returns
    -------
    ndarray of float64, shape (events, number)
        Fewer columns if a waveform has fewer values.

    Examples
    --------
    >>> principal_components(np.float32([[0, 0], [0, 3], [0, 6]]), 1).T
    array([[-3.,  0.,  3.]])
    """
    flat = waveforms.reshape(len(waveforms), -1)
    step = 1 if most_fitted is None else -(-len(flat) // most_fitted)
    fitted = flat[::step].astype(np.float64)
    middle = fitted.mean(axis=0)
    fitted -= middle
    _, vectors = np.linalg.eigh(fitted.T @ fitted)  # the largest last
    leading = vectors[:, ::-1][:, :number]
    signs = np.sign(leading[np.abs(leading).argmax(axis=0), np.arange(leading.shape[1])])
    return np.asarray((flat - middle) @ (leading * signs), np.float64)


def group_waveforms(
    features: Float64Array, *, seed: int, gap: float = GAP, forms: tuple[Form, ...] = ("diag",)
) -> npt.NDArray[np.int64]:
    """Return the group of each event.

    Parameters
    ----------
    features : ndarray of float64, shape (events, features)
        In which noise has variance 1.
    seed : int
    gap : float
        Two parts of the mixture are joined if the density between them is at least this share of that at
        the lower one.
    forms : tuple of {"diag", "full"}
        Covariances of the parts that are tried: a unit that varies needs a full one, two units that are near
        each other diagonal ones.

    Returns
    -------
    ndarray of int64, shape (events,)
        From 0, the largest group first.
    """
    mixture = min((_best_mixture(features, seed, form) for form in forms), key=lambda one: one[0])[1]
    parts = mixture.predict(features)
    return _by_size(_joined(features, parts, gap))


def valley(positions: Float64Array, first: float, second: float) -> float:
    """Return the density of positions at its lowest between two places, relative to the lower of both.

    Parameters
    ----------
    positions : ndarray of float64, shape (events,)
    first, second : float
        The places; the highest density near each counts.

    Returns
    -------
    float
        0: nothing between them; 1: no valley.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> apart = np.concatenate([rng.normal(0, 1, 3000), rng.normal(6, 1, 3000)])
    >>> valley(apart, 0.0, 6.0) < 0.2, valley(rng.normal(3, 2, 6000), 0.0, 6.0)
    (True, 1.0)
    """
    low, high = min(first, second), max(first, second)
    width = high - low
    if width <= 0:
        return 1.0
    edges = np.linspace(low - width, high + width, BINS + 1)
    near = (positions[np.abs(positions - place) < width / 2] for place in (low, high))
    spread = min(float(np.std(some)) if len(some) else 0.0 for some in near)  # none: a median between two
    smoothing = SMOOTHING * max(spread, 1e-9) / (edges[1] - edges[0])
    density = gaussian_filter1d(np.histogram(positions, edges)[0].astype(np.float64), smoothing)
    centres = (edges[1:] + edges[:-1]) / 2
    middle = (low + high) / 2
    left = np.flatnonzero((centres > low - width / 2) & (centres <= middle))
    right = np.flatnonzero((centres < high + width / 2) & (centres > middle))
    a, b = left[density[left].argmax()], right[density[right].argmax()]
    return float(min(density[a : b + 1].min() / max(min(density[a], density[b]), 1e-12), 1.0))


def _best_mixture(features: Float64Array, seed: int, form: Form) -> tuple[float, GaussianMixture]:
    """Return the mixture with the least BIC, and that."""
    from sklearn.exceptions import ConvergenceWarning  # here, as only units without labels need it
    from sklearn.mixture import GaussianMixture

    rng = np.random.default_rng(seed)
    fitted = features
    if len(features) > MOST_FITTED:
        fitted = features[np.sort(rng.choice(len(features), MOST_FITTED, replace=False))]
    best, worse = None, 0
    least = np.inf
    most = max(min(MOST_PARTS, len(fitted) // (2 * features.shape[1])), 1)
    for parts in range(1, most + 1):
        mixture = GaussianMixture(
            parts, covariance_type=form, reg_covar=NOISE_IN_FEATURES, random_state=seed, max_iter=200
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            mixture.fit(fitted)
        value = mixture.bic(fitted)
        if value < least:
            best, least, worse = mixture, value, 0
        else:
            worse += 1
            if worse > IN_VAIN:
                break
    return float(least), best


def _joined(features: Float64Array, parts: npt.NDArray[np.int64], gap: float) -> npt.NDArray[np.int64]:
    """Join the two parts with the shallowest valley between them, until all valleys are deep."""
    parts = parts.copy()
    known: dict[tuple[int, int], float] = {}
    while True:
        present = np.unique(parts)
        for i, a in enumerate(present):
            for b in present[i + 1 :]:
                if (a, b) not in known:
                    known[a, b] = _valley_between(features, parts, a, b)
        pairs = [(known[a, b], -a, -b) for i, a in enumerate(present) for b in present[i + 1 :]]
        if not pairs or max(pairs)[0] < gap:
            return parts
        _, a, b = max(pairs)
        parts[parts == -b] = -a
        known = {pair: value for pair, value in known.items() if -a not in pair and -b not in pair}


def _valley_between(features: Float64Array, parts: npt.NDArray[np.int64], a: int, b: int) -> float:
    """Return the valley between two parts along the direction that separates them best."""
    first, second = features[parts == a], features[parts == b]
    if min(len(first), len(second)) <= features.shape[1]:
        return 1.0 if _mahalanobis(first, second) < 3 else 0.0
    within = np.cov(first.T) + np.cov(second.T)
    axis = np.linalg.solve(
        np.atleast_2d(within) + 1e-6 * np.eye(features.shape[1]), second.mean(0) - first.mean(0)
    )
    axis /= max(np.linalg.norm(axis), 1e-12)
    x, y = first @ axis, second @ axis
    return valley(np.concatenate([x, y]), float(np.median(x)), float(np.median(y)))


def _mahalanobis(first: Float64Array, second: Float64Array) -> float:
    return float(np.linalg.norm(first.mean(axis=0) - second.mean(axis=0)))


def _by_size(groups: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    names, inverse, counts = np.unique(groups, return_inverse=True, return_counts=True)
    rank = np.empty(len(names), np.int64)
    rank[np.lexsort((names, -counts))] = np.arange(len(names))
    return rank[inverse]
