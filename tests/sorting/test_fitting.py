from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from spikeinterface.core import NumpyRecording

from spikesorter.core.bad_stretches import BadStretches
from spikesorter.core.settings import Settings
from spikesorter.core.spikes import Spikes
from spikesorter.io.mat import read_mat
from spikesorter.signal.shifts import shifted
from spikesorter.signal.templates import Templates, plant
from spikesorter.sorting.fitting import _learn, _lessons, _with_missing_share
from spikesorter.sorting.labelled_source import _without_duplicates, read_labelled
from tests.conftest import FS_HZ, poisson_spikes


@pytest.mark.parametrize("exclude", [None, BadStretches.of([(100_000, 110_000, "given")])])
def test_bad_stretches_of_the_labels_are_cut_out_and_then_no_longer_known(
    exclude: BadStretches | None, study_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Rehearsals are made of what is left, in which all samples are good."""
    recording, labels = read_mat(study_folder / "D1.mat")
    assert labels is not None
    bad = BadStretches.of([(50_000, 75_000, "artefact")])
    source = read_labelled(recording, replace(labels, bad=bad), Settings(), exclude, n_jobs=1)
    every = bad if exclude is None else bad.joined(exclude)
    assert len(source.raw) == recording.get_num_frames() - every.samples
    good = labels.outside(every)
    assert len(source.labels) == len({*zip(good.sample.tolist(), good.unit.tolist(), strict=True)})
    assert source.labels.sample.max() < len(source.raw)
    assert len(source.labels.bad) == 0
    assert "are bad and left out" in caplog.text
    assert np.array_equal(source.labels.sample[:5], labels.sample[:5])


@pytest.mark.parametrize(("shifts", "low", "high"), [(1, 0.0, 0.02), (4, 0.06, 0.3)])
def test_how_far_spikes_start_from_their_labels_is_learnt(
    shifts: int, low: float, high: float, shapes: Templates, rng: np.random.Generator
) -> None:
    labels = poisson_spikes(rng, n_samples=250_000, count=500)
    trace = 0.3 * rng.standard_normal((250_000, 1)).astype(np.float32)
    waveforms = shifted(shapes, shifts).waveforms.reshape(2, shifts, *shapes.waveforms.shape[1:])
    for i in range(shifts):
        own = labels.select(np.arange(len(labels)) % shifts == i)
        trace += plant(
            len(trace), own, np.ones(len(own), np.float32), Templates((1, 2), waveforms[:, i], shapes.before)
        )
    recording = NumpyRecording([trace], FS_HZ)
    source = read_labelled(recording, labels, Settings(), None, n_jobs=1)
    learnt = _learn(source, source.labels)
    assert low <= learnt.context.units.start_variance <= high


@pytest.mark.slow
@pytest.mark.parametrize(
    ("missing", "believed", "told"),
    [(0.0, 0.0, ""), (0.05, 0.05, "do not count as false"), (0.4, 0.4, "do not count as false")],
)
def test_missing_labels_are_allowed_for(
    missing: float,
    believed: float,
    told: str,
    shapes: Templates,
    rng: np.random.Generator,
    caplog: pytest.LogCaptureFixture,
) -> None:
    spikes = poisson_spikes(rng, n_samples=1_500_000, count=3000)
    trace = 0.2 * rng.standard_normal((1_500_000, 1)).astype(np.float32)
    trace += plant(len(trace), spikes, np.ones(len(spikes), np.float32), shapes)
    labels = spikes.select(rng.random(len(spikes)) >= missing)
    assert share_believed(trace, labels) == pytest.approx(believed, abs=0.03)
    assert told in caplog.text
    assert bool(told) == ("of the clearest spikes have none" in caplog.text)


def test_a_neuron_that_looks_like_a_labelled_one_is_none_of_missing_labels(
    shapes: Templates, rng: np.random.Generator, caplog: pytest.LogCaptureFixture
) -> None:
    spikes = poisson_spikes(rng, n_samples=1_500_000, count=3000)
    trace = 0.2 * rng.standard_normal((1_500_000, 1)).astype(np.float32)
    other = replace(shapes, waveforms=shapes.waveforms + 0.15 * shapes.waveforms[::-1])
    is_other = rng.random(len(spikes)) < 0.3
    for own, templates in ((spikes.select(~is_other), shapes), (spikes.select(is_other), other)):
        trace += plant(len(trace), own, np.ones(len(own), np.float32), templates)
    assert share_believed(trace, spikes.select(~is_other)) == 0
    assert "another neuron looks like" in caplog.text


def share_believed(trace: np.ndarray, labels: Spikes) -> float:
    """Return the share of labels that is taken for missing when a sorter learns."""
    source = read_labelled(NumpyRecording([trace], FS_HZ), labels, Settings(), None, n_jobs=1)
    lessons = _lessons(source, _learn(source, source.labels), n_jobs=2)
    lessons = _with_missing_share(lessons, n_jobs=2)
    assert lessons.labelled is not None
    return lessons.labelled.missing_share


@pytest.mark.parametrize(
    ("samples", "told"), [([5, 5, 9], "1 label is a duplicate ("), ([5, 5, 5], "2 labels are duplicates (")]
)
def test_labels_given_again_are_told_and_used_once(
    samples: list[int], told: str, caplog: pytest.LogCaptureFixture
) -> None:
    kept = _without_duplicates(Spikes(np.array(samples), np.ones(3, int)))
    assert kept.sample.tolist() == sorted(set(samples))
    assert told in caplog.text
