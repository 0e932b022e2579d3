"""What was corrected, in words."""

from __future__ import annotations

from pathlib import Path

import pytest

from spikesorter.core.errors import InputError
from spikesorter.report.corrections import Change, Correction, Edit
from spikesorter.report.journal import journal, sentence, summary, write_journal

FS_HZ = 1000.0
NAMES = {1: "basket", 2: "pyramid"}
AT = "2026-11-29T10:00:00+00:00"
SAID: list[tuple[Change, str]] = [
    (Correction(1200, 1, "accept"), "the spike of unit basket at 1.2000 s is accepted"),
    (Correction(1200, 1, "reject"), "the spike of unit basket at 1.2000 s is rejected"),
    (Correction(1200, 1, "rename", to=2), "the spike of unit basket at 1.2000 s is of unit pyramid"),
    (Correction(1200, 1, "rename", to=7), "the spike of unit basket at 1.2000 s is of unit 7"),
    (Correction(1200, 1, "move", to=1300), "the spike of unit basket at 1.2000 s is moved to 1.3000 s"),
    (Correction(1200, 2, "add"), "a spike of unit pyramid at 1.2000 s is added"),
    (Correction(1200, 2, "undo"), "the spike of unit pyramid at 1.2000 s is as found again"),
    (Edit("merge", unit=2, to=1), "unit pyramid is merged into unit basket"),
    (Edit("reject", ((1, 1),)), "1 spike (1 of unit basket) is rejected"),
    (
        Edit("accept", ((1, 1), (2, 1), (3, 2))),
        "3 spikes (2 of unit basket and 1 of unit pyramid) are accepted",
    ),
    (Edit("rename", ((1, 1), (2, 1)), to=9), "2 spikes (2 of unit basket) are of unit 9"),
    (Edit("undo"), "undo of the last step"),
    (Edit("redo"), "redo of the last step"),
]


@pytest.mark.parametrize(("change", "words"), SAID)
def test_every_change_has_its_sentence(change: Change, words: str) -> None:
    assert sentence(change, fs_hz=FS_HZ, names=NAMES) == words


def test_the_journal_has_a_line_for_each_step_with_its_time() -> None:
    lines = journal([Correction(1200, 1, "reject", at=AT), Edit("undo", at=AT)], fs_hz=FS_HZ, names=NAMES)
    assert lines == [
        "2026-11-29 10:00:00 UTC: the spike of unit basket at 1.2000 s is rejected",
        "2026-11-29 10:00:00 UTC: undo of the last step",
    ]


def test_names_cannot_disturb_a_terminal() -> None:
    (line,) = journal([Correction(1, 1, "reject")], fs_hz=FS_HZ, names={1: "a\x1b[31mb\u202e"})
    assert "\x1b" not in line
    assert "\u202e" not in line


def test_the_summary_counts_what_holds() -> None:
    changes = [change for change, _ in SAID[:-2]]
    assert summary(changes) == (
        "4 spikes accepted, 2 spikes rejected, 4 spikes renamed, 1 spike moved, 1 spike added, 1 unit merged"
    )
    assert summary([*changes, Edit("undo")]).startswith(
        "4 spikes accepted, 2 spikes rejected, 2 spikes renamed"
    )
    two = [Edit("merge", unit=2, to=1), Edit("merge", unit=3, to=1)]
    assert summary(two) == "2 units merged"
    assert summary([*two, Edit("undo"), Edit("undo")]) == "nothing corrected"
    assert summary([Edit("reject", ((1, 1), (2, 1))), Correction(1, 1, "undo")]) == "2 spikes rejected"


def test_a_journal_is_written_anew_each_time_and_over_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "D5-journal.txt"
    changes = [Edit("merge", unit=2, to=1, at=AT), Edit("undo", at=AT)]
    for upto in (2, 1):
        write_journal(path, changes[:upto], fs_hz=FS_HZ, names=NAMES)
        heading, blank, *lines = path.read_text("utf-8").splitlines()
        assert "is not read again" in heading
        assert [blank, *lines] == ["", *journal(changes[:upto], fs_hz=FS_HZ, names=NAMES)]
    path.write_text("mine\n" + heading, "utf-8")
    with pytest.raises(InputError, match="was not written by spikesorter"):
        write_journal(path, changes, fs_hz=FS_HZ, names=NAMES)
    assert path.read_text("utf-8").startswith("mine")
    assert list(tmp_path.iterdir()) == [path]
