"""Each part of a recording is decoded by its decoder, whatever spans it is read in."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spikesorter.decoding.candidates import Candidates
from spikesorter.decoding.in_parts import InParts
from spikesorter.decoding.run import find_candidates, find_evidence, padded, pieces_of, read_evidence
from spikesorter.decoding.tuning import pick_all
from spikesorter.signal.spans import Margin
from tests.decoding.test_run import TRACE, Sums

FIRST, SECOND, WHOLE = (Sums(16, Margin(before, 9)) for before in (1, 5, 3))
STOPS = (150, 250, 331)
PARTED: Any = InParts(WHOLE, (FIRST, SECOND, FIRST), STOPS)  # type: ignore[arg-type]
READ = padded(TRACE)
N = len(TRACE)


def of(decoder: Any, start: int, stop: int) -> Candidates:
    return find_candidates(decoder, READ, N, start, stop)


def same(one: Candidates, other: Candidates) -> bool:
    return np.array_equal(one.sample, other.sample) and np.array_equal(one.probability, other.probability)


def test_a_span_in_one_part_is_decoded_by_that_parts_decoder() -> None:
    assert same(of(PARTED, 10, 140), of(FIRST, 10, 140))
    assert same(of(PARTED, 150, 250), of(SECOND, 150, 250))
    assert not same(of(PARTED, 150, 250), of(FIRST, 150, 250))


@given(st.integers(0, N - 1), st.integers(1, N))
def test_spans_of_any_length_give_what_the_whole_gives(start: int, length: int) -> None:
    stop = min(start + length, N)
    assert same(of(PARTED, start, stop), of(PARTED, 0, N).inside(start, stop).shifted(start))


def test_the_pieces_of_a_span_are_its_parts_and_the_last_goes_on() -> None:
    assert PARTED.pieces(100, 400) == [(FIRST, 100, 150), (SECOND, 150, 250), (FIRST, 250, 400)]
    assert PARTED.pieces(150, 200) == [(SECOND, 150, 200)]
    assert PARTED.pieces(340, 400) == [(FIRST, 340, 400)]
    assert pieces_of(FIRST, 3, 9) == [(FIRST, 3, 9)]  # type: ignore[arg-type]


def test_evidence_is_that_of_each_part() -> None:
    evidence = read_evidence(PARTED, READ, N, 140, 260)
    expected = [read_evidence(one, READ, N, a, b) for one, a, b in PARTED.pieces(140, 260)]
    np.testing.assert_array_equal(evidence, np.concatenate(expected))


def test_a_rehearsal_is_divided_into_parts_of_equal_length() -> None:
    assert PARTED.over(301).stops == (100, 200, 301)
    evidence = find_evidence(PARTED, TRACE, n_jobs=2)
    np.testing.assert_array_equal(evidence, read_evidence(PARTED.over(N), READ, N, 0, N))
    picked = pick_all(PARTED, evidence)
    for decoder, first, last in PARTED.over(N).pieces(0, N):
        inside = of(decoder, first, last).shifted(first)
        own = picked.inside(first, last).shifted(first)
        middle = slice(4, -4)  # at the edges, candidates of the two parts are compared
        assert set(inside.sample[middle]) <= set(own.sample)


@pytest.mark.parametrize("name", ["grid_samples", "margin", "overlap_samples", "pick_reach"])
def test_everything_else_is_that_of_the_decoder_for_the_whole(name: str) -> None:
    assert getattr(PARTED, name) == getattr(WHOLE, name)
    evidence = WHOLE.evidence(READ(-3, 160 + 9))
    np.testing.assert_array_equal(PARTED.evidence(READ(-3, 160 + 9)), evidence)
    assert same(PARTED.pick(evidence), WHOLE.pick(evidence))
