"""The forecast after some spikes were judged, and the sentences on it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.special import expit

from spikesorter.core.spikes import UNKNOWN, Spikes
from spikesorter.report.correcting import correct
from spikesorter.report.corrections import Change, Correction, Edit
from spikesorter.report.revision import ENOUGH, Judging, contents_of
from spikesorter.report.verdict import Shares

N = 1_000_000
FS_HZ = 25_000.0
FORECAST = {1: Shares(600, 540, 600), 2: Shares(200, 190, 200)}


@pytest.fixture
def spikes(rng: np.random.Generator) -> Spikes:
    """600 spikes of unit 1, 200 of unit 2; each right with the probability that is stated."""
    return Spikes.from_arrays(
        rng.choice(N, 800, replace=False), np.repeat([1, 2], [600, 200]), rng.uniform(0.8, 1.0, 800)
    )


@pytest.fixture
def judging(spikes: Spikes) -> Judging:
    return Judging(spikes, n_samples=N, fs_hz=FS_HZ, expected=FORECAST)


def answered(
    judging: Judging, spikes: Spikes, shift: dict[int, float], count: int, rng: np.random.Generator
) -> list[Change]:
    """Judge the spikes that are asked for, one after the other; `shift`: of their true log odds, by unit."""
    changes: list[Change] = []
    for _ in range(count):
        k = int(judging.following(correct(spikes, changes), most=1)[0])
        unit = int(spikes.unit[k])
        accepted = rng.random() < expit(judging.strata.stated[k] + shift[unit])
        changes.append(Correction(int(spikes.sample[k]), unit, "accept" if accepted else "reject"))
    return changes


def test_without_judgements_the_forecast_is_that_of_the_result(judging: Judging, spikes: Spikes) -> None:
    revision = judging.revision(correct(spikes, []))
    for unit, one in revision.units.items():
        assert one.before.precision == pytest.approx(FORECAST[unit].precision)
        assert one.before.recall == pytest.approx(FORECAST[unit].recall)
        assert one.after == one.before
        assert one.low < (one.after.precision or 0) < one.high
    assert revision.whole.after.precision == pytest.approx(730 / 800)
    assert revision.whole.after.recall == pytest.approx(730 / 800)
    assert revision.sentence({}).startswith(f"Judge {ENOUGH} more spikes, and this line says")
    assert revision.lines({}) == []


def test_twenty_judgements_change_the_forecast_of_the_unit_that_is_worse(
    judging: Judging, spikes: Spikes, rng: np.random.Generator
) -> None:
    changes = answered(judging, spikes, {1: -4.0, 2: 3.0}, ENOUGH, rng)
    revision = judging.revision(correct(spikes, changes))
    one, other, whole = revision.units[1], revision.units[2], revision.whole
    assert (one.after.precision or 1) < (one.before.precision or 0) - 0.2
    assert abs(other.change) < 0.05
    assert (one.after.recall or 1) < (one.before.recall or 0)  # as many are missed, and fewer are right
    assert whole.judged == ENOUGH == one.judged + other.judged
    assert one.low < (one.after.precision or 0) < one.high
    said = revision.sentence({1: "basket"})
    assert said.startswith(f"After {ENOUGH} judged spikes ({whole.right} right): ")
    assert "(before: 91) reported spikes are expected to be right (90 % interval " in said
    assert "the greatest change is in unit basket: " in said
    first, *_ = revision.lines({1: "basket"})
    assert first.startswith(f"Unit basket, {one.judged} judged ({one.right} right): ")
    assert "true spikes found." in first
    assert contents_of(revision, {})["judged"] == ENOUGH


def test_many_judgements_lead_to_the_truth_and_to_a_narrow_interval(
    judging: Judging, spikes: Spikes, rng: np.random.Generator
) -> None:
    shift = {1: -0.9, 2: 0.0}
    few, many = (
        judging.revision(correct(spikes, answered(judging, spikes, shift, count, rng))).units[1]
        for count in (10, 200)
    )
    true = float(expit(judging.strata.stated[spikes.unit == 1] - 0.9).mean())
    before, after = (one.precision or 0 for one in (many.before, many.after))
    assert before - true > 0.05
    assert abs(after - true) < 0.6 * (before - true)
    assert many.high - many.low < 0.8 * (few.high - few.low)
    assert many.low < after < many.high < before


def test_what_was_decided_of_all_spikes_is_known(judging: Judging, spikes: Spikes) -> None:
    every = [
        Correction(sample, unit, "reject" if k % 4 == 0 else "accept")
        for k, (sample, unit) in enumerate(zip(spikes.sample.tolist(), spikes.unit.tolist(), strict=True))
    ]
    whole = judging.revision(correct(spikes, every)).whole
    assert whole.after.precision == pytest.approx(0.75)
    assert (whole.low, whole.high) == pytest.approx((0.75, 0.75))


def test_many_that_are_rejected_together_count_but_say_nothing_of_others(
    judging: Judging, spikes: Spikes
) -> None:
    own = np.flatnonzero(spikes.unit == 1)[:100]
    before = judging.revision(correct(spikes, [])).units[1]
    chosen = tuple((int(spikes.sample[k]), 1) for k in own)
    after = judging.revision(correct(spikes, [Edit("reject", chosen)])).units[1]
    assert (after.judged, judging.revision(correct(spikes, [Edit("reject", chosen)])).whole.judged) == (0, 0)
    assert (before.after.precision or 0) - (after.after.precision or 0) == pytest.approx(90 / 600, abs=0.01)


def test_spikes_that_were_added_or_given_to_a_unit_were_missed(judging: Judging, spikes: Spikes) -> None:
    before = judging.revision(correct(spikes, [])).units[2]
    assert before.after.true - before.after.right == pytest.approx(10)
    given = [(int(spikes.sample[k]), 1) for k in np.flatnonzero(spikes.unit == 1)[:30]]
    free = [sample for sample in range(5, 200) if sample not in spikes.sample][:10]
    changes: list[Change] = [Edit("rename", tuple(given), to=2)]
    changes += [Correction(sample, 2, "add") for sample in free]
    after = judging.revision(correct(spikes, changes)).units[2].after
    assert after.true - after.right == pytest.approx(40)
    taken_back = [*changes, *[Edit("undo")] * 11]
    assert judging.revision(correct(spikes, taken_back)).units[2].after == before.after


def test_without_a_forecast_the_stated_probabilities_hold_and_nothing_is_said_of_missed_spikes(
    spikes: Spikes, rng: np.random.Generator
) -> None:
    judging = Judging(spikes, n_samples=N, fs_hz=FS_HZ)
    whole = judging.revision(correct(spikes, [])).whole
    assert whole.before.precision == pytest.approx(spikes.joint.mean(), abs=1e-3)
    assert math.isnan(whole.after.true)
    changes = answered(judging, spikes, {1: 0.0, 2: 0.0}, ENOUGH, rng)
    assert "true spikes" not in judging.revision(correct(spikes, changes)).sentence({})


def test_where_one_units_missed_spikes_are_not_known_those_of_others_are_said(spikes: Spikes) -> None:
    expected = {1: Shares(600, 540, 600), 2: Shares(200, 190, math.nan)}
    judging = Judging(spikes, n_samples=N, fs_hz=FS_HZ, expected=expected)
    revision = judging.revision(correct(spikes, []))
    assert revision.units[2].after.recall is None
    assert revision.whole.after.recall == pytest.approx(730 / 790)


def test_outlier_spikes_are_not_in_the_forecast() -> None:
    spikes = Spikes([10, 20, 30], [UNKNOWN, 1, 1], [0.5, 0.9, 0.9])
    judging = Judging(spikes, n_samples=100, fs_hz=FS_HZ)
    revision = judging.revision(correct(spikes, []))
    assert (list(revision.units), revision.whole.reported) == ([1], 2)
    assert sorted(judging.following(correct(spikes, []), most=9).tolist()) == [0, 1, 2]


def test_of_nothing_nothing_is_said() -> None:
    judging = Judging(Spikes.empty(), n_samples=100, fs_hz=FS_HZ)
    revision = judging.revision(correct(Spikes.empty(), []))
    assert (revision.units, revision.whole.after.precision, revision.lines({})) == ({}, None, [])
    assert revision.sentence({}).startswith("Judge")


def test_the_names_of_units_are_those_that_are_given(judging: Judging, spikes: Spikes) -> None:
    every: list[Change] = [
        Correction(sample, unit, "accept")
        for sample, unit in zip(spikes.sample.tolist(), spikes.unit.tolist(), strict=True)
    ]
    said = judging.revision(correct(spikes, every[:-1])).sentence({1: "<b>"})
    assert "all (before: 91)" in said or "more than 99 of 100 (before: 91)" in said
