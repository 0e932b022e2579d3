from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from spikesorter.core.sections import OutputSettings, TuningSettings
from spikesorter.core.settings import Settings
from spikesorter.core.spikes import Spikes
from spikesorter.decoding.candidates import Candidates, WorkingPoint
from spikesorter.decoding.thresholds import objective, tune, tune_on_grid

TRUTH = Spikes.from_arrays([1000, 2000, 3000], [1, 1, 2])
FS_HZ = 25_000.0
OUTPUT = OutputSettings(threshold_grid=(0.2, 0.4, 0.6, 0.8), refractory_grid_ms=(0, 8))

# True ones at 0.7, an echo 100 later, false ones at 0.3.
CANDIDATES = Candidates.from_arrays(
    [1000, 2000, 3000, 3100, 5000, 6000, 7000],
    [1, 1, 2, 2, 1, 1, 1],
    [0.7, 0.7, 0.7, 0.65, 0.3, 0.3, 0.3],
    [1.0] * 7,
)


def tuned(
    objective: str = "f1", candidates: Candidates = CANDIDATES, fs_hz: float = FS_HZ, **output: Any
) -> tuple[WorkingPoint, float]:
    tuning, output = TuningSettings(objective=objective, least_precision=0), OUTPUT.model_dump() | output
    return tune(candidates, TRUTH, (1, 2), tuning, OutputSettings(**output), fs_hz=fs_hz)


def test_the_grid_finds_threshold_and_refractory_period() -> None:
    # Of equally good thresholds, the highest.
    assert tuned() == (WorkingPoint((1, 2), (0.6, 0.6), 200, True), 1.0)


def test_the_grid_that_was_searched_is_kept_with_the_chosen_pair() -> None:
    tuning = TuningSettings(objective="f1", least_precision=0)
    point, value, grid = tune_on_grid(CANDIDATES, TRUTH, (1, 2), tuning, OUTPUT, fs_hz=FS_HZ)
    assert (grid.threshold, grid.refractory_samples) == ((0.2, 0.4, 0.6, 0.8), (0, 200))
    row, column = grid.chosen
    assert (grid.threshold[row], grid.refractory_samples[column]) == (0.6, point.refractory_samples)
    assert grid.value[row, column] == value == grid.value.max()
    # all seven candidates, of which three are right; without the echo; the threshold above all of them
    np.testing.assert_allclose(grid.value, [[0.6, 2 / 3], [6 / 7, 1], [6 / 7, 1], [0, 0]])
    assert not grid.lacking.any()


def test_the_grid_says_where_precision_lacks() -> None:
    tuning = TuningSettings(objective="f1", least_precision=0.9)
    *_, grid = tune_on_grid(CANDIDATES, TRUTH, (1, 2), tuning, OUTPUT, fs_hz=FS_HZ)
    assert grid.lacking[0, 0] > grid.lacking[1, 1] == 0  # row 0: the lowest threshold, with false spikes
    assert grid.lacking[grid.chosen] == 0


def test_the_refractory_period_is_a_time() -> None:
    for fs_hz, samples in ((25_000.0, 200), (30_000.0, 240), (24_414.0625, 195)):
        assert tuned(fs_hz=fs_hz)[0].refractory_samples == samples
        assert tuned(fs_hz=fs_hz, refractory_ms=8.0)[0].refractory_samples == samples


def test_it_holds_within_a_unit_or_across_all() -> None:
    assert tuned()[0].within_unit
    assert not tuned(refractory_scope="all")[0].within_unit


def test_each_unit_gets_its_own_threshold() -> None:
    faint = Candidates.from_arrays(
        [1000, 2000, 3000, 5000, 6000], [1, 1, 2, 1, 1], [0.9, 0.9, 0.25, 0.5, 0.5], [1] * 5
    )
    point, value = tuned(candidates=faint)
    assert (point.thresholds, value) == ((0.6, 0.2), 1.0)
    one = tuned(candidates=faint, per_unit=False)
    assert len(set(one[0].thresholds)) == 1
    assert one[1] < 1


def test_a_clear_unit_does_not_get_the_threshold_that_a_faint_one_needs() -> None:
    """Of a clear unit, one more spike of 1000 is no reason for .1 instead of .5."""
    at = np.arange(1, 1001) * 1000
    clear = np.where(np.arange(1000) < 999, 0.99, 0.12)
    found = Candidates.from_arrays(
        np.concatenate([at, at + 500]), np.repeat([1, 2], 1000), np.concatenate([clear, np.full(1000, 0.1)]),
        np.ones(2000),
    )  # fmt: skip
    found = found.select(np.argsort(found.sample))
    truth = Spikes.from_arrays(np.concatenate([at, at[::2] + 500]), np.repeat([1, 2], [1000, 500]))
    truth = truth.select(np.argsort(truth.sample))
    tuning = TuningSettings(objective="strict", least_precision=0)
    point, _ = tune(found, truth, (1, 2), tuning, OutputSettings(), fs_hz=FS_HZ)
    assert point.thresholds == (0.5, 0.1)


def test_what_is_set_is_not_tuned() -> None:
    point, value = tuned(threshold=0.25, refractory_ms=0.28)
    assert (point.thresholds, point.refractory_samples) == ((0.25, 0.25), 7)
    assert value == pytest.approx(2 * 3 / (3 + 7))


