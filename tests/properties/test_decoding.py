"""From evidence to spikes: rules that hold for any curves, candidates and thresholds."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from spikesorter import Spikes, score
from spikesorter.core.sections import OutputSettings, TuningSettings
from spikesorter.decoding.calibration import (
    Calibration,
    expected_calibration_error,
    fit_calibration,
    fit_log_odds,
    judge_events,
)
from spikesorter.decoding.candidates import Candidates, WorkingPoint, pick_candidates, reach_of_picking
from spikesorter.decoding.cross_fitting import FOLDS, Folds
from spikesorter.decoding.thresholds import objective, tune
from spikesorter.signal.peaks import enforce_refractory, pick_peaks
from tests.properties.strategies import FS_HZ, PROBABILITY, spikes_values

FEW = settings(max_examples=20)
UNITS = (1, 2, 4)
CURVES = hnp.arrays(
    np.float32,
    st.tuples(st.integers(1, 90), st.just(len(UNITS))),
    elements=st.sampled_from([0.0, 0.0, 0.0, 0.125, 0.25, 0.5, 1.0]),
)


def events(found: Candidates) -> list[tuple[int, int, float, float]]:
    columns = (found.sample, found.unit, found.probability, found.unit_probability)
    return list(zip(*(column.tolist() for column in columns), strict=True))


@st.composite
def candidates(draw: st.DrawFn, *, most: int = 30, last: int = 2000) -> Candidates:
    count = draw(st.integers(0, most))
    samples = draw(st.lists(st.integers(0, last), min_size=count, max_size=count))
    units = draw(st.lists(st.sampled_from(UNITS), min_size=count, max_size=count))
    there, sure = (draw(st.lists(PROBABILITY, min_size=count, max_size=count)) for _ in range(2))
    return Candidates.from_arrays(samples, units, there, sure)


@FEW
@given(candidates())
def test_candidates_are_the_same_in_whatever_order_and_parts_they_come(found: Candidates) -> None:
    distinct = found.select(np.unique(found.sample * 8 + found.unit, return_index=True)[1])
    order = np.random.default_rng(len(found)).permutation(len(distinct))
    columns = (distinct.sample, distinct.unit, distinct.probability, distinct.unit_probability)
    assert events(Candidates.from_arrays(*(column[order] for column in columns))) == events(distinct)
    parts = [distinct.select(distinct.unit == unit) for unit in UNITS]
    assert events(Candidates.concatenate(parts)) == events(distinct)


@FEW
@given(candidates(), st.integers(0, 2000), st.integers(0, 2000))
def test_a_part_counts_from_its_start(found: Candidates, start: int, length: int) -> None:
    part = found.inside(start, start + length)
    assert len(part) == np.sum((found.sample >= start) & (found.sample < start + length))
    assert not len(part) or (part.sample.min() >= 0 and part.sample.max() < length)
    assert set(events(part.shifted(start))) <= set(events(found))
    np.testing.assert_array_equal(part.joint, part.probability * part.unit_probability)


@FEW
@given(CURVES, st.integers(0, 9), st.booleans())
def test_candidates_of_any_part_are_those_of_the_whole(
    curves: np.ndarray, smoothing_samples: int, one_unit: bool
) -> None:
    """The rule reaches as far as it says: beyond, nothing changes a candidate."""
    options = {"smoothing_samples": smoothing_samples, "least": 0.1, "one_unit": one_unit}
    reach = reach_of_picking(smoothing_samples)
    padded = np.pad(curves, ((reach, reach), (0, 0)))
    whole = pick_candidates(padded, UNITS, **options).inside(reach, reach + len(curves))  # type: ignore[arg-type]
    middle = len(curves) // 2
    for first, last in ((0, middle), (middle, len(curves))):
        part = pick_candidates(padded[first : last + 2 * reach], UNITS, **options)  # type: ignore[arg-type]
        assert events(part.inside(reach, reach + last - first)) == events(whole.inside(first, last))


@FEW
@given(CURVES, st.integers(0, 9))
def test_a_candidates_probability_is_the_sum_around_it(curves: np.ndarray, reach: int) -> None:
    found = pick_candidates(curves, UNITS, smoothing_samples=reach, least=0.1)
    for sample, unit, there, of_unit in events(found):
        around = curves[max(sample - reach, 0) : sample + reach + 1].sum(axis=0, dtype=np.float64)
        own = around[UNITS.index(unit)]
        assert there == pytest.approx(min(around.sum(), 1.0))
        assert of_unit == pytest.approx(own / around.sum())
        assert own >= 0.1 - 0.01  # the least, but for the weight of the sample itself
    for unit in UNITS:
        assert np.all(np.diff(found.sample[found.unit == unit]) > reach)


@FEW
@given(CURVES, st.integers(0, 9))
def test_one_unit_drops_rivals_alone(curves: np.ndarray, reach: int) -> None:
    every, fewer = (
        pick_candidates(curves, UNITS, smoothing_samples=reach, least=0.1, one_unit=value)
        for value in (False, True)
    )
    assert set(events(fewer)) <= set(events(every))
    dropped = set(events(every)) - set(events(fewer))
    for sample, unit, there, sure in dropped:
        assert any(
            other != unit and abs(place - sample) <= reach + 3 and p * q > there * sure
            for place, other, p, q in events(every)
        )


@FEW
@given(
    hnp.arrays(np.float32, st.integers(1, 60), elements=st.sampled_from([0.0, 0.25, 0.5, 1.0])),
    st.integers(0, 8),
)
def test_a_peak_is_the_first_of_the_highest_around(curve: np.ndarray, distance: int) -> None:
    expected = [
        k
        for k, value in enumerate(curve)
        if value >= 0.3
        and value >= curve[k : k + distance + 1].max()
        and (k == 0 or value > curve[max(k - distance, 0) : k].max(initial=-np.inf))
    ]
    assert pick_peaks(curve, threshold=0.3, distance_samples=distance).tolist() == expected


@FEW
@given(spikes_values(last=300), st.integers(0, 80), st.booleans())
def test_a_refractory_period_keeps_the_likeliest(spikes: Spikes, period: int, within_unit: bool) -> None:
    kept = enforce_refractory(spikes, refractory_samples=period, within_unit=within_unit)
    trains = [kept.of(unit) for unit in kept.unit_ids] if within_unit else [kept]
    for train in trains:
        assert not period or np.all(np.diff(train.sample) >= period)
    assert len(spikes) == 0 or spikes.joint.max() in kept.joint
    assert enforce_refractory(kept, refractory_samples=period, within_unit=within_unit) == kept
    across = enforce_refractory(spikes, refractory_samples=period, within_unit=False)
    assert set(across.sample.tolist()) <= set(kept.sample.tolist())


@FEW
@given(candidates(), st.tuples(PROBABILITY, PROBABILITY, PROBABILITY), st.integers(0, 100), st.booleans())
def test_a_working_point_gives_what_its_words_say(
    found: Candidates, thresholds: tuple[float, ...], refractory: int, within_unit: bool
) -> None:
    point = WorkingPoint(UNITS, thresholds, refractory, within_unit)
    above = point.above_threshold(found)
    least = dict(zip(UNITS, np.float32(thresholds), strict=True))
    expected = [
        (sample, unit) for sample, unit, p, q in events(found)
        if np.float32(p) * np.float32(q) >= least[unit]
    ]  # fmt: skip
    assert list(zip(above.sample.tolist(), above.unit.tolist(), strict=True)) == expected
    assert point.to_spikes(found) == enforce_refractory(
        above, refractory_samples=refractory, within_unit=within_unit
    )


@FEW
@given(candidates(last=400), spikes_values(last=400, named=False), st.sampled_from([8000.0, 25_000.0]))
def test_events_are_judged_by_the_nearest_true_spike(found: Candidates, truth: Spikes, fs_hz: float) -> None:
    there, right = judge_events(found.sample, found.unit, truth, fs_hz=fs_hz)
    reach = int(0.4 * fs_hz / 1000 + 1e-6)
    for k, (sample, unit, *_) in enumerate(events(found)):
        near = np.abs(truth.sample - sample) <= reach
        assert there[k] == near.any()
        assert right[k] == (near & (truth.unit == unit)).any()


@FEW
@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=60), st.integers(1, 20))
def test_the_calibration_error_is_the_mean_gap_over_bins(judged: list[tuple[float, bool]], bins: int) -> None:
    stated = np.array([probability for probability, _ in judged])
    right = np.array([value for _, value in judged])
    which = np.minimum((stated * bins).astype(int), bins - 1)
    gaps = [abs(np.sum(stated[which == k] - right[which == k])) for k in range(bins)]
    error = expected_calibration_error(stated, right, bins=bins)
    assert error == pytest.approx(sum(gaps) / len(judged), abs=1e-9)
    assert 0 <= error <= 1
    assert expected_calibration_error(right.astype(float), right, bins=bins) == 0


@settings(max_examples=20)
@given(candidates(most=60), spikes_values(last=2000, most=40, named=False))
def test_a_calibration_keeps_the_order_of_probabilities(found: Candidates, truth: Spikes) -> None:
    calibration = fit_calibration(found, truth, UNITS, fs_hz=FS_HZ)
    assert (len(calibration.probability), len(calibration.unit_probability)) == (3, 3)
    calibrated = calibration.apply(found)
    np.testing.assert_array_equal(calibrated.sample, found.sample)
    np.testing.assert_array_equal(calibrated.unit, found.unit)
    for unit in UNITS:
        own = found.unit == unit
        for name in ("probability", "unit_probability"):
            before, after = getattr(found, name)[own], getattr(calibrated, name)[own]
            assert np.all(np.diff(after[np.argsort(before, kind="stable")]) >= -1e-6)
            assert np.all((after >= 0) & (after <= 1))


@FEW
@given(candidates())
def test_what_is_calibrated_already_is_left_alone(found: Candidates) -> None:
    same = ((0.0, 1.0, 1.0),) * 3
    kept = Calibration(UNITS, same, same).apply(found)
    for name in ("probability", "unit_probability"):
        expected = np.clip(getattr(found, name), 1e-4, 1 - 1e-4)
        np.testing.assert_allclose(getattr(kept, name), expected, atol=1e-6)


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1), st.integers(1, 80))
def test_fitted_log_odds_are_the_likeliest(seed: int, count: int) -> None:
    """No small change of a weight makes what was seen, and what is usual, more likely."""
    rng = np.random.default_rng(seed)
    terms = np.column_stack([np.ones(count), rng.normal(size=(count, 2))])
    right, usual = rng.random(count) < 0.4, np.array([0.0, 1.0, 1.0])

    def loss(weights: np.ndarray) -> float:
        margin = np.where(right, -1, 1) * (terms @ weights)
        return float(np.logaddexp(0, margin).sum() + 5 * np.sum((weights - usual) ** 2))

    found = np.array(fit_log_odds(terms, right, usual))
    assert np.all(found[1:] >= 0.02)
    for k, step in product(range(3), (-0.01, 0.01)):
        other = found + step * np.eye(3)[k]
        if np.all(other[1:] >= 0.02):
            assert loss(other) >= loss(found) - 1e-5


@FEW
@given(spikes_values(named=False, fs_hz=FS_HZ), spikes_values(named=False, fs_hz=FS_HZ), st.floats(0, 1))
def test_objectives_are_figures_of_the_score(truth: Spikes, found: Spikes, least: float) -> None:
    whole = score(truth, found)
    assert objective(truth, found, "strict", fs_hz=FS_HZ) == whole.strict
    assert objective(truth, found, "f1", fs_hz=FS_HZ) == whole.f_det
    study = objective(truth, found, "study", fs_hz=FS_HZ)
    assert study == pytest.approx(0.85 * whole.score + 0.15 * whole.strict)
    value = objective(truth, found, f"precision={least}", fs_hz=FS_HZ)
    assert value == (whole.recall if whole.precision >= least else pytest.approx(whole.precision - least))


@settings(max_examples=15)
@given(
    candidates(last=3000),
    spikes_values(last=3000, named=False, fs_hz=FS_HZ),
    st.sampled_from(["f1", "study", "strict"]),
)
def test_no_point_of_the_grid_is_better_than_the_one_that_is_tuned(
    found: Candidates, truth: Spikes, name: str
) -> None:
    truth = truth.select(np.isin(truth.unit, UNITS))
    tuning = TuningSettings(objective=name, least_precision=0)
    grid, periods = (0.1, 0.4, 0.8), (0.0, 2.0)
    output = OutputSettings(threshold_grid=grid, refractory_grid_ms=periods, per_unit=False)
    point, value = tune(found, truth, UNITS, tuning, output, fs_hz=FS_HZ)
    every = {
        (-threshold, period): objective(
            truth,
            WorkingPoint(UNITS, (threshold,) * 3, int(period * 25), True).to_spikes(found),
            name,
            fs_hz=FS_HZ,
        )
        for threshold, period in product(grid, periods)
    }
    best = max(every.values())
    assert value == best
    chosen = min(key for key, one in every.items() if one == best)
    assert (point.thresholds, point.refractory_samples) == ((-chosen[0],) * 3, int(chosen[1] * 25))
    each, better = tune(
        found, truth, UNITS, tuning, output.model_copy(update={"per_unit": True}), fs_hz=FS_HZ
    )
    assert better >= value
    assert set(each.thresholds) <= set(grid)


@FEW
@given(st.integers(12, 5000), spikes_values(last=20_000, named=False))
def test_every_spike_is_of_one_fold(period: int, spikes: Spikes) -> None:
    folds = Folds(period)
    chosen = [folds.select(spikes, fold) for fold in range(FOLDS)]
    np.testing.assert_array_equal(np.sum(chosen, axis=0), np.ones(len(spikes)))
    for fold in range(FOLDS):
        np.testing.assert_array_equal(folds.select(spikes, fold, others=True), ~chosen[fold])
        assert np.array_equal(chosen[fold], folds.mask(20_001, fold)[spikes.sample])
    np.testing.assert_array_equal(folds.of(spikes.sample), folds.of(spikes.sample + 3 * period))
