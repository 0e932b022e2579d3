from __future__ import annotations

import numpy as np
import pytest

from spikesorter.core.pairs import pairs_within
from spikesorter.core.settings import Settings
from spikesorter.core.spikes import Spikes
from spikesorter.estimation.profile import conditioning_kernel
from spikesorter.simulate import simulate_study
from spikesorter.sorting.finding import revising
from spikesorter.sorting.finding.events import Events
from spikesorter.sorting.finding.explaining import Explained, explain
from spikesorter.sorting.finding.hints import Hints
from spikesorter.sorting.finding.revising import centred_on_peaks, revised, without_echoes
from spikesorter.sorting.finding.trains import fires_as_one

FS_HZ = 25_000.0
SETTINGS = Settings(pursuit={"sweeps": 4})
KERNEL = conditioning_kernel(SETTINGS.conditioning, FS_HZ)


def explained(labels: Spikes | None = None, relabelled: object = None, seconds: float = 12.0) -> Explained:
    (study,) = simulate_study(units=3, seconds=seconds, noise_levels=(), spikes_per_s=60, seed=1)
    spikes = study.spikes if labels is None else labels
    if callable(relabelled):
        spikes = relabelled(spikes)
    return explain(study.trace, spikes, SETTINGS, kernel=KERNEL, fs_hz=FS_HZ, n_jobs=1)


def sizes(labels: Spikes) -> list[int]:
    return sorted(labels.counts().values())


def test_right_units_stay_as_they_are() -> None:
    found = revised(explained(), seed=0)
    assert not found.changed
    assert found.summary == "nothing changed"


def test_halves_of_a_unit_are_merged() -> None:
    def halved(spikes: Spikes) -> Spikes:
        unit = spikes.unit.copy()
        unit[np.flatnonzero(unit == 1)[::2]] = 9
        return Spikes.from_arrays(spikes.sample, unit)

    found = revised(explained(relabelled=halved), seed=0)
    assert found.merged == 1
    assert len(found.labels.unit_ids) == 3


def test_halves_at_different_points_of_the_spike_are_merged_at_one_point() -> None:
    def shifted(spikes: Spikes) -> Spikes:
        unit, sample = spikes.unit.copy(), spikes.sample.copy()
        half = np.flatnonzero(unit == 1)[::2]
        unit[half], sample[half] = 9, sample[half] + 8
        return Spikes.from_arrays(sample, unit)

    before = explained()
    found = revised(explained(relabelled=shifted), seed=0)
    assert found.merged == 1
    largest = max(found.labels.unit_ids, key=lambda unit: len(found.labels.of(unit)))
    true = before.spikes.sample
    lags = [int(np.abs(true - sample).min()) for sample in found.labels.of(largest).sample]
    assert np.mean(np.array(lags) <= 2) > 0.9 or np.mean(np.abs(np.array(lags) - 8) <= 2) > 0.9


