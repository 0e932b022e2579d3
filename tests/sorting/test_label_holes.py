"""Parts of a labelled recording that nobody labelled are not learnt from; silence is."""

from __future__ import annotations

import numpy as np
import pytest
from spikeinterface.core import NumpyRecording

from spikesorter.core.bad_stretches import BadStretches
from spikesorter.core.settings import Settings
from spikesorter.core.spikes import Spikes
from spikesorter.signal.templates import Templates, plant
from spikesorter.sorting.fitting import _learn, _without_holes
from spikesorter.sorting.label_holes import long_gaps
from spikesorter.sorting.labelled_source import LabelledSource, read_labelled
from tests.conftest import FS_HZ, poisson_spikes

N = 750_000  # half a minute
HOLES = [(0, 150_000), (300_000, 425_000), (700_000, N)]


def some_spikes(rng: np.random.Generator) -> Spikes:
    drawn = poisson_spikes(rng, n_samples=N, count=1500)
    return drawn.select(np.diff(drawn.sample, prepend=-1) > 0)  # none twice


def trace_of(spikes: Spikes, shapes: Templates, rng: np.random.Generator) -> np.ndarray:
    trace = 0.3 * rng.standard_normal((N, 1)).astype(np.float32)
    return np.asarray(trace + plant(N, spikes, np.ones(len(spikes), np.float32), shapes))


def outside(spikes: Spikes, holes: list[tuple[int, int]]) -> Spikes:
    return spikes.outside(BadStretches.of([(start, stop, "given") for start, stop in holes]))


def learnt_from(trace: np.ndarray, labels: Spikes, exclude: BadStretches | None = None) -> LabelledSource:
    source = read_labelled(NumpyRecording([trace], FS_HZ), labels, Settings(), exclude, n_jobs=1)
    return _without_holes(source, _learn(source, source.labels), n_jobs=1)[0]


@pytest.mark.parametrize("holes", [HOLES[:1], HOLES[1:2], HOLES])
def test_where_nobody_labelled_is_left_out(
    holes: list[tuple[int, int]],
    shapes: Templates,
    rng: np.random.Generator,
    caplog: pytest.LogCaptureFixture,
) -> None:
    spikes = some_spikes(rng)
    trace, labels = trace_of(spikes, shapes, rng), outside(spikes, holes)
    left = learnt_from(trace, labels)
    seconds = sum(stop - start for start, stop in holes) / FS_HZ
    assert (N - len(left.trace)) / FS_HZ == pytest.approx(seconds, abs=0.1 * len(holes))
    assert len(left.labels) == len(labels)
    for one in left.labels.select(np.arange(len(left.labels)) % 100 == 0):  # each is where its spike is
        there = labels.of(one.unit).sample[np.searchsorted(left.labels.of(one.unit).sample, one.sample)]
        np.testing.assert_allclose(
            left.raw[one.sample : one.sample + 20], trace[there : there + 20], rtol=1e-6
        )
    assert f"labels: none {'in 3 stretches, the first ' if len(holes) > 1 else ''}from" in caplog.text


def test_the_times_told_are_those_of_the_recording(
    shapes: Templates, rng: np.random.Generator, caplog: pytest.LogCaptureFixture
) -> None:
    spikes = some_spikes(rng)
    labels = outside(spikes, HOLES[1:2])
    exclude = BadStretches.of([(50_000, 100_000, "given")])
    learnt_from(trace_of(spikes, shapes, rng), labels, exclude)
    around = labels.sample[np.searchsorted(labels.sample, 350_000) + np.array([-1, 0])] / FS_HZ
    assert f"from {around[0] + 0.01:.1f} to {around[1] - 0.01:.1f} s" in caplog.text


def test_where_units_are_silent_is_learnt_from(
    shapes: Templates, rng: np.random.Generator, caplog: pytest.LogCaptureFixture
) -> None:
    spikes = outside(some_spikes(rng), HOLES)
    assert len(long_gaps(spikes.sample, N)) == 3
    assert len(learnt_from(trace_of(spikes, shapes, rng), spikes).trace) == N
    assert "labels: none" not in caplog.text


@pytest.mark.parametrize(("labels_end", "left_samples"), [(N, N), (N // 2, N // 2)])
def test_another_neuron_that_fires_on_makes_no_hole(
    labels_end: int, left_samples: int, shapes: Templates, rng: np.random.Generator
) -> None:
    """Unit 1 is silent for most of the time, and unit 2, which nobody labelled, is taken for it."""
    other = poisson_spikes(rng, n_samples=N, count=150, unit_ids=(2,))
    own = poisson_spikes(rng, n_samples=N, count=600, unit_ids=(1,))
    if labels_end == N:
        own = own.within(0, N // 8)
    similar = Templates((1, 2), shapes.waveforms[[0, 0]] * np.float32([[[1]], [[0.9]]]), shapes.before)
    trace = trace_of(Spikes.concatenate([own, other]), similar, rng)
    left = learnt_from(trace, own.within(0, labels_end))
    assert len(left.trace) == pytest.approx(left_samples, abs=N // 50)


def test_bursts_make_no_gaps(rng: np.random.Generator) -> None:
    """Their median interval is far shorter than their mean one."""
    starts = np.cumsum(rng.exponential(25_000, 200)).astype(np.int64)
    bursts = np.sort((starts[:, None] + 100 * np.arange(6)).ravel())
    assert len(long_gaps(bursts, int(bursts[-1]) + 1000)) == 0


def test_few_labels_make_no_gaps() -> None:
    assert len(long_gaps(np.array([500]), N)) == 0
    assert len(long_gaps(np.array([500, 600_000]), N)) == 0


@pytest.mark.parametrize("edge", [0, N - 1])
def test_a_label_at_the_edge_of_the_recording_is_kept(
    edge: int, shapes: Templates, rng: np.random.Generator
) -> None:
    """A hole beside it begins after the label, or ends before it."""
    holes = [(0, 150_000), (600_000, N)]
    drawn, at_edge = some_spikes(rng), Spikes.from_arrays([edge], [1])
    trace = trace_of(drawn, shapes, rng)
    labels = Spikes.concatenate([outside(drawn, holes), at_edge])
    left = learnt_from(trace, labels)
    assert len(left.labels) == len(labels)
    assert left.labels.sample.min() >= 0
    assert len(left.trace) == pytest.approx(450_000, abs=5_000)
    whole, same = left.labels.sample[[0, -1]], labels.sample[[0, -1]]
    assert whole[0] == same[0] if edge == 0 else len(left.trace) - whole[1] == N - same[1]
