"""The dead time of a labeller is told from the intervals between labels of different units."""

from __future__ import annotations

import numpy as np
import pytest

from spikesorter.core.spikes import Spikes
from spikesorter.estimation.labelled import dead_time

FS_HZ = 25_000.0
N = 1_000_000


def spaced(rng: np.random.Generator, *, dead: int, count: int = 4000, units: int = 3) -> Spikes:
    """Labels by a detector that finds nothing for `dead` samples after each."""
    samples = np.cumsum(dead + rng.exponential(N / count - dead, count).astype(np.int64))
    return Spikes.from_arrays(samples, rng.integers(1, units + 1, count))


@pytest.mark.parametrize("dead", [12, 30, 60])
def test_the_dead_time_is_the_least_interval_between_units(dead: int, rng: np.random.Generator) -> None:
    labels = spaced(rng, dead=dead)
    pairs = [labels.of(unit).sample for unit in labels.unit_ids]
    least = min(np.abs(a[:, None] - b[None]).min() for i, a in enumerate(pairs) for b in pairs[:i])
    assert dead_time(labels, N, fs_hz=FS_HZ) == least
    assert dead <= least <= dead + 3
    assert dead_time(labels.shifted(10_000), N, fs_hz=FS_HZ) == least


def test_a_short_interval_within_a_unit_does_not_count(rng: np.random.Generator) -> None:
    labels = spaced(rng, dead=60)
    first = labels.of(1).sample
    bursts = Spikes.concatenate([labels, Spikes.from_arrays(first + 5, np.ones(len(first)))])
    assert dead_time(labels, N, fs_hz=FS_HZ) - 5 <= dead_time(bursts, N, fs_hz=FS_HZ)
    assert dead_time(bursts, N, fs_hz=FS_HZ) > 50


def test_a_single_simultaneous_pair_refutes_a_dead_time(rng: np.random.Generator) -> None:
    labels = spaced(rng, dead=40)
    at = labels.of(1).sample[7]
    assert dead_time(Spikes.concatenate([labels, Spikes.from_arrays([at], [2])]), N, fs_hz=FS_HZ) == 0


@pytest.mark.parametrize("fs_hz", [25_000.0, 10_000.0])
def test_no_dead_time_is_longer_than_three_milliseconds(fs_hz: float) -> None:
    labels = Spikes.from_arrays(np.arange(0, N, 500), 1 + np.arange(N // 500) % 2)
    assert dead_time(labels, N, fs_hz=fs_hz) == 0.003 * fs_hz


def test_few_labels_prove_nothing(rng: np.random.Generator) -> None:
    labels = spaced(rng, dead=40)
    assert dead_time(labels[:300], N, fs_hz=FS_HZ) == 0
    assert dead_time(labels[:60], N * 60 // len(labels), fs_hz=FS_HZ) == 0
    assert dead_time(labels[:1200], N * 1200 // len(labels), fs_hz=FS_HZ) >= 40


@pytest.mark.parametrize("units", [[], [1], [1] * 50])
def test_one_unit_has_no_dead_time_towards_others(units: list[int]) -> None:
    assert dead_time(Spikes.from_arrays(100 * np.arange(len(units)), units), N, fs_hz=FS_HZ) == 0