def test_waveforms_of_halves_are_compared_at_the_same_point_of_the_spike(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where templates do not tell, the valley between waveforms does; at two points there would be one."""

    def shifted(spikes: Spikes) -> Spikes:
        unit, sample = spikes.unit.copy(), spikes.sample.copy()
        half = np.flatnonzero(unit == 1)[::2]
        unit[half], sample[half] = 9, sample[half] + 8
        return Spikes.from_arrays(sample, unit)

    monkeypatch.setattr(revising, "SAME", 0.0)
    monkeypatch.setattr(revising, "RULES", dict.fromkeys((True, None, False), (0.5, 6.0)))
    assert revised(explained(relabelled=shifted), seed=0).merged == 1


def test_two_units_under_one_label_are_split() -> None:
    def together(spikes: Spikes) -> Spikes:
        return Spikes.from_arrays(spikes.sample, np.where(spikes.unit == 2, 1, spikes.unit))

    found = revised(explained(relabelled=together), seed=0)
    assert found.split + found.added >= 1
    assert len(found.labels.unit_ids) >= 3


def test_no_valley_is_asked_for_where_sizes_vary_and_intervals_tell_of_several_units(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def together(spikes: Spikes) -> Spikes:
        return Spikes.from_arrays(spikes.sample, np.where(spikes.unit == 2, 1, spikes.unit))

    mixed, gaps = explained(relabelled=together), []
    monkeypatch.setattr(revising, "parts_of", lambda _, unit, seed, *, gap: gaps.append((unit, gap)) or [])
    revised(mixed, Hints(), seed=0, look_for_more=False)
    assert dict(gaps) == {0: revising.NO_VALLEY, 1: revising.DEEP}
    gaps.clear()
    monkeypatch.setattr(revising, "_new_units", lambda *_: [np.array([100, 200])])
    revised(mixed, Hints(), seed=0)
    assert revising.NO_VALLEY not in dict(gaps).values()
    gaps.clear()
    revised(mixed, Hints(n_units=3), seed=0, look_for_more=False)
    assert revising.NO_VALLEY not in dict(gaps).values()


def test_a_unit_without_labels_is_added() -> None:
    found = revised(explained(relabelled=lambda spikes: spikes.select(spikes.unit != 1)), seed=0)
    assert found.added == 1
    assert len(found.labels.unit_ids) == 3


def test_a_unit_of_noise_is_dropped() -> None:
    def with_noise(spikes: Spikes) -> Spikes:
        rng = np.random.default_rng(0)
        anywhere = np.sort(rng.choice(290_000, 200, replace=False)) + 200
        noise = Spikes.from_arrays(anywhere, np.full(200, 9))
        return Spikes.concatenate([spikes, noise])

    found = revised(explained(relabelled=with_noise), seed=0)
    assert found.dropped == 1
    assert len(found.labels.unit_ids) == 3


def test_labels_are_moved_to_the_largest_deflection() -> None:
    one = explained()
    moved = centred_on_peaks(one, one.spikes)
    waveforms = one.context.templates.waveforms[:, :, 0]
    for k, unit in enumerate(one.units.unit_ids):
        lag = np.abs(waveforms[k]).argmax() - one.context.templates.before
        assert np.array_equal(moved.of(unit).sample, one.spikes.of(unit).sample + lag)


def test_trains_that_avoid_each_other_fire_as_one(rng: np.random.Generator) -> None:
    whole = np.cumsum(rng.integers(100, 3000, 2000))
    halves = rng.random(2000) < 0.5
    n_samples = int(whole[-1])
    assert fires_as_one(whole[halves], whole[~halves], n_samples, fs_hz=FS_HZ) is True


def test_independent_trains_do_not_fire_as_one(rng: np.random.Generator) -> None:
    first, second = (np.sort(rng.integers(0, 3_000_000, 1000)) for _ in range(2))
    assert fires_as_one(first, second, 3_000_000, fs_hz=FS_HZ) is False


def test_few_spikes_do_not_tell(rng: np.random.Generator) -> None:
    first, second = (np.sort(rng.integers(0, 3_000_000, 20)) for _ in range(2))
    assert fires_as_one(first, second, 3_000_000, fs_hz=FS_HZ) is None


def test_later_parts_of_larger_spikes_are_echoes(rng: np.random.Generator) -> None:
    large = np.arange(1000, 400_000, 1000)
    own = np.sort(rng.integers(1000, 400_000, 300))
    sample = np.concatenate([large, large + 40, own])
    groups = np.repeat([0, 1, 2], [len(large), len(large), len(own)])
    heights = np.array([9.0, 4.0, 5.0])[groups]
    order = np.argsort(sample, kind="stable")
    waveforms = (heights[:, None, None] * np.ones((1, 10, 1))).astype(np.float32)
    events = Events(sample[order], waveforms[order])
    kept = without_echoes(events, groups[order], fs_hz=FS_HZ)
    assert np.unique(groups[order][kept]).tolist() == [0, 2]


def test_units_with_labels_stay_apart_and_keep_their_numbers() -> None:
    """The halves of one unit are labelled as two: that is the user's decision."""

    def halved(spikes: Spikes) -> Spikes:
        unit = spikes.unit.copy()
        unit[np.flatnonzero(unit == 1)[::2]] = 9
        return Spikes.from_arrays(spikes.sample, unit)

    one = explained(relabelled=halved)
    (study,) = simulate_study(units=3, seconds=12, noise_levels=(), spikes_per_s=60, seed=1)
    labels = halved(study.spikes)
    labels = labels.select((labels.unit == 1) | (labels.unit == 9))
    found = revised(one, Hints(labels=labels), seed=0)
    assert found.merged == 0
    assert {1, 9} < set(found.labels.unit_ids)
    assert all(set(labels.of(unit).sample) <= set(found.labels.of(unit).sample) for unit in (1, 9))


def test_no_more_units_are_merged_or_split_than_there_are() -> None:
    one = explained()
    assert len(revised(one, Hints(n_units=2), seed=0).labels.unit_ids) == 2
    assert len(revised(one, Hints(n_units=3), seed=0).labels.unit_ids) == 3


def test_a_pair_of_trains_with_half_the_pairs_by_chance_is_of_two_units(rng: np.random.Generator) -> None:
    """Pairs that overlap are found less often, so there are never as many as by chance."""
    first, second = (np.sort(rng.integers(0, 3_000_000, 700)) for _ in range(2))
    i, _ = pairs_within(first, second, 37)
    thinned = np.delete(first, i[::2])
    assert len(i) > 8
    assert fires_as_one(thinned, second, 3_000_000, fs_hz=FS_HZ) is False
