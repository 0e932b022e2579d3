"""Course of a recording: how the size of each unit and the level of the noise change over it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from spikesorter.signal.filters import noise_scale

__all__ = ["STEADY", "Course", "middles_of_blocks", "noise_levels", "relative_levels"]

Float64Array = npt.NDArray[np.float64]
Int64Array = npt.NDArray[np.int64]
LEAST_LEVEL_RATIO = 1.25  # of the noise in two blocks, below which it is steady
SHRUNK, GROWN, LOUDER = 0.75, 1.35, 1.5  # changes worth a remark
OFF = 10.0  # times as strong in some parts as in others, which noise of a working electrode hardly is


def _one() -> Float64Array:
    return np.ones((1, 1))


@dataclass(frozen=True, eq=False)
class Course:
    """Sizes of units and levels of noise in blocks of equal length, from a recording's start to its end.

    Parameters
    ----------
    sizes : ndarray of float64, shape (blocks, units)
        Size of each unit's spikes, relative to its template at the recording's gain. Shape (1, 1) if no unit
        changes.
    levels : ndarray of float64, shape (blocks,)
        SD of the noise, relative to the mean over the recording (of the power). Shape (1,) if steady.

    Examples
    --------
    A unit that fades to half, beside one that does not:

    >>> course = Course(np.array([[1.0, 1.0], [0.5, 1.0]]), np.ones(1))
    >>> course.sizes_at(np.array([0, 30, 70]), np.array([0, 0, 0]), n_samples=100)
    array([1. , 1. , 0.5])
    >>> course.mean_sizes
    array([0.75, 1.  ])
    """

    sizes: Float64Array = field(default_factory=_one)
    levels: Float64Array = field(default_factory=lambda: np.ones(1))

    @property
    def steady(self) -> bool:
        """Whether neither units nor noise change."""
        return self.sizes.size == self.levels.size == 1

    def of_units(self, kept: npt.NDArray[np.bool_]) -> Course:
        """Return the course of some units.

        Examples
        --------
        >>> Course(np.array([[1.0, 1.0], [0.5, 1.0]])).of_units(np.array([True, False])).sizes.tolist()
        [[1.0], [0.5]]
        """
        return self if self.sizes.shape[1] == 1 else replace(self, sizes=self.sizes[:, kept])

    @property
    def mean_sizes(self) -> Float64Array:
        """Mean size of each unit, shape (units,) or (1,)."""
        return np.asarray(self.sizes.mean(axis=0))

    @property
    def size_spreads(self) -> Float64Array:
        """SD of each unit's size over the recording, relative to its mean, shape (units,) or (1,)."""
        return np.asarray(self.sizes.std(axis=0) / self.mean_sizes)

    def sizes_at(self, samples: Int64Array, columns: Int64Array, *, n_samples: int) -> Float64Array:
        """Return the sizes of spikes.

        Parameters
        ----------
        samples : ndarray of int64, shape (spikes,)
        columns : ndarray of int64, shape (spikes,)
            Position of each spike's unit among the units.
        n_samples : int
            Length of the recording, or of a rehearsal of it.

        Returns
        -------
        ndarray of float64, shape (spikes,)
        """
        if self.sizes.size == 1:
            return np.broadcast_to(self.sizes[0], len(samples))
        blocks = np.clip(samples * len(self.sizes) // n_samples, 0, len(self.sizes) - 1)
        return np.asarray(self.sizes[blocks, columns])

    def level_bounds(self, n_samples: int) -> list[tuple[int, int, float]]:
        """Return the first and last sample and the level of each block.

        Examples
        --------
        >>> Course(levels=np.array([0.5, 2.0])).level_bounds(100)
        [(0, 50, 0.5), (50, 100, 2.0)]
        """
        edges = np.linspace(0, n_samples, len(self.levels) + 1).astype(int).tolist()
        return list(zip(edges[:-1], edges[1:], self.levels.tolist(), strict=True))

    def parts(self) -> list[tuple[Course, float]]:
        """Return the course of each block taken for itself: its sizes, and its noise level.

        Examples
        --------
        >>> course = Course(np.array([[1.0, 1.0], [0.5, 1.0]]), np.array([0.5, 2.0]))
        >>> [(part.mean_sizes.tolist(), level) for part, level in course.parts()]
        [([1.0, 1.0], 0.5), ([0.5, 1.0], 2.0)]
        """
        count = max(len(self.sizes), len(self.levels))
        sizes = np.broadcast_to(self.sizes, (count, self.sizes.shape[1]))
        levels = np.broadcast_to(self.levels, count).tolist()
        return [(Course(row[None]), level) for row, level in zip(sizes, levels, strict=True)]

    def remarks(self, names: dict[int, str]) -> list[str]:
        """Return a sentence on each large change.

        Parameters
        ----------
        names : dict of int to str
            Of units, by column.

        Examples
        --------
        >>> Course(np.array([[1.0, 1.0], [0.5, 1.0]])).remarks({0: "a", 1: "b"})
        ['unit a: spikes have 1.00 to 0.50 times their labelled size; the smallest may be missed']
        >>> Course(levels=np.array([0.5, 1.5])).remarks({0: "a"})
        ['the noise is 3.0 times as strong in some parts as in others']
        >>> Course(levels=np.array([0.05, 1.5])).remarks({0: "a"})[0].partition(": ")[2]
        'if the electrode or amplifier is off in the quiet ones, leave them out (--exclude)'
        """
        said = []
        for column, name in names.items():
            sizes = self.sizes[:, min(column, self.sizes.shape[1] - 1)]
            if sizes.min() < SHRUNK:
                said.append(f"unit {name}: {_in_words(sizes, sizes.argmin())}; the smallest may be missed")
            elif sizes.max() > GROWN:
                said.append(f"unit {name}: {_in_words(sizes, sizes.argmax())}; they may resemble other units")
        ratio = self.levels.max() / self.levels.min()
        if ratio > LOUDER:
            off = "if the electrode or amplifier is off in the quiet ones, leave them out (--exclude)"
            said.append(
                f"the noise is {ratio:.1f} times as strong in some parts as in others"
                + (f": {off}" if ratio > OFF else "")
            )
        return said


def noise_levels(trace: npt.NDArray[np.float32], blocks: int) -> Float64Array:
    """Return the level of the noise in blocks of a trace, or a single 1 if it hardly changes.

    Parameters
    ----------
    trace : ndarray of float32, shape (samples, columns)
        Conditioned, or the outputs of filters.
    blocks : int

    Returns
    -------
    ndarray of float64, shape (blocks,) or (1,)
        Relative to the mean (of the power).

    Examples
    --------
    >>> noise = np.random.default_rng(0).standard_normal((100_000, 1)).astype(np.float32)
    >>> noise[50_000:] *= 3
    >>> noise_levels(noise, 2).round(2), noise_levels(noise[:50_000], 2)
    (array([0.45, 1.34]), array([1.]))
    """
    levels = relative_levels(np.array_split(trace, blocks))
    return levels if levels.max() > LEAST_LEVEL_RATIO * levels.min() else np.ones(1)


def relative_levels(parts: list[npt.NDArray[np.float32]]) -> Float64Array:
    """Return the level of the noise in each part, relative to the mean (of the power).

    Parameters
    ----------
    parts : list of ndarray of float32, shape (samples, columns)
    """
    scales = [noise_scale(part).astype(np.float64).mean() for part in parts]
    return np.array(scales) / max(float(np.sqrt(np.mean(np.square(scales)))), 1e-30)


def middles_of_blocks(trace: npt.NDArray[Any], blocks: int, *, most: int) -> npt.NDArray[Any]:
    """Return the middle of each block of a trace, one after the other, so that no more than `most` remain.

    Examples
    --------
    >>> middles_of_blocks(np.arange(12), 2, most=4), middles_of_blocks(np.arange(3), 2, most=4)
    (array([2, 3, 8, 9]), array([0, 1, 2]))
    """
    if len(trace) <= most:
        return trace
    length = most // blocks
    starts = (np.arange(blocks) + 0.5) * (len(trace) / blocks) - length / 2
    return np.concatenate([trace[int(start) : int(start) + length] for start in starts])


def _in_words(sizes: Float64Array, extreme: np.intp) -> str:
    """Return the first size, the most extreme one if it lies between them, and the last one."""
    bends = not np.isclose(sizes[extreme], sizes[[0, -1]]).any()
    told = [sizes[0], sizes[extreme], sizes[-1]] if bends else [sizes[0], sizes[-1]]
    return f"spikes have {' to '.join(f'{size:.2f}' for size in told)} times their labelled size"


STEADY = Course()
"""Course of a recording in which nothing changes."""
