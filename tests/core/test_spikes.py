from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from spikeinterface.core import NumpySorting

from spikesorter.core.errors import InputError
from spikesorter.core.pairs import pairs_within
from spikesorter.core.spikes import Spikes

samples = st.lists(st.integers(0, 500), max_size=40)


def test_from_arrays_sorts_spikes_with_their_labels_and_probabilities() -> None:
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


def test_a_sorting_of_another_tool_goes_in_and_out() -> None:
    units = {"b": np.array([7, 30]), "a": np.array([9]), "silent": np.array([], np.int64)}
    sorting = NumpySorting.from_unit_dict([units], 30_000.0)
    spikes = Spikes.from_spikeinterface(sorting)
    assert spikes == Spikes.from_arrays([7, 9, 30], [1, 2, 1])
    assert spikes.fs_hz == 30_000
    assert spikes.names == {1: "b", 2: "a", 3: "silent"}
    back = spikes.select(spikes.unit == 1).shifted(2).to_spikeinterface()
    assert back.unit_ids.tolist() == ["b", "a", "silent"]
    assert back.get_unit_spike_train("b").tolist() == [9, 32]
    assert len(back.get_unit_spike_train("silent")) == 0


def test_units_keep_numbers_that_can_be_labels() -> None:
    sorting = NumpySorting.from_unit_dict([{4: np.array([7]), 2: np.array([9])}], 30_000.0)
    spikes = Spikes.from_spikeinterface(sorting)
    assert spikes == Spikes.from_arrays([7, 9], [4, 2])
    assert spikes.to_spikeinterface().unit_ids.tolist() == [2, 4]
    zero = NumpySorting.from_unit_dict([{0: np.array([7]), 2: np.array([9])}], 30_000.0)
    assert Spikes.from_spikeinterface(zero).unit_ids == (1, 2)  # 0 is the label of spikes of no known neuron
    assert Spikes.from_spikeinterface(zero).to_spikeinterface().unit_ids.tolist() == ["0", "2"]


def test_each_spikes_probability_is_a_property_of_its_unit() -> None:
    spikes = Spikes.from_arrays(
        [5, 9, 20, 30], [1, 2, 1, 0], [0.5, 0.6, 0.9, 0.5], [1, 0.5, 1, 1], names={3: "3"}
    )
    sorting = spikes.to_spikeinterface(25_000)
    assert sorting.unit_ids.tolist() == [1, 2, 3]
    first, second, third = sorting.get_property("probability")
    np.testing.assert_array_equal(first, np.float32([0.5, 0.9]))
    np.testing.assert_array_equal(second, np.float32([0.6]))
    assert len(third) == 0
    np.testing.assert_allclose(sorting.get_property("mean_probability"), [0.7, 0.3, np.nan], rtol=1e-6)


def test_what_other_tools_need_to_know_is_asked_for() -> None:
    with pytest.raises(InputError, match="sampling rate is not known; give fs_hz"):
        Spikes.empty().to_spikeinterface()
    with pytest.raises(InputError, match="two neurons have one name: x, x"):
        Spikes.from_arrays([], [], names={1: "x", 2: "x"})
    two = NumpySorting.from_unit_dict([{1: np.array([7])}, {1: np.array([9])}], 30_000.0)
    with pytest.raises(InputError, match="2 segments"):
        Spikes.from_spikeinterface(two)


def test_no_spikes_are_a_sorting_too() -> None:
    assert len(Spikes.empty().to_spikeinterface(25_000).unit_ids) == 0
