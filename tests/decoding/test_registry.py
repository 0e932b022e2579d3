from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest

import spikesorter.decoding
from spikesorter.core.errors import SettingsError
from spikesorter.core.settings import Settings, load_settings
from spikesorter.decoding.registry import AUTO, decoder_kinds, decoder_types, wanted_kinds

ADDED = '''
from spikesorter.decoding.bench import DecoderKind, untrained
from spikesorter.decoding.botm import BotmDecoder, make_botm

class AddedDecoder(BotmDecoder):
    """As a new file would define one."""

KIND = DecoderKind("added", AddedDecoder, untrained(make_botm), rank=12, in_auto=True)
'''


def names(settings: Settings) -> list[str]:
    return [kind.name for kind in wanted_kinds(settings)]


def wanting(*assignments: str) -> Settings:
    return load_settings(assignments=assignments)


@pytest.fixture
def added(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A file of one more decoder in the folder of decoders."""
    (tmp_path / "added.py").write_text(ADDED, encoding="utf-8")
    monkeypatch.setattr(spikesorter.decoding, "__path__", [*spikesorter.decoding.__path__, str(tmp_path)])
    decoder_kinds.cache_clear()
    yield
    decoder_kinds.cache_clear()
    sys.modules.pop("spikesorter.decoding.added", None)


def test_the_setting_names_the_decoders_that_there_are() -> None:
    hint: Any = Settings.model_fields["decoder"].annotation
    assert sorted(get_args(hint)) == sorted([AUTO, *(kind.name for kind in decoder_kinds())])


def test_decoders_are_made_after_those_that_they_need() -> None:
    before: set[str] = set()
    for kind in decoder_kinds():
        assert set(kind.needs) <= before
        before.add(kind.name)
    assert len({kind.rank for kind in decoder_kinds()}) == len(decoder_kinds())


def test_auto_tries_no_networks_where_units_vary() -> None:
    def varying(*assignments: str) -> list[str]:
        return [kind.name for kind in wanted_kinds(wanting(*assignments), units_vary=True)]

    assert varying("decoder=auto") == ["pursuit", "botm", "trees"]
    assert varying("decoder=combined") == ["pursuit", "cnn", "combined"]  # as asked for


def test_auto_tries_those_without_networks_first() -> None:
    assert names(wanting("decoder=auto")) == ["pursuit", "botm", "trees", "cnn", "combined"]
    assert names(wanting("decoder=auto", "detector.curves=spike")) == ["pursuit", "botm", "trees", "cnn"]
    assert sum(kind.preferred for kind in decoder_kinds()) == 1


def test_a_decoder_comes_with_those_that_it_needs() -> None:
    assert names(wanting("decoder=combined")) == ["pursuit", "cnn", "combined"]
    assert names(wanting("decoder=low_latency")) == ["low_latency"]


def test_a_decoder_that_other_settings_exclude_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"combined does not go with detector\.curves = spike; set that"):
        wanted_kinds(wanting("decoder=combined", "detector.curves=spike"))


@pytest.mark.usefixtures("added")
def test_a_decoder_is_added_by_its_file_alone() -> None:
    assert names(wanting("decoder=auto"))[:3] == ["added", "pursuit", "botm"]
    assert "AddedDecoder" in {one.__name__ for one in decoder_types()}
