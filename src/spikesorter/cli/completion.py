"""Shell completion of option values: settings, presets, formats and targets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import typer

__all__ = ["complete_assignment", "complete_format", "complete_preset", "complete_target"]

Suggestion = tuple[str, str]
"""A value and its meaning, which some shells show next to it."""


def complete_preset(incomplete: str) -> list[str]:
    """Return the presets that start with a text."""
    from spikesorter.core.settings import PRESETS

    return [name for name in PRESETS if name.startswith(incomplete)]


def complete_format(incomplete: str) -> list[str]:
    """Return the formats of results that start with a text."""
    from spikesorter.io.formats import EXPORTS

    return [name for name in EXPORTS if name.startswith(incomplete)]


def complete_target(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the targets, of the model given by `--model`, that start with a text."""
    from spikesorter.io.model_files import TARGETS

    model = ctx.params.get("model")
    inside = Path(model) / TARGETS if model else None
    if inside is None or not inside.is_dir():
        return []
    names = sorted(path.name for path in inside.iterdir() if path.is_dir())
    return [name for name in names if name.startswith(incomplete) and not name.startswith(".")]


def complete_assignment(incomplete: str) -> list[Suggestion]:
    """Return the settings that start with a text or, after "=", the possible values of a setting."""
    key, sign, begun = incomplete.partition("=")
    if not sign:
        return [(f"{name}=", meaning) for name, meaning, _ in _settings() if name.startswith(key)]
    return [
        (f"{name}={value}", meaning)
        for name, meaning, values in _settings()
        if name == key
        for value in values
        if value.startswith(begun)
    ]


def _settings() -> Iterator[tuple[str, str, list[str]]]:
    """Yield each setting's name, meaning and, if they can be listed, possible values."""
    from spikesorter.core.settings import Settings

    yield from _fields_of(Settings, "")


def _fields_of(section: Any, prefix: str) -> Iterator[tuple[str, str, list[str]]]:
    for name, field in section.model_fields.items():
        if hasattr(field.annotation, "model_fields"):
            yield from _fields_of(field.annotation, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", field.description or "", _values_of(field.annotation)


def _values_of(kind: Any) -> list[str]:
    if kind is bool:
        return ["true", "false"]
    if get_origin(kind) is Literal:
        return [str(value) for value in get_args(kind)]
    return [value for part in get_args(kind) for value in _values_of(part)]
