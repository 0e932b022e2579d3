from __future__ import annotations

import numpy as np
import pytest

from spikesorter.core.errors import ModelError
from spikesorter.core.score import score
from spikesorter.core.sections import ClassifierSettings, DetectorSettings
from spikesorter.decoding.candidates import Candidates, WorkingPoint
from spikesorter.decoding.networks import Networks, new_networks, train_networks
from spikesorter.signal.templates import Templates, plant
from tests.conftest import poisson_spikes

pytestmark = pytest.mark.slow

HALF = WorkingPoint((1, 2), (0.3, 0.3), 0, True)


@pytest.mark.slow
@pytest.mark.parametrize("curves", ["per_unit", "spike"])
def test_trained_networks_find_and_name_planted_spikes(
    curves: str, shapes: Templates, rng: np.random.Generator
) -> None:
    detector = DetectorSettings(filters=12, learning_rate=5e-3, batch_windows=32, curves=curves)  # type: ignore[arg-type]  # any text to mypy
    classifier = ClassifierSettings(filters=12, learning_rate=5e-3, batch_waveforms=64)
    spikes = poisson_spikes(rng, n_samples=80_000, count=500)
    trace = plant(80_000, spikes, np.ones(500, np.float32), shapes)
    features = (trace + 0.5 * rng.standard_normal(trace.shape)).astype(np.float32)
    done: list[float] = []
    networks, _ = train_networks(
        new_networks(1, (1, 2), detector, classifier, seed=0),
        features,
        spikes,
        detector,
        classifier,
        detector_steps=250,
        classifier_steps=150,
        rng=rng,
        on_progress=done.append,
    )
    assert (len(done), done[-1]) == (250 if curves == "per_unit" else 400, 1.0)
    found = HALF.to_spikes(picked(networks, features))
    assert score(spikes, found).score > 0.9
    assert score(spikes, found).strict > 0.85


def picked(networks: Networks, features: np.ndarray) -> Candidates:
    margin = networks.detector.margin
    return networks.pick(networks.curves(np.pad(features, ((margin.before, margin.after), (0, 0)))), features)


def test_a_classifiers_doubt_counts_unless_told_otherwise(rng: np.random.Generator) -> None:
    features = rng.standard_normal((3000, 1)).astype(np.float32)
    both, spike = (
        picked(new_networks(1, (1, 2), settings, ClassifierSettings(filters=8), seed=0), features)
        for settings in (
            DetectorSettings(curves="spike", probability="spike_and_unit", filters=8),
            DetectorSettings(curves="spike", probability="spike", filters=8),
        )
    )
    np.testing.assert_array_equal(both.probability, spike.probability)
    assert np.all(spike.unit_probability == 1)
    assert np.all(both.unit_probability < 1)


def test_evidence_of_several_classes_adds_up(rng: np.random.Generator) -> None:
    networks = new_networks(1, (1, 2), DetectorSettings(filters=8), ClassifierSettings(), seed=0)
    features = rng.standard_normal((3000, 1)).astype(np.float32)
    margin = networks.detector.margin
    curves = networks.curves(np.pad(features, ((margin.before, margin.after), (0, 0))))
    found = networks.pick(curves, features)
    np.testing.assert_allclose(found.joint, curves[found.sample, found.unit - 1], rtol=1e-5)
    assert np.all(found.probability >= found.joint)


def test_networks_that_do_not_fit_together_are_refused() -> None:
    good = new_networks(1, (1, 2), DetectorSettings(), ClassifierSettings(), seed=0)
    with pytest.raises(ModelError, match="do not fit together"):
        Networks((1, 2, 3), good.detector, good.detector_weights, None, (), True)
