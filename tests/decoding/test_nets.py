"""The networks learn what is planted, run the same in pieces, and depend on nothing but their seed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from spikesorter.core.errors import SettingsError
from spikesorter.core.spikes import Spikes
from spikesorter.decoding.nets.classifier import (
    ClassifierArchitecture,
    classifier_batches,
    cut_waveforms,
    unit_probabilities,
)
from spikesorter.decoding.nets.detector import (
    DetectorArchitecture,
    detection_curve,
    detector_batches,
    widened_labels,
)
from spikesorter.decoding.nets.training import initial_weights, run_network, train
from spikesorter.signal.peaks import pick_peaks
from spikesorter.signal.templates import Templates, plant
from tests.conftest import poisson_spikes

DETECTOR = DetectorArchitecture(inputs=1, filters=8, kernel_samples=5, dilations=(1, 2, 4))
CLASSIFIER = ClassifierArchitecture(
    inputs=2, before=10, after=30, classes=2, filters=8, kernel_samples=5, layers=2, unit_variance=False
)


@pytest.fixture(scope="module")
def planted(shapes: Templates) -> tuple[np.ndarray, Spikes]:
    rng = np.random.default_rng(1)
    spikes = poisson_spikes(rng, n_samples=40_000, count=300)
    trace = plant(40_000, spikes, np.ones(300, np.float32), shapes)
    return (trace + 0.4 * rng.standard_normal(trace.shape)).astype(np.float32), spikes


def test_labels_are_widened_around_each_start() -> None:
    labels = widened_labels(Spikes.from_arrays([3, 9], [1, 1]), 10, label_samples=3)
    assert np.flatnonzero(labels).tolist() == [2, 3, 4, 8, 9]


def test_training_windows_hold_the_labels_of_their_middle(planted: tuple[np.ndarray, Spikes]) -> None:
    features = np.arange(1000, dtype=np.float32)[:, None]
    windows, labels = next(
        detector_batches(
            features,
            features,
            window_samples=120,
            margin=DETECTOR.margin,
            batch_windows=50,
            rng=np.random.default_rng(0),
        )
    )
    before = DETECTOR.margin.before
    assert windows.shape == (50, 120 + 2 * before, 1)
    np.testing.assert_array_equal(windows[:, before : before + 120], labels)


def test_the_output_has_the_inputs_length_and_depends_on_the_margin_alone(rng: np.random.Generator) -> None:
    weights = initial_weights(DETECTOR, seed=0)
    x = rng.standard_normal((1, 200, 1)).astype(np.float32)
    changed = x.copy()
    changed[0, 100] += 10
    plain, other = (run_network(DETECTOR, weights, inputs)[0, :, 0] for inputs in (x, changed))
    assert plain.shape == (200,)
    touched = np.flatnonzero(np.abs(plain - other) > 1e-6)
    assert (touched[0], touched[-1]) == (100 - DETECTOR.margin.after, 100 + DETECTOR.margin.before)


def test_tiles_give_what_one_run_gives(rng: np.random.Generator) -> None:
    weights, margin = initial_weights(DETECTOR, seed=0), DETECTOR.margin
    features = rng.standard_normal((900, 1)).astype(np.float32)
    whole = detection_curve(DETECTOR, weights, features)
    assert len(whole) == 900 - margin.before - margin.after
    tiles = [detection_curve(DETECTOR, weights, features[i : i + 300]) for i in (0, 100, 600)]
    for first, tile in zip((0, 100, 600), tiles, strict=True):
        np.testing.assert_allclose(tile, whole[first : first + len(tile)], atol=1e-6)


def test_a_delay_moves_the_curve_by_as_much(planted: tuple[np.ndarray, Spikes]) -> None:
    weights = initial_weights(DETECTOR, seed=0)
    features = planted[0][:3000]
    delayed = np.concatenate([np.zeros((7, 1), np.float32), features])
    plain = detection_curve(DETECTOR, weights, features)
    np.testing.assert_allclose(detection_curve(DETECTOR, weights, delayed)[7:], plain, atol=1e-6)


@pytest.mark.slow
def test_the_detector_learns_to_find_planted_spikes(planted: tuple[np.ndarray, Spikes]) -> None:
    features, spikes = planted
    batches = detector_batches(
        features,
        widened_labels(spikes, len(features), label_samples=3)[:, None],
        window_samples=120,
        margin=DETECTOR.margin,
        batch_windows=32,
        rng=np.random.default_rng(0),
    )
    weights = initial_weights(DETECTOR, seed=0)
    trained = train(DETECTOR, weights, batches, steps=200, learning_rate=5e-3)
    margin = (DETECTOR.margin.before, DETECTOR.margin.after)
    curve = detection_curve(DETECTOR, trained, np.pad(features, (margin, (0, 0))))[:, 0]
    peaks = pick_peaks(curve, threshold=0.3, distance_samples=2)
    near = np.abs(spikes.sample[:, None] - peaks).min(axis=1) <= 3
    assert near.mean() > 0.9
    assert len(peaks) < 1.1 * len(spikes)


@pytest.mark.slow
def test_the_classifier_learns_shapes_and_tells_sizes_apart(shapes: Templates) -> None:
    """Two classes that differ in nothing but size: what unit variance throws away."""
    rng = np.random.default_rng(2)
    twins = replace(shapes, waveforms=np.stack([shapes.waveforms[0], 0.6 * shapes.waveforms[0]]))
    spikes = poisson_spikes(rng, n_samples=60_000, count=400)
    trace = plant(60_000, spikes, np.ones(400, np.float32), twins)
    features = (trace + 0.2 * rng.standard_normal(trace.shape)).astype(np.float32)
    alone = np.diff(spikes.sample, prepend=0) > 40
    right = {}
    for unit_variance in (False, True):
        architecture = replace(CLASSIFIER, unit_variance=unit_variance)
        batches = classifier_batches(
            features,
            spikes.sample,
            spikes.unit - 1,
            architecture,
            jitter_samples=2,
            batch_waveforms=64,
            rng=np.random.default_rng(0),
        )
        weights = initial_weights(architecture, seed=0)
        trained = train(architecture, weights, batches, steps=60, learning_rate=1e-2)
        probabilities = unit_probabilities(architecture, trained, features, spikes.sample)
        np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
        right[unit_variance] = np.mean((probabilities.argmax(axis=1) == spikes.unit - 1)[alone])
    assert right[False] > 0.95
    assert right[True] < right[False]


def test_waveforms_are_cut_around_the_start_and_zero_beyond_the_ends() -> None:
    features = np.arange(1.0, 101.0, dtype=np.float32)[:, None]
    waveforms = cut_waveforms(features, np.array([0, 50, 99]), CLASSIFIER)
    assert waveforms.shape == (3, 40, 2)
    assert waveforms[1, :, 0].tolist() == list(range(41, 81))
    assert waveforms[0, :10, 0].tolist() == [0] * 10
    assert waveforms[2, 11:, 0].tolist() == [0] * 29
    assert waveforms[:, 10, 1].tolist() == [1, 1, 1]


def test_no_spikes_have_no_classes() -> None:
    weights = initial_weights(CLASSIFIER, seed=0)
    none = unit_probabilities(CLASSIFIER, weights, np.zeros((100, 1), np.float32), np.zeros(0, np.int64))
    assert none.shape == (0, 2)


def test_the_same_seed_trains_the_same_weights(planted: tuple[np.ndarray, Spikes]) -> None:
    def trained() -> tuple[np.ndarray, ...]:
        features, spikes = planted
        batches = classifier_batches(
            features,
            spikes.sample,
            spikes.unit - 1,
            CLASSIFIER,
            jitter_samples=2,
            batch_waveforms=16,
            rng=np.random.default_rng(0),
        )
        return train(CLASSIFIER, initial_weights(CLASSIFIER, seed=4), batches, steps=5, learning_rate=1e-2)

    first, second = trained(), trained()
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
    other = initial_weights(CLASSIFIER, seed=5)
    assert not all(
        np.array_equal(a, b) for a, b in zip(initial_weights(CLASSIFIER, seed=4), other, strict=True)
    )


def test_training_reports_its_steps_and_leaves_its_input_alone() -> None:
    weights = initial_weights(CLASSIFIER, seed=0)
    before = [w.copy() for w in weights]
    batch = (np.ones((4, 40, 2), np.float32), np.array([0, 1, 0, 1]))
    steps: list[int] = []
    train(CLASSIFIER, weights, [batch] * 3, steps=3, learning_rate=1e-2, on_step=steps.append)
    assert steps == [1, 2, 3]
    assert all(np.array_equal(a, b) for a, b in zip(before, weights, strict=True))


def test_weights_of_another_size_are_refused() -> None:
    with pytest.raises(SettingsError, match="another shape"):
        run_network(DETECTOR, initial_weights(CLASSIFIER, seed=0), np.zeros((1, 50, 1), np.float32))
