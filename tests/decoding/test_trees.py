"""Trees name candidates as scikit-learn's do, wherever a block lies, and tell what they were shown."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.ensemble import ExtraTreesClassifier

from spikesorter.core.spikes import Spikes
from spikesorter.decoding.botm import BotmDecoder
from spikesorter.decoding.candidates import Candidates
from spikesorter.decoding.forest import LEAST_IN_LEAF, TREES, Forest, fit_forest, rounded_down
from spikesorter.decoding.run import find_candidates, padded
from spikesorter.decoding.trees import (
    BLOCK_SAMPLES,
    TreesDecoder,
    margin_of,
    outdone,
    see,
    units_of,
    with_change,
)
from spikesorter.signal.bank import make_bank
from spikesorter.signal.noise import NoiseSpectrum
from spikesorter.signal.templates import Templates, plant
from tests.conftest import FS_HZ, poisson_spikes

KNOWN = (1, 2)
N_SAMPLES = 3 * BLOCK_SAMPLES + 999


@pytest.fixture(scope="module")
def discriminants(shapes: Templates) -> BotmDecoder:
    noise = NoiseSpectrum.independent(np.full((65, 1), 1.0))
    return BotmDecoder(KNOWN, make_bank(shapes, noise, kernel=np.ones(1), reach=20), np.full(2, -7.0))


@pytest.fixture(scope="module")
def recording(shapes: Templates) -> tuple[np.ndarray, Spikes]:
    rng = np.random.default_rng(0)
    spikes = poisson_spikes(rng, n_samples=N_SAMPLES, count=100)
    noise = rng.standard_normal((N_SAMPLES, 1)).astype(np.float32)
    return noise + plant(N_SAMPLES, spikes, np.ones(len(spikes), np.float32), shapes), spikes


@pytest.fixture(scope="module")
def decoder(discriminants: BotmDecoder, recording: tuple[np.ndarray, Spikes]) -> TreesDecoder:
    trace, spikes = recording
    found, features = seen(discriminants, trace)
    unit = units_of(found, spikes, KNOWN, fs_hz=FS_HZ)
    return TreesDecoder(discriminants, fit_forest(features, unit, KNOWN, seed=0, n_jobs=1), KNOWN, FS_HZ)


def seen(discriminants: BotmDecoder, trace: np.ndarray) -> tuple[Candidates, np.ndarray]:
    margin = margin_of(discriminants, FS_HZ)
    return see(discriminants, padded(trace)(-margin.before, len(trace) + margin.after), FS_HZ)


@pytest.mark.parametrize("classes", [(0, 1, 2), (0, 2), (1,)])
def test_probabilities_are_those_of_scikit_learn(classes: tuple[int, ...]) -> None:
    rng = np.random.default_rng(1)
    features = rng.standard_normal((300, 5)).astype(np.float32)
    unit = np.array(classes)[(features[:, 0] > 0).astype(int) % len(classes)]
    unit[:20] = rng.choice(classes, 20)
    theirs = ExtraTreesClassifier(TREES, min_samples_leaf=LEAST_IN_LEAF, random_state=3).fit(features, unit)
    expected = np.zeros((300, 2))
    for column, k in enumerate(KNOWN):
        if k in classes:
            expected[:, column] = theirs.predict_proba(features)[:, list(theirs.classes_).index(k)]
    ours = fit_forest(features, unit, KNOWN, seed=3, n_jobs=2).probabilities(features)
    np.testing.assert_allclose(ours, expected, atol=1e-6)


def test_without_candidates_nothing_is_learnt_and_nothing_found(discriminants: BotmDecoder) -> None:
    silent = np.zeros((BLOCK_SAMPLES, 1), np.float32)
    found, features = seen(discriminants, silent)
    assert len(found) == len(features) == 0
    forest = fit_forest(features, np.zeros(0, np.int64), KNOWN, seed=0, n_jobs=1)
    assert forest.probabilities(np.ones((3, 9), np.float32)).tolist() == [[0, 0]] * 3
    decoder = TreesDecoder(discriminants, forest, KNOWN, FS_HZ)
    assert len(find_candidates(decoder, padded(silent), len(silent), 0, len(silent))) == 0


def test_spikes_that_were_shown_are_found_and_named(
    decoder: TreesDecoder, recording: tuple[np.ndarray, Spikes]
) -> None:
    trace, spikes = recording
    found = find_candidates(decoder, padded(trace), N_SAMPLES, 0, N_SAMPLES)
    sure = found.select(found.joint > 0.5)
    unit = units_of(sure, spikes, KNOWN, fs_hz=FS_HZ)
    assert np.mean(unit == sure.unit) > 0.95
    assert len(sure) > 0.85 * len(spikes)


def test_a_part_gives_what_the_whole_gives(
    decoder: TreesDecoder, recording: tuple[np.ndarray, Spikes]
) -> None:
    trace, _ = recording
    whole = find_candidates(decoder, padded(trace), N_SAMPLES, 0, N_SAMPLES)
    parts = [
        find_candidates(decoder, padded(trace), N_SAMPLES, start, min(start + 3000, N_SAMPLES))
        for start in range(0, N_SAMPLES, 3000)
    ]
    joined = Candidates.concatenate(parts)
    for name in ("sample", "unit", "probability", "unit_probability"):
        np.testing.assert_array_equal(getattr(joined, name), getattr(whole, name))
    assert decoder.variants() == [decoder]


def test_of_two_candidates_of_a_unit_that_are_near_the_more_probable_is_kept() -> None:
    samples = np.array([100, 105, 108, 112, 200])
    column = np.array([0, 1, 0, 0, 0])
    own = np.float32([0.5, 0.2, 0.9, 0.9, 0.1])
    assert outdone(samples, column, own, 12).tolist() == [True, False, False, True, False]
    assert outdone(samples, column, own, 3).tolist() == [False] * 5


def test_a_label_belongs_to_the_nearest_candidate_or_one_of_its_unit_hardly_farther() -> None:
    found = Candidates.from_arrays([100, 104, 300, 500], [2, 1, 1, 1], np.ones(4), np.ones(4))
    labels = Spikes([101, 309, 700], [1, 1, 2])
    assert units_of(found, labels, KNOWN, fs_hz=FS_HZ).tolist() == [0, 1, 1, 0]
    assert units_of(found, Spikes([101], [7]), KNOWN, fs_hz=FS_HZ).tolist() == [0] * 4


def test_trees_see_what_the_candidates_of_a_part_share() -> None:
    assert with_change(np.float32([[1, 2], [3, 4]]), (0.5,)).tolist() == [[1, 2, 0.5], [3, 4, 0.5]]
    assert with_change(np.float32([[1, 2]]), ()).tolist() == [[1, 2]]


def test_the_shared_features_reach_the_trees(
    decoder: TreesDecoder, recording: tuple[np.ndarray, Spikes]
) -> None:
    trace, _ = recording
    last = seen(decoder.discriminants, trace)[1].shape[1]  # the feature after those of a candidate
    root, leaf = np.zeros(1, np.int32), np.int32([last, -1, -1])
    loud = Forest(
        root,
        leaf,
        np.float32([1, 0, 0]),
        np.int32([1, 0, 0]),
        np.int32([2, 0, 0]),
        np.float32([[0, 0], [0, 0], [1, 0]]),
    )

    def probabilities(change: float) -> np.ndarray:
        found = find_candidates(
            replace(decoder, forest=loud, change=(change,)), padded(trace), N_SAMPLES, 0, N_SAMPLES
        )
        return found.joint

    assert len(probabilities(0.5)) == 0  # a quiet part: the left leaf, nothing
    assert np.all(probabilities(1.5) == 1)


def test_a_threshold_decides_as_in_double_precision() -> None:
    rng = np.random.default_rng(4)
    values = rng.standard_normal(1000)
    rounded = rounded_down(values)
    assert np.all(rounded <= values)
    assert np.all(np.nextafter(rounded, np.float32(np.inf)) > values)
