"""What is kept of a training: the place that shows most, with the decoder's margin, and sums over parts."""

from __future__ import annotations

import numpy as np

from spikesorter.core.spikes import Spikes
from spikesorter.decoding.nets.learning import LearningCurve
from spikesorter.decoding.training_record import Excerpt, Trained, cut_excerpt, record_of
from spikesorter.estimation.rehearsal import Rehearsal
from spikesorter.signal.spans import Margin

FS_HZ = 25_000.0
SAMPLES = 1000  # 40 ms


def rehearsal(spikes: Spikes, n_samples: int = 20_000) -> Rehearsal:
    trace = np.arange(n_samples, dtype=np.float32)[:, None]
    return Rehearsal(trace, trace, spikes, n_samples)


def test_the_excerpt_has_spikes_of_most_units() -> None:
    many = np.arange(2000, 2900, 100)
    spikes = Spikes.from_arrays([*many, 15_000, 15_100], [1] * len(many) + [1, 2])
    excerpt = cut_excerpt(rehearsal(spikes), Margin(30, 50), fs_hz=FS_HZ)
    assert excerpt.trace.shape == (30 + SAMPLES + 50, 1)
    assert excerpt.spikes.unit_ids == (1, 2)
    first = excerpt.trace[30, 0]
    assert (first + excerpt.spikes.sample).tolist() == [15_000, 15_100]


def test_beyond_the_ends_the_first_and_last_samples_are_repeated() -> None:
    excerpt = cut_excerpt(rehearsal(Spikes.from_arrays([10], [1]), 1200), Margin(30, 300), fs_hz=FS_HZ)
    np.testing.assert_array_equal(excerpt.trace[:31, 0], 0)
    np.testing.assert_array_equal(excerpt.trace[-100:, 0], 1199)
    short = cut_excerpt(rehearsal(Spikes.from_arrays([10], [1]), 300), Margin(5, 5), fs_hz=FS_HZ)
    assert short.trace.shape == (310, 1)


def test_confusions_of_parts_are_added_and_curves_averaged() -> None:
    excerpt = Excerpt(np.zeros((5, 1), np.float32), Spikes.empty())
    one = Trained((curve(0.5),), np.array([[3, 1], [0, 4]]))
    other = Trained((curve(0.25),), np.array([[1, 0], [2, 2]]))
    record = record_of([one, other], excerpt)
    assert record.confusion.tolist() == [[4, 1], [2, 6]]
    assert record.curves[0].loss.tolist() == [[0.375, 0.375]]
    assert record.parts == 2
    nothing = record_of([one, Trained((), np.zeros((0, 0), np.int64))], excerpt)
    assert nothing.confusion.tolist() == one.confusion.tolist()


def curve(loss: float) -> LearningCurve:
    values = np.full((1, 2), loss, np.float32)
    return LearningCurve("detector", np.array([0]), 10.0, values, values)
