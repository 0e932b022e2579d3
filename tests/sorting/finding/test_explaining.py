from __future__ import annotations

import numpy as np
import pytest

from spikesorter.decoding.candidates import pick_candidates
from spikesorter.sorting.finding.explaining import (
    LEAST_PROBABILITY,
    PICKING_SAMPLES,
    largest_by_themselves,
)

LARGE, SMALL = 20.0, 4.0  # d' of units 1 and 2


def joint(expected: dict[tuple[int, int], float]) -> dict[tuple[int, int], float]:
    """Return the probability of each picked spike, by sample and unit, given what is expected there."""
    curves = np.zeros((200, 2), np.float32)
    for (sample, unit), value in expected.items():
        curves[sample, unit - 1] = value
    picked = pick_candidates(curves, (1, 2), smoothing_samples=PICKING_SAMPLES, least=LEAST_PROBABILITY)
    spikes = largest_by_themselves(picked, curves, (1, 2), np.array([LARGE, SMALL]))
    places = zip(spikes.sample.tolist(), spikes.unit.tolist(), strict=True)
    return dict(zip(places, spikes.joint.tolist(), strict=True))


def test_a_small_spike_upon_a_large_one_does_not_make_the_large_one_doubtful() -> None:
    assert joint({(50, 1): 1.0, (51, 2): 1.0}) == pytest.approx({(50, 1): 1.0, (51, 2): 0.5})


def test_a_spike_that_may_be_of_either_unit_is_as_doubtful_as_before() -> None:
    assert joint({(50, 1): 0.4, (50, 2): 0.6}) == pytest.approx({(50, 1): 0.4, (50, 2): 0.6})


def test_a_spike_by_itself_is_as_probable_as_expected_also_at_the_ends() -> None:
    alone = {(0, 2): 0.7, (100, 1): 0.9, (199, 2): 0.3}
    assert joint(alone) == pytest.approx(alone)


def test_no_spike_is_more_than_certain() -> None:
    found = joint({(50, 1): 1.0, (52, 1): 0.6, (51, 2): 0.9})
    assert max(found.values()) <= 1
