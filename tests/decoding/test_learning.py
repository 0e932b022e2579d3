"""Watching a network learn changes nothing, and shows what it learns."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from spikesorter.core.sections import ClassifierSettings, DetectorSettings
from spikesorter.core.spikes import Spikes
from spikesorter.decoding.nets.classifier import ClassifierArchitecture
from spikesorter.decoding.nets.detector import DetectorArchitecture
from spikesorter.decoding.nets.learning import LearningCurve, joined_curves, watched_steps
from spikesorter.decoding.networks import HeldOut, Networks, new_networks, train_networks
from spikesorter.decoding.training_record import Trained
from spikesorter.signal.templates import Templates, plant
from tests.conftest import poisson_spikes

DETECTOR = DetectorSettings(filters=6, dilations=(1, 2), learning_rate=1e-2, batch_windows=8, curves="spike")
CLASSIFIER = ClassifierSettings(filters=6, layers=1, learning_rate=1e-2, batch_waveforms=16)


def planted(shapes: Templates, rng: np.random.Generator, *, noise_sd: float) -> tuple[np.ndarray, Spikes]:
    spikes = poisson_spikes(rng, n_samples=20_000, count=150)
    trace = plant(20_000, spikes, np.ones(150, np.float32), shapes)
    return (trace + noise_sd * rng.standard_normal(trace.shape)).astype(np.float32), spikes


def trained(features: np.ndarray, spikes: Spikes, held_out: HeldOut | None) -> tuple[Networks, Trained]:
    return train_networks(
        new_networks(1, (1, 2), DETECTOR, CLASSIFIER, seed=0),
        features,
        spikes,
        DETECTOR,
        CLASSIFIER,
        detector_steps=60,
        classifier_steps=60,
        rng=np.random.default_rng(1),
        on_progress=lambda share: None,
        held_out=held_out,
    )


@pytest.mark.slow
def test_networks_are_the_same_whether_they_are_watched_or_not(
    shapes: Templates, rng: np.random.Generator
) -> None:
    features, spikes = planted(shapes, rng, noise_sd=0.4)
    others = HeldOut(*planted(shapes, rng, noise_sd=4.0), np.random.default_rng(2))
    alone, nothing = trained(features, spikes, None)
    watched, seen = trained(features, spikes, others)
    for one, other in zip(
        (*alone.detector_weights, *alone.classifier_weights),
        (*watched.detector_weights, *watched.classifier_weights),
        strict=True,
    ):
        np.testing.assert_array_equal(one, other)
    assert (nothing.curves, nothing.confusion.size) == ((), 0)
    assert [curve.network for curve in seen.curves] == ["detector", "classifier"]
    for curve in seen.curves:
        assert curve.step.tolist() == [0, 30, 60]
        assert curve.loss[-1, 0] < curve.loss[0, 0]
        assert curve.loss[-1, 1] > curve.loss[-1, 0]  # what is held out here is noisier
        assert curve.accuracy[-1, 0] > max(curve.accuracy[0, 0], curve.accuracy[-1, 1])
    assert seen.confusion.sum(axis=1).min() > 0
    assert seen.confusion.sum() == 8 * CLASSIFIER.batch_waveforms
    named = seen.confusion.trace() / seen.confusion.sum()
    assert named == pytest.approx(seen.curves[1].accuracy[-1, 1])


@pytest.mark.slow
def test_an_epoch_is_as_much_as_there_is_to_train_on(shapes: Templates, rng: np.random.Generator) -> None:
    features, spikes = planted(shapes, rng, noise_sd=0.4)
    _, seen = trained(features, spikes, HeldOut(features, spikes, np.random.default_rng(2)))
    detector, classifier = seen.curves
    assert detector.epoch[-1] == pytest.approx(60 * 8 * DETECTOR.window_samples / 20_000)
    assert classifier.epoch[-1] == pytest.approx(60 * 16 / 150)


@pytest.mark.slow
def test_what_is_too_short_or_has_no_spikes_is_not_judged_on(
    shapes: Templates, rng: np.random.Generator
) -> None:
    features, spikes = planted(shapes, rng, noise_sd=0.4)
    short = HeldOut(features[:100], spikes.within(0, 100), np.random.default_rng(2))
    silent = HeldOut(features, Spikes.empty(), np.random.default_rng(2))
    assert [one.network for one in trained(features, spikes, short)[1].curves] == ["classifier"] * (
        len(short.spikes) > 0
    )
    _, seen = trained(features, spikes, silent)
    assert [one.network for one in seen.curves] == ["detector"]
    assert seen.confusion.size == 0


@pytest.mark.parametrize("steps", [1, 2, 60, 99, 200, 999, 6000])
def test_a_network_is_looked_at_first_and_last_and_not_too_often(steps: int) -> None:
    looked = watched_steps(steps)
    assert (looked[0], looked[-1]) == (0, steps)
    assert len(set(looked)) == len(looked) <= min(steps + 1, 21)


def curve(network: str, *loss: float) -> LearningCurve:
    values = np.repeat(np.float32(loss)[:, None], 2, axis=1)
    return LearningCurve(network, np.arange(len(loss)), 10.0, values, 1 - values)


def test_curves_of_parts_are_averaged_for_each_network() -> None:
    given = [curve("detector", 0.5, 0.25), curve("classifier", 1.0, 0.5), curve("detector", 0.25, 0.0)]
    detector, classifier = joined_curves(given)
    assert (detector.network, classifier.network) == ("detector", "classifier")
    np.testing.assert_allclose(detector.loss[:, 1], [0.375, 0.125])
    np.testing.assert_allclose(detector.accuracy[:, 0], [0.625, 0.875])
    np.testing.assert_allclose(classifier.loss[:, 0], [1.0, 0.5])


def outputs_of(called: Any, labels: Any) -> float:
    """Accuracy of a detector, each of whose windows has two further samples on either side."""
    logits = np.pad(np.where(np.array(called), 3.0, -3.0), ((0, 0), (2, 2)), constant_values=9.0)
    architecture = DetectorArchitecture(inputs=1, filters=1, kernel_samples=3, dilations=(1, 1))
    return architecture.accuracy(logits[..., None].astype(np.float32), np.float32(labels)[..., None])


def test_a_detectors_accuracy_is_the_f1_of_its_samples() -> None:
    assert outputs_of([[0, 1, 1, 0]], [[0, 1, 1, 0]]) == 1.0
    assert outputs_of([[0, 1, 1, 0]], [[0, 0, 1, 1]]) == 0.5
    assert outputs_of([[0, 0, 0, 0]], [[0, 0, 1, 1]]) == 0.0
    assert outputs_of([[0, 0, 0, 0]], [[0, 0, 0, 0]]) == 1.0


def test_a_classifiers_accuracy_is_the_share_of_spikes_rightly_named() -> None:
    architecture = ClassifierArchitecture(1, 1, 1, classes=3, filters=1, kernel_samples=3, layers=1,
                                          unit_variance=False)  # fmt: skip
    outputs = np.float32([[2, 1, 0], [0, 2, 1], [0, 2, 1], [0, 1, 2]])
    assert architecture.accuracy(outputs, np.array([0, 1, 2, 2])) == 0.75
