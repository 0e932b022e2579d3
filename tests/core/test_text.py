from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spikesorter.core.text import visible


@given(st.text())
def test_nothing_hidden_is_left_and_nothing_else_is_changed(text: str) -> None:
    shown = visible(text)
    assert not {unicodedata.category(one) for one in shown} & {"Cc", "Cs", "Zl", "Zp"}
    assert not any(unicodedata.bidirectional(one) in ("LRE", "RLE", "LRO", "RLO", "PDF") for one in shown)
    assert visible(shown) == shown
    shown.encode()
    if text.isprintable() and text.isascii():
        assert shown == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("D2\r\n.mat", r"D2\x0d\x0a.mat"),
        ("\x1b]0;title\x07", r"\x1b]0;title\x07"),
        ("\x9b2J", r"\x9b2J"),
        ("a\u2066b\u200f", r"a\u2066b\u200f"),
        ("caf\udce9", r"caf\xe9"),
        ("Пу́ркинье 細胞 µ", "Пу́ркинье 細胞 µ"),
    ],
)
def test_names(text: str, shown: str) -> None:
    assert visible(text) == shown


def test_lines_are_kept_where_they_are_wanted() -> None:
    assert visible("a\n\tb\r\x00", lines=True) == "a\n\tb\\x0d\\x00"
