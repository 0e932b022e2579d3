"""What commands print: every figure in its row, names as they are, warnings beside the results."""

from __future__ import annotations

import logging
import re
import threading
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from spikesorter.cli.commands import examples, repeated
from spikesorter.cli.console import (
    bad_line,
    outcome_line,
    print_batch,
    print_comparisons,
    print_confusion,
    print_left_out,
    print_scores,
    print_study,
    result_line,
    sorted_line,
    sorter_line,
)
from spikesorter.cli.discover import _print_units
from spikesorter.cli.progress import working
from spikesorter.core.bad_stretches import BadStretches
from spikesorter.core.comparison import compare_sortings
from spikesorter.core.errors import naming
from spikesorter.core.score import score
from spikesorter.core.spikes import Spikes
from spikesorter.workflows.tasks import Outcome

MARKUP = "[red]D2[/red]"
TRUTH = Spikes([100, 300, 500, 700], [1, 1, 2, 2], fs_hz=25_000.0, names={1: "[b]a", 2: "b"})
FOUND = Spikes([100, 300, 500, 900], [1, 2, 2, 3], fs_hz=25_000.0, names={1: "[b]a", 2: "b", 3: "c"})


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "160")


def rows_of(text: str) -> list[list[str]]:
    """The cells of a printed table, row by row."""
    lines = [line for line in text.splitlines() if re.search(r"[│┃]", line)]
    return [[cell.strip() for cell in re.split(r"[│┃]", line)[1:-1]] for line in lines]


def outcome(name: str, state: Any = "done", **others: Any) -> Outcome:
    facts = {"forecast": {"": {"score": 0.9125}}, "spikes": 1234, "seconds": 2.25, "peak_mb": 512.4}
    return Outcome(name, f"{name}.mat", state, **(facts | others))


def test_a_batch_is_listed_with_its_failures_last(capsys: pytest.CaptureFixture[str]) -> None:
    print_batch([
        outcome("bad", "failed", reason="C.mat: [not] a .mat file"), outcome(MARKUP), outcome("old", "kept")
    ])  # fmt: skip
    text = capsys.readouterr().out
    assert rows_of(text) == [
        ["recording", "spikes", "forecast", "seconds", "MB", ""],
        [MARKUP, "1234", "0.912", "2.2", "512", ""],
        ["old", "1234", "0.912", "2.2", "512", "sorted before"],
        ["bad", "", "", "2.2", "", "failed: C.mat: [not] a .mat file"],
    ]
    assert text.splitlines()[-1] == "1 sorted, 1 sorted before, 1 failed"


def found_in(*groups: str, **given: Any) -> Any:
    """Return a stand-in for what was found: a unit in each group."""
    unit: dict[str, Any] = {
        "unit": 1, "spikes": 9, "rate_hz": 2.0, "detectability": 5.0, "false_share": 0.1, "missed_share": 0.2,
        "violations": 0.0, "nearest": None, "verdict": "single", "reasons": (),
    }  # fmt: skip
    units = [(group, SimpleNamespace(**unit | given)) for group in groups]
    return SimpleNamespace(groups=dict.fromkeys(groups), units=units)


def test_names_of_groups_of_channels_are_listed_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    _print_units(found_in(MARKUP, "a[/b]"))
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:2] + lines[3:]] == ["group", MARKUP, "a[/b]"]


def test_units_fit_into_a_narrow_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    large = {"spikes": 12345, "rate_hz": 123.4, "detectability": 23.4, "false_share": 0.5}
    near = {"nearest": 12, "nearest_detectability": 12.3}
    reasons = ("short intervals", "near another", "many missed")
    for groups in ([""], ["probe", "tetrode 12"]):
        _print_units(found_in(*groups, **large, **near, verdict="multi-unit", reasons=reasons))
        text = capsys.readouterr().out
        assert "\N{HORIZONTAL ELLIPSIS}" not in text
        assert max(len(line) for line in text.splitlines()) <= 80
        for word in ("spikes", "missed", "nearest", "12345", "123.4", "50.0%", "12 (12.3)", "multi-unit"):
            assert word in text
        for word in " ".join(reasons).split():
            assert word in text


