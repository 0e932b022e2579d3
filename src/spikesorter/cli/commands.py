"""Commands with plain help, examples, and options that take several values."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

__all__ = ["PlainCommand", "PlainGroup", "TrainCommand", "examples"]

PROGRAM = "spikesorter"


def examples(*lines: str) -> str:
    """Return a command's examples as the text below its help."""
    shown = "\n".join(f"$ {PROGRAM} {line}" for line in lines)
    return f"**Examples**\n\n```console\n{shown}\n```"


class PlainCommand(TyperCommand):
    """A command whose help shows no types for arguments and flags, and which refuses empty words."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the command line; refuse an empty word, which would be read as the current folder."""
        empty = next((number for number, word in enumerate(args) if not word.strip()), None)
        if empty is not None and not ctx.resilient_parsing:
            after = f" after {args[empty - 1]}" if empty else ""
            raise typer.BadParameter(
                f"the word{after} is empty; is a variable of the shell not set?", ctx=ctx
            )
        left: list[str] = super().parse_args(ctx, args)
        return left

    def get_params(self, ctx: Any) -> Any:
        """Return the parameters for the help text."""
        return _without_types(super().get_params(ctx))

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Return the parts of the usage line, with arguments without braces."""
        return _without_braces(super().collect_usage_pieces(ctx))


class PlainGroup(TyperGroup):
    """A group of commands with plain help."""

    def get_params(self, ctx: Any) -> Any:
        """Return the parameters for the help text."""
        return _without_types(super().get_params(ctx))


class TrainCommand(PlainCommand):
    """`train`: several files may follow `--targets`; other extra words are errors."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the command line; refuse an extra word, with a suggestion."""
        ctx.allow_extra_args = True
        left: list[str] = super().parse_args(ctx, repeated("--targets", args))
        if left and not ctx.resilient_parsing:
            raise typer.BadParameter(
                f"expected one labelled recording, but found another word: {left[0]}. To adapt to it: "
                f"--targets {' '.join(left)}",
                ctx=ctx,
            )
        return left


def repeated(option: str, words: list[str]) -> list[str]:
    """Repeat an option before each word that follows it.

    Examples
    --------
    >>> repeated("--targets", ["D1.mat", "--targets", "D2.mat", "D3.mat", "--quiet"])
    ['D1.mat', '--targets', 'D2.mat', '--targets', 'D3.mat', '--quiet']
    """
    written: list[str] = []
    inside = False
    for number, word in enumerate(words):
        if word.startswith("-") and word != "-":
            inside = word == option
        elif inside and words[number - 1] != option:
            written.append(option)
        written.append(word)
    return written


def _without_types(params: Any) -> Any:
    for param in params:
        if param.param_type_name == "argument":  # typer has no option for this; older versions show no type
            param.display_type_rich = _nothing
        elif param.is_flag:
            param.metavar = ""
    return params


def _nothing(ctx: Any) -> str:
    return ""


def _without_braces(pieces: list[str]) -> list[str]:
    return [piece.strip("{}").replace("}...", "...") for piece in pieces]
