"""What the page is answered, asked directly."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from spikesorter.core.errors import InputError
from spikesorter.core.spikes import Spikes
from spikesorter.report.session import NEW, Session
from spikesorter.report.viewer import CORRECTED
from spikesorter.sorting.placing import Placement
from tests.report.client import REJECT, log_of, make_session
from tests.report.viewing import HOSTILE, N_SAMPLES, SPIKES, fake_contents, fake_result, fake_span

SPAN = {"r": 0, "start": 0, "stop": 30_000}


def test_spikes_are_told_as_they_are_with_what_became_of_them(session: Session) -> None:
    for change in (
        REJECT,
        {"r": 0, "sample": 15_000, "unit": 1, "action": "move", "to": 8_000},
        {"r": 0, "sample": 27_000, "unit": 2, "action": "accept"},
        {"r": 0, "sample": 100, "unit": 2, "action": "add"},
        {"r": 0, "sample": 200, "unit": 2, "action": "add"},
        {"r": 0, "sample": 200, "unit": 2, "action": "undo"},
    ):
        session.correct(change)
    session.edit({"r": 0, "action": "merge", "unit": 3, "to": 2})
    assert session.spikes(SPAN) == [
        {"sample": 100, "unit": 2, "probability": 1.0, "decision": "added", "rejected": False},
        {"sample": 3000, "unit": 1, "probability": 1.0, "decision": "rejected", "rejected": True},
        {
            "sample": 8000,
            "unit": 1,
            "probability": 1.0,
            "decision": "moved",
            "rejected": False,
            "was": [15_000, 1],
        },
        {"sample": 9000, "unit": 2, "probability": 0.99},
        {"sample": 21_000, "unit": 2, "probability": 0.675, "decision": "merged", "was": [21_000, 3]},
        {"sample": 27_000, "unit": 2, "probability": 1.0, "decision": "accepted", "rejected": False},
    ]
    inside = session.spikes(SPAN | {"start": 8000, "stop": 9000})
    assert [one["sample"] for one in inside] == [8000]  # where it is now, and not the one at the end
    assert session.spike({"r": 0, "sample": 8000, "unit": 1}) is None  # named as found


def test_new_units_are_numbered_and_a_step_back_takes_them_away(session: Session) -> None:
    def split(sample: int) -> Any:
        return session.edit({"r": 0, "action": "rename", "spikes": [[sample, 1]], "to": NEW})

    first = split(3000)
    assert (first["unit"], first["units"][-1]) == (4, {"unit": 4, "name": "4", "spikes": 1})
    back = session.edit({"r": 0, "action": "undo"})
    assert ("unit" in back, len(back["units"]), back["about"]) == (False, 3, [[3000, 1]])
    assert split(15_000)["unit"] == 5
    assert session.edit({"r": 0, "action": "merge", "unit": 5, "to": 2})["units"][1]["spikes"] == 3


def test_a_spike_that_is_moved_again_is_not_among_the_others(tmp_path: Path) -> None:
    seen: list[Spikes] = []

    def place(result: Any, others: Spikes, sample: int, unit: int | None) -> Placement:
        seen.append(others)
        return Placement(sample, unit or 1, 2.345)

    session = make_session(tmp_path, place=place)
    session.correct({"r": 0, "sample": 9000, "unit": 2, "action": "rename", "to": 1})
    for sample in (9100, 15_000):  # where another of its unit is, the second time
        placed = session.place({"r": 0, "sample": sample, "moved": [9000, 2]})["placed"]
        assert placed == {"sample": sample, "was": [9000, 2], "unit": 1, "log_odds": 2.35}
    assert [9000 in others.sample for others in seen] == [False, False]
    assert [len(others) for others in seen] == [len(SPIKES) - 1] * 2
    assert 9100 not in seen[1].sample


def test_where_it_cannot_be_told_a_unit_must_be_chosen_and_nothing_is_kept(tmp_path: Path) -> None:
    session = make_session(tmp_path)
    for fields, words in (
        ({"sample": 100}, "choose a unit"),
        ({"sample": 100, "unit": 9}, "there is no unit 9"),
        ({"sample": N_SAMPLES, "unit": 1}, f"sample {N_SAMPLES} is beyond the end"),
        ({"sample": 10**14}, "beyond the end"),  # before it is asked where the spike fits
        ({"sample": 100, "moved": [1, 1]}, "no spike of unit 1 was found at sample 1"),
        ({"sample": 100, "moved": [3000]}, "a pair of sample and unit"),
        ({"sample": 3000, "unit": 1}, "there is a spike of unit 1"),
    ):
        with pytest.raises(InputError, match=words):
            session.place({"r": 0, **fields})
    with pytest.raises(InputError, match="features cannot be measured"):
        session.features({"r": 0})
    assert log_of(tmp_path) == []


def test_only_decisions_that_hold_on_spikes_that_are_gone_are_counted(tmp_path: Path) -> None:
    session = make_session(tmp_path)
    gone = [{"r": 0, "sample": sample, "unit": 1} for sample in (3000, 15_000, 400_000)]
    for fields in gone:
        session.correct(fields | {"action": "reject"})
        session.correct(fields | {"action": "accept"})
    session.correct(gone[1] | {"action": "undo"})
    session.edit({"r": 0, "action": "reject", "spikes": [[9000, 2]]})
    session.edit({"r": 0, "action": "undo"})
    later: Any = [fake_result(tmp_path, HOSTILE, SPIKES.select(SPIKES.unit == 3))]
    again = Session(later, fake_contents(later), tmp_path / CORRECTED, span=fake_span)
    saved = again.save({"r": 0})
    assert (saved["spikes"], saved["ignored"]) == (1, 2)


def test_what_takes_long_is_made_once_for_each_recording(tmp_path: Path) -> None:
    made: list[str] = []

    def table(result: Any) -> dict[str, str]:
        made.append(result.name)
        return {"name": result.name}

    session = make_session(tmp_path, ("D1", "D2"), more={"metrics": table})
    answer = session.routes()["GET", "metrics"]
    assert [answer({"r": r}).body for r in ("0", "1", "0")] == [
        b'{"name": "D1"}',
        b'{"name": "D2"}',
        b'{"name": "D1"}',
    ]
    assert made == ["D1", "D2"]


def test_labels_that_are_up_to_date_are_not_written_again(session: Session) -> None:
    assert session.save_pending() == {}
    session.correct(REJECT)
    ((path, labels),) = session.save_pending().items()
    assert len(labels) == len(SPIKES) - 1
    os.utime(path, ns=(2**62, 2**62))  # clocks are coarse
    assert session.save_pending() == {}
