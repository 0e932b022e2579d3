from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from spikesorter.core.errors import InputError
from spikesorter.core.spike_arrays import MOST_SAMPLES
from spikesorter.core.spikes import Spikes


def test_from_arrays_sorts_spikes_with_their_units_and_probabilities() -> None:
    spikes = Spikes.from_arrays([30, 10, 10], [1, 3, 2], [0.1, 0.2, 0.3])
    assert spikes.sample.tolist() == [10, 10, 30]
    assert spikes.unit.tolist() == [2, 3, 1]
    assert spikes.probability.tolist() == pytest.approx([0.3, 0.2, 0.1])


@pytest.mark.parametrize(
    ("sample", "unit", "probability", "message"),
    [
        ([1, 2], [1], None, "one length, not 2, 1, 2 and 2"),
        ([-1], [1], None, "0 or more, found -1"),
        ([1], [-1], None, "0 or more, found -1"),
        ([1], [1], [1.5], "between 0 and 1"),
        ([1], [1], [float("nan")], "between 0 and 1"),
        ([[1]], [[1]], None, "one dimension, not 2"),
    ],
)
def test_wrong_arrays_are_refused(sample: list, unit: list, probability: list | None, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Spikes.from_arrays(sample, unit, probability)


def test_plain_lists_make_spikes_if_they_are_in_order() -> None:
    assert Spikes([1, 2], [1, 1]) == Spikes.from_arrays([2, 1], [1, 1])
    with pytest.raises(InputError, match="from_arrays sorts them"):
        Spikes([3, 1], [1, 1])


@pytest.mark.parametrize("make", [Spikes, Spikes.from_arrays])
def test_a_probability_that_is_not_given_is_1_and_one_number_holds_for_all(make: Any) -> None:
    assert (
        make([1, 2], [1, 1]).probability.tolist() == make([1, 2], [1, 1]).unit_probability.tolist() == [1, 1]
    )
    spikes = make([1, 2], [1, 1], 0.5, [0.25, 1.0])
    assert (spikes.probability.tolist(), spikes.unit_probability.tolist()) == ([0.5, 0.5], [0.25, 1.0])
    assert spikes.probability.dtype == np.float32


def test_spikes_cannot_be_changed_and_do_not_share_the_arrays_they_came_from() -> None:
    samples = np.array([1, 2])
    spikes = Spikes.from_arrays(samples, [1, 1])
    samples[0] = 2
    assert spikes.sample.tolist() == [1, 2]
    with pytest.raises(ValueError, match="read-only"):
        spikes.sample[0] = 5


SOME = Spikes([1, 5, 9, 12], [1, 2, 1, 0], [0.5, 1, 1, 1], fs_hz=1000.0, names={1: "a", 2: "b"})


@pytest.mark.parametrize("place", ["sample", 1.5, None, [0.5], [[0]], ("sample", 1)])
def test_what_selects_nothing_says_what_does(place: Any) -> None:
    with pytest.raises(InputError, match=r"a slice, a mask or positions select spikes; spikes\.of\(unit\)"):
        SOME[place]


def test_whole_numbers_may_be_floats_and_no_larger_than_any_recording() -> None:
    assert Spikes.from_arrays([1.0, 2.0], [1.0, 2.0]) == Spikes.from_arrays([1, 2], [1, 2])
    for wrong in (1.5, np.nan, np.inf):
        with pytest.raises(InputError, match="must hold whole numbers"):
            Spikes.from_arrays([wrong], [1])
    assert Spikes.from_arrays([MOST_SAMPLES - 1], [1]).sample.tolist() == [MOST_SAMPLES - 1]
    for beyond in (MOST_SAMPLES, -MOST_SAMPLES):
        with pytest.raises(InputError, match="beyond any recording's length"):
            Spikes.from_arrays([beyond], [1])
