"""Which spikes are asked for, in which order, and what the answers say of others."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from scipy.special import expit

from spikesorter.core.spikes import Spikes
from spikesorter.report.correcting import correct
from spikesorter.report.corrections import SURE, Change, Correction, Edit
from spikesorter.report.judging import (
    EACH,
    EDGES,
    LEVELS,
    TIME_SD,
    TIMES,
    UNIT_SD,
    WORTH,
    Strata,
    answers_of,
    believe,
    choose_next,
    clipped_log_odds,
    level_variances,
    prior_covariance,
)

N = 80_000
FS_HZ = 25_000.0


def made(counts: dict[tuple[int, float], int]) -> Spikes:
    """So many spikes of a unit and a probability, spread evenly over the recording."""
    parts = [
        (np.linspace(0, N - 1, count).astype(int) + unit, np.full(count, unit), np.full(count, p))
        for (unit, p), count in counts.items()
    ]
    return Spikes.from_arrays(*(np.concatenate(one) for one in zip(*parts, strict=True)), fs_hz=FS_HZ)


def order(spikes: Spikes, changes: Sequence[Change] = (), most: int = 60) -> np.ndarray:
    strata = Strata.of(spikes, n_samples=N)
    answers = answers_of(correct(spikes, changes), fs_hz=FS_HZ)
    nothing = np.empty(0, np.int64)
    beliefs = [believe(nothing, nothing.astype(float), nothing.astype(bool)) for _ in strata.unit_ids]
    return choose_next(strata, answers, beliefs, np.zeros(len(beliefs)), most=most)


def test_only_doubtful_spikes_are_asked_for_each_once() -> None:
    spikes = made({(1, 0.5): 20, (1, 0.99): 30, (2, 0.9): 7})
    asked = order(spikes)
    assert len(asked) == len(set(asked.tolist())) == 27
    assert spikes.joint[asked].max() < SURE
    assert len(order(spikes, most=5)) == 5


def test_what_was_decided_is_not_asked_for_again() -> None:
    spikes = made({(1, 0.5): 5, (2, 0.5): 5})
    first = order(spikes)[0]
    decided = Correction(int(spikes.sample[first]), int(spikes.unit[first]), "reject")
    assert sorted(order(spikes, [decided])) == sorted(set(range(10)) - {first})


def test_like_spikes_do_not_follow_each_other() -> None:
    spikes = made({(1, 0.5): 400})
    parts = spikes.sample[order(spikes, most=2 * TIMES)] * TIMES // N
    assert sorted(parts[:TIMES]) == sorted(parts[TIMES:]) == list(range(TIMES))


def test_every_unit_has_its_turn() -> None:
    spikes = made({(1, 0.5): 500, (2, 0.5): 300, (3, 0.55): 200, (4, 0.95): 1})
    units = spikes.unit[order(spikes, most=12)]
    assert {1, 2, 3} <= {*units.tolist()}
    assert max(np.bincount(units)) <= 8


def test_the_unit_on_which_more_hangs_comes_first() -> None:
    many, few = made({(1, 0.6): 10, (2, 0.6): 200}), made({(1, 0.6): 200, (2, 0.6): 10})
    assert many.unit[order(many)[0]] == 2
    assert few.unit[order(few)[0]] == 1


def test_a_spike_near_one_half_tells_more_than_one_that_is_nearly_sure() -> None:
    spikes = made({(1, 0.5): 50, (1, 0.94): 50})
    assert spikes.joint[order(spikes)[0]] == pytest.approx(0.5)


def test_the_first_spike_is_that_which_makes_the_forecast_most_certain() -> None:
    """Each possible first judgement, tried out: the variance of the number of right spikes after it."""
    spikes = made({(1, 0.5): 11, (1, 0.7): 60, (1, 0.92): 150})
    strata = Strata.of(spikes, n_samples=N)
    right = expit(strata.middle[0])
    pull = strata.reported[0] * right * (1 - right)
    after = {}
    for k in np.unique(strata.stratum[strata.queue]).tolist():
        covariance = by_effects(np.where(np.arange(EACH) == k, right * (1 - right), 0.0))
        after[k] = pull @ covariance @ pull
    assert after[int(strata.stratum[order(spikes)[0]])] == pytest.approx(min(after.values()))
    assert max(after.values()) > 1.05 * min(after.values())


def test_answers_draw_like_spikes_most_others_of_the_unit_less() -> None:
    here, later, surer, other = 5, 5 + LEVELS, 6, 6 + LEVELS
    likeness = {
        here: UNIT_SD**2 + level_variances()[5] + TIME_SD**2,
        later: UNIT_SD**2 + level_variances()[5],
        surer: UNIT_SD**2 + TIME_SD**2,
        other: UNIT_SD**2,
    }
    for right, sign in ((False, -1), (True, 1)):
        belief = believe(np.full(6, here), np.zeros(6), np.full(6, right))
        assert sign * belief.shift[here] > 0
        for place, shared in likeness.items():
            assert belief.shift[place] == pytest.approx(belief.shift[here] * shared / likeness[here])
            assert belief.covariance[place, place] < prior_covariance()[place, place]


def test_a_spike_that_was_expected_to_be_wrong_says_little_if_it_is() -> None:
    unlikely, even = (believe(np.array([5]), np.array([odds]), np.array([False])) for odds in (-3.0, 0.0))
    assert even.shift[5] < 3 * unlikely.shift[5] < 0


def test_what_is_believed_is_the_mode_and_the_curvature_of_the_posterior(rng: np.random.Generator) -> None:
    stratum = rng.choice(20, 60)
    stated = rng.normal(size=60)
    right = rng.random(60) < 0.3
    belief = believe(stratum, stated, right)
    expected = expit(stated + belief.shift[stratum])
    slope = np.bincount(stratum, right - expected, minlength=EACH)
    assert belief.shift == pytest.approx(
        by_effects(np.zeros(EACH)) @ slope, abs=1e-6
    )  # where that of both is 0
    weight = np.bincount(stratum, expected * (1 - expected), minlength=EACH)
    assert belief.covariance == pytest.approx(by_effects(weight), abs=1e-9)


def by_effects(weight: np.ndarray) -> np.ndarray:
    """Covariance of the strata, told by the effects of unit, level and time whose sums they are."""
    time, level = np.divmod(np.arange(EACH), LEVELS)
    parts = np.ones((EACH, 1)), np.eye(LEVELS)[level], np.eye(TIMES)[time]
    variance = np.concatenate([[UNIT_SD**2], level_variances(), np.full(TIMES, TIME_SD**2)])
    effects = np.concatenate(parts, axis=1)
    precision = np.diag(1 / variance) + effects.T @ (weight[:, None] * effects)
    return np.asarray(effects @ np.linalg.inv(precision) @ effects.T)


@pytest.mark.parametrize(
    ("change", "right", "alone"),
    [
        (Correction(3000, 1, "accept"), True, True),
        (Correction(3000, 1, "reject"), False, True),
        (Correction(3000, 1, "rename", 2), False, True),
        (Correction(3000, 1, "move", 3010), True, True),  # 0.4 ms
        (Correction(3000, 1, "move", 3011), False, True),
        (Correction(3000, 1, "accept", 2), False, True),
        (Edit("reject", ((3000, 1),)), False, False),
        (Edit("accept", ((3000, 1),)), True, False),
    ],
)
def test_what_a_decision_says_of_a_spike(change: Change, right: bool, alone: bool) -> None:
    spikes = Spikes([3000, 9000], [1, 2], [0.5, 0.5])
    answers = answers_of(correct(spikes, [change]), fs_hz=FS_HZ)
    assert answers.decided.tolist() == [True, False]
    assert (bool(answers.right[0]), bool(answers.alone[0])) == (right, alone)
    assert not answers.right[1]


def test_a_spike_of_a_unit_that_was_merged_is_right_if_it_is_accepted() -> None:
    spikes = Spikes([3000, 9000], [1, 2], [0.5, 0.5])
    changes = [Edit("merge", unit=1, to=2), Correction(3000, 1, "accept")]
    assert answers_of(correct(spikes, changes), fs_hz=FS_HZ).right.tolist() == [True, False]
    back = [*changes, Correction(3000, 1, "undo")]
    assert not answers_of(correct(spikes, back), fs_hz=FS_HZ).decided.any()


def test_log_odds_of_certain_spikes_are_finite() -> None:
    assert clipped_log_odds(np.array([0.0, 1.0])) == pytest.approx([-6.9, 6.9], abs=0.01)
    assert expit(clipped_log_odds(np.array([0.2, 0.9]))) == pytest.approx([0.2, 0.9])


def test_no_spikes_no_questions() -> None:
    assert order(Spikes.empty()).tolist() == []


def test_what_is_stated_counts_as_a_number_of_judged_spikes() -> None:
    """So many spikes of which as many are right as were expected halve the variance of their range."""
    for level, variance in enumerate(level_variances()):
        p = (np.concatenate([[0.0], EDGES, [1.0]])[level : level + 2]).mean()
        assert variance * WORTH * p * (1 - p) == pytest.approx(1.0)
