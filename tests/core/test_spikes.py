from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from spikeinterface.core import NumpySorting

from spikesorter.core.errors import InputError
from spikesorter.core.spike import MOST_SAMPLES, Spike, check_rate
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


@pytest.mark.parametrize(
    ("place", "samples"),
    [
        (slice(1, 3), [5, 9]),
        (slice(None, None, 2), [1, 9]),
        (slice(0, 0), []),
        ([True, False, False, True], [1, 12]),
        ([0, 2], [1, 9]),
        (np.array([-1]), [12]),
        (np.zeros(0, int), []),
    ],
)
def test_slices_masks_and_positions_select_spikes(place: Any, samples: list[int]) -> None:
    chosen = SOME[place]
    assert chosen.sample.tolist() == samples
    assert (chosen.fs_hz, chosen.names) == (SOME.fs_hz, SOME.names)


def test_a_position_gives_one_spike_in_plain_numbers() -> None:
    assert SOME[0] == Spike(sample=1, unit=1, probability=0.5, unit_probability=1.0)
    assert SOME[np.int64(-1)] == (12, 0, 1.0, 1.0)
    assert [type(value) for value in SOME[0]] == [int, int, float, float]
    with pytest.raises(IndexError):
        SOME[4]


def test_spikes_can_be_gone_through_one_by_one() -> None:
    assert list(SOME) == [SOME[k] for k in range(len(SOME))]
    assert [spike.sample for spike in SOME if spike.unit == 1] == [1, 9]
    assert list(Spikes.empty()) == []


@pytest.mark.parametrize("place", ["sample", 1.5, None, [0.5], [[0]], ("sample", 1)])
def test_what_selects_nothing_says_what_does(place: Any) -> None:
    with pytest.raises(InputError, match=r"a slice, a mask or positions select spikes; spikes\.of\(unit\)"):
        SOME[place]


def test_positions_out_of_order_are_refused() -> None:
    with pytest.raises(InputError, match="must be in order"):
        SOME[[2, 0]]


def test_a_table_has_names_and_times() -> None:
    table = SOME.to_dataframe()
    assert list(table) == ["sample", "time_s", "unit", "name", "probability", "unit_probability"]
    assert table.time_s.tolist() == pytest.approx([0.001, 0.005, 0.009, 0.012])
    assert table.name.tolist() == ["a", "b", "a", "0"]
    assert table.probability.tolist() == [0.5, 1, 1, 1]
    assert "time_s" not in Spikes([1], [1]).to_dataframe()
    assert Spikes.empty().to_dataframe().empty


def test_a_repr_is_short_and_has_names() -> None:
    assert repr(SOME) == "Spikes(4 spikes of 3 units; 0: 1, a: 2, b: 1; 1000 Hz)"
    assert repr(Spikes([1], [7])) == "Spikes(1 spike of 1 unit; 7: 1)"
    assert repr(Spikes.empty()) == "Spikes(0 spikes of 0 units)"
    assert repr(Spikes(range(9), range(9))) == (
        "Spikes(9 spikes of 9 units; 0: 1, 1: 1, 2: 1, 3: 1, 4: 1, 5: 1, ...)"
    )


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


def test_units_keep_numbers_that_are_larger_than_0() -> None:
    sorting = NumpySorting.from_unit_dict([{4: np.array([7]), 2: np.array([9])}], 30_000.0)
    spikes = Spikes.from_spikeinterface(sorting)
    assert spikes == Spikes.from_arrays([7, 9], [4, 2])
    assert spikes.to_spikeinterface().unit_ids.tolist() == [2, 4]
    zero = NumpySorting.from_unit_dict([{0: np.array([7]), 2: np.array([9])}], 30_000.0)
    assert Spikes.from_spikeinterface(zero).unit_ids == (1, 2)  # 0 is for outlier spikes
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
    with pytest.raises(InputError, match="two units have one name: x, x"):
        Spikes.from_arrays([], [], names={1: "x", 2: "x"})
    two = NumpySorting.from_unit_dict([{1: np.array([7])}, {1: np.array([9])}], 30_000.0)
    with pytest.raises(InputError, match="2 segments"):
        Spikes.from_spikeinterface(two)


def test_no_spikes_are_a_sorting_too() -> None:
    assert len(Spikes.empty().to_spikeinterface(25_000).unit_ids) == 0


def test_whole_numbers_may_be_floats_and_no_larger_than_any_recording() -> None:
    assert Spikes.from_arrays([1.0, 2.0], [1.0, 2.0]) == Spikes.from_arrays([1, 2], [1, 2])
    for wrong in (1.5, np.nan, np.inf):
        with pytest.raises(InputError, match="must hold whole numbers"):
            Spikes.from_arrays([wrong], [1])
    assert Spikes.from_arrays([MOST_SAMPLES - 1], [1]).sample.tolist() == [MOST_SAMPLES - 1]
    for beyond in (MOST_SAMPLES, -MOST_SAMPLES):
        with pytest.raises(InputError, match="beyond any recording's length"):
            Spikes.from_arrays([beyond], [1])


def test_spikes_are_compared_with_spikes_alone() -> None:
    spikes = Spikes.from_arrays([1, 5], [1, 2])
    assert (spikes == [1, 5]) is False
    assert (spikes != "spikes") is True
    assert spikes == Spikes.from_arrays([1, 5], [1, 2], fs_hz=30_000.0, names={1: "a"})
    assert spikes != Spikes.from_arrays([1, 5], [1, 2], [1, 0.5])


@pytest.mark.parametrize("fs_hz", [100.0, 24_414.0625, 1e7])
def test_rates_from_100_hz_to_10_mhz_are_taken(fs_hz: float) -> None:
    assert check_rate(fs_hz) == fs_hz


@pytest.mark.parametrize("fs_hz", [99.999, 10_000_000.5, 0.0, -25_000.0, float("inf"), float("nan")])
def test_other_rates_are_refused(fs_hz: float) -> None:
    with pytest.raises(InputError, match=r"sampled at .* Hz \(fs_hz\); expected 100 Hz to 10 MHz"):
        check_rate(fs_hz)