def test_each_reason_against_a_unit_has_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    _print_units(found_in("", verdict="doubtful", reasons=("near another", "many missed")))
    head, rule, first, second = capsys.readouterr().out.splitlines()[1:]
    assert [head.split()[-1], first.split()[-3:], second.split()] == [
        "why", ["doubtful", "near", "another"], ["many", "missed"]
    ]  # fmt: skip
    assert head.index("why") == first.index("near") == second.index("many")
    assert len(rule) >= len(first)


@pytest.mark.parametrize(
    ("one", "line"),
    [
        (outcome("D2"), "D2: 1234 spikes, forecast 0.912"),
        (
            outcome("D2", forecast={}, doubts=("its noise is 9 times that of D3",)),
            "D2: 1234 spikes, no forecast; its noise is 9 times that of D3",
        ),
        (outcome("D2", "kept"), "D2: 1234 spikes, forecast 0.912; sorted before"),
        (outcome("D2", "failed", reason="no such file"), "D2: failed: no such file"),
        (
            outcome("D2", forecast={"left": {"score": 0.5}, "right": {"score": 0.75}}),
            "D2: 1234 spikes, forecast 0.500, 0.750",
        ),
    ],
)
def test_each_recording_of_a_batch_has_a_line(one: Outcome, line: str) -> None:
    assert outcome_line(one) == line


def adapted(low: float = 0.85, high: float = 0.92, used: tuple[str, ...] = ("e1", "e2")) -> Any:
    """As much of a sorter as its line tells."""
    activity = SimpleNamespace(gain=-0.756, rates=(1e-3, 5e-4))
    profile = SimpleNamespace(scale=np.array([0.12345, 12.345]), activity=activity)
    forecast = SimpleNamespace(score=0.9, low=low, high=high)
    return SimpleNamespace(
        profile=profile,
        fs_hz=25_000.0,
        decoder="pursuit",
        forecast=forecast,
        used_channels=used,
        channels=2,
    )


def test_a_sorter_is_told_in_a_line() -> None:
    assert sorter_line("D2", adapted()) == (
        "D2: noise 0.123, 12.3, gain -0.76, 37.5 spikes/s, pursuit, forecast 0.900 ± 0.050"
    )
    assert sorter_line("D2", adapted(0.89, 0.98)).endswith("forecast 0.900 ± 0.080")
    assert sorter_line("D2", adapted(used=("e2",))).startswith("D2: channels e2 of 2, noise 0.123")


def test_results_are_told_in_a_line() -> None:
    result = SimpleNamespace(name="D2", spikes=FOUND, score=None)
    assert result_line(result) == "D2: 4 spikes"  # type: ignore[arg-type]
    result.score = score(TRUTH, TRUTH)
    assert result_line(result) == "D2: 4 spikes, score 1.000"  # type: ignore[arg-type]
    one = SimpleNamespace(
        title="D2.mat",
        spikes=FOUND,
        adapted_to="D3",
        sorters={"l": adapted(), "r": adapted()},
        doubts=(),
        left_out={},
    )
    assert sorted_line(one) == (  # type: ignore[arg-type]
        "D2.mat: 4 spikes (as adapted to D3), forecast 0.900 ± 0.050, 0.900 ± 0.050"
    )
    one.adapted_to = "(labelled)"
    assert "4 spikes (as first learnt, not adapted), forecast" in sorted_line(one)  # type: ignore[arg-type]
    assert "4 spikes (of the units found), forecast" in sorted_line(one, discovered=True)  # type: ignore[arg-type]
    one.adapted_to = "D3"
    one.left_out = {"l": ("e1",), "r": ("e4",)}
    assert "(as adapted to D3), without channel e1, e4, forecast 0.9" in sorted_line(one)  # type: ignore[arg-type]
    one.left_out = {}
    one.doubts = ("its noise is 9 times that of D3",)
    assert sorted_line(one) == (  # type: ignore[arg-type]
        "D2.mat: 4 spikes (as adapted to D3), no forecast; see the warnings"
    )


