"""What is checked before a correction is kept, and what the page is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from spikesorter.core.errors import InputError
from spikesorter.report.corrections import Correction, Edit
from spikesorter.report.desk import Desk
from spikesorter.report.viewer import CORRECTED
from tests.report.viewing import N_SAMPLES, SPIKES, fake_contents, fake_result


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    results: Any = [fake_result(tmp_path, "D5")]
    return Desk(results, fake_contents(results)["recordings"], tmp_path / CORRECTED)


def kept(desk: Desk) -> list[str]:
    (log,) = desk.logs.values()
    return [change.action for change in log.read()]


def test_the_state_tells_units_counts_and_steps(desk: Desk) -> None:
    state = desk.state(0)
    assert [one["spikes"] for one in state["units"]] == [3, 2, 1]
    assert (state["undo"], state["redo"], state["journal"], state["changed"]) == (None, None, [], 0)
    state = desk.append(0, Correction(3000, 1, "reject"))
    assert [one["spikes"] for one in state["units"]] == [2, 2, 1]
    assert (state["changed"], state["reviewed"], len(state["journal"])) == (1, 1, 1)
    assert state["undo"] == "the spike of unit 1 at 0.1200 s is rejected"


def test_a_step_back_tells_which_spike_it_is_about(desk: Desk) -> None:
    desk.append(0, Correction(3000, 1, "reject"))
    assert desk.append(0, Edit("undo"))["about"] == [[3000, 1]]
    assert desk.append(0, Edit("redo"))["about"] == [[3000, 1]]
    desk.append(0, Edit("merge", unit=3, to=1))
    assert desk.append(0, Edit("undo"))["about"] == []
    assert kept(desk) == ["reject", "undo", "redo", "merge", "undo"]


@pytest.mark.parametrize(
    ("correction", "words"),
    [
        (Correction(3001, 1, "reject"), "no spike of unit 1 was found at sample 3001"),
        (Correction(3000, 2, "reject"), "no spike of unit 2 was found at sample 3000"),
        (Correction(3000, 1, "rename", to=9), "there is no unit 9"),
        (Correction(3000, 1, "move", to=N_SAMPLES), "beyond the end of the recording"),
        (Correction(3000, 1, "add"), "there is a spike of unit 1 at sample 3000"),
        (Correction(3005, 9, "add"), "there is no unit 9"),
        (Correction(N_SAMPLES, 1, "add"), "beyond the end of the recording"),
    ],
)
def test_what_cannot_be_is_refused(desk: Desk, correction: Correction, words: str) -> None:
    with pytest.raises(InputError, match=words):
        desk.check(0, correction)
    assert kept(desk) == []


def test_a_merged_unit_can_be_filled_again_and_its_spikes_named_as_found(desk: Desk) -> None:
    desk.append(0, Edit("merge", unit=1, to=2))
    assert {one["unit"]: one["spikes"] for one in desk.state(0)["units"]} == {1: 0, 2: 5, 3: 1}
    desk.check(0, Correction(3000, 1, "rename", to=1))
    desk.append(0, Correction(3000, 1, "rename", to=1))
    assert {one["unit"]: one["spikes"] for one in desk.state(0)["units"]} == {1: 1, 2: 4, 3: 1}


def test_an_added_spike_can_be_corrected_like_any_other(desk: Desk) -> None:
    desk.append(0, Correction(5000, 2, "add"))
    for correction in (Correction(5000, 2, "move", to=5004), Correction(5000, 2, "rename", to=3)):
        desk.check(0, correction)
        desk.append(0, correction)
    now = desk.corrected(0)
    k = desk.find(now, (5000, 2))
    assert (int(now.sample[k]), int(now.unit[k])) == (5004, 3)
    path, labels = desk.write(next(iter(desk.logs)))
    assert len(labels) == len(SPIKES) + 1
    assert path.name == "D5.csv"
    assert (path.parent / "D5-journal.txt").is_file()


def test_a_spike_that_is_added_to_a_merged_unit_is_of_that_unit(desk: Desk) -> None:
    desk.append(0, Edit("merge", unit=2, to=1))
    desk.append(0, Correction(5000, 2, "add"))
    assert {one["unit"]: one["spikes"] for one in desk.state(0)["units"]} == {1: 5, 2: 1, 3: 1}


@pytest.mark.parametrize("away", [Correction(3000, 1, "move", to=3010), Correction(3000, 1, "rename", to=2)])
def test_no_spike_is_added_under_the_name_of_one_that_is_elsewhere(desk: Desk, away: Correction) -> None:
    desk.append(0, away)
    added = Correction(3000, 1, "add")
    with pytest.raises(InputError, match="at sample 3000 has been moved or given to another unit"):
        desk.check(0, desk.as_known(desk.corrected(0), added))


@pytest.mark.parametrize(
    "before", [[], [Correction(3000, 1, "move", to=3010)], [Edit("merge", unit=1, to=2)]]
)
def test_what_is_added_where_a_spike_was_rejected_lies_there(desk: Desk, before: list[Any]) -> None:
    for change in (*before, Correction(3000, 1, "reject")):
        desk.append(0, change)
    added = desk.as_known(desk.corrected(0), Correction(3000, 1, "add"))
    assert added.action == ("accept" if not before or isinstance(before[0], Edit) else "add")
    desk.check(0, added)
    desk.append(0, added)
    now = desk.corrected(0)
    assert (now.sample[0], now.unit[0], now.there[0]) == (3000, 1, True)


def test_a_journal_that_is_not_ours_is_left_alone(desk: Desk, tmp_path: Path) -> None:
    desk.append(0, Correction(3000, 1, "reject"))
    notes = tmp_path / CORRECTED / "D5-journal.txt"
    notes.write_text("my own notes\n")
    with pytest.raises(InputError, match="was not written by spikesorter"):
        desk.write(next(iter(desk.logs)))
    assert notes.read_text() == "my own notes\n"


def test_groups_of_channels_see_their_own_new_units(tmp_path: Path) -> None:
    first = fake_result(tmp_path, "tetrodes", SPIKES.select(SPIKES.unit == 1))
    second = fake_result(tmp_path, "tetrodes", SPIKES.select(SPIKES.unit != 1))
    results: Any = [first, second]
    shown = fake_contents(results)["recordings"]
    shown[0]["units"], shown[1]["units"] = shown[0]["units"][:1], shown[1]["units"][1:]
    desk = Desk(results, shown, tmp_path / CORRECTED)
    new = desk.new_unit(0)
    desk.append(0, Edit("rename", ((3000, 1),), to=new))
    desk.append(1, Correction(7000, 2, "add"))
    assert (new, desk.new_unit(1)) == (4, 5)
    assert [one["unit"] for one in desk.state(0)["units"]] == [1, new]
    assert [one["unit"] for one in desk.state(1)["units"]] == [2, 3]
    assert (desk.corrected(0).there.sum(), desk.corrected(1).there.sum()) == (3, 4)
    _, labels = desk.write(next(iter(desk.logs)))
    assert len(labels) == len(SPIKES) + 1
    desk.append(0, Correction(7500, new, "add"))
    desk.append(0, Edit("merge", unit=new, to=5))
    desk.append(0, Correction(7600, 5, "add"))
    assert [desk.corrected(r).spikes.counts() for r in (0, 1)] == [{1: 2, 5: 3}, {2: 3, 3: 1}]
    desk.append(0, Edit("undo"))
    desk.append(0, Edit("undo"))
    assert desk.corrected(0).spikes.counts() == {1: 2, new: 2}
