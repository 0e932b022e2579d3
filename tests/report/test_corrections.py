from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spikesorter.core.errors import InputError
from spikesorter.core.spikes import Spikes
from spikesorter.io.labels import read_labels
from spikesorter.report.correcting import corrected, in_force, write_labels
from spikesorter.report.correction_log import CorrectionLog
from spikesorter.report.corrections import Change, Correction, Edit, changed_spikes, doubtful
from spikesorter.report.journal import summary, write_journal

FS_HZ = 25_000.0
FOUND = Spikes.from_arrays(
    [100, 200, 300, 400, 400],
    [1, 2, 1, 1, 2],
    [0.9, 0.6, 1.0, 0.5, 0.4],
    [1.0, 0.5, 1.0, 0.9, 0.9],
    fs_hz=FS_HZ,
)
SAID = [Correction(100, 1, "reject"), Correction(200, 2, "rename", to=1), Correction(300, 1, "accept")]

corrections = st.builds(
    lambda sample, unit, action: Correction(sample, unit, action, 3 if action == "rename" else None),
    st.sampled_from([100, 200, 300, 400, 999]),
    st.integers(0, 2),
    st.sampled_from(["accept", "reject", "rename", "undo"]),
)


@pytest.fixture
def log(tmp_path: Path) -> CorrectionLog:
    return CorrectionLog(tmp_path / "corrected" / "D5.jsonl")


def test_what_was_said_is_read_back_in_order(log: CorrectionLog) -> None:
    assert log.read() == []
    for said in SAID:
        log.append(said)
    assert CorrectionLog(log.path).read() == SAID


