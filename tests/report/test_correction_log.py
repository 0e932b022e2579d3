"""Lines of edits in the log of corrections."""

from __future__ import annotations

import io
import json
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spikesorter.core.errors import InputError
from spikesorter.core.spikes import Spikes
from spikesorter.report.correcting import correct, in_force
from spikesorter.report.correction_log import CorrectionLog
from spikesorter.report.corrections import Change, Correction, Edit

FOUND = Spikes.from_arrays([100, 200, 300, 400], [1, 1, 2, 3], [0.9, 0.5, 0.8, 1.0])
EDITS: list[Change] = [
    Edit("rename", ((100, 1), (200, 1)), to=4),
    Edit("merge", unit=4, to=2),
    Edit("undo"),
    Edit("redo"),
    Edit("reject", ((300, 2),)),
    Correction(250, 2, "add"),
    Correction(250, 2, "move", to=255),
]
spikes = st.sampled_from([(100, 1), (200, 1), (300, 2), (400, 3)])
units = st.integers(1, 4)
changes = st.lists(
    st.one_of(
        st.builds(lambda some, to: Edit("rename", tuple(some), to=to), st.sets(spikes, min_size=1), units),
        st.builds(lambda some: Edit("reject", tuple(some)), st.sets(spikes, min_size=1)),
        st.builds(lambda unit, by: Edit("merge", unit=unit, to=unit % 4 + by), units, st.just(1)),
        st.builds(lambda spike, to: Correction(*spike, "move", to), spikes, st.integers(0, 500)),
        st.just(Edit("undo")),
        st.just(Edit("redo")),
    ),
    max_size=10,
)


def test_edits_are_read_back_in_order(tmp_path: Path) -> None:
    log = CorrectionLog(tmp_path / "D5.jsonl")
    for change in EDITS:
        log.append(change)
    assert log.read() == EDITS
    assert all(change.at for change in log.read())
    first = json.loads(log.path.read_text().splitlines()[0])
    assert first.pop("at")
    assert first == {"action": "rename", "spikes": [[100, 1], [200, 1]], "to": 4}


@pytest.mark.parametrize(
    "line",
    [
        '{"action": "rename", "spikes": [[1]], "to": 2}',
        '{"action": "rename", "spikes": [1], "to": 2}',
        '{"action": "rename", "spikes": "all", "to": 2}',
        '{"action": "rename", "spikes": [[1, 1]]}',
        '{"action": "merge", "unit": 1}',
        '{"action": "merge", "unit": 1, "to": 1}',
        '{"action": "add"}',
        '{"action": "undo", "more": 1}',
        '{"at": "now"}',
        '{"action": "undo", "at": 5}',
        '{"sample": 1, "unit": 1, "action": "reject", "at": null}',
    ],
)
def test_a_broken_edit_is_named(tmp_path: Path, line: str) -> None:
    log = CorrectionLog(tmp_path / "D5.jsonl")
    log.append(EDITS[0])
    with log.path.open("a") as file:
        file.write(line + "\n")
    with pytest.raises(InputError, match=r"D5\.jsonl: line 2: "):
        log.read()


@given(changes)
def test_undoing_everything_gives_what_was_found(made: list[Change]) -> None:
    steps = len(in_force(made)[0])
    assert correct(FOUND, [*made, *[Edit("undo")] * steps]).spikes == FOUND


@given(changes)
def test_making_again_what_was_undone_changes_nothing(made: list[Change]) -> None:
    steps = len(in_force(made)[0])
    there_and_back = [*made, *[Edit("undo")] * steps, *[Edit("redo")] * steps]
    assert correct(FOUND, there_and_back).spikes == correct(FOUND, made).spikes


@given(changes)
def test_no_spike_is_lost_but_by_rejecting_it(made: list[Change]) -> None:
    now = correct(FOUND, made)
    rejected = {
        spike
        for change in in_force(made)[0]
        if isinstance(change, Edit) and change.action == "reject"
        for spike in change.spikes
    }
    gone = set(zip(now.found_sample[~now.there].tolist(), now.found_unit[~now.there].tolist(), strict=True))
    assert gone <= rejected
    assert len(now.sample) == len(FOUND)


def test_a_log_cut_at_any_byte_loses_the_step_that_was_cut_and_goes_on(tmp_path: Path) -> None:
    log = CorrectionLog(tmp_path / "D5.jsonl")
    for change in EDITS[2:6]:
        log.append(change)
    whole = log.path.read_bytes()
    for end in range(len(whole) + 1):
        log.path.write_bytes(whole[:end])
        left = log.read()
        assert left == EDITS[2 : 2 + whole[:end].count(b"\n")]
        if end % 7 == 0:
            log.append(EDITS[-1])
            assert log.read() == [*left, EDITS[-1]]


@pytest.mark.parametrize("torn", [1, 4095, 4096, 4097, 8192])
def test_what_was_torn_is_cut_off_however_long_it_is_and_nothing_else(tmp_path: Path, torn: int) -> None:
    log = CorrectionLog(tmp_path / "D5.jsonl")
    long = Edit("reject", tuple((sample, 1) for sample in range(1000)))
    log.append(long)
    before = log.path.read_bytes()
    log.path.write_bytes(before + b"x" * torn)
    log.append(EDITS[0])
    assert log.path.read_bytes().startswith(before + b"{")
    assert log.read() == [long, EDITS[0]]


def test_a_line_of_which_only_a_part_could_be_written_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Short(io.FileIO):
        def write(self, line: Any) -> int:
            return super().write(line[:9])

    log = CorrectionLog(tmp_path / "D5.jsonl")
    log.append(EDITS[0])
    before = log.path.read_bytes()
    short = lambda path, mode, buffering, opener: Short(path, mode, opener=opener)  # noqa: E731
    monkeypatch.setattr("builtins.open", short)
    with pytest.raises(InputError, match="only a part of it could be written"):
        log.append(EDITS[1])
    monkeypatch.undo()
    assert log.path.read_bytes() == before


def test_corrections_that_come_at_once_are_all_kept(tmp_path: Path) -> None:
    log = CorrectionLog(tmp_path / "D5.jsonl")

    def work(unit: int) -> None:
        for sample in range(9):
            log.append(Correction(sample, unit, "reject"))

    threads = [threading.Thread(target=work, args=(unit,)) for unit in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    kept = [change for change in log.read() if isinstance(change, Correction)]
    assert {unit: [one.sample for one in kept if one.unit == unit] for unit in range(4)} == {
        unit: list(range(9)) for unit in range(4)
    }


def test_a_time_that_is_there_is_kept_and_others_are_in_utc(tmp_path: Path) -> None:
    log = CorrectionLog(tmp_path / "D5.jsonl")
    log.append(Edit("undo", at="2026-11-29T10:00:00+00:00"))
    log.append(Edit("undo"))
    first, second = (change.at for change in log.read())
    assert (first, second[-6:], len(second)) == ("2026-11-29T10:00:00+00:00", "+00:00", len(first))
