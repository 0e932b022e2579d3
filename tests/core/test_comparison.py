from __future__ import annotations

import numpy as np
import pytest
from spikeinterface.comparison import compare_sorter_to_ground_truth

from spikesorter.core.bad_stretches import BadStretches
from spikesorter.core.comparison import UnitComparison, compare_sortings
from spikesorter.core.errors import InputError, SettingsError
from spikesorter.core.spikes import Spikes

FS_HZ = 30_000.0


@pytest.fixture
def true(rng: np.random.Generator) -> Spikes:
    names = {1: "b", 2: "a", 3: "c"}
    return Spikes.from_arrays(
        rng.integers(0, 600_000, 600), rng.choice([1, 2, 3], 600), fs_hz=FS_HZ, names=names
    )


@pytest.fixture
def found(true: Spikes, rng: np.random.Generator) -> Spikes:
    """Half of one unit is missed, another is called otherwise, false spikes are added."""
    keep = (true.unit != 3) | (rng.random(len(true)) < 0.4)
    right = true.select(keep).shifted(3)
    false = rng.integers(0, 600_000, 40)
    unit_ids = [*(right.unit + 6).tolist(), *[8] * 40]
    return Spikes.from_arrays([*right.sample.tolist(), *false.tolist()], unit_ids, fs_hz=FS_HZ)


def test_figures_are_those_of_spikeinterface(found: Spikes, true: Spikes) -> None:
    comparison = compare_sortings(true, found)
    theirs = compare_sorter_to_ground_truth(true.to_spikeinterface(), found.to_spikeinterface())
    table = theirs.get_performance()
    for unit in comparison.units:
        for figure in ("accuracy", "precision", "recall"):
            assert getattr(unit, figure) == pytest.approx(table.loc[unit.unit, figure])
    assert [unit.unit for unit in comparison.units] == ["b", "a", "c"]
    assert [unit.found_as for unit in comparison.units] == ["7", "8", None]  # agrees by less than half
    assert comparison.unpaired == ("9",)
    assert comparison.accuracy == pytest.approx(table["accuracy"].astype(float).mean())


def test_units_can_be_paired_by_name_however_little_they_agree() -> None:
    true = Spikes.from_arrays([1000, 2000, 3000, 4000], [1, 1, 1, 2], fs_hz=FS_HZ)
    found = Spikes.from_arrays([1000, 4000, 5000, 6000], [1, 1, 2, 3], fs_hz=FS_HZ)
    by_name = compare_sortings(true, found, pairing="name")
    assert by_name.units[0] == UnitComparison("1", "1", 0.25, 0.5, 1 / 3, 3, 2)
    assert by_name.units[1] == UnitComparison("2", "2", 0.0, 0.0, 0.0, 1, 1)
    assert by_name.unpaired == ("3",)
    assert [unit.found_as for unit in compare_sortings(true, found).units] == [None, "1"]


@pytest.mark.parametrize(("distance", "hit"), [(12, True), (13, False)])
def test_the_tolerance_is_a_time(distance: int, hit: bool) -> None:
    true = Spikes.from_arrays([1000], [1], fs_hz=FS_HZ)
    assert compare_sortings(true, true.shifted(distance)).accuracy == float(hit)
    assert compare_sortings(true, true.shifted(distance), tolerance_ms=1.0).accuracy == 1


def test_the_truth_comes_first() -> None:
    truth = Spikes([1000, 2000, 3000, 4000], [1, 1, 1, 1], fs_hz=FS_HZ)
    found = Spikes([1000, 2000, 3000], [1, 1, 1], fs_hz=FS_HZ)
    comparison = compare_sortings(truth, found)
    assert (comparison.precision, comparison.recall) == (1.0, 0.75)


def test_no_spikes_is_a_result() -> None:
    true = Spikes.from_arrays([1000, 2000], [1, 2], fs_hz=FS_HZ)
    nothing = compare_sortings(true, Spikes.empty())
    assert (nothing.accuracy, nothing.precision, nothing.recall) == (0, 0, 0)
    assert [unit.true_spikes for unit in nothing.units] == [1, 1]
    assert compare_sortings(Spikes.empty(), true).units == ()
    assert compare_sortings(Spikes.empty(), true).unpaired == ("1", "2")
    assert compare_sortings(Spikes.empty(), Spikes.empty(), fs_hz=FS_HZ).accuracy == 0


def test_silent_units_and_outlier_spikes_are_not_judged() -> None:
    true = Spikes.from_arrays([1000], [1], fs_hz=FS_HZ, names={1: "a", 2: "silent"})
    found = Spikes.from_arrays([1000, 5000], [1, 0], fs_hz=FS_HZ)
    comparison = compare_sortings(true, found)
    assert [unit.unit for unit in comparison.units] == ["a"]
    assert (comparison.accuracy, comparison.unpaired) == (1, ())


def test_the_summary_is_plain(found: Spikes, true: Spikes) -> None:
    summary = compare_sortings(true, found).summary()
    assert summary["units"][2] == {
        "unit": "c",
        "found_as": None,
        "accuracy": 0.0,
        "precision": 0.0,
        "recall": 0.0,
        "true_spikes": true.counts()[3],
        "found_spikes": 0,
    }


def test_what_is_missing_or_wrong_is_said() -> None:
    spikes = Spikes.from_arrays([1000], [1])
    with pytest.raises(InputError, match="sampling rate is not known; give fs_hz"):
        compare_sortings(spikes, spikes)
    with pytest.raises(InputError, match=r"different sampling rates \(25000 and 30000 Hz\)"):
        compare_sortings(spikes, spikes.described(fs_hz=25_000.0, names={}), fs_hz=FS_HZ)
    with pytest.raises(SettingsError, match="hungarian or name, not 'best'"):
        compare_sortings(spikes, spikes, fs_hz=FS_HZ, pairing="best")  # type: ignore[arg-type]


def test_a_found_unit_may_be_called_like_a_true_one_or_not() -> None:
    def compared(true_name: str, found_name: str, shift: int) -> bool:
        true = Spikes.from_arrays([1000, 2000], [1, 1], fs_hz=FS_HZ, names={1: true_name})
        found = Spikes.from_arrays([1000 + shift, 2000 + shift], [1, 1], fs_hz=FS_HZ, names={1: found_name})
        return compare_sortings(true, found).has_namesakes

    assert compared("a", "a", shift=0)
    assert compared("a", "a", shift=500)  # called so, though it is no match
    assert not compared("a", "b", shift=0)
    assert not compared("a", "b", shift=500)


def test_where_nothing_is_true_or_found_no_name_could_be_a_namesake() -> None:
    spikes = Spikes.from_arrays([1000], [1], fs_hz=FS_HZ)
    assert compare_sortings(Spikes.empty(), spikes).has_namesakes is True
    assert compare_sortings(spikes, Spikes.empty()).has_namesakes is True


def test_units_are_compared_outside_bad_stretches() -> None:
    true = Spikes([100, 1000, 5000], [1, 1, 1], fs_hz=25_000.0, bad=BadStretches.of([(900, 1200, "dead")]))
    found = Spikes([100, 1150, 5000], [7, 7, 7])
    (unit,) = compare_sortings(true, found).units
    assert (unit.accuracy, unit.true_spikes, unit.found_spikes) == (1.0, 2, 2)
