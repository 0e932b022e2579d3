from __future__ import annotations

import numpy as np
import pytest

from spikesorter.sorting.finding.clusters import group_waveforms, principal_components, valley


def blobs(rng: np.random.Generator, *centres: float, spread: float = 1.0) -> np.ndarray:
    return np.concatenate([rng.normal((centre, 0, 0), spread, (500, 3)) for centre in centres])


@pytest.mark.parametrize("centres", [(0.0,), (0.0, 7.0), (0.0, 7.0, 14.0)])
def test_each_cloud_is_a_group(rng: np.random.Generator, centres: tuple[float, ...]) -> None:
    groups = group_waveforms(blobs(rng, *centres), seed=0)
    assert len(np.unique(groups)) == len(centres)
    for number in range(len(centres)):
        own = groups[500 * number : 500 * (number + 1)]
        assert np.bincount(own).max() > 490


def test_parts_of_a_cloud_that_is_not_gaussian_are_joined(rng: np.random.Generator) -> None:
    long = np.column_stack([rng.uniform(-10, 10, 3000), rng.normal(size=(3000, 2))])
    assert len(np.unique(group_waveforms(long, seed=0))) == 1
    assert len(np.unique(group_waveforms(long, seed=0, gap=1.1))) > 1


def test_groups_are_numbered_by_size(rng: np.random.Generator) -> None:
    features = np.concatenate([rng.normal(0, 1, (200, 3)), rng.normal(9, 1, (700, 3))])
    assert np.bincount(group_waveforms(features, seed=0)).tolist() == [700, 200]


def test_the_same_seed_gives_the_same_groups(rng: np.random.Generator) -> None:
    features = blobs(rng, 0.0, 3.0, 5.0)
    assert np.array_equal(group_waveforms(features, seed=3), group_waveforms(features, seed=3))


def test_a_valley_is_the_deeper_the_farther_apart_the_modes(rng: np.random.Generator) -> None:
    depths = [
        valley(np.concatenate([rng.normal(0, 1, 4000), rng.normal(d, 1, 4000)]), 0.0, d)
        for d in (1.0, 3.0, 4.0, 8.0)
    ]
    assert depths == sorted(depths, reverse=True)
    assert depths[0] > 0.9
    assert depths[-1] < 0.05


def test_a_small_mode_beside_a_large_one_is_seen(rng: np.random.Generator) -> None:
    positions = np.concatenate([rng.normal(0, 1, 8000), rng.normal(6, 1, 300)])
    assert valley(positions, 0.0, 6.0) < 0.5


def test_there_is_no_valley_between_equal_places() -> None:
    assert valley(np.arange(10.0), 2.0, 2.0) == 1.0


def test_principal_components_find_the_direction_of_variance(rng: np.random.Generator) -> None:
    waveforms = rng.normal(size=(400, 10, 2))
    waveforms[:, 4, 1] *= 9
    components = principal_components(waveforms, 2)
    expected = waveforms[:, 4, 1] - waveforms[:, 4, 1].mean()
    assert abs(np.corrcoef(components[:, 0], expected)[0, 1]) > 0.99
    assert components.shape == (400, 2)
    assert np.array_equal(components, principal_components(waveforms, 2, most_fitted=400))
    waveforms[1::2, 2, 0] *= 99  # of these nothing is learnt
    half = principal_components(waveforms, 2, most_fitted=200)
    expected = waveforms[:, 4, 1] - waveforms[::2, 4, 1].mean()
    assert abs(np.corrcoef(half[::2, 0], expected[::2])[0, 1]) > 0.98
    assert half[::2].mean(axis=0) == pytest.approx(0, abs=1e-9)


def test_a_place_with_nothing_near_it_is_no_reason_to_fail() -> None:
    """The median of two distant groups lies between them."""
    positions = np.concatenate([np.full(50, -100.0), np.full(50, 100.0), np.full(100, 10.0)])
    assert 0 <= valley(positions, 0.0, 10.0) <= 1


def test_an_oblique_cloud_is_one_group_if_parts_may_be_oblique(rng: np.random.Generator) -> None:
    along = rng.normal(0, 6, 2000)
    oblique = np.column_stack([along, along, rng.normal(size=2000)]) + rng.normal(0, 0.5, (2000, 3))
    upright = group_waveforms(oblique, seed=0, gap=1.1)
    either = group_waveforms(oblique, seed=0, gap=1.1, forms=("diag", "full"))
    assert len(np.unique(upright)) > 1
    assert len(np.unique(either)) == 1
