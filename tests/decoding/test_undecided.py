"""What a labeller's dead time may have hidden is left out; everything else stays, in its order."""

from __future__ import annotations

import numpy as np
import pytest

from spikesorter.core.spikes import Spikes
from spikesorter.decoding.candidates import Candidates
from spikesorter.decoding.undecided import after_hiding, decided, hiding_events

FS_HZ = 25_000.0
NEAR = 10  # samples, 0.4 ms
N = 1_000_000
RISE = 5  # samples from the start of a spike to its largest


def spaced(rng: np.random.Generator, *, dead: int, count: int = 4000, units: int = 3) -> Spikes:
    """Labels by a detector that finds nothing for `dead` samples after each."""
    samples = np.cumsum(dead + rng.exponential(N / count - dead, count).astype(np.int64))
    return Spikes.from_arrays(samples, rng.integers(1, units + 1, count))


def candidates(*found: tuple[int, int, float]) -> Candidates:
    samples, units, probability = zip(*found, strict=True)
    return Candidates.from_arrays(samples, units, probability, [1.0] * len(found))


@pytest.mark.parametrize("dead", [0, 3, NEAR])
def test_without_a_dead_time_all_candidates_stay(dead: int) -> None:
    found = candidates((100, 1, 0.9), (105, 2, 0.9))
    assert len(decided(found, Spikes.from_arrays([100], [1]), dead, fs_hz=FS_HZ)) == len(found)


@pytest.mark.parametrize(
    ("found", "stays"),
    [
        ((120, 2, 0.9), False),  # after a label
        ((120, 2, 0.1), False),
        ((100 + NEAR, 2, 0.9), True),  # of the same event
        ((100 + NEAR + 1, 2, 0.9), False),
        ((139, 2, 0.9), False),
        ((141, 2, 0.9), True),
        ((80, 2, 0.9), True),  # before it
        ((520, 1, 0.9), False),  # of the unit that fired before
        ((120, 7, 0.9), False),  # unlabelled units are hidden alike
    ],
)
def test_what_a_label_may_hide_is_left_out(found: tuple[int, int, float], *, stays: bool) -> None:
    labels = Spikes.from_arrays([100, 500], [1, 1])
    assert len(decided(candidates(found), labels, 40, fs_hz=FS_HZ)) == stays


@pytest.mark.parametrize(("unit", "distance", "stays"), [(2, 0, True), (2, NEAR, True), (2, -NEAR, True),
                                                         (2, NEAR + 1, False), (2, -NEAR - 1, False),
                                                         (1, 0, False), (7, 0, False)])  # fmt: skip
def test_only_a_near_label_of_its_own_unit_confirms_a_candidate(
    unit: int, distance: int, *, stays: bool
) -> None:
    labels = Spikes.from_arrays([100, 125], [1, 2])
    found = candidates((125 + distance, unit, 0.9))
    assert len(decided(found, labels, 60, fs_hz=FS_HZ)) == stays


@pytest.mark.parametrize(("probability", "stays"), [(0.6, False), (0.4, True)])
def test_likely_spikes_of_unlabelled_units_have_a_dead_time_too(probability: float, *, stays: bool) -> None:
    found = candidates((300, 9, probability), (320, 1, 0.3))
    kept = decided(found, Spikes.from_arrays([5000], [1]), 40, fs_hz=FS_HZ)
    assert kept.sample.tolist() == ([300, 320] if stays else [300])


def test_a_likely_unit_counts_not_a_likely_spike_of_any() -> None:
    found = Candidates.from_arrays([300, 320], [9, 1], [0.9, 0.9], [0.5, 0.5])
    assert len(decided(found, Spikes.from_arrays([5000], [1]), 40, fs_hz=FS_HZ)) == 2


def test_the_time_that_counts_as_near_follows_the_sampling_rate() -> None:
    found, labels = candidates((115, 2, 0.9)), Spikes.from_arrays([100], [1])
    assert len(decided(found, labels, 80, fs_hz=FS_HZ)) == 0
    assert len(decided(found, labels, 80, fs_hz=2 * FS_HZ)) == 1


