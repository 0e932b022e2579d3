from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spikesorter.core.bad_stretches import KINDS, BadStretches
from spikesorter.core.errors import InputError
from spikesorter.core.spikes import Spikes

SOME = BadStretches.of([(100, 200, "dead"), (500, 650, "artefact"), (900, 1000, "missing")])
STRETCHES = st.lists(
    st.tuples(st.integers(0, 60), st.integers(1, 9), st.sampled_from(KINDS)).map(
        lambda given_: (given_[0], given_[0] + given_[1], given_[2])
    ),
    max_size=8,
)


def flags(stretches: list[tuple[int, int, str]], n_samples: int) -> np.ndarray:
    bad = np.zeros(n_samples, bool)
    for start, stop, _ in stretches:
        bad[start:stop] = True
    return bad


@given(STRETCHES)
def test_stretches_in_any_order_cover_the_same_samples_and_stand_apart(
    stretches: list[tuple[int, int, str]],
) -> None:
    bad, expected = BadStretches.of(stretches), flags(stretches, 80)
    assert np.array_equal(bad.contain(np.arange(80)), expected)
    assert bad.samples == expected.sum() == sum(bad.samples_by_kind.values())
    assert (bad.start[1:] > bad.stop[:-1]).all()


@given(STRETCHES, st.integers(0, 12))
def test_samples_before_a_stretch_are_those_with_a_start_soon_after(
    stretches: list[tuple[int, int, str]], within: int
) -> None:
    bad = BadStretches.of(stretches)
    expected = [any(0 < start - at < within for start in bad.start) for at in range(80)]
    assert bad.follow(np.arange(80), within).tolist() == expected


@given(STRETCHES, STRETCHES)
def test_two_sets_joined_cover_what_either_does(
    one: list[tuple[int, int, str]], other: list[tuple[int, int, str]]
) -> None:
    joined = BadStretches.of(one).joined(BadStretches.of(other))
    assert joined == BadStretches.of(one + other)


@given(STRETCHES)
def test_samples_move_as_the_stretches_are_cut_out(stretches: list[tuple[int, int, str]]) -> None:
    bad, trace = BadStretches.of(stretches), np.arange(80)[:, None]
    good = np.flatnonzero(~flags(stretches, 80))
    short = bad.without(trace)[:, 0]
    assert np.array_equal(short, good)
    assert np.array_equal(bad.moved(good), np.arange(len(good)))


def test_stretches_that_touch_become_one_of_the_first_kind() -> None:
    bad = BadStretches.of([(0, 10, "artefact"), (10, 20, "dead"), (21, 30, "artefact")])
    assert list(bad) == [(0, 20, "dead"), (21, 30, "artefact")]


@pytest.mark.parametrize(
    ("stretches", "words"),
    [
        ([(5, 5, "dead")], "from sample 5 to 5 is nothing"),
        ([(5, 4, "dead")], "from sample 5 to 4 is nothing"),
        ([(-5, 4, "dead")], "sample 0 or later"),
        ([(1, 4, "tired")], "'tired' is none of given, missing, dead, saturated, artefact"),
    ],
)
def test_stretches_that_cannot_be_are_refused(stretches: list[tuple[int, int, str]], words: str) -> None:
    with pytest.raises(InputError, match=words):
        BadStretches.of(stretches)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (([1], [3, 4], [0]), "of one length"),
        (([1, 5], [3, 5], [0, 0]), "stop after its start"),
        (([1, 3], [3, 5], [0, 0]), "in order and apart"),
        (([1], [3], [5]), "a kind is none of"),
        (([1], [3], [-1]), "a kind is none of"),
        (([1.5], [3], [0]), "start"),
    ],
)
def test_arrays_that_are_no_stretches_are_refused(fields: tuple[list[int], ...], words: str) -> None:
    with pytest.raises(InputError, match=words):
        BadStretches(*map(np.array, fields))


def test_a_part_holds_the_parts_of_stretches_in_it() -> None:
    assert list(SOME.within(150, 600)) == [(150, 200, "dead"), (500, 600, "artefact")]
    assert len(SOME.within(200, 500)) == 0


def test_stretches_at_another_rate_hold_every_sample_they_held() -> None:
    assert list(SOME.at_rate(1.2)) == [(120, 240, "dead"), (600, 780, "artefact"), (1080, 1200, "missing")]
    assert list(BadStretches.of([(3, 4, "dead")]).at_rate(1 / 3)) == [(1, 2, "dead")]


def test_spikes_outside_stretches_are_kept_and_stretches_stay_with_them() -> None:
    spikes = Spikes([99, 100, 199, 200], [1, 2, 1, 2], bad=SOME)
    assert spikes.outside(SOME).sample.tolist() == [99, 200]
    assert spikes.outside(SOME, seen_samples=1).sample.tolist() == [99, 200]
    assert spikes.outside(SOME, seen_samples=2).sample.tolist() == [200]
    assert spikes.outside(SOME).of(2).bad is SOME
    assert spikes.outside(BadStretches()) is spikes


def test_a_repr_says_how_much_is_bad() -> None:
    assert repr(SOME) == "BadStretches(3; samples: missing 100, dead 100, artefact 150)"
    assert repr(BadStretches()) == "BadStretches(none)"
    assert SOME != 3


def test_whole_stretches_are_chosen_by_a_span() -> None:
    assert list(SOME.overlapping(199, 500)) == [(100, 200, "dead")]
    assert list(SOME.overlapping(200, 501)) == [(500, 650, "artefact")]
    assert SOME.seconds_by_kind(100.0) == {"missing": 1.0, "dead": 1.0, "artefact": 1.5}


def test_spikes_keep_them_when_they_are_made_and_joined() -> None:
    one = Spikes.from_arrays([5], [1], bad=BadStretches.of([(10, 20, "dead")]))
    other = Spikes.from_arrays([3], [2], bad=BadStretches.of([(15, 30, "given")]))
    assert list(Spikes.concatenate([one, other]).bad) == [(10, 30, "given")]
    assert one.shifted(0).described(fs_hz=100.0, names={}).of(1).bad is one.bad
