"""The command line: parse, call, print."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from spikesorter.cli import inspect, sort, start, train
from spikesorter.core.errors import SpikeSorterError

__all__ = ["app", "main"]

USER_ERROR = 2
INTERRUPTED = 130

app = typer.Typer(
    rich_markup_mode="markdown",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    help="Learn a spike sorter from one labelled recording and run it on noisier ones of the same neurons.",
)


def main() -> None:
    """Run the command line; errors that a user can mend become one line and exit code 2."""
    try:
        app()
    except SpikeSorterError as error:
        sys.stderr.write(f"spikesorter: error: {' '.join(str(error).split())}\n")
        sys.exit(USER_ERROR)
    except BrokenPipeError:  # whoever read our output has seen enough
        sys.stderr.close()
        sys.exit(0)
    except SystemExit as ended:
        if ended.code == INTERRUPTED:  # which is what typer makes of Ctrl-C
            sys.stderr.write("spikesorter: interrupted; what was written before is whole\n")
        raise


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


app.command()(train.run)
app.command()(train.train)
app.command()(sort.sort)
app.command()(sort.batch)
app.command("listen")(sort.listen_command)
app.command()(inspect.view)
app.command()(inspect.evaluate)
app.command()(start.simulate)
app.command("config")(start.show_config)
app.command()(inspect.plot)
app.add_typer(inspect.model_commands)
