from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from spikesorter.simulate import simulate_study
from tests.conftest import FS_HZ


@given(st.integers(1, 4), st.floats(1, 3), st.integers(0, 5), st.integers(1, 3))
@settings(max_examples=5)
def test_a_simulated_study_is_what_it_is_said_to_be(
    units: int, seconds: float, seed: int, channels: int
) -> None:
    made = [
        simulate_study(units=units, seconds=seconds, noise_levels=(1.0,), channels=channels, seed=seed)
        for _ in range(2)
    ]
    for one, again in zip(*made, strict=True):
        np.testing.assert_array_equal(one.trace, again.trace)
        assert one.trace.shape == (int(seconds * FS_HZ), channels)
        assert set(one.spikes.unit_ids) <= set(range(1, units + 1))
        assert not len(one.spikes) or one.spikes.sample[-1] < len(one.trace)
