from __future__ import annotations

import numpy as np
import pytest

from spikesorter.core.spikes import Spikes
from spikesorter.estimation.profile import conditioning_kernel
from spikesorter.report.metrics import (
    measure_correlogram,
    measure_intervals,
    measure_shapes,
    read_conditioned,
)
from spikesorter.report.results import Result
from spikesorter.signal.filters import fir_filter

FS_HZ = 25_000.0


def test_a_stretch_is_conditioned_as_the_whole_is(results: list[Result]) -> None:
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


def test_neurons_without_spikes_have_no_shape(results: list[Result]) -> None:
    result = results[0]
    one = result.sorter.units.known[0]
    assert [s.unit for s in measure_shapes(result.sorter, result.recording, result.spikes.of(one))] == [one]
    assert measure_shapes(result.sorter, result.recording, Spikes.empty()) == []


def test_intervals_are_counted_in_their_bins() -> None:
    spikes = Spikes.from_arrays(np.arange(10) * 250, np.ones(10))
    histogram = measure_intervals(spikes, fs_hz=FS_HZ, most_ms=20, bins=10)
    assert histogram.counts[histogram.edges_ms[:-1] == 10].tolist() == [9]
    assert histogram.counts.sum() == 9


def test_who_fires_later_lies_to_the_right_and_the_mirror_image_to_the_left(
    rng: np.random.Generator,
) -> None:
    leader = Spikes.from_arrays(np.sort(rng.integers(0, 10**7, 200)), np.ones(200))
    follower = leader.shifted(125)
    there = measure_correlogram(leader, follower, fs_hz=FS_HZ)
    back = measure_correlogram(follower, leader, fs_hz=FS_HZ)
    middles = (there.edges_ms[1:] + there.edges_ms[:-1]) / 2
    assert middles[there.counts.argmax()] == pytest.approx(5, abs=0.5)
    assert np.array_equal(there.counts, back.counts[::-1])


def test_a_spike_is_no_neighbour_of_itself() -> None:
    spikes = Spikes.from_arrays([100, 100_000], [1, 1])
    assert measure_correlogram(spikes, spikes, fs_hz=FS_HZ).counts.sum() == 0
