from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spikesorter.errors import InputError
from spikesorter.spikes import Spikes, pairs_within

samples = st.lists(st.integers(0, 500), max_size=40)


def test_from_arrays_sorts_spikes_with_their_labels_and_probabilities() -> None:
    spikes = Spikes.from_arrays([30, 10, 10], [1, 3, 2], [0.1, 0.2, 0.3])
    assert spikes.sample.tolist() == [10, 10, 30]
    assert spikes.label.tolist() == [2, 3, 1]
    assert spikes.probability.tolist() == pytest.approx([0.3, 0.2, 0.1])


@pytest.mark.parametrize(
    ("sample", "label", "probability", "message"),
    [
        ([1, 2], [1], None, "one length, not 2, 1, 2 and 2"),
        ([-1], [1], None, "0 or more, found -1"),
        ([1], [-1], None, "0 or more, found -1"),
        ([1], [1], [1.5], "between 0 and 1"),
        ([1], [1], [float("nan")], "between 0 and 1"),
        ([[1]], [[1]], None, "one dimension, not 2"),
    ],
)
def test_wrong_arrays_are_refused(sample: list, label: list, probability: list | None, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Spikes.from_arrays(sample, label, probability)


def test_unsorted_samples_are_refused_by_the_plain_constructor() -> None:
    with pytest.raises(InputError, match="from_arrays sorts them"):
        Spikes(np.array([3, 1]), np.array([1, 1]), np.ones(2, np.float32), np.ones(2, np.float32))


def test_spikes_cannot_be_changed_and_do_not_share_the_arrays_they_came_from() -> None:
    samples = np.array([1, 2])
    spikes = Spikes.from_arrays(samples, [1, 1])
    samples[0] = 2
    assert spikes.sample.tolist() == [1, 2]
    with pytest.raises(ValueError, match="read-only"):
        spikes.sample[0] = 5


def test_selections() -> None:
    spikes = Spikes.from_arrays([1, 5, 9], [1, 2, 1])
    assert spikes.of(1).sample.tolist() == [1, 9]
    assert spikes.within(1, 9).sample.tolist() == [1, 5]
    assert spikes.shifted(10).sample.tolist() == [11, 15, 19]
    assert spikes.counts() == {1: 2, 2: 1}
    assert Spikes.concatenate([spikes.of(2), spikes.of(1)]) == spikes
    assert Spikes.concatenate([]) == Spikes.empty()
    assert len(Spikes.empty()) == 0
    assert spikes != spikes.shifted(1)
    assert repr(spikes) == "Spikes(3 spikes; {1: 2, 2: 1})"


@given(samples, samples, st.integers(0, 60))
def test_pairs_within_finds_what_trying_all_pairs_finds(a: list[int], b: list[int], reach: int) -> None:
    first, second = np.sort(np.array(a, np.int64)), np.sort(np.array(b, np.int64))
    i, j = pairs_within(first, second, reach)
    expected = [
        (p, q) for p in range(len(a)) for q in range(len(b)) if abs(int(first[p]) - int(second[q])) <= reach
    ]
    assert list(zip(i.tolist(), j.tolist(), strict=True)) == expected
