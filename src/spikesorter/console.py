"""What the command line shows: progress and warnings on standard error, tables on standard output."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spikesorter.evaluate import Score
    from spikesorter.progress import Progress
    from spikesorter.referee import Verdict
    from spikesorter.study import TargetResult

__all__ = ["print_confusion", "print_scores", "print_study", "print_verdicts", "target_line", "working"]


@contextmanager
def working(quiet: bool) -> Iterator[tuple[Progress, Any]]:
    """Show progress and warnings on standard error while work is done; give (progress, say a line)."""
    import warnings

    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    console = Console(stderr=True, highlight=False)
    handler = _ConsoleHandler(console)
    logger = logging.getLogger("spikesorter")
    logger.addHandler(handler)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TimeElapsedColumn(),
        TextColumn("left:"),
        TimeRemainingColumn(),
    )
    bars = Bars(*columns, console=console, transient=True, disable=quiet or not console.is_terminal)
    task = bars.add_task("starting", total=1.0)
    shown = ""

    def progress(step: str, done: float) -> None:
        nonlocal shown
        if step != shown:
            shown = step
            bars.reset(task, description=step)
        bars.update(task, completed=done)

    def say(line: str) -> None:
        if not quiet:
            console.print(line, markup=False, soft_wrap=True)

    try:
        with bars, warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            yield progress, say
    finally:
        logger.removeHandler(handler)


class _ConsoleHandler(logging.Handler):
    """Shows the library's warnings beside the progress bar."""

    def __init__(self, console: Any) -> None:
        super().__init__(logging.WARNING)
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        line = f"spikesorter: {record.levelname.lower()}: {record.getMessage()}"
        self._console.print(line, markup=False, soft_wrap=True)


def target_line(result: TargetResult) -> str:
    """One line a target: what is known of it without labels, then how it went."""
    sorter, activity = result.sorter, result.sorter.profile.activity
    forecast = sorter.forecast
    noise = ", ".join(f"{float(value):.3g}" for value in sorter.profile.scale)
    line = (
        f"{result.name}: noise {noise}, gain {activity.gain:.2f}, {sum(activity.rates) * sorter.fs_hz:.1f} "
        f"spikes/s; {sorter.prepared.name} found {len(result.spikes)} spikes; "
        f"expected score {forecast.score:.3f} ({forecast.low:.3f} to {forecast.high:.3f})"
    )
    return line + (f"; score {result.score.score:.3f}" if result.score else "")


def print_study(results: list[TargetResult]) -> None:
    """Print the scores of a run, if the truth was known."""
    from spikesorter.evaluate import study_score

    scores = {result.name: result.score.score for result in results if result.score}
    if scores:
        whole = study_score(scores) if len(scores) == len(results) else None
        rows = {r.name: (r.score, [str(len(r.spikes))]) for r in results if r.score}
        print_scores(rows, ["spikes"], whole)


def print_scores(rows: dict[str, tuple[Score, list[str]]], extra: list[str], whole: float | None) -> None:
    """Print a table of scores, with further columns before them, and the study's score below."""
    from rich.console import Console
    from rich.table import Table

    names = ("score", "f_det", "f_cls", "precision", "recall", "strict")
    table = Table()
    table.add_column("recording")
    for name in (*extra, *names):
        table.add_column(name, justify="right")
    for recording, (result, cells) in rows.items():
        summary = result.summary()
        table.add_row(recording, *cells, *(f"{summary[name]:.3f}" for name in names))
    if whole is not None:
        table.add_section()
        table.add_row("study", *("" for _ in extra), f"{whole:.3f}", *("" for _ in names[1:]))
    Console().print(table)


def print_confusion(recording: str, result: Score) -> None:
    """Print which classes were taken for which."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=f"{escape(recording)}: true spikes (rows) and what was found (columns)")
    table.add_column("")
    names = [escape(result.name_of(label)) for label in result.classes]
    for name in (*names, "missed"):
        table.add_column(name, justify="right")
    for name, row in zip((*names, "false"), result.confusion.tolist(), strict=True):
        table.add_row(name, *(str(count) for count in row))
    Console().print(table)


def print_verdicts(verdicts: dict[str, Verdict]) -> None:
    """Print how well each true unit was found, in the eyes of SpikeInterface's comparison."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    figures = ("accuracy", "precision", "recall")
    table = Table(title="Units, by SpikeInterface's comparison")
    for column in ("recording", "unit", "found as"):
        table.add_column(column)
    for column in ("spikes", "found", *figures):
        table.add_column(column, justify="right")
    for recording, verdict in verdicts.items():
        for unit in verdict.units:
            cells = (str(unit.true_spikes), str(unit.found_spikes), *_thousandths(unit, figures))
            table.add_row(recording, escape(unit.unit), escape(unit.found_as or "-"), *cells)
        table.add_row(recording, "mean", "", "", "", *_thousandths(verdict, figures), end_section=True)
    console = Console()
    console.print(table)
    for recording, verdict in verdicts.items():
        if not verdict.has_namesakes:
            console.print(
                f"{recording}: no unit found is called like a true one: scores pair neurons by name, "
                "SpikeInterface's comparison by agreement (unless --pairing name)",
                markup=False,
                soft_wrap=True,
            )
        if verdict.unpaired:
            console.print(f"{recording}: no true unit for {', '.join(verdict.unpaired)}", markup=False)


def _thousandths(value: Any, figures: tuple[str, ...]) -> list[str]:
    return [f"{getattr(value, figure):.3f}" for figure in figures]
