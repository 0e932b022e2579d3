"""Help that reads well, examples that parse, words that shells complete, words that are one too many."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from spikesorter.cli import app
from spikesorter.cli.completion import complete_assignment
from spikesorter.cli.reading import BLANK_MS, exclusion_of
from spikesorter.core.errors import InputError
from spikesorter.core.settings import PRESETS, Settings
from spikesorter.io.formats import EXPORTS
from tests.cli.test_cli import COMMANDS, spikesorter


def every_command() -> Iterator[tuple[str, Any]]:
    for name, command in vars(get_command(app))["commands"].items():
        inner = vars(command).get("commands")
        yield from ((f"{name} {one}", two) for one, two in inner.items()) if inner else [(name, command)]


EVERY = dict(every_command())


@pytest.mark.parametrize("name", ["", *EVERY])
def test_help_shows_no_types_in_brackets_of_flags_and_arguments(name: str) -> None:
    text = spikesorter(*name.split(), "--help").stdout
    assert not re.search(r"<bool>|<path>|<str>|<list|range>|x<=|\{", text)
    assert "Examples" in text


def test_pulses_are_found_only_where_there_is_a_model() -> None:
    with pytest.raises(InputError, match="needs the events .* only sort and batch find them"):
        exclusion_of(None, None, BLANK_MS, 5.0)
    found = exclusion_of(None, None, BLANK_MS, 5.0, pulses_are_found=True)
    assert found is not None
    assert found.subtracts_found
    given = exclusion_of(None, Path("pulses.csv"), BLANK_MS, 5.0)
    assert given is not None
    assert not given.subtracts_found


@pytest.mark.parametrize("name", EVERY)
def test_examples_of_help_parse(name: str) -> None:
    command = EVERY[name]
    lines = [line for line in command.epilog.splitlines() if line.startswith("$ ")]
    assert lines
    for line in lines:
        words = shlex.split(line.removeprefix("$ ").split(" < ")[0].split(" > ")[0])
        assert words[: 1 + len(name.split())] == ["spikesorter", *name.split()]
        command.make_context(name, words[1 + len(name.split()) :])


def test_commands_are_grouped_and_all_there() -> None:
    text = spikesorter("--help").stdout
    order = [
        text.index(panel)
        for panel in ("Learn and sort", "Inspect results and models", "Get started", "Examples")
    ]
    assert order == sorted(order)
    assert {name.split()[0] for name in EVERY} == set(COMMANDS)


def test_options_are_grouped() -> None:
    text = spikesorter("sort", "--help").stdout
    panels = ("Options", "How recordings are read", "Settings", "Output")
    order = [text.index(f" {panel} ") for panel in panels]
    assert order == sorted(order)


# Words one too many ---------------------------------------------------------------------------------------


def test_a_stray_word_after_train_is_refused_with_a_suggestion(tmp_path: Path) -> None:
    words = ("train", "D1.mat", "D2.mat", "D3.mat", "--model", tmp_path / "model")
    said = " ".join(spikesorter(*words, rc=2).stderr.replace("│", " ").split())
    assert "expected one labelled recording, but found another word: D2.mat." in said
    assert "--targets D2.mat D3.mat" in said
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize(
    "words",
    [
        ["D1.mat", "--targets", "D2.mat", "D3.mat", "--model", "M"],
        ["--targets", "D2.mat", "--targets", "D3.mat", "--model", "M", "D1.mat"],
        ["D1.mat", "--model", "M", "--targets", "D2.mat", "D3.mat"],
    ],
)
def test_several_targets_follow_their_option(words: list[str]) -> None:
    given = EVERY["train"].make_context("train", words).params
    assert Path(given["labelled"]) == Path("D1.mat")  # older versions of typer convert later
    assert [Path(one) for one in given["targets"]] == [Path("D2.mat"), Path("D3.mat")]
    assert Path(given["model"]) == Path("M")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--segment", "-1"), "must be between 0 and 1e+06, not -1"),
        (("--channels", "0"), "must be between 1 and 100000, not 0"),
        (("--fs", "99"), "must be between 100 and 1e+07, not 99"),
        (("--span-seconds", "nan"), "must be between 0.001 and 1e+06, not nan"),
    ],
)
def test_options_beyond_their_bounds_are_refused(words: tuple[str, str], said: str) -> None:
    refused = spikesorter("sort", "a.mat", "--model", "M", "--out", "O", *words, rc=2)
    assert said in " ".join(refused.stderr.split())


# Completion -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("sort", "D2.mat", "--model", "MODEL", "--out", ""), "the word after --out is empty"),
        (("sort", " ", "--model", "MODEL", "--out", "OUT"), "the word is empty"),
        (("train", "D1.mat", "--model", "M", "--targets", ""), "the word after --targets is empty"),
        (("model", "info", ""), "the word is empty"),
    ],
)
def test_an_empty_word_is_not_the_current_folder(words: tuple[str, ...], said: str) -> None:
    refused = spikesorter(*words, rc=2)
    assert said in " ".join(refused.stderr.replace("│", " ").split())


def completed(line: str) -> list[str]:
    """What bash is offered for the last word of a line."""
    asked = {
        "_SPIKESORTER_COMPLETE": "complete_bash",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(line.split(" ")) - 1),
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in asked.items():
            patch.setenv(name, value)
        return spikesorter().stdout.split()


def test_shells_complete_presets_and_formats() -> None:
    assert completed("spikesorter run S --preset ") == list(PRESETS)
    assert completed("spikesorter run S --preset pub") == ["published"]
    assert completed("spikesorter sort a.mat --to p") == ["parquet", "phy"]
    assert completed("spikesorter batch a --to ") == list(EXPORTS)


def test_shells_complete_settings_and_their_values() -> None:
    assert completed("spikesorter run S --set outliers.m") == ["outliers.mark="]
    assert "decoder=pursuit" in completed("spikesorter train D1.mat --set decoder=")
    assert completed("spikesorter run S --set outliers.mark=t") == ["outliers.mark=true"]
    assert completed("spikesorter run S --set output.threshold=") == []


def test_every_setting_can_be_completed_and_has_a_meaning() -> None:
    offered = dict(complete_assignment(""))
    sections = {name: value for name, value in Settings().model_dump().items() if isinstance(value, dict)}
    known = {f"{name}.{key}" for name, section in sections.items() for key in section}
    assert {name.removesuffix("=") for name in offered} >= known | {"seed", "decoder"}
    assert all(offered.values())
    for name in offered:
        for value, _ in complete_assignment(name):
            Settings().replace([value])  # refuses what is no value


def test_shells_complete_the_targets_of_a_model(tmp_path: Path) -> None:
    for name in ("D2", "D3", "night", ".D4.tmp"):
        (tmp_path / "targets" / name).mkdir(parents=True)
    assert completed(f"spikesorter listen --model {tmp_path} --like ") == ["D2", "D3", "night"]
    assert completed(f"spikesorter listen --model {tmp_path} --like n") == ["night"]
    assert completed("spikesorter listen --like ") == []
    assert completed(f"spikesorter listen --model {tmp_path / 'none'} --like ") == []
