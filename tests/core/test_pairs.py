from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spikesorter.core.bad_stretches import BadStretches
from spikesorter.core.errors import InputError
from spikesorter.core.pairs import common_rate, numbered_alike, pairs_within
from spikesorter.core.spikes import Spikes

samples = st.lists(st.integers(0, 500), max_size=40)


def at(fs_hz: float | None) -> Spikes:
    return Spikes([1], [1], fs_hz=fs_hz)


@given(samples, samples, st.integers(0, 60))
def test_pairs_within_finds_what_trying_all_pairs_finds(a: list[int], b: list[int], reach: int) -> None:
    first, second = np.sort(np.array(a, np.int64)), np.sort(np.array(b, np.int64))
    i, j = pairs_within(first, second, reach)
    expected = [
        (p, q) for p in range(len(a)) for q in range(len(b)) if abs(int(first[p]) - int(second[q])) <= reach
    ]
    assert list(zip(i.tolist(), j.tolist(), strict=True)) == expected


@pytest.mark.parametrize(
    ("truth", "found", "given_hz", "rate"),
    [
        (None, None, None, None),
        (30_000.0, None, None, 30_000.0),
        (None, 30_000.0, None, 30_000.0),
        (30_000.0, 30_000.0, 30_000.0, 30_000.0),
        (None, None, 24_000.0, 24_000.0),
        (24_414.0625, 24_414.06, None, 24_414.0625),  # as rounded in a file
    ],
)
def test_a_rate_is_taken_from_whatever_says_it(
    truth: float | None, found: float | None, given_hz: float | None, rate: float | None
) -> None:
    assert common_rate(at(truth), at(found), given_hz) == rate


@pytest.mark.parametrize(
    ("truth", "found", "given_hz"),
    [(25_000.0, 30_000.0, None), (30_000.0, 30_000.0, 25_000.0), (None, 30_000.0, 25_000.0)],
)
def test_rates_that_differ_are_refused(
    truth: float | None, found: float | None, given_hz: float | None
) -> None:
    with pytest.raises(InputError, match=r"different sampling rates \(25000 and 30000 Hz\)"):
        common_rate(at(truth), at(found), given_hz)


def test_units_without_names_keep_their_numbers() -> None:
    a, b = Spikes([1, 2], [3, 5]), Spikes([1], [5])
    assert numbered_alike(a, b) == (a, b)


def test_outlier_spikes_stay_unit_0() -> None:
    a = Spikes([1, 2], [0, 4], [0.5, 1], names={4: "x"})
    b = Spikes([1, 2], [1, 2], names={1: "w", 2: "x"})
    first, second = numbered_alike(a, b)
    assert (first.unit.tolist(), second.unit.tolist()) == ([0, 2], [1, 2])
    assert first.probability.tolist() == [0.5, 1]
    assert first.names == second.names == {1: "w", 2: "x"}


def test_bad_stretches_survive_new_numbers() -> None:
    bad = BadStretches.of([(1, 2, "dead")])
    a = Spikes([100], [1], names={1: "granule"}, bad=bad)
    one, other = numbered_alike(a, Spikes([300], [5], names={5: "basket"}))
    assert (one.bad, len(other.bad)) == (bad, 0)
