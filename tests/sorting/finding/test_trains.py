from __future__ import annotations

import numpy as np

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
