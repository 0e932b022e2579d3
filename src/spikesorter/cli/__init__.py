"""The command line: parse, call, print."""

from __future__ import annotations

import atexit
import gc
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Annotated

import typer

from spikesorter.cli import discover, export, inspect, listen, sort, start, train
from spikesorter.cli.commands import PlainCommand, PlainGroup, TrainCommand, examples
from spikesorter.core.errors import SpikeSorterError
from spikesorter.core.text import visible

__all__ = ["app", "main"]

USER_ERROR = 2
INTERRUPTED = 130

app = typer.Typer(
    cls=PlainGroup,
    rich_markup_mode="markdown",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    help="Learn a spike sorter from one labelled recording, and sort noisier recordings of the same units.",
    epilog=examples("simulate STUDY", "run STUDY --out OUT", "view OUT"),
)


def main() -> None:
    """Run the command line; errors that a user can fix are printed as one line, with exit code 2."""
    _write_any_text()
    try:
        _run()
    except SpikeSorterError as error:
        sys.stderr.write(f"spikesorter: error: {visible(' '.join(str(error).split()))}\n")
        sys.exit(USER_ERROR)
    except BrokenPipeError:  # the reader of the output closed it, as `head` does
        sys.stderr.close()
        sys.exit(0)
    except OSError as error:  # such as a full disk that the output is written to
        _drop_output()
        place = f"{error.filename}: " if error.filename else "the output cannot be written: "
        sys.stderr.write(f"spikesorter: error: {visible(f'{place}{error.strerror or error}')}\n")
        sys.exit(USER_ERROR)
    except SystemExit as ended:
        if ended.code == INTERRUPTED:  # typer's exit code after Ctrl-C
            atexit.register(gc.freeze)  # to look for cycles in all modules lasts a second on a busy core
            sys.stderr.write("spikesorter: interrupted; the files written so far are complete\n")
        raise


def _run() -> None:
    if sys.flags.optimize > 1:
        raise SpikeSorterError(
            "Python runs without docstrings (-OO, or PYTHONOPTIMIZE=2), which SpikeInterface needs; use -O "
            "or neither"
        )
    try:
        app(prog_name="spikesorter")  # whichever way it was started
    finally:
        if sys.stdout is not None:
            sys.stdout.flush()  # here, so that its errors are reported


def _write_any_text() -> None:
    """Write characters that a terminal's encoding lacks as escapes."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _drop_output() -> None:
    """Let what is left of the output go nowhere, or Python would report the error again at its end."""
    with suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def _show_version(wanted: bool) -> None:
    if wanted:
        from spikesorter import __version__

        typer.echo(f"spikesorter {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


WORK, LOOK, START = "Learn and sort", "Inspect results and models", "Get started"


def _add(
    command: Callable[..., None],
    panel: str,
    shown: str,
    *,
    name: str | None = None,
    cls: type[PlainCommand] = PlainCommand,
) -> None:
    app.command(name, cls=cls, rich_help_panel=panel, epilog=shown)(command)


_add(train.run, WORK, train.RUN_EXAMPLES)
_add(train.train, WORK, train.TRAIN_EXAMPLES, cls=TrainCommand)
_add(discover.discover, WORK, discover.DISCOVER_EXAMPLES)
_add(sort.sort, WORK, sort.SORT_EXAMPLES)
_add(sort.batch, WORK, sort.BATCH_EXAMPLES)
_add(listen.listen, WORK, listen.LISTEN_EXAMPLES)
_add(inspect.view, LOOK, inspect.VIEW_EXAMPLES)
_add(export.export, LOOK, export.EXPORT_EXAMPLES)
_add(inspect.evaluate, LOOK, inspect.EVALUATE_EXAMPLES)
_add(inspect.plot, LOOK, inspect.PLOT_EXAMPLES)
app.add_typer(inspect.model_commands, rich_help_panel=LOOK)
_add(start.simulate, START, start.SIMULATE_EXAMPLES)
_add(start.show_config, START, start.CONFIG_EXAMPLES, name="config")
