from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from spikesorter.core.bad_stretches import BadStretches
from spikesorter.core.spikes import Spikes
from spikesorter.estimation.profile import conditioning_kernel
from spikesorter.report.metrics import (
    measure_correlograms,
    measure_intervals,
    measure_shapes,
    read_conditioned,
)
from spikesorter.report.results import Result
from spikesorter.signal.filters import fir_filter

FS_HZ = 25_000.0


def test_a_part_is_conditioned_as_the_whole_is(results: list[Result]) -> None:
    sorter, recording = results[0].sorter, results[0].recording
    whole = fir_filter(
        sorter.trace_reader(recording)(0, recording.get_num_frames()),
        conditioning_kernel(sorter.settings.conditioning, sorter.fs_hz),
    )
    for start, stop in ((2000, 2500), (70_000, 71_234)):
        assert np.allclose(read_conditioned(sorter, recording, start, stop), whole[start:stop], atol=1e-4)


def test_shapes_found_are_those_that_were_labelled(results: list[Result]) -> None:
    result = results[0]
    shapes = measure_shapes(result.sorter, result.recording, result.spikes)
    assert [shape.unit for shape in shapes] == list(result.sorter.units.known)
    for shape in shapes:
        peak = np.abs(shape.expected).max()
        assert np.abs(shape.mean - shape.expected).max() < 0.25 * peak
        assert np.median(shape.amplitude) == pytest.approx(1, abs=0.1)
        assert len(shape.sample) == len(shape.amplitude) <= 400
        assert np.abs(shape.expected[: shape.before]).max() < np.abs(shape.expected[shape.before :]).max()


def test_units_without_spikes_have_no_shape(results: list[Result]) -> None:
    result = results[0]
    one = result.sorter.units.known[0]
    assert [s.unit for s in measure_shapes(result.sorter, result.recording, result.spikes.of(one))] == [one]
    assert measure_shapes(result.sorter, result.recording, Spikes.empty()) == []


def brute_force(spikes: Spikes, edges: np.ndarray) -> np.ndarray:
    """All lags between all pairs of spikes, in whole samples, counted one by one."""
    unit_ids = list(spikes.unit_ids)
    counts = np.zeros((len(unit_ids), len(unit_ids), len(edges) - 1), np.int64)
    for a, (one, i) in enumerate(zip(spikes.sample, spikes.unit, strict=True)):
        for b, (other, j) in enumerate(zip(spikes.sample, spikes.unit, strict=True)):
            if a != b and edges[0] <= other - one < edges[-1]:
                place = np.searchsorted(edges, other - one, "right") - 1
                counts[unit_ids.index(i), unit_ids.index(j), place] += 1
    return counts


@pytest.mark.parametrize(("fs_hz", "bin_samples"), [(25_000.0, 25), (24_414.0625, 24), (300.0, 1)])
def test_correlograms_are_counts_of_all_pairs(
    rng: np.random.Generator, fs_hz: float, bin_samples: int
) -> None:
    spikes = Spikes.from_arrays(rng.integers(0, int(fs_hz), 300), rng.integers(0, 4, 300))
    found = measure_correlograms(spikes, fs_hz=fs_hz)
    edges = np.round(found.edges_ms * fs_hz / 1000).astype(int)
    assert found.unit_ids == (1, 2, 3)
    assert set(np.diff(edges)) == {bin_samples}
    assert edges[0] == -edges[-1]
    assert 0 in edges
    assert edges[-1] > 0.98 * 0.05 * fs_hz - bin_samples
    assert np.array_equal(found.counts, brute_force(spikes.select(spikes.unit > 0), edges))


def test_planted_lags_fall_into_their_bins() -> None:
    leader = np.arange(1, 5) * 100_000
    lags = [-1250, -25, 0, 24, 25, 1250]  # samples: -50, -1, 0, 0.96, 1 and 50 ms
    follower = (leader[:, None] + lags).ravel()
    spikes = Spikes.from_arrays([*leader, *follower], [1] * 4 + [2] * len(follower))
    found = measure_correlograms(spikes, fs_hz=FS_HZ)
    at = {float(edge): int(count) for edge, count in zip(found.edges_ms, found.counts[0, 1], strict=False)}
    assert {edge: count for edge, count in at.items() if count} == {-50: 4, -1: 4, 0: 8, 1: 4}
    assert found.counts[0, 0].sum() == 0  # a spike is no neighbour of itself


def test_intervals_are_those_of_each_unit(rng: np.random.Generator) -> None:
    spikes = Spikes.from_arrays(rng.integers(0, 250_000, 500), rng.integers(0, 3, 500))
    found = measure_intervals(spikes, fs_hz=FS_HZ)
    assert found.unit_ids == (1, 2)
    assert found.edges_ms.tolist() == [2.0 * k for k in range(51)]
    for unit, counts in zip(found.unit_ids, found.counts, strict=True):
        gaps = np.diff(spikes.of(unit).sample)
        assert counts.tolist() == np.histogram(gaps, np.arange(51) * 50)[0].tolist()


def test_intervals_at_a_low_rate_have_bins_of_one_sample() -> None:
    found = measure_intervals(Spikes.from_arrays([0, 3, 7], [1, 1, 1]), fs_hz=120.0)
    assert np.diff(found.edges_ms) == pytest.approx(1000 / 120)
    assert found.counts[0, 3:5].tolist() == [1, 1]


def test_no_spikes_have_no_histograms() -> None:
    assert measure_intervals(Spikes.empty(), fs_hz=FS_HZ).counts.shape == (0, 50)
    assert measure_correlograms(Spikes.empty(), fs_hz=FS_HZ).counts.shape == (0, 0, 100)


def test_known_bad_stretches_are_not_looked_for_again(
    results: list[Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    result = results[0]
    found = [result.sorter.trace_reader(result.recording)(0, 5000)]
    monkeypatch.setattr("spikesorter.sorting.screening.find_bad_stretches", None)
    none, some = BadStretches(), BadStretches.of([(1000, 2000, "artefact")])
    found += [result.sorter.trace_reader(result.recording, bad=bad)(0, 5000) for bad in (none, some)]
    assert np.array_equal(found[0], found[1])
    assert np.abs(found[2][1200:1800]).max() < 0.01 * np.abs(found[1][1200:1800]).max()
    shown = read_conditioned(result.sorter, result.recording, 1300, 1700, bad=some)
    assert np.abs(shown).max() < 0.1 * np.abs(found[1]).max()
    evidence = result.sorter.evidence(result.recording, start=1200, stop=1800, bad=some)
    assert evidence.max() < 0.1
    assert measure_shapes(result.sorter, result.recording, replace(result.spikes, bad=some))
