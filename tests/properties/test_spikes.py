from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from spikesorter import InputError, Score, Spikes, score, study_score
from spikesorter.core.spike_arrays import FIELDS
from tests.properties.strategies import FS_HZ, spikes_values

WRONG = st.one_of(
    st.lists(st.floats(), min_size=1, max_size=4),
    st.lists(st.text(max_size=3), min_size=1, max_size=3),
    st.lists(st.none(), min_size=1, max_size=3),
    st.lists(st.integers(-(2**70), 2**70), min_size=1, max_size=4),
    st.lists(st.lists(st.integers(0, 9), max_size=2), min_size=1, max_size=3),
    st.none(),
    st.text(),
    st.floats(),
)


def is_train(values: object) -> bool:
    return isinstance(values, list) and all(
        isinstance(v, int | float) and 0 <= v < 2**53 and v == int(v) for v in values
    )


@given(WRONG)
def test_samples_are_whole_numbers_or_refused_in_words(values: Any) -> None:
    unit_ids = [1] * (len(values) if isinstance(values, list) else 1)
    if is_train(values):
        assert Spikes.from_arrays(values, unit_ids).sample.tolist() == sorted(values)
    else:
        with pytest.raises(InputError, match="spikes"):
            Spikes.from_arrays(values, unit_ids)


@given(WRONG)
def test_units_and_probabilities_are_numbers_or_refused_in_words(values: Any) -> None:
    length = len(values) if isinstance(values, list) else 1
    train = range(length)
    if is_train(values):
        assert Spikes.from_arrays(train, values).unit.tolist() == values
    else:
        with pytest.raises(InputError, match="spikes"):
            Spikes.from_arrays(train, values)
    several = values if isinstance(values, list) else [values]  # one number holds for all
    if not all(isinstance(v, int | float) and 0 <= v <= 1 for v in several):
        assume(values is not None)  # which means: not given
        with pytest.raises(InputError, match="spikes"):
            Spikes.from_arrays(train, [1] * length, values)


@given(st.data())
def test_spikes_are_the_same_in_whatever_order_they_come(data: st.DataObject) -> None:
    one = data.draw(spikes_values())
    order = data.draw(st.permutations(range(len(one))))
    parts = [getattr(one, name)[order] for name in FIELDS]
    before = [part.copy() for part in parts]
    again = Spikes.from_arrays(*parts)
    assert (again.sample.tolist(), again.unit.tolist()) == (one.sample.tolist(), one.unit.tolist())
    assert sorted(zip(*(getattr(again, name).tolist() for name in FIELDS), strict=True)) == sorted(
        zip(*(getattr(one, name).tolist() for name in FIELDS), strict=True)
    )
    for part, old in zip(parts, before, strict=True):
        np.testing.assert_array_equal(part, old)
    with pytest.raises(ValueError, match="read-only"):
        again.sample[...] = 0


@given(spikes_values(least_unit=0), st.integers(0, 10_000))
def test_parts_make_the_whole(spikes: Spikes, cut: int) -> None:
    assert Spikes.concatenate([spikes.within(0, cut), spikes.within(cut, 10_001)]) == spikes
    by_unit = Spikes.concatenate([spikes.of(unit) for unit in spikes.unit_ids])
    assert by_unit.counts() == spikes.counts()
    assert len(by_unit) == len(spikes) == sum(spikes.counts().values())
    assert spikes.shifted(7).shifted(-7) == spikes
    assert spikes[:] == spikes == Spikes.concatenate([spikes[: cut % 7], spikes[cut % 7 :]])
    assert (
        [one.sample for one in spikes] == spikes.sample.tolist() == spikes.to_dataframe()["sample"].tolist()
    )
    assert spikes.select(np.ones(len(spikes), bool)) == spikes


@given(spikes_values(distinct=True))
def test_spikeinterface_gives_back_what_it_was_given(spikes: Spikes) -> None:
    again = Spikes.from_spikeinterface(spikes.to_spikeinterface())
    assert again.sample.tolist() == spikes.sample.tolist()
    assert [again.name_of(unit) for unit in again.unit.tolist()] == [
        spikes.name_of(unit) for unit in spikes.unit.tolist()
    ]
    assert again.fs_hz == spikes.fs_hz


@given(spikes_values(named=False, fs_hz=FS_HZ), spikes_values(named=False, fs_hz=FS_HZ))
def test_a_score_keeps_to_its_bounds_and_counts_every_spike(true: Spikes, found: Spikes) -> None:
    result = score(true, found, fs_hz=FS_HZ)
    assert isinstance(result, Score)
    assert all(0 <= value <= 1 for value in result.summary().values())
    assert result.score == pytest.approx(0.3 * result.f_det + 0.7 * result.f_cls)
    counted = {
        k: int(n) for k, n in zip(result.unit_ids, result.confusion.sum(axis=1)[:-1], strict=True) if n
    }
    assert counted == true.counts()
    counted = {
        k: int(n) for k, n in zip(result.unit_ids, result.confusion.sum(axis=0)[:-1], strict=True) if n
    }
    assert counted == found.counts()


@given(spikes_values(named=False, fs_hz=FS_HZ), spikes_values(named=False, fs_hz=FS_HZ))
def test_true_and_found_change_places(true: Spikes, found: Spikes) -> None:
    assert score(true, found).f_det == pytest.approx(score(found, true).f_det)
    assert score(true, found).precision == pytest.approx(score(found, true).recall)


@given(
    spikes_values(named=False, fs_hz=FS_HZ),
    spikes_values(named=False, fs_hz=FS_HZ),
    st.permutations([1, 2, 3, 4]),
)
def test_units_may_be_numbered_in_any_way_if_both_sides_agree(
    found: Spikes, true: Spikes, numbers: list[int]
) -> None:
    assume(len(np.unique(true.sample)) == len(true) and len(np.unique(found.sample)) == len(found))

    def renumbered(spikes: Spikes) -> Spikes:
        return Spikes.from_arrays(spikes.sample, [numbers[unit - 1] for unit in spikes.unit])

    assert score(renumbered(true), renumbered(found)).score == pytest.approx(score(true, found).score)


@given(spikes_values(named=False, fs_hz=FS_HZ).filter(len))
def test_the_truth_itself_scores_one_and_nothing_scores_nothing(true: Spikes) -> None:
    assert score(true, true).score == score(true, true).strict == 1
    assert score(true, Spikes.empty()).score == 0


@given(st.sampled_from([0.0, -1.0, np.nan, np.inf, 1e9]), spikes_values())
def test_rates_that_make_no_sense_are_refused(fs_hz: float, spikes: Spikes) -> None:
    with pytest.raises(InputError, match="fs_hz"):
        score(spikes, spikes, fs_hz=fs_hz)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_a_study_lies_between_its_recordings_and_weighs_the_noisier_more(scores: list[float]) -> None:
    whole = study_score({f"D{k}": value for k, value in enumerate(scores, start=2)})
    assert min(scores) - 1e-12 <= whole <= max(scores) + 1e-12
    if sorted(scores) == scores and scores[0] < scores[-1]:
        assert whole >= np.mean(scores)
