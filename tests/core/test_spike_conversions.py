from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest
from spikeinterface.core import NumpySorting

from spikesorter.core.bad_stretches import BadStretches
from spikesorter.core.errors import InputError
from spikesorter.core.spikes import Spikes

SOME = Spikes([1, 5, 9, 12], [1, 2, 1, 0], [0.5, 1, 1, 1], fs_hz=1000.0, names={1: "a", 2: "b"})


def test_a_table_has_names_and_times() -> None:
    table = SOME.to_dataframe()
    assert list(table) == ["sample", "time_s", "unit", "name", "probability", "unit_probability"]
    assert table.time_s.tolist() == pytest.approx([0.001, 0.005, 0.009, 0.012])
    assert table.name.tolist() == ["a", "b", "a", "0"]
    assert table.probability.tolist() == [0.5, 1, 1, 1]
    assert "time_s" not in Spikes([1], [1]).to_dataframe()
    assert Spikes.empty().to_dataframe().empty


def test_a_repr_is_short_and_has_names() -> None:
    assert repr(SOME) == "Spikes(4 spikes of 3 units; 0: 1, a: 2, b: 1; 1000 Hz)"
    assert repr(Spikes([1], [7])) == "Spikes(1 spike of 1 unit; 7: 1)"
    assert repr(Spikes.empty()) == "Spikes(0 spikes of 0 units)"
    assert repr(Spikes(range(9), range(9))) == (
        "Spikes(9 spikes of 9 units; 0: 1, 1: 1, 2: 1, 3: 1, 4: 1, 5: 1, ...)"
    )


def test_a_sorting_of_another_tool_goes_in_and_out() -> None:
    units = {"b": np.array([7, 30]), "a": np.array([9]), "silent": np.array([], np.int64)}
    sorting = NumpySorting.from_unit_dict([units], 30_000.0)
    spikes = Spikes.from_spikeinterface(sorting)
    assert spikes == Spikes.from_arrays([7, 9, 30], [1, 2, 1])
    assert spikes.fs_hz == 30_000
    assert spikes.names == {1: "b", 2: "a", 3: "silent"}
    back = spikes.select(spikes.unit == 1).shifted(2).to_spikeinterface()
    assert back.unit_ids.tolist() == ["b", "a", "silent"]
    assert back.get_unit_spike_train("b").tolist() == [9, 32]
    assert len(back.get_unit_spike_train("silent")) == 0


def test_units_keep_numbers_that_are_larger_than_0() -> None:
    sorting = NumpySorting.from_unit_dict([{4: np.array([7]), 2: np.array([9])}], 30_000.0)
    spikes = Spikes.from_spikeinterface(sorting)
    assert spikes == Spikes.from_arrays([7, 9], [4, 2])
    assert spikes.to_spikeinterface().unit_ids.tolist() == [2, 4]
    zero = NumpySorting.from_unit_dict([{0: np.array([7]), 2: np.array([9])}], 30_000.0)
    assert Spikes.from_spikeinterface(zero).unit_ids == (1, 2)  # 0 is for outlier spikes
    assert Spikes.from_spikeinterface(zero).to_spikeinterface().unit_ids.tolist() == ["0", "2"]


def test_each_spikes_probability_is_a_property_of_its_unit() -> None:
    spikes = Spikes.from_arrays(
        [5, 9, 20, 30], [1, 2, 1, 0], [0.5, 0.6, 0.9, 0.5], [1, 0.5, 1, 1], names={3: "3"}
    )
    sorting = spikes.to_spikeinterface(25_000)
    assert sorting.unit_ids.tolist() == [1, 2, 3]
    first, second, third = sorting.get_property("probability")
    np.testing.assert_array_equal(first, np.float32([0.5, 0.9]))
    np.testing.assert_array_equal(second, np.float32([0.6]))
    assert len(third) == 0
    np.testing.assert_allclose(sorting.get_property("mean_probability"), [0.7, 0.3, np.nan], rtol=1e-6)


def test_what_other_tools_need_to_know_is_asked_for() -> None:
    with pytest.raises(InputError, match="sampling rate is not known; give fs_hz"):
        Spikes.empty().to_spikeinterface()
    with pytest.raises(InputError, match="two units have one name: x, x"):
        Spikes.from_arrays([], [], names={1: "x", 2: "x"})
    two = NumpySorting.from_unit_dict([{1: np.array([7])}, {1: np.array([9])}], 30_000.0)
    with pytest.raises(InputError, match="2 segments"):
        Spikes.from_spikeinterface(two)


def test_no_spikes_are_a_sorting_too() -> None:
    assert len(Spikes.empty().to_spikeinterface(25_000).unit_ids) == 0


def test_bad_stretches_are_an_annotation_of_a_sorting() -> None:
    bad = BadStretches.of([(2, 4, "dead"), (7, 8, "artefact")])
    sorting = replace(SOME, bad=bad).to_spikeinterface()
    assert sorting.get_annotation("bad_stretches") == [[2, 4, "dead"], [7, 8, "artefact"]]
    assert Spikes.from_spikeinterface(sorting).bad == bad
    assert "bad_stretches" not in SOME.to_spikeinterface().get_annotation_keys()


@pytest.mark.parametrize("annotation", [5, [[1, 2]], [["a", 2, "dead"]], [[3, 2, "dead"]], [[1, 2, "x"]]])
def test_an_annotation_of_another_form_is_refused(annotation: object) -> None:
    sorting = SOME.to_spikeinterface()
    sorting.annotate(bad_stretches=annotation)
    with pytest.raises(InputError, match="bad.stretches"):
        Spikes.from_spikeinterface(sorting)


def test_a_group_of_pynapple_has_times_names_and_the_time_in_which_spikes_were_looked_for() -> None:
    pytest.importorskip("pynapple")
    bad = BadStretches.of([(20, 120, "dead")])
    group = replace(SOME, bad=bad, names={1: "a", 2: "b", 3: "silent"}).to_pynapple(n_samples=1100)
    assert list(group.keys()) == [1, 2, 3]  # the outlier spike is of no unit
    assert [group[unit].t.tolist() for unit in (1, 2, 3)] == [[0.001, 0.009], [0.005], []]
    assert group["unit_name"].tolist() == ["a", "b", "silent"]
    assert group["mean_probability"].tolist() == pytest.approx([0.75, 1, np.nan], nan_ok=True)
    assert group.time_support.values.tolist() == [[0, 0.02], [0.12, 1.1]]
    rates = np.nan_to_num(group.rates)  # pynapple 0.10 knows none of a silent unit
    assert rates.tolist() == pytest.approx([2, 1, 0])  # in one second that is not bad


def test_a_group_of_pynapple_without_spikes_is_empty() -> None:
    pytest.importorskip("pynapple")
    group = Spikes.from_arrays([], [], fs_hz=100.0, names={1: "silent"}).to_pynapple()
    assert list(group.keys()) == [1]
    assert len(group[1]) == 0


def test_a_recording_that_is_shorter_than_its_spikes_is_refused() -> None:
    pytest.importorskip("pynapple")
    with pytest.raises(InputError, match="n_samples: must be more than 12, where the last spike is"):
        SOME.to_pynapple(n_samples=12)
    with pytest.raises(InputError, match="sampling rate is not known"):
        Spikes([1], [1]).to_pynapple()


def test_without_pynapple_it_is_said_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynapple", None)
    with pytest.raises(InputError, match=r'pip install "neural-spike-sorter\[pynapple\]"'):
        SOME.to_pynapple()
