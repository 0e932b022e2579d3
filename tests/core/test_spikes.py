from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
import pytest

from spikesorter.core.bad_stretches import BadStretches
from spikesorter.core.errors import InputError
from spikesorter.core.spike import Spike
from spikesorter.core.spike_arrays import FIELDS
from spikesorter.core.spikes import Spikes

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


def test_positions_out_of_order_are_refused() -> None:
    with pytest.raises(InputError, match="must be in order"):
        SOME[[2, 0]]


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


def test_spikes_are_compared_with_spikes_alone() -> None:
    spikes = Spikes.from_arrays([1, 5], [1, 2])
    assert (spikes == [1, 5]) is False
    assert (spikes != "spikes") is True
    assert spikes == Spikes.from_arrays([1, 5], [1, 2], fs_hz=30_000.0, names={1: "a"})
    assert spikes != Spikes.from_arrays([1, 5], [1, 2], [1, 0.5])


def test_what_is_known_of_spikes_stays_with_every_part_of_them() -> None:
    bad = BadStretches.of([(10, 20, "dead")])
    about: dict[str, Any] = {"fs_hz": 25_000.0, "names": {1: "basket"}, "bad": bad, "doubts": ("it fades",)}
    spikes = Spikes([100, 200, 300], [1, 2, 1], **about)
    parts = [
        spikes.select(np.array([True, False, True])),
        spikes.select([0, 2]),  # type: ignore[arg-type]
        spikes.of(1),
        spikes.within(50, 250),
        spikes.outside(bad),
        spikes.shifted(5),
        spikes[1:],
        Spikes.concatenate([spikes, spikes.shifted(900)]),
    ]
    kept = {field.name for field in fields(Spikes)} - set(FIELDS)
    assert kept == set(about)
    for part in parts:
        assert {name: getattr(part, name) for name in kept} == about
        assert not part.sample.flags.writeable
    assert spikes.of(1).unit_ids == (1,)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"names": {"1": "basket"}}, "'1' is no number of a unit"),
        ({"names": {1: 5}}, "name of unit 1 must be a text"),
        ({"names": {1: " "}}, "name of unit 1 must be a text"),
        ({"fs_hz": 0}, "100 Hz to 10 MHz"),
        ({"fs_hz": float("nan")}, "100 Hz to 10 MHz"),
        ({"fs_hz": "25000"}, "must be a number of Hz"),
    ],
)
def test_what_would_be_ignored_or_fail_later_is_refused_at_once(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Spikes([1, 5], [1, 1], **given)


def test_masked_values_are_not_taken_for_spikes() -> None:
    masked = np.ma.masked_array([1, 5, 9], mask=[False, True, False])
    with pytest.raises(InputError, match="masked values"):
        Spikes.from_arrays(masked, [1, 1, 1])
    assert len(Spikes(masked.compressed(), [1, 1])) == 2
    assert len(Spikes(np.ma.masked_array([1, 5]), [1, 1])) == 2


def test_a_unit_is_chosen_by_its_name_too() -> None:
    assert SOME.of("b").sample.tolist() == [5]
    assert SOME.of("0").sample.tolist() == [12]
    assert SOME.of(7).sample.tolist() == []
    with pytest.raises(InputError, match="no unit is named c; there are 0, a, b"):
        SOME.of("c")
