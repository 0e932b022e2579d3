"""Blocks, spans and threads: whatever is asked for, in whatever parts, is what the whole gives."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.special import expit

from spikesorter.decoding.candidates import Candidates
from spikesorter.decoding.run import (
    compute_in_spans,
    find_candidates,
    find_evidence,
    in_threads,
    padded,
    read_evidence,
)
from spikesorter.signal.peaks import pick_peaks
from spikesorter.signal.spans import Margin

UNIT = 7
TRACE = np.random.default_rng(3).standard_normal((331, 2)).astype(np.float32)


@dataclass(frozen=True)
class Sums:
    """A decoder whose evidence is the sum over `margin` samples around, and over channels.

    A block leaves its number of samples in its neighbours, too: so it is seen which blocks were computed.
    """

    grid_samples: int
    margin: Margin
    overlap_samples: int = 0
    pick_reach: int = 3

    def evidence(self, trace: np.ndarray) -> np.ndarray:
        before, after, overlap = self.margin.before, self.margin.after, self.overlap_samples
        blocks, left = divmod(len(trace) - before - after, self.grid_samples)
        assert left == 0
        assert blocks > 0
        sums = np.zeros((blocks * self.grid_samples + 2 * overlap, 1), np.float32)
        for block in range(blocks):
            start = block * self.grid_samples
            for place in range(self.grid_samples):
                around = trace[start + place : start + place + before + 1 + after]
                sums[start + overlap + place] += around.sum(dtype=np.float64)
            for place in (
                *range(overlap),
                *range(overlap + self.grid_samples, 2 * overlap + self.grid_samples),
            ):
                sums[start + place] += 1 / 64
        return sums

    def pick(self, evidence: np.ndarray) -> Candidates:
        reach = self.pick_reach
        peaks = pick_peaks(evidence[:, 0], threshold=0.0, distance_samples=reach)
        likely, ones = expit(evidence[peaks, 0]), np.ones(len(peaks), np.float32)
        found = Candidates(peaks, np.full(len(peaks), UNIT), likely.astype(np.float32), ones)
        return found.inside(reach, len(evidence) - reach)


DECODERS = [
    Sums(1, Margin(0, 0)),
    Sums(16, Margin(5, 9)),
    Sums(32, Margin(20, 0), overlap_samples=8),
    Sums(64, Margin(3, 3), overlap_samples=40, pick_reach=7),
]


def whole(decoder: Sums) -> np.ndarray:
    return find_evidence(decoder, TRACE, n_jobs=1)  # type: ignore[arg-type]


@pytest.mark.parametrize("decoder", DECODERS)
def test_evidence_is_that_of_the_samples_around(decoder: Sums) -> None:
    if decoder.overlap_samples:
        decoder = Sums(decoder.grid_samples, decoder.margin)
    read, margin = padded(TRACE), decoder.margin
    expected = [
        read(k - margin.before, k + 1 + margin.after).sum(dtype=np.float64) for k in range(len(TRACE))
    ]
    found = whole(decoder)
    assert found.shape == (len(TRACE), 1)
    np.testing.assert_allclose(found[:, 0], expected, rtol=1e-5, atol=1e-5)


@settings(max_examples=30)
@given(st.sampled_from(DECODERS), st.integers(-100, 400), st.integers(0, 300))
def test_any_part_is_that_of_the_whole(decoder: Sums, start: int, length: int) -> None:
    assume(start <= len(TRACE) and start + length >= 0)
    part = read_evidence(decoder, padded(TRACE), len(TRACE), start, start + length)  # type: ignore[arg-type]
    around = np.pad(whole(decoder), ((500, 800), (0, 0)))
    assert part.tobytes() == around[500 + start : 500 + start + length].tobytes()


@settings(max_examples=30)
@given(st.sampled_from(DECODERS), st.lists(st.integers(0, len(TRACE)), max_size=5))
def test_candidates_of_any_parts_are_those_of_the_whole(decoder: Sums, cuts: list[int]) -> None:
    read = padded(TRACE)
    edges = [0, *sorted(cuts), len(TRACE)]
    parts = [
        find_candidates(decoder, read, len(TRACE), start, stop).shifted(0).sample  # type: ignore[arg-type]
        for start, stop in pairwise(edges)
    ]
    every = find_candidates(decoder, read, len(TRACE), 0, len(TRACE)).sample  # type: ignore[arg-type]
    assert len(every) > 10
    assert np.concatenate(parts).tolist() == every.tolist()


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("n_jobs", [1, 3])
def test_spans_and_threads_change_no_byte(
    decoder: Sums, n_jobs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = whole(decoder).tobytes()
    for span_samples in (1, 50, 330, 331, 5000):
        monkeypatch.setattr("spikesorter.decoding.run.SPAN_SAMPLES", span_samples)
        found = compute_in_spans(decoder, decoder.evidence, TRACE, n_jobs=n_jobs)  # type: ignore[arg-type]
        assert found.tobytes() == expected


def test_the_results_of_threads_come_in_order_whichever_ends_first() -> None:
    def work(number: int) -> int:
        time.sleep(0.002 * (5 - number))
        return number * number

    assert list(in_threads(work, list(range(5)), n_jobs=5)) == [0, 1, 4, 9, 16]


@pytest.mark.parametrize(("n_jobs", "items"), [(1, 4), (4, 1)])
def test_one_thread_or_one_item_stays_in_this_thread(n_jobs: int, items: int) -> None:
    used = set(in_threads(lambda _: threading.get_ident(), list(range(items)), n_jobs=n_jobs))
    assert used == {threading.get_ident()}


def test_several_threads_work_at_once() -> None:
    meeting = threading.Barrier(3, timeout=60)
    assert sorted(in_threads(lambda _: meeting.wait(), [0, 1, 2], n_jobs=3)) == [0, 1, 2]


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_an_error_ends_the_work(n_jobs: int) -> None:
    done: list[int] = []

    def work(number: int) -> int:
        if number == 1:
            raise ValueError("number 1")
        time.sleep(0.01)
        done.append(number)
        return number

    with pytest.raises(ValueError, match="number 1"):
        list(in_threads(work, list(range(200)), n_jobs=n_jobs))
    assert len(done) < 20  # what had been begun, and no more
