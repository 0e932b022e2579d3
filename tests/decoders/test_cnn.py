from __future__ import annotations

import numpy as np

from spikesorter.config import ClassifierSettings, DetectorSettings
from spikesorter.decoders.cnn import WorkingPoint, new_cnn, train_cnn
from spikesorter.evaluate import score
from spikesorter.signal.templates import Templates, plant
from spikesorter.spikes import Spikes
from tests.conftest import poisson_spikes


def test_settling_applies_threshold_and_refractory_period() -> None:
    candidates = Spikes.from_arrays([100, 110, 112], [1, 1, 2], [0.7, 0.8, 0.4])
    assert len(WorkingPoint(0.3, 0, True).settle(candidates)) == 3
    assert WorkingPoint(0.3, 20, True).settle(candidates).sample.tolist() == [110, 112]
    assert WorkingPoint(0.3, 20, False).settle(candidates).sample.tolist() == [110]
    assert WorkingPoint(0.75, 0, True).settle(candidates).sample.tolist() == [110]


def test_a_probability_counts_the_class_unless_told_otherwise(rng: np.random.Generator) -> None:
    features = rng.standard_normal((3000, 1)).astype(np.float32)
    both, spike = (
        new_cnn(1, (1, 2), DetectorSettings(probability=meaning), ClassifierSettings(), seed=0)
        for meaning in ("spike_and_class", "spike")
    )
    curve = both.curve(features)
    named, plain = (decoder.candidates(features, curve, threshold=0.1) for decoder in (both, spike))
    assert len(named) == len(plain) > 10
    np.testing.assert_array_equal(plain.probability, curve[plain.sample])
    assert np.all(named.probability < plain.probability)


def test_a_trained_decoder_finds_and_names_planted_spikes(
    shapes: Templates, rng: np.random.Generator
) -> None:
    detector = DetectorSettings(filters=12, learning_rate=5e-3)
    classifier = ClassifierSettings(filters=12, learning_rate=5e-3)
    spikes = poisson_spikes(rng, n_samples=80_000, count=500)
    trace = plant(80_000, spikes, np.ones(500, np.float32), shapes)
    features = (trace + 0.5 * rng.standard_normal(trace.shape)).astype(np.float32)
    untrained = new_cnn(1, (1, 2), detector, classifier, seed=0)
    done: list[float] = []
    decoder = train_cnn(
        untrained,
        features,
        spikes,
        detector,
        classifier,
        detector_steps=250,
        classifier_steps=150,
        rng=rng,
        on_progress=done.append,
    )
    assert (len(done), done[-1]) == (400, 1.0)
    found = decoder.decode(features, WorkingPoint(0.3, 0, True))
    assert score(found, spikes).score > 0.9
    assert score(found, spikes).strict > 0.85


def test_nothing_above_the_threshold_is_a_result() -> None:
    decoder = new_cnn(1, (1, 2), DetectorSettings(), ClassifierSettings(), seed=0)
    assert decoder.decode(np.zeros((3000, 1), np.float32), WorkingPoint(1.0, 10, True)) == Spikes.empty()
