"""What is checked before a correction is kept, and what the page is told."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from spikesorter.core.errors import InputError
from spikesorter.report.correction_log import CorrectionLog
from spikesorter.report.corrections import Correction, Edit
from spikesorter.report.desk import JOURNAL_LINES, Desk
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


def test_a_new_unit_has_a_number_that_none_had_even_if_it_was_taken_back(desk: Desk) -> None:
    for expected in (4, 5):
        assert desk.new_unit(0) == expected
        desk.append(0, Edit("rename", ((3000, 1),), to=expected))
        desk.append(0, Edit("undo"))
    desk.append(0, Correction(3000, 1, "move", to=9000))  # a sample, not a unit
    assert desk.new_unit(0) == 6
    assert {one["unit"] for one in desk.state(0)["units"]} == {1, 2, 3}


def test_doubtful_spikes_come_back_when_their_corrections_are_taken_back(desk: Desk) -> None:
    first = desk.state(0)["next"]
    assert [tuple(one[:2]) for one in first] == [(3000, 1), (15_000, 1), (400_000, 1), (21_000, 3)]
    state = desk.append(0, Edit("accept", ((400_000, 1), (3000, 1), (27_000, 2))))
    rest = [first[3], first[1]]  # less hangs on unit 1 than before
    assert (state["next"], state["reviewed"], state["changed"]) == (rest, 2, 3)
    assert desk.append(0, Edit("merge", unit=3, to=1))["next"] == rest  # says nothing of single spikes
    for _ in range(2):
        state = desk.append(0, Edit("undo"))
    assert (state["next"], state["undo"], state["changed"]) == (first, None, 0)
    assert state["redo"] == "3 spikes (2 of unit 1 and 1 of unit <img src=x onerror=alert(2)>) are accepted"


def test_the_end_of_a_long_journal_is_told(desk: Desk) -> None:
    (log,) = desk.logs.values()
    log.append(Edit("undo"))
    log.path.write_text(
        "".join(f'{{"sample": {25 * k}, "unit": 3, "action": "add"}}\n' for k in range(JOURNAL_LINES + 2))
    )
    lines = desk.state(0)["journal"]
    assert len(lines) == JOURNAL_LINES
    assert ("at 0.0020 s" in lines[0], "at 0.1010 s" in lines[-1]) == (True, True)


def test_corrected_spikes_are_made_anew_only_when_the_log_changes(desk: Desk) -> None:
    first = desk.corrected(0)
    assert desk.corrected(0) is first
    desk.append(0, Correction(3000, 1, "reject"))
    assert len(desk.corrected(0).spikes) == len(SPIKES) - 1
    ((_, log),) = desk.logs.items()
    CorrectionLog(log.path).append(Correction(9000, 2, "reject"))  # another program
    assert len(desk.corrected(0).spikes) == len(SPIKES) - 2


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (Edit("undo"), "nothing to undo"),
        (Edit("redo"), "nothing to make again"),
        (Edit("merge", unit=9, to=1), "there is no unit 9"),
        (Edit("merge", unit=1, to=9), "there is no unit 9"),
        (Edit("reject", ((3000, 1), (3000, 2))), "some of the spikes"),
    ],
)
def test_an_edit_that_cannot_be_made_is_refused(desk: Desk, edit: Edit, words: str) -> None:
    with pytest.raises(InputError, match=words):
        desk.check_edit(0, edit, made=False)
    desk.check_edit(0, Edit("merge", unit=1, to=9), made=True)
    desk.check_edit(0, Edit("merge", unit=1, to=3), made=False)


def test_labels_are_pending_where_something_holds_or_was_taken_back_since(desk: Desk) -> None:
    ((place, log),) = desk.logs.items()

    def pending_after(change: Correction | Edit) -> bool:
        desk.append(0, change)
        return desk.is_pending(place, log)

    assert not desk.is_pending(place, log)
    assert pending_after(Correction(3000, 1, "reject"))
    assert not pending_after(Edit("undo"))  # no labels, and nothing to say
    assert pending_after(Edit("redo"))
    assert len(desk.write(place)[1]) == len(SPIKES) - 1
    labels = desk.beside(place, "csv")
    os.utime(labels, ns=(2**62, 2**62))
    assert not desk.is_pending(place, log)
    os.utime(labels, ns=(1, 1))
    assert pending_after(Edit("undo"))  # there are labels that say what no longer holds
    assert desk.write(place)[1] == SPIKES