@pytest.mark.parametrize("whole", [None, 0.4567])
def test_scores_are_in_the_column_of_their_name(
    whole: float | None, capsys: pytest.CaptureFixture[str]
) -> None:
    result = score(TRUTH, FOUND)
    print_scores({"D2": (result, ["12"])}, ["spikes"], whole)
    printed = capsys.readouterr().out
    assert "precision, recall: of spikes of any unit" in printed  # the report's ask for the right unit too
    head, row, *study = rows_of(printed)
    cells = dict(zip(head, row, strict=True))
    assert (cells.pop("recording"), cells.pop("spikes")) == ("D2", "12")
    assert cells == {name: f"{value:.3f}" for name, value in result.summary().items() if name in cells}
    assert set(cells) == {"score", "f_det", "f_cls", "precision", "recall", "strict"}
    expected = [["study", "", "0.457", *[""] * 5]] if whole else []
    assert study == expected


def test_a_study_without_truth_has_no_scores(capsys: pytest.CaptureFixture[str]) -> None:
    print_study([SimpleNamespace(name="D2", spikes=FOUND, score=None)])  # type: ignore[list-item]
    assert capsys.readouterr().out == ""


def test_a_confusion_is_printed_as_it_is_counted(capsys: pytest.CaptureFixture[str]) -> None:
    result = score(TRUTH, FOUND)
    print_confusion(MARKUP, result)
    text = capsys.readouterr().out
    title = " ".join(text.partition("┏")[0].split())
    assert title == f"{MARKUP}: true units (rows) and found units (columns)"
    names = ["[b]a", "b", "c"]
    expected = [["", *names, "missed"]]
    for name, counts in zip([*names, "false"], result.confusion.tolist(), strict=True):
        expected.append([name, *map(str, counts)])
    assert rows_of(text) == expected


def test_comparisons_are_printed_unit_by_unit(capsys: pytest.CaptureFixture[str]) -> None:
    compared = compare_sortings(TRUTH, FOUND, pairing="name")
    print_comparisons({"D2": compared})
    text = capsys.readouterr().out
    head, *rows = rows_of(text)
    assert head == ["recording", "unit", "found as", "spikes", "found", "accuracy", "precision", "recall"]
    figures = [
        [f"{getattr(one, name):.3f}" for name in ("accuracy", "precision", "recall")]
        for one in (*compared.units, compared)
    ]
    assert rows == [
        ["D2", "[b]a", "[b]a", "2", "1", *figures[0]],
        ["D2", "b", "b", "2", "2", *figures[1]],
        ["D2", "mean", "", "", "", *figures[2]],
    ]
    assert text.splitlines()[-1] == "D2: no true unit for c"
    assert "no found unit has the name" not in text


def test_names_that_never_agree_are_remarked_on(capsys: pytest.CaptureFixture[str]) -> None:
    others = Spikes(FOUND.sample, FOUND.unit, fs_hz=25_000.0, names={1: "x", 2: "y", 3: "z"})
    print_comparisons({"D2": compare_sortings(TRUTH, others)})
    assert (
        "D2: no found unit has the name of a true unit. Scores pair units by name" in capsys.readouterr().out
    )


# Progress and warnings --------------------------------------------------------------------------------------


@pytest.mark.parametrize("quiet", [False, True])
def test_lines_and_warnings_go_to_standard_error_and_lines_can_be_left_out(
    quiet: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    with working(quiet) as (progress, say):
        progress("training", 0.5)
        say("D2: [bold]9[/bold] spikes")
        logging.getLogger("spikesorter.sorting").warning("unit %s is faint", "[b]a")
        logging.getLogger("spikesorter.sorting").info("not for users")
    said = capsys.readouterr()
    lines = [] if quiet else ["D2: [bold]9[/bold] spikes"]
    assert said.err.splitlines() == [*lines, "spikesorter: warning: unit [b]a is faint"]
    assert said.out == ""


def test_a_warning_names_the_recording_that_is_worked_on(capsys: pytest.CaptureFixture[str]) -> None:
    logger = logging.getLogger("spikesorter.sorting")
    with working(False), naming("in/D2.mat"):
        with naming("group left"):
            logger.warning("its noise is 9 times that of D3")
        logger.warning("in/D2.mat: 3 spikes of cluster 4 are left out")
    assert capsys.readouterr().err.splitlines() == [
        "spikesorter: warning: in/D2.mat: group left: its noise is 9 times that of D3",
        "spikesorter: warning: in/D2.mat: 3 spikes of cluster 4 are left out",
    ]


def test_warnings_are_printed_during_the_work_alone_even_if_it_fails(
    capsys: pytest.CaptureFixture[str],
) -> None:
    logger = logging.getLogger("spikesorter")
    before = list(logger.handlers)

    def fail() -> None:
        assert len(logger.handlers) == len(before) + 1
        raise KeyError

    with pytest.raises(KeyError), working(False):
        fail()
    assert logger.handlers == before
    logger.warning("too late")
    assert "too late" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], []),
        (["a", "b"], ["a", "b"]),
        (["--to", "a"], ["--to", "a"]),
        (["--to", "a", "b", "c"], ["--to", "a", "--to", "b", "--to", "c"]),
        (["--to", "a", "--to", "b"], ["--to", "a", "--to", "b"]),
        (["--to", "a", "-q", "b"], ["--to", "a", "-q", "b"]),
        (["--to", "a", "-", "b"], ["--to", "a", "--to", "-", "--to", "b"]),
        (["--other", "a", "b"], ["--other", "a", "b"]),
    ],
)
def test_words_after_an_option_that_takes_several_are_its_own(words: list[str], expected: list[str]) -> None:
    assert repeated("--to", words) == expected


