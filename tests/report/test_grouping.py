from __future__ import annotations

import numpy as np
import pytest

from spikesorter.core.spikes import Spikes
from spikesorter.report.correcting import correct
from spikesorter.report.corrections import Correction, Edit
from spikesorter.report.features import Features, amplitudes_of, means_of, measure_features
from spikesorter.report.grouping import feature_contents, proposal_contents
from spikesorter.report.proposals import propose_merges, propose_splits
from spikesorter.report.results import Result
from spikesorter.sorting.finding.clusters import principal_components
from tests.report.test_contents import unpacked

FS_HZ = 25_000.0
N = 400


@pytest.fixture
def features(rng: np.random.Generator) -> Features:
    """Three neurons in white noise: the second is like the first, 1 SD away; the third is far away."""
    shape = np.hanning(30)[:, None]
    shape /= np.linalg.norm(shape)
    size = np.repeat([9.0, 10.0, 22.0], N)[:, None, None]
    white = (size * shape + rng.normal(size=(3 * N, 30, 1))).astype(np.float32)
    return Features(np.arange(3 * N), white, principal_components(white, 5).astype(np.float32))


UNIT = np.repeat([1, 2, 3], N)


def independent(rng: np.random.Generator, refractory: bool = False) -> Spikes:
    sample = np.sort(rng.choice(600_000, 3 * N, replace=False))
    if refractory:  # no two spikes of any units within 3 ms
        sample = np.cumsum(75 + rng.integers(0, 800, 3 * N))
    return Spikes.from_arrays(sample, rng.permutation(UNIT), fs_hz=FS_HZ)


def test_units_that_are_alike_are_proposed_to_be_merged(features: Features, rng: np.random.Generator) -> None:
    (merge,) = propose_merges(features, UNIT, independent(rng), fs_hz=FS_HZ)
    assert {merge.unit, merge.to} == {1, 2}
    assert merge.d_prime == pytest.approx(1.0, abs=0.25)
    assert merge.proposed
    assert merge.dip == pytest.approx(1.0, abs=0.7)


def test_two_halves_of_one_unit_do_not_differ(features: Features, rng: np.random.Generator) -> None:
    halves = np.where(UNIT == 3, 3 + rng.integers(0, 2, 3 * N), UNIT)
    spikes = Spikes.from_arrays(np.arange(3 * N) * 400, halves)
    merge = propose_merges(features, halves, spikes, fs_hz=FS_HZ)[0]
    assert ({merge.unit, merge.to}, merge.d_prime < 0.8) == ({3, 4}, True)


def test_units_that_avoid_each_other_are_proposed_even_if_they_differ(rng: np.random.Generator) -> None:
    shape = np.hanning(30)[:, None] / np.linalg.norm(np.hanning(30))
    white = np.repeat([9.0, 12.5], N)[:, None, None] * shape + rng.normal(size=(2 * N, 30, 1))
    two = Features(np.arange(2 * N), white.astype(np.float32), white[:, :5, 0].astype(np.float32))
    unit = np.repeat([1, 2], N)
    apart = independent(rng, refractory=True)
    apart = apart.select(apart.unit != 3)
    (merge,) = propose_merges(two, unit, apart, fs_hz=FS_HZ)
    assert merge.proposed
    assert merge.coincidences == 0
    (merge,) = propose_merges(
        two, unit, Spikes.from_arrays(rng.choice(60_000, 800), rng.permutation(unit)), fs_hz=FS_HZ
    )
    assert not merge.proposed


def test_a_unit_of_two_neurons_is_proposed_to_be_split_and_no_other(features: Features) -> None:
    one, other = propose_splits(features, np.where(UNIT == 3, 2, UNIT))
    assert (one.unit, one.proposed, other.proposed) == (2, True, False)
    assert one.share == pytest.approx(0.5, abs=0.02)
    assert max(np.mean(UNIT[one.smaller] == 3), np.mean(UNIT[one.smaller] == 2)) > 0.99


def test_what_the_page_gets_follows_the_corrections(features: Features) -> None:
    found = Spikes.from_arrays(np.arange(3 * N) * 500, UNIT, fs_hz=FS_HZ)
    now = correct(found, [Correction(0, 1, "reject"), Edit("merge", unit=3, to=2)])
    given = feature_contents(features, now)
    assert unpacked(given["sample"])[0] == 500
    assert set(unpacked(given["unit"])) == {1, 2}
    assert given["total"] == len(unpacked(given["amplitude"])) == 3 * N - 1
    proposed = proposal_contents(features, now, fs_hz=FS_HZ, names={2: "basket"})
    split = proposed["splits"][0]
    assert (split["unit"], split["names"], len(split["spikes"])) == (2, ["basket"], pytest.approx(N, abs=9))
    chosen = [tuple(spike) for spike in split["spikes"]]
    assert now.places(chosen).size == len(chosen)
    was = np.array(
        [unit for _, unit in chosen]
    )  # as found: the split undoes the merge, and touches no other unit
    assert max(np.mean(was == 2), np.mean(was == 3)) > 0.99
    assert "two modes" in split["words"]


@pytest.mark.slow
def test_whitened_waveforms_have_noise_of_one_along_templates(results: list[Result]) -> None:
    result = results[1]
    quiet = Spikes.from_arrays(np.arange(2_000, 190_000, 777), np.ones(242, int), fs_hz=FS_HZ)
    away = np.abs(result.spikes.sample[None] - quiet.sample[:, None]).min(axis=1) > 150
    noise = measure_features(result.sorter, result.recording, quiet.select(away))
    assert len(noise) >= 10
    spikes = measure_features(result.sorter, result.recording, result.spikes, most=200)
    assert len(spikes) == 200
    assert np.median(amplitudes_of(spikes, result.spikes.unit[spikes.place])) == pytest.approx(1.0, abs=0.1)
    for mean in means_of(spikes, result.spikes.unit[spikes.place]).values():
        along = np.einsum("stc,tc->s", noise.white, mean / np.linalg.norm(mean))
        assert along.std() == pytest.approx(1.0, rel=0.35)  # some twenty windows