def test_a_line_is_on_disk_when_append_returns(log: CorrectionLog, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[bytes] = []
    sync = os.fsync

    def watched(handle: int) -> None:
        sync(handle)
        synced.append(log.path.read_bytes())

    monkeypatch.setattr(os, "fsync", watched)
    log.append(SAID[0])
    assert synced[0].endswith(b"\n")
    assert len(synced) == 2  # the file, and the folder that it is new in


@pytest.mark.parametrize("torn", [b'{"sample": 4', b"{", b"\x00" * 10_000, b'{"sample": 1, "unit": 1'])
def test_what_a_kill_tore_is_ignored_and_cut_off(log: CorrectionLog, torn: bytes) -> None:
    log.append(SAID[0])
    with log.path.open("ab") as file:
        file.write(torn)
    again = CorrectionLog(log.path)
    assert again.read() == SAID[:1]
    again.append(SAID[1])
    assert again.read() == SAID[:2]
    assert torn not in log.path.read_bytes().split(b"\n")


def test_a_file_torn_in_its_first_line_begins_anew(log: CorrectionLog) -> None:
    log.path.parent.mkdir()
    log.path.write_bytes(b'{"sam')
    log.append(SAID[0])
    assert log.read() == SAID[:1]


@pytest.mark.parametrize(
    "line",
    [
        b"nonsense",
        b"[]",
        b"null",
        b"",
        b'{"sample": 1}',
        b'"label"',
        b'{"sample": 1, "label": 1, "unit": 1, "action": "accept"}',
        b'{"sample": 1, "unit": 1, "action": "explode"}',
        b'{"sample": -1, "unit": 1, "action": "accept"}',
        b'{"sample": 1.0, "unit": 1, "action": "accept"}',
        b'{"sample": true, "unit": 1, "action": "accept"}',
        b'{"sample": 1, "unit": 1, "action": "rename"}',
        b'{"sample": 1, "unit": 1, "action": ["accept"]}',
        b'{"sample": 1, "unit": 1, "action": "accept", "more": 1}',
        b"\xff\xfe",
        b"[" * 100_000,
    ],
)
def test_a_broken_line_is_named(log: CorrectionLog, line: bytes) -> None:
    log.append(SAID[0])
    with log.path.open("ab") as file:
        file.write(line + b"\n")
    with pytest.raises(InputError, match=r"D5\.jsonl: line 2: "):
        log.read()


def test_logs_of_earlier_versions_are_read_and_continued(log: CorrectionLog) -> None:
    log.path.parent.mkdir()
    log.path.write_text(
        '{"sample": 100, "label": 1, "action": "reject", "to": null}\n'
        '{"sample": 200, "label": 2, "action": "rename", "to": 1}\n'
    )
    log.append(SAID[2])
    assert log.read() == SAID
    last = json.loads(log.path.read_text().splitlines()[-1])
    assert last.pop("at").endswith("+00:00")
    assert last == {"sample": 300, "unit": 1, "action": "accept"}


def test_what_an_earlier_version_accepted_is_accepted_as_found(log: CorrectionLog) -> None:
    log.path.parent.mkdir()
    log.path.write_text(
        '{"sample": 100, "unit": 1, "action": "rename", "to": 2}\n'
        '{"sample": 100, "unit": 1, "action": "accept", "to": null}\n'
    )
    assert corrected(FOUND, log.read()).unit[0] == 1
    now = [Correction(100, 1, "rename", to=2), Correction(100, 1, "accept")]
    assert corrected(FOUND, now).unit[0] == 2  # as it was shown when it was accepted


def test_a_full_disk_is_said_and_leaves_whole_lines(
    log: CorrectionLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    log.append(SAID[0])

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match=r"D5\.jsonl: cannot be written: No space left"):
        log.append(SAID[1])
    monkeypatch.undo()
    assert log.read() == SAID[:1]


def test_a_folder_in_the_way_is_said(tmp_path: Path) -> None:
    (tmp_path / "D5.jsonl").mkdir()
    with pytest.raises(InputError, match=r"D5\.jsonl: cannot be written"):
        CorrectionLog(tmp_path / "D5.jsonl").append(SAID[0])
    with pytest.raises(InputError, match=r"D5\.jsonl: cannot be read"):
        CorrectionLog(tmp_path / "D5.jsonl").read()


WRITER = """
import sys
from pathlib import Path
from spikesorter.report.correction_log import CorrectionLog
from spikesorter.report.corrections import Correction
log = CorrectionLog(Path(sys.argv[1]))
for sample in range(1_000_000):
    log.append(Correction(sample, 1, "accept"))
    sys.stdout.write(f"{sample}\\n")
    sys.stdout.flush()
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="Windows kills otherwise")
@pytest.mark.parametrize("acknowledged", [1, 40])
def test_a_kill_loses_nothing_that_was_acknowledged(log: CorrectionLog, acknowledged: int) -> None:
    command = [sys.executable, "-c", WRITER, str(log.path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        last = [int(writer.stdout.readline()) for _ in range(acknowledged)][-1]
        writer.send_signal(signal.SIGKILL)
        last = max([last, *(int(line) for line in writer.stdout.read().split())])
    kept = [said.sample for said in log.read()]
    assert kept[: last + 1] == list(range(last + 1))
    assert len(kept) <= last + 2  # one more may have been written and not yet acknowledged
    log.append(SAID[0])
    assert log.read()[-1] == SAID[0]


def test_corrected_spikes_are_what_was_said() -> None:
    labels = corrected(FOUND, SAID)
    assert labels.sample.tolist() == [200, 300, 400, 400]
    assert labels.unit.tolist() == [1, 1, 1, 2]
    assert labels.joint == pytest.approx([1.0, 1.0, 0.45, 0.36])
    assert labels.fs_hz == FS_HZ


def test_the_last_word_counts() -> None:
    assert corrected(FOUND, [Correction(100, 1, "reject"), Correction(100, 1, "accept")]).sample[0] == 100


def test_undone_is_as_if_nothing_had_been_said() -> None:
    assert corrected(FOUND, [*SAID, *(Correction(*said.spike, "undo") for said in SAID)]) == FOUND


def test_spikes_at_one_sample_are_told_apart_by_their_unit() -> None:
    assert corrected(FOUND, [Correction(400, 2, "reject")]).unit.tolist() == [1, 2, 1, 1]


def test_a_spike_renamed_to_its_neighbour_at_the_same_sample_is_there_once() -> None:
    labels = corrected(FOUND, [Correction(400, 2, "rename", to=1)])
    assert labels.within(400, 401).unit.tolist() == [1]
    assert labels.within(400, 401).joint.tolist() == [1.0]


def test_corrections_of_spikes_that_are_no_longer_there_change_nothing() -> None:
    assert corrected(FOUND, [Correction(100, 2, "reject"), Correction(999, 1, "accept")]) == FOUND


def unit_after(sample: int, first: int, said: list[Correction]) -> int | None:
    unit, there = first, True
    for one in said:
        if one.spike == (sample, first):
            there = one.action != "reject"
            unit = one.to if one.action == "rename" else first if one.action == "undo" else unit  # type: ignore[assignment]
    return unit if there else None


@given(st.lists(corrections, max_size=12))
def test_no_spike_comes_from_nowhere(said: list[Correction]) -> None:
    labels = corrected(FOUND, said)
    assert set(labels.sample.tolist()) <= set(FOUND.sample.tolist())
    expected = {
        (sample, unit)
        for (sample, first) in zip(FOUND.sample.tolist(), FOUND.unit.tolist(), strict=True)
        if (unit := unit_after(sample, first, said)) is not None
    }
    assert set(zip(labels.sample.tolist(), labels.unit.tolist(), strict=True)) == expected
    assert len(labels) == len(expected)


def test_the_most_doubtful_come_first_and_the_sure_not_at_all() -> None:
    assert FOUND.joint[doubtful(FOUND)] == pytest.approx([0.45, 0.36, 0.3, 0.9])
    assert len(doubtful(Spikes.empty())) == 0


def named(spikes: Spikes) -> set[tuple[int, str]]:
    return {
        (sample, spikes.name_of(unit))
        for sample, unit in zip(spikes.sample.tolist(), spikes.unit.tolist(), strict=True)
    }


@pytest.mark.parametrize("name", ["D5.csv", "D5.mat"])
@pytest.mark.parametrize("names", [{}, {1: "basket", 2: "<script>alert(1)</script>, or so"}])
def test_labels_are_read_by_what_train_reads_labels_with(
    tmp_path: Path, name: str, names: dict[int, str]
) -> None:
    found = FOUND.described(fs_hz=FS_HZ, names=names)
    written = write_labels(tmp_path / name, found, SAID)
    read = read_labels(tmp_path / name, fs_hz=FS_HZ)
    assert named(read) == named(written) == named(corrected(found, SAID))


def test_labels_are_replaced_but_nothing_else_is(tmp_path: Path) -> None:
    place = tmp_path / "D5.csv"
    write_labels(place, FOUND, SAID)
    write_labels(place, FOUND, SAID[:1])
    assert len(read_labels(place)) == 4
    place.write_text("my own notes\n")
    with pytest.raises(InputError, match="was not written by spikesorter"):
        write_labels(place, FOUND, SAID)
    assert place.read_text() == "my own notes\n"


def spikes_of(labels: Spikes) -> list[tuple[int, int]]:
    return list(zip(labels.sample.tolist(), labels.unit.tolist(), strict=True))


def test_a_spike_is_added_moved_and_taken_away_again() -> None:
    added = [Correction(250, 2, "add"), Correction(250, 2, "move", to=255)]
    assert (255, 2) in spikes_of(corrected(FOUND, added))
    assert len(corrected(FOUND, added)) == len(FOUND) + 1
    assert corrected(FOUND, [*added, Correction(250, 2, "undo")]) == FOUND
    assert corrected(FOUND, [*added, Edit("undo"), Edit("undo")]) == FOUND
    moved = corrected(FOUND, [Correction(200, 2, "move", to=190)])
    assert spikes_of(moved)[1] == (190, 2)
    assert moved.joint[1] == 1.0


def test_a_merged_unit_is_gone_and_a_split_one_is_two() -> None:
    assert corrected(FOUND, [Edit("merge", unit=2, to=1)]).unit_ids == (1,)
    split = Edit("rename", ((100, 1), (300, 1)), to=3)
    labels = corrected(FOUND, [split])
    assert labels.counts() == {1: 1, 2: 2, 3: 2}
    assert labels.of(3).probability == pytest.approx([0.9, 1.0])  # it was not said that they are there
    assert corrected(FOUND, [split, Edit("merge", unit=3, to=1)]).counts() == FOUND.counts()


def test_what_comes_after_a_merge_names_spikes_as_found() -> None:
    changes: list[Change] = [Edit("merge", unit=2, to=1), Correction(200, 2, "reject")]
    assert 200 not in corrected(FOUND, changes).sample


def test_a_new_unit_is_not_called_as_another_is() -> None:
    named_so = FOUND.described(fs_hz=FS_HZ, names={1: "3", 2: "b"})
    labels = corrected(named_so, [Edit("rename", ((100, 1),), to=3)])
    assert labels.name_of(3) == "3 (new)"


def test_steps_go_back_and_forth_until_something_new_is_done() -> None:
    one, two, three = (
        Correction(100, 1, "reject"),
        Edit("merge", unit=2, to=1),
        Correction(300, 1, "reject"),
    )
    assert in_force([one, two, Edit("undo"), Edit("undo"), Edit("redo")]) == ([one], [two])
    assert in_force([one, two, Edit("undo"), three, Edit("redo")]) == ([one, three], [])
    assert in_force([Edit("undo"), one]) == ([one], [])


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"action": "merge", "unit": 1, "to": 1}, "with itself"),
        ({"action": "merge", "to": 1}, "unit must be"),
        ({"action": "reject"}, "expected some spikes"),
        ({"action": "undo", "spikes": ((1, 1),)}, "expected no spikes"),
        ({"action": "rename", "spikes": ((1, 1, 1),), "to": 2}, "pairs"),
        ({"action": "accept", "spikes": ((1, -1),)}, "whole number"),
        ({"action": "accept", "spikes": ((1, 1),), "to": 2}, "`to` is not for accept"),
    ],
)
def test_edits_that_make_no_sense_are_refused(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        Edit(**fields)


MERGER = """
import sys
from pathlib import Path
from spikesorter.report.correction_log import CorrectionLog
from spikesorter.report.corrections import Edit
log = CorrectionLog(Path(sys.argv[1]))
spikes = tuple((sample, 1) for sample in range(20_000))
for number in range(2, 1000):
    sys.stdout.write(f"{number}\\n")
    sys.stdout.flush()
    log.append(Edit("rename", spikes, to=number))
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="Windows kills otherwise")
def test_a_kill_in_the_middle_of_a_large_edit_leaves_whole_edits(log: CorrectionLog) -> None:
    command = [sys.executable, "-c", MERGER, str(log.path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        started = [int(writer.stdout.readline()) for _ in range(3)]  # the third is being written
        while log.path.stat().st_size < 550_000:  # two and a part, or three, are there
            pass
        writer.send_signal(signal.SIGKILL)
        started += [int(line) for line in writer.stdout.read().split()]
    kept = log.read()
    assert [change.to for change in kept] == started[: len(kept)]
    assert len(kept) >= len(started) - 1
    assert all(len(changed_spikes(change)) == 20_000 for change in kept)
    log.append(Edit("undo"))
    assert len(in_force(log.read())[0]) == len(kept) - 1


def test_the_journal_says_what_was_done_and_replaces_only_itself(tmp_path: Path) -> None:
    path = tmp_path / "D5-journal.txt"
    said: list[Change] = [*SAID, Edit("merge", unit=2, to=1), Edit("undo")]
    write_journal(path, said, fs_hz=FS_HZ, names={1: "basket"})
    write_journal(path, said, fs_hz=FS_HZ, names={1: "basket"})
    lines = path.read_text(encoding="utf-8").splitlines()[2:]
    assert lines == [
        "the spike of unit basket at 0.0040 s is rejected",
        "the spike of unit 2 at 0.0080 s is of unit basket",
        "the spike of unit basket at 0.0120 s is accepted",
        "unit 2 is merged into unit basket",
        "undo of the last step",
    ]
    assert summary(said) == "1 spike accepted, 1 spike rejected, 1 spike renamed"
    path.write_text("my own notes\n")
    with pytest.raises(InputError, match="was not written by spikesorter"):
        write_journal(path, said, fs_hz=FS_HZ, names={})
