"""Show progress and warnings on standard error while a command works."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from spikesorter.core.errors import about_subject
from spikesorter.core.text import visible

if TYPE_CHECKING:
    from spikesorter.core.progress import Progress

__all__ = ["progress_line", "working"]

QUIET_SECONDS = 30.0
"""Without a terminal, a line of progress is printed this often."""
LONG_SECONDS = 1e6
"""Time over which the speed is measured: all of it, as a recording of a batch may take hours."""


@contextmanager
def working(quiet: bool) -> Iterator[tuple[Progress, Any]]:
    """Show progress and warnings during a block; provide callbacks for progress and for lines of text."""
    import warnings

    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    console = Console(stderr=True, highlight=False)
    handler = _ConsoleHandler(console)
    logger = logging.getLogger("spikesorter")
    logger.addHandler(handler)
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TimeElapsedColumn(),
        TextColumn("left:"),
        TimeRemainingColumn(),
    )
    shows = console.is_terminal and not quiet
    bars = Bars(
        *columns, console=console, transient=True, disable=not shows, speed_estimate_period=LONG_SECONDS
    )
    task = bars.add_task("starting", total=1.0)
    shown = ""

    def say(line: str) -> None:
        if not quiet:
            console.print(visible(line), markup=False, soft_wrap=True)

    lines = _Lines(say)

    def progress(step: str, done: float) -> None:
        nonlocal shown
        lines.now(step, done)
        if step != shown:
            shown = step
            bars.reset(task, description=visible(step))
        bars.update(task, completed=done)

    shower = bars if shows else nullcontext() if quiet else lines.printed()
    try:
        with shower, warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            yield progress, say
    finally:
        logger.removeHandler(handler)


class _Lines:
    """Lines that say, where there is no terminal, how far the work is."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._began: dict[str, float] = {}
        self._now = ("", 0.0)

    def now(self, step: str, done: float) -> None:
        """Take note of how far a step is."""
        self._began.setdefault(step, time.monotonic())
        self._now = (step, done)

    @contextmanager
    def printed(self) -> Iterator[None]:
        """Print a line each 30 s during a block, also while nothing is reported."""
        ended = threading.Event()
        thread = threading.Thread(target=self._print_until, args=(ended,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def _print_until(self, ended: threading.Event) -> None:
        while not ended.wait(QUIET_SECONDS):
            step, done = self._now
            if step:
                self._say(progress_line(step, done, time.monotonic() - self._began[step]))


def progress_line(step: str, done: float, seconds: float) -> str:
    """Return a line on how far a step is that began so long ago, with the time left if it can be told.

    Examples
    --------
    >>> progress_line("sorting", 0.25, 600.0), progress_line("sorting", 0.0, 90.0)
    ('sorting: 25%, 0:10:00 so far, about 0:30:00 left', 'sorting: 0:01:30 so far')
    >>> progress_line("sorting", 0.0, 0.3)  # it has just begun
    'sorting'
    """
    so_far = f"{timedelta(seconds=round(seconds))} so far"
    if not 0 < done < 1:
        return f"{step}: {so_far}" if seconds >= 1 else step  # some steps cannot say more
    left = timedelta(seconds=round(seconds * (1 - done) / done))
    return f"{step}: {done:.0%}, {so_far}, about {left} left"


class _ConsoleHandler(logging.Handler):
    """Handler that prints the library's warnings above the progress bar."""

    def __init__(self, console: Any) -> None:
        super().__init__(logging.WARNING)
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        message = about_subject(record.getMessage())
        line = f"spikesorter: {record.levelname.lower()}: {message}"
        self._console.print(visible(line), markup=False, soft_wrap=True)
