from __future__ import annotations

import numpy as np
import pytest

from spikesorter.core.spikes import Spikes
from spikesorter.sorting.finding.explaining import Explained
from spikesorter.sorting.finding.trimming import is_own, own_spikes, spikes_vary
from tests.sorting.finding.planted import planted


@pytest.mark.parametrize("seed", range(5))
def test_spikes_of_the_background_are_told_by_their_sizes(seed: int) -> None:
    rng = np.random.default_rng(seed)
    sizes = np.concatenate([rng.normal(1.05, 0.17, 320), 0.55 + rng.exponential(0.12, 150)])
    own = is_own(sizes)
    assert own[:320].mean() > 0.85
    assert own[320:].mean() < 0.4


@pytest.mark.parametrize("seed", range(5))
def test_a_unit_without_background_stays_whole(seed: int) -> None:
    rng = np.random.default_rng(seed)
    sizes = rng.normal(1.0, 0.15, 300)
    in_bursts = rng.random(300) < 0.15
    assert is_own(sizes).all()
    assert is_own(sizes * np.where(in_bursts, 0.8, 1.0)).all()


def sizes_with_background(rng: np.random.Generator, count: int) -> np.ndarray:
    half = count // 2
    sizes = np.concatenate([rng.normal(1.2, 0.15, count - half), 0.5 + rng.exponential(0.15, half)])
    return rng.permutation(sizes)


def test_spikes_are_told_one_by_one_and_large_ones_stay(rng: np.random.Generator) -> None:
    sizes = np.append(sizes_with_background(rng, 600), [2.5, 0.3])
    own, order = is_own(sizes), rng.permutation(len(sizes))
    assert own[-2]
    assert not own[-1]
    np.testing.assert_array_equal(is_own(sizes[order]), own[order])


def explained(
    rng: np.random.Generator,
    *,
    d: float = 7.9,
    count: int = 600,
    lag: int = 100,
    n_samples: int = 70_000,
    spread: float = 0.0,
) -> Explained:
    """Return a unit with background; every second spike follows the one before by a lag of samples.

    The first spike lies at the start of the trace, so that its waveform is cut off. Among the others are some
    of another unit.
    """
    sample = np.arange(count) * 100
    sample[1::2] = sample[:-1:2] + lag
    unit = np.where(np.arange(count) % 10 == 3, 2, 1)
    sizes = sizes_with_background(rng, count)
    sizes[0] = 0.3
    sizes[unit == 2] = rng.normal(1.0, spread, np.count_nonzero(unit == 2))
    return planted(Spikes(sample, unit), sizes, {2: 20.0, 1: d}, n_samples=n_samples)


def judged(one: Explained) -> np.ndarray:
    """Return which spikes are the unit's own by their true sizes; the first one is not looked at."""
    own = one.spikes.unit == 1
    seen = np.flatnonzero(own)[1:]
    own[seen] = is_own(one.amplitudes[seen].astype(np.float64))
    return own


def test_a_small_units_own_spikes_are_told_by_their_waveforms(rng: np.random.Generator) -> None:
    one = explained(rng)
    own = own_spikes(one, 1)
    assert 200 < own.sum() < 400
    assert own[0]
    np.testing.assert_array_equal(own, judged(one))


@pytest.mark.parametrize(
    ("given", "trimmed"),
    [
        ({"d": 7.99}, True),
        ({"d": 8.0}, False),
        ({"count": 46}, True),
        ({"count": 45}, False),
        ({"lag": 30}, True),
        ({"lag": 29}, False),
        ({"lag": 20, "n_samples": 800_000}, True),
    ],
    ids=str,
)
def test_all_spikes_stay_of_a_large_unit_of_few_and_of_several_units(
    rng: np.random.Generator, given: dict[str, float], trimmed: bool
) -> None:
    """Of 46 spikes, 41 are the unit's and 40 are looked at; of 45, 39.

    Of the spikes that are larger than the background's, those 29 samples apart have far more than half the
    short intervals that there are by chance, 36. In a longer trace these are too few to tell.
    """
    one = explained(rng, **given)
    own = own_spikes(one, 1)
    every = one.spikes.unit == 1
    np.testing.assert_array_equal(own, judged(one) if trimmed else every)
    assert (own != every).any() == trimmed


def test_where_larger_units_vary_small_ones_stay_whole(rng: np.random.Generator) -> None:
    """An SD of 0.1 is twice the noise's at a d' of 20."""
    steady, varying = explained(rng, spread=0.07), explained(rng, spread=0.13)
    assert (spikes_vary(steady), spikes_vary(varying)) == (False, True)
    assert own_spikes(steady, 1).sum() < 400
    np.testing.assert_array_equal(own_spikes(varying, 1), varying.spikes.unit == 1)


def test_small_units_do_not_tell_whether_spikes_vary(rng: np.random.Generator) -> None:
    spikes, sizes = Spikes(np.arange(60) * 100, np.ones(60, np.int64)), rng.normal(1, 0.5, 60)
    assert not spikes_vary(planted(spikes, sizes, {1: 7.9}, n_samples=7000))
    assert spikes_vary(planted(spikes, sizes, {1: 8.1}, n_samples=7000))
