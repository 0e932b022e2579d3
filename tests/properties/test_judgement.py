"""How good a sorting is, and is expected to be: figures that hold whatever was found."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spikesorter import Spikes, score
from spikesorter.core.comparison import compare_sortings
from spikesorter.core.score import match_spikes, study_score, study_weights
from spikesorter.decoding.candidates import Candidates
from spikesorter.sorting.diagnostics import diagnose, measure_reliability, measure_trade_off
from spikesorter.sorting.forecast import Forecast, forecast_score, forecast_study
from spikesorter.sorting.look_back import Reckoning, corrected_forecast, reckon
from tests.properties.strategies import FS_HZ, spikes_values

FEW = settings(max_examples=20)
N_SAMPLES = 10_001
UNITS = (1, 2, 3, 4)
SOME = spikes_values(named=False, fs_hz=FS_HZ, most=40)
SHARE = st.floats(0, 1)
REACH = 10  # samples at 25 kHz, in 0.4 ms


def right_of(truth: Spikes, found: Spikes) -> np.ndarray:
    """Which spikes are right: each true spike once, the nearest first."""
    right = np.zeros(len(found), bool)
    for unit in found.unit_ids:
        own = np.flatnonzero(found.unit == unit)
        right[own[match_spikes(truth.of(unit).sample, found.sample[own], tolerance_samples=REACH)[1]]] = True
    return right


def candidates_of(spikes: Spikes) -> Candidates:
    return Candidates(spikes.sample, spikes.unit, spikes.probability, spikes.unit_probability)


@FEW
@given(SOME, SOME)
def test_each_point_of_a_trade_off_is_what_its_threshold_leaves(truth: Spikes, found: Spikes) -> None:
    curve = measure_trade_off(truth, found, fs_hz=FS_HZ)
    right, stated = right_of(truth, found), found.joint.astype(float)
    assert curve.threshold.tolist() == sorted(set(stated.tolist()))
    for threshold, precision, recall in zip(curve.threshold, curve.precision, curve.recall, strict=True):
        above = stated >= threshold
        assert precision == pytest.approx(right[above].mean())
        assert recall == pytest.approx(right[above].sum() / max(len(truth), 1))
    assert np.all(np.diff(curve.recall) <= 0)


@FEW
@given(st.integers(0, 2**32 - 1), st.integers(101, 3000))
def test_a_long_trade_off_is_thinned_and_keeps_its_ends(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    probability = rng.random(count).astype(np.float32)
    found = Spikes.from_arrays(np.arange(count) * 100, np.ones(count, int), probability)
    truth = found.select(rng.random(count) < probability)
    curve = measure_trade_off(truth, found, fs_hz=FS_HZ)
    assert 90 < len(curve.threshold) <= 101
    assert np.all(np.diff(curve.threshold) > 0)
    assert (curve.threshold[0], curve.threshold[-1]) == (probability.min(), probability.max())
    assert curve.recall[0] == pytest.approx(1.0 if len(truth) else 0.0)
    assert curve.precision[0] == pytest.approx(len(truth) / count)


@FEW
@given(SOME, SOME)
def test_reliability_counts_every_spike_in_its_tenth(truth: Spikes, found: Spikes) -> None:
    bins = measure_reliability(truth, found, fs_hz=FS_HZ)
    stated, right = found.joint.astype(float), right_of(truth, found)
    assert bins.events.sum() == len(found)
    tenth = np.array([min(int(value * 10), 9) for value in stated.tolist()], int)
    for k in range(10):
        own = tenth == k
        assert bins.events[k] == own.sum()
        if own.any():
            assert bins.stated[k] == pytest.approx(stated[own].mean())
            assert bins.right[k] == pytest.approx(right[own].mean())
        else:
            assert np.isnan(bins.stated[k])
            assert np.isnan(bins.right[k])


@FEW
@given(SOME, SOME)
def test_a_diagnosis_agrees_with_the_score_and_its_own_curve(truth: Spikes, found: Spikes) -> None:
    noise = np.ones((5, 1))
    seen = diagnose(candidates_of(found), truth, found, noise=noise, fs_hz=FS_HZ)
    whole = score(truth, found)
    assert seen.unit_ids == whole.unit_ids
    np.testing.assert_array_equal(seen.confusion, whole.confusion)
    assert seen.noise is noise
    if len(found):
        assert seen.precision == pytest.approx(seen.trade_off.precision[0])
        assert seen.recall == pytest.approx(seen.trade_off.recall[0])
        events, right = seen.reliability.events, np.nan_to_num(seen.reliability.right)
        assert (events * right).sum() / len(found) == pytest.approx(seen.precision)
    assert seen.precision * len(found) == pytest.approx(seen.recall * len(truth))


@FEW
@given(SOME, SOME)
def test_the_confusion_holds_every_spike_once(truth: Spikes, found: Spikes) -> None:
    result = score(truth, found)
    for k, unit in enumerate(result.unit_ids):
        assert result.confusion[k].sum() == np.sum(truth.unit == unit)
        assert result.confusion[:, k].sum() == np.sum(found.unit == unit)
    assert result.confusion[-1, -1] == 0
    pairs = result.confusion[:-1, :-1].sum()
    assert result.recall * len(truth) == pytest.approx(pairs)
    assert result.precision * len(found) == pytest.approx(pairs)


@settings(max_examples=5)
@given(SOME, SOME)
def test_a_comparison_counts_as_its_figures_say(truth: Spikes, found: Spikes) -> None:
    compared = compare_sortings(truth, found, pairing="name")
    for unit in compared.units:
        number = int(unit.unit)
        hits = len(match_spikes(truth.of(number).sample, found.of(number).sample, tolerance_samples=REACH)[0])
        assert (unit.true_spikes, unit.found_spikes) == (
            np.sum(truth.unit == number),
            np.sum(found.unit == number),
        )
        assert unit.recall == pytest.approx(hits / unit.true_spikes)
        assert unit.precision == pytest.approx(hits / unit.found_spikes if unit.found_spikes else 0)
        every = unit.true_spikes + unit.found_spikes - hits
        assert unit.accuracy == pytest.approx(hits / every)
    assert {unit.unit for unit in compared.units} == {str(k) for k in truth.unit_ids}
    assert set(compared.unpaired) == {str(k) for k in set(found.unit_ids) - set(truth.unit_ids)}


@given(st.integers(1, 30))
def test_a_studys_weights_rise_evenly_and_add_up(targets: int) -> None:
    weights = study_weights(targets)
    assert sum(weights) == pytest.approx(1)
    np.testing.assert_allclose(np.diff(weights), weights[0] / 2)
    assert study_score(dict.fromkeys(map(str, range(targets)), 0.7)) == pytest.approx(0.7)


def forecast_of(truth: Spikes, found: Spikes, target: int = N_SAMPLES, unlike: int | None = None) -> Forecast:
    return forecast_score(
        truth,
        found,
        UNITS,
        n_samples=N_SAMPLES,
        target_samples=target,
        fs_hz=FS_HZ,
        unlike_samples=unlike,
    )


@FEW
@given(SOME, SOME, st.integers(1, 10))
def test_a_forecast_is_the_score_within_an_interval(truth: Spikes, found: Spikes, times: int) -> None:
    whole, forecast = score(truth, found), forecast_of(truth, found)
    for name in ("score", "strict", "precision", "recall", "f_det", "f_cls"):
        assert getattr(forecast, name) == getattr(whole, name)
    assert forecast.f1 == tuple(whole.strict_of.get(unit, 0.0) for unit in UNITS)
    assert 0 <= forecast.low <= forecast.score <= forecast.high <= 1
    longer = forecast_of(truth, found, target=times * N_SAMPLES)
    assert longer.low >= forecast.low
    assert longer.high <= forecast.high
    repeated = forecast_of(truth, found, unlike=N_SAMPLES // times)
    assert repeated.low <= forecast.low
    assert repeated.high >= forecast.high


@FEW
@given(st.lists(st.tuples(SOME, SOME), min_size=1, max_size=4))
def test_a_written_forecast_has_every_figure(pairs: list[tuple[Spikes, Spikes]]) -> None:
    forecasts = {f"D{k + 2}": forecast_of(*pair) for k, pair in enumerate(pairs)}
    written = forecast_study(forecasts)
    weights = study_weights(len(pairs))
    expected = sum(w * one.score for w, one in zip(weights, forecasts.values(), strict=True))
    assert written["study"] == pytest.approx(expected, abs=1e-4)
    for name, one in forecasts.items():
        summary = written["recordings"][name]  # type: ignore[index]
        assert summary == one.summary()
        for figure in ("score", "low", "high", "strict", "precision", "recall", "f_det", "f_cls"):
            assert summary[figure] == pytest.approx(getattr(one, figure), abs=1e-4)
        assert summary["f1"] == {
            str(k): pytest.approx(v, abs=1e-4) for k, v in zip(UNITS, one.f1, strict=True)
        }
        assert "remarks" not in summary
    told = replace(forecasts["D2"], remarks=("a", "b")).summary()
    assert told["remarks"] == ["a", "b"]


@FEW
@given(SOME, SHARE, st.floats(0.1, 100))
def test_what_is_reckoned_are_sums_of_probabilities(every: Spikes, least: float, seconds: float) -> None:
    found = every.select(every.joint >= np.float32(least))
    result = reckon(candidates_of(every), found, UNITS, seconds=seconds)
    np.testing.assert_allclose(result.counts * seconds, [np.sum(found.unit == k) for k in UNITS])
    joint = found.joint.astype(float)
    assert result.precision == pytest.approx(joint.sum() / max(len(found), 1))
    each = []
    for unit in UNITS:
        right = joint[found.unit == unit].sum()
        true = every.joint.astype(float)[every.unit == unit].sum()
        each.append(2 * right / max(np.sum(found.unit == unit) + max(true, right), 1e-9))
    assert result.strict == pytest.approx(np.mean(each))
    assert 0 <= result.score <= 1 + 1e-6
    sure = Spikes(found.sample, found.unit)
    certain = reckon(candidates_of(sure), sure, UNITS, seconds=seconds)
    assert certain.precision == (1.0 if len(found) else 0.0)
    assert certain.strict == pytest.approx(len(found.unit_ids) / len(UNITS))


@st.composite
def reckonings(draw: st.DrawFn) -> Reckoning:
    counts = draw(st.lists(st.floats(0, 200), min_size=2, max_size=2))
    return Reckoning(np.array(counts), draw(SHARE), draw(SHARE), draw(SHARE))


@FEW
@given(SOME, SOME, reckonings(), reckonings(), st.floats(1, 1000))
def test_a_look_back_only_lowers_a_forecast(
    truth: Spikes, found: Spikes, rehearsed: Reckoning, target: Reckoning, seconds: float
) -> None:
    before = forecast_of(truth, found)
    after = corrected_forecast(before, rehearsed, target, ("a", "b"), usual=np.zeros(2), seconds=seconds)
    for name in ("score", "strict", "precision", "low"):
        assert 0 <= getattr(after, name) <= getattr(before, name)
    for name in ("recall", "f_det", "f_cls", "f1", "high", "unit_ids"):
        assert getattr(after, name) == getattr(before, name)
    assert after.low <= after.score
    expected = np.maximum(rehearsed.counts, 10 / seconds)
    crowded = [
        name for name, one, usual in zip("ab", target.counts, expected, strict=True) if one > 4 * usual
    ]
    named = [remark[5] for remark in after.remarks if remark.startswith("unit ")]
    assert named == crowded
    same = corrected_forecast(before, rehearsed, rehearsed, ("a", "b"), usual=np.zeros(2), seconds=seconds)
    assert (same.score, same.strict) == (before.score, before.strict)
