"""Trees name candidates wherever a block lies, and tell what they were shown."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from spikesorter.core.settings import Settings
from spikesorter.core.spikes import Spikes
from spikesorter.decoding.botm import BotmDecoder
from spikesorter.decoding.candidate_features import FAR_MS, HERE_MS, NEAR_MS, CandidateFeatures
from spikesorter.decoding.candidates import Candidates
from spikesorter.decoding.forest import Forest, fit_forest, nothing_known
from spikesorter.decoding.in_parts import InParts
from spikesorter.decoding.pursuit import PursuitDecoder
from spikesorter.decoding.run import find_candidates, find_evidence, padded
from spikesorter.decoding.trees import TreesDecoder, outdone, seen_throughout, units_of
from spikesorter.signal.bank import make_bank
from spikesorter.signal.noise import NoiseSpectrum
from spikesorter.signal.spans import to_samples
from spikesorter.signal.templates import Templates, plant
from tests.conftest import FS_HZ, poisson_spikes

KNOWN = (1, 2)
N_SAMPLES = 13_287  # no whole number of blocks


@pytest.fixture(scope="module")
def features(shapes: Templates) -> CandidateFeatures:
    noise = NoiseSpectrum.independent(np.full((65, 1), 1.0))
    bank, settings = make_bank(shapes, noise, kernel=np.ones(1), reach=20), Settings().pursuit
    pursuit = PursuitDecoder(
        unit_ids=KNOWN,
        bank=bank,
        log_odds=np.full(2, -7.0),
        spreads=np.full(2, 0.01),
        sweeps=settings.sweeps,
        annealing_factor=settings.annealing_factor,
        annealing_detectability=settings.annealing_detectability,
        seed=0,
    )
    return CandidateFeatures(BotmDecoder(KNOWN, bank, np.full(2, -7.0)), pursuit, FS_HZ)


@pytest.fixture(scope="module")
def recording(shapes: Templates) -> tuple[np.ndarray, Spikes]:
    rng = np.random.default_rng(0)
    spikes = poisson_spikes(rng, n_samples=N_SAMPLES, count=100)
    noise = rng.standard_normal((N_SAMPLES, 1)).astype(np.float32)
    return noise + plant(N_SAMPLES, spikes, np.ones(len(spikes), np.float32), shapes), spikes


@pytest.fixture(scope="module")
def without_trees(features: CandidateFeatures) -> TreesDecoder:
    return TreesDecoder(features, nothing_known(2), KNOWN)


@pytest.fixture(scope="module")
def decoder(without_trees: TreesDecoder, recording: tuple[np.ndarray, Spikes]) -> TreesDecoder:
    trace, spikes = recording
    found, features = seen_throughout(without_trees, trace, n_jobs=1)
    unit = units_of(found, spikes, KNOWN, fs_hz=FS_HZ)
    return replace(without_trees, forest=fit_forest(features, unit, KNOWN, seed=0, n_jobs=1))


def test_without_candidates_nothing_is_learnt_and_nothing_found(without_trees: TreesDecoder) -> None:
    silent = np.zeros((5000, 1), np.float32)
    found, features = seen_throughout(without_trees, silent, n_jobs=1)
    assert len(found) == len(features) == 0
    forest = fit_forest(features, np.zeros(0, np.int64), KNOWN, seed=0, n_jobs=1)
    assert forest.probabilities(np.ones((3, 9), np.float32)).tolist() == [[0, 0]] * 3
    decoder = replace(without_trees, forest=forest)
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


def one_question(feature: int, more_than: float) -> Forest:
    """Return a tree of one node, to which a candidate is of unit 1 if a feature is larger than a value."""
    return Forest(
        np.zeros(1, np.int32),
        np.int32([feature, -1, -1]),
        np.float32([more_than, 0, 0]),
        np.int32([1, 0, 0]),
        np.int32([2, 0, 0]),
        np.float32([[0, 0], [0, 0], [1, 0]]),
    )


def test_trees_see_the_part_of_the_recording(
    decoder: TreesDecoder, recording: tuple[np.ndarray, Spikes]
) -> None:
    trace, _ = recording
    _, features = seen_throughout(decoder, trace, n_jobs=1)
    asked = replace(decoder, forest=one_question(features.shape[1], 1.0))  # the feature after all others
    quiet, loud = (replace(asked, features=replace(asked.features, change=(level,))) for level in (0.5, 1.5))
    in_parts = InParts(quiet, (quiet, loud), (6000, N_SAMPLES))
    found = find_candidates(in_parts, padded(trace), N_SAMPLES, 0, N_SAMPLES)
    assert found.sample.min() >= 6000
    assert np.all(found.joint == 1)
    again, features = seen_throughout(InParts(quiet, (quiet, loud), (1, 2)), trace, n_jobs=2)
    assert np.array_equal(features[:, -1] == 1.5, again.sample >= N_SAMPLES // 2)


def test_trees_see_the_spikes_that_the_pursuit_expects(
    decoder: TreesDecoder, recording: tuple[np.ndarray, Spikes]
) -> None:
    trace, spikes = recording
    found, features = seen_throughout(decoder, trace, n_jobs=1)
    here = features[:, -8:-6]  # the first of four pairs of sums
    unit = units_of(found, spikes, KNOWN, fs_hz=FS_HZ)
    for column, k in enumerate(KNOWN):
        assert here[unit == k, column].mean() > 0.8
        assert here[unit != k, column].mean() < 0.1
    expected = np.pad(find_evidence(decoder.features.pursuit, trace, n_jobs=1), ((50, 50), (0, 0)))
    reach = to_samples(HERE_MS, FS_HZ)
    sums = [expected[sample + 50 - reach : sample + 51 + reach].sum(axis=0) for sample in found.sample]
    np.testing.assert_allclose(here, sums, atol=1e-5)


@pytest.mark.parametrize("fs_hz", [300.0, 400_000.0])
def test_at_any_rate_spikes_are_expected_where_the_pursuit_has_explained(
    features: CandidateFeatures, recording: tuple[np.ndarray, Spikes], fs_hz: float
) -> None:
    """Beside the block only one of the pursuit's is explained: at a high rate that is less than asked for."""
    trace, _ = recording
    decoder = TreesDecoder(replace(features, fs_hz=fs_hz), nothing_known(2), KNOWN)
    found, seen = seen_throughout(decoder, trace, n_jobs=1)
    pursuit = features.pursuit
    farthest = pursuit.grid_samples - pursuit.overlap_samples
    here, near, far = (min(to_samples(ms, fs_hz), farthest) for ms in (HERE_MS, NEAR_MS, FAR_MS))
    expected = find_evidence(pursuit, trace, n_jobs=1).astype(np.float64)
    sums = np.cumsum(np.pad(expected, ((farthest + 1, farthest + 1), (0, 0))), axis=0)
    at = found.sample + farthest
    edges = ((-here, here + 1), (-near, near + 1), (-far, -near), (near + 1, far + 1))
    wanted = np.concatenate([sums[at + b] - sums[at + a] for a, b in edges], axis=1)
    inside = (found.sample > farthest) & (found.sample < N_SAMPLES - farthest)
    np.testing.assert_allclose(seen[inside, -8:], wanted[inside], atol=1e-4)
    assert np.all(seen[:, -8:] > -1e-6)


def test_what_is_seen_does_not_depend_on_threads(
    decoder: TreesDecoder, recording: tuple[np.ndarray, Spikes]
) -> None:
    one, other = (seen_throughout(decoder, recording[0], n_jobs=n_jobs)[1] for n_jobs in (1, 2))
    np.testing.assert_array_equal(one, other)