@pytest.mark.parametrize("name", ["study", "strict"])
def test_the_objective_can_be_a_score(name: str) -> None:
    point, value = tuned(name, threshold_grid=(0.2, 0.5), refractory_grid_ms=(8,))
    assert (point.thresholds, value) == ((0.5, 0.5), 1.0)


def test_a_precision_can_be_asked_for() -> None:
    found = Spikes.from_arrays([1000, 2000, 2500], [1, 1, 1])
    assert objective(TRUTH, found, "precision=0.6", fs_hz=25_000) == pytest.approx(2 / 3)  # recall
    assert objective(TRUTH, found, "precision=0.7", fs_hz=25_000) == pytest.approx(2 / 3 - 0.7)
    assert objective(TRUTH, Spikes.empty(), "precision=0.7", fs_hz=25_000) < 0


def test_no_unit_is_reported_that_is_less_likely_right_than_wrong() -> None:
    """Most of the second unit's candidates at .3 are wrong, which the study's score forgives."""
    rng = np.random.default_rng(0)
    places = rng.permutation(np.arange(0, 2 * 10**6, 200))
    first, second, false = places[:300], places[300:600], places[600:910]
    truth = Spikes.from_arrays(np.r_[first, second], np.repeat([1, 2], [300, 300]))
    sample, unit = np.r_[first, second, false], np.repeat([1, 2, 2], [300, 300, 310])
    probability = np.repeat([0.9, 0.6, 0.3], [300, 60, 550])
    candidates = Candidates.from_arrays(sample, unit, probability, np.ones(len(unit)))
    precision = {}
    for least in (0.0, 0.5):
        tuning = TuningSettings(objective="study", least_precision=least)
        point, _ = tune(candidates, truth, (1, 2), tuning, OutputSettings(refractory_ms=0), fs_hz=25_000)
        precision[least] = np.isin(point.to_spikes(candidates).of(2).sample, second).mean()
    assert precision[0.0] < 0.5
    assert precision[0.5] > 0.5


def test_an_objective_that_was_chosen_stays() -> None:
    assert Settings().tuned_for("strict").tuning.objective == "strict"
    chosen = Settings().replace(tuning={"objective": "f1"})
    assert chosen.tuned_for("strict") == chosen


def test_a_unit_that_is_never_likelier_right_than_wrong_is_reported_where_it_is_likeliest() -> None:
    """Of the second unit's candidates at .4 two in five are right, of those at .1 one in ten."""
    rng = np.random.default_rng(0)
    places = rng.permutation(np.arange(0, 2 * 10**6, 200))
    first, second, false = places[:300], places[300:500], places[500:1300]
    truth = Spikes.from_arrays(np.r_[first, second], np.repeat([1, 2], [300, 200]))
    sample = np.r_[first, second, false]
    unit = np.repeat([1, 2, 2], [300, 200, 800])
    probability = np.r_[np.full(300, 0.9), np.repeat([0.4, 0.1], 100), np.repeat([0.4, 0.1], [150, 650])]
    candidates = Candidates.from_arrays(sample, unit, probability, np.ones(len(unit)))
    tuning = TuningSettings(objective="study", least_precision=0.5)
    point, _ = tune(candidates, truth, (1, 2), tuning, OutputSettings(refractory_ms=0), fs_hz=25_000)
    assert len(point.to_spikes(candidates).of(2)) == 250


@pytest.mark.parametrize(("objective", "held"), [("strict", 0.5), ("study", 0.0)])
def test_least_precision_is_half_for_people_and_nothing_for_a_score(objective: str, held: float) -> None:
    tunings = [TuningSettings(objective=objective, least_precision=least) for least in (None, held)]
    points = [
        tune(CANDIDATES, TRUTH, (1, 2), one, OutputSettings(refractory_ms=0), fs_hz=25_000) for one in tunings
    ]
    assert points[0] == points[1]


@pytest.mark.parametrize("name", ["study", "strict", "f1", "precision=0.9"])
@pytest.mark.parametrize("refractory_ms", [0.0, 1.6])
@pytest.mark.parametrize("scope", ["unit", "all"])
def test_values_computed_unit_by_unit_are_those_of_the_spikes(
    name: str, refractory_ms: float, scope: str
) -> None:
    rng = np.random.default_rng(0)
    truth = Spikes.from_arrays(rng.integers(0, 200_000, 900), rng.integers(1, 4, 900))
    right, wrong = rng.random(900) < 0.8, rng.integers(0, 200_000, 700)
    unit = np.concatenate([truth.unit[right], rng.integers(1, 4, 700)])
    surer = np.concatenate([np.ones(right.sum()), np.full(700, 0.4)])
    found = Candidates.from_arrays(
        np.concatenate([truth.sample[right] + rng.integers(-9, 10, right.sum()), wrong]),
        unit,
        (surer * rng.random(len(unit))).round(2),
        np.where(unit == 1, 0.5, 1.0),
    )
    output = OutputSettings(
        refractory_ms=refractory_ms, refractory_scope=scope, threshold_grid=(0.1, 0.3, 0.5)
    )
    tuning = TuningSettings(objective=name, least_precision=0.0)
    point, value = tune(found, truth, (1, 2, 3), tuning, output, fs_hz=FS_HZ)
    assert value == objective(truth, point.to_spikes(found), name, fs_hz=FS_HZ)
    assert name == "f1" or len(set(point.thresholds)) > 1  # units are tuned apart