def test_examples_are_shown_as_they_are_typed() -> None:
    lines = examples("sort a.mat", "config > my.toml").splitlines()
    assert lines[0] == "**Examples**"
    assert lines[2:] == ["```console", "$ spikesorter sort a.mat", "$ spikesorter config > my.toml", "```"]


BAD = BadStretches.of([(0, 2500, "dead"), (5000, 5500, "artefact")])


def test_a_sorted_recording_with_bad_stretches_has_a_line_on_them() -> None:
    one = SimpleNamespace(title="D6.mat", spikes=replace(FOUND, bad=BAD), n_samples=250_000)
    assert bad_line(one) == (  # type: ignore[arg-type]
        "D6.mat: 0.12 of 10 s are bad and left out: dead 0.1 s, artefact 0.02 s"
    )
    assert bad_line(SimpleNamespace(title="D2.mat", spikes=FOUND, n_samples=9)) is None  # type: ignore[arg-type]


def test_the_line_on_a_target_says_how_much_is_bad() -> None:
    result = SimpleNamespace(name="D6", spikes=replace(FOUND, bad=BAD), score=None)
    assert result_line(result) == "D6: 4 spikes; 0.12 s are bad"  # type: ignore[arg-type]


def test_a_batch_tells_which_channels_were_left_out() -> None:
    line = outcome_line(outcome("D6", left_out={"left": ("e1", "e3")}))
    assert line == "D6: 1234 spikes, forecast 0.912; without channel e1, e3"


def test_a_batch_tells_what_is_bad_where_anything_is(capsys: pytest.CaptureFixture[str]) -> None:
    bad = outcome("D6", bad_s={"dead": 0.1, "artefact": 0.0213})
    assert outcome_line(bad) == (
        "D6: 1234 spikes, forecast 0.912; bad and left out: dead 0.1 s, artefact 0.0213 s"
    )
    print_batch([bad, outcome("D2"), outcome("D3", "failed", reason="no such file")])
    assert rows_of(capsys.readouterr().out) == [
        ["recording", "spikes", "forecast", "bad (s)", "seconds", "MB", ""],
        ["D6", "1234", "0.912", "0.121", "2.2", "512", ""],
        ["D2", "1234", "0.912", "", "2.2", "512", ""],
        ["D3", "", "", "", "2.2", "", "failed: no such file"],
    ]


def test_what_was_not_scored_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    print_left_out({"D2": score(TRUTH, FOUND), "D6": score(TRUTH, replace(FOUND, bad=BAD))})
    assert capsys.readouterr().out == "D6: 0.12 s are bad; spikes in them were left out on both sides\n"


def test_without_a_terminal_progress_is_a_line_at_times_also_while_nothing_is_reported(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spikesorter.cli.progress.QUIET_SECONDS", 0.01)
    said = ""
    with working(False) as (progress, _):
        progress("sorting", 0.25)
        while said.count("\n") < 3:
            said += capsys.readouterr().err
    first, *_ = said.splitlines()
    assert re.fullmatch(r"sorting: 25%, 0:00:0\d so far, about 0:00:\d\d left", first)
    with working(True) as (progress, _):
        progress("sorting", 0.25)
        assert not threading.Event().wait(0.1)
    assert capsys.readouterr().err == ""
