"""How far the work is: what lines say, and where there are any."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spikesorter.cli import progress
from spikesorter.cli.progress import progress_line, working


@given(st.floats(0.01, 0.99), st.integers(1, 100_000))
def test_time_left_and_so_far_make_up_the_whole(done: float, seconds: int) -> None:
    line = progress_line("sorting", done, seconds)
    so_far, left = (
        in_seconds(part) for part in line.removesuffix(" left").split(", ", 1)[1].split(", about ")
    )
    assert so_far == seconds
    assert left == pytest.approx(seconds / done - seconds, abs=0.5 + 1e-6)


def in_seconds(text: str) -> int:
    days, _, clock = text.removesuffix(" so far").rpartition(", ")
    hours, minutes, seconds = (int(part) for part in clock.split(":"))
    return ((int(days.split()[0]) if days else 0) * 24 + hours) * 3600 + 60 * minutes + seconds


@pytest.mark.parametrize("done", [0.0, 1.0, float("nan")])
def test_what_cannot_be_told_is_not_said(done: float) -> None:
    assert progress_line("D2: sorting", done, 59.6) == "D2: sorting: 0:01:00 so far"


def test_a_line_is_about_the_last_step_since_it_began(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: clock.now))
    said: list[str] = []
    lines = progress._Lines(said.append)
    reports = [[], [("learning", 0.0)], [("learning", 0.5), ("sorting", 0.0)], [("sorting", 0.25)], []]
    waits: list[float] = []

    def wait(seconds: float) -> bool:
        waits.append(seconds)
        if len(waits) > len(reports):
            return True
        for step, done in reports[len(waits) - 1]:
            lines.now(step, done)
        clock.now += seconds
        return False

    ended: Any = SimpleNamespace(wait=wait)
    lines._print_until(ended)
    assert said == [
        "learning: 0:00:30 so far",
        "sorting: 0:00:30 so far",
        "sorting: 25%, 0:01:00 so far, about 0:03:00 left",
        "sorting: 25%, 0:01:30 so far, about 0:04:30 left",
    ]


def test_no_line_is_said_after_the_work_even_if_it_failed() -> None:
    before = threading.active_count()

    def fail() -> None:
        assert threading.active_count() == before + 1
        raise KeyError

    with pytest.raises(KeyError), progress._Lines(lambda line: None).printed():
        fail()
    assert threading.active_count() == before


@pytest.mark.parametrize("quiet", [False, True])
def test_at_a_terminal_there_is_a_bar_and_no_lines(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, quiet: bool
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(progress, "QUIET_SECONDS", 0.001)
    before = threading.active_count()
    with working(quiet) as (report, say):
        report("learning", 1.0)
        report("sorting [b]x", 0.5)
        say("D2: 9 spikes")
        assert threading.active_count() == before + (not quiet)  # what draws the bar
    said = capsys.readouterr()
    assert ("D2: 9 spikes" in said.err, "left:" in said.err) == (not quiet, not quiet)
    assert ("so far" in said.err, said.out) == (False, "")


def test_names_cannot_disturb_a_bar(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    with working(False) as (report, _):
        report("D[/b]2 [red]left: \u202e\x1b[5m", 0.5)
    said = capsys.readouterr().err
    assert "D[/b]2 [red]left: " in said
    assert "\u202e" not in said
    assert "\x1b[5m" not in said
