from __future__ import annotations

import numpy as np
import pytest

from spikesorter.sorting.finding.trimming import is_own


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
