from __future__ import annotations

import numpy as np
import pytest

from spikesorter.core.settings import Settings
from spikesorter.core.spikes import Spikes
from spikesorter.estimation.profile import conditioning_kernel
from spikesorter.simulate import simulate_study
from spikesorter.sorting.finding.explaining import FAR, Explained, explain
from spikesorter.sorting.finding.hints import Hints
from spikesorter.sorting.finding.regrouping import CLEAR, FEATURES, regrouped
from tests.sorting.finding.planted import planted

FS_HZ = 25_000.0
SETTINGS = Settings(pursuit={"sweeps": 4})
KERNEL = conditioning_kernel(SETTINGS.conditioning, FS_HZ)


@pytest.fixture(scope="module")
def cut_in_two() -> Explained:
    """Return a noisy recording explained by three units, of which one was cut into spikes large and small."""
    study = simulate_study(units=3, seconds=12, noise_levels=(1.5,), spikes_per_s=60, seed=1)[1]
    rng = np.random.default_rng(0)
    unit = np.where((study.spikes.unit == 1) & (rng.random(len(study.spikes)) < 0.5), 9, study.spikes.unit)
    labels = Spikes.from_arrays(study.spikes.sample, unit)
    return explain(study.trace, labels, SETTINGS, kernel=KERNEL, fs_hz=FS_HZ, n_jobs=1)


def test_parts_of_a_unit_are_one_group(cut_in_two: Explained) -> None:
    found = regrouped(cut_in_two, Hints(), seed=0)
    assert found is not None
    assert found.changed
    assert len(found.labels.unit_ids) == 3


def test_units_with_labels_are_left_as_they_are(cut_in_two: Explained) -> None:
    own = cut_in_two.spikes.of(9)
    found = regrouped(cut_in_two, Hints(labels=own), seed=0)
    assert found is not None
    assert 9 in found.labels.unit_ids
    assert set(own.sample) <= set(found.labels.of(9).sample)


def of_sizes(detectability: dict[int, float], counts: dict[int, int] | None = None) -> Explained:
    """Return units with 30 spikes each, or other numbers, at every hundredth sample."""
    counts = dict.fromkeys(detectability, 30) | (counts or {})
    unit = np.random.default_rng(0).permutation(np.repeat([*counts], [*counts.values()]))
    spikes = Spikes(np.arange(1, len(unit) + 1) * 100, unit)
    return planted(spikes, np.ones(len(unit)), detectability, n_samples=100 * len(unit) + 300)


@pytest.fixture
def grouped(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Put spikes into two groups by turns; return the shapes of what was grouped."""
    shapes: list[tuple[int, int]] = []

    def by_turns(features: np.ndarray, *, seed: int, gap: float, forms: tuple[str, ...]) -> np.ndarray:
        assert (seed, forms) == (7, ("diag", "full"))
        assert gap > 1  # which no valley is
        shapes.append(features.shape)
        return np.arange(len(features)) % 2

    monkeypatch.setattr("spikesorter.sorting.finding.regrouping.group_waveforms", by_turns)
    return shapes


def test_units_near_each_other_are_grouped_at_their_peaks(grouped: list[tuple[int, int]]) -> None:
    """Unit 8 lies between 3 and 5; unit 9 is far from all, and unit 12 has labels, unit 7 too few spikes."""
    one = of_sizes({3: 10.0, 5: 30.0, 8: 20.0, 9: 60.0, 12: 15.0, 7: 25.0}, {7: 19})
    labelled = one.spikes.of(12)[:5]
    found = regrouped(one, Hints(labels=labelled), seed=7)
    assert found is not None
    assert grouped == [(90, FEATURES)]
    assert (found.dropped, found.changed) == (1, True)
    assert found.labels.counts() == {12: 30, 13: 45, 14: 45, 15: 30}
    assert np.array_equal(found.labels.of(12).sample, one.spikes.of(12).sample)
    assert np.array_equal(found.labels.of(15).sample, one.spikes.of(9).sample)
    peaks = np.concatenate([one.spikes.of(unit).sample + lag for unit, lag in ((3, 4), (5, 7), (8, 10))])
    assert np.array_equal(found.labels.of(13).sample, np.sort(peaks[::2]))
    assert np.array_equal(found.labels.of(14).sample, np.sort(peaks[1::2]))


@pytest.mark.parametrize(
    ("sizes", "pools"),
    [
        ((10.0, 10.0 + FAR), []),
        ((10.0, 9.9 + FAR), [60]),
        ((CLEAR, 10.0), [60]),
        ((CLEAR - 0.01, 10.0), []),
        ((10.0, 12.0, 50.0, 52.0, 90.0), [60, 60]),
        ((30.0, 10.0, 40.0, 20.0), [120]),
    ],
)
def test_only_clear_units_that_are_near_are_grouped(
    grouped: list[tuple[int, int]], sizes: tuple[float, ...], pools: list[int]
) -> None:
    found = regrouped(of_sizes(dict(enumerate(sizes, start=1))), Hints(), seed=7)
    assert [events for events, _ in grouped] == pools
    assert (found is None) == (not pools)


@pytest.mark.parametrize(("vary", "forms"), [(True, ("full",)), (False, ("diag", "full"))])
def test_units_that_vary_are_grouped_by_full_covariances(
    monkeypatch: pytest.MonkeyPatch, vary: bool, forms: tuple[str, ...]
) -> None:
    """Diagonal ones need several parts for one of them."""
    tried: list[tuple[str, ...]] = []

    def one_group(features: np.ndarray, *, seed: int, gap: float, forms: tuple[str, ...]) -> np.ndarray:
        tried.append(forms)
        return np.zeros(len(features), np.int64)

    monkeypatch.setattr("spikesorter.sorting.finding.regrouping.group_waveforms", one_group)
    monkeypatch.setattr("spikesorter.sorting.finding.regrouping.spikes_vary", lambda _: vary)
    assert regrouped(of_sizes({1: 10.0, 2: 12.0}), Hints(), seed=7) is not None
    assert tried == [forms]
