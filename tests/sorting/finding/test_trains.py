from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spikesorter.sorting.finding.trains import fires_as_one

FS_HZ = 25_000.0
N_SAMPLES = 3_000_000


def test_shrunk_spikes_of_bursts_are_of_the_same_unit(rng: np.random.Generator) -> None:
    """So few pairs within the refractory period may be by chance; that most follow soon is not."""
    first = np.cumsum(rng.integers(4000, 7900, 500))
    followers = first[::2] + rng.integers(75, 200, 250)
    assert fires_as_one(first, np.sort(followers), N_SAMPLES, fs_hz=FS_HZ) is True


def test_excess_pairs_of_a_few_spikes_are_not_bursts(rng: np.random.Generator) -> None:
    """A tenth of the second unit's spikes are really of the first, and follow soon on others."""
    first = np.sort(rng.integers(0, N_SAMPLES, 700))
    own = rng.integers(0, N_SAMPLES, 630)
    second = np.sort(np.concatenate([own, first[:70] + rng.integers(75, 200, 70)]))
    assert fires_as_one(first, second, N_SAMPLES, fs_hz=FS_HZ) is False


def test_few_spikes_do_not_tell(rng: np.random.Generator) -> None:
    first, second = (np.sort(rng.integers(0, N_SAMPLES, 100)) for _ in range(2))
    assert fires_as_one(first, second, N_SAMPLES, fs_hz=FS_HZ) is None


def regular(count: int, lag: int = 0) -> np.ndarray:
    """Return spikes at equal intervals over the whole recording."""
    return np.arange(count) * (N_SAMPLES // count) + lag


def fire_as_one(first: np.ndarray, second: np.ndarray) -> bool | None:
    """Return what is told of them in either order, at 20 kHz: 1.5 ms are 30 samples, 15 ms 300."""
    told = fires_as_one(first, second, N_SAMPLES, fs_hz=20_000.0)
    assert fires_as_one(second, first, N_SAMPLES, fs_hz=20_000.0) is told
    return told


@pytest.mark.parametrize(("lag", "one"), [(-31, True), (-30, False), (0, False), (30, False), (31, True)])
def test_the_refractory_period_is_kept_on_either_side(lag: int, one: bool) -> None:
    assert fire_as_one(regular(1000, 100), regular(1000, 100 + lag)) is one


@pytest.mark.parametrize(("count", "one"), [(540, None), (570, True)])
def test_no_pair_tells_of_one_unit_only_if_by_chance_there_were_some(count: int, one: bool | None) -> None:
    """540 spikes each have 5.8 pairs by chance, 570 6.5: none at all has probability 0.002 at 6.2."""
    assert fire_as_one(regular(count), regular(count, 1500)) is one


@pytest.mark.parametrize(("count", "one"), [(300, None), (320, True)])
def test_of_bursts_fewer_pairs_by_chance_suffice(count: int, one: bool | None) -> None:
    """None has probability 0.15 at 1.9 pairs by chance, as 308 spikes each have."""
    assert fire_as_one(regular(count), regular(count, 200)) is one


@pytest.mark.parametrize(("lag", "one"), [(300, True), (301, None), (-300, True), (-301, None)])
def test_a_burst_lasts_fifteen_milliseconds_after_a_spike(lag: int, one: bool | None) -> None:
    assert fire_as_one(regular(500, 1000), regular(500, 1000 + lag)) is one


@pytest.mark.parametrize(("following", "one"), [(220, None), (250, True)])
def test_spikes_that_follow_by_chance_tell_of_no_bursts(following: int, one: bool | None) -> None:
    """A tenth does so by chance: of 220 in 500 that follow, too few are left, of 250 enough."""
    lags = np.where(np.arange(500) < following, 200, 1500)
    assert fire_as_one(regular(500), regular(500) + lags) is one


@pytest.mark.parametrize(("count", "one"), [(430, None), (460, False)])
def test_two_units_need_four_pairs_by_chance(count: int, one: bool | None) -> None:
    """440 spikes each have 3.9 pairs by chance; here they have as many."""
    second = regular(count, 1500)
    second[:4] = regular(count)[:4] + 10
    assert fire_as_one(regular(count), second) is one


@pytest.mark.parametrize(("pairs", "one"), [(7, True), (10, None), (11, False)])
def test_few_pairs_tell_of_one_unit_more_of_neither_and_most_of_two(pairs: int, one: bool | None) -> None:
    """Of 20 by chance 7 are too few; 11 are 6 times as likely of two units as of one, 10 only 1.9 times."""
    second = regular(1000, 1500)
    second[:pairs] = regular(1000)[:pairs] + 10
    assert fire_as_one(regular(1000), second) is one


@given(st.integers(0, 1000), st.integers(300, 900), st.floats(0, 1))
def test_only_times_count_not_samples_nor_order(seed: int, count: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    first = np.sort(rng.integers(0, N_SAMPLES, count))
    second = np.sort(np.where(rng.random(count) < share, first + rng.integers(31, 400, count), first + 700))
    told = fire_as_one(first, second)
    assert fires_as_one(2 * first, 2 * second, 2 * N_SAMPLES, fs_hz=40_000.0) is told


def test_pairs_that_may_be_one_spike_are_not_counted() -> None:
    """Two units that are alike both explain a spike that varies: such pairs tell nothing of their trains."""
    second = regular(1000, 1500)
    second[:40] = regular(1000)[:40] + 8
    told = [
        fires_as_one(regular(1000), second, N_SAMPLES, fs_hz=20_000.0, blind_ms=ms) for ms in (0, 0.35, 0.4)
    ]
    assert told == [False, False, True]


@pytest.mark.parametrize(("pairs", "one"), [(75, False), (40, True)])
def test_of_many_pairs_by_chance_a_lack_is_not_enough_to_be_one(pairs: int, one: bool) -> None:
    """Of 125 by chance 75 are surely too few, but two units whose overlaps are missed have as many."""
    second = regular(2500, 600)
    second[:pairs] = regular(2500)[:pairs] + 10
    assert fire_as_one(regular(2500), second) is one