@pytest.mark.parametrize("seed", range(4))
def test_each_candidate_is_judged_as_one_by_one(seed: int) -> None:
    rng, dead = np.random.default_rng(seed), 33
    labels = Spikes.from_arrays(rng.integers(0, 10_000, 80), rng.integers(1, 3, 80))
    found = Candidates.from_arrays(
        rng.integers(0, 10_000, 300), rng.integers(1, 4, 300), rng.random(300), rng.random(300)
    )
    events = [*labels.sample.tolist(), *found.sample[found.joint >= 0.5].tolist()]
    kept = decided(found, labels, dead, fs_hz=FS_HZ)
    chosen = set(zip(kept.sample.tolist(), kept.unit.tolist(), strict=True))
    for sample, unit in zip(found.sample.tolist(), found.unit.tolist(), strict=True):
        since = [sample - event for event in events if NEAR < sample - event <= dead]
        if since and min(since) == dead:
            continue  # at the very end of a dead time
        own = unit < 3 and bool((np.abs(labels.of(unit).sample - sample) <= NEAR).any())
        assert ((sample, unit) in chosen) == (own or not since), (sample, unit)
    assert np.all(np.diff(kept.sample) >= 0)
    assert 0 < len(kept) < len(found)


def test_nothing_found_or_nothing_labelled_is_no_error() -> None:
    none = candidates((5, 1, 0.9)).select(np.zeros(1, bool))
    assert len(decided(none, Spikes.from_arrays([100], [1]), 40, fs_hz=FS_HZ)) == 0
    unlikely = candidates((5, 1, 0.1), (30, 1, 0.1))
    assert len(decided(unlikely, Spikes.from_arrays([], []), 40, fs_hz=FS_HZ)) == 2


def test_the_least_interval_seen_with_a_label_is_decided() -> None:
    labels = Spikes.from_arrays([1000], [1])
    found = candidates((1029, 2, 0.9), (1030, 2, 0.9))
    assert decided(found, labels, 30, fs_hz=FS_HZ).sample.tolist() == [1030]


@pytest.mark.parametrize("dead", [30, 60])
@pytest.mark.parametrize("sign", [-1, 1])
def test_large_events_without_a_label_hid_spikes_by_the_dead_time(
    dead: int, sign: int, rng: np.random.Generator
) -> None:
    events = np.sort(rng.choice(np.arange(100, N - 100, 4), 8000, replace=False))
    size = rng.choice([1.0, 8.0, 10.0], len(events))  # too small for the detector, unlabelled, labelled
    size[rng.random(len(size)) < 0.3] = 1.0
    seen, last = np.zeros(len(events), bool), -N
    for i in np.flatnonzero(size > 1):
        if events[i] - last >= dead:
            seen[i], last = True, events[i]
    trace = rng.normal(size=(N, 2)).astype(np.float32)
    trace[events + RISE, 1] += (sign * 5 * size).astype(np.float32)
    labels = Spikes.from_arrays(events[seen & (size == 10)], 1 + np.arange((seen & (size == 10)).sum()) % 2)
    found = hiding_events(trace, labels, dead, fs_hz=FS_HZ)
    expected = events[(size > 1) & ~np.isin(events, labels.sample)]
    assert np.mean(np.isin(found, expected)) > 0.95
    assert np.mean(np.isin(events[seen & (size == 8)], found)) > 0.9
    hidden = events[~seen & (size == 10)]
    after_labels = after_hiding(hidden, labels.sample, dead, fs_hz=FS_HZ)
    near = np.diff(events, prepend=-N)[np.searchsorted(events, hidden)] <= NEAR
    told = after_hiding(hidden, found, dead, fs_hz=FS_HZ)
    assert np.mean(told[~after_labels & ~near]) > 0.9


def test_events_without_a_label_that_hide_nothing_are_not_told(rng: np.random.Generator) -> None:
    events = np.sort(rng.choice(np.arange(100, N - 100, 20), 8000, replace=False))
    trace = rng.normal(size=(N, 1)).astype(np.float32)
    trace[events, 0] -= 50
    labels = Spikes.from_arrays(events[::2], 1 + np.arange(4000) % 2)
    assert len(hiding_events(trace, labels, 60, fs_hz=FS_HZ)) == 0


def test_without_a_dead_time_or_labels_nothing_is_hidden(rng: np.random.Generator) -> None:
    trace = rng.normal(size=(N, 1)).astype(np.float32)
    assert len(hiding_events(trace, spaced(rng, dead=60), 0, fs_hz=FS_HZ)) == 0
    assert len(hiding_events(trace, Spikes.from_arrays([], []), 60, fs_hz=FS_HZ)) == 0
    assert not after_hiding(np.array([5]), np.zeros(0, np.int64), 60, fs_hz=FS_HZ).any()
